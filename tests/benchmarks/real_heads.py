"""What brain extraction and tissues come to on real whole heads, and at what cost.

Usage: ``python tests/benchmarks/real_heads.py [HEADS] [--quick] [--tissue] [--full]
[--robust [HOW ...]] [--eroded] [--verdicts [RUNS]] [--seed N] [--threads N] [--only NAME ...]
[--resume] [--out FOLDER]``. HEADS holds ``NAME.nii.gz`` with a ``NAME_mask.nii.gz`` to compare
with (default: ``../shared/data/heads``).

For each head a line: method, volume, Dice overlap with the reference mask and ratio of the
volumes, agreement of two methods, CPU seconds and peak memory. ``--tissue`` adds the volumes of
GM, WM and CSF, the ratio of the first two and that of their deviations (one to three CPU minutes a
head), ``--full`` the mean thickness of the anterior cingulate, the share of its vertices with a
value and other figures of the surfaces, drawn in ``OUT/NAME_surfaces.png`` (four more);
``--quick`` takes the heads with voxels above 1.5 mm only, ``--resume`` what OUT has of a head from
an earlier run. Below stands what is asked. ``OUT/heads.png`` shows the outlines: the reference in
red below what was found in yellow, and with ``--tissue`` the borders of white matter (yellow) and
fluid (cyan); look at it.

``--robust`` finds the brain in each head as it is and as other scanners and hands would have left
it (`tests.synthetic.strange_heads`; 5 to 30 CPU seconds each), with the command's own steps: Dice
overlap with the mask carried along, or the refusal. What is no head goes through the tissues as
well (some 60 CPU seconds), which refuse it at the latest.

``--eroded`` takes 0, 2, 4 and 6 mm off each reference mask, as stripping tools do that cut too
tightly, and prints how much of the rim is dark then and whether it is flagged (some 10 CPU seconds
each).

``--verdicts`` measures each head as far as its tissues (with ``--full``, its surfaces) under three
seeds and with one, two and four threads of ITK (or the first two runs of them), and prints what is
decided of it (the method, a refusal and its reason, the flags) and how far the figures spread: all
runs have to decide alike.

The reference masks are of the package whose networks are used here: a Dice near 1 says that the
same is done, and only eyes say that it is right.
"""

from __future__ import annotations

import argparse
import pickle
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nibabel as nb
import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from scipy.ndimage import distance_transform_edt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
mpl.use('Agg')

import matplotlib.pyplot as plt

from bids_acc.anat.brain import BrainMask, find_brain, find_in_stripped, volume_ml
from bids_acc.anat.builtin import (
    MeasuredHemisphere,
    RegisteredBrain,
    measure_brain,
    register_brain,
)
from bids_acc.anat.figures import surfaces_on_slices
from bids_acc.anat.interfaces import (
    BiasCorrect,
    PrepareT1w,
    RegisterTemplate,
    SegmentTissues,
    load_t1w,
)
from bids_acc.anat.quality import ACC_LABELS, ACC_THICKNESS_MM, EXPECTED, rim_dark_share
from bids_acc.anat.registration import bias_correct
from bids_acc.exceptions import InputDataError
from bids_acc.images.masks import dice
from bids_acc.images.volumes import close_gaps, is_skull_stripped
from bids_acc.report.figures import save_figure
from bids_acc.surfaces.intersection import self_intersecting_faces
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template
from tests.synthetic.strange_heads import FITTING, NO_HEADS, REFUSABLE, Head

HEADS = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'heads'
ASKED = {'dice': 0.90, 'median dice': 0.96, 'ratio': 0.15}
"""Least Dice of a head and of all, and how far the ratio of the volumes may be from one."""
RUNS = ((1, 1), (2, 2), (3, 4))
"""Seed and threads of each run that has to decide alike."""
ERODED_MM = (0, 2, 4, 6)
COARSE_MM = 1.5
"""Heads with larger voxels are quick."""


