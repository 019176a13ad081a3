"""The images of a data set, found by PyBIDS and asked once for all people.

Of the wanted subjects only images are indexed, because an index of all files costs a large data
set hours (PyBIDS issue 285), and each query looks at all that is indexed: one for each person
makes the cost grow with the square of their number. So the index is asked once, and what it finds
is sorted by person.
"""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids import BIDSLayout, BIDSLayoutIndexer
from bids.layout import parse_file_entities

from bids_acc.exceptions import OutputError, SettingsError

LOGGER = logging.getLogger(__name__)

DATATYPES = ('anat', 'dwi', 'func', 'mrs')
"""Folders that are looked into."""

IMAGE_EXTENSIONS = ('.nii', '.nii.gz')

_NUMBERS = ('run', 'echo', 'inv', 'flip', 'chunk')
"""Entities whose values are numbers, so that 1 and 01 are the same."""

_LEFT_OUT = (
    re.compile(r'^/(?!sub-)[^/]+/'),  # derivatives, sourcedata, code, ...
    re.compile(r'^/sub-(?![a-zA-Z0-9+]+(/|$))'),  # no BIDS label: the plan names the folder
    re.compile(rf'^/sub-[^/]+/(ses-[^/]+/)?(?!ses-|(?:{"|".join(DATATYPES)})(?:/|$))[^/]+(/|$)'),
    re.compile(rf'^/sub-[^/]+/(ses-[^/]+/)?(?:{"|".join(DATATYPES)})/(?!.*\.nii(\.gz)?$)'),
    re.compile(r'[\udc80-\udcff]'),  # names that are no UTF-8, which the database cannot hold
)
"""Paths below the root that are not indexed."""


@dataclass(frozen=True)
class ImageFile:
    """A file and what its name says."""

    path: str
    entities: Mapping[str, str] = field(default_factory=dict)

    def get_entities(self) -> dict[str, str]:
        """Return the entities under PyBIDS' names, as text."""
        return dict(self.entities)


class ImageIndex:
    """Find the images of a data set.

    Parameters
    ----------
    root : Path
        Of the data set.
    subjects : sequence of str, optional
        Labels without prefix; only these are indexed. Not heeded with a database, which serves
        every call.
    database_dir : Path, optional
        PyBIDS' index of an earlier call, or the place for a new one.
    """

    def __init__(
        self, root: Path, subjects: Sequence[str] | None = None, database_dir: Path | None = None
    ) -> None:
        self.root = root
        wanted = None if database_dir is not None else subjects
        self._images = self._by_subject(open_layout(root, wanted, database_dir))
        for path in _folders_with_names_of_images(root, subjects):
            self._add(self._images, path, parse_file_entities(str(path), config='bids'))
        self._upper: dict[Path, list[Path]] = {}

    def _by_subject(self, layout: BIDSLayout) -> dict[str, list[ImageFile]]:
        """Return all images by the label of their subject, sorted by path."""
        found: dict[str, list[ImageFile]] = defaultdict(list)
        files = layout.get(extension=list(IMAGE_EXTENSIONS))
        for file in sorted(files, key=lambda file: str(file.path)):
            self._add(found, Path(file.path), file.get_entities())
        return found

    @staticmethod
    def _add(found: dict[str, list[ImageFile]], path: Path, entities: Mapping[str, Any]) -> None:
        """Put an image to those of its subject.

        PyBIDS 0.22 takes the first folder of the whole path that has a datatype's name, so that
        below /data/dwi/ all would be diffusion: here it is the folder that the file lies in.
        """
        texts = {name: str(value) for name, value in entities.items()}
        if path.parent.name in DATATYPES and 'subject' in texts:
            texts['datatype'] = path.parent.name
            found[texts['subject']].append(ImageFile(str(path), texts))

    def get(self, *, subject: str, regex_search: bool = False, **wanted: Any) -> list[ImageFile]:
        """Return the images of a person whose entities have these values, sorted by path.

        Parameters
        ----------
        subject : str
            Label without prefix.
        regex_search : bool
            Whether text values are regular expressions to be found in the entity.
        **wanted
            Entity to value, to a list of welcome values, or to None where it must be absent.
        """
        return [
            file
            for file in self._images.get(subject, ())
            if all(
                _fits(file.entities.get(name), name, value, regex_search)
                for name, value in wanted.items()
            )
        ]

    def upper_files(self, folder: Path) -> list[Path]:
        """List the files of a folder; that of the root, which all share, is listed once."""
        if folder not in self._upper:
            found = [Path(item.path) for item in os.scandir(folder) if not item.is_dir()]
            if folder != self.root:
                return sorted(found)
            self._upper[folder] = sorted(found)
        return self._upper[folder]


