"""Volumes, intracranial volume and tracts of heads of known truth.

    python tests/benchmarks/regions.py [--quick] [--heads N] [--resolution MM] [--minutes CPU]

Heads are the demo's: the template under smooth warps, with noise and a bias field, so that errors
are those of registration, noise and mesh, not of anatomy that the template lacks. True volumes are
those of the same labels, carried by the exact warp on a fine grid. Printed: bias, sd and mean
absolute error in percent, r, slope of found on true volumes after the head size is taken out, ICC
(absolute agreement), the causes of the cingulate prisms' bias apart (`prism_causes`), and the
sizes of the cingulate masks beside the paper's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nb
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bids_acc.anat.builtin import fit_hemisphere, register_brain, tissue_image
from bids_acc.anat.builtin import measure_hemisphere as measure
from bids_acc.anat.morphometry import symmetric_thickness
from bids_acc.anat.region_interfaces import FineGrid, intracranial_volume, volume_rows
from bids_acc.anat.registration import points_to_t1w, template_path
from bids_acc.demo import cohort, structural
from bids_acc.demo.anatomy import Anatomy, draw_placement, draw_shape
from bids_acc.demo.dataset import make_scene
from bids_acc.demo.warp import apply_affine
from bids_acc.images.labels import sum_labels
from bids_acc.images.resampling import sample
from bids_acc.images.template_space import template_coordinates
from bids_acc.surfaces.atlases import all_labels, cerebra
from bids_acc.surfaces.geometry import vertex_areas, vertex_normals, vertex_volumes
from bids_acc.surfaces.region_means import region_sum
from bids_acc.surfaces.regions import find_region
from bids_acc.surfaces.template import HEMISPHERES, load_template

ACC = ('caudalanteriorcingulate', 'rostralanteriorcingulate')
NUCLEI = ('hippocampus', 'amygdala', 'caudate', 'putamen', 'thalamus')
PAPER = 847
"""Vertices of the anterior cingulate in paper 1 (doi:10.1503/jpn.210113), a side, CIVET's mesh."""


def grid_points(shape: tuple[int, ...], affine: Any) -> Any:
    """Return the scanner coordinates of all voxels."""
    index = np.indices(shape).reshape(3, -1).T
    return index @ affine[:3, :3].T + affine[:3, 3]


def true_volumes(anatomy: Anatomy, step: float) -> dict[str, float]:
    """Sum the template's labels over a grid in the head, through the exact warp."""
    affine, shape = structural.grid(step, structural.FIELD_OF_VIEW_MM)
    points = grid_points(shape, affine)
    places = np.empty_like(points, dtype=float)
    for start in range(0, len(points), 200_000):
        part = slice(start, start + 200_000)
        places[part] = anatomy.head_to_template(anatomy.scanner_to_head(points[part]))
    atlas = cerebra()
    found = sum_labels(atlas.data, atlas.affine, places)
    truth = {f'{name} {side}': float(found.amount[code]) * step**3
             for code, (name, side) in atlas.regions.items()}  # fmt: skip
    image = nb.Nifti1Image.from_filename(template_path('t1'))
    inside = (image.get_fdata(dtype=np.float32) > 0).astype(np.float32)
    share = np.nan_to_num(sample(inside, image.affine, places))
    truth['tiv'] = float(share.sum()) * step**3 / 1000
    for side, mesh in load_template().items():
        head = [anatomy.template_to_head(v) for v in (mesh.white, mesh.pial)]
        volume = vertex_volumes(*head, mesh.faces)
        acc = find_region(all_labels(side, '41k'), ACC) & mesh.cortex
        truth[f'ACC prisms {side}'] = float(volume[acc].sum())
    return truth


