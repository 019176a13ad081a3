"""How well the built-in surfaces recover a known truth, and at what cost.

Usage: ``python tests/benchmarks/anat.py [--quick] [--seeds N] [--voxel MM ...] [--only PART ...]
[--cache FOLDER]``; what was registered once is not registered again within a run (with a cache,
nor in the next one), and the CPU seconds of that time are counted in. Each figure stands beside
what is asked of it. The short form, ``--quick`` (some 7 CPU minutes), prints cost, accuracy of two
brains with voxels of 1.5 mm and planted thinning of one; it leaves out the repeated measurement,
which needs more of them.

Known truth: the template's T1w image is pulled through a smooth random warp and an affine, with
noise and a bias field. The template's surfaces, pushed through the same map, are the truth. For
the planted effect the white-matter border of one patch of the anterior cingulate is moved so
that the cortex there is a tenth thinner.

Two cautions. The image is the template's own, so the registration finds it more easily than a
real brain. And the truth is where the template's surfaces lie: they came to rest under nearly the
same fit in the template's own image (`bids_acc/data/templates/build_template.py`), so what is told
here is what noise, bias field, voxel size and a warp do to the fit, not whether its idea of a
boundary is right; for that see the balls of known radius in `tests/unit/anat/test_anat_fit.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from anat_phantom import (
    PEOPLE_SD,
    ROI,
    Head,
    all_labels,
    carried,
    draw_head,
    draw_image,
    image_of,
    parcel_masks,
    people,
    planted_shift,
    true_parcels,
)

from bids_acc.anat.builtin import (
    MeasuredHemisphere,
    RegisteredBrain,
    measure_brain,
    register_brain,
)
from bids_acc.anat.morphometry import smooth_on_mesh
from bids_acc.surfaces.geometry import vertex_normals
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.neighbours import neighbour_mean
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import HEMISPHERES, load_template

Found = dict[str, MeasuredHemisphere]
FWHM = 5.0
PARTS = ('cost', 'truth', 'thinning', 'retest')
ASKED: dict[str, tuple[str, Callable[[float], bool]]] = {
    'bias': ('+-0.1', lambda v: abs(v) <= 0.1),
    'mae': ('<= 0.25', lambda v: v <= 0.25),
    'r': ('>= 0.8', lambda v: v >= 0.8),
    'area_pct': ('+-5', lambda v: abs(v) <= 5),
    'cross_pct': ('<= 0.5', lambda v: v <= 0.5),
}
"""What is asked of the mean over the seeds: text and test."""


def accuracy(found: Found, head: Head, hemi: str) -> dict[str, float]:
    """Compare with the truth in the anterior cingulate."""
    mesh = load_template()[hemi]
    mask = region_mask(mesh.labels, mesh.names, ROI)
    links = neighbour_mean(mesh.faces, len(mesh.white))
    true = carried(head, hemi)
    truth, measured = true.thickness, found[hemi].thickness
    area, area_found = true.area, found[hemi].area
    inside = mask & np.isfinite(measured)
    smooth = [
        smooth_on_mesh(np.where(np.isfinite(measured), t, np.nan), true.mid, links, FWHM)
        for t in (truth, measured)
    ]
    normals = vertex_normals(true.white, mesh.faces)
    intersecting = np.mean(
        [
            self_intersecting_faces(v, mesh.faces).mean()
            for v in (found[hemi].white, found[hemi].pial)
        ]
    )
    return {
        'bias': float((measured - truth)[inside].mean()),
        'mae': float(np.abs(measured - truth)[inside].mean()),
        'r': float(np.corrcoef(smooth[0][inside], smooth[1][inside])[0, 1]),
        'area_pct': float(100 * (area_found[inside].sum() / area[inside].sum() - 1)),
        'area_r': float(np.corrcoef(area[inside], area_found[inside])[0, 1]),
        'nan_pct': float(100 * (mask & ~inside).sum() / mask.sum()),
        'cross_pct': float(100 * intersecting),
        'white_mm': float(
            np.abs(np.einsum('ij,ij->i', found[hemi].white - true.white, normals))[inside].mean()
        ),
    }


def verdict(met: bool) -> str:
    """Return the word printed beside a figure."""
    return 'met' if met else 'SHORT'


def show(title: str, rows: list[dict[str, float]]) -> None:
    """Print mean and worst of some rows, and whether the mean is what is asked."""
    keys = list(rows[0])
    values = np.array([[row[k] for k in keys] for row in rows])
    worst = np.take_along_axis(values, np.abs(values).argmax(axis=0)[None], axis=0)[0]
    print(f'{title:24s}' + ''.join(f'{k:>11s}' for k in keys))
    print(f'{"  mean":24s}' + ''.join(f'{v:11.3f}' for v in values.mean(axis=0)))
    print(f'{"  largest":24s}' + ''.join(f'{v:11.3f}' for v in worst))
    asked = [ASKED.get(k) for k in keys]
    print(f'{"  asked":24s}' + ''.join(f'{text[0] if text else "":>11s}' for text in asked))
    met = [
        f'{verdict(test[1](mean)) if test else "":>11s}'
        for test, mean in zip(asked, values.mean(axis=0), strict=True)
    ]
    print(f'{"  mean is":24s}' + ''.join(met), flush=True)


QUICK_PARTS = ('cost', 'truth', 'thinning')
QUICK_SEEDS, QUICK_VOXEL = 2, 1.5


@dataclass(frozen=True)
class Runner:
    """Measures brains, and keeps what is registered and measured."""

    cache: Path
    """Folder for what is registered."""
    measured: dict[tuple[str, str], tuple[Found, float]] = field(default_factory=dict)
    """By name and density of the mesh, what is measured in this run, and its CPU seconds."""

    def run(
        self, data: np.ndarray, affine: np.ndarray, seed: int, name: str, density: str = '41k'
    ) -> tuple[Found, float]:
        """Measure one brain, which the name tells apart; return the maps and CPU seconds."""
        if (name, density) not in self.measured:
            registered, before = self._registered(data, affine, seed, self.cache / name)
            start = time.process_time()
            found = measure_brain(registered, density)
            self.measured[name, density] = found, before + time.process_time() - start
        return self.measured[name, density]

    def _registered(
        self, data: np.ndarray, affine: np.ndarray, seed: int, folder: Path
    ) -> tuple[RegisteredBrain, float]:
        key = hashlib.sha256(data.tobytes() + affine.tobytes()).hexdigest()
        state = folder / 'registered.pkl'
        if state.exists():
            stored_key, registered, seconds = pickle.loads(state.read_bytes())
            if stored_key == key:
                return registered, seconds
        folder.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        registered = register_brain(data, affine, folder, seed=seed + 1)
        seconds = time.process_time() - start
        state.write_bytes(pickle.dumps((key, registered, seconds)))
        return registered, seconds


def known_truth(seeds: range, voxels: list[float], runner: Runner) -> None:
    """Print accuracy for each voxel size and hemisphere."""
    for voxel in voxels:
        rows: dict[str, list] = {hemi: [] for hemi in HEMISPHERES}
        seconds = []
        for seed in seeds:
            head, data, affine = image_of(seed, voxel)
            found, cost = runner.run(data, affine, seed, f'seed{seed}_{voxel}')
            seconds.append(cost)
            for hemi in HEMISPHERES:
                rows[hemi].append(accuracy(found, head, hemi))
                line = ' '.join(f'{k} {v:.3f}' for k, v in rows[hemi][-1].items())
                print(f'  seed {seed} {hemi} {voxel} mm: {line}', flush=True)
        for hemi in HEMISPHERES:
            show(f'{voxel} mm, {hemi}, n={len(rows[hemi])}', rows[hemi])
        print_cost(f'subject at {voxel} mm', float(np.mean(seconds)), 600)


def print_cost(title: str, seconds: float, asked: int) -> None:
    """Print CPU seconds, and the memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f'{title}: {seconds:.0f} CPU s (asked <= {asked}: {verdict(seconds <= asked)}), largest '
        f'memory so far {peak:.2f} GB (asked <= 4: {verdict(peak <= 4)})',
        flush=True,
    )


