"""How often FA (or MD) of a parcel differs between groups of which nobody planted that.

Cohorts of phantoms: the template's left anterior cingulate under each person's own thickness,
mean diffusivity and place in the scanner, imaged at the demo's resolution, scheme and noise, and
sampled by `SampleSurface` with the person's true surfaces and tissues. In one group mean
diffusivity of grey matter is 10 % higher, or cortex .25 mm thinner, or both. Grey matter is
isotropic in all of them: every difference of FA is made by the measurement.

    python tests/benchmarks/dwi_false_positives.py [n_cohorts [n_people [voxel_mm [folder]]]]
                                                   [--quick]

prints, for each kind of cohort, the share of parcels and cohorts with p < .05, without and with
covariates: the expected FA of isotropic tissue, and the share of white matter in the samples; and
the share that the group level keeps among its findings. A cohort of 12 + 12 takes 20 CPU seconds;
with a folder, those that an earlier run left there are taken. ``--quick`` draws three cohorts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nb
import numpy as np
from scipy import stats
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from bids_acc.demo.diffusion import (
    CSF_MD,
    GM_MD,
    S0,
    SNR,
    WM_DIFFUSIVITY,
    gradient_table,
)
from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.interfaces.surface import SampleSurface
from bids_acc.images.affines import voxel_centres
from bids_acc.images.files import write_image
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template

ACC = ('caudalanteriorcingulate', 'rostralanteriorcingulate')
N_PARCELS = 6
MARGIN_MM = 9.0
SUBSAMPLES = 3
"""Points along each edge of a diffusion voxel at which tissue is looked up."""
MD_CHANGE = 0.10
THICKNESS_CHANGE_MM = -0.25
KINDS = {'none': (0.0, 0.0), 'md': (MD_CHANGE, 0.0), 'thickness': (0.0, THICKNESS_CHANGE_MM),
         'both': (MD_CHANGE, THICKNESS_CHANGE_MM)}  # fmt: skip
MEASURES = ('fa', 'md', 'fa_isotropic', 'white', 'csf')


@dataclass(frozen=True)
class Cortex:
    """The part of the template's left hemisphere around the anterior cingulate."""

    white: np.ndarray
    pial: np.ndarray
    inside: np.ndarray
    """Vertices that are measured."""
    parcels: np.ndarray
    """Parcel of each of those."""


def load_cortex() -> Cortex:
    """Cut the surroundings of the anterior cingulate out of the template."""
    mesh = load_template('41k')['L']
    acc = region_mask(mesh.labels, mesh.names, ACC)
    middle = (mesh.white + mesh.pial) / 2
    low, high = middle[acc].min(axis=0) - 2 * MARGIN_MM, middle[acc].max(axis=0) + 2 * MARGIN_MM
    near = ((middle > low) & (middle < high)).all(axis=1)
    inside = np.flatnonzero(acc[near])
    _, parcels = kmeans2(middle[near][inside], N_PARCELS, minit='++', seed=1)
    return Cortex(mesh.white[near], mesh.pial[near], inside, parcels)


@dataclass(frozen=True)
class Person:
    """Surfaces, grid and diffusivity of one person."""

    white: np.ndarray
    pial: np.ndarray
    affine: np.ndarray
    shape: tuple[int, ...]
    gm_md: float


