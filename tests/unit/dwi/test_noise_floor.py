"""FA that noise makes of isotropic tissue, against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.dwi.noise_floor import isotropic_fa
from bids_acc.dwi.tensor import fit_tensor, scalar_maps


@pytest.fixture
def scheme(rng):
    """Return 3 volumes of b = 0 and 24 directions."""
    vectors = rng.normal(size=(24, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.r_[0, 0, 0, np.full(24, 1000.0)], np.vstack([np.zeros((3, 3)), vectors])


@pytest.mark.parametrize(('md', 'noise'), [(0.8e-3, 0.02), (0.8e-3, 0.05), (1.2e-3, 0.03)])
def test_expected_fa_is_that_of_simulated_tissue(rng, scheme, md, noise):
    bvals, vectors = scheme
    signal = np.exp(-bvals * md) + rng.normal(0, noise, (3000, len(bvals)))
    found = scalar_maps(fit_tensor(signal, bvals, vectors))['fa']
    standard_error = found.std() / np.sqrt(len(found))
    expected = isotropic_fa([md], [noise], bvals, vectors)[0]
    assert expected == pytest.approx(found.mean(), rel=0.03, abs=3 * standard_error)


def test_no_noise_and_unknown_noise(scheme):
    found = isotropic_fa([1e-3, 1e-3, np.nan], [0.0, np.nan, 0.02], *scheme)
    assert found[0] == 0
    assert np.isnan(found[1:]).all()
