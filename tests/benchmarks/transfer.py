"""Magnetization transfer ratio of a head of known truth: regions, alignment, noise.

    python tests/benchmarks/transfer.py [--quick] [--work DIR]

The head is the demo's with 2 mm voxels. Planted: 33 % in grey, 45 % in white matter, 2 % in CSF.
True values of CerebrA's labels are ratios of sums through the exact warp. The installed command
runs; structure is made once, the conditions after it take it over. Printed for each condition:
errors over the labels in points, the ratio by tissue, and how the two images came to lie on each
other.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bids_acc.demo.warp import rigid
from tests.synthetic.transfer import Phantom, make_phantom, true_regions, write_dataset

MOTION = (np.array([1.0, -0.8, 0.6]), np.array([1.0, -1.5, 0.8]))
"""Shift in mm and turn in degrees of the image with saturation."""
CONDITIONS: dict[str, dict[str, Any]] = {
    'at rest': {},
    'moved': {'motion': MOTION},
    'moved, S/N 20': {'motion': MOTION, 'noise': 45.0},
    'moved, S/N 10': {'motion': MOTION, 'noise': 90.0},
}


def main() -> None:
    """Run the conditions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='two conditions')
    parser.add_argument('--work', type=Path, help='where to keep everything')
    options = parser.parse_args()
    names = list(CONDITIONS)[: 2 if options.quick else None]
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        phantom = make_phantom()
        truth = true_regions(phantom)
        rows = {name: condition(work, phantom, truth, CONDITIONS[name]) for name in names}
    print(pd.DataFrame(rows).to_string(float_format=lambda v: f'{v:.3g}'))


def condition(
    work: Path, phantom: Phantom, truth: dict[str, float], wanted: dict[str, Any]
) -> dict[str, float]:
    """Write the images of one condition, measure them, and compare."""
    data = work / 'data'
    kept = data / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    t1w = kept.read_bytes() if kept.exists() else None
    shutil.rmtree(data, ignore_errors=True)
    motion = rigid(*wanted['motion']) if 'motion' in wanted else None
    write_dataset(data, phantom, motion=motion, noise=wanted.get('noise', 10.0))
    if t1w is not None:
        kept.write_bytes(t1w)
    measure(data, work / 'out')
    return compare(truth, work / 'out')


def measure(data: Path, out: Path) -> None:
    """Run the participant level."""
    command = [sys.executable, '-m', 'bids_acc', str(data), str(out), 'participant', '--density',
               '10k', '--modalities', 'anat', 'mtr']  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)


def compare(truth: dict[str, float], out: Path) -> dict[str, float]:
    """Return errors of the labels in points, and what the table of quality says."""
    anat = out / 'sub-01' / 'anat'
    regions = pd.read_csv(anat / 'sub-01_desc-regions_MTRmap.tsv', sep='\t', na_values='n/a')
    labels = regions[regions['method'] == 'label'].dropna(subset=['mtr'])
    true = np.array([truth[f'{r} {h}'] for r, h in zip(labels['region'], labels['hemisphere'],
                                                       strict=True)])  # fmt: skip
    error = labels['mtr'].to_numpy() - true
    surface = regions[regions['method'] == 'surface']
    qc = pd.read_csv(anat / 'sub-01_desc-qualitycontrol_MTRmap.tsv', sep='\t').iloc[0]
    figures = ('mtr_gm', 'mtr_wm', 'mtr_csf', 'on_off_moved', 'on_off_gap', 'snr_off')
    return {
        'labels': len(labels),
        'bias': error.mean(),
        'sd': error.std(),
        'largest error': np.abs(error).max(),
        'r': np.corrcoef(true, labels['mtr'])[0, 1],
        'cortex, mean of regions': surface['mtr'].mean(),
        'cortex, white matter in it': surface['white'].mean(),
        **{name: float(qc[name]) for name in figures},
    }


if __name__ == '__main__':
    main()
