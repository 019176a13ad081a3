"""How much levels change when a spectrum is changed by less than anyone can measure.

    python tests/benchmarks/mrs_stability.py [--quick]

Each real spectrum of ../shared/data (BIDS_ACC_SHARED overrides), and simulated ones of the fitting
challenge, are preprocessed; copies are moved by 0.1 Hz, turned by 0.1 rad and given a twentieth of
their noise, and each is fitted from the beginning. Printed are the median and the worst change of
the ratios to tCr in percent, and in units of their bound; a level is flagged when it changes by
more than that.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

import numpy as np

from bids_acc.mrs.basis.basis_set import load_basis
from bids_acc.mrs.engines.run import run_builtin
from bids_acc.mrs.lcm import FitOptions
from bids_acc.mrs.scan.conditions import edit_index, tell_conditions
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.spectrum import Basis, Spectrum

SHARED = Path(
    os.environ.get('BIDS_ACC_SHARED', Path(__file__).resolve().parents[3] / 'shared')
) / 'data'  # fmt: skip
NAMES = ('Glu', 'Glx', 'tNAA', 'tCho', 'Ins')
REAL = (
    'mrs-siemens30/sub-01/mrs/sub-01_acq-rda_svs.nii.gz',
    'mrs-siemens30/sub-01/mrs/sub-01_acq-dicom_svs.nii.gz',
    'mrs-press30/sub-01/mrs/sub-01_acq-press_svs.nii.gz',
    'mrs-press35/sub-01/mrs/sub-01_acq-press35_svs.nii.gz',
    'mrs-mega68/sub-01/mrs/sub-01_acq-mega_svs.nii.gz',
)


def prepared(path: Path) -> Spectrum:
    """Preprocessed spectrum with its water reference where there is one."""
    data = tell_conditions(read_nifti_mrs(path))
    reference = path.with_name(path.name.replace('_svs', '_mrsref'))
    water = read_nifti_mrs(reference).fids[:, :, 0] if reference.exists() else None
    fids = data.fids[:, :, edit_index(data, -1)]
    done = preprocess(fids, data.dwell_time, data.spectrometer_mhz, water)
    return Spectrum(
        done.fid, data.dwell_time, data.spectrometer_mhz, data.echo_time, sequence='press'
    )


def cases(quick: bool) -> Iterator[tuple[str, Spectrum, Basis]]:
    """Spectra with a simulated basis set; those of the challenge with their own as well."""
    for name in REAL:
        if (SHARED / name).exists():
            spectrum = prepared(SHARED / name)
            yield Path(name).name.split('_svs')[0], spectrum, load_basis('simulate', spectrum)
    for number in range(1, 3 if quick else 15):
        path = SHARED / 'mrs-challenge' / f'sub-{number:02d}_svs.nii.gz'
        if path.exists():
            spectrum = prepared(path)
            source = SHARED / 'basis' / 'challenge_press3T_30ms.BASIS'
            yield f'challenge {number:02d}', spectrum, load_basis(source, spectrum)


def main() -> None:
    """Print one line per spectrum, then the median and the worst of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true')
    quick = parser.parse_args().quick
    changes, flagged = [], 0
    for number, (title, spectrum, basis) in enumerate(cases(quick)):
        begin = time.process_time()
        rng = np.random.default_rng(number)
        result = run_builtin(spectrum, basis, FitOptions(), float('nan'), rng)
        used = time.process_time() - begin
        line = []
        for name in NAMES:
            value, bound = result.ratio(name, 'tCr')
            spread = result.spread(name, 'tCr')
            flagged += spread > bound
            changes.append((100 * spread / value, spread / bound))
            line.append(f'{name} {value:.3f} {changes[-1][0]:5.2f} % ({changes[-1][1]:.2f})')
        phase = result.extra['phase1_deg_per_ppm']
        print(f'{title:18s} {"; ".join(line)}; phase1 {phase:+.0f}; {used:.1f} CPU s', flush=True)
    percent, share = np.array(changes).T
    print(f'{len(percent)} levels: change median {np.median(percent):.2f} %, worst '
          f'{percent.max():.2f} %; over bound median {np.median(share):.2f}, worst '
          f'{share.max():.2f}; flagged {flagged}, above 1 % {np.sum(percent > 1)}')  # fmt: skip


if __name__ == '__main__':
    main()