def demo_cost(runner: Runner) -> None:
    """Print what a brain costs at the demo's resolution, without brain extraction."""
    _, data, affine = image_of(0, 2.0)
    _, cost = runner.run(data, affine, 0, 'seed0_2.0', density='10k')
    print_cost('subject at 2 mm, 10k mesh', cost, 90)


def planted_thinning(seeds: range, voxel: float, runner: Runner) -> None:
    """Print where a thinning of a tenth, planted on both sides at once, was found."""
    planted = {hemi: planted_shift(hemi, 0.1) for hemi in HEMISPHERES}
    shifts = tuple(field for field, _ in planted.values())
    truth: dict[str, list] = {hemi: [] for hemi in HEMISPHERES}
    measured: dict[str, list] = {hemi: [] for hemi in HEMISPHERES}
    for seed in seeds:
        maps = []
        for name, some in (('seed', ()), ('thin', shifts)):
            head, data, affine = image_of(seed, voxel, some)
            maps.append((head, runner.run(data, affine, seed, f'{name}{seed}_{voxel}')[0]))
        for hemi in HEMISPHERES:
            true = [carried(head, hemi).thickness for head, _ in maps]
            truth[hemi].append(true[1] - true[0])
            measured[hemi].append(maps[1][1][hemi].thickness - maps[0][1][hemi].thickness)
            report_thinning(f'seed {seed}, {hemi}', hemi, truth[hemi][-1:], measured[hemi][-1:],
                            planted[hemi][1])  # fmt: skip
    for hemi in HEMISPHERES:
        title = f'{hemi}, n={len(truth[hemi])}'
        report_thinning(title, hemi, truth[hemi], measured[hemi], planted[hemi][1])


