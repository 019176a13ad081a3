"""Proofs of the diffusion line: ``python tests/benchmarks/dwi.py [--quick] [--only NAME ...]``.

Prints, as they are: agreement of the tensor with MRtrix3 and DIPY on real data; identities;
bias and spread of FA and MD against SNR; recovery of simulated motion and eddy currents, with
the error of FA and MD; slices whose signal is lost; what is left of a planted susceptibility
distortion; runs of reversed phase encoding in one tensor; time and memory of each step on a
96 x 96 x 60 x 33 series; FA and MD at the vertices of a demo, and the rise of MD that was planted.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'):
    os.environ.setdefault(_name, '1')

import nibabel as nb
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bids_acc.dwi.anchor import anchor_contrast
from bids_acc.dwi.interfaces.distortion import MIN_GAIN
from bids_acc.dwi.motion import estimate_motion, matrix_from_parameters, rotate_directions
from bids_acc.dwi.outliers import find_outliers, usable_weights
from bids_acc.dwi.series import join_runs
from bids_acc.dwi.shells import bvecs_from_scanner, find_shells
from bids_acc.dwi.tensor import fit_tensor, fractional_anisotropy, mode, scalar_maps
from bids_acc.exceptions import BidsAccError
from bids_acc.images import registration
from bids_acc.images.affines import apply_matrix, voxel_centres
from bids_acc.images.distortion import apply_warp, field_from_anatomy, field_from_pair
from bids_acc.images.files import write_image
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import rotation_part
from bids_acc.images.resampling import sample, sample_series
from bids_acc.surfaces.gifti import read_map, write_surface
from bids_acc.surfaces.ribbon import blur_to_resolution

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get('BIDS_ACC_SHARED', ROOT.parent / 'shared')) / 'data'
SEED = 20261121


def report(label: str, value: object) -> None:
    """Print one line."""
    print(f'  {label:<62} {value}', flush=True)


def cpu() -> float:
    """CPU seconds of this process and its finished children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def directions(count: int) -> np.ndarray:
    """Spread directions over the half sphere along a spiral, then turn every other round."""
    index = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - index / count), np.pi * (1 + 5**0.5) * index
    vectors = np.stack(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], axis=1
    )
    return vectors * np.where(np.arange(count) % 2, -1, 1)[:, None]


class Phantom:
    """Tissues of the MNI152 template with smoothly varying fibres, defined everywhere."""

    def __init__(self, shape: tuple[int, int, int], voxel_mm: float) -> None:
        from nilearn import datasets

        grey, white, brain = (
            load(resolution=2)
            for load in (
                datasets.load_mni152_gm_template,
                datasets.load_mni152_wm_template,
                datasets.load_mni152_brain_mask,
            )
        )
        g, w = (np.clip(i.get_fdata(), 0, None) / np.max(i.get_fdata()) for i in (grey, white))
        total = np.maximum(g + w, 1)
        self.tissues = [g / total, w / total, np.clip(brain.get_fdata() - (g + w) / total, 0, 1)]
        self.template_affine = grey.affine
        self.shape = shape
        self.affine = np.diag([-voxel_mm, voxel_mm, voxel_mm, 1.0])
        centre = np.array([0, -18, 5])
        self.affine[:3, 3] = centre - self.affine[:3, :3] @ ((np.array(shape) - 1) / 2)

    def fibres(self, x: np.ndarray) -> np.ndarray:
        """Direction of white matter, any point in mm."""
        v = np.stack(
            [
                np.sin(x[:, 1] / 25) + 0.3,
                0.8 * np.cos(x[:, 0] / 30),
                np.sin(x[:, 2] / 20 + x[:, 0] / 40),
            ],
            axis=1,
        )
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def signal(self, points: np.ndarray, pull: np.ndarray, b: float, g: np.ndarray) -> np.ndarray:
        """Signal at points of the scanner, of a head that moved by ``pull``."""
        x = apply_matrix(np.linalg.inv(pull), points)
        cosine = (self.fibres(x) @ (rotation_part(pull).T @ g)) ** 2
        grey, white, csf = (
            np.nan_to_num(sample(t, self.template_affine, x)) for t in self.tissues
        )
        signal = (
            1000 * grey * np.exp(-b * (0.75e-3 + 0.15e-3 * cosine))
            + 800 * white * np.exp(-b * (0.45e-3 + 1.05e-3 * cosine))
            + 1600 * csf * np.exp(-b * 3e-3)
        )
        return signal / np.linalg.det(pull[:3, :3])  # stretched tissue is dimmer

    def series(
        self,
        bvals: np.ndarray,
        vectors: np.ndarray,
        pulls: np.ndarray | None,
        sigma: float,
        rng: np.random.Generator,
        oversampling: int = 1,
    ) -> np.ndarray:
        """Simulate magnitude images of a head that moves by ``pulls``.

        With an oversampling of 1 the phantom is sampled at the voxels' centres, which no scanner
        does: its borders are sharper than a voxel, so that the image is aliased and cannot be
        interpolated. With 2 it is acquired as a scanner does, see `acquire`.
        """
        shape = tuple(n * oversampling for n in self.shape)
        fine = self.affine.copy()
        fine[:3, :3] /= oversampling
        corner = np.full(3, (oversampling - 1) / (2 * oversampling))
        fine[:3, 3] -= self.affine[:3, :3] @ corner
        points = voxel_centres(np.ones(shape, dtype=bool), fine)
        margin = np.nan_to_num(sample(self.surroundings(), self.template_affine, points)) > 0.01
        out = np.empty((*self.shape, len(bvals)), dtype=np.float32)
        for n, (b, g) in enumerate(zip(bvals, vectors, strict=True)):
            pull = np.eye(4) if pulls is None else pulls[n]
            clean = np.zeros(len(points))
            clean[margin] = self.signal(points[margin], pull, b, g)
            volume = acquire(clean.reshape(shape), oversampling)
            noise = rng.normal(0, sigma, (2, *volume.shape))
            out[..., n] = np.hypot(volume + noise[0], noise[1])
        return out

    def surroundings(self) -> np.ndarray:
        """Positive wherever the brain may come to lie during a run."""
        return ndimage.gaussian_filter(np.sum(self.tissues, axis=0), 4.0)


