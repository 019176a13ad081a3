"""Deviating diffusion protocols are named before anything is analysed."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.group.cohort import protocol_notes


@pytest.fixture
def people():
    return pd.DataFrame(
        {
            'participant_id': [f'sub-{n}' for n in range(6)],
            'session_id': [None] * 6,
            'site': ['a', 'a', 'a', 'b', 'b', 'b'],
        }
    )


def test_each_cohort_is_compared_with_itself(people):
    qc = people[['participant_id', 'session_id']].assign(
        dwi_scheme=['s1', 's1', 's2', 's3', 's3', None]
    )
    notes = protocol_notes(qc, people)
    assert notes == ['Diffusion protocols deviate in site a: s1 in 2 sessions, s2 in sub-2.']


def test_one_protocol_is_no_note(people):
    qc = people[['participant_id', 'session_id']].assign(dwi_scheme='s1')
    assert protocol_notes(qc, people) == []
    assert protocol_notes(None, people) == []
