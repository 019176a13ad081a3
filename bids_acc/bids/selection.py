"""Which subjects, sessions and files of a data set are wanted, and whether it is one at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids.layout.models import Config

from bids_acc.bids.indexing import LABEL, LONGEST_LABEL, is_loop, printable
from bids_acc.bids.sidecars import read_json
from bids_acc.dwi.shells import B0_THRESHOLD
from bids_acc.exceptions import (
    BidsAccError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    SettingsError,
)
from bids_acc.modalities import MODALITIES

FILTER_QUERIES: Mapping[str, Mapping[str, Any]] = {
    't1w': {'datatype': 'anat', 'suffix': 'T1w'},
    'dwi': {'datatype': 'dwi', 'suffix': 'dwi'},
    'bold': {'datatype': 'func', 'suffix': 'bold'},
    'mtr': {'datatype': 'anat', 'suffix': ['MTR', 'MTS', 'MTRmap']},
    'svs': {'datatype': 'mrs', 'suffix': 'svs'},
    'mrsref': {'datatype': 'mrs', 'suffix': 'mrsref'},
}
"""Queries that a BIDS filter file may refine, in fMRIPrep's format."""


Filters = Mapping[str, Mapping[str, object]]
"""By query, the value or values that each entity may have."""


@dataclass(frozen=True)
class Selection:
    """Which part of a data set is wanted."""

    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    filters: Filters = field(default_factory=dict)
    modalities: tuple[str, ...] = MODALITIES
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    """Name to folder of other tools' results."""
    dwi_source: str = 'auto'
    """``auto`` takes a preprocessed series where there is one, ``raw`` never, ``derivative`` only
    that."""
    dwi_noddi: str = 'auto'
    """``auto`` takes NODDI maps where there are any, ``require`` fails without, ``none`` never."""
    dwi_b_max: float = 1500.0
    """Largest b-value of the tensor, s/mm2."""
    dwi_b0_threshold: float = B0_THRESHOLD
    """Largest b-value that counts as zero, s/mm2."""
    dwi_bvalue_scaling: str = 'auto'
    """Whether b-values are told by the length of directions."""
    anat_average: bool = False
    """Whether equally good runs of the T1w image are averaged."""
    density: str = '41k'
    """Of the template mesh."""
    func_source: str = 'auto'
    """``auto`` takes prepared BOLD series where there are some, else finished measures of them,
    ``raw`` never, ``derivative`` only series, ``finished`` only measures."""
    func_space: str = 'auto'
    """Space of the prepared BOLD series that is wanted; ``auto`` takes the best."""
    func_finished_atlas: str = ''
    """Atlas of finished measures; nothing takes the best that is there."""
    mtr_source: str = 'auto'
    """``auto`` takes a pair of images where there is one, else a ready map; ``pair`` or ``map``
    only that."""