def make_person(cortex: Cortex, kind: str, voxel_mm: float, rng: np.random.Generator) -> Person:
    """Draw one person; the same numbers are drawn whatever is planted."""
    md_change, thickness_change = KINDS[kind]
    way = cortex.pial - cortex.white
    length = np.linalg.norm(way, axis=1, keepdims=True)
    waves = rng.normal(scale=1 / 12, size=(4, 3))
    phases = rng.uniform(0, 2 * np.pi, 4)
    smooth = np.cos(cortex.white @ waves.T + phases).sum(axis=1, keepdims=True)
    thickness = length * (1 + rng.normal(0, 0.05) + 0.04 * smooth) + thickness_change
    size = 1 + rng.normal(0, 0.03)
    white = size * cortex.white
    pial = white + way / np.maximum(length, 1e-6) * np.maximum(thickness, 0.5)
    measured = np.concatenate([white[cortex.inside], pial[cortex.inside]])
    low = measured.min(axis=0) - MARGIN_MM + rng.uniform(-voxel_mm, 0, 3)
    shape = tuple(np.ceil((measured.max(axis=0) + MARGIN_MM - low) / voxel_mm).astype(int))
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = low
    md = GM_MD * (1 + rng.normal(0, 0.03)) * (1 + md_change)
    return Person(white, pial, affine, shape, md)


