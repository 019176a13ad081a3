"""Parcels, weights and tables of the parcellation as files, and an existing atlas as parcels."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_acc.derivatives.dataset import BIDS_VERSION
from bids_acc.derivatives.outputs import output_path, parse_entities, write_sidecar
from bids_acc.exceptions import GridMismatchError, InputDataError, MissingInputError
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.opnmf import labels_of
from bids_acc.group.opnmf.features import FeatureMatrix, VertexMetrics
from bids_acc.group.parcels.figures import COLOURS
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationOptions, ParcellationResult
from bids_acc.surfaces.gifti import STRUCTURES, label_image, map_image, read_labels
from bids_acc.tables.writing import write_tsv
from bids_acc.typing import FloatArray, IntArray


def write_parcellation(
    result: ParcellationResult,
    options: ParcellationOptions,
    output_dir: Path,
    about: Mapping[str, object] | None = None,
) -> dict[str, Path]:
    """Write everything that a parcellation gives, under the names of the output table.

    Parameters
    ----------
    result : ParcellationResult
        What was found.
    options : ParcellationOptions
        How it was asked for; written beside the choice of k.
    output_dir : Path
        Folder of these parcels.
    about : mapping, optional
        Description of the data set, whose authors made the atlas.

    Returns
    -------
    dict of str to Path
        Main files by output key; with several cohorts or hemispheres the last.
    """
    paths: dict[str, Path] = {}
    for cohort, one in result.parcellations.items():
        paths |= _write_cohort(one, cohort, result, output_dir)
    paths['group_rankchoice'] = _write_choice(result, options, output_dir)
    paths['group_parcelvalues'] = write_table('group_parcelvalues', result.table, output_dir)
    paths['group_excludedmaps'] = write_table('group_excludedmaps', result.excluded, output_dir)
    if len(result.agreement):
        paths['group_crosscohort'] = write_table('group_crosscohort', result.agreement, output_dir)
    paths['group_atlas_description'] = _write_description(result, output_dir, about or {})
    return paths


def write_table(
    key: str, table: pd.DataFrame, output_dir: Path, entities: Mapping[str, object] | None = None
) -> Path:
    """Write a table with its sidecar; ``n/a`` for missing, truth values in small letters.

    Parameters
    ----------
    key : str
        Output key in ``data/outputs``; gives name, columns and metadata.
    table : DataFrame
        Written with 8 significant digits.
    output_dir : Path
        Folder that the name of the output starts from.
    entities : mapping, optional
        BIDS entities of this file.

    Returns
    -------
    Path
        The table that was written.
    """
    path = output_path(key, output_dir, entities)
    write_tsv(path, table, digits=8)
    write_sidecar(key, path)
    return path


def _write_cohort(
    one: Parcellation, cohort: str, result: ParcellationResult, output_dir: Path
) -> dict[str, Path]:
    """Write one cohort's maps and tables."""
    entities = {'cohort': cohort} if cohort else {}
    units = [u for u in result.matrices if u in (cohort, f'{cohort} L'.strip(),
                                                 f'{cohort} R'.strip())]  # fmt: skip
    paths = write_maps(one, result.data, output_dir, entities)
    for key, frames in (
        ('group_rank', {u: result.curves[u].table for u in units}),
        ('group_rankcurves', {u: result.curves[u].curves for u in units}),
        ('group_observations', {u: _observations(result, u) for u in units}),
    ):
        tables = [
            table.assign(hemisphere=_sides(result, unit)) for unit, table in frames.items()
            if len(table)
        ]  # fmt: skip
        if tables:
            joined = pd.concat(tables, ignore_index=True)
            paths[key] = write_table(key, joined, output_dir, entities)
    index = one.columns.assign(
        row=np.arange(len(one.columns)),
        component=pd.array(np.where(one.labels >= 0, one.labels + 1, -1), dtype='Int64'),
        confidence=np.nan if one.confidence is None else one.confidence,
    )
    index['component'] = index['component'].mask(one.labels < 0)
    # the label of the other rule stands beside it, so that a reader can ask what hangs on the rule
    by_weight = pd.Series(labels_of(one.W) + 1, dtype='Int64')
    index['component_by_weight'] = by_weight.mask(by_weight == 0)
    columns = ['row', 'hemisphere', 'vertex', 'component', 'component_by_weight', 'confidence']
    paths['group_vertexindex'] = write_table(
        'group_vertexindex', index[columns], output_dir, entities
    )
    model = output_path('group_model', output_dir, entities)
    write_bytes(model, npz_bytes({'W': one.W, 'labels': one.labels}))
    write_sidecar('group_model', model, {'Facts': one.facts})
    return paths | {'group_model': model}


def _sides(result: ParcellationResult, unit: str) -> str:
    """Return the hemispheres of a unit, e.g. ``LR``."""
    return ''.join(sorted(result.matrices[unit].columns['hemisphere'].unique()))