def acquire(fine: np.ndarray, factor: int) -> np.ndarray:
    """Acquire a finely sampled image as a 2D multi-slice scanner does.

    Within the slice, k-space is cut off at the voxel's Nyquist frequency behind a raised-cosine
    edge over the outer 30 %, as scanners filter; across slices the profile is a Gaussian whose
    full width at half maximum is the slice's thickness.
    """
    if factor == 1:
        return fine
    volume = fine
    for axis in (0, 1):
        count = volume.shape[axis]
        cycles = np.fft.fftfreq(count, 1 / factor)  # per acquired voxel
        edge = np.clip((0.5 - np.abs(cycles)) / 0.15, 0, 1)
        window = 0.5 - 0.5 * np.cos(np.pi * edge)
        # an acquired voxel lies in the middle of its fine ones
        middle = np.exp(2j * np.pi * np.fft.fftfreq(count) * (factor - 1) / 2)
        along = [1, 1, 1]
        along[axis] = count
        spectrum = np.fft.fft(volume, axis=axis) * (window * middle).reshape(along)
        volume = np.fft.ifft(spectrum, axis=axis).real.take(range(0, count, factor), axis=axis)
    volume = ndimage.gaussian_filter1d(volume, factor / 2.3548, axis=2, mode='nearest')
    starts = np.arange(0, volume.shape[2], factor)
    inner = [(factor - 1) // 2, factor // 2]
    return 0.5 * sum(volume[:, :, starts + k] for k in inner)


def tensor_agreement() -> None:
    """Compare with MRtrix3 and DIPY on real data."""
    print('Tensor on real data (ds000114, 64 x 64 x 36 x 20): median relative difference')
    stem = SHARED / 'dwi-ds000114/sub-01/ses-test/dwi/sub-01_ses-test_dwi'
    files = [stem.with_name(stem.name + s) for s in ('.nii.gz', '.bval', '.bvec')]
    if not files[0].exists():
        report('skipped: no data at', files[0])
        return
    series = join_runs(*[[f] for f in files], [{}])
    mask = brain_mask(series.data[..., 0], np.linalg.norm(series.affine[:3, :3], axis=0))
    signal, table = series.data[mask], series.gradients
    for method in ('ols', 'wls', 'iwls'):
        ours = scalar_maps(fit_tensor(signal, table.bvals, table.directions, method=method))
        if method != 'wls' and shutil.which('dwi2tensor'):
            _compare('MRtrix3', method, ours, _mrtrix(files[0], table, mask, method))
        if method == 'ols':
            _compare('DIPY', method, ours, _dipy(signal, table, 'OLS', None))
        if method == 'wls':
            weights = np.maximum(signal, 1e-3) ** 2
            _compare('DIPY', method, ours, _dipy(signal, table, 'WLS', weights))


def real_series() -> None:
    """Run the line as it is by default on a real series, and print medians in the brain."""
    from nipype import logging

    from bids_acc.derivatives.outputs import find_outputs
    from bids_acc.dwi.workflow import init_dwi_wf
    from bids_acc.settings import DwiSettings

    logging.getLogger('nipype.workflow').setLevel('ERROR')
    print('Real series (ds000114, 4 mm, 13 directions), default settings')
    stem = SHARED / 'dwi-ds000114/sub-01/ses-test/dwi/sub-01_ses-test_dwi'
    files = [stem.with_name(stem.name + s) for s in ('.nii.gz', '.bval', '.bvec')]
    if not files[0].exists():
        report('skipped: no data at', files[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        workflow = init_dwi_wf(
            output_dir=here / 'out', entities={'subject': '01'}, has_anat=False,
            settings=DwiSettings(), name='real_wf',
        )  # fmt: skip
        workflow.base_dir = str(here)
        inputs = workflow.get_node('inputnode').inputs
        inputs.dwi_files, inputs.bval_files, inputs.bvec_files = ([str(f)] for f in files)
        inputs.sidecars = [{}]
        workflow.run()
        fa, md = (
            nb.load(find_outputs('dwi_map', here / 'out', param=n)[0].path).get_fdata()
            for n in ('fa', 'md')
        )
        masks = {'own mask': np.isfinite(fa)}
        if shutil.which('dwi2mask'):
            command = ['dwi2mask', '-quiet', '-fslgrad', files[2], files[1], files[0], 'm.nii']
            subprocess.run(command, check=True, cwd=here)
            masks['mask of MRtrix3'] = nb.load(here / 'm.nii').get_fdata() > 0
        masks['own mask, MD below 1.5e-3 (no CSF)'] = np.isfinite(fa) & (md < 1.5e-3)
        for label, mask in masks.items():
            known = mask & np.isfinite(fa)
            report(f'{label}: {mask.sum() * 0.064:.0f} mL, median FA (asked .15 to .35)',
                   f'{np.median(fa[known]):.3f}')  # fmt: skip
            report('    median MD (asked 0.7 to 1.1e-3 mm2/s)',
                   f'{1e3 * np.median(md[known]):.3f}e-3')  # fmt: skip


def _compare(who: str, method: str, ours: dict, theirs: dict) -> None:
    """Print the medians."""
    for name in theirs:
        known = theirs[name] != 0
        gap = np.abs(ours[name] - theirs[name])[known] / np.abs(theirs[name][known])
        report(f'{who} {method} {name}', f'{np.nanmedian(gap):.2e}')


def _mrtrix(image: Path, table: object, mask: np.ndarray, method: str) -> dict:
    """Run dwi2tensor and tensor2metric.

    With unit vectors: MRtrix3 multiplies a b-value by the squared length of its direction, even
    where that differs from one only because the file holds three decimals.
    """
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        np.savetxt(here / 'grad', np.c_[table.directions, table.bvals], fmt='%.12g')
        flags = ['-ols', '-iter', '0'] if method == 'ols' else ['-iter', '2']
        subprocess.run(
            ['dwi2tensor', '-quiet', *flags, '-grad', 'grad', image, 'dt.nii'],
            check=True,
            cwd=here,
        )
        subprocess.run(
            ['tensor2metric', '-quiet', 'dt.nii', '-fa', 'fa.nii', '-adc', 'md.nii'],
            check=True,
            cwd=here,
        )
        return {n: nb.load(here / f'{n}.nii').get_fdata()[mask] for n in ('fa', 'md')}


def _dipy(signal: np.ndarray, table: object, method: str, weights: object) -> dict:
    """Run DIPY's fitter."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    gradients = gradient_table(table.bvals, bvecs=table.directions, b0_threshold=50)
    extra = {} if weights is None else {'weights': weights}
    model = TensorModel(gradients, fit_method=method, **extra)
    fit = model.fit(signal.astype(float))
    return {'fa': fit.fa, 'md': fit.md}


def identities_and_noise(quick: bool) -> None:
    """Print identities, and bias and spread against SNR."""
    print('Identities')
    report('FA of an isotropic tensor', fractional_anisotropy([1, 1, 1]))
    report('FA of a stick', round(float(fractional_anisotropy([1, 0, 0])), 12))
    report('mode of a stick', round(float(mode([1, 0, 0])), 9))
    report('mode of a disc', round(float(mode([1, 1, 0])), 9))
    rng = np.random.default_rng(SEED)
    bvals = np.r_[np.zeros(6), np.full(30, 1000.0)]
    vectors = np.vstack([np.zeros((6, 3)), directions(30)])
    turns = Rotation.random(200, random_state=1).as_matrix()
    tensors = turns @ np.diag([1.6e-3, 0.5e-3, 0.3e-3]) @ turns.transpose(0, 2, 1)
    signal = np.exp(-bvals * np.einsum('ni,vij,nj->vn', vectors, tensors, vectors))
    maps = scalar_maps(fit_tensor(signal, bvals, vectors))
    report('spread of FA, MD, MO over 200 rotations',
           [f'{np.ptp(maps[n]):.1e}' for n in ('fa', 'md', 'mo')])  # fmt: skip
    print('Bias and SD of FA and MD (30 directions b 1000, 6 b 0, Rician noise, random turns)')
    count = 2000 if quick else 20000
    print(f'  {"tensor":<14}{"fit":<6}{"SNR":>5}{"FA true":>9}{"bias":>9}{"SD":>8}'
          f'{"MD e-3":>9}{"bias %":>9}{"SD %":>7}')  # fmt: skip
    for name, evals in (('white matter', (1.6e-3, 0.5e-3, 0.3e-3)), ('grey', (0.9e-3,) * 3)):
        turns = Rotation.random(count, random_state=2).as_matrix()
        tensors = turns @ np.diag(evals) @ turns.transpose(0, 2, 1)
        clean = np.exp(-bvals * np.einsum('ni,vij,nj->vn', vectors, tensors, vectors))
        fa_true, md_true = float(fractional_anisotropy(evals)), float(np.mean(evals))
        for snr in (10, 20, 30, 50):
            noise = rng.normal(0, 1 / snr, (2, *clean.shape))
            noisy = np.hypot(clean + noise[0], noise[1])
            for method in ('ols', 'wls', 'iwls'):
                found = scalar_maps(fit_tensor(noisy, bvals, vectors, method=method))
                fa, md = found['fa'], found['md']
                bias = np.mean(fa) - fa_true
                print(f'  {name:<14}{method:<6}{snr:>5}{fa_true:>9.3f}{bias:>9.4f}'
                      f'{np.std(fa):>8.4f}{md_true * 1e3:>9.3f}'
                      f'{100 * (np.mean(md) / md_true - 1):>9.2f}'
                      f'{100 * np.std(md) / md_true:>7.2f}')  # fmt: skip


def planted_motion(
    count: int, n_b0: int, vectors: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Walk up to 3 mm and 3 degrees, with eddy terms proportional to the gradient."""
    walk = np.cumsum(rng.normal(size=(count, 6)), axis=0)
    walk -= walk[0]
    walk /= np.abs(walk).max(axis=0)
    parameters = np.zeros((count, 9))
    parameters[:, :3], parameters[:, 3:6] = 3 * walk[:, :3], np.deg2rad(3) * walk[:, 3:]
    coupling = np.array([[0.01, 0.008, 0], [0.0, 0.015, 0.005], [0.01, 0, 0.01]])
    parameters[n_b0:, 6:] = vectors[n_b0:] @ coupling
    return np.array([matrix_from_parameters(p, [0, -18, 10], [0, 1, 0]) for p in parameters])


def motion_recovery(quick: bool) -> None:
    """Plant motion, estimate it, and compare maps with those of a head that kept still.

    The proof is the phantom as a scanner acquires it. The one sampled at the voxels' centres is
    printed too: there an error remains that no interpolation can take away.
    """
    shape, voxel = ((64, 78, 56), 3.0) if quick else ((80, 96, 64), 2.5)
    n_b0, n_dwi = (4, 20) if quick else (6, 30)
    print(f'Motion up to 3 mm and 3 degrees with eddy shears ({shape}, {n_b0} + {n_dwi} volumes)')
    for label, factor in (('as acquired by a scanner', 2), ('sampled at points (aliased)', 1)):
        print(f' {label}')
        _recover_motion(Phantom(shape, voxel), n_b0, n_dwi, factor)


def _recover_motion(phantom: Phantom, n_b0: int, n_dwi: int, factor: int) -> None:
    """Do it on one phantom."""
    rng = np.random.default_rng(SEED)
    voxel = float(np.abs(phantom.affine[0, 0]))
    bvals = np.r_[np.zeros(n_b0), np.full(n_dwi, 1000.0)]
    vectors = np.vstack([np.zeros((n_b0, 3)), directions(n_dwi)])
    pulls = planted_motion(n_b0 + n_dwi, n_b0, vectors, rng)
    moved = phantom.series(bvals, vectors, pulls, 25.0, rng, factor)
    clean = phantom.series(bvals, vectors, None, 0.0, rng, factor)
    still = np.hypot(clean + rng.normal(0, 25, clean.shape), rng.normal(0, 25, clean.shape))
    mask = brain_mask(still[..., 0], [voxel] * 3)
    start = cpu()
    motion = estimate_motion(
        moved, phantom.affine, find_shells(bvals), vectors, mask, [0, 1, 0],
        anchor=lambda f, m, a: anchor_contrast(f, m, a, mask),
    )  # fmt: skip
    report('CPU seconds', f'{cpu() - start:.1f}')
    centres = voxel_centres(mask, phantom.affine)
    identity = np.tile(np.eye(4), (len(pulls), 1, 1))
    for label, found in (('uncorrected', identity), ('corrected', motion.matrices)):
        gaps = [
            np.linalg.norm(apply_matrix(a, centres[::9]) - apply_matrix(b, centres[::9]), axis=1)
            for a, b in zip(found, pulls, strict=True)
        ]
        turn = rotation_part(found).transpose(0, 2, 1) @ rotation_part(pulls)
        angles = np.rad2deg(Rotation.from_matrix(turn).magnitude())
        report(f'{label}: residual mm, mean / max over volumes',
               f'{np.mean(gaps):.3f} / {np.max(np.mean(gaps, axis=1)):.3f}')  # fmt: skip
        report(f'{label}: residual degrees, mean / max',
               f'{angles.mean():.3f} / {angles.max():.3f}')  # fmt: skip
    truth = fit_tensor(np.maximum(clean[mask], 1), bvals, vectors)
    errors = {}
    for label, series, found, turned in (
        ('without motion', still, identity, vectors),
        ('moved, uncorrected', moved, identity, vectors),
        ('corrected, estimated', moved, motion.matrices,
         rotate_directions(vectors, motion.matrices)),
        ('corrected, gradients not rotated', moved, motion.matrices, vectors),
        ('corrected, true transforms', moved, pulls, rotate_directions(vectors, pulls)),
    ):  # fmt: skip
        values = series[mask] if found is identity else sample_series(
            series, phantom.affine, centres, found, order=3,
            modulation=np.linalg.det(found[:, :3, :3]))  # fmt: skip
        fit = fit_tensor(values, bvals, turned)
        errors[label] = _map_errors(fit, truth)
        fa, md, angle = errors[label]
        report(label, f'FA MAE {fa:.4f}  MD MAE {md * 1e3:.4f}e-3  direction {angle:.2f} deg')
    for k, name in enumerate(('FA', 'MD')):
        ratio = errors['corrected, estimated'][k] / errors['without motion'][k]
        report(f'{name} error after correction / without motion (asked: <= 1.2)', f'{ratio:.2f}')
        ceiling = errors['corrected, true transforms'][k] / errors['without motion'][k]
        report(f'{name}: the same with the true transforms (interpolation)', f'{ceiling:.2f}')


def lost_slices() -> None:
    """Take signal from slices, find them, and compare maps with and without them.

    Slices of any volume but the first keep 5 to 60 % of their signal, as where the head moved
    while they were acquired.
    """
    print('Lost slices (54 x 66 x 46, 3.5 mm; 5 b0 + 30 b1000; motion up to 1 mm and 1 degree)')
    phantom, rng = Phantom((54, 66, 46), 3.5), np.random.default_rng(SEED)
    bvals = np.r_[np.zeros(5), np.full(30, 1000.0)]
    vectors = np.vstack([np.zeros((5, 3)), directions(30)])
    pulls = planted_motion(35, 5, vectors, rng)
    pulls = np.array([mean_with_identity(pull, 1 / 3) for pull in pulls])
    series = phantom.series(bvals, vectors, pulls, 25.0, rng, 2)
    clean = phantom.series(bvals, vectors, None, 0.0, rng, 2)
    mask = brain_mask(clean[..., 0], [3.5] * 3)
    truth = fit_tensor(np.maximum(clean[mask], 1), bvals, vectors)
    tissue = scalar_maps(truth)['md'] < 1.2e-3
    judged = [(k, v) for k in np.flatnonzero(mask.any(axis=(0, 1))) for v in range(1, 35)]
    for percent in (0, 2, 5, 10, 20):
        broken = series.copy()
        chosen = rng.choice(len(judged), len(judged) * percent // 100, replace=False)
        lost = {judged[n] for n in chosen}
        for k, v in lost:
            broken[:, :, k, v] *= rng.uniform(0.05, 0.6)
        errors, found = _without_slices(phantom, broken, bvals, vectors, mask, truth, tissue)
        told = f'{len(found & lost)} of {len(lost)} found, {len(found - lost)} others'
        for label, (fa, md) in errors.items():
            report(f'{percent} % lost, {label} ({told})', f'FA {fa:.4f}  MD {md * 1e3:.4f}e-3')


def mean_with_identity(matrix: np.ndarray, share: float) -> np.ndarray:
    """Scale a small affine motion down."""
    return np.eye(4) + share * (matrix - np.eye(4))


def _without_slices(
    phantom: Phantom, series: np.ndarray, bvals: np.ndarray, vectors: np.ndarray,
    mask: np.ndarray, truth: object, tissue: np.ndarray,
) -> tuple[dict[str, tuple[float, float]], set[tuple[int, int]]]:  # fmt: skip
    """Align, find lost slices, and fit without and with them; mean absolute errors."""
    shells = find_shells(bvals)
    motion = estimate_motion(
        series, phantom.affine, shells, vectors, mask, [0, 1, 0],
        anchor=lambda f, m, a: anchor_contrast(f, m, a, mask),
    )  # fmt: skip
    centres, turned = voxel_centres(mask, phantom.affine), rotate_directions(
        vectors, motion.matrices
    )  # fmt: skip
    signal = np.nan_to_num(sample_series(
        series, phantom.affine, centres, motion.matrices, order=3, modulation=motion.modulation
    ))  # fmt: skip
    row = np.linalg.inv(phantom.affine)[2]
    places = np.stack(
        [apply_matrix(m, centres) @ row[:3] + row[3] for m in motion.matrices], axis=1
    ).clip(0, series.shape[2] - 1)
    outlier = find_outliers(signal, np.rint(places), shells, turned)[0].outlier
    errors = {}
    for label, weights in (('used', None), ('left out', usable_weights(outlier, places))):
        fit = fit_tensor(signal, bvals, turned, weights=weights)
        maps, true = scalar_maps(fit), scalar_maps(truth)
        errors[label] = tuple(
            float(np.nanmean(np.abs(maps[n] - true[n])[tissue])) for n in ('fa', 'md')
        )
    return errors, {(int(k), int(v)) for k, v in np.argwhere(outlier)}


def _map_errors(fit: object, truth: object) -> tuple[float, float, float]:
    """Mean absolute errors, and the angle of the principal direction where FA > 0.3."""
    ours, true = scalar_maps(fit), scalar_maps(truth)
    fibre = true['fa'] > 0.3
    cosine = np.abs(np.einsum('vi,vi->v', fit.evecs[:, :, 0], truth.evecs[:, :, 0]))[fibre]
    angle = np.rad2deg(np.arccos(np.clip(cosine[np.isfinite(cosine)], 0, 1)))
    return (
        float(np.nanmean(np.abs(ours['fa'] - true['fa']))),
        float(np.nanmean(np.abs(ours['md'] - true['md']))),
        float(np.median(angle)),
    )


BLOBS = (((0, 48, -22), 9.0, 14.0), ((46, -18, -24), 6.0, 12.0), ((-46, -18, -24), 6.0, 12.0),
         ((0, -60, 55), -2.0, 25.0))  # fmt: skip
"""Centre, peak (mm) and width (mm) of the planted displacement: frontal and temporal air."""


def planted_shift(points: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacement along y at points of the head, and its slope."""
    shift, slope = np.zeros(len(points)), np.zeros(len(points))
    for centre, peak, width in BLOBS:
        bump = scale * peak * np.exp(-((points - centre) ** 2).sum(axis=1) / (2 * width**2))
        shift += bump
        slope -= bump * (points[:, 1] - centre[1]) / width**2
    return shift, slope


def distorted_b0(
    phantom: Phantom, scale: float, direction: float, rng: np.random.Generator
) -> np.ndarray:
    """Acquire a b = 0 image along ``direction`` times y in a distorting field."""
    seen = voxel_centres(np.ones(phantom.shape, dtype=bool), phantom.affine)
    where = seen.copy()
    for _ in range(25):
        where[:, 1] = seen[:, 1] - direction * planted_shift(where, scale)[0]
    signal = phantom.signal(where, np.eye(4), 0.0, np.array([1.0, 0, 0]))
    # contrast that the tissues do not explain
    signal *= 1 + 0.08 * np.sin(where[:, 0] / 9) * np.cos(where[:, 2] / 11)
    signal /= 1 + direction * planted_shift(where, scale)[1]
    noise = rng.normal(0, 12, (2, len(signal)))
    return np.hypot(signal + noise[0], noise[1]).reshape(phantom.shape)


def three_classes(image: np.ndarray, brain: np.ndarray) -> list[np.ndarray]:
    """Split a T1w image into grey matter, white matter and CSF by its intensity alone."""
    values = image[brain] / np.percentile(image[brain], 99)
    centres = np.array([0.2, 0.6, 0.9])
    for _ in range(30):
        labels = np.abs(values[:, None] - centres).argmin(axis=1)
        centres = np.array([values[labels == k].mean() for k in range(3)])
    tissues = []
    for k in (1, 2, 0):
        volume = np.zeros(image.shape, dtype=np.float32)
        volume[brain] = labels == k
        tissues.append(volume)
    return tissues


def susceptibility() -> None:
    """Plant a distortion and compare where each engine puts the points of the T1w image."""
    from nilearn import datasets

    print('Susceptibility: planted displacement, and how far T1w points miss their b = 0 signal')
    voxel = 2.5
    phantom = Phantom((76, 92, 66), voxel)
    template = datasets.load_mni152_template(resolution=2)
    brain = datasets.load_mni152_brain_mask(resolution=2).get_fdata() > 0
    t1w = np.where(brain, template.get_fdata(), 0)
    tissues = three_classes(t1w, brain)
    place = matrix_from_parameters([2, -3, 4, *np.deg2rad([3, -2, 2]), 0, 0, 0], [0, -18, 10],
                                   [0, 1, 0])  # fmt: skip
    grid = np.linalg.inv(place) @ template.affine  # the T1w image lies elsewhere
    points = voxel_centres(brain, grid)[::7]
    truth = apply_matrix(place, points)
    rng = np.random.default_rng(SEED)
    axis = np.array([0.0, 1.0, 0.0])
    for scale in (0.0, 0.25, 0.5, 1.0):
        image = distorted_b0(phantom, scale, 1.0, rng)
        shift = planted_shift(truth, scale)[0]
        seen = truth + shift[:, None] * axis
        mask = brain_mask(image, [voxel] * 3)
        towards = registration.rigid(
            np.where(mask, image, 0), phantom.affine, t1w, grid,
            initial=registration.centre_shift(mask, phantom.affine, brain, grid),
        )  # fmt: skip
        report(f'peak {9 * scale:.1f} mm: mean / 95th percentile of the displacement, mm',
               f'{np.abs(shift).mean():.2f} / {np.percentile(np.abs(shift), 95):.2f}')  # fmt: skip
        placed = apply_matrix(np.linalg.inv(towards), points)
        _missed('  rigid alignment only', placed, seen, shift)
        start = cpu()
        where = apply_matrix(towards, voxel_centres(np.ones(phantom.shape, bool), phantom.affine))

        def moved(volume: np.ndarray, where: np.ndarray = where) -> np.ndarray:
            blurred = blur_to_resolution(volume, grid, voxel)
            return np.nan_to_num(sample(blurred, grid, where)).reshape(phantom.shape)

        field, found = field_from_anatomy(
            image, mask, phantom.affine, axis, anatomy=moved(t1w),
            brain=moved(brain.astype(np.float32)) > 0.5, tissues=[moved(v) for v in tissues],
        )  # fmt: skip
        spent = cpu() - start
        _missed(f'  field from T1w ({spent:.0f} CPU s)',
                apply_warp(field, phantom.affine, placed, axis)[0], seen, shift)  # fmt: skip
        used = 'used' if found['sdc_gain'] >= MIN_GAIN else 'not used'
        report('  share of unexplained variance it takes away', f'{found["sdc_gain"]:.3f}: {used}')
        start = cpu()
        reversed_pe = distorted_b0(phantom, scale, -1.0, rng)
        field = field_from_pair(image, reversed_pe, mask, phantom.affine, axis)
        spent = cpu() - start
        _missed(f'  field from a pair ({spent:.0f} CPU s), true rigid alignment',
                apply_warp(field, phantom.affine, truth, axis)[0], seen, shift)  # fmt: skip


SECOND_PLACE = matrix_from_parameters(
    [2.0, -1.5, 2.5, *np.deg2rad([2.0, -1.5, 3.0]), 0, 0, 0], [0, -18, 10], [0, 1, 0]
)
"""Where the head lies in the second run."""


def distorted_volume(
    phantom: Phantom,
    pull: np.ndarray,
    axis: np.ndarray,
    b: float,
    g: np.ndarray,
) -> np.ndarray:
    """Acquire a head that moved by ``pull``, with the field in it, along a scanner's axis."""
    seen = voxel_centres(np.ones(phantom.shape, dtype=bool), phantom.affine)
    near = np.nan_to_num(sample(phantom.surroundings(), phantom.template_affine, seen)) > 0.01
    where, back = seen[near], np.linalg.inv(pull)
    head = apply_matrix(back, where)
    for _ in range(12):
        head = apply_matrix(back, where - planted_shift(head, 1.0)[0][:, None] * axis)
    slope = np.stack([
        (planted_shift(head + 0.5 * e, 1.0)[0] - planted_shift(head - 0.5 * e, 1.0)[0])
        for e in np.eye(3)
    ], axis=1)  # fmt: skip
    signal = phantom.signal(apply_matrix(pull, head), pull, b, g)
    signal /= np.maximum(1 + slope @ (pull[:3, :3].T @ axis), 0.2)
    volume = np.zeros(len(seen))
    volume[near] = signal
    return volume.reshape(phantom.shape)


def several_runs() -> None:
    """Join runs of reversed phase encoding, between which the head moved, in one tensor."""
    from nipype import logging

    logging.getLogger('nipype.workflow').setLevel('ERROR')
    print('Runs of reversed phase encoding (3 mm; displaced by up to 9 mm; 4 mm and 4 degrees '
          'apart; second run at 0.8 of the brightness; 2 b0 + 15 b1000 each)')  # fmt: skip
    phantom = Phantom((64, 78, 56), 3.0)
    rng = np.random.default_rng(SEED)
    vectors = directions(30)
    runs = {
        'AP': (np.eye(4), np.array([0.0, 1, 0]), vectors[::2], 1.0),
        'PA': (SECOND_PLACE, np.array([0.0, -1, 0]), vectors[1::2], 0.8),
    }
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for name, (pull, axis, own, gain) in runs.items():
            bvals = np.r_[0, 0, np.full(len(own), 1000.0)]
            table = np.vstack([np.zeros((2, 3)), own])
            volumes = []
            for b, g in zip(bvals, table, strict=True):
                clean = gain * distorted_volume(phantom, pull, axis, b, g)
                noise = rng.normal(0, 25 * gain, (2, *clean.shape))
                volumes.append(np.hypot(clean + noise[0], noise[1]))
            write_image(np.stack(volumes, axis=3), phantom.affine, here / f'{name}.nii')
            np.savetxt(here / f'{name}.bval', bvals[None], fmt='%g')
            np.savetxt(here / f'{name}.bvec', bvecs_from_scanner(table, phantom.affine).T)
        image = nb.load(here / 'PA.nii')
        write_image(image.get_fdata()[..., :2], image.affine, here / 'b0.nii')
        for label, names, reversed_pe, engine in (
            ('AP run alone, no correction', ['AP'], [], 'none'),
            ('AP run alone, field from the b0 of PA', ['AP'], [here / 'b0.nii'], 'pair'),
            ('both runs', ['AP', 'PA'], [], 'pair'),
        ):
            _joined_error(phantom, here, label, names, reversed_pe, engine)


def _joined_error(
    phantom: Phantom,
    here: Path,
    label: str,
    names: list[str],
    reversed_pe: list[Path],
    engine: str,
) -> None:
    """Run the line on some runs, and print errors in the tissue."""
    from bids_acc.derivatives.outputs import find_outputs
    from bids_acc.dwi.workflow import init_dwi_wf
    from bids_acc.settings import DwiSettings

    out = here / label.replace(' ', '_').replace(',', '')
    workflow = init_dwi_wf(
        output_dir=out, entities={'subject': '01'}, has_anat=False, name='runs_wf',
        has_reversed_pe=bool(reversed_pe) or len(names) > 1,
        settings=DwiSettings(denoise='none', unringing='none', bias='none',
                             susceptibility=engine),
    )  # fmt: skip
    workflow.base_dir = str(out)
    inputs = workflow.get_node('inputnode').inputs
    sidecars = {'AP': {'PhaseEncodingDirection': 'j', 'TotalReadoutTime': 0.05},
                'PA': {'PhaseEncodingDirection': 'j-', 'TotalReadoutTime': 0.05}}  # fmt: skip
    inputs.dwi_files = [str(here / f'{n}.nii') for n in names]
    inputs.bval_files = [str(here / f'{n}.bval') for n in names]
    inputs.bvec_files = [str(here / f'{n}.bvec') for n in names]
    inputs.sidecars = [sidecars[n] for n in names]
    if reversed_pe:
        inputs.reversed_pe_files = [str(p) for p in reversed_pe]
        inputs.reversed_pe_sidecars = [sidecars['PA']] * len(reversed_pe)
    start = cpu()
    workflow.run()
    spent = cpu() - start
    maps = {n: nb.load(find_outputs('dwi_map', out, param=n)[0].path).get_fdata()
            for n in ('fa', 'md')}  # fmt: skip
    known = np.isfinite(maps['fa'])
    points = voxel_centres(known, phantom.affine)
    bvals, vectors = np.r_[0, np.full(30, 1000.0)], np.vstack([np.zeros((1, 3)), directions(30)])
    best: tuple[float, ...] = ()
    # a pair does not tell an offset of the field from a movement along y
    for shift in np.arange(-1, 1.01, 0.25):
        there = points + np.array([0, shift, 0])
        shares = [np.nan_to_num(sample(v, phantom.template_affine, there))
                  for v in phantom.tissues[:2]]  # fmt: skip
        tissue = np.sum(shares, axis=0) > 0.9
        clean = np.stack([phantom.signal(there[tissue], np.eye(4), b, g)
                          for b, g in zip(bvals, vectors, strict=True)], axis=1)  # fmt: skip
        truth = scalar_maps(fit_tensor(clean, bvals, vectors))
        gaps = {n: np.abs(maps[n][known][tissue] - truth[n]) for n in ('fa', 'md')}
        far = planted_shift(there[tissue], 1.0)[0] > 3
        found = (*(float(g.mean()) for g in gaps.values()),
                 *(float(g[far].mean()) for g in gaps.values()))  # fmt: skip
        if not best or found[0] < best[1]:
            best = (shift, *found)
    report(label, f'FA MAE {best[1]:.4f}  MD MAE {best[2] * 1e3:.4f}e-3; displaced by > 3 mm: '
                  f'{best[3]:.4f}  {best[4] * 1e3:.4f}e-3 '
                  f'(y offset {best[0]:+.2f} mm; {spent:.0f} CPU s)')  # fmt: skip
    if len(names) > 1:
        motion = np.genfromtxt(find_outputs('dwi_motion', out)[0].path, names=True,
                               missing_values='n/a')  # fmt: skip
        second = motion['run'] == 2
        found = [motion[n][second].mean() for n in ('rot_x', 'rot_y', 'rot_z')]
        report('rotation of the second run, degrees (planted 2.00 -1.50 3.00)',
               ' '.join(f'{v:.2f}' for v in found))  # fmt: skip
        table = np.genfromtxt(find_outputs('dwi_qc', out)[0].path, names=True, dtype=None,
                              encoding=None)  # fmt: skip
        report('brightness of the second run (planted 1 / 0.8)',
               f'{float(table["run_scale_max"]):.3f}')  # fmt: skip


def _missed(label: str, found: np.ndarray, truth: np.ndarray, shift: np.ndarray) -> None:
    """Print how far points are from where they are seen."""
    gap = np.linalg.norm(found - truth, axis=1)
    far = np.abs(shift) > 3
    where = f'{gap[far].mean():.2f}' if far.any() else '-'
    report(label, f'mean {gap.mean():.2f}  95th {np.percentile(gap, 95):.2f}  '
                  f'where displaced by > 3 mm {where}')  # fmt: skip


ENGINES = {
    'built-in': {'denoise': 'builtin', 'unringing': 'none', 'motion': 'builtin'},
    'MRtrix3': {'denoise': 'mrtrix3', 'unringing': 'mrtrix3', 'motion': 'builtin'},
    'ANTs': {'denoise': 'builtin', 'unringing': 'none', 'motion': 'ants'},
    'DIPY': {'denoise': 'builtin', 'unringing': 'dipy', 'motion': 'builtin'},
}
"""Sets of engines; steps that are not named are the same in all."""


def step_times(engines: list[str]) -> None:
    """Run the whole line on a 96 x 96 x 60 x 33 series, by each set of engines."""
    print('Whole line on 96 x 96 x 60 x 33 (2.3 mm), one process; CPU s of each step')
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        files = _write_case(here)
        for label in engines:
            if label == 'MRtrix3' and not shutil.which('dwidenoise'):
                report('MRtrix3 skipped', 'not on PATH')
                continue
            _run_line(here, files, label, ENGINES[label])


def _write_case(here: Path) -> dict[str, object]:
    """Write series, T1w image, tissues and the template's surfaces, all in MNI space."""
    from nilearn import datasets

    from bids_acc.surfaces.template import load_template

    rng = np.random.default_rng(SEED)
    bvals = np.r_[np.zeros(3), np.full(30, 1000.0)]
    vectors = np.vstack([np.zeros((3, 3)), directions(30)])
    phantom = Phantom((96, 96, 60), 2.3)
    series = phantom.series(bvals, vectors, planted_motion(33, 3, vectors, rng), 25.0, rng)
    write_image(series, phantom.affine, here / 'dwi.nii')
    np.savetxt(here / 'dwi.bval', bvals[None], fmt='%g')
    np.savetxt(here / 'dwi.bvec', bvecs_from_scanner(vectors, phantom.affine).T)
    template = datasets.load_mni152_template(resolution=1)
    brain = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0
    t1w = np.where(brain, template.get_fdata(), 0)
    write_image(t1w, template.affine, here / 't1w.nii')
    write_image(brain, template.affine, here / 'brain.nii')
    tissues = three_classes(t1w, brain)
    surfaces: dict[str, list[str]] = {'white': [], 'pial': []}
    for side, half in load_template('41k').items():
        for name, listed in surfaces.items():
            path = here / f'{side}.{name}.surf.gii'
            write_surface(path, getattr(half, name), half.faces, side, name)
            listed.append(str(path))
    return {
        'dwi_files': [str(here / 'dwi.nii')],
        'bval_files': [str(here / 'dwi.bval')],
        'bvec_files': [str(here / 'dwi.bvec')],
        'sidecars': [{'PhaseEncodingDirection': 'j'}],
        't1w_preproc': str(here / 't1w.nii'),
        't1w_mask': str(here / 'brain.nii'),
        'tpms': [str(write_image(v, template.affine, here / f'tissue{k}.nii'))
                 for k, v in enumerate(tissues)],
        **surfaces,
        'midthickness': surfaces['white'],
    }  # fmt: skip


def _run_line(here: Path, files: dict, label: str, settings: dict) -> None:
    """Build, run and time the graph with some engines."""
    from nipype import config, logging
    from nipype.pipeline import engine as pe

    from bids_acc.dwi.workflow import init_dwi_wf
    from bids_acc.settings import DwiSettings

    config.set('execution', 'crashdump_dir', str(here))
    logging.getLogger('nipype.workflow').setLevel('ERROR')
    workflow = init_dwi_wf(
        output_dir=here / f'out_{label}', entities={'subject': '01'}, has_anat=True,
        settings=DwiSettings(**settings), name=f'line_{label.replace("-", "")}',
    )  # fmt: skip
    workflow.base_dir = str(here)
    for name, value in files.items():
        setattr(workflow.get_node('inputnode').inputs, name, value)
    spent: dict[str, float] = {}
    run = pe.Node.run

    def timed(node: pe.Node, *args: object, **kwargs: object) -> object:
        before = cpu()
        result = run(node, *args, **kwargs)
        spent[node.name] = cpu() - before
        return result

    start, begin = cpu(), time.time()
    pe.Node.run = timed
    try:
        workflow.run()
    finally:
        pe.Node.run = run
    report(f'{label}: whole line, CPU s / wall s (asked: <= 600 s on 2 cores)',
           f'{cpu() - start:.0f} / {time.time() - begin:.0f}')  # fmt: skip
    for name, seconds in sorted(spent.items(), key=lambda step: -step[1])[:12]:
        report(f'    {name}', f'{seconds:.1f}')
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(k).ru_maxrss for k in kinds) / 1e6
    report('    peak memory so far, GB (asked: <= 4)', f'{peak:.2f}')


def demo(folder: Path) -> None:
    """Compare vertices and parcels of a demo, as ``make demo`` leaves it, with its truth."""
    from bids_acc.demo.diffusion import GM_MD
    from bids_acc.demo.score import (
        planted_diffusivity,
        read_truth,
        score_diffusivity,
        score_parcels,
    )
    from bids_acc.derivatives.outputs import find_outputs
    from bids_acc.group.cohort.vertexmaps import gather_vertex_metrics
    from bids_acc.surfaces.template import load_template

    print(f'Demo in {folder}')
    if not (folder / 'out').is_dir():
        report('skipped: no demo; run `make demo`, or name its folder with --demo', '')
        return
    out, truth = folder / 'out', read_truth(folder / 'bids')
    planted = {v['participant_id']: v for v in truth['visits'] if v['session_id'] is None}
    found = gather_vertex_metrics(out, ('fa', 'md'))
    template = load_template(found.density or '41k')
    places = list(zip(found.columns['hemisphere'], found.columns['vertex'], strict=True))
    points = np.array([template[side].white[vertex] for side, vertex in places])
    errors: dict[str, list[np.ndarray]] = {'fa': [], 'md': [], 'csf': []}
    for row, person in enumerate(found.sessions['participant_id']):
        if person not in planted:
            continue
        level = GM_MD * (1 + planted_diffusivity(planted[person], points))
        maps = dict(zip(found.metrics, found.values[:, row], strict=True))
        errors['fa'].append(maps['fa'])  # grey matter is isotropic in the phantom
        errors['md'].append((maps['md'] - level) * 1e3)
        csf = {
            side: read_map(find_outputs(
                'dwi_vertex_csf', out, subject=person[4:], hemisphere=side)[0].path)
            for side in ('L', 'R')
        }  # fmt: skip
        errors['csf'].append(np.array([csf[side][vertex] for side, vertex in places]))
    fa, md, csf = (np.concatenate(errors[n]) for n in ('fa', 'md', 'csf'))
    for label, chosen in (
        ('all vertices of the ACC', np.isfinite(fa)),
        ('with less than 20 % CSF', np.isfinite(fa) & (csf < 0.2)),
    ):
        report(f'{label}: FA MAE (truth 0) / MD MAE, bias (e-3 mm2/s), n',
               f'{np.abs(fa[chosen]).mean():.3f} / {np.abs(md[chosen]).mean():.3f}, '
               f'{md[chosen].mean():+.3f}, {chosen.sum()}')  # fmt: skip
    recoveries, effects = score_diffusivity(out, truth)
    try:
        effects += [e for e in score_parcels(out, truth)[1] if e.name.startswith('md')]
    except BidsAccError as error:
        report('parcels not compared', str(error))
    for r in recoveries:
        report(r.name, f'MAE {r.mae:.2f} {r.unit}, slope {r.slope:.2f}, r {r.r:.2f}, n {r.n}')
    for e in effects:
        report(f'rise of {e.name}, resistant - HC: planted / measured (95 % CI)',
               f'{e.planted:.1f} / {e.measured:.1f} ({e.low:.1f} to {e.high:.1f}) {e.unit}: '
               f'{e.verdict}')  # fmt: skip


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--quick', action='store_true', help='smaller simulations')
    sections = (
        'tensor', 'real', 'noise', 'motion', 'slices', 'susceptibility', 'runs', 'steps', 'demo'
    )  # fmt: skip
    parser.add_argument('--only', nargs='+', choices=sections)
    parser.add_argument(
        '--engines', nargs='+', choices=list(ENGINES), help='whose steps are timed (default: all)'
    )
    parser.add_argument(
        '--demo',
        type=Path,
        default=ROOT / '.demo',
        metavar='DIR',
        help='folder with bids/ and out/ of a demo (default: that of make demo)',
    )
    options = parser.parse_args()
    chosen = options.only or sections
    if 'tensor' in chosen:
        tensor_agreement()
    if 'real' in chosen:
        real_series()
    if 'noise' in chosen:
        identities_and_noise(options.quick)
    if 'motion' in chosen:
        motion_recovery(options.quick)
    if 'slices' in chosen:
        lost_slices()
    if 'susceptibility' in chosen:
        susceptibility()
    if 'runs' in chosen:
        several_runs()
    if 'steps' in chosen:
        step_times(options.engines or list(ENGINES)[: 2 if options.quick else None])
    if 'demo' in chosen:
        demo(options.demo)


if __name__ == '__main__':
    main()