def report_thinning(
    title: str, hemi: str, truth: list, measured: list, weight: np.ndarray
) -> None:
    """Print true and found change at the patch and elsewhere in the region.

    Asked: at least half of the change at the patch, less than a quarter of it elsewhere, and the
    largest change (smoothed by 10 mm) within the patch.
    """
    mesh = load_template()[hemi]
    mask = region_mask(mesh.labels, mesh.names, ROI)
    change = np.mean(truth, axis=0)
    change_found = np.ma.masked_invalid(measured).mean(axis=0).filled(np.nan)
    inside = mask & np.isfinite(change_found)
    core, away = inside & (weight > 0.5), inside & (weight < 0.05)
    links = neighbour_mean(mesh.faces, len(mesh.white))
    smooth = smooth_on_mesh(np.where(inside, change_found, np.nan), mesh.white, links, 10.0)
    peak = int(np.nanargmin(smooth))
    true, found = float(change[core].mean()), float(change_found[core].mean())
    elsewhere = float(change_found[away].mean())
    met = found <= 0.5 * true and abs(elsewhere) <= 0.25 * abs(true) and weight[peak] > 0.05
    print(
        f'planted thinning, {title}: at the patch true {true:.3f} found {found:.3f} mm; '
        f'elsewhere in the region {elsewhere:.3f} mm; largest where {100 * weight[peak]:.0f} % '
        'was planted; r over vertices '
        f'{np.corrcoef(change[inside], change_found[inside])[0, 1]:.3f}: {verdict(met)}',
        flush=True,
    )


def intraclass(values: np.ndarray) -> float:
    """Return ICC(2,1) of (n_subjects, n_measurements): Shrout and Fleiss (1979)."""
    n, k = values.shape
    total = values.mean()
    between = k * ((values.mean(axis=1) - total) ** 2).sum() / (n - 1)
    columns = n * ((values.mean(axis=0) - total) ** 2).sum() / (k - 1)
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + total
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error + k * (columns - error) / n))


def retest(seeds: range, voxel: float, runner: Runner) -> None:
    """Print how well two realisations of each brain agree, other noise and other bias field.

    Within one brain the ICC is that over all its parcels, which differ by half a millimetre; the
    lowest of the brains is given. For one parcel it is that over the brains: it tells noise from
    differences between people and means nothing without the latter. Two populations: people,
    whose parcels differ in true thickness as published, and brains that differ by the warp of one
    template alone. Their areas differ by the warp alone in both (standard deviation 6 to 7 %).
    """
    alike = [draw_head(np.random.default_rng(seed)) for seed in seeds]
    for title, name, heads in (
        (f'people (thickness drawn with an SD of {PEOPLE_SD} mm)', 'people', people(seeds)),
        ('one template, warped', '', alike),
    ):
        print(f'twice the same brain, {voxel} mm, {len(seeds)} brains: {title}', flush=True)
        measured = []
        for seed, head in zip(seeds, heads, strict=True):
            rng = np.random.default_rng(seed)
            draw_head(rng)  # the image goes on with the draws of `image_of`
            images = (
                (name or 'seed', draw_image(head, voxel, rng)),
                (f'{name}again', draw_image(head, voxel, np.random.default_rng([seed, 2]))),
            )
            measured.append([
                runner.run(*image, seed, f'{folder}{seed}_{voxel}')[0] for folder, image in images
            ])  # fmt: skip
        truth = [true_parcels(head) for head in heads]
        for metric in ('thickness', 'area'):
            report_brains(metric, gathered_parcels(measured, metric, all_labels()))
            true = np.stack([t[metric] for t in truth])
            report_retest(metric, true, gathered_parcels(measured, metric, ROI))