def _observations(result: ParcellationResult, unit: str) -> pd.DataFrame:
    """Return the row legend with the constants of each metric."""
    matrix = result.matrices[unit]
    rows = matrix.rows.assign(row=np.arange(len(matrix.rows)))
    return rows.merge(matrix.constants, on='metric', how='left')


def write_maps(
    one: Parcellation,
    data: VertexMetrics,
    output_dir: Path,
    entities: Mapping[str, object] | None = None,
) -> dict[str, Path]:
    """Write labels, weights and confidence of both hemispheres as GIFTI.

    Parameters
    ----------
    one : Parcellation
        Parcels.
    data : VertexMetrics
        Tells template, density and size of the meshes.
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping, optional
        ``cohort``, when there are several.

    Returns
    -------
    dict of str to Path
        Files of the last hemisphere by output key.
    """
    paths = {}
    for side, size in zip(('L', 'R'), data.mesh_sizes, strict=True):
        rows = (one.columns['hemisphere'] == side).to_numpy()
        if not rows.any():
            continue
        vertices = one.columns['vertex'].to_numpy()[rows]
        fields = {'template': data.template, 'hemisphere': side, 'scale': one.n_components,
                  'density': data.density}  # fmt: skip
        # on the whole mesh, as any viewer of GIFTI wants it: 0 is no parcel
        keys = np.zeros(size, dtype=np.int32)
        keys[vertices] = one.labels[rows] + 1
        maps = {'group_parcels': _parcel_image(keys, one.n_components, side)}
        weights = np.zeros((one.n_components, size), dtype=np.float32)
        weights[:, vertices] = one.W[rows].T
        names = _component_names(one.n_components) if len(weights) > 1 else ['map']
        maps['group_weights'] = map_image(weights, side, names)
        if one.confidence is not None:
            confidence = np.full((1, size), np.nan, dtype=np.float32)
            confidence[0, vertices] = one.confidence[rows]
            maps['group_confidence'] = map_image(confidence, side, ['map'])
        for key, image in maps.items():
            paths[key] = output_path(key, output_dir, entities, **fields)
            write_bytes(paths[key], image.to_bytes())
            write_sidecar(key, paths[key], {'Density': _density(data, side)})
        table = _label_table(keys, one.n_components)
        write_tsv(output_path('group_parcels_table', output_dir, entities, **fields), table)
    return paths


def _density(data: VertexMetrics, side: str) -> str:
    """Say how many vertices the mesh has."""
    return f'{data.mesh_sizes[0 if side == "L" else 1]} vertices per hemisphere'


def _component_names(k: int) -> list[str]:
    """Return the names of the components."""
    return [f'component{i}' for i in range(1, k + 1)]


def _parcel_image(keys: npt.NDArray[np.int32], k: int, side: str) -> nb.GiftiImage:
    """Return the parcels as GIFTI, in the colours of the figures."""
    names = dict(enumerate(['???', *_component_names(k)]))
    colours = {key: COLOURS[(key - 1) % len(COLOURS)] if key else (0.0,) * 3 for key in names}
    meta = {'Name': 'parcels', 'AnatomicalStructurePrimary': STRUCTURES[side]}
    return label_image(keys, names, side, meta, colours)


def _label_table(keys: npt.NDArray[np.int32], k: int) -> pd.DataFrame:
    """Return index, name and size of each parcel, as BIDS asks for."""
    index = np.arange(1, k + 1)
    return pd.DataFrame(
        {
            'index': index,
            'name': _component_names(k),
            'n_vertices': np.bincount(keys, minlength=k + 1)[1:],
        }
    )


