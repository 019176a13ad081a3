"""Low-frequency amplitude: against Fourier, of a sine, and of more or fewer volumes."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.func.amplitude import amplitude_spectrum, frequencies, low_frequency

BAND = (0.01, 0.1)


def test_least_squares_are_fourier_where_nothing_is_censored(rng):
    series = rng.standard_normal((101, 4))
    found = amplitude_spectrum(series, np.arange(101) * 2.0, frequencies(101, 2.0))
    fourier = np.abs(np.fft.rfft(series, axis=0))[1:] * 2 / 101 / np.sqrt(2)
    np.testing.assert_allclose(found, fourier, atol=1e-12)


@pytest.mark.parametrize('censored', [0.0, 0.2])
def test_a_sine_gives_its_amplitude(rng, censored):
    n, tr = 200, 2.0
    kept = rng.random(n) >= censored
    frequency = frequencies(n, tr)[15]
    series = 3 * np.sin(2 * np.pi * frequency * np.arange(n) * tr + 1)[:, None]
    found = amplitude_spectrum(series[kept], np.flatnonzero(kept) * tr, [frequency])
    assert found[0, 0] == pytest.approx(3 / np.sqrt(2), rel=1e-12 if censored == 0 else 0.02)


def test_alff_does_not_depend_on_the_number_of_volumes(rng):
    means = []
    for n in (100, 300, 600):
        series = rng.standard_normal((n, 400))
        alff, falff = low_frequency(series, np.ones(n, bool), 2.0, BAND)
        means.append(alff.mean())
        inside = frequencies(n, 2.0)
        share = np.mean((inside >= BAND[0]) & (inside <= BAND[1]))
        assert falff.mean() == pytest.approx(share, abs=0.01)  # white noise
    # amplitude of white noise: mean of a Rayleigh variable of scale 1
    assert means == pytest.approx([np.sqrt(np.pi / 2)] * 3, rel=0.02)


def test_censoring_at_random_does_not_change_alff_of_noise(rng):
    series, kept = rng.standard_normal((300, 400)), rng.random(300) > 0.2
    whole = low_frequency(series, np.ones(300, bool), 2.0, BAND)[0].mean()
    assert low_frequency(series[kept], kept, 2.0, BAND)[0].mean() == pytest.approx(whole, rel=0.03)


def test_no_frequency_in_the_band_is_missing():
    alff, falff = low_frequency(np.zeros((10, 2)), np.ones(10, bool), 0.5, (0.01, 0.02))
    assert np.isnan(alff).all()
    assert np.isnan(falff).all()