def prism_causes(
    anatomy: Anatomy, fit: Any, start: Any, undefined: Any, side: str
) -> dict[str, float]:
    """Take the bias of the cingulate's prisms apart, percent of the true volume, and mm.

    ``registration``: the template's surfaces carried by the estimated transform, not fitted.
    ``white``: the fitted white with the true pial surface; ``pial``: the other way round.
    ``undefined``: what scaling up for vertices without a value changes. ``white_mm`` and
    ``pial_mm``: how far outside the true surface the fitted one lies, along its normal.
    """
    mesh = load_template()[side]
    acc = find_region(all_labels(side, '41k'), ACC) & mesh.cortex
    true = [apply_affine(anatomy.placement, anatomy.template_to_head(v))
            for v in (mesh.white, mesh.pial)]  # fmt: skip
    total = vertex_volumes(*true, mesh.faces)[acc].sum()

    def off(white: Any, pial: Any) -> float:
        return float(100 * (vertex_volumes(white, pial, mesh.faces)[acc].sum() / total - 1))

    def outside(found: Any, surface: Any) -> float:
        normals = vertex_normals(surface, mesh.faces)
        return float(np.einsum('ij,ij->i', found - surface, normals)[acc].mean())

    def area(white: Any, pial: Any) -> float:
        return float(vertex_areas((white + pial) / 2, mesh.faces)[acc].sum())

    def thickness(white: Any, pial: Any) -> float:
        return float(symmetric_thickness(white, pial, mesh.faces)[acc].mean())

    found = (fit.white, fit.pial)
    maps = measure(*found, undefined, side, '41k')
    reported = 100 * (region_sum(maps.volume, acc) / total - 1)
    return {
        'all_pct': off(*found), 'registration_pct': off(*start),
        'white_pct': off(fit.white, true[1]), 'pial_pct': off(true[0], fit.pial),
        'undefined_pct': reported - off(*found),
        'thickness_pct': 100 * (thickness(*found) / thickness(*true) - 1),
        'area_pct': 100 * (area(*found) / area(*true) - 1),
        'white_mm': outside(fit.white, true[0]), 'pial_mm': outside(fit.pial, true[1]),
    }  # fmt: skip


