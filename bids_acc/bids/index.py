"""The images of a data set, found folder by folder, one person at a time.

What an entity is, is told by PyBIDS' own configuration; its database of all files is not made.
Asking that for each person costs as much as there are files in all, and it follows links that lead
round in a circle. Here the cost is that of listing a person's folders, and nothing else is kept in
memory.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids.layout.models import Config

LOGGER = logging.getLogger(__name__)

DATATYPES = ('anat', 'dwi', 'mrs')
"""Folders that are looked into."""

_NUMBERS = ('run', 'echo', 'inv', 'flip', 'chunk')
"""Entities whose values are numbers, so that 1 and 01 are the same."""


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
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._subject, self._files = '', list[ImageFile]()
        self._upper: dict[Path, list[Path]] = {}

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
            for file in self._of(subject)
            if all(
                _fits(file.entities.get(name), name, value, regex_search)
                for name, value in wanted.items()
            )
        ]

    def _of(self, subject: str) -> list[ImageFile]:
        """List a person's images; all queries for one person come after each other."""
        if subject != self._subject:
            paths = sorted(image_paths(self.root / f'sub-{subject}'))
            self._files = [ImageFile(str(p), entities_in(p, self.root)) for p in paths]
            self._subject = subject
        return self._files

    def upper_files(self, folder: Path) -> list[Path]:
        """List the files of a folder; that of the root, which all share, is listed once."""
        if folder not in self._upper:
            found = [Path(item.path) for item in os.scandir(folder) if not item.is_dir()]
            if folder != self.root:
                return sorted(found)
            self._upper[folder] = sorted(found)
        return self._upper[folder]


def image_paths(folder: Path) -> Iterator[Path]:
    """Yield the images in the folders of a person that are looked into.

    A visit's folder that is a link to a folder above it would hold everything once more; it is
    named and left out.
    """
    for place in [folder, *sorted(folder.glob('ses-*'))]:
        if place != folder and is_loop(place):
            LOGGER.warning('%s is a link to a folder that holds it; it is left out.', place)
            continue
        for datatype in DATATYPES:
            try:
                names = os.listdir(place / datatype)  # noqa: PTH208 - names that are no UTF-8
            except OSError:
                continue
            for name in names:
                if name.endswith(('.nii', '.nii.gz')) and _is_text(name):
                    yield place / datatype / name


def is_loop(folder: Path) -> bool:
    """Tell whether a folder is a link to one that holds it."""
    if not folder.is_symlink():
        return False
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to itself
        return True
    return folder.parent.resolve().is_relative_to(real)


def _is_text(name: str) -> bool:
    """Tell whether a name is UTF-8; others are named and left out."""
    try:
        name.encode()
    except UnicodeEncodeError:
        LOGGER.warning('%s is left out: its name is no UTF-8.', printable(name))
        return False
    return True


def printable(name: str) -> str:
    r"""Return a file name that may be no UTF-8 as it can be printed.

    Examples
    --------
    >>> printable(os.fsdecode(b'sub-\xff1'))
    'sub-?1'
    """
    return name.encode(errors='replace').decode()


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return PyBIDS' pattern of each entity."""
    entities = Config.load('bids').entities.values()
    return tuple((entity.name, re.compile(entity.pattern)) for entity in entities)


def entities_in(path: Path, root: Path) -> dict[str, str]:
    """Return what PyBIDS' patterns find in a path.

    The datatype is that of the folder that the file lies in: PyBIDS 0.22 takes the first folder of
    the whole path that has a datatype's name, so that below /data/dwi/ all would be diffusion.

    Examples
    --------
    >>> found = entities_in(Path('/d/sub-01/mrs/sub-01_acq-press_run-02_svs.nii.gz'), Path('/d'))
    >>> found['acquisition'], found['run'], found['suffix'], found['extension'], found['datatype']
    ('press', '02', 'svs', '.nii.gz', 'mrs')
    """
    below = f'/{path.relative_to(root)}'
    matches = ((name, pattern.search(below)) for name, pattern in _patterns())
    found = {name: match.group(1) for name, match in matches if match}
    return {**found, 'datatype': path.parent.name}


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
