"""Which figures of a diffusion series are named as unusual."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bids_acc.dwi.quality import USUAL, unusual
from bids_acc.dwi.tensor import fit_tensor, scalar_maps

GOOD = {'md_median': 0.9e-3, 'axes_suspicious': False, 'axes_fixed': False}


def test_what_was_not_measured_is_not_judged_but_a_series_without_tensor_is():
    assert not unusual(GOOD | dict.fromkeys(set(USUAL) - {'md_median'}, math.nan))
    assert len(unusual(GOOD | {'md_median': math.nan})) == 1
    assert len(unusual({})) == 1


@pytest.mark.parametrize('name', USUAL)
def test_each_figure_is_named_beyond_either_end_and_not_within(name):
    low, high = USUAL[name]
    for value in (low, high, (low + high) / 2):
        assert not unusual(GOOD | {name: value})
    for value in (low - 0.1 * (high - low), high + 0.1 * (high - low)):
        (text,) = unusual(GOOD | {name: value})
        assert text.startswith(name)


@pytest.mark.parametrize(('factor', 'n_named'), [(0.5, 1), (0.9, 0), (1.0, 0), (1.1, 0), (2.0, 1)])
def test_b_values_wrong_by_a_factor_of_two_show_in_the_diffusivity(rng, factor, n_named):
    """Brain as a third each of grey and white matter and of voxels that are half fluid."""
    vectors = rng.normal(size=(20, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bvals, told = np.r_[0, np.full(20, 1000.0)], np.r_[0, np.full(20, 1000.0 * factor)]
    tissue = [np.exp(-bvals * d) for d in (0.7e-3, 0.8e-3)]
    signal = np.stack([*tissue, (tissue[1] + np.exp(-bvals * 3e-3)) / 2])
    fit = fit_tensor(1000 * signal, told, np.vstack([np.zeros(3), vectors]))
    figures = GOOD | {'md_median': float(np.median(scalar_maps(fit)['md']))}
    assert len(unusual(figures)) == n_named


def test_wrong_axes_are_named_unless_they_were_corrected():
    wrong = GOOD | {'axes_suspicious': True, 'coherence': 0.2, 'coherence_best': 0.3}
    (text,) = unusual(wrong)
    assert 'gradient axes' in text
    assert not unusual(wrong | {'axes_fixed': True})