def gathered_parcels(
    measured: list[list[Found]], metric: str, labels: tuple[str, ...]
) -> np.ndarray:
    """Return the parcels' measured mean thickness or area, (n_brains, 2, n_parcels).

    The left ones come first, as in `true_parcels`.
    """
    reduce = np.nanmean if metric == 'thickness' else np.nansum
    masks = [(hemi, mask) for hemi in HEMISPHERES for mask in parcel_masks(hemi, labels)]
    return np.array([
        [[float(reduce(getattr(found[hemi], metric)[mask])) for hemi, mask in masks]
         for found in twice]
        for twice in measured
    ])  # fmt: skip


def report_brains(metric: str, found: np.ndarray) -> None:
    """Print how two measurements (n_brains, 2, n_parcels) of one brain agree over its parcels."""
    icc = np.array([intraclass(twice.T) for twice in found])
    lowest = icc.min()
    print(
        f'  {metric} of the {found.shape[2]} parcels of a brain: ICC(2,1) mean {icc.mean():.3f}, '
        f'lowest of {len(icc)} brains {lowest:.3f} (asked >= 0.9: {verdict(lowest >= 0.9)})',
        flush=True,
    )


def report_retest(metric: str, true: np.ndarray, found: np.ndarray) -> None:
    """Print how measurements (n_brains, 2, n_parcels) agree with each other and with the truth.

    Noise is the standard deviation within a brain. Slope and correlation are those of the found on
    the true mean, between brains.
    """
    unit = 'mm' if metric == 'thickness' else 'mm2'
    parcels = [f'{hemi} {label}' for hemi in HEMISPHERES for label in ROI]
    for k, parcel in enumerate(parcels):
        icc = intraclass(found[:, :, k])
        noise = np.sqrt((np.diff(found[:, :, k], axis=1) ** 2).mean() / 2)
        mean = found[:, :, k].mean(axis=1)
        print(
            f'  {metric} {parcel}: ICC(2,1) {icc:.3f} (asked >= 0.9: {verdict(icc >= 0.9)}); '
            f'noise {noise:.3f}, true SD {true[:, k].std(ddof=1):.3f} {unit}; found on true: '
            f'slope {np.polyfit(true[:, k], mean, 1)[0]:.2f}, '
            f'r {np.corrcoef(true[:, k], mean)[0, 1]:.3f}',
            flush=True,
        )


def run_parts(parts: Sequence[str], seeds: range, voxels: list[float], runner: Runner) -> None:
    """Print the parts that are wanted."""
    if 'cost' in parts:
        demo_cost(runner)
    if 'truth' in parts:
        known_truth(seeds, voxels, runner)
    if 'thinning' in parts:
        # of the two of the short form one, whose plain brain is measured already
        planted_thinning(seeds[: max(1, len(seeds) // 3)], voxels[-1], runner)
    if 'retest' in parts:
        retest(seeds, voxels[-1], runner)


def main(argv: list[str] | None = None) -> int:
    """Print the tables."""
    os.environ.setdefault('ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS', '1')
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--quick', action='store_true',
        help=f'{", ".join(QUICK_PARTS)} only, {QUICK_SEEDS} seeds, {QUICK_VOXEL} mm',
    )  # fmt: skip
    parser.add_argument('--seeds', type=int, default=10)
    parser.add_argument('--first-seed', type=int, default=0, help='100 for designing')
    parser.add_argument('--voxel', type=float, nargs='+', default=[1.0, 1.5])
    parser.add_argument('--only', choices=PARTS, nargs='+', default=PARTS)
    parser.add_argument('--cache', type=Path, help='folder for what is registered')
    options = parser.parse_args(argv)
    if options.quick:
        options.seeds, options.voxel = QUICK_SEEDS, [QUICK_VOXEL]
        options.only = [part for part in options.only if part in QUICK_PARTS]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        run_parts(options.only, seeds, options.voxel, Runner(options.cache or Path(scratch)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