def main() -> None:
    """Run all heads, print the table, draw the contact sheet."""
    given = parse()
    given.out.mkdir(parents=True, exist_ok=True)
    paths = [
        p for p in sorted(given.heads.glob('*.nii.gz')) if not p.name.endswith('_mask.nii.gz')
    ]
    paths = [p for p in paths if not given.only or p.name.split('.')[0] in given.only]
    if given.quick:
        paths = [p for p in paths if voxel_sizes(nb.load(p).affine).max() > COARSE_MM]
    if not paths:
        if given.heads != HEADS or given.only:
            raise SystemExit(f'{given.heads}: no heads there.')
        print(f'nothing measured: no heads in {"/".join(HEADS.parts[-3:])} beside the repository')
        return
    if given.robust is not None:
        sys.exit(not robust(paths, given))
    if given.eroded:
        eroded(paths, given)
        return
    if given.verdicts:
        sys.exit(not verdicts(given))
    rows, views = [], []
    for path in paths:
        row, view = remembered(path, given)
        rows.append(row)
        views.append(view)
        print('  '.join(f'{k} {v}' for k, v in row.items()), flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(given.out / 'heads.tsv', sep='\t', index=False)
    contact_sheet(views, given.out / 'heads.png')
    print(f'{given.out / "heads.tsv"}, {given.out / "heads.png"}')
    sys.exit(not verdict(table))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('heads', type=Path, nargs='?', default=HEADS)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--tissue', action='store_true')
    parser.add_argument('--full', action='store_true')
    parser.add_argument('--robust', nargs='*', metavar='HOW')
    parser.add_argument('--eroded', action='store_true')
    parser.add_argument('--verdicts', nargs='?', type=int, const=len(RUNS), choices=(2, 3))
    parser.add_argument('--resume', action='store_true')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--only', nargs='+', default=[])
    parser.add_argument('--out', type=Path, default=Path(tempfile.gettempdir()) / 'real_heads')
    return parser.parse_args()


def remembered(path: Path, given: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """Measure one head, or take what ``OUT`` has of it when that is asked for."""
    kept = given.out / f'{path.name.split(".")[0]}.pickle'
    if given.resume and kept.exists():
        return pickle.loads(kept.read_bytes())  # own file of an earlier run
    found = measure(path, given)
    kept.write_bytes(pickle.dumps(found))
    return found


def measure(path: Path, given: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """Find the brain of one head; return a line of the table and what is to be drawn."""
    name = path.name.split('.')[0]
    data, affine, _ = load_t1w(path)
    data, _ = close_gaps(data)
    row: dict[str, Any] = {
        'name': name,
        'voxel_mm': 'x'.join(f'{s:.2g}' for s in voxel_sizes(affine)),
    }
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        reference, mask, maps = read_reference(path), None, None
        try:
            found = extract(data, affine, Path(folder), given)
            mask = found.mask
            row |= {
                'method': found.method, 'ml': round(volume_ml(mask, affine)),
                'brain_agreement': round(found.agreement, 3),
                'cpu_s': round(time.process_time() - start, 1),
            }  # fmt: skip
            if reference is not None:
                row['dice'] = round(dice(mask, reference), 4)
                row['ratio'] = round(float(mask.sum() / reference.sum()), 3)
            if given.tissue or given.full:
                own, maps = tissues(
                    np.where(mask, data, 0), affine, Path(folder), given, given.out / name
                )
                row |= own
        except InputDataError as error:  # a refusal is a result
            row |= {'method': 'refused', 'why': str(error)}
    row['peak_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row['flagged'] = ' '.join(flags(row)) or 'no'
    return row, (name, data, mask, reference, maps)


def robust(paths: list[Path], given: argparse.Namespace) -> bool:
    """Print what becomes of each head in strange shapes; return whether all is as asked."""
    ways = {**FITTING, **NO_HEADS}
    good = True
    for path in paths:
        image = nb.as_closest_canonical(nb.load(path))
        plain = Head(image.get_fdata(dtype=np.float32), image.affine, read_reference(path))
        for how in given.robust or ways:
            start = time.process_time()
            try:
                overlap, said = found_in(ways[how](plain), given, no_head=how in NO_HEADS)
                as_asked = how in FITTING and overlap >= ASKED['dice']
            except Exception as error:  # noqa: BLE001 - a refusal is a result
                refused = isinstance(error, InputDataError)
                as_asked, said = refused and how in (*NO_HEADS, *REFUSABLE), str(error)
            good &= as_asked
            seconds = time.process_time() - start
            mark = ' ' if as_asked else '!'
            print(
                f'{mark} {path.name.split(".")[0]} | {how} | {said} | {seconds:.0f} s', flush=True
            )
    return good


def eroded(paths: list[Path], given: argparse.Namespace) -> None:
    """Print how much of the rim of a mask is dark when it was cut more and more tightly."""
    shares: dict[int, list[float]] = {off: [] for off in ERODED_MM}
    for path in paths:
        reference = read_reference(path)
        if reference is None:
            continue
        data, affine, _ = load_t1w(path)
        data, _ = close_gaps(data)
        depth = distance_transform_edt(reference, sampling=voxel_sizes(affine))
        for off in ERODED_MM:
            mask = depth > off
            even = bias_correct(np.where(mask, data, 0), affine, mask, given.threads)
            shares[off].append(rim_dark_share(even, mask, voxel_sizes(affine)))
        found = '  '.join(f'{off} mm {values[-1]:.2f}' for off, values in shares.items())
        print(f'{path.name.split(".")[0]:22s} {found}', flush=True)
    low, _ = EXPECTED['rim_dark_share']
    for off, values in shares.items():
        flagged = sum(not value >= low for value in values)
        print(f'{off} mm off: {min(values):.2f} to {max(values):.2f}, '
              f'flagged (below {low}): {flagged} of {len(values)}')  # fmt: skip


def check_tissues(prepared: Any, folder: Path, given: argparse.Namespace) -> None:
    """Take the command's next steps, of which the last refuses what is no brain."""
    threads, mask = given.threads, prepared.mask_file
    even = BiasCorrect(in_file=prepared.out_file, mask_file=mask, num_threads=threads)
    in_file = even.run(cwd=str(folder)).outputs.out_file
    placed = RegisterTemplate(in_file=in_file, seed=given.seed, num_threads=threads)
    to_t1w = placed.run(cwd=str(folder)).outputs.images_to_t1w
    SegmentTissues(in_file=in_file, mask_file=mask, images_to_t1w=to_t1w).run(cwd=str(folder))


def found_in(head: Head, given: argparse.Namespace, *, no_head: bool) -> tuple[float, str]:
    """Find a brain by the command's first steps; return its overlap and what is to be printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'T1w.nii.gz'
        head.image().to_filename(path)
        step = PrepareT1w(t1w_file=path, seed=given.seed, num_threads=given.threads)
        outputs = step.run(cwd=folder).outputs
        if no_head:
            check_tissues(outputs, Path(folder), given)
        found = nb.load(outputs.mask_file)
        brain = np.asarray(found.dataobj) > 0
        affine = nb.load(path).affine  # as saved: at 45 degrees the last digit decides on axes
        mask = nb.as_closest_canonical(nb.Nifti1Image(head.mask.astype(np.uint8), affine))
        facts = outputs.facts
        overlap = dice(brain, np.asarray(mask.dataobj))
        said = (
            f'Dice {overlap:.3f}, {volume_ml(brain, found.affine):.0f} mL, '
            f'{facts["brain_method"]}, agreement {facts["brain_agreement"]:.2f}'
        )
    return overlap, said


def flags(figures: dict[str, Any]) -> list[str]:
    """Name the figures of a head that lie outside their usual range."""
    judged = {**EXPECTED, **{f'roi_thickness_mean_{hemi}': ACC_THICKNESS_MM for hemi in 'LR'}}
    return [
        k for k, (low, high) in judged.items() if k in figures and not low <= figures[k] <= high
    ]


def extract(data: Any, affine: Any, folder: Path, given: argparse.Namespace) -> BrainMask:
    """Do as the participant level does."""
    if is_skull_stripped(data, voxel_sizes(affine)):
        return find_in_stripped(data, affine)
    return find_brain(data, affine, folder, seed=given.seed, n_threads=given.threads)


def read_reference(path: Path) -> Any:
    """Read the mask beside a head, with the head's axes."""
    mask = path.with_name(path.name.replace('.nii.gz', '_mask.nii.gz'))
    if not mask.exists():
        return None
    return np.asarray(nb.as_closest_canonical(nb.load(mask)).dataobj) > 0


def tissues(
    brain: Any, affine: Any, folder: Path, given: argparse.Namespace, pictures: Path
) -> tuple[dict[str, Any], Any]:
    """Segment the brain; with ``--full``, fit, measure and draw the surfaces."""
    start = time.process_time()
    registered = register_brain(brain, affine, folder, seed=given.seed, n_threads=given.threads)
    millilitre = float(voxel_sizes(affine).prod()) / 1000
    gm, wm, csf = (float(p.sum()) * millilitre for p in registered.probabilities)
    row: dict[str, Any] = {'gm_ml': round(gm), 'wm_ml': round(wm), 'csf_ml': round(csf),
                           'gm_wm_ratio': round(gm / wm, 2),
                           'spread_ratio': round(registered.spread_ratio, 2),
                           'tissue_cpu_s': round(time.process_time() - start)}  # fmt: skip
    if given.full:
        found = measure_brain(registered)
        row |= {
            f'{k}_{h}': v for h, one in found.items() for k, v in surface_figures(h, one).items()
        }
        draw_surfaces(registered, found, pictures.with_name(f'{pictures.name}_surfaces.png'))
        row['full_cpu_s'] = round(time.process_time() - start)
    return row, registered.probabilities


def cingulate(hemi: str) -> Any:
    """Return which vertices of the template's mesh are anterior cingulate."""
    mesh = load_template()[hemi]
    return region_mask(mesh.labels, mesh.names, tuple(sorted(ACC_LABELS)))


def surface_figures(hemi: str, found: MeasuredHemisphere) -> dict[str, float]:
    """Return what the table of quality says of a hemisphere, as far as it is judged here."""
    mesh, region = load_template()[hemi], cingulate(hemi)
    values = found.thickness[region]
    crossing = [self_intersecting_faces(v, mesh.faces) for v in (found.white, found.pial)]
    figures = {
        'roi_thickness_mean': float(np.nanmean(values)),
        'roi_defined_share': float(np.isfinite(values).mean()),
        'thickness_median': float(np.nanmedian(found.thickness)),
        'clamped_share': float((found.undefined == 1).mean()),
        'intersecting_share': float(np.concatenate(crossing).mean()),
    }
    return {name: round(value, 3) for name, value in figures.items()}


def draw_surfaces(
    registered: RegisteredBrain, found: dict[str, MeasuredHemisphere], path: Path
) -> None:
    """Draw white (yellow) and pial (red) surfaces around the anterior cingulate."""
    lines = [
        (vertices, load_template()[hemi].faces, colour)
        for hemi, one in found.items()
        for vertices, colour in ((one.white, 'gold'), (one.pial, 'red'))
    ]
    centre = np.mean([one.pial[cingulate(h)].mean(axis=0) for h, one in found.items()], axis=0)
    figure = surfaces_on_slices(registered.brain, registered.affine, lines, centre, path.stem)
    save_figure(figure, path, dpi=110)


def verdicts(given: argparse.Namespace) -> bool:
    """Measure the heads several times over; print and return whether all runs decide alike.

    Each run is a process of its own: ITK asks for its threads once in a process.
    """
    tables = []
    for seed, threads in RUNS[: given.verdicts]:
        out = given.out / f'seed-{seed}_threads-{threads}'
        options = [f for f in ('--quick', '--full', '--resume') if getattr(given, f[2:])]
        subprocess.run(
            [sys.executable, '-m', 'tests.benchmarks.real_heads', str(given.heads), '--tissue',
             '--seed', str(seed), '--threads', str(threads), '--out', str(out), *options,
             *(['--only', *given.only] if given.only else [])],
            check=False,
        )  # fmt: skip
        tables.append(pd.read_csv(out / 'heads.tsv', sep='\t').set_index('name'))
    return decided_alike(tables)


def decided_alike(tables: list[pd.DataFrame]) -> bool:
    """Print what the runs decide of each head and how far its figures spread.

    Examples
    --------
    >>> one = pd.DataFrame({'method': ['network'], 'flagged': ['no'], 'ml': [1400]}, index=['a'])
    >>> decided_alike([one, one.assign(ml=1410)])
    a: network, flagged no | spread: ml 10
    True
    >>> decided_alike([one, one.assign(flagged='gm_wm_ratio')])
    a: DIFFERS: network, flagged no / network, flagged gm_wm_ratio | spread: ml 0
    False
    """
    same = True
    measured = [t.drop(columns=['cpu_s', 'tissue_cpu_s', 'full_cpu_s', 'peak_mb'], errors='ignore')
                for t in tables]  # fmt: skip
    for name in tables[0].index:
        said = list(dict.fromkeys(_decision(table.loc[name]) for table in tables))
        same &= len(said) == 1
        figures = pd.DataFrame([t.select_dtypes('number').loc[name] for t in measured])
        spread = (figures.max() - figures.min()).dropna()
        print(f'{name}: {"DIFFERS: " if len(said) > 1 else ""}{" / ".join(said)} | spread: '
              + ', '.join(f'{k} {v:.3g}' for k, v in spread.items()), flush=True)  # fmt: skip
    return same


def _decision(row: pd.Series) -> str:
    """Say what is decided of a head; of a refusal the reason without its figures."""
    why = row.get('why')
    if isinstance(why, str):
        return f'{row["method"]}: ' + re.sub(r'[\d.]+', '#', why)
    return f'{row["method"]}, flagged {row["flagged"]}'


def contact_sheet(views: list[Any], path: Path) -> None:
    """Draw three slices of each head with the outlines, and again with the tissues."""
    n_columns = 6 if any(maps is not None for *_, maps in views) else 3
    size = 3 * n_columns, 3 * len(views)
    figure, axes = plt.subplots(len(views), n_columns, figsize=size, squeeze=False)
    for place in axes.ravel():
        place.axis('off')
    for line, (name, data, mask, reference, maps) in zip(axes, views, strict=True):
        draw_slices(line[:3], data, mask, [(reference, 'red', 1.6), (mask, 'yellow', 0.7)])
        if maps is not None:
            draw_slices(line[3:], data, mask, [(maps[2], 'cyan', 0.5), (maps[1], 'yellow', 0.5)])
        line[0].set_title(name, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw_slices(places: Any, data: Any, mask: Any, outlines: list[Any]) -> None:
    """Draw a slice along each axis through the middle of the brain, and lines at one half."""
    shown = data if mask is None else mask
    inside = np.argwhere(shown > 0)
    centre = [int(c) for c in inside.mean(axis=0)]
    centre[0] += round(0.06 * float(np.ptp(inside[:, 0])))  # beside the midline
    for axis, place in enumerate(places):
        image = np.take(data, centre[axis], axis=axis).T
        place.imshow(image, cmap='gray', origin='lower', aspect='auto',
                     vmax=np.quantile(image, 0.995))  # fmt: skip
        for outline, colour, width in outlines:
            if outline is not None:
                cut = np.take(outline, centre[axis], axis=axis).T
                if cut.min() < 0.5 < cut.max():
                    place.contour(cut, [0.5], colors=colour, linewidths=width)


def verdict(table: pd.DataFrame) -> bool:
    """Print what is asked of all heads and whether it is so."""
    refused = table['name'][table['method'] == 'refused'].tolist()
    print(f'refused: {", ".join(refused) or "none"} (asked: none)')
    if 'gm_wm_ratio' in table:
        low, high = table['gm_wm_ratio'].min(), table['gm_wm_ratio'].max()
        print(f'GM/WM {low:.2f} to {high:.2f} (usual {EXPECTED["gm_wm_ratio"]})')
    if 'dice' not in table:
        return not refused
    least, median = table['dice'].min(), table['dice'].median()
    apart = (table['ratio'] - 1).abs().max()
    print(
        f'Dice least {least:.3f} (asked {ASKED["dice"]}), median {median:.3f} (asked '
        f'{ASKED["median dice"]}); volume off by at most {apart:.1%} (asked {ASKED["ratio"]:.0%})'
    )
    good = least >= ASKED['dice'] and median >= ASKED['median dice'] and apart <= ASKED['ratio']
    return bool(good and not refused)


if __name__ == '__main__':
    main()
