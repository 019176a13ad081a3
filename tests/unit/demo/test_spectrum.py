"""Spectra of known contents."""

import numpy as np
import pytest

from bids_acc.demo.spectrum import (
    DWELL_TIME_S,
    N_POINTS,
    SPECTROMETER_MHZ,
    WATER_MMOL_PER_KG,
    draw_truth,
    make_fids,
)
from bids_acc.mrs.spectrum import ppm_axis, to_spectrum

FRACTIONS = np.array([0.6, 0.25, 0.15])


def test_planted_ratio_is_in_the_amplitudes(rng):
    truth = draw_truth(1.62, FRACTIONS, rng)
    assert truth.ratio(('Glu', 'Gln'), ('Cr', 'PCr')) == pytest.approx(1.62)


def test_more_csf_means_less_metabolite_per_water(rng):
    little, much = (
        draw_truth(1.5, np.array([0.9 - csf, 0.1, csf]), np.random.default_rng(1))
        for csf in (0.1, 0.4)
    )
    assert much.amplitudes['NAA'] < 0.75 * little.amplitudes['NAA']
    assert much.water_per_proton < WATER_MMOL_PER_KG


def test_naa_stands_at_two_ppm_and_above_the_noise(rng):
    truth = draw_truth(1.5, FRACTIONS, rng)
    fid, water = make_fids(truth, rng)
    ppm = ppm_axis(N_POINTS, DWELL_TIME_S, SPECTROMETER_MHZ)
    spectrum = np.abs(to_spectrum(fid))
    window = (ppm > 1.8) & (ppm < 2.3)
    assert ppm[window][spectrum[window].argmax()] == pytest.approx(2.01, abs=0.04)
    noise = np.std(to_spectrum(fid).real[(ppm < -1)])
    assert spectrum[window].max() / (2 * noise) > 25
    assert abs(water[0]) == pytest.approx(2 * truth.water_per_proton, rel=1e-3)