def found_volumes(
    image: Any, affine: Any, folder: Path, seed: int, anatomy: Anatomy
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Measure a head as the participant level does, its brain given; and why prisms are off."""
    causes = []
    registered = register_brain(image, affine, folder, seed=seed)
    fine = FineGrid(image.shape, affine)
    places = template_coordinates(fine.shape, fine.affine, registered.images_to_t1w)
    known = np.isfinite(places[..., 0])
    millimetres = float(np.abs(np.linalg.det(fine.affine[:3, :3])))
    grey = fine.repeated(registered.probabilities[0])[known]
    rows, _ = volume_rows(cerebra(), places[known], grey, millimetres, millimetres)
    found = {f'{row["region"]} {row["hemisphere"]}': row['volume_mm3'] for row in rows}
    found |= {f'{row["region"]} {row["hemisphere"]} GM': row['gm_volume_mm3'] for row in rows}
    found['tiv'] = intracranial_volume(places[known], millimetres)
    tissue = tissue_image(
        registered.brain, affine, registered.probabilities, registered.images_to_t1w
    )
    for side in HEMISPHERES:
        fit, undefined = fit_hemisphere(tissue, side, registered.points_to_t1w)
        mesh = load_template()[side]
        start = [points_to_t1w(v, registered.points_to_t1w) for v in (mesh.white, mesh.pial)]
        causes.append(prism_causes(anatomy, fit, start, undefined, side))
        for density in ('41k', '10k'):
            maps = measure(fit.white, fit.pial, undefined, side, density)
            acc = find_region(all_labels(side, density), ACC)
            acc &= load_template(density)[side].cortex
            found[f'ACC prisms {side} {density}'] = region_sum(maps.volume, acc)
    return found, causes


def icc_absolute(a: Any, b: Any) -> float:
    """Return ICC(A,1) of McGraw and Wong (1996), doi:10.1037/1082-989X.1.1.30."""
    table = np.stack([a, b], axis=1)
    n, k = table.shape
    mean = table.mean()
    between = k * ((table.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    raters = n * ((table.mean(axis=0) - mean) ** 2).sum() / (k - 1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + mean
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error + k * (raters - error) / n))


def agreement(true: Any, found: Any, head: Any) -> dict[str, float]:
    """Return how well found volumes tell true ones, and with the head's size taken out."""
    off = 100 * (found / true - 1)
    design = np.stack([np.ones_like(head), head], axis=1)
    rest = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (true, found)]
    few = len(true) < 4
    return {
        'bias_pct': float(off.mean()), 'sd_pct': float(off.std(ddof=1)),
        'mae_pct': float(np.abs(off).mean()), 'r': float(np.corrcoef(true, found)[0, 1]),
        'icc': icc_absolute(true, found),
        'slope_at_equal_tiv': np.nan if few else float(rest[0] @ rest[1] / (rest[0] @ rest[0])),
    }  # fmt: skip


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--quick', action='store_true', help='three heads, truth at 2 mm')
    parser.add_argument('--heads', type=int, default=12)
    parser.add_argument('--resolution', type=float, default=2.0, help='voxel of the T1w, mm')
    parser.add_argument('--minutes', type=float, default=np.inf,
                        help='CPU time after which no other head is begun')  # fmt: skip
    options = parser.parse_args()
    n_heads = 3 if options.quick else options.heads
    print('Anterior cingulate, vertices at 41k (left, right); paper 1:', (PAPER, PAPER))
    for atlas in ('DKT', 'Desikan'):
        sizes = [int(find_region(all_labels(side, '41k'), [f'{atlas}:{n}' for n in ACC]).sum())
                 for side in HEMISPHERES]  # fmt: skip
        print(f'  {atlas}: {sizes[0]}, {sizes[1]}')
    people = cohort.draw_cohort(max(1, -(-n_heads // 3)), sessions=False, seed=77)[:n_heads]
    scene = make_scene(options.resolution)
    rows, causes, started = [], [], time.process_time()
    for person in people:
        if time.process_time() - started > 60 * options.minutes:
            break
        rng = person.generator(2, 0)
        anatomy = Anatomy(
            draw_shape(person.generator(1)), draw_placement(rng),
            np.array(person.visits[0].thickness_mm), scene.head.border,
        )  # fmt: skip
        affine, shape = structural.grid(options.resolution, structural.FIELD_OF_VIEW_MM)
        image = structural.t1w_image(scene.head, scene.blurred, anatomy, affine, shape, rng)
        brain = brain_only(image, affine, anatomy)
        truth = true_volumes(anatomy, 2.0 if options.quick else 1.0)
        with tempfile.TemporaryDirectory() as folder:
            found, why = found_volumes(brain, affine, Path(folder), seed=1, anatomy=anatomy)
        rows.append((truth, found))
        causes += why
        print(f'  {person.label}: {time.process_time() - started:.0f} CPU s', flush=True)
    print(f'{len(rows)} heads')
    print(table(rows).to_string(float_format=lambda v: f'{v:.3g}'))
    print('Cingulate prisms at 41k, causes, mean and sd over hemispheres:')
    frame = pd.DataFrame(causes)
    both = pd.DataFrame({'mean': frame.mean(), 'sd': frame.std()})
    print(both.to_string(float_format=lambda v: f'{v:.2f}'))


def brain_only(image: Any, affine: Any, anatomy: Anatomy) -> Any:
    """Cut the brain out by the template's mask: brain extraction is not judged here."""
    points = grid_points(image.shape, affine)
    places = anatomy.head_to_template(anatomy.scanner_to_head(points))
    template = nb.Nifti1Image.from_filename(template_path('t1'))
    inside = (template.get_fdata(dtype=np.float32) > 0).astype(np.float32)
    mask = np.nan_to_num(sample(inside, template.affine, places)) > 0.5
    return np.where(mask.reshape(image.shape), image, 0).astype(np.float32)


def table(rows: list[tuple[dict[str, float], dict[str, float]]]) -> pd.DataFrame:
    """Compare what was found with the truth, one row for each measure."""
    truth, found = pd.DataFrame([t for t, _ in rows]), pd.DataFrame([f for _, f in rows])
    pairs = {'tiv': 'tiv'}
    for side in HEMISPHERES:
        for name in NUCLEI:
            pairs |= {f'{name} {side}': f'{name} {side}', f'{name} {side} GM': f'{name} {side}'}
        pairs |= {f'ACC prisms {side} {d}': f'ACC prisms {side}' for d in ('41k', '10k')}
    head = truth['tiv'].to_numpy()
    return pd.DataFrame({
        name: agreement(truth[own].to_numpy(), found[name].to_numpy(), head)
        for name, own in pairs.items()
    }).T  # fmt: skip


if __name__ == '__main__':
    main()
