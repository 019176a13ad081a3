"""Proofs of the functional line: ``python tests/benchmarks/func.py [--quick] [--only NAME ...]``.

Prints, as they are, for one head of the demo with planted networks: the error of motion beside
ANTs on ten volumes; framewise displacement, also with the head elsewhere in the scanner; the
correlation of planted and found region correlations with the price of each source of error, and by
denoising strategy; what slice timing, distortion and several echoes cost and give; agreement with
an fMRIPrep-shaped folder of the same data; white noise through the whole line; measures against
their definitions; time and memory of 64 x 64 x 36 x 200. Motion and groups over people are in
``func_people.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS'):
    os.environ.setdefault(_name, '1')
os.environ.setdefault('NO_ET', '1')

import nibabel as nb
import numpy as np
import pandas as pd
import statsmodels.api as sm
from nilearn.glm.first_level import run_glm
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.signal import clean
from nipype import logging as nipype_logging
from scipy import stats

from bids_acc.demo import bold, structural
from bids_acc.demo.anatomy import Anatomy, draw_placement, draw_shape
from bids_acc.demo.networks import regions
from bids_acc.demo.templates import load_head
from bids_acc.demo.warp import apply_affine, sample, to_voxels
from bids_acc.func.amplitude import low_frequency
from bids_acc.func.interfaces.resampling import ConfoundsTable
from bids_acc.func.measuring import AnatFiles, Choices, RestMeasures, RunFiles, measure_rest
from bids_acc.func.measuring import prepare as read_run
from bids_acc.func.motion import estimate_motion
from bids_acc.func.raw import RawRun
from bids_acc.func.reho import regional_homogeneity
from bids_acc.func.run import RunFacts
from bids_acc.func.slice_timing import correct_slice_timing
from bids_acc.func.task import choose_contrasts, design_matrix, fit_run
from bids_acc.func.workflow.preproc import init_func_preproc_wf
from bids_acc.images.affines import apply_matrix, centre_of_mass, voxel_centres
from bids_acc.images.files import write_image
from bids_acc.images.masks import brain_mask
from bids_acc.images.motion import framewise_displacement
from bids_acc.images.resampling import sample as sample_volume
from bids_acc.images.resampling import spline_coefficients
from bids_acc.surfaces.gifti import write_surface
from bids_acc.surfaces.template import HEMISPHERES, load_template

SEED = 20261130
BAND_HZ = (0.01, 0.1)
RADIUS_MM = 6.0
"""Of the spheres in which regions are measured here."""
SPIKES = (2.0, 1.0, 0.7, 2.0, 1.5, 1.0)

STRATEGIES = {
    'none': ('high_pass',),
    '12 + 5 + 5': ('motion', 'high_pass', 'compcor'),
    '24 + WM/CSF': ('motion', 'high_pass', 'wm_csf'),
    '36p': ('motion', 'high_pass', 'wm_csf', 'global_signal'),
}


def report(label: str, value: object) -> None:
    """Print one line."""
    print(f'  {label:<66} {value}', flush=True)


def cpu() -> float:
    """CPU seconds of this process and its finished children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextmanager
def timed(label: str) -> Iterator[None]:
    """Print the CPU seconds of what is done within."""
    start = cpu()
    yield
    report(f'CPU s, {label}', f'{cpu() - start:.1f}')