def tissues_at(person: Person, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fractions of GM, WM and CSF at points (0 or 1), and the direction of fibres there."""
    way = person.pial - person.white
    _, nearest = cKDTree((person.white + person.pial) / 2).query(points)
    towards = way[nearest]
    depth = ((points - person.white[nearest]) * towards).sum(1) / (towards**2).sum(1)
    grey = (depth >= 0) & (depth <= 1)
    fractions = np.stack([grey, depth < 0, depth > 1], axis=1).astype(float)
    # fibres run along the cortex, in the sagittal plane, as those of the cingulum do
    fibres = np.cross(towards, [1.0, 0, 0])
    fibres /= np.maximum(np.linalg.norm(fibres, axis=1, keepdims=True), 1e-6)
    return fractions, fibres


@dataclass(frozen=True)
class Tissue:
    """What lies where, on a grid finer than the diffusion image's."""

    affine: np.ndarray
    shape: tuple[int, ...]
    fractions: np.ndarray
    fibres: np.ndarray


def tissue_of(person: Person) -> Tissue:
    """Look up tissue at `SUBSAMPLES` points along each edge of a diffusion voxel."""
    step = 1 / SUBSAMPLES
    fine = person.affine.copy()
    fine[:3, :3] *= step
    fine[:3, 3] += person.affine[:3, :3] @ np.full(3, (step - 1) / 2)
    shape = tuple(n * SUBSAMPLES for n in person.shape)
    points = voxel_centres(np.ones(shape, dtype=bool), fine)
    return Tissue(fine, shape, *tissues_at(person, points))


def acquire(
    person: Person, tissue: Tissue, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the volumes with noise, their b-values and directions."""
    bvals, vectors = gradient_table()
    along, across = WM_DIFFUSIVITY
    parts = tissue.fractions.reshape(*(k for n in person.shape for k in (n, SUBSAMPLES)), 3)
    grey_share, _, csf_share = np.moveaxis(parts.mean(axis=(1, 3, 5)), -1, 0)
    white = np.flatnonzero(tissue.fractions[:, 1])
    where = np.unravel_index(white, tissue.shape)
    cells = np.ravel_multi_index(tuple(index // SUBSAMPLES for index in where), person.shape)
    fibres = tissue.fibres[white]
    volumes = []
    for b, g in zip(bvals, vectors, strict=True):
        decay = S0['WM'] * np.exp(-b * (across + (along - across) * (fibres @ g) ** 2))
        sums = np.bincount(cells, decay, minlength=int(np.prod(person.shape)))
        clean = sums.reshape(person.shape) / SUBSAMPLES**3
        clean += grey_share * S0['GM'] * np.exp(-b * person.gm_md)
        clean += csf_share * S0['CSF'] * np.exp(-b * CSF_MD)
        noise = rng.normal(scale=S0['WM'] / SNR, size=(2, *person.shape))
        volumes.append(np.hypot(clean + noise[0], noise[1]))
    return np.stack(volumes, axis=-1), bvals, vectors


def measure(
    cortex: Cortex, person: Person, tissue: Tissue, rng: np.random.Generator
) -> np.ndarray:
    """Sample one person's cortex and return the measures of each parcel."""
    data, bvals, vectors = acquire(person, tissue, rng)
    count = len(bvals)
    zeros = np.zeros(count, dtype=np.int64)
    axes = np.tile([0.0, 1, 0], (count, 1))
    table = Gradients(bvals, vectors, axes, zeros, zeros, np.ones(count))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / 'pulls.npy', np.tile(np.eye(4), (count, 1, 1)))
        maps = tissue.fractions.T.reshape(3, *tissue.shape)
        node = SampleSurface(
            in_file=str(write_image(data, person.affine, folder / 'series.nii')),
            gradients=str(table.write(folder / 'gradients.tsv')),
            transforms=str(folder / 'pulls.npy'),
            tpms=[str(write_image(values, tissue.affine, folder / f'{n}.nii'))
                  for n, values in enumerate(maps)],
            hemisphere='L',
            white=write_points(person.white[cortex.inside], folder / 'white.surf.gii'),
            pial=write_points(person.pial[cortex.inside], folder / 'pial.surf.gii'),
        )  # fmt: skip
        found = node.run(cwd=str(folder)).outputs
        values = [nb.load(getattr(found, name)).darrays[0].data for name in MEASURES]
    return np.array([
        [np.nanmean(value[cortex.parcels == n]) for n in range(N_PARCELS)] for value in values
    ])  # fmt: skip


def write_points(points: np.ndarray, path: Path) -> str:
    """Write vertices with a triangle of the first three, as readers want one."""
    arrays = [
        nb.gifti.GiftiDataArray(points.astype(np.float32), 'NIFTI_INTENT_POINTSET'),
        nb.gifti.GiftiDataArray(np.array([[0, 1, 2]], np.int32), 'NIFTI_INTENT_TRIANGLE'),
    ]
    nb.GiftiImage(darrays=arrays).to_filename(path)
    return str(path)


def measure_cohort(seed: int, n_people: int, voxel_mm: float) -> dict[str, np.ndarray]:
    """Measure one control group and one other group of each kind.

    Returns
    -------
    dict
        ``controls`` and each kind: (n_people, n_measures, n_parcels). All kinds are the same
        people, so that kinds differ by what was planted alone.
    """
    cortex = load_cortex()
    streams = np.random.SeedSequence(20261121, spawn_key=(seed,)).spawn(2 * n_people)

    found: dict[str, list[np.ndarray]] = {'controls': [], **{kind: [] for kind in KINDS}}
    for number, one in enumerate(streams):
        tissues: dict[float, Tissue] = {}
        for kind in KINDS if number >= n_people else ('none',):
            shape, noise = (np.random.default_rng([*one.spawn_key, n]) for n in (0, 1))
            person = make_person(cortex, kind, voxel_mm, shape)
            change = KINDS[kind][1]
            tissues[change] = tissues.get(change) or tissue_of(person)
            name = kind if number >= n_people else 'controls'
            found[name].append(measure(cortex, person, tissues[change], noise))
    return {name: np.array(rows) for name, rows in found.items()}


def remembered(seed: int, n_people: int, voxel_mm: float, folder: Path) -> dict[str, np.ndarray]:
    """Take a cohort from an earlier run, or measure it and leave it for the next."""
    path = folder / f'{n_people}_{voxel_mm:g}mm_{seed:03d}.npz'
    if path.exists():
        return dict(np.load(path))
    found = measure_cohort(seed, n_people, voxel_mm)
    np.savez(path, **found)
    return found


def p_values(
    first: np.ndarray, other: np.ndarray, covariates: tuple[np.ndarray, ...] = ()
) -> float:
    """Test the difference of two groups by ordinary least squares, with covariates."""
    values = np.concatenate([first, other])
    group = np.r_[np.zeros(len(first)), np.ones(len(other))]
    design = np.column_stack([group, np.ones(len(values)), *covariates])
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    dof = len(values) - design.shape[1]
    variance = ((values - design @ solution) ** 2).sum() / dof
    error = np.sqrt(variance * np.linalg.pinv(design.T @ design)[0, 0])
    return float(2 * stats.t.sf(abs(solution[0] / error), dof))


ADJUSTED = {
    'fa': {'': (), '+ expected FA': ('fa_isotropic',),
           '+ expected FA, white': ('fa_isotropic', 'white')},
    'md': {'': (), '+ white, csf': ('white', 'csf')},
}  # fmt: skip


def rates(
    cohorts: list[dict[str, np.ndarray]],
) -> list[tuple[str, str, str, np.ndarray, float, float]]:
    """Return kind, measure, covariates, share with p < .05 by parcel, effect in SD, share kept.

    Shares are of cohorts; kept is the one that the group level leaves among its findings:
    p < .05 with and without.
    """
    rows = []
    for kind in KINDS:
        for measure_name, ways in ADJUSTED.items():
            number = MEASURES.index(measure_name)
            plain = np.zeros((len(cohorts), N_PARCELS))
            for way, names in ways.items():
                hits = np.zeros((len(cohorts), N_PARCELS))
                effects = np.zeros((len(cohorts), N_PARCELS))
                for row, cohort in enumerate(cohorts):
                    one, two = cohort['controls'], cohort[kind]
                    for parcel in range(N_PARCELS):
                        a, b = one[:, number, parcel], two[:, number, parcel]
                        more = tuple(
                            np.concatenate([one, two])[:, MEASURES.index(n), parcel] for n in names
                        )
                        hits[row, parcel] = p_values(a, b, more) < 0.05
                        spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
                        effects[row, parcel] = (b.mean() - a.mean()) / spread
                plain = plain if names else hits
                kept = float((hits * plain).mean())
                effect = float(effects.mean())
                rows.append((kind, measure_name, way, hits.mean(axis=0), effect, kept))
    return rows


def main(n_cohorts: int, n_people: int, voxel_mm: float, folder: Path | None) -> None:
    """Measure all cohorts and print the rates."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            main(n_cohorts, n_people, voxel_mm, Path(name))
        return
    folder.mkdir(parents=True, exist_ok=True)
    jobs = range(n_cohorts)
    with ProcessPoolExecutor(int(os.environ.get('BENCHMARK_PROCESSES', '1'))) as pool:
        futures = [pool.submit(remembered, seed, n_people, voxel_mm, folder) for seed in jobs]
        cohorts = [future.result() for future in futures]
    print(f'{n_cohorts} cohorts of {n_people} + {n_people}, voxels of {voxel_mm:g} mm')
    everyone = np.concatenate([cohort['controls'] for cohort in cohorts])
    print('controls:', ', '.join(
        f'{name} {everyone[:, n].mean():.4g}' for n, name in enumerate(MEASURES)))  # fmt: skip
    print(f'{"planted":10s} {"measure":8s} {"covariates":24s} {"rate":>6s} {"kept":>6s}  '
          'by parcel; effect, SD')  # fmt: skip
    for kind, name, way, by_parcel, effect, kept in rates(cohorts):
        listed = ' '.join(f'{rate:.2f}' for rate in by_parcel)
        shares = f'{by_parcel.mean():6.3f} {kept:6.3f}  {listed}'
        print(f'{kind:10s} {name:8s} {way:24s} {shares}; {effect:+.2f}')


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('n_cohorts', type=int, nargs='?', default=20)
    parser.add_argument('n_people', type=int, nargs='?', default=12)
    parser.add_argument('voxel_mm', type=float, nargs='?', default=3.0)
    parser.add_argument('folder', type=Path, nargs='?', help='where to keep the cohorts')
    parser.add_argument('--quick', action='store_true', help='three cohorts')
    return parser.parse_args()


if __name__ == '__main__':
    given = parse()
    main(3 if given.quick else given.n_cohorts, given.n_people, given.voxel_mm, given.folder)
