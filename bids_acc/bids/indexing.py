"""How the images of a data set get into PyBIDS' index.

PyBIDS' own indexer looks at each file of a data set by some tens of path objects, which is three
times the cost of all that a plan does besides. So the folders are walked here, and only images are
told to PyBIDS: its entities read their names, and its data base keeps them.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

from bids import BIDSLayout
from bids.layout.models import BIDSImageFile, Entity, Tag

from bids_acc.exceptions import OutputError, SettingsError

LOGGER = logging.getLogger(__name__)

DATATYPES = ('anat', 'dwi', 'func', 'mrs')
"""Folders that are looked into."""

LONGEST_LABEL = 64
"""Characters of a label: with those of subject and session, 118 are left of the 255 that a file
name may have (own convention)."""

LABEL = re.compile(f'[a-zA-Z0-9+]{{1,{LONGEST_LABEL}}}')
"""What BIDS allows in a label, and disks in the name of a file."""

INDEX = 'layout_index.sqlite'
"""PyBIDS' name for its index."""

AT_ONCE = 5000
"""Images that are written to the data base together; bounds memory."""


class ImageIndexer:
    """Tell PyBIDS of the images of a data set, as its ``indexer``.

    Parameters
    ----------
    subjects : sequence of str, optional
        Labels without prefix; only these are indexed.
    """

    def __init__(self, subjects: Sequence[str] | None = None) -> None:
        self.subjects = subjects

    def __call__(self, layout: BIDSLayout) -> None:
        """Fill the data base of a layout.

        Entities are read from the path below the root: PyBIDS 0.22 searches the whole path, so
        that a root such as /data/dwi/sub-9 would tell datatype and subject of every file.
        """
        root = Path(layout.root)
        entities = [e for config in layout.config.values() for e in config.entities.values()]
        paths = iter_images(root, self.subjects)
        while some := list(islice(paths, AT_ONCE)):
            layout.session.bulk_insert_mappings(BIDSImageFile, [_row(path) for path in some])
            layout.session.bulk_insert_mappings(
                Tag, [tag for path in some for tag in _tags(path, path[len(str(root)):], entities)]
            )  # fmt: skip
        layout.session.commit()


def _row(path: str) -> dict[str, object]:
    """Return what the data base keeps of a file."""
    folder, _, name = path.rpartition('/')
    return {'path': path, 'filename': name, 'dirname': folder, 'is_dir': False,
            'class_': 'image_file'}  # fmt: skip


def _tags(path: str, below: str, entities: Sequence[Entity]) -> Iterator[dict[str, object]]:
    """Yield what the data base keeps of the entities in a name."""
    named = SimpleNamespace(path=below)
    for entity in entities:
        value = entity.match_file(named)
        if value is not None:
            yield {'file_path': path, 'entity_name': entity.name, '_value': str(value),
                   '_dtype': entity._dtype, 'is_metadata': False}  # fmt: skip


def open_layout(
    root: Path, subjects: Sequence[str] | None = None, database_dir: Path | None = None
) -> BIDSLayout:
    """Index the images of some subjects.

    Parameters
    ----------
    root : Path
        Of the data set.
    subjects : sequence of str, optional
        Labels without prefix; only these are indexed.
    database_dir : Path, optional
        PyBIDS' index of an earlier call, or the place for a new one.

    Returns
    -------
    BIDSLayout
        Without metadata, which `bids_acc.bids.sidecars` reads for the files that are used.

    Raises
    ------
    SettingsError
        If the database is none, or was made for another data set or with other options.
    OutputError
        If it cannot be written.
    """
    if database_dir is None:
        return _layout(root, subjects)
    if not (database_dir / INDEX).exists():
        try:
            _make_index(root, subjects, database_dir)
        except Exception as error:
            raise OutputError(
                f'--bids-database-dir {database_dir}: the index cannot be made there '
                f'({_first_line(error)}); name a folder on a disk of this machine.'
            ) from error
    try:
        return _layout(root, subjects, database_dir)
    except Exception as error:
        raise SettingsError(
            f'--bids-database-dir {database_dir} holds no PyBIDS index of {root} '
            f'({_first_line(error)}); name an empty folder, and it is made.'
        ) from error


def _layout(
    root: Path, subjects: Sequence[str] | None, database_dir: Path | None = None
) -> BIDSLayout:
    """Index images in memory, or in a folder unless it has an index."""
    return BIDSLayout(
        root, validate=False, indexer=ImageIndexer(subjects), database_path=database_dir
    )


