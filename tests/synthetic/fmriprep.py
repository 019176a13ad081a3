"""Folders as fMRIPrep leaves them, with series of known networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd

from bids_acc.func.regions import seed_regions, seitzman_regions
from bids_acc.surfaces.gifti import STRUCTURES, map_image
from bids_acc.surfaces.template import HEMISPHERES, load_template

TR = 2.0


def template_grid(voxel_mm: float) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape and affine of a grid around the brain in MNI152."""
    low, high = np.array([-78.0, -112.0, -72.0]), np.array([78.0, 80.0, 88.0])
    shape = np.ceil((high - low) / voxel_mm).astype(int) + 1
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = low
    return tuple(int(n) for n in shape), affine  # type: ignore[return-value]


def brain_mask(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Return an ellipsoid of the size of the brain of MNI152."""
    index = np.indices(shape).reshape(3, -1)
    points = (affine[:3, :3] @ index + affine[:3, 3:]).T
    centred = (points - [0, -17, 5]) / [72, 90, 72]
    return ((centred**2).sum(axis=1) <= 1).reshape(shape)


def band_noise(rng: np.random.Generator, n_volumes: int, n_series: int) -> np.ndarray:
    """Return standardised noise of .01 to .1 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal((n_volumes, n_series)), axis=0)
    frequency = np.fft.rfftfreq(n_volumes, TR)
    spectrum[(frequency < 0.012) | (frequency > 0.098)] = 0
    series = np.fft.irfft(spectrum, n_volumes, axis=0)
    return series / series.std(axis=0)


