"""Measures of BOLD runs that XCP-D has made, as ``--derivatives`` offers them.

Names are those of XCP-D 0.2 to 26; other tools that write the same names are welcome. What cannot
be used is refused here, by names, headers and tables, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_acc.bids.bold import (
    NAMES,
    SPACES,
    chosen_by,
    filtered_words,
    raw_metadata_of,
    source_of,
)
from bids_acc.bids.inputs import FuncInputs, check_image, check_readable
from bids_acc.bids.sidecars import entities_of, long_names, read_json, suffix_of
from bids_acc.exceptions import BidsAccError, MissingInputError
from bids_acc.files.meshes import TEMPLATE_MESH, mesh_of
from bids_acc.func.finished import CIFTI, MAPS, FinishedRun, read_tables
from bids_acc.func.finished_maps import check_map

WELCOME = (*(space for space in SPACES if space != 'T1w'), CIFTI)
"""Spaces that can be used, the best first."""
ATLASES = ('4S156Parcels', '4S256Parcels', '4S356Parcels', '4S456Parcels', 'Gordon')
"""Atlases of connectivity, the first that is there: large parcels are less noisy, and those whose
networks are told come first (own convention)."""
STEADY = frozenset({'sub', 'ses', *NAMES})
"""Entities that name a run."""
Key = tuple[tuple[str, str], ...]


def find_finished(
    derivatives: Mapping[str, Path],
    subject: str,
    session: str | None,
    *,
    raw_root: Path,
    space: str = 'auto',
    atlas: str = '',
    wanted: Mapping[str, object] = MappingProxyType({}),
) -> tuple[FuncInputs | None, list[str]]:
    """Find what another tool has made of the BOLD runs of a session.

    Parameters
    ----------
    derivatives : mapping
        Name to folder.
    subject, session : str
        Labels without prefix.
    raw_root : Path
        Root of the raw data set, where repetition times may stand.
    space : str
        ``auto`` takes the best that is there.
    atlas : str
        Of connectivity; nothing takes the first of `ATLASES` that is there.
    wanted : mapping
        ``bold`` of the filter file; what it says of a run, such as its task, chooses.

    Returns
    -------
    inputs : FuncInputs or None
        None where no derivative holds any.
    notes : list of str
        For the plan.

    Raises
    ------
    MissingInputError, InputDataError
        If there are some, but none can be used; with the reason for each.
    """
    unread: list[str] = []
    for name, root in derivatives.items():
        folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'func'
        found = [(path, what) for path in sorted(folder.glob('*')) if (what := kind_of(path))]
        source = source_of(folder, name)
        if source.startswith('bids_acc') or not any(what in _RESULTS for _, what in found):
            continue
        kept = [(path, what) for path, what in found if chosen_by(path, wanted)]
        if not any(what in _RESULTS for _, what in kept):
            unread.append(filtered_words([path for path, _ in found], folder))
            continue
        return _judged(kept, root, source, raw_root, space, atlas)
    return None, unread


_RESULTS = frozenset({*(f'map-{name}' for name in MAPS), 'matrix', 'timeseries'})
"""What makes a folder one of finished measures."""


def kind_of(path: Path) -> str:
    """Tell what a file holds, by XCP-D's names of all versions; empty for anything else.

    Parameters
    ----------
    path : Path
        Only its name is read; entities of XCP-D 0.2 (``measure-``) and of 0.7 and later
        (``stat-``) are both known.

    Returns
    -------
    str
        ``map-reho``, ``map-alff``, a table of `FinishedRun`, or nothing.

    Examples
    --------
    >>> kind_of(Path('sub-1_task-rest_space-fsLR_den-91k_stat-reho_boldmap.dscalar.nii'))
    'map-reho'
    >>> kind_of(Path('sub-1_task-rest_space-fsLR_atlas-Gordon_den-91k_timeseries.tsv'))
    'timeseries'
    >>> kind_of(Path('sub-1_task-rest_space-fsLR_stat-alff_desc-smooth_boldmap.nii.gz'))
    ''
    """
    own, suffix = entities_of(path), suffix_of(path)
    stat, desc = own.get('stat', own.get('measure', '')), own.get('desc', '')
    ending = path.name.partition('.')[2]
    if ending in ('nii', 'nii.gz', 'dscalar.nii', 'shape.gii', 'func.gii'):
        name = stat if suffix == 'boldmap' else suffix
        return f'map-{name}' if name in MAPS and not desc else ''
    if ending not in ('tsv', 'csv'):
        return ''
    if suffix == 'qc' and desc == 'linc':
        return 'qc'
    if ending == 'csv' or desc not in ('', 'filtered', 'preproc'):
        return ''
    if suffix in ('motion', 'outliers', 'design'):
        return suffix
    if 'atlas' not in own and 'seg' not in own:
        return ''
    if suffix in ('relmat', 'conmat') and stat == 'pearsoncorrelation':
        return 'matrix'
    if suffix == 'timeseries' and stat in ('', 'mean'):
        return 'timeseries'
    name = stat if suffix == 'bold' else suffix
    return name if name in ('coverage', *MAPS) else ''


def _judged(
    found: Sequence[tuple[Path, str]], root: Path, source: str, raw_root: Path, space: str,
    atlas: str,
) -> tuple[FuncInputs, list[str]]:  # fmt: skip
    """Make runs of the files, and keep those that can be used."""
    chosen = _best_space(found, space)
    own_atlas, said = _best_atlas([p for p, what in found if what in ('matrix', 'timeseries')
                                   and _space_of(p) == chosen], atlas)  # fmt: skip
    runs, refused = [], []
    groups = _by_run(found, chosen, own_atlas)
    combined = _combined(groups)
    for key, files in groups.items():
        if key in combined:
            continue
        try:
            runs.append(_run(key, files, root, source, raw_root, chosen, own_atlas))
        except BidsAccError as error:
            refused.append((key, error))
    if not runs:
        worst = refused[0][1]
        raise type(worst)('; '.join(str(error).removesuffix('.') for _, error in refused) + '.')
    left_out = tuple(f'{_named(key)}: {error}' for key, error in refused)
    left_out += tuple(f'{_named(key)}: combined from runs, which are taken' for key in combined)
    what = [f'atlas {own_atlas}'] if own_atlas else []
    measures = ', '.join([*sorted({name for run in runs for name in run.maps}), *what])
    smoothed = [name for name in MAPS if not any(name in run.maps for run in runs)
                and list(found[0][0].parent.glob(f'*{name}*desc-smooth*boldmap*'))]  # fmt: skip
    said += [f'{name} is there smoothed only, and not taken' for name in smoothed]
    notes = [f'measures of {source} taken as they are, in {chosen}: {measures or "tables"}',
             *said, *(f'not used: {text}' for text in left_out)]  # fmt: skip
    return FuncInputs(source=source, left_out=left_out, finished=tuple(runs)), notes


def _space_of(path: Path) -> str:
    """Return the space of a file; those of the run itself have none."""
    own = entities_of(path)
    return mesh_of(own.get('space', ''), own.get('den', ''))


def _best_space(found: Iterable[tuple[Path, str]], space: str) -> str:
    """Take the best space in which there are maps; without maps, in which there are tables."""
    wanted = WELCOME if space == 'auto' else (space,)
    files = list(found)
    for kinds in (frozenset(f'map-{name}' for name in MAPS), _RESULTS):
        there = {_space_of(path) for path, what in files if what in kinds}
        for one in wanted:
            if one in there:
                return one
    there = {_space_of(path) or 'none that is named' for path, what in files if what in _RESULTS}
    asked = '' if space == 'auto' else f'--func-space {space}: '
    raise MissingInputError(
        f'{asked}{files[0][0].parent} holds finished measures in {", ".join(sorted(there))} only; '
        f'{", ".join(WELCOME)} can be used.'
    )


def _atlas_of(path: Path) -> str:
    """Return the atlas of a table."""
    own = entities_of(path)
    return own.get('atlas', own.get('seg', ''))


def _best_atlas(tables: Sequence[Path], atlas: str) -> tuple[str, list[str]]:
    """Choose the atlas of connectivity."""
    there = sorted({_atlas_of(path) for path in tables})
    if atlas and atlas not in there:
        raise MissingInputError(
            f'--func-finished-atlas {atlas}: there are tables of {", ".join(there) or "no atlas"}.'
        )
    if atlas or not there:
        return atlas, []
    chosen = next((name for name in ATLASES if name in there), there[0])
    others = [name for name in there if name != chosen]
    more = f'further atlases are there (--func-finished-atlas): {", ".join(others[:4])}'
    return chosen, [more + (' ...' if len(others) > 4 else '')] if others else []


def _by_run(
    found: Iterable[tuple[Path, str]], space: str, atlas: str
) -> dict[Key, dict[str, list[Path]]]:
    """Sort files by run and kind; those of other spaces and atlases are left out."""
    groups: dict[Key, dict[str, list[Path]]] = {}
    for path, what in found:
        own = entities_of(path)
        if what not in ('motion', 'outliers', 'design') and _space_of(path) != space:
            continue
        if _atlas_of(path) not in ('', atlas):
            continue
        key = tuple(sorted((k, v) for k, v in own.items() if k in STEADY))
        groups.setdefault(key, {}).setdefault(what, []).append(path)
    return {k: v for k, v in sorted(groups.items()) if _RESULTS & v.keys()}


def _combined(groups: Mapping[Key, Mapping[str, Sequence[Path]]]) -> list[Key]:
    """Name the entries that are made of runs that are there as well, with the same measures."""
    found = []
    for key in groups:
        parts = [other for other in groups if other != key and 'run' in dict(other)
                 and {k: v for k, v in other if k not in ('run', 'dir')} == dict(key)]  # fmt: skip
        if parts and all(_RESULTS & set(groups[key]) <= set(groups[part]) for part in parts):
            found.append(key)
    return found


def _run(
    key: Key, files: Mapping[str, Sequence[Path]], root: Path, source: str, raw_root: Path,
    space: str, atlas: str,
) -> FinishedRun:  # fmt: skip
    """Check the files of one run.

    Raises
    ------
    BidsAccError
        With the reason.
    """
    short = dict(key)
    maps = {name: _map_files(files[f'map-{name}'], name)
            for name in MAPS if f'map-{name}' in files}  # fmt: skip
    tables = {what: min(paths, key=lambda p: (len(p.name), p.name))
              for what, paths in files.items() if not what.startswith('map-')}  # fmt: skip
    for path in tables.values():
        check_readable(path)
    tables |= _atlas_files(root, atlas, space) if atlas else {}
    seen = [*(p for paths in maps.values() for p in paths), *tables.values()]
    run = FinishedRun(
        entities=long_names(short, ('sub', 'ses', *NAMES)),
        metadata=_metadata(seen, short, space, raw_root), space=space, source=source, maps=maps,
        tables=tables, atlas=atlas, notes=_notes(tables),
    )  # fmt: skip
    read_tables(run)
    return run


def _map_files(paths: Sequence[Path], name: str) -> tuple[Path, ...]:
    """Choose the files of one map, and look at their values."""
    halves = [p for p in paths if p.name.endswith('.gii')]
    if halves:
        left = next((p for p in halves if entities_of(p).get('hemi') == 'L'), halves[0])
        pair = (left, left.with_name(left.name.replace('hemi-L', 'hemi-R')))
        for path in pair:
            check_readable(path)
        check_map(pair, name)
        return pair
    finest = min(paths, key=lambda p: (len(p.name), p.name))
    check_readable(finest)
    if not finest.name.endswith('.dscalar.nii'):
        check_image(finest, (3,), minimum_size=2)
    check_map((finest,), name)
    return (finest,)


def _atlas_files(root: Path, atlas: str, space: str) -> dict[str, Path]:
    """Find the table and, for CIFTI, the labels of an atlas beside the subjects."""
    places = [root, root / 'atlases', root / 'sourcedata' / 'atlases']
    found = [p for place in places if place.is_dir() for depth in ('', '*/')
             for p in sorted(place.glob(f'{depth}*atlas-{atlas}*dseg.*'))
             if _atlas_of(p) == atlas]  # fmt: skip
    labels = [p for p in found if p.name.endswith('.tsv')]
    parcels = [p for p in found if p.name.endswith('.dlabel.nii')] if space == CIFTI else []
    chosen = {'labels': labels[:1], 'parcels': parcels[:1]}
    return {name: paths[0] for name, paths in chosen.items() if paths}


def _metadata(
    seen: Sequence[Path], short: Mapping[str, str], space: str, raw_root: Path
) -> dict[str, Any]:
    """Gather repetition time, band and set of confounds from the sidecars of a run."""
    folder = seen[0].parent
    told: dict[str, Any] = dict(raw_metadata_of(short, raw_root))
    nearest = {k: v for k, v in short.items() if k in STEADY}
    for path in sorted(folder.glob('[!.]*.json')):
        own = entities_of(path)
        if {k: v for k, v in own.items() if k in STEADY} == nearest and own.get('space', '') in (
            '', space, TEMPLATE_MESH
        ):  # fmt: skip
            content = read_json(path)
            told |= {k: v for k, v in content.items() if k in _TOLD}
    nuisance = told.get('NuisanceParameters', told.get('nuisance parameters', ''))
    kept = {k: v for k, v in told.items() if k not in _TOLD or k == 'RepetitionTime'}
    return {**kept, 'nuisance': nuisance if isinstance(nuisance, str) else '',
            'band': _band(told)}  # fmt: skip


_TOLD = ('RepetitionTime', 'SoftwareFilters', 'Freq Band', 'NuisanceParameters',
         'nuisance parameters')  # fmt: skip


def _band(told: Mapping[str, object]) -> list[float] | None:
    """Read the band of the temporal filter; empty without one, None where nothing is told."""
    older = told.get('Freq Band')
    if isinstance(older, list) and len(older) == 2 and all(map(_is_number, older)):
        return [float(v) for v in older]
    if 'SoftwareFilters' not in told:
        return None
    filters = told['SoftwareFilters']
    if not isinstance(filters, dict) or not filters:
        return []
    one = {name: value if isinstance(value, dict) else {} for name, value in filters.items()}
    both = one.get('Bandpass filter', {})
    low = both.get('High-pass cutoff (Hz)', one.get('High-pass filter', {}).get('cutoff (Hz)'))
    high = both.get('Low-pass cutoff (Hz)', one.get('Low-pass filter', {}).get('cutoff (Hz)'))
    return [float(v) if isinstance(v, int | float) else 0.0 for v in (low, high)]


def _is_number(value: object) -> bool:
    """Tell a number from anything else that a sidecar may hold."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _notes(tables: Mapping[str, Path]) -> tuple[str, ...]:
    """Say what a reader must know of the files of a run."""
    filtered = 'motion' in tables and entities_of(tables['motion']).get('desc') == 'filtered'
    note = (
        'the table of motion holds filtered parameters, so that displacements are smaller than '
        'those of other runs.'
    )
    return (note,) if filtered else ()


def _named(key: Key) -> str:
    """Write a run's entities as its files do."""
    own = dict(key)
    return '_'.join(f'{k}-{own[k]}' for k in ('sub', 'ses', *NAMES) if k in own)
