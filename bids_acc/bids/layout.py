"""What is asked of the index of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bids_acc.bids.index import ImageFile, ImageIndex
from bids_acc.bids.indexing import is_closed
from bids_acc.bids.selection import FILTER_QUERIES, Filters
from bids_acc.bids.sidecars import inherited_metadata
from bids_acc.exceptions import InputDataError

IMAGE_EXTENSIONS = ['.nii', '.nii.gz']


class NothingThereError(Exception):
    """The session has no file of this modality."""


class FilteredError(NothingThereError):
    """There are files of this modality, and the filter file leaves none."""


class ClosedFolderError(InputDataError):
    """A folder of the session cannot be looked into."""


def query_images(
    index: ImageIndex,
    subject: str,
    session: str | None,
    filters: Filters,
    name: str,
) -> list[ImageFile]:
    """Find the images of one kind in a session, as narrowed by the filter file.

    Parameters
    ----------
    index : ImageIndex
        Of the data set.
    subject, session : str
        Labels without prefix; None where the data set has no sessions.
    filters : mapping
        From `read_filters`: by query, values of entities; ``subject`` in it is not heeded.
    name : str
        A key of `FILTER_QUERIES`, such as ``t1w``, ``dwi`` or ``svs``.

    Returns
    -------
    list of ImageFile
        Ordered by path.
    """
    query: dict[str, Any] = {**dict(FILTER_QUERIES[name]), 'extension': IMAGE_EXTENSIONS}
    if session is not None:
        query['session'] = session
    query.update({k: v for k, v in filters.get(name, {}).items() if k != 'subject'})
    return index.get(subject=subject, **query)


def without_twins(files: Sequence[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Keep one of each image that lies there compressed and plain.

    Parameters
    ----------
    files : sequence of ImageFile

    Returns
    -------
    list of ImageFile
        The compressed one of each pair.
    list of str
        What was left out, in words.
    """
    stems = {str(f.path).removesuffix('.gz'): f for f in sorted(files, key=lambda f: f.path)}
    kept = [f for f in files if f in stems.values()]
    twins = [Path(f.path).name for f in files if f not in kept]
    return kept, [f'{name}: not used, as {name}.gz is there' for name in twins]


def nothing_there(
    subject: str, session: str | None, datatype: str, suffix: str
) -> NothingThereError:
    """Make the error that says which pattern of names was looked for.

    Parameters
    ----------
    subject, session : str
        Labels without prefix; None where the data set has no sessions.
    datatype, suffix : str
        Of BIDS, such as ``anat`` and ``T1w``.

    Returns
    -------
    NothingThereError
        To be raised by the caller.
    """
    folder = f'sub-{subject}/' + (f'ses-{session}/' if session else '')
    return NothingThereError(f'no file matches {folder}{datatype}/*_{suffix}.nii[.gz]')


def check_open(root: Path, subject: str, session: str | None, datatype: str) -> None:
    """Refuse a session of which a folder cannot be looked into.

    What lies there is not absent: a run without it would be a wrong one that looks right.

    Parameters
    ----------
    root : Path
        Of the data set.
    subject, session : str
        Labels.
    datatype : str
        Name of the folder that is needed.

    Raises
    ------
    ClosedFolderError
        With the folder.
    """
    person = root / f'sub-{subject}'
    visit = person if session is None else person / f'ses-{session}'
    for folder in dict.fromkeys((person, visit, visit / datatype)):
        if is_closed(str(folder)):
            raise ClosedFolderError(
                f'{folder} may not be looked into by this user, so what it holds is not known; '
                'give yourself the right to read it.'
            )


def metadata_of(index: ImageIndex, path: str | Path) -> dict[str, Any]:
    """Return the metadata of a file, with what it inherits.

    Parameters
    ----------
    index : ImageIndex
        Of the data set; its root is where inheritance ends.
    path : str or Path
        Image or spectrum.

    Returns
    -------
    dict
        A sidecar that is nearer to the file prevails (BIDS' inheritance principle).

    Raises
    ------
    MissingInputError, InputDataError
        If one of its sidecars cannot be read.
    """
    return inherited_metadata(Path(path), index.root, index.upper_files)
