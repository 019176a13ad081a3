"""Treatment trials laid end to end, and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.clinical.timeline import (
    NO_RESPONSE,
    RESPONSE,
    UNKNOWN,
    outcome,
    read_timeline,
)
from bids_acc.exceptions import InputDataError
from bids_acc.group.treatment.figures import MOST, outcomes_figure, timeline_figures
from bids_acc.tables.writing import write_tsv

ROWS = [
    {'participant_id': 'sub-1', 'trial': 2, 'drug': 'clozapine', 'dose_mg': 400, 'weeks': 20,
     'response': 'adequate', 'current': 'true'},
    {'participant_id': 'sub-1', 'trial': 1, 'drug': 'olanzapine', 'dose_mg': 20, 'weeks': 8,
     'reduction_pct': 5},
    {'participant_id': 'sub-2', 'trial': 1, 'drug': 'risperidone', 'dose_mg': 6},
    {'participant_id': 'sub-2', 'trial': 2, 'drug': 'amisulpride', 'weeks': 10,
     'response': 'inadequate', 'current': 'false'},
]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'treatment_trials.tsv'
    write_tsv(path, pd.DataFrame(ROWS))
    return read_timeline(path)


def test_trials_follow_each_other_in_time_and_what_is_unknown_stays_so(table):
    one = table[table['participant_id'] == 'sub-1']
    assert one['drug'].tolist() == ['olanzapine', 'clozapine']
    assert one[['start', 'end']].to_numpy().tolist() == [[0, 8], [8, 28]]
    assert one['outcome'].tolist() == [NO_RESPONSE, RESPONSE]
    assert one['current'].tolist() == ['n/a', 'yes']
    two = table[table['participant_id'] == 'sub-2']
    assert two['start'].iloc[0] == 0
    assert two[['end']].isna().all().all()  # nobody knows when the second began
    assert two['outcome'].tolist() == [UNKNOWN, NO_RESPONSE]
    assert np.isnan(two['dose_mg'].iloc[1])


def test_outcomes_by_rating_reduction_and_effects():
    assert outcome({'response': 'adequate', 'reduction_pct': 10}, 20) == UNKNOWN  # they disagree
    assert outcome({'reduction_pct': 30}, 20) == RESPONSE
    assert outcome({'reduction_pct': 30, 'drug_class': 'ssri'}, 20) == UNKNOWN
    both = {'response_positive': 'ineffective', 'response_negative': 'ineffective'}
    assert outcome(both, 20) == NO_RESPONSE
    assert outcome({**both, 'response_positive': 'full'}, 20) == UNKNOWN


def test_a_wrong_table_names_line_and_column(tmp_path):
    path = tmp_path / 'trials.tsv'
    write_tsv(path, pd.DataFrame([{'participant_id': 'sub-1', 'drug': 'x', 'weeks': -3}]))
    with pytest.raises(InputDataError, match=r'trials.tsv, line 2, weeks'):
        read_timeline(path)


def test_every_person_has_a_line_and_every_trial_a_box(table):
    (figure,) = timeline_figures(table, 'TRS')
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ['1', '2']
    boxes = {(round(b.get_x(), 2), round(b.get_width(), 2)) for b in axes.patches}
    assert {(0, 8), (8, 20)} <= boxes
    dashed = [b for b in axes.patches if b.get_linestyle() == '--']
    assert len(dashed) == 1  # the trial of unknown length
    assert 'clozapine 400 mg' in {text.get_text() for text in axes.texts}


def test_large_groups_are_divided(table):
    many = pd.concat(
        [table[table['participant_id'] == 'sub-1'].assign(participant_id=f'sub-{i:03d}')
         for i in range(MOST + 1)]
    )  # fmt: skip
    figures = list(timeline_figures(many, 'TRS'))
    counts = [len(f.axes[0].get_yticklabels()) for f in figures]
    assert sum(counts) == MOST + 1
    assert max(counts) <= MOST


def test_bars_are_shares_of_the_whole_group(table):
    figure = outcomes_figure(table, {'HC': ['sub-9'], 'TRS': ['sub-1', 'sub-2', 'sub-3']})
    heights = [sum(b.get_height() for b in axes.patches) for axes in figure.axes]
    assert heights == [0, pytest.approx(4 / 3)]  # two trials each of two of three people