def _make_index(root: Path, subjects: Sequence[str] | None, database_dir: Path) -> None:
    """Make an index that has its name only when it is whole.

    PyBIDS says in the file what it is of before it tells of any image: what a killed call leaves,
    or another one is at work on, would be taken for all there is.
    """
    database_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=database_dir, prefix='.part-') as name:
        layout = _layout(root, subjects, Path(name))
        layout.session.close()
        layout.connection_manager.engine.dispose()
        (Path(name) / INDEX).replace(database_dir / INDEX)


def _first_line(error: Exception) -> str:
    """Return the beginning of a message that may be long."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def iter_images(root: Path, subjects: Sequence[str] | None = None) -> Iterator[str]:
    """Yield the images of some people, in the folders of `DATATYPES`.

    Folders that would hold everything once more or that cannot be listed, and images whose names
    are no UTF-8, are named in a warning and left out. A folder that is named as an image is
    yielded, to be refused by name.

    Parameters
    ----------
    root, subjects
        As for `open_layout`.
    """
    if subjects is None:
        subjects = [name[4:] for name in sorted(os.listdir(root)) if name.startswith('sub-')]  # noqa: PTH208
    for subject in filter(LABEL.fullmatch, subjects):
        person = f'{root}/sub-{subject}'
        for place in _folders_of(person):
            name = place.rpartition('/')[2]
            if name.startswith('ses-'):
                if not LABEL.fullmatch(name[4:]):
                    continue  # the plan names the folder; it is no visit without label
                for inner in _folders_of(place):
                    yield from _images_in(inner)
            else:
                yield from _images_in(place)


def _folders_of(folder: str) -> list[str]:
    """List the folders in one that is walked."""
    if not _walkable(folder):
        return []
    with os.scandir(folder) as entries:
        found = [entry.path for entry in entries if is_folder(entry)]
    return sorted(path for path in found if path == printable(path))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder, or a link that cannot be followed to its end.

    Parameters
    ----------
    entry : os.DirEntry[str]
        From `os.scandir`.

    Returns
    -------
    bool
        A link to itself counts as a folder, so that it is named as one that cannot be read.
    """
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return True


def _images_in(folder: str) -> Iterator[str]:
    """Yield the images of a folder that is to be looked into."""
    if not _walkable(folder) or folder.rpartition('/')[2] not in DATATYPES:
        return
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names that are no UTF-8
        if not name.endswith(('.nii', '.nii.gz')) or name.startswith('.'):
            continue  # hidden files are no data: macOS writes ._NAME beside NAME
        if name != printable(name):
            LOGGER.warning('%s is left out: its name is no UTF-8.', printable(name))
        else:
            yield f'{folder}/{name}'


def _walkable(folder: str) -> bool:
    """Tell whether a folder can be looked into; warn where it cannot."""
    if os.path.islink(folder) and is_loop(Path(folder)):  # noqa: PTH114 - no path object for each
        LOGGER.warning('%s is a link to a folder that holds it; it is left out.', folder)
        return False
    if is_closed(folder):
        LOGGER.warning('%s cannot be listed; it is left out.', printable(folder))
        return False
    return True


def is_closed(folder: str) -> bool:
    """Tell whether a folder is there and this user may not look into it.

    Parameters
    ----------
    folder : str
        An absolute name; it may also not be there.

    Returns
    -------
    bool
        False where nothing of that name exists.
    """
    return not os.access(folder, os.R_OK | os.X_OK) and os.path.lexists(folder)


def is_loop(folder: Path) -> bool:
    """Tell whether a folder is a link to one that holds it.

    Parameters
    ----------
    folder : Path
        Anything that is no link is none.

    Returns
    -------
    bool
        True for a link to itself too.
    """
    if not folder.is_symlink():
        return False
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself
        return True
    return folder.parent.resolve().is_relative_to(real)


def printable(name: str) -> str:
    r"""Return a file name that may be no UTF-8 as it can be printed.

    Parameters
    ----------
    name : str
        As Python reads it from the file system, with bytes that are no UTF-8 as lone surrogates.

    Returns
    -------
    str
        For messages only: what was replaced cannot be told any more.

    Examples
    --------
    >>> printable(os.fsdecode(b'sub-\xff1'))
    'sub-?1'
    """
    return name.encode(errors='replace').decode()
