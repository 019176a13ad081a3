"""Folders as XCP-D leaves them, of several versions, with measures of known values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd
from nibabel.cifti2 import cifti2_axes as axes

from bids_acc.surfaces.gifti import map_image
from bids_acc.surfaces.template import HEMISPHERES, load_template
from tests.synthetic.fmriprep import band_noise, brain_mask, template_grid

TR = 2.0
NODES = tuple(
    f'{side}H_{network}_{number}'
    for side in 'LR' for network in ('Default', 'Cont', 'SalVentAttn', 'Vis')
    for number in (1, 2, 3)
)  # fmt: skip
"""Parcels named as Schaefer's are."""


@dataclass(frozen=True)
class Layout:
    """How a version names its files."""

    version: str
    series: str = 'atlas-{atlas}_stat-mean_timeseries.tsv'
    matrix: str = 'atlas-{atlas}_stat-pearsoncorrelation_relmat.tsv'
    coverage: str = 'atlas-{atlas}_stat-coverage_bold.tsv'
    parcel: str = 'atlas-{atlas}_stat-{name}_bold.tsv'
    map: str = 'stat-{name}_boldmap'
    qc: str = 'desc-linc_qc.tsv'
    motion: str = 'motion.tsv'
    labels: str = 'atlases/atlas-{atlas}/atlas-{atlas}_dseg.tsv'
    dlabel: str = 'atlases/atlas-{atlas}/atlas-{atlas}_space-fsLR_den-91k_dseg.dlabel.nii'
    name: str = 'XCP-D'
    sidecar: Mapping[str, Any] = field(default_factory=lambda: {
        'RepetitionTime': TR, 'NuisanceParameters': '36P',
        'SoftwareFilters': {'Bandpass filter': {
            'Low-pass cutoff (Hz)': 0.08, 'High-pass cutoff (Hz)': 0.01, 'Filter order': 2,
        }},
    })  # fmt: skip


LAYOUTS: Mapping[str, Layout] = {
    '0.4': Layout(
        '0.4.0', 'atlas-{atlas}_timeseries.tsv',
        'atlas-{atlas}_measure-pearsoncorrelation_conmat.tsv', 'atlas-{atlas}_coverage.tsv',
        'atlas-{atlas}_{name}.tsv', '{name}', 'desc-linc_qc.csv', 'desc-filtered_motion.tsv',
        labels='', dlabel='space-fsLR_atlas-{atlas}_den-91k_dseg.dlabel.nii', name='xcp_d',
        sidecar={'RepetitionTime': TR, 'Freq Band': [0.01, 0.08], 'nuisance parameters': '27P'},
    ),
    '0.7': Layout('0.7.3', qc='desc-linc_qc.csv', motion='desc-filtered_motion.tsv'),
    '0.10': Layout(
        '0.10.5', 'seg-{atlas}_stat-mean_timeseries.tsv',
        'seg-{atlas}_stat-pearsoncorrelation_relmat.tsv', 'seg-{atlas}_stat-coverage_bold.tsv',
        'seg-{atlas}_stat-{name}_bold.tsv',
    ),
    '26': Layout(
        '26.0.1', labels='sourcedata/atlases/tpl-fsLR/tpl-fsLR_atlas-{atlas}_den-32k_dseg.tsv',
        dlabel='sourcedata/atlases/tpl-fsLR/tpl-fsLR_atlas-{atlas}_den-32k_dseg.dlabel.nii',
    ),
}  # fmt: skip
"""By version: as lists of expected outputs in its own tests, and its documentation, name them."""


