"""Settings that would fail for every spectrum, refused before any is touched."""

from __future__ import annotations

from pathlib import Path

from bids_acc.exceptions import (
    MissingInputError,
    SettingsError,
)
from bids_acc.mrs.engines.request import MACROMOLECULES
from bids_acc.mrs.engines.run import choose_engine
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.quantify import parse_ratio
from bids_acc.mrs.scan.nulled import check_nulled
from bids_acc.quality.gate import load_gate
from bids_acc.settings import MrsSettings


def check_mrs_settings(settings: MrsSettings) -> None:
    """Refuse settings that would fail for every spectrum, before any is touched.

    Parameters
    ----------
    settings : MrsSettings
        As asked for.

    Raises
    ------
    SettingsError
        If the engine is not there, a gate or a file of constants is not of the right form, a ratio
        cannot be read, or there is no such file of macromolecules.
    MissingInputError
        If the basis set or the folder of fits is not there.
    """
    for engine in (settings.engine, settings.second_engine):
        # called for its refusals: the choice itself is made again where the graph is built
        if engine != 'none':
            choose_engine(engine, settings.fits is not None)
    load_gate(settings.gate)
    check_blocks(settings.blocks)
    load_relaxation(settings.relaxation)
    for text in settings.ratios:
        parse_ratio(text)
    # any other word is the name of a file with a metabolite-nulled spectrum
    if settings.macromolecules not in MACROMOLECULES:
        check_nulled(settings.macromolecules)
    for flag, value in (('basis', settings.basis), ('fits', settings.fits)):
        if value not in ('simulate', None) and not Path(str(value)).exists():
            raise MissingInputError(f'--mrs-{flag} {value}: there is no such file or folder.')


def check_blocks(text: str | None) -> None:
    """Refuse a division into blocks that cannot be meant.

    Parameters
    ----------
    text : str or None
        Value of ``--mrs-blocks``; None when no time course is wanted.

    Raises
    ------
    SettingsError
        If it is neither ``events`` nor a number of two or more.
    """
    if text is None or text == 'events' or (text.isdigit() and int(text) >= 2):
        return
    raise SettingsError(
        f'--mrs-blocks {text}: give the number of blocks, 2 or more, or the word events.'
    )
