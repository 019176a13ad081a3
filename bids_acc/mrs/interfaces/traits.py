"""What the interfaces of spectroscopy share."""

from __future__ import annotations

from typing import Any

from nipype.interfaces.base import isdefined


def given(value: Any) -> Any:
    """Return a trait's value, None when undefined or empty."""
    return value if isdefined(value) and value else None
