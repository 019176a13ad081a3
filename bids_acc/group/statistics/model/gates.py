"""The quality gates of a model: presets by name, files taken in whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, short
from bids_acc.quality import sessions
from bids_acc.quality.gate import PRESETS, Gate, load_gate, parse_gate
from bids_acc.quality.sessions import (
    ImageModality,
    SessionGate,
    parse_session_gate,
    session_preset,
)

MODALITIES: tuple[str, ...] = ('mrs', *get_args(ImageModality))
"""Parts of the section ``Gate``."""


def shipped(modality: str) -> tuple[str, ...]:
    """Return the words that stand for a gate of a modality without a file.

    Parameters
    ----------
    modality : {'anat', 'dwi', 'func', 'mtr', 'mrs'}
        Of images or spectra.

    Returns
    -------
    tuple of str
        Names of shipped gates; for images also the word for no gate.

    Examples
    --------
    >>> shipped('anat'), shipped('mrs')
    (('none', 'anat-usual'), ('acc-structure', 'acc-glutamate', 'mega-press'))
    """
    if modality == 'mrs':
        return PRESETS
    return (sessions.NONE, *sessions.PRESETS.get(modality, ()))


def with_gate_files(content: object, folder: Path, source: str) -> object:
    """Put the content of each gate file that a model names in the place of its name.

    The model is whole by itself then: it can be run again wherever it lies.

    Parameters
    ----------
    content : object
        Content of a model file, not yet checked.
    folder : Path
        Where the model file lies; names of gate files start there.
    source : str
        Name of the model file, for messages.

    Returns
    -------
    object
        The same, with mappings in place of file names.

    Raises
    ------
    SettingsError
        If a name is neither a preset nor a file of JSON.
    """
    # what is wrong with it is said by the schema, for all keys at once
    if not isinstance(content, Mapping) or not isinstance(content.get('Gate'), Mapping):
        return content
    taken = {
        modality: _read(entry, modality, folder, source)
        if isinstance(entry, str) and modality in MODALITIES and entry not in shipped(modality)
        else entry
        for modality, entry in content['Gate'].items()
    }
    return {**content, 'Gate': taken}


def _read(name: str, modality: str, folder: Path, source: str) -> dict[str, object]:
    """Read one gate file."""
    where = f'{source}: Gate/{modality}: {name!r}'
    try:
        content = json.loads(read_whole(folder / name, error=SettingsError))
    except OSError as error:
        raise SettingsError(
            f'{where} is neither a preset ({", ".join(shipped(modality))}) nor a readable file '
            f'beside the model.'
        ) from error
    except ValueError as error:
        raise SettingsError(f'{where} is no valid JSON ({short(error)}).') from error
    if not isinstance(content, dict):
        raise SettingsError(f'{where} must hold a gate: an object with lists of criteria.')
    if modality == 'mrs':
        parse_gate(content, where)
    else:
        parse_session_gate(content, cast('ImageModality', modality), where)
    return {'name': Path(name).stem, **content}


def spectra_gate(entry: str | Mapping[str, object] | None, source: str) -> Gate | None:
    """Return the gate of spectra that a model names; None for the participant level's verdicts.

    Parameters
    ----------
    entry : str, mapping or None
        ``Gate/mrs`` of the model.
    source : str
        Name of the model file, for messages.

    Raises
    ------
    SettingsError
        If it is not known, or a word in it is not.
    """
    where = f'{source}: Gate/mrs'
    if isinstance(entry, Mapping):
        return parse_gate(entry, where)
    if entry is None or entry in PRESETS:
        return None if entry is None else load_gate(entry)
    hint = ' (for no gate at all: Mrs/Gate false)' if entry == sessions.NONE else ''
    raise SettingsError(f'{where}: {entry!r} is none of {", ".join(PRESETS)}{hint}.')


def session_gate(
    entry: str | Mapping[str, object] | None, modality: ImageModality, source: str
) -> SessionGate | None:
    """Return the gate of images that a model names; None where it names none.

    Parameters
    ----------
    entry : str, mapping or None
        ``Gate/anat``, ``Gate/dwi``, ``Gate/func`` or ``Gate/mtr`` of the model.
    modality : {'anat', 'dwi', 'func', 'mtr'}
        Which of them.
    source : str
        Name of the model file, for messages.

    Raises
    ------
    SettingsError
        If it is not known, or a word in it is not.
    """
    where = f'{source}: Gate/{modality}'
    if isinstance(entry, Mapping):
        return parse_session_gate(entry, modality, where)
    return None if entry in (None, sessions.NONE) else session_preset(modality, entry, where)