@dataclass
class Run:
    """A run to be written; a test spoils a part of it."""

    n_volumes: int = 220
    censored: Sequence[int] = (50, 51)
    atlas: str = '4S156Parcels'
    space: str = 'MNI152NLin2009cAsym'
    entities: str = 'task-rest'
    seed: int = 5

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.displacement = np.abs(0.1 + 0.03 * rng.standard_normal(self.n_volumes))
        self.outliers = np.zeros(self.n_volumes, dtype=int)
        self.outliers[list(self.censored)] = 1
        shared = dict(zip(('Default', 'Cont', 'SalVentAttn', 'Vis'),
                          band_noise(rng, self.n_volumes, 4).T, strict=True))  # fmt: skip
        own = band_noise(rng, self.n_volumes, len(NODES))
        networks = [name.split('_')[1] for name in NODES]
        series = np.column_stack([0.8 * shared[n] + 0.6 * own[:, k]
                                  for k, n in enumerate(networks)])  # fmt: skip
        kept = series[self.outliers == 0]
        self.series = pd.DataFrame(kept, columns=NODES)
        self.matrix = pd.DataFrame(np.corrcoef(kept.T), columns=NODES, index=NODES)
        self.coverage = pd.Series(np.ones(len(NODES)), index=NODES)
        self.parcels = {
            'reho': pd.DataFrame([np.linspace(0.2, 0.5, len(NODES))], columns=NODES),
            'alff': pd.DataFrame([np.linspace(10, 40, len(NODES))], columns=NODES),
        }
        self.qc: dict[str, Any] = {
            'sub': '01', 'task': 'rest', 'mean_fd': float(self.displacement.mean()),
            'num_dummy_volumes': 0, 'num_censored_volumes': int(self.outliers.sum()),
            'num_retained_volumes': int((self.outliers == 0).sum()), 'coreg_dice': 0.97,
        }  # fmt: skip
        design = {f'regressor{k}': rng.standard_normal(self.n_volumes) for k in range(36)}
        flags = {f'framewise_displacement_outlier{k:04d}': np.eye(self.n_volumes)[v]
                 for k, v in enumerate(self.censored)}  # fmt: skip
        self.design = pd.DataFrame({**design, 'intercept': 1.0, **flags})
        self.maps: dict[str, Any] = {}


