"""Several output folders read as one, without copying or changing any of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bids_acc.derivatives.outputs import read_sidecar
from bids_acc.derivatives.sources import Source, merged_tables, names_of
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.files.writing import write_bytes


@contextlib.contextmanager
def read_as_one(folders: Sequence[Path]) -> Iterator[Path]:
    """Give a folder that holds the participants of several output folders.

    Parameters
    ----------
    folders : sequence of Path
        Output folders of the participant level; one alone is given back as it is.

    Yields
    ------
    Path
        A temporary folder of links, with the tables of people merged; ``dataset`` tells where each
        person is from.

    Raises
    ------
    MissingInputError
        If there is no such folder.
    InputDataError
        If one person has results in two folders, or tables contradict each other.
    """
    for folder in folders:
        if not folder.is_dir():
            raise MissingInputError(
                f'{folder}: there is no such output folder; run the participant level first.'
            )
    if len(folders) == 1:
        yield folders[0]
        return
    with tempfile.TemporaryDirectory(prefix='bids_acc-several-') as name:
        view = Path(name)
        _link_people(folders, view)
        for path, content in merged_tables(_sources(folders)).items():
            write_bytes(view / path, content)
        yield view


def _link_people(folders: Sequence[Path], view: Path) -> None:
    """Link each participant's folder."""
    owner: dict[str, Path] = {}
    for folder in folders:
        for subject in sorted(p for p in folder.glob('sub-*') if p.is_dir()):
            # not merged: sub-01 of two studies are two people, and nothing in the files says so
            if subject.name in owner:
                raise InputDataError(
                    f'{subject.name} has results in {owner[subject.name]} and in {folder}; give '
                    'different people different labels, or leave one folder out.'
                )
            owner[subject.name] = folder
            # links, because results are large, and copies would grow old
            (view / subject.name).symlink_to(subject.resolve(), target_is_directory=True)


def _sources(folders: Sequence[Path]) -> list[Source]:
    """Name each folder by the data set that it was made from."""
    records = []
    for folder in folders:
        listed = read_sidecar(folder / 'dataset_description.json').get('SourceDatasets') or [{}]
        url = str(listed[0].get('URL', '')).rstrip('/')
        records.append({'Name': url.rpartition('/')[2] or folder.name, 'Folder': folder.name,
                        'URL': url})  # fmt: skip
    names = names_of(records)
    return [Source(n, f, r) for n, f, r in zip(names, folders, records, strict=True)]