def check_dataset(bids_dir: Path) -> None:
    """Refuse a folder that is no BIDS data set.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw data set.

    Raises
    ------
    MissingInputError
        If the folder is absent.
    InvalidDatasetError
        If ``dataset_description.json`` is absent or lacks a required field, or there is no
        subject folder.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f'{bids_dir}: there is no such folder.')
    description = bids_dir / 'dataset_description.json'
    remedy = 'Correct it, or add --skip-bids-validation.'
    try:
        content = read_json(description)
    except BidsAccError as error:
        said = str(error).rstrip('.')
        raise InvalidDatasetError(f'{bids_dir} is no BIDS dataset: {said}. {remedy}') from error
    if missing := [name for name in ('Name', 'BIDSVersion') if name not in content]:
        raise InvalidDatasetError(
            f'{description}: required field {" and ".join(missing)} is missing. {remedy}'
        )
    if not subject_labels(bids_dir):
        raise InvalidDatasetError(f'{bids_dir} holds no sub-* folder, so there is no data in it.')


def _folders(parent: Path, prefix: str) -> list[Path]:
    """List the folders that begin with a prefix, without links that lead round in a circle."""
    return [p for p in sorted(parent.glob(f'{prefix}*')) if p.is_dir() and not is_loop(p)]


def subject_labels(bids_dir: Path) -> list[str]:
    """List the subjects of a data set, without the prefix.

    Parameters
    ----------
    bids_dir : Path
        Folder with ``sub-*`` folders.

    Returns
    -------
    list of str
        Sorted; labels that BIDS does not allow are left out.
    """
    names = [p.name[4:] for p in _folders(bids_dir, 'sub-')]
    return [name for name in names if LABEL.fullmatch(name)]


def session_labels(bids_dir: Path, subjects: Iterable[str]) -> list[str]:
    """List the sessions of some subjects, without the prefix.

    Parameters
    ----------
    bids_dir : Path
        Folder with ``sub-*`` folders.
    subjects : iterable of str
        Labels without prefix.

    Returns
    -------
    list of str
        Of any of them, sorted, each once; empty for a data set without sessions.
    """
    names = {p.name[4:] for s in subjects for p in _folders(bids_dir / f'sub-{s}', 'ses-')}
    return sorted(name for name in names if LABEL.fullmatch(name))


def folders_without_label(
    bids_dir: Path, subjects: Iterable[str]
) -> list[tuple[str, str | None, str]]:
    """Find the folders of people and visits that BIDS does not allow, or that hold themselves.

    Parameters
    ----------
    bids_dir : Path
        Root of the data set.
    subjects : iterable of str
        Labels of the people whose visits are looked at.

    Returns
    -------
    list of (subject, session, reason)
        Labels as they can be printed; None where it is the person's folder.
    """
    people = [(path, path.name[4:], None) for path in sorted(bids_dir.glob('sub-*'))]
    visits = [
        (path, subject, path.name[4:])
        for subject in subjects
        for path in sorted((bids_dir / f'sub-{subject}').glob('ses-*'))
    ]
    found = []
    for path, subject, session in (*people, *visits):
        label = subject if session is None else session
        if is_loop(path):
            reason = f'{printable(str(path))} is a link to a folder that holds it; remove it.'
        elif path.is_dir() and len(label) > LONGEST_LABEL:
            reason = (
                f'{printable(str(path))}: its label has {len(label)} characters, more than '
                f'{LONGEST_LABEL}, so that names of results would be too long for a disk; '
                'rename the folder and the files in it.'
            )
        elif path.is_dir() and not LABEL.fullmatch(label):
            reason = (
                f'{printable(str(path))}: {printable(label)!r} is no BIDS label (letters and '
                'digits only); rename the folder and the files in it.'
            )
        else:
            continue
        found.append((printable(subject), None if session is None else printable(session), reason))
    return found


def choose_labels(asked: Sequence[str], there: Sequence[str], what: str) -> list[str]:
    """Take the wanted labels among those that are there.

    Parameters
    ----------
    asked : sequence of str
        Labels without prefix; none means all.
    there : sequence of str
        Labels that exist.
    what : str
        ``participant`` or ``session``, for the message.

    Raises
    ------
    NothingSelectedError
        If one of them does not exist; the message lists what there is.

    Examples
    --------
    >>> choose_labels(['02'], ['01', '02'], 'participant')
    ['02']
    """
    if not asked:
        return list(there)
    if missing := [label for label in asked if label not in there]:
        raise NothingSelectedError(
            f'--{what}-label {_some(missing, " ")} matches nothing; '
            f'there is: {_some(there, ", ") or "none"}.'
        )
    return sorted(set(asked))


MOST_LABELS = 20
"""Labels that a message lists (own convention)."""


def _some(labels: Sequence[str], between: str) -> str:
    """List labels; of many the first, and how many there are."""
    more = f'{between}... ({len(labels)} in all)' if len(labels) > MOST_LABELS else ''
    return between.join(labels[:MOST_LABELS]) + more


def read_filters(path: Path | None) -> Filters:
    """Read a BIDS filter file in fMRIPrep's format.

    Parameters
    ----------
    path : Path or None
        JSON of the form ``{"t1w": {"acquisition": "mprage"}}``; None for no filter.

    Returns
    -------
    dict
        By query (a key of `FILTER_QUERIES`), value or values for each entity.

    Raises
    ------
    SettingsError
        If it is no JSON, names a query that bids_acc does not make, or holds an entity that BIDS
        does not know or a value that no entity can have.
    """
    if path is None:
        return {}
    try:
        content = read_json(path)
    except BidsAccError as error:
        raise SettingsError(f'--bids-filter-file: {error}') from error
    where = f'--bids-filter-file {path}'
    for query, wanted in content.items():
        _check_filter(where, query, wanted)
    return content


def _check_filter(where: str, query: str, wanted: object) -> None:
    """Refuse what PyBIDS would not understand, or would ignore without a word."""
    if query not in FILTER_QUERIES:
        raise SettingsError(f'{where}: unknown query {query}{_meant(query, list(FILTER_QUERIES))}')
    if not isinstance(wanted, Mapping):
        raise SettingsError(
            f'{where}: {query} is {wanted!r}; it takes an object of entities and values, such as '
            f'{{"{query}": {{"run": 1}}}}.'
        )
    known = [*Config.load('bids').entities, 'regex_search']
    for entity, value in wanted.items():
        if entity not in known:
            raise SettingsError(
                f'{where}: {query} names an unknown entity {entity}{_meant(entity, known)}'
            )
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(v, str | int | None) for v in values):
            raise SettingsError(
                f'{where}: {query} {entity} is {value!r}; it takes text, a number, null (without '
                'this entity) or a list of them.'
            )


def _meant(word: str, known: Sequence[str]) -> str:
    """Say which known word was probably meant, or list them all."""
    close = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean {close[0]}?' if close else f'; known: {", ".join(sorted(known))}.'
