"""Everything one call asks for: folders, level, which data, how to run, and the settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from bids_acc.modalities import MODALITIES, Modality
from bids_acc.settings.records import STRICT, Settings


@dataclass(frozen=True, config=STRICT)
class Request:
    """Everything the command line asked for.

    All but `dry_run` goes into ``config.toml``, the settings into sections of their own and the
    rest into ``[request]``, so that the file alone repeats the call.
    """

    bids_dir: Path
    output_dir: Path
    level: Literal['participant', 'group']
    settings: Settings = dataclasses.field(default_factory=Settings)
    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    modalities: tuple[Modality, ...] = MODALITIES
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    skip_bids_validation: bool = False
    derivatives: dict[str, Path] = dataclasses.field(default_factory=dict)
    more_outputs: tuple[Path, ...] = ()
    work_dir: Path | None = None
    dry_run: Literal['text', 'json'] | None = None
    stop_on_first_crash: bool = False
    force: bool = False
    verbosity: int = 0
