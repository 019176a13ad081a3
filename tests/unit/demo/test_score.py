"""The comparison of results with the truth."""

import json
import math

import numpy as np
import pytest

from bids_acc.demo.score import (
    Effect,
    compare,
    format_score,
    group_effect,
    read_truth,
    score,
)
from bids_acc.exceptions import InputDataError, MissingInputError


def test_compare_leaves_out_missing_values_and_says_how_many_remain():
    found = compare('x', 'mm', [1, 2, 3, 4], [1.1, np.nan, 3.1, 4.1], absolute=True)
    assert found.n == 3
    assert found.bias == pytest.approx(0.1)
    assert found.r == pytest.approx(1)


def test_compare_of_differences_has_no_bias_but_a_slope():
    found = compare('x', 'mm', [0, 1, 2], [10.0, 10.5, 11.0], absolute=False)
    assert math.isnan(found.bias)
    assert found.slope == pytest.approx(0.5)
    assert found.mae == pytest.approx(1 / 3)


def test_compare_refuses_to_make_a_figure_from_two_points():
    assert math.isnan(compare('x', '', [1, 2], [1, 2], absolute=True).mae)


def test_group_effect_has_the_sign_of_affected_minus_reference(rng):
    groups = ['HC'] * 10 + ['responder'] * 10 + ['resistant'] * 10
    planted = np.repeat([0.0, 0.0, -0.5], 10)
    effect = group_effect('t', 'mm', groups, planted, planted + 0.1 * rng.standard_normal(30))
    assert effect.planted == -0.5
    assert effect.low < -0.5 < effect.high < 0
    assert effect.verdict == 'found; planted value inside the interval'


@pytest.mark.parametrize(
    ('low', 'high', 'words'),
    [
        (-1.0, 1.0, 'not significant; planted value inside the interval'),
        (0.2, 0.4, 'found; planted value outside the interval'),
        (math.nan, math.nan, 'not significant; planted value outside the interval'),
    ],
)
def test_verdict(low, high, words):
    assert Effect('x', '', 0.5, 0.3, low, high).verdict == words


def test_truth_is_needed(tmp_path):
    with pytest.raises(MissingInputError, match='was not made by bids_acc-demo'):
        read_truth(tmp_path)
    (tmp_path / 'code').mkdir()
    (tmp_path / 'code' / 'truth.json').write_text('{')
    with pytest.raises(InputDataError, match='no JSON'):
        read_truth(tmp_path)


def test_results_that_are_not_there_are_named_not_invented(tmp_path):
    (tmp_path / 'bids' / 'code').mkdir(parents=True)
    (tmp_path / 'bids' / 'code' / 'truth.json').write_text(json.dumps({'visits': []}))
    (tmp_path / 'out').mkdir()
    recoveries, effects, notes = score(tmp_path / 'out', tmp_path / 'bids')
    assert (recoveries, effects) == ([], [])
    assert any('thickness' in note for note in notes)
    assert 'Not compared' in format_score(recoveries, effects, notes)
