"""Agreement of sessions: published values, identities, rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.reliability import reliability
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics

JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9],
                   [6, 2, 4, 7]])  # fmt: skip
"""Shrout and Fleiss 1979, table 2."""


def test_shrout_and_fleiss():
    """ICC(2,1) .29 of table 4; F and interval as R's psych prints them (help page of ICC)."""
    found = reliability(JUDGES)
    assert found.icc == pytest.approx(0.29, abs=0.005)
    assert found.f == pytest.approx(11.02, abs=0.01)
    assert (found.df1, found.df2) == (5, 15)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.019, 0.761), abs=0.001)


def test_two_sessions_by_their_differences(rng):
    x = rng.normal(10, 2, (50, 1)) + rng.normal(0, 0.5, (50, 2))
    found = reliability(x)
    d = x[:, 1] - x[:, 0]
    assert found.bias == pytest.approx(d.mean())
    # error and sessions together: half the mean squared difference, but for n - 1
    assert found.sem**2 == pytest.approx((d**2).mean() / 2, rel=0.03)
    assert found.sdc == pytest.approx(1.96 * 2**0.5 * found.sem, rel=1e-4)
    assert found.cv_pct == pytest.approx(
        100 * np.sqrt(np.mean((d / 2**0.5 / x.mean(axis=1)) ** 2))
    )


def test_a_shift_between_sessions_lowers_agreement_and_units_do_not(rng):
    x = rng.normal(10, 2, (40, 1)) + rng.normal(0, 0.5, (40, 2))
    found, scaled = reliability(x), reliability(1e-4 * x)
    assert reliability(x + np.array([0, 3])).icc < found.icc - 0.2
    assert scaled.icc == pytest.approx(found.icc)
    assert scaled.cv_pct == pytest.approx(found.cv_pct)


def test_what_has_no_agreement_is_refused():
    with pytest.raises(InputDataError, match='too few'):
        reliability([[1, 2], [2, 3]])
    with pytest.raises(InputDataError, match='do not differ'):
        reliability([[1, 2], [2, 3], [5, 6]])


def test_rows_of_a_study(rng):
    n = 30
    true = rng.normal(8, 1, n)
    rows = [
        pd.DataFrame({
            'participant_id': [f'sub-{i:02d}' for i in range(n)], 'session_id': session,
            'voxel': 'ACC', 'metabolite': 'Glx', 'unit_scheme': 'ratio_tcr',
            'value': true + rng.normal(0, 0.4, n), 'gate': 'pass', 'gate_reason': '',
        })
        for session in ('ses-test', 'ses-retest')
    ]  # fmt: skip
    mrs = pd.concat(rows, ignore_index=True)
    mrs = mrs[~((mrs['participant_id'] == 'sub-03') & (mrs['session_id'] == 'ses-retest'))]
    people = pd.DataFrame({'participant_id': [f'sub-{i:02d}' for i in range(n)],
                           'group': np.resize(['HC', 'TRS'], n)})  # fmt: skip
    content = {
        'Name': 'r', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}, 'Permutations': 19,
        'Mixture': {'Measures': []},
        'Sessions': {'Order': ['test', 'retest'], 'Reliability': ['test', 'retest']},
    }  # fmt: skip
    found = run_statistics(parse_model(content), None, mrs, people, None, rng)['reliability']
    whole = found[found['contrast'] == 'all groups'].iloc[0]
    wide = mrs.pivot_table(index='participant_id', columns='session_id', values='value')
    expected = reliability(wide[['ses-test', 'ses-retest']].dropna())
    assert whole['effect'] == pytest.approx(expected.icc)
    assert whole['sdc'] == pytest.approx(expected.sdc)
    assert whole['excluded'] == 'no ses-retest=1'
    assert set(found['contrast']) == {'all groups', 'HC', 'TRS'}
