"""What brain extraction and tissues come to on real whole heads, and at what cost.

Usage: ``python -m tests.benchmarks.real_heads [HEADS] [--quick] [--tissue] [--full]
[--robust [HOW ...]] [--seed N] [--threads N] [--only NAME ...] [--resume] [--out FOLDER]``. HEADS
holds ``NAME.nii.gz`` with a ``NAME_mask.nii.gz`` to compare with (default:
``../shared/data/heads``).

For each head a line: method, volume, Dice overlap with the reference mask and ratio of the
volumes, agreement of two methods, CPU seconds and peak memory. ``--tissue`` adds the volumes of
GM, WM and CSF, the ratio of the first two and that of their deviations (one to three CPU minutes a
head), ``--full`` the mean thickness of the anterior cingulate and the share of its vertices with a
value (four more); ``--quick`` takes the heads with voxels above 1.5 mm only, ``--resume`` what OUT
has of a head from an earlier run. Below stands what is asked. ``OUT/heads.png`` shows the
outlines: the reference in red below what was found in yellow, and with ``--tissue`` the borders of
white matter (yellow) and fluid (cyan); look at it.

``--robust`` finds the brain in each head as it is and as other scanners and hands would have left
it (`tests.synthetic.strange_heads`; 5 to 30 CPU seconds each), with the command's own steps: Dice
overlap with the mask carried along, or the refusal. What is no head has to be refused, at the
latest by its tissues (some 60 CPU seconds).

The reference masks are of the package whose networks are used here: a Dice near 1 says that the
same is done, and only eyes say that it is right.
"""

from __future__ import annotations

import argparse
import pickle
import resource
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

mpl.use('Agg')

import matplotlib.pyplot as plt

from bids_acc.anat.brain import BrainMask, find_brain, find_in_stripped, volume_ml
from bids_acc.anat.builtin import measure_brain, register_brain
from bids_acc.anat.interfaces import PrepareT1w, load_t1w
from bids_acc.anat.quality import ACC_LABELS, EXPECTED
from bids_acc.exceptions import InputDataError
from bids_acc.images.masks import dice
from bids_acc.images.volumes import close_gaps, is_skull_stripped
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import load_template
from tests.synthetic.strange_heads import FITTING, NO_HEADS, REFUSABLE, Head

HEADS = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'heads'
ASKED = {'dice': 0.90, 'median dice': 0.96, 'ratio': 0.15}
"""Least Dice of a head and of all, and how far the ratio of the volumes may be from one."""
COARSE_MM = 1.5
"""Heads with larger voxels are quick."""
RATIO_FLAGS = ('gm_wm_ratio', 'spread_ratio')
"""Figures of the tissues that `bids_acc.anat.quality.EXPECTED` judges."""


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
        raise SystemExit(f'{given.heads}: no heads there.')
    if given.robust is not None:
        sys.exit(not robust(paths, given))
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
        try:
            found = extract(data, affine, Path(folder), given)
        except Exception as error:  # noqa: BLE001 - a refusal is a result
            return row | {'method': 'refused', 'why': str(error)}, (name, data, None, None, None)
        row |= {
            'method': found.method, 'ml': round(volume_ml(found.mask, affine)),
            'agreement': round(found.agreement, 3),
            'cpu_s': round(time.process_time() - start, 1),
        }  # fmt: skip
        reference = read_reference(path)
        if reference is not None:
            row['dice'] = round(dice(found.mask, reference), 4)
            row['ratio'] = round(float(found.mask.sum() / reference.sum()), 3)
        maps = None
        if given.tissue or given.full:
            own, maps = tissues(np.where(found.mask, data, 0), affine, Path(folder), given)
            row |= own
    row['peak_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row['flagged'] = ' '.join(flags({**row, 'brain_agreement': found.agreement})) or 'no'
    return row, (name, data, found.mask, reference, maps)


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
                overlap, said = found_in(ways[how](plain), given)
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


def found_in(head: Head, given: argparse.Namespace) -> tuple[float, str]:
    """Find a brain by the command's first steps; return its overlap and what is to be printed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'T1w.nii.gz'
        head.image().to_filename(path)
        step = PrepareT1w(t1w_file=path, seed=given.seed, num_threads=given.threads)
        outputs = step.run(cwd=folder).outputs
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
    judged = [k for k in ('brain_agreement', *RATIO_FLAGS) if k in figures]
    return [k for k in judged if not EXPECTED[k][0] <= figures[k] <= EXPECTED[k][1]]


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
    brain: Any, affine: Any, folder: Path, given: argparse.Namespace
) -> tuple[dict[str, Any], Any]:
    """Segment the brain; with ``--full``, fit and measure the surfaces."""
    start = time.process_time()
    registered = register_brain(brain, affine, folder, seed=given.seed, n_threads=given.threads)
    millilitre = float(voxel_sizes(affine).prod()) / 1000
    gm, wm, csf = (float(p.sum()) * millilitre for p in registered.probabilities)
    row: dict[str, Any] = {'gm_ml': round(gm), 'wm_ml': round(wm), 'csf_ml': round(csf),
                           'gm_wm_ratio': round(gm / wm, 2),
                           'spread_ratio': round(registered.spread_ratio, 2),
                           'tissue_cpu_s': round(time.process_time() - start)}  # fmt: skip
    if given.full:
        for hemi, found in measure_brain(registered).items():
            mesh = load_template()[hemi]
            region = region_mask(mesh.labels, mesh.names, tuple(sorted(ACC_LABELS)))
            values = found.thickness[region]
            row[f'acc_mm_{hemi}'] = round(float(np.nanmean(values)), 2)
            row[f'acc_defined_{hemi}'] = round(float(np.isfinite(values).mean()), 2)
    return row, registered.probabilities


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
