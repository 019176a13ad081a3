"""The modalities by name, for settings, files and plan alike."""

from __future__ import annotations

from typing import Literal

Modality = Literal['anat', 'dwi', 'func', 'mtr', 'mrs']
MODALITIES: tuple[Modality, ...] = ('anat', 'dwi', 'func', 'mtr', 'mrs')
"""In the order in which they are processed."""
IF_ANY: tuple[Modality, ...] = ('func', 'mtr')
"""Of which plan and cohort speak only where somebody has them, or where they were asked for."""
