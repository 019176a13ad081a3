"""Sidecars: how one is read, and what a file inherits from those above it.

All JSON of a data set goes through `read_json`. PyBIDS reads UTF-8 only and stops at the first
file that is something else.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bids_acc.bids.inputs import check_readable
from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import marked_encoding, read_whole, sane, short


def decode(content: bytes) -> str:
    """Turn the bytes of a text file into text.

    BIDS asks for UTF-8. Names of hospitals and people come in the encoding of the scanner's
    computer instead, in western Europe Windows-1252 (Latin-1 and a few signs more).

    Parameters
    ----------
    content : bytes
        With or without a byte order mark.

    Raises
    ------
    UnicodeDecodeError
        If a byte order mark promises an encoding that the rest does not keep.

    Examples
    --------
    >>> decode('Universität'.encode('latin-1')) == decode('Universität'.encode('utf-16'))
    True
    """
    if encoding := marked_encoding(content):
        return content.decode(encoding)
    try:
        return content.decode('utf-8')
    except UnicodeDecodeError:
        # Latin-1 gives a character for every byte, also for the five that Windows-1252 has not
        try:
            return content.decode('cp1252')
        except UnicodeDecodeError:
            return content.decode('latin-1')


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    ``NaN`` and ``Infinity``, which are no JSON but are written by Python and MATLAB, become None:
    a value that is not known; so do numbers too large for a computer's (`sane`).

    Parameters
    ----------
    path : Path
        A sidecar, or a description of a data set.

    Raises
    ------
    MissingInputError
        If it is absent or was not fetched.
    InputDataError
        If it is no JSON object.
    """
    check_readable(path)
    try:
        content = sane(
            json.loads(decode(read_whole(path)), strict=False, parse_constant=lambda _: None)
        )
    except InputDataError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputDataError(f'{path} is no valid JSON: {short(error)}') from error
    except OSError as error:
        raise InputDataError(f'{path} cannot be read: {error.strerror}.') from error
    if not isinstance(content, dict):
        raise InputDataError(f'{path} holds a {type(content).__name__}, expected an object.')
    return content


def entities_of(path: Path) -> dict[str, str]:
    """Read the entities of a file name, with their short names.

    Parameters
    ----------
    path : Path
        Only its name is read; entities that BIDS does not know are returned too.

    Examples
    --------
    >>> entities_of(Path('sub-01_space-ACPC_model-noddi_param-icvf_dwimap.nii.gz'))['param']
    'icvf'
    """
    return dict(re.findall(r'(?:^|_)([a-zA-Z0-9]+)-([^_.]+)', path.name.partition('.')[0]))


LONG_NAMES: Mapping[str, str] = {
    'sub': 'subject', 'ses': 'session', 'task': 'task', 'acq': 'acquisition', 'ce': 'ceagent',
    'rec': 'reconstruction', 'dir': 'direction', 'run': 'run',
}  # fmt: skip
"""Entities that name an acquisition, in the order of a file name, and PyBIDS' words for them."""


def long_names(entities: Mapping[str, str], kept: Sequence[str]) -> dict[str, str]:
    """Keep some entities of a file name, with PyBIDS' words for them.

    Parameters
    ----------
    entities : mapping of str to str
        By BIDS' short names, from `entities_of`.
    kept : sequence of str
        Short names of those to return, in this order.

    Examples
    --------
    >>> long_names({'sub': '01', 'acq': 'a', 'space': 'T1w'}, ('sub', 'ses', 'acq'))
    {'subject': '01', 'acquisition': 'a'}
    """
    return {LONG_NAMES[name]: entities[name] for name in kept if name in entities}


def suffix_of(path: Path) -> str:
    """Read the suffix of a file name.

    Parameters
    ----------
    path : Path
        Only its name is read, up to the first point.

    Examples
    --------
    >>> suffix_of(Path('sub-01_dir-AP_dwi.nii.gz')), suffix_of(Path('dwi.json'))
    ('dwi', 'dwi')
    """
    return path.name.partition('.')[0].rsplit('_', 1)[-1]


def inherited_metadata(
    path: Path, root: Path, listing: Callable[[Path], Iterable[Path]] = Path.iterdir
) -> dict[str, Any]:
    """Read the metadata of a file: its own sidecar, over those of the folders above it.

    A sidecar further up applies when it has the same suffix and names no entity that the file
    does not have (BIDS, inheritance principle).

    Parameters
    ----------
    path : Path
        Data file.
    root : Path
        Root of its data set.
    listing : callable
        Lists a folder; one that remembers saves listing the root for each file.

    Raises
    ------
    MissingInputError, InputDataError
        If one of these sidecars cannot be read.
    """
    own, suffix = entities_of(path), suffix_of(path)
    metadata: dict[str, Any] = {}
    for folder in _folders_down_to(path.parent, root):
        files = (p for p in listing(folder) if p.name.endswith(f'{suffix}.json'))
        named = [p for p in files if suffix_of(p) == suffix and not p.name.startswith('.')]
        fitting = [p for p in named if entities_of(p).items() <= own.items()]
        # BIDS allows one that fits in each folder; where there are more, the one that says most of
        # the file comes last and holds.
        for sidecar in sorted(fitting, key=lambda p: (len(entities_of(p)), p.name)):
            metadata.update(read_json(sidecar))
    return metadata


@functools.lru_cache(maxsize=16)  # the files of a session are asked for one after the other
def _folders_down_to(folder: Path, root: Path) -> tuple[Path, ...]:
    """List the folders from the root to one below it; none where it is elsewhere."""
    if not folder.is_relative_to(root):
        return ()
    return tuple(reversed([p for p in (folder, *folder.parents) if p.is_relative_to(root)]))


def inherited_file(path: Path, root: Path, extension: str) -> Path | None:
    """Find the file beside or above another that applies to it, such as its gradient table.

    Parameters
    ----------
    path : Path
        Data file.
    root : Path
        Root of its data set.
    extension : str
        With its dot.

    Returns
    -------
    Path or None
        The nearest, and there the one that shares most entities; also a link whose target is
        absent, so that this can be said.
    """
    own, suffix = entities_of(path), suffix_of(path)
    for folder in reversed(_folders_down_to(path.parent, root)):
        fitting = [
            p for p in folder.glob(f'*{suffix}{extension}')
            if suffix_of(p) == suffix and entities_of(p).items() <= own.items()
            and not p.name.startswith('.')
        ]  # fmt: skip
        if fitting:
            return max(fitting, key=lambda p: (len(entities_of(p)), p.name))
    return None