def open_layout(
    root: Path, subjects: Sequence[str] | None = None, database_dir: Path | None = None
) -> BIDSLayout:
    """Index the images of some subjects.

    Parameters
    ----------
    root, subjects, database_dir
        As for `ImageIndex`.

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
    ignore = [*_LEFT_OUT, *(_exactly(path, root) for path in _unwalkable(root, subjects))]
    if subjects is not None:
        wanted = '|'.join(map(re.escape, subjects))
        ignore.append(re.compile(rf'^/sub-(?!(?:{wanted})(?:/|$))'))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    there = database_dir is not None and (database_dir / 'layout_index.sqlite').exists()
    try:
        return BIDSLayout(
            root,
            validate=False,
            indexer=indexer,
            database_path=database_dir,
            reset_database=database_dir is not None and not there,
        )
    except Exception as error:
        if database_dir is None:
            raise
        if there:
            raise SettingsError(
                f'--bids-database-dir {database_dir} holds no PyBIDS index of {root} '
                f'({_first_line(error)}); name an empty folder, and it is made.'
            ) from error
        raise OutputError(
            f'--bids-database-dir {database_dir}: the index cannot be made there '
            f'({_first_line(error)}).'
        ) from error


def _first_line(error: Exception) -> str:
    """Return the beginning of a message that may be long."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _exactly(path: Path, root: Path) -> re.Pattern[str]:
    """Match a path below the root, and all that is in it."""
    return re.compile(rf'^/{re.escape(path.relative_to(root).as_posix())}(/|$)')


def _folders_with_names_of_images(root: Path, subjects: Sequence[str] | None) -> Iterator[Path]:
    """Yield folders that are named as images, to be refused: PyBIDS lists files only."""
    for subject in _people(root, subjects):
        for place in ('*', 'ses-*/*'):
            yield from (p for p in sorted(subject.glob(f'{place}/*.nii*')) if p.is_dir())


def _people(root: Path, subjects: Sequence[str] | None) -> list[Path]:
    """List the folders of all or some people."""
    if subjects is not None:
        return [root / f'sub-{label}' for label in subjects]
    return sorted(root.glob('sub-*'))


def _unwalkable(root: Path, subjects: Sequence[str] | None) -> Iterator[Path]:
    """Name and yield folders that would hold everything once more, or that cannot be listed.

    Files whose names are no text are named too; a pattern leaves them out wherever they lie.
    """
    for subject in _people(root, subjects):
        for folder in (subject, *subject.glob('*/'), *subject.glob('ses-*/*/')):
            if is_loop(folder):
                LOGGER.warning('%s is a link to a folder that holds it; it is left out.', folder)
                yield folder
            elif not os.access(folder, os.R_OK | os.X_OK):
                LOGGER.warning('%s cannot be listed; it is left out.', printable(str(folder)))
                yield folder
            else:
                _name_what_is_no_text(folder)


def _name_what_is_no_text(folder: Path) -> None:
    """Warn of files whose names are no UTF-8."""
    for name in os.listdir(folder):  # noqa: PTH208 - names that are no UTF-8
        if name != printable(name) and '.nii' in name:
            LOGGER.warning('%s is left out: its name is no UTF-8.', printable(name))


def is_loop(folder: Path) -> bool:
    """Tell whether a folder is a link to one that holds it."""
    if not folder.is_symlink():
        return False
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself
        return True
    return folder.parent.resolve().is_relative_to(real)


def printable(name: str) -> str:
    r"""Return a file name that may be no UTF-8 as it can be printed.

    Examples
    --------
    >>> printable(os.fsdecode(b'sub-\xff1'))
    'sub-?1'
    """
    return name.encode(errors='replace').decode()


def _fits(value: str | None, name: str, wanted: Any, regex_search: bool) -> bool:
    """Tell whether an entity has one of the wanted values."""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_fits(value, name, one, regex_search) for one in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if regex_search and isinstance(wanted, str) and name not in ('suffix', 'extension'):
        return re.search(wanted, value) is not None
    if name in _NUMBERS and str(wanted).isdigit() and value.isdigit():
        return int(value) == int(wanted)
    return value == str(wanted)
