"""Where the files of the group level come from: ``Sources`` in their sidecars, as BIDS URIs.

The table of measures and the list of what was factorized name the files of all people; what is
made from them names them, so that the long list stands once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bids_acc.derivatives.links import location
from bids_acc.derivatives.outputs import sidecar_path
from bids_acc.derivatives.sources import tables_of
from bids_acc.files.writing import write_json
from bids_acc.group.cohort.reading import GroupPlanRow
from bids_acc.group.measures.files import TABLE
from bids_acc.tables.people import read_sidecar

DESCRIPTION = 'dataset_description.json'
MADE_OF_MAPS = ('opnmf/observations.tsv', 'opnmf/parcels.tsv')
"""Tables of a folder of parcels that name the maps; the first that is there."""
MODEL = 'model_smdl.json'
LINK = 'outputs'
"""Name in URIs of a further output folder, with a number from 2."""


def inputs_of(
    plan: Sequence[GroupPlanRow], data_dir: Path, output_dir: Path
) -> dict[str, list[str]]:
    """Return the URIs of the participant level's files that a plan names, by modality.

    Parameters
    ----------
    plan : sequence of mapping
        From `bids_acc.group.cohort.reading.plan_group`.
    data_dir : Path
        Where results are read: the output folder, or several as one.
    output_dir : Path
        Root of the derivative data set. Its description gets a link for each further folder.
    """
    roots = {
        who: (data_dir / who).resolve().parent for who in {row['participant_id'] for row in plan}
        if (data_dir / who).is_dir()
    }  # fmt: skip
    others = sorted({root for root in roots.values() if root != output_dir.resolve()})
    names = {root: f'{LINK}{number}' for number, root in enumerate(others, start=2)}
    _add_links(output_dir, names)
    found: dict[str, list[str]] = {}
    for row in plan:
        for path in row['inputs']:
            name = names.get(roots[row['participant_id']], '')
            place = Path(path).relative_to(data_dir).as_posix()
            found.setdefault(row['modality'], []).append(f'bids:{name}:{place}')
    return found


def _add_links(output_dir: Path, names: Mapping[Path, str]) -> None:
    """Tell in the data set's description where further output folders lie."""
    path = output_dir / DESCRIPTION
    if not names or not path.is_file():
        return
    description = read_sidecar(path)
    links = {name: location(root, output_dir.resolve()) for root, name in names.items()}
    description['DatasetLinks'] = {**(description.get('DatasetLinks') or {}), **links}
    write_json(path, description)


def tell_parcels(folder: Path, place: Path, output_dir: Path, maps: Iterable[str]) -> None:
    """Write ``Sources`` into the sidecars of a folder of parcels.

    Parameters
    ----------
    folder : Path
        Where it is written.
    place : Path
        Where it will lie.
    output_dir : Path
        Root of the derivative data set.
    maps : iterable of str
        URIs of what was read.
    """
    head = next((name for name in MADE_OF_MAPS if (folder / name).is_file()), None)
    if head is None:
        return
    made = [_uri(place / head, output_dir)]
    for path in _sidecars(folder):
        _tell(path, list(maps) if path == sidecar_path(folder / head) else made)


def tell_model(
    folder: Path, place: Path, output_dir: Path, inputs: Iterable[str], parcels: str | None,
    given: Path | None,
) -> None:  # fmt: skip
    """Write ``Sources`` into the sidecars of a model's folder.

    Parameters
    ----------
    folder, place, output_dir
        As in `tell_parcels`.
    inputs : iterable of str
        URIs of the participant level's files.
    parcels : str or None
        Name of the folder of parcels.
    given : Path or None
        Table of measures that was analysed in their place.
    """
    made = [_uri(place / name, output_dir) for name in (TABLE, MODEL) if (folder / name).is_file()]
    for path in _sidecars(folder):
        if path.name != Path(TABLE).with_suffix('.json').name:
            _tell(path, made)
        elif given is None:
            people = [_uri(output_dir / name, output_dir) for name in tables_of(output_dir)
                      if name.suffix == '.tsv']  # fmt: skip
            values = place.parent / (parcels or '') / MADE_OF_MAPS[-1]
            measured = [_uri(values, output_dir)] if parcels and values.is_file() else []
            _tell(path, [*people, *measured, *inputs])
        elif given.resolve().is_relative_to(output_dir.resolve()):
            _tell(path, [_uri(given.resolve(), output_dir.resolve())])


def _sidecars(folder: Path) -> list[Path]:
    """List the JSON files that describe another file beside them."""
    return [
        path for path in sorted(folder.rglob('*.json'))
        if any(other != path for other in path.parent.glob(f'{path.stem}.*'))
    ]  # fmt: skip


def _uri(path: Path, output_dir: Path) -> str:
    """Return the URI of a file of the derivative data set itself."""
    return f'bids::{path.relative_to(output_dir).as_posix()}'


def _tell(path: Path, sources: Sequence[str]) -> None:
    """Write sources into a sidecar, in front."""
    if sources:
        write_json(path, {'Sources': list(dict.fromkeys(sources)), **read_sidecar(path)})