def npz_bytes(arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Return arrays as an ``.npz`` archive whose bytes depend on the arrays alone.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Arrays without Python objects.

    Returns
    -------
    bytes
        Uncompressed; members have the first date that ZIP knows.

    Examples
    --------
    >>> import io
    >>> archive = npz_bytes({'W': np.eye(2)})
    >>> archive == npz_bytes({'W': np.eye(2)}), np.load(io.BytesIO(archive))['W'].shape
    (True, (2, 2))
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            # the archive's default time stamp would be that of the clock
            member = zipfile.ZipInfo(f'{name}.npy', date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(member, content.getvalue())
    return stream.getvalue()


def _write_choice(
    result: ParcellationResult, options: ParcellationOptions, output_dir: Path
) -> Path:
    """Write the number of components, the rule's trace and the options."""
    path = output_path('group_rankchoice', output_dir)
    choice = result.choice
    write_json(
        path,
        {
            'NumberOfComponents': choice.k, 'Source': choice.source, 'ByRule': choice.by_rule,
            'Stable': choice.stable, 'DropAndElbowAgree': choice.agrees,
            'Trace': choice.trace, 'Notes': result.notes, 'Threshold': options.threshold,
            'Options': {**vars(options), 'selection': vars(options.selection)},
            'Cohorts': {name or 'all': one.facts for name, one in result.parcellations.items()},
            'BootstrapARI': {
                name or 'all': np.quantile(one.bootstrap_ari, [0.025, 0.5, 0.975])
                for name, one in result.parcellations.items() if one.bootstrap_ari is not None
            },
        },
    )  # fmt: skip
    return path


ATLAS_REFERENCES = (
    'https://doi.org/10.1109/TNN.2010.2041361', 'https://doi.org/10.1016/j.neuroimage.2014.11.045',
)  # fmt: skip
"""Of the factorization: Yang and Oja (2010), Sotiras et al. (2015)."""


def _write_description(
    result: ParcellationResult, output_dir: Path, about: Mapping[str, object]
) -> Path:
    """Write the description that BIDS asks of an atlas, as it can be published."""
    path = output_path('group_atlas_description', output_dir)
    write_json(
        path,
        {
            'Name': 'ACCOPNMF',
            'BIDSVersion': BIDS_VERSION,
            'Authors': about.get('Authors') or ['The authors of this dataset'],
            'Species': 'Homo sapiens',
            'License': str(about.get('License') or 'As the source data'),
            'ReferencesAndLinks': list(ATLAS_REFERENCES),
            'LevelType': 'group',
            'DerivedFrom': ', '.join(result.data.metrics),
            'SampleSize': int(
                sum(m.rows['participant_id'].nunique() for m in one_matrix_per_cohort(result))
            ),
            'Description': (
                'Parcels that vary together in '
                f'{", ".join(result.data.metrics)}, by orthonormal projective non-negative '
                f'matrix factorization with {result.choice.k} components.'
            ),
        },
    )
    return path


def one_matrix_per_cohort(result: ParcellationResult) -> list[FeatureMatrix]:
    """Return one matrix for each cohort; hemispheres apart share their participants.

    Parameters
    ----------
    result : ParcellationResult
        What was found; empty of matrices where an atlas was applied.

    Returns
    -------
    list of FeatureMatrix
        That of the left hemisphere where hemispheres are apart.
    """
    return [matrix for unit, matrix in result.matrices.items() if not unit.endswith(' R')
            and unit != 'R']  # fmt: skip


def read_atlas(path: Path, data: VertexMetrics) -> Parcellation:
    """Read an existing parcellation for the vertices of a region.

    Parameters
    ----------
    path : Path
        Folder with one ``*hemi-L*.label.gii`` and one ``*hemi-R*.label.gii``, or one of the two
        files; 0 means no parcel, labels are counted from 1.
    data : VertexMetrics
        Maps on the same mesh.

    Returns
    -------
    Parcellation
        With weights of 1 and 0.

    Raises
    ------
    MissingInputError
        If the files are not there.
    GridMismatchError
        If the mesh is another one.
    InputDataError
        If there is no label inside the region, or several files fit.
    """
    labels = np.full(len(data.columns), -1, dtype=np.int64)
    for side, size in zip(('L', 'R'), data.mesh_sizes, strict=True):
        rows = (data.columns['hemisphere'] == side).to_numpy()
        if not rows.any():
            continue
        file = _atlas_file(path, side)
        # meshes of different templates can have as many vertices: the count alone would let a
        # wrong one pass
        said = parse_entities(file.name)
        space = said.get('template', said.get('space', data.template))
        if space != data.template:
            raise GridMismatchError(
                f'{file} lies on the mesh of {space}, the maps on that of {data.template}: choose '
                'the mesh with --mesh, or another atlas.'
            )
        keys, _ = read_labels(file)
        if len(keys) != size:
            raise GridMismatchError(
                f'{file}: {len(keys)} vertices, but the maps lie on a mesh of {size}.'
            )
        labels[rows] = keys[data.columns['vertex'].to_numpy()[rows]] - 1
    if not (labels >= 0).any():
        raise InputDataError(f'{path}: no label above 0 inside the region.')
    return Parcellation('', _indicator(labels), labels, data.columns, {'atlas': path.name})


def _indicator(labels: IntArray) -> FloatArray:
    """Return a column of ones and zeros for each label."""
    return np.asarray(labels[:, None] == np.arange(labels.max() + 1), dtype=np.float64)


def _atlas_file(path: Path, side: str) -> Path:
    """Find the label file of one hemisphere."""
    if path.is_dir():
        found = sorted(path.rglob(f'*hemi-{side}*.label.gii'))
        if len(found) > 1:
            raise InputDataError(
                f'{path}: several label files of hemisphere {side}; name one of them.'
            )
        if found:
            return found[0]
    else:
        other = 'R' if side == 'L' else 'L'
        file = path.with_name(path.name.replace(f'hemi-{other}', f'hemi-{side}'))
        if file.is_file() and f'hemi-{side}' in file.name:
            return file
    raise MissingInputError(f'{path}: no file *hemi-{side}*.label.gii.')
