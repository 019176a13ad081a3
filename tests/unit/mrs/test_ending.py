"""One scan exported twice gives one result, whatever its decay does at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_acc.mrs.basis.basis_set import load_basis
from bids_acc.mrs.lcm import FitOptions, fit_spectrum
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.signal.ending import wrapped_samples
from bids_acc.mrs.signal.preprocessing import preprocess
from bids_acc.mrs.spectrum import Spectrum


def test_only_a_decay_that_rises_again_is_cut(rng: np.random.Generator) -> None:
    time = np.arange(1024) * 8e-4
    noise = 0.5 * (rng.standard_normal((1024, 2)) @ np.array([1, 1j]))
    decay = 100 * np.exp(-time / 0.08) + noise
    assert wrapped_samples(decay, 8e-4) == 0
    assert wrapped_samples(noise, 8e-4) == 0
    ring = 400 / np.arange(1024, 0, -1) * (-1.0) ** np.arange(1024)
    assert 30 < wrapped_samples(decay + ring, 8e-4) < 500


def test_a_scan_exported_twice_gives_one_result(shared_data: Path) -> None:
    folder = shared_data / 'mrs-siemens30/sub-01/mrs'
    if not folder.is_dir():
        pytest.skip('no mrs-siemens30')
    found = []
    for copy in ('rda', 'dicom'):
        data = read_nifti_mrs(folder / f'sub-01_acq-{copy}_svs.nii.gz')
        fid = preprocess(data.fids[:, :, 0], data.dwell_time, data.spectrometer_mhz).fid
        spectrum = Spectrum(fid, data.dwell_time, data.spectrometer_mhz, data.echo_time)
        options = FitOptions(baseline_sensitivity=False)
        result = fit_spectrum(spectrum, load_basis('simulate', spectrum), options)
        found.append([result.ratio(names, ('Cr', 'PCr'))[0] for names in (
            ('Glu',), ('Glu', 'Gln'), ('NAA', 'NAAG'), ('GPC', 'PCh'), ('Ins',))])  # fmt: skip
        assert abs(result.phase1_deg_per_ppm) < 15
    assert found[0] == pytest.approx(found[1], rel=0.01)