def planted_series(
    rng: np.random.Generator,
    n_volumes: int,
    *,
    voxel_mm: float = 6.0,
    noise: float = 1.0,
    coupling: float = 0.8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a 4D series in MNI152, its mask and affine.

    Regions of one network share a series; the sgACC follows the default mode's with ``coupling``.
    """
    shape, affine = template_grid(voxel_mm)
    mask = brain_mask(shape, affine)
    index = np.argwhere(mask)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    values = noise * rng.standard_normal((n_volumes, len(places)))
    regions = [*seitzman_regions(), *(s for s in seed_regions() if s.name == 'sgACC')]
    networks = sorted({r.network for r in regions if r.network})
    shared = dict(zip(networks, band_noise(rng, n_volumes, len(networks)).T, strict=True))
    own = band_noise(rng, n_volumes, 1)[:, 0]
    sgacc = coupling * shared['DefaultMode'] + np.sqrt(1 - coupling**2) * own
    for region in regions:
        signal = shared.get(region.network, sgacc)
        for *centre, radius in region.spheres:
            near = np.linalg.norm(places - centre, axis=1) <= radius + voxel_mm / 2
            values[:, near] += 2 * signal[:, None]
    series = np.zeros((*shape, n_volumes), dtype=np.float32)
    series[mask] = (1000 * (1 + 0.01 * values)).T
    return series, mask, affine


def confound_table(rng: np.random.Generator, n_volumes: int, n_dummy: int = 0) -> pd.DataFrame:
    """Return a table in fMRIPrep's names."""
    motion = rng.standard_normal((n_volumes, 6)).cumsum(axis=0) * [0.02] * 1
    motion[:, 3:] /= 50
    names = ['trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z']
    table = pd.DataFrame(motion, columns=names)
    moved = np.abs(np.diff(motion * [1, 1, 1, 50, 50, 50], axis=0)).sum(axis=1)
    table['framewise_displacement'] = np.concatenate([[np.nan], moved])
    table['std_dvars'] = np.concatenate([[np.nan], 1 + 0.1 * rng.standard_normal(n_volumes - 1)])
    for name in ('white_matter', 'csf', 'global_signal'):
        table[name] = rng.standard_normal(n_volumes)
        names.append(name)
    for name in names:
        derivative = np.concatenate([[np.nan], np.diff(table[name])])
        table[f'{name}_derivative1'] = derivative
        table[f'{name}_power2'] = table[name] ** 2
        table[f'{name}_derivative1_power2'] = derivative**2
    for number in range(20):
        table[f'a_comp_cor_{number:02d}'] = rng.standard_normal(n_volumes)
    times = np.arange(n_volumes) + 0.5
    for number in range(max(1, int(2 * n_volumes * TR / 128))):
        table[f'cosine{number:02d}'] = np.cos(np.pi * (number + 1) * times / n_volumes)
    for number in range(n_dummy):
        table[f'non_steady_state_outlier{number:02d}'] = np.eye(n_volumes)[number]
    return table


def components(n: int = 10) -> dict[str, Any]:
    """Return what fMRIPrep's JSON says of as many components of CSF and of white matter."""
    masks = ['CSF'] * n + ['WM'] * n
    return {
        f'a_comp_cor_{number:02d}': {
            'Method': 'aCompCor', 'Mask': mask, 'Retained': True, 'SingularValue': 1.0,
            'VarianceExplained': 0.01, 'CumulativeVarianceExplained': 0.1,
        }
        for number, mask in enumerate(masks)
    }  # fmt: skip


def write_fmriprep(
    root: Path,
    subject: str,
    series: np.ndarray,
    mask: np.ndarray,
    affine: np.ndarray,
    confounds: pd.DataFrame,
    *,
    session: str | None = None,
    name: str = 'task-rest',
    space: str = 'MNI152NLin2009cAsym',
    repetition_time: float | None = TR,
    sidecar: dict[str, Any] | None = None,
) -> Path:
    """Write one run as fMRIPrep does, and return its image."""
    root.mkdir(parents=True, exist_ok=True)
    made_by = [{'Name': 'fMRIPrep', 'Version': '23.2.1'}]
    about = {'Name': 'fMRIPrep', 'BIDSVersion': '1.4.0', 'GeneratedBy': made_by}
    (root / 'dataset_description.json').write_text(json.dumps(about))
    folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'func'
    folder.mkdir(parents=True, exist_ok=True)
    start = '_'.join(filter(None, [f'sub-{subject}', session and f'ses-{session}', name]))
    stem = folder / f'{start}_space-{space}'
    image = Path(f'{stem}_desc-preproc_bold.nii.gz')
    written = nb.Nifti1Image(np.round(series).astype(np.int16), affine)
    written.header.set_zooms((*written.header.get_zooms()[:3], 1.0))  # the header's TR is wrong
    written.to_filename(image)
    nb.Nifti1Image(mask.astype(np.uint8), affine).to_filename(f'{stem}_desc-brain_mask.nii.gz')
    own = {} if repetition_time is None else {'RepetitionTime': repetition_time}
    Path(f'{stem}_desc-preproc_bold.json').write_text(json.dumps({**own, **(sidecar or {})}))
    table = folder / f'{start}_desc-confounds_timeseries.tsv'
    confounds.to_csv(table, sep='\t', index=False, na_rep='n/a')
    table.with_suffix('.json').write_text(json.dumps(components()))
    return image


def write_surfaces(
    root: Path, subject: str, series: Sequence[np.ndarray], confounds: pd.DataFrame
) -> list[Path]:
    """Write a run on fsaverage5, (n_volumes, n_vertices) for each side."""
    folder = root / f'sub-{subject}' / 'func'
    folder.mkdir(parents=True, exist_ok=True)
    start = f'sub-{subject}_task-rest'
    paths = []
    for side, values in zip(HEMISPHERES, series, strict=True):
        path = folder / f'{start}_hemi-{side}_space-fsaverage5_bold.func.gii'
        image = map_image(values, side, [f'volume {n}' for n in range(len(values))])
        path.write_bytes(image.to_bytes())
        path.with_name(path.name.partition('.')[0] + '.json').write_text(
            json.dumps({'RepetitionTime': TR, 'CortexPart': STRUCTURES[side]})
        )
        paths.append(path)
    table = folder / f'{start}_desc-confounds_timeseries.tsv'
    confounds.to_csv(table, sep='\t', index=False, na_rep='n/a')
    table.with_suffix('.json').write_text(json.dumps(components()))
    return paths


def template_vertices(density: str = '10k') -> np.ndarray:
    """Return how many vertices both halves of the template have, as (left, right)."""
    mesh = load_template(density)
    return np.array([len(mesh[h].labels) for h in HEMISPHERES])
