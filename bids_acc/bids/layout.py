"""The index of a data set, and what is asked of it.

PyBIDS finds files and inherited metadata. Only ``anat``, ``dwi`` and ``mrs`` of the wanted
subjects are indexed, because indexing a large data set whole takes hours (PyBIDS issue 285).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bids import BIDSLayout, BIDSLayoutIndexer

from bids_acc.bids.selection import FILTER_QUERIES, subject_labels
from bids_acc.bids.sidecars import inherited_metadata, is_plain_json, read_json
from bids_acc.exceptions import BidsAccError, InputDataError

_OTHER_DATATYPES = re.compile(r'/(func|fmap|perf|meg|eeg|ieeg|beh|pet|micr|nirs|motion)(/|$)')

_NOT_DATA = re.compile(r'^/(derivatives|sourcedata|code|stimuli|phenotype|logs|\.[^/]*)(/|$)')

IMAGE_EXTENSIONS = ['.nii', '.nii.gz']


class NothingThereError(Exception):
    """The session has no file of this modality."""


def open_layout(
    bids_dir: Path, subjects: Sequence[str] | None = None, database_dir: Path | None = None
) -> BIDSLayout:
    """Index the anatomical, diffusion and spectroscopy files of some subjects.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw data set.
    subjects : sequence of str, optional
        Only these are indexed; ignored with a database, which must serve every run.
    database_dir : Path, optional
        Index made by an earlier run, or the place for a new one.

    Returns
    -------
    BIDSLayout
        Without the sidecars that are no JSON in UTF-8, which stop PyBIDS; `metadata_of` reads
        them, or refuses the files that they belong to, so that one stops its own modality only.
    """
    ignore = [_OTHER_DATATYPES, _NOT_DATA, *_foreign_sidecars(bids_dir, subjects)]
    if subjects is not None and database_dir is None:
        wanted = '|'.join(re.escape(label) for label in subjects)
        ignore.append(re.compile(rf'^/sub-(?!(?:{wanted})(?:/|$))'))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=True, ignore=ignore)
    reset = database_dir is not None and not (database_dir / 'layout_index.sqlite').exists()
    try:
        return BIDSLayout(
            bids_dir,
            validate=False,
            indexer=indexer,
            database_path=database_dir,
            reset_database=reset,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise _name_broken_sidecar(bids_dir, error) from error


def _foreign_sidecars(bids_dir: Path, subjects: Sequence[str] | None) -> list[re.Pattern[str]]:
    """Find sidecars that PyBIDS cannot read, as patterns below the root."""
    labels = subject_labels(bids_dir) if subjects is None else subjects
    places = ['*.json']
    for label in labels:
        places += [f'sub-{label}/{folder}*.json' for folder in ('', '*/', 'ses-*/*/')]
    found = [path for place in places for path in bids_dir.glob(place) if not is_plain_json(path)]
    return [re.compile(f'^/{re.escape(str(p.relative_to(bids_dir)))}$') for p in sorted(found)]


def _name_broken_sidecar(bids_dir: Path, error: Exception) -> BidsAccError:
    """Find the sidecar that stopped PyBIDS, which does not always name it."""
    for path in sorted(bids_dir.glob('*.json')) + sorted(bids_dir.glob('sub-*/**/*.json')):
        try:
            read_json(path)
        except BidsAccError as found:
            return found
    return InputDataError(f'{bids_dir} cannot be indexed: {error}')


def query_images(
    layout: BIDSLayout,
    subject: str,
    session: str | None,
    filters: Mapping[str, Mapping[str, Any]],
    name: str,
) -> list[Any]:
    """Ask PyBIDS for the images of one query, refined by the filter file."""
    query = {**FILTER_QUERIES[name], 'extension': IMAGE_EXTENSIONS, 'subject': subject}
    if session is not None:
        query['session'] = session
    query.update(filters.get(name, {}))
    return _images(layout, query)


def _images(layout: BIDSLayout, query: dict[str, Any]) -> list[Any]:
    """Ask PyBIDS, and judge the datatype by the folder that a file lies in.

    PyBIDS 0.22 takes it from the first folder of the whole path that has a datatype's name, so
    that below /data/dwi/ everything would be diffusion.
    """
    wanted = query.pop('datatype', None)
    found = sorted(layout.get(**query), key=lambda f: f.path)
    if wanted is None:
        return found
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return [f for f in found if Path(f.path).parent.name in names]


def without_twins(files: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Keep one of each image that lies there compressed and plain.

    Parameters
    ----------
    files : sequence of BIDSFile

    Returns
    -------
    list of BIDSFile
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
    """Say which pattern was looked for."""
    folder = f'sub-{subject}/' + (f'ses-{session}/' if session else '')
    return NothingThereError(f'no file matches {folder}{datatype}/*_{suffix}.nii[.gz]')


def indexed_entities(bids_file: Any) -> dict[str, str]:
    """Return the entities of a file as text, with BIDS' own names."""
    entities = {name: str(value) for name, value in bids_file.get_entities().items()}
    return {**entities, 'datatype': Path(bids_file.path).parent.name}


def metadata_of(layout: BIDSLayout, path: str | Path) -> dict[str, Any]:
    """Return the metadata of a file, with what it inherits.

    Raises
    ------
    MissingInputError, InputDataError
        If one of its sidecars cannot be read.
    """
    return inherited_metadata(Path(path), Path(layout.root))