@dataclass(frozen=True)
class Subject:
    """One head with its T1w image."""

    folder: Path
    protocol: bold.Protocol
    head: object
    tissues: np.ndarray
    anatomy: Anatomy
    files: dict[str, object]
    n_spikes: int

    @classmethod
    def make(cls, folder: Path, protocol: bold.Protocol) -> Subject:
        """Draw the head and write its T1w image with the tissues that are in it."""
        head, rng = load_head(), np.random.default_rng(SEED)
        anatomy = Anatomy(draw_shape(rng), draw_placement(rng), np.zeros(4), head.border)
        affine, shape = structural.grid(2.0, structural.FIELD_OF_VIEW_MM)
        blurred = structural.blur_to(head.t1w, 2.0)
        image = structural.t1w_image(head, blurred, anatomy, affine, shape, rng)
        points = structural.grid_points(affine, shape)
        where = anatomy.head_to_template(anatomy.scanner_to_head(points))
        parts = [sample(structural.blur_to(t, 2.0), to_voxels(head.affine, where)).reshape(shape)
                 for t in head.tissues]  # fmt: skip
        files = {
            't1w_preproc': str(write_image(image, affine, folder / 't1w.nii.gz')),
            't1w_mask': str(write_image(sum(parts) > 0.5, affine, folder / 'mask.nii.gz')),
            'tpms': [str(write_image(p, affine, folder / f'tpm{n}.nii.gz'))
                     for n, p in enumerate(parts)],
        }  # fmt: skip
        tissues = bold.blurred_tissues(head, protocol.voxel_mm)
        return cls(folder, protocol, head, tissues, anatomy, files, len(SPIKES))

    def series(
        self, effects: bold.Effects, seed: int = 1, **changes: object
    ) -> tuple[list[np.ndarray], bold.BoldTruth, bold.Protocol]:
        """Simulate a run; everything that is drawn depends on the seed only."""
        protocol = replace(self.protocol, **changes)
        if effects.tsnr is not None:  # that of voxels of 3.5 mm; larger ones have more signal
            larger = (protocol.voxel_mm / bold.Protocol.voxel_mm) ** 3
            effects = replace(effects, tsnr=effects.tsnr * larger)
        rng = np.random.default_rng((SEED, 1))
        maps = bold.head_maps(self.head, self.tissues, self.anatomy, rng, dropout=effects.dropout)
        run_rng = np.random.default_rng((SEED, 2, seed))
        images, truth = bold.simulate(protocol, maps, self.anatomy, effects, 0.6, run_rng)
        return images, truth, protocol

    def anat_files(self, density: str) -> AnatFiles:
        """Carry the template's surfaces into the head, and write the map of the head."""
        sides: dict[str, list[Path]] = {'white': [], 'pial': []}
        for side in HEMISPHERES:
            mesh = load_template(density)[side]
            for kind, paths in sides.items():
                inside = self.anatomy.template_to_head(
                    np.asarray(getattr(mesh, kind), dtype=float)
                )
                carried = apply_affine(self.anatomy.placement, inside)
                path = self.folder / f'hemi-{side}_{kind}.surf.gii'
                paths.append(write_surface(path, carried, mesh.faces, side, kind))
        return AnatFiles(sides['white'], sides['pial'], list(map(Path, self.files['tpms'])), (),
                         [self._to_template()], Path(self.files['t1w_mask']))  # fmt: skip

    def _to_template(self) -> Path:
        """Write where each point of the T1w image lies in the template, as ITK reads it."""
        affine, shape = structural.grid(4.0, structural.FIELD_OF_VIEW_MM)
        points = structural.grid_points(affine, shape)
        moved = self.anatomy.head_to_template(self.anatomy.scanner_to_head(points)) - points
        field = (moved * [-1, -1, 1]).reshape(*shape, 1, 3).astype(np.float32)
        image = nb.Nifti1Image(field, affine)
        image.header.set_intent('vector')
        path = self.folder / 'to_template.nii.gz'
        image.to_filename(path)
        return path

    def region_centres(self) -> np.ndarray:
        """Return where the planted regions lie in the T1w image, mm."""
        head = self.anatomy.template_to_head(regions().centres[1:])
        return apply_affine(self.anatomy.placement, head)