def planted_maps(voxel_mm: float = 5.0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return ReHo that rises to the right and ALFF that rises upwards; zero outside the brain."""
    shape, affine = template_grid(voxel_mm)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    inside = brain_mask(shape, affine)
    reho = np.where(inside, 0.4 + places[..., 0] / 400, 0)
    alff = np.where(inside, 30 + places[..., 2] / 10, 0)
    return {'reho': reho.astype('f4'), 'alff': alff.astype('f4')}, affine


def write_xcpd(
    root: Path, run: Run, layout: Layout = LAYOUTS['0.10'], subject: str = '01',
    session: str | None = None,
) -> Path:  # fmt: skip
    """Write one run with tables and, unless it brings its own, volume maps; return its folder."""
    root.mkdir(parents=True, exist_ok=True)
    made = [{'Name': layout.name, 'Version': layout.version}]
    about = {'Name': 'XCP-D', 'BIDSVersion': '1.4.0', 'GeneratedBy': made}
    (root / 'dataset_description.json').write_text(json.dumps(about))
    folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'func'
    folder.mkdir(parents=True, exist_ok=True)
    own = '_'.join(filter(None, [f'sub-{subject}', session and f'ses-{session}', run.entities]))
    stem = f'{own}_space-{run.space}' + ('_den-91k' if run.space == 'fsLR' else '')
    _write(pd.DataFrame({'framewise_displacement': run.displacement}),
           folder / f'{own}_{layout.motion}')  # fmt: skip
    _write(pd.DataFrame({'framewise_displacement': run.outliers}), folder / f'{own}_outliers.tsv')
    _write(run.design, folder / f'{own}_design.tsv')
    qc = pd.DataFrame([run.qc])
    qc.to_csv(folder / f'{stem}_{layout.qc}', index=False,
              sep=',' if layout.qc.endswith('csv') else '\t')  # fmt: skip
    (folder / f'{stem}_desc-denoised_bold.json').write_text(json.dumps(layout.sidecar))
    _write(run.series, folder / f'{stem}_{layout.series.format(atlas=run.atlas)}')
    _write(run.matrix, folder / f'{stem}_{layout.matrix.format(atlas=run.atlas)}', 'Node')
    _write(run.coverage.to_frame('coverage'),
           folder / f'{stem}_{layout.coverage.format(atlas=run.atlas)}', 'Node')  # fmt: skip
    for name, table in run.parcels.items():
        _write(table, folder / f'{stem}_{layout.parcel.format(atlas=run.atlas, name=name)}')
    if layout.labels:
        path = root / layout.labels.format(atlas=run.atlas)
        path.parent.mkdir(parents=True, exist_ok=True)
        networks = [name.split('_')[1] for name in NODES]
        _write(pd.DataFrame({'index': range(1, len(NODES) + 1), 'label': NODES,
                             'network_label': networks}), path)  # fmt: skip
    if run.space == 'fsLR':
        _write_cifti(root, folder, stem, run, layout)
    elif run.space.startswith('MNI'):
        maps, affine = planted_maps()
        for name, values in {**maps, **run.maps}.items():
            image = nb.Nifti1Image(np.asarray(values), affine)
            image.to_filename(folder / f'{stem}_{layout.map.format(name=name)}.nii.gz')
    else:
        _write_surfaces(folder, stem, layout)
    return folder


def _write(table: pd.DataFrame, path: Path, label: str | None = None) -> None:
    """Write a table as XCP-D does."""
    table.to_csv(path, sep='\t', index=label is not None, index_label=label, na_rep='n/a')


def _write_surfaces(folder: Path, stem: str, layout: Layout) -> None:
    """Write maps on the template's mesh: ReHo is its height above the lowest vertex."""
    mesh = load_template('10k')
    for side in HEMISPHERES:
        height = np.asarray(mesh[side].white)[:, 2]
        values = {'reho': 0.3 + height / 1000, 'alff': 20 + height / 20}
        for name, each in values.items():
            name_of_map = f'{stem}_hemi-{side}_{layout.map.format(name=name)}.shape.gii'
            (folder / name_of_map).write_bytes(map_image(each[None], side, [name]).to_bytes())


def grayordinates(n: int = 120) -> axes.BrainModelAxis:
    """Return a small cortex of two sides and a nucleus."""
    left = axes.BrainModelAxis.from_surface(np.arange(n), n, 'CortexLeft')
    right = axes.BrainModelAxis.from_surface(np.arange(n), n, 'CortexRight')
    mask = np.zeros((6, 6, 6), dtype=bool)
    mask[1:4, 1:4, 1:4] = True
    deep = axes.BrainModelAxis.from_mask(mask, affine=np.eye(4), name='AccumbensLeft')
    return left + right + deep


def _write_cifti(root: Path, folder: Path, stem: str, run: Run, layout: Layout) -> None:
    """Write CIFTI maps and the labels of their atlas: ten vertices for each parcel."""
    axis = grayordinates()
    codes = np.zeros(len(axis))
    codes[:120] = np.repeat(np.arange(1, 13), 10)
    codes[120:240] = np.repeat(np.arange(13, 25), 10)
    names = {0: ('???', (0, 0, 0, 0))}
    names |= {k: (name, (1, 0, 0, 1)) for k, name in enumerate(NODES, start=1)}
    label = axes.LabelAxis(['parcels'], [names])
    path = root / layout.dlabel.format(atlas=run.atlas)
    path.parent.mkdir(parents=True, exist_ok=True)
    nb.Cifti2Image(codes[None], (label, axis)).to_filename(path)
    values = {'reho': 0.1 + codes / 100, 'alff': 10 + codes}
    values['reho'][:5] = 0  # half of the first parcel has no signal
    for name, each in {**values, **run.maps}.items():
        image = nb.Cifti2Image(np.asarray(each)[None], (axes.ScalarAxis([name]), axis))
        image.to_filename(folder / f'{stem}_{layout.map.format(name=name)}.dscalar.nii')
