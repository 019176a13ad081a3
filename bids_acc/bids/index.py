"""The images of a data set, found by PyBIDS and asked once for all people.

Each query of PyBIDS looks at all that is indexed: one for each person makes the cost grow with the
square of their number (PyBIDS issue 285). So the index is asked once, and what it finds is sorted
by person.
"""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from bids import BIDSLayout
from bids.layout.models import Tag
from bids.utils import bids_sort

from bids_acc.bids.indexing import DATATYPES, is_folder, open_layout

IMAGE_EXTENSIONS = ('.nii', '.nii.gz')

LISTED = 16
"""Folders whose files are known at a time: that of all people, and those of the last few."""

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
        self._images = _by_subject(open_layout(root, wanted, database_dir))
        self._listed = lru_cache(maxsize=LISTED)(_files_in)

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
            if fits(file.entities, {**wanted, 'regex_search': regex_search})
        ]

    def upper_files(self, folder: Path) -> list[Path]:
        """List the files of a folder above the images, from which sidecars are inherited.

        Parameters
        ----------
        folder : Path
            Of the data set, a session or a subject; the last `LISTED` folders are remembered.
        """
        return self._listed(folder)


def _files_in(folder: Path) -> list[Path]:
    """List the files of a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path) for entry in entries
            if not entry.name.startswith('.') and not is_folder(entry)
        )  # fmt: skip


def _by_subject(layout: BIDSLayout) -> dict[str, list[ImageFile]]:
    """Return all images by the label of their subject, sorted by path.

    The table of entities is read in one query; asking each file for its own costs ten times that.
    """
    entities: dict[str, dict[str, str]] = defaultdict(dict)
    for path, name, value in layout.session.query(Tag.file_path, Tag.entity_name, Tag._value):
        entities[path][sys.intern(name)] = sys.intern(value)  # most are the same for everybody
    found: dict[str, list[ImageFile]] = defaultdict(list)
    for path, named in sorted(entities.items()):
        folder = os.path.basename(os.path.dirname(path))  # noqa: PTH119, PTH120 - one of many
        welcome = folder in DATATYPES and 'subject' in named
        if welcome and named.get('extension') in IMAGE_EXTENSIONS:
            found[named['subject']].append(ImageFile(path, bids_sort(named)))
    return found


def fits(entities: Mapping[str, str], wanted: Mapping[str, object]) -> bool:
    """Tell whether a file's entities have the values that are wanted.

    Parameters
    ----------
    entities : mapping
        By PyBIDS' names.
    wanted : mapping
        Entity to value, to a list of welcome values, or to None where it must be absent; with
        ``regex_search`` text values are regular expressions.

    Examples
    --------
    >>> fits({'task': 'rest', 'run': '01'}, {'task': ['rest', 'film'], 'run': 1})
    True
    >>> fits({'task': 'rest'}, {'task': 'e.t', 'regex_search': True}), fits({}, {'task': 'rest'})
    (True, False)
    """
    regex = bool(wanted.get('regex_search', False))
    return all(
        _fits(entities.get(name), name, value, regex)
        for name, value in wanted.items() if name != 'regex_search'
    )  # fmt: skip


def _fits(value: str | None, name: str, wanted: object, regex_search: bool) -> bool:
    """Tell whether an entity has one of the wanted values."""
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_fits(value, name, one, regex_search) for one in wanted)
    if wanted is None or value is None:
        return wanted is None and value is None
    if regex_search and isinstance(wanted, str) and name not in ('suffix', 'extension'):
        return re.search(wanted, value) is not None
    if name in _NUMBERS and str(wanted).isdigit() and value.isdigit():
        return int(value) == int(str(wanted))
    return value == str(wanted)