@dataclass(frozen=True)
class Prepared:
    """What the line made of a run."""

    bold: Path
    mask: Path
    table: Path
    facts: dict[str, object]
    report: dict[str, object]

    def series_at(self, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean series around each centre, and which centres have any."""
        image = nb.load(self.bold)
        mask = np.asarray(nb.load(self.mask).dataobj) > 0
        data, places = np.asarray(image.dataobj)[mask], voxel_centres(mask, image.affine)
        n_dummy = self.facts['n_dummy']
        level = data[:, n_dummy:].mean(axis=1)
        good = level > 0.25 * np.median(level)
        found, there = [], []
        for centre in centres:
            near = good & (np.linalg.norm(places - centre, axis=1) < RADIUS_MM)
            there.append(near.sum() >= 4)
            found.append(data[near, n_dummy:].mean(axis=0) if there[-1] else
                         np.full(data.shape[1] - n_dummy, np.nan))  # fmt: skip
        return np.array(found), np.array(there)


def prepare(subject: Subject, images: list[np.ndarray], protocol: bold.Protocol,
            name: str, **options: object) -> Prepared:  # fmt: skip
    """Run the built-in line on a simulated series, under names that nilearn reads."""
    folder = subject.folder / name
    folder.mkdir(exist_ok=True)
    paths = [write_image(i.astype(np.float32), protocol.affine, folder / f'echo-{n}_bold.nii')
             for n, i in enumerate(images, start=1)]  # fmt: skip
    sidecars = tuple(protocol.sidecar(n) for n in range(len(paths)))
    run = RawRun(tuple(paths), sidecars, {'subject': '01', 'task': 'rest'},
                 reversed_pe=options.pop('reversed_pe', ()))  # fmt: skip
    workflow = init_func_preproc_wf(runs=[run], seed=1, **options)
    workflow.base_dir = str(folder)
    for field, value in subject.files.items():
        setattr(workflow.get_node('inputnode').inputs, field, value)
    graph = workflow.run()
    out = {n.name.removeprefix('all_'): n.result.outputs.out[0] for n in graph.nodes()
           if n.name.startswith('all_')}  # fmt: skip
    return named(folder, out['bold_files'][0], out['mask_files'], out['confounds_files'],
                 out['confounds_sidecars'], out['run_facts'], out['prepare_reports'])  # fmt: skip


def named(folder: Path, image: str, mask: str, table: str, sidecar: str,
          facts: dict[str, object], measures: dict[str, object]) -> Prepared:  # fmt: skip
    """Give files the names by which fMRIPrep's are known."""
    stem = folder / 'sub-01_task-rest'
    places = {
        'bold': f'{stem}_space-T1w_desc-preproc_bold.nii', 'mask': f'{stem}_mask.nii.gz',
        'table': f'{stem}_desc-confounds_timeseries.tsv',
        'sidecar': f'{stem}_desc-confounds_timeseries.json',
    }  # fmt: skip
    for key, source in (('bold', image), ('mask', mask), ('table', table), ('sidecar', sidecar)):
        Path(source).replace(places[key])
    return Prepared(Path(places['bold']), Path(places['mask']), Path(places['table']), facts,
                    measures)  # fmt: skip


def recovery(prepared: Prepared, truth: bold.BoldTruth, centres: np.ndarray,
             strategy: str = 'none') -> float:  # fmt: skip
    """Correlate planted with found correlations of all pairs of regions."""
    found = cleaned(prepared, centres, strategy)
    n_dummy = prepared.facts['n_dummy']
    times = truth.volume_times[n_dummy:] + prepared.facts['start_time']
    planted = truth.series.at(times)[1:]
    there = np.isfinite(found).all(axis=1)
    return similarity(np.corrcoef(planted[there]), np.corrcoef(found[there]))


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Correlate the upper triangles of two matrices."""
    upper = np.triu_indices(len(one), 1)
    return float(np.corrcoef(one[upper], other[upper])[0, 1])


def cleaned(prepared: Prepared, centres: np.ndarray, strategy: str) -> np.ndarray:
    """Return the regions' series, denoised and band-passed together."""
    series, there = prepared.series_at(centres)
    named_as_fmriprep = prepared.bold.with_suffix('.nii.gz')
    named_as_fmriprep.touch()  # nilearn looks at the name only
    confounds, _ = load_confounds(
        str(named_as_fmriprep), strategy=STRATEGIES[strategy],
        motion='derivatives' if strategy.startswith('12') else 'full', wm_csf='full',
        global_signal='full', compcor='anat_separated', n_compcor=5,
    )  # fmt: skip
    kept = confounds.iloc[prepared.facts['n_dummy'] :].fillna(0)
    found = np.full(series.shape, np.nan)
    found[there] = clean(
        series[there].T, confounds=kept, t_r=prepared.facts['repetition_time'],
        low_pass=BAND_HZ[1], high_pass=BAND_HZ[0], standardize=None, detrend=True,
    ).T  # fmt: skip
    return found


def motion_errors(matrices: np.ndarray, true: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the mean distance over the brain between found and true places, mm."""
    return np.array([
        np.linalg.norm(apply_matrix(a, points) - apply_matrix(b, points), axis=1).mean()
        for a, b in zip(matrices, true, strict=True)
    ])  # fmt: skip


def section_motion(subject: Subject, quick: bool) -> None:
    """Motion against truth, beside ANTs; framewise displacement here and elsewhere."""
    for label, spikes in (('with spikes', SPIKES), ('without spikes', ())):
        effects = bold.Effects(spikes=spikes, motion_mm=0.05)
        images, truth, protocol = subject.series(effects)
        data = images[0].astype(np.float32)
        mask = brain_mask(data[..., :10].mean(axis=3), [protocol.voxel_mm] * 3)
        points = voxel_centres(mask, protocol.affine)
        start = cpu()
        found = estimate_motion(data, protocol.affine, mask)
        report(f'{label}: CPU s for {data.shape[3]} volumes', f'{cpu() - start:.1f}')
        errors = motion_errors(found.matrices, truth.motion, points)
        report(f'{label}: error over the brain, mean (worst), mm',
               f'{errors.mean():.3f} ({errors.max():.3f})')  # fmt: skip
        _say_displacement(label, found.matrices, truth.motion, centre_of_mass(mask,
                          protocol.affine))  # fmt: skip
        if spikes:
            _beside_ants(data, protocol.affine, truth.motion, points, errors)
        else:
            _fd_beside_ants(data, protocol.affine, truth.motion, found.matrices, points)
    for label, changes in {
        'no physiology': {'physiology': False}, 'slices at one time': {'slice_timing': False},
    }.items():  # fmt: skip
        images, truth, protocol = subject.series(replace(effects, **changes))
        data = images[0].astype(np.float32)
        found = estimate_motion(data, protocol.affine, mask)
        _say_displacement(f'without spikes, {label}', found.matrices, truth.motion,
                          centre_of_mass(mask, protocol.affine))  # fmt: skip
    away = replace(subject.protocol, centre_mm=(0.0, 10.0, 78.0))
    images, truth, protocol = subject.series(effects, centre_mm=away.centre_mm)
    data = images[0].astype(np.float32)
    mask = brain_mask(data[..., :10].mean(axis=3), [protocol.voxel_mm] * 3)
    found = estimate_motion(data, protocol.affine, mask)
    _say_displacement('head 78 mm away', found.matrices, truth.motion,
                      centre_of_mass(mask, protocol.affine))  # fmt: skip


def _say_displacement(label: str, found: np.ndarray, true: np.ndarray, at: np.ndarray) -> None:
    """Print framewise displacement and how many volumes are above limits."""
    own, wanted = (framewise_displacement(m, at)[1:] for m in (found, true))
    r = np.corrcoef(own, wanted)[0, 1]
    report(f'{label}: FD r, mean found (true), mm',
           f'{r:.4f}, {own.mean():.3f} ({wanted.mean():.3f})')  # fmt: skip
    counts = [f'{int((own > t).sum())} ({int((wanted > t).sum())}) above {t}' for t in (0.2, 0.5)]
    report(f'{label}: volumes found (true)', ', '.join(counts))


def _beside_ants(
    data: np.ndarray, affine: np.ndarray, true: np.ndarray, points: np.ndarray, own: np.ndarray
) -> None:
    """Align ten volumes with ants.motion_correction as well."""
    chosen = np.linspace(1, data.shape[3] - 1, 10).astype(int)
    start = cpu()
    errors = motion_errors(_by_ants(data, affine, chosen), true[chosen], points)
    report('ants.motion_correction, ten volumes: error mean (worst), mm',
           f'{errors.mean():.3f} ({errors.max():.3f}), {cpu() - start:.0f} CPU s')  # fmt: skip
    report('this line, the same ten volumes',
           f'{own[chosen].mean():.3f} ({own[chosen].max():.3f})')  # fmt: skip


def _fd_beside_ants(
    data: np.ndarray, affine: np.ndarray, true: np.ndarray, own: np.ndarray, points: np.ndarray
) -> None:
    """Compare framewise displacement of forty volumes by ANTs, by this line, and the true one."""
    chosen, at = np.arange(1, min(41, data.shape[3])), points.mean(axis=0)
    wanted = framewise_displacement(true[chosen], at)[1:]
    for label, matrices in (('ants.motion_correction', _by_ants(data, affine, chosen)),
                            ('this line', own[chosen])):  # fmt: skip
        r = np.corrcoef(framewise_displacement(matrices, at)[1:], wanted)[0, 1]
        report(f'without spikes, {len(chosen)} volumes, {label}: FD r', f'{r:.4f}')


def _by_ants(data: np.ndarray, affine: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the matrices by which ANTs brings some volumes to the first of all."""
    import ants

    from bids_acc.images.ants_bridge import read_matrix, to_ants

    fixed = to_ants(data[..., 0], affine)
    direction = np.eye(4)
    direction[:3, :3] = fixed.direction
    stack = ants.from_numpy(
        np.ascontiguousarray(data[..., chosen], dtype=np.float32), origin=(*fixed.origin, 0.0),
        spacing=(*fixed.spacing, 1.0), direction=direction,
    )  # fmt: skip
    found = ants.motion_correction(stack, fixed=fixed, type_of_transform='BOLDRigid')
    files = (p[0] if isinstance(p, list) else p for p in found['motion_parameters'])
    return np.array([read_matrix(path) for path in files])


def measured(anat: AnatFiles, done: Prepared, density: str = '10k') -> RestMeasures:
    """Measure a prepared run as the command does."""
    known = {'name', 'task', 'repetition_time', 'start_time', 'space', 'source', 'n_dummy'}
    facts = RunFacts(**{k: v for k, v in done.facts.items() if k in known})
    table = done.table
    files = RunFiles([done.bold], done.mask, table, table.with_suffix('.json'))
    choices = Choices(density=density)
    return measure_rest(read_run(files, facts, anat, choices), anat, choices)


def _as_the_command(subject: Subject, done: Prepared, truth: bold.BoldTruth) -> str:
    """Compare planted correlations with those that the command's own measures give."""
    found = measured(subject.anat_files('10k'), done)
    own = np.array([r.spheres[0][:3] if r.kind == 'seitzman' else (np.nan,) * 3
                    for r in found.members.regions])  # fmt: skip
    centres = regions().centres
    gap = np.linalg.norm(centres[:, None] - own[None], axis=2)
    match = np.nanargmin(np.where(np.isfinite(gap), gap, 1e9), axis=1)
    same = (gap[np.arange(len(centres)), match] < 0.1) & np.isfinite(np.diag(found.matrix)[match])
    times = truth.volume_times[done.facts['n_dummy'] :] + done.facts['start_time']
    planted = np.corrcoef(truth.series.at(times)[same])
    r = similarity(planted, found.matrix[np.ix_(match[same], match[same])])
    return f'{r:.3f}, {int(same.sum())} regions'


def section_regions(subject: Subject, quick: bool) -> None:
    """Planted against found region correlations, each price by itself and all together."""
    centres = subject.region_centres()
    everything = bold.Effects(spikes=SPIKES, motion_mm=0.05, n_dummy=2, distortion_mm=4.0)
    prices = {
        'clean': bold.CLEAN,
        '+ slices at their times': replace(bold.CLEAN, slice_timing=True),
        '+ thermal noise': replace(bold.CLEAN, tsnr=60.0),
        '+ thermal noise, background activity': replace(bold.CLEAN, tsnr=60.0, background=True),
        '+ physiology and drift': replace(everything, spikes=(), motion_mm=0.0, n_dummy=0,
                                          distortion_mm=0.0),
        'everything (motion, dummies, distortion 4 mm uncorrected)': everything,
    }  # fmt: skip
    for name, effects in prices.items():
        images, truth, protocol = subject.series(effects)
        # clean series have all slices at the middle of the TR, whatever the sidecar says
        done = prepare(subject, images, protocol, 'run', slice_timing=effects.slice_timing)
        tried = STRATEGIES if effects is everything else ('none', '12 + 5 + 5')
        values = {s: recovery(done, truth, centres, s) for s in tried}
        text = ', '.join(f'{s} {r:.3f}' for s, r in values.items())
        report(f'r of region correlations, {name}', text)
        if effects is everything:
            report('  the same as the command measures it (default strategy)',
                   _as_the_command(subject, done, truth))  # fmt: skip
        if effects.slice_timing and effects.tsnr is None:
            other = prepare(subject, images, protocol, 'run', slice_timing=False)
            report('  the same without slice timing correction',
                   f'none {recovery(other, truth, centres):.3f}')  # fmt: skip


def section_distortion(subject: Subject, quick: bool) -> None:
    """A field of 10 mm at its peak, with an image of reversed phase encoding and without."""
    effects = bold.Effects(distortion_mm=10.0)
    images, truth, protocol = subject.series(effects)
    reverse, _, other = subject.series(effects, seed=9, direction='j', n_volumes=3)
    path = write_image(reverse[0].astype(np.float32), other.affine, subject.folder / 'epi.nii.gz')
    centres = subject.region_centres()
    found = {}
    for label, field in (('not corrected', ()), ('corrected', ((path, other.sidecar()),))):
        done = prepare(subject, images, protocol, 'run', reversed_pe=field)
        r = recovery(done, truth, centres, '12 + 5 + 5')
        found[label] = np.asarray(nb.load(done.bold).dataobj).mean(axis=3)
        report(f'distortion {label}: r of region correlations; Dice with T1w',
               f'{r:.3f}; {done.report["coreg_dice"]:.3f}')  # fmt: skip
    plain, plain_truth, _ = subject.series(bold.Effects())
    done = prepare(subject, plain, protocol, 'run')
    wanted = np.asarray(nb.load(done.bold).dataobj).mean(axis=3)
    inside = np.asarray(nb.load(done.mask).dataobj) > 0
    for label, image in found.items():
        r = np.corrcoef(image[inside], wanted[inside])[0, 1]
        report(f'distortion {label}: r of the mean image with one without field', f'{r:.3f}')
    report('without field: r of region correlations',
           f'{recovery(done, plain_truth, centres, "12 + 5 + 5"):.3f}')  # fmt: skip


def section_echoes(subject: Subject, quick: bool) -> None:
    """Three echoes, combined and each alone."""
    times = (0.013, 0.030, 0.047)
    images, truth, protocol = subject.series(bold.Effects(), echo_times=times)
    centres = subject.region_centres()
    done = prepare(subject, images, protocol, 'run')
    _say_echo('three echoes combined', done, truth, centres)
    for number, time_s in enumerate(times):
        single = replace(protocol, echo_times=(time_s,))
        done = prepare(subject, [images[number]], single, 'run')
        _say_echo(f'echo of {1000 * time_s:.0f} ms alone', done, truth, centres)


def _say_echo(label: str, done: Prepared, truth: bold.BoldTruth, centres: np.ndarray) -> None:
    """Print recovery and how many regions have signal."""
    there = done.series_at(centres)[1]
    report(f'{label}: r; regions with signal',
           f'{recovery(done, truth, centres, "12 + 5 + 5"):.3f}; {int(there.sum())}')  # fmt: skip


def section_fmriprep(subject: Subject, quick: bool) -> None:
    """The same data through another tool's line: true matrices, slices by Fourier shifts.

    As fMRIPrep does, it interpolates once in space; then twice, as others do; then one step after
    the other is exchanged for ours, to see which the lines differ by.
    """
    effects = bold.Effects(spikes=SPIKES, motion_mm=0.05)
    images, truth, protocol = subject.series(effects)
    centres = subject.region_centres()
    done = prepare(subject, images, protocol, 'run')
    own = {s: cleaned(done, centres, s) for s in ('none', '12 + 5 + 5')}
    image = images[0].astype(float)
    times = np.array(protocol.slice_times)
    ours = correct_slice_timing(image.astype('f4'), times, 2, protocol.repetition_time)
    data = images[0].astype(np.float32)
    mask = brain_mask(data[..., :10].mean(axis=3), [protocol.voxel_mm] * 3)
    motion = estimate_motion(data, protocol.affine, mask).matrices
    shifted = fourier_shifted(image, protocol)
    lines = {
        'one interpolation': (shifted, truth.motion, 1),
        'two interpolations': (shifted, truth.motion, 2),
        'one, slices by our spline': (ours, truth.motion, 1),
        'one, our motion': (shifted, motion, 1),
        'one, slices and motion ours': (ours, motion, 1),
    }
    for label, line in lines.items():
        other = as_fmriprep(subject, *line, protocol, done)
        for strategy, series in own.items():
            theirs = cleaned(other, centres, strategy)
            there = np.isfinite(series).all(axis=1) & np.isfinite(theirs).all(axis=1)
            r = similarity(np.corrcoef(series[there]), np.corrcoef(theirs[there]))
            report(f'raw line beside fMRIPrep-shaped folder, {label}, {strategy}: r', f'{r:.4f}')


def as_fmriprep(subject: Subject, data: np.ndarray, motion: np.ndarray, n_steps: int,
                protocol: bold.Protocol, done: Prepared) -> Prepared:  # fmt: skip
    """Prepare a series without our line, at the place that it truly has, in one step or two."""
    folder = subject.folder / 'other'
    folder.mkdir(exist_ok=True)
    centres = voxel_centres(np.ones(protocol.shape, dtype=bool), protocol.affine)
    target = nb.load(done.bold)
    grid = voxel_centres(np.ones(target.shape[:3], dtype=bool), target.affine)
    mask = np.asarray(nb.load(done.mask).dataobj) > 0
    series = np.zeros(target.shape, dtype=np.float32)
    for n, matrix in enumerate(motion):
        still, place = data[..., n], apply_matrix(matrix, grid)
        if n_steps > 1:
            still = sample_volume(spline_coefficients(still), protocol.affine,
                                  apply_matrix(matrix, centres), order=3,
                                  prefilter=False)  # fmt: skip
            still, place = np.nan_to_num(still).reshape(protocol.shape), grid
        moved = sample_volume(spline_coefficients(still), protocol.affine, place, order=3,
                              prefilter=False)  # fmt: skip
        series[..., n] = np.nan_to_num(moved).reshape(target.shape[:3])
    np.save(folder / 'parameters.npy', _parameters(motion, mask, target.affine))
    path = write_image(series, target.affine, folder / 'bold.nii')
    mask_path = write_image(mask, target.affine, folder / 'brain.nii.gz')
    shell = ConfoundsTable(
        in_file=str(path), mask=str(mask_path), parameters=str(folder / 'parameters.npy'),
        tpms=subject.files['tpms'], repetition_time=protocol.repetition_time,
    )  # fmt: skip
    results = shell.run(cwd=str(folder)).outputs
    facts = {**done.facts, 'n_dummy': 0}
    return named(folder, str(path), str(mask_path), results.out_file, results.out_json, facts, {})


def fourier_shifted(data: np.ndarray, protocol: bold.Protocol) -> np.ndarray:
    """Bring slices to the time half-way by a phase ramp, of the series and its mirror image."""
    n = data.shape[3]
    frequency = np.fft.rfftfreq(2 * n, protocol.repetition_time)
    times = np.array(protocol.slice_times)
    wanted = (times.min() + times.max()) / 2
    both = np.concatenate([data, data[..., ::-1]], axis=3)
    spectrum = np.fft.rfft(both, axis=3)
    ramp = np.exp(2j * np.pi * np.outer(wanted - times, frequency))
    return np.fft.irfft(spectrum * ramp[None, None], n=2 * n, axis=3)[..., :n]


def _parameters(matrices: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return true motion as translations of the brain's centre and rotations."""
    from bids_acc.func.motion import rigid_parameters

    return rigid_parameters(matrices, centre_of_mass(mask, affine))


def section_noise(subject: Subject, quick: bool) -> None:
    """Nothing but white noise around a head's mean image, through the whole line."""
    protocol = subject.protocol
    one, _, _ = subject.series(replace(bold.CLEAN, dropout=True), n_volumes=1)
    rng = np.random.default_rng((SEED, 3))
    level = one[0][..., 0].astype(np.float32)
    inside = level > 0.1 * level.max()
    noise = rng.standard_normal((*level.shape, protocol.n_volumes), dtype=np.float32)
    series = level[..., None] + 0.01 * np.median(level[inside]) * noise
    done = prepare(subject, [series], protocol, 'noise', slice_timing=False)
    found = measured(subject.anat_files('10k'), done)
    reho = found.maps['reho']
    there = np.isfinite(reho)
    report('ReHo of noise at vertices, mean (1/27 without interpolation)',
           f'{reho[there].mean():.4f} ({1 / 27:.4f})')  # fmt: skip
    rho = stats.spearmanr(reho[there], vertex_spacing(subject, '10k')[there]).statistic
    report('Spearman of that ReHo with the spacing of vertices', f'{rho:+.3f}')
    kind = np.array([r.kind == 'seitzman' for r in found.members.regions])
    matrix = found.matrix[np.ix_(kind, kind)]
    centres = np.array([r.spheres[0][:3] for r in found.members.regions if r.kind == 'seitzman'])
    upper = np.triu_indices(len(matrix), 1)
    apart = np.linalg.norm(centres[upper[0]] - centres[upper[1]], axis=1) > 25
    r = matrix[upper][apart & np.isfinite(matrix[upper])]
    report('SD of r of regions more than 25 mm apart; 1/sqrt(dof)',
           f'{r.std():.4f}; {1 / np.sqrt(found.dof):.4f} (dof {found.dof:.0f})')  # fmt: skip


def vertex_spacing(subject: Subject, density: str) -> np.ndarray:
    """Return the mean length of the edges at each vertex, half-way between the surfaces, mm."""
    anat, found = subject.anat_files(density), []
    for side, white, pial in zip(HEMISPHERES, anat.white, anat.pial, strict=True):
        middle = (nb.load(white).agg_data('pointset') + nb.load(pial).agg_data('pointset')) / 2
        faces = load_template(density)[side].faces
        edges = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        length = np.linalg.norm(middle[edges[:, 0]] - middle[edges[:, 1]], axis=1)
        total = np.bincount(edges.ravel(), np.repeat(length, 2), minlength=len(middle))
        found.append(total / np.bincount(edges.ravel(), minlength=len(middle)))
    return np.concatenate(found)


def section_definitions(subject: Subject, quick: bool) -> None:
    """ReHo, ALFF and the task model against other programs' definitions of them."""
    rng = np.random.default_rng((SEED, 4))
    series = rng.standard_normal((100, 27))
    centre = regional_homogeneity(series, np.ones((3, 3, 3), dtype=bool))[1, 1, 1]
    friedman = stats.friedmanchisquare(*series).statistic / (27 * 99)
    report("ReHo less Friedman's W (SciPy)", f'{abs(centre - friedman):.1e}')
    kept = np.ones(100, dtype=bool)
    alff, _ = low_frequency(series, kept, 2.0, BAND_HZ)
    frequency = np.fft.rfftfreq(100, 2.0)
    band = (frequency >= BAND_HZ[0]) & (frequency <= BAND_HZ[1])
    power = np.abs(np.fft.rfft(series - series.mean(axis=0), axis=0)) * np.sqrt(2) / 100
    wanted = power[band].mean(axis=0) * np.sqrt(100)
    report('ALFF less that of the Fourier transform, at most', f'{abs(alff - wanted).max():.1e}')
    report('GLM (AR(1)) less statsmodels after the same whitening, at most',
           f'{_model_difference(rng):.1e}')  # fmt: skip
    for n in (100, 200, 400, 600):
        process = sm.tsa.arma_generate_sample([1, -0.5], [1], (n, 2000),
                                              distrvs=rng.standard_normal)  # fmt: skip
        alff, falff = low_frequency(process, np.ones(n, dtype=bool), 2.0, BAND_HZ)
        report(f'ALFF (fALFF) of one process, {n} volumes',
               f'{alff.mean():.3f} ({falff.mean():.3f})')  # fmt: skip


def _model_difference(rng: np.random.Generator) -> float:
    """Return the largest difference of effects from ordinary least squares after whitening."""
    events = pd.DataFrame({'onset': np.arange(8) * 24.0, 'duration': 12.0,
                           'trial_type': ['faces', 'shapes'] * 4})  # fmt: skip
    confounds = pd.DataFrame(rng.standard_normal((100, 3)), columns=['a', 'b', 'cosine00'])
    design = design_matrix(events, 100, 0, 2.0, 1.0, confounds)
    contrast = choose_contrasts(['faces', 'shapes'], ['faces-shapes'])
    series = 500 + 0.3 * rng.standard_normal((100, 20)).cumsum(axis=0)
    found = fit_run(series, design, contrast)[contrast[0].name].effect
    scaled, x = 100 * series / series.mean(axis=0), design.to_numpy()
    weights = [contrast[0].weights.get(c, 0) for c in design.columns]
    labels, _ = run_glm(scaled, x, noise_model='ar1')
    gaps = []
    for y, label, effect in zip(scaled.T, labels, found, strict=True):
        rho = float(str(label).split('_')[-1])
        white = y - rho * np.concatenate([[0], y[:-1]])
        fit = sm.OLS(white, x - rho * np.vstack([np.zeros(x.shape[1]), x[:-1]])).fit()
        gaps.append(abs(effect - fit.t_test(weights).effect[0]))
    return float(max(gaps))


def section_cost(subject: Subject, quick: bool) -> None:
    """CPU seconds and memory of preparing a raw run, and of measuring in a prepared one."""
    shape = 'x'.join(map(str, (*subject.protocol.shape, subject.protocol.n_volumes)))
    images, _, protocol = subject.series(bold.Effects(spikes=SPIKES, motion_mm=0.05))
    raw = subject.folder / 'raw.npy'
    np.save(raw, images[0])
    del images
    light = replace(subject, head=None, tissues=None, anatomy=None)  # what the line need not have
    seconds, peak, done = alone(_prepare_saved, light, raw, protocol)
    report(f'raw line, {shape}: CPU s; peak memory, GB', f'{seconds:.0f}; {peak:.2f}')
    for density in ('10k', '41k'):
        seconds, peak, _ = alone(measured, subject.anat_files(density), done, density)
        report(f'measures of a prepared run, {density}: CPU s; peak memory, GB',
               f'{seconds:.0f}; {peak:.2f}')  # fmt: skip


def _prepare_saved(subject: Subject, raw: Path, protocol: bold.Protocol) -> Prepared:
    """Prepare a saved series."""
    return prepare(subject, [np.load(raw)], protocol, 'cost')


def alone(work: Callable[..., object], *arguments: object) -> tuple[float, float, object]:
    """Do something in a process of its own; return CPU seconds, peak GB, and what it gave.

    The process imports what it needs before it is measured.
    """
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_watched, (work, arguments))


def _watched(work: Callable[..., object], arguments: tuple[object, ...]) -> object:
    """Do something, and tell what it took."""
    nipype_logging.getLogger('nipype.workflow').setLevel('ERROR')
    start = cpu()
    found = work(*arguments)
    return cpu() - start, peak_memory(), found if isinstance(found, Prepared) else None


def peak_memory() -> float:
    """Return the largest memory of this process, GB; what rusage says was its parent's, too."""
    status = Path('/proc/self/status').read_text()
    return float(status.partition('VmHWM:')[2].split()[0]) / 1e6


SECTIONS: dict[str, Callable[[Subject, bool], None]] = {
    'motion': section_motion,
    'regions': section_regions,
    'distortion': section_distortion,
    'echoes': section_echoes,
    'fmriprep': section_fmriprep,
    'noise': section_noise,
    'definitions': section_definitions,
    'cost': section_cost,
}


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='small grid and few volumes')
    parser.add_argument('--only', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    args = parser.parse_args()
    nipype_logging.getLogger('nipype.workflow').setLevel('ERROR')
    nipype_logging.getLogger('nipype.utils').setLevel('ERROR')
    protocol = (
        bold.Protocol(shape=(36, 44, 34), voxel_mm=5.0, repetition_time=3.0, n_volumes=110)
        if args.quick else bold.Protocol()
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject.make(Path(folder), protocol)
        for name in args.only:
            print(name)
            started = time.perf_counter()
            SECTIONS[name](subject, args.quick)
            report('(wall s)', f'{time.perf_counter() - started:.0f}')


if __name__ == '__main__':
    main()
