"""Hidden editing: alarms in series of one kind, and edited series that are found.

    python tests/benchmarks/mrs_editing.py [--quick]

Simulated PRESS series of 16 to 64 transients, S/N of a transient 2 to 20, with drift; a third with
a head that moved at mid-scan, a third with breath that moves every second transient, the rest with
residual water that changes sign from one to the next. Edited ones lack NAA in one kind and gain
GABA, alternating or in blocks. The real scan and its halves are looked at where they are at hand.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

import numpy as np

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal.editing import TwoKinds, find_two_kinds

SHARED = Path(
    os.environ.get('BIDS_ACC_SHARED', Path(__file__).resolve().parents[3] / 'shared')
) / 'data'  # fmt: skip
MHZ, DWELL, N = 127.75, 5e-4, 1024
TIME = np.arange(N) * DWELL
LEVELS = {'NAA': 12, 'Cr': 5, 'PCr': 4, 'GPC': 1.5, 'Ins': 6, 'Glu': 9, 'Gln': 3, 'GABA': 1.5}


def decays() -> tuple[np.ndarray, np.ndarray]:
    """One kind, and the other: NAA gone, GABA four times as high."""
    basis = simulate.basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.068,
        metabolites=list(LEVELS),
    )  # fmt: skip
    return (
        simulate.synthetic_fid(basis, LEVELS),
        simulate.synthetic_fid(basis, LEVELS | {'NAA': 0.3, 'GABA': 6}),
    )


def series(kinds: np.ndarray, disturbed: int, rng: np.random.Generator) -> np.ndarray:
    """Transients of the given kinds' decays, moved, turned and noisy."""
    n_shots = len(kinds)
    shot = np.arange(n_shots)
    later, second = (shot >= n_shots // 2) * (disturbed == 0), (shot % 2) * (disturbed == 1)
    offset = np.cumsum(rng.normal(0, 0.2, n_shots)) + later * rng.normal(0, 3) + second
    phase = rng.normal(0, 0.1, n_shots) + later * rng.normal(0, 0.4) + 0.3 * second
    width = later * abs(rng.normal(0, 2)) + second * abs(rng.normal(0, 0.8))
    scale = (1 - 0.1 * later - 0.05 * second) * np.exp(1j * phase)
    water = abs(kinds[0, 0]) * rng.choice([0.5, 5]) * np.exp((3j * np.pi - 12 * np.pi) * TIME)
    sign = np.where((shot % 2) & (disturbed == 2), -1, 1)
    moved = np.exp(np.outer(2j * np.pi * offset - np.pi * width, TIME))
    shots = (kinds + sign[:, None] * water) * scale[:, None] * moved
    sd = np.abs(np.fft.fft(kinds[0])).max() / rng.choice([2, 6, 20]) / np.sqrt(N)
    return np.asarray(shots + sd * (rng.standard_normal((*shots.shape, 2)) @ np.array([1, 1j])))


def verdict(found: TwoKinds) -> str:
    """Clear, doubtful or none."""
    return 'clear' if found.clear else 'doubtful' if found.doubtful else 'none'


def main() -> None:
    """Print how often each verdict came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true')
    count = 18 if parser.parse_args().quick else 216
    off, on = decays()
    for edited in (False, True):
        verdicts, highest = [], []
        for seed in range(count // 3 if edited else count):
            rng = np.random.default_rng([seed, edited])
            shot = np.arange(rng.choice([16, 32, 64]))
            first = (shot // rng.choice([1, 2, 8])) % 2 == 0
            kinds = np.where((first & edited)[:, None], on, off)
            found = find_two_kinds(series(kinds, seed % 3, rng), DWELL, MHZ)
            verdicts.append(verdict(found))
            highest.append(found.unlike if found.contrast > 10 else 0.0)
        counts = {word: verdicts.count(word) for word in ('clear', 'doubtful', 'none')}
        title = 'edited' if edited else 'one kind'
        print(
            f'{title}: {counts} of {len(verdicts)}; unlike where contrast > 10: highest '
            f'{max(highest):.1f}, lowest {min(highest):.1f}', flush=True,
        )  # fmt: skip
    path = SHARED / 'mrs-mega68/sub-01/mrs/sub-01_acq-untagged_svs.nii.gz'
    if path.exists():
        data = read_nifti_mrs(path)
        shots = data.fids[0, :, 0]
        for name, part in (('whole', shots), ('ON', shots[::2]), ('OFF', shots[1::2])):
            found = find_two_kinds(part, data.dwell_time, data.spectrometer_mhz)
            print(f'real scan, {name}: contrast {found.contrast:.1f}, unlike {found.unlike:.1f}')


if __name__ == '__main__':
    main()
