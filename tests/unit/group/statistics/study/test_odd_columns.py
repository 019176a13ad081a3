"""Columns of people that hold something else than a model asks for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.asked import asked_columns
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.study.flow import flow_notes
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.group.statistics.study.odd_columns import column_notes
from bids_acc.group.statistics.study.proposal import propose_model

MODEL = {
    'Name': 'm',
    'Group': {'Column': 'group', 'Levels': ['HC', 'FL'], 'Reference': 'HC'},
    'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}],
    'Clinical': {'Scores': ['bprs']},
    'Responses': {'Columns': ['marker']},
}


def people(**columns):
    """Return twenty people, some of their columns replaced."""
    n = 20
    frame = pd.DataFrame(
        {'participant_id': [f'sub-{i:02d}' for i in range(n)], 'session_id': '',
         'group': ['HC', 'FL'] * 10, 'age': np.arange(n) + 30.0, 'sex': ['M', 'F', 'F', 'M'] * 5,
         'bprs': np.arange(n) + 20.0, 'marker': np.arange(n) % 7 + 1.0}
    )  # fmt: skip
    return frame.assign(**columns)


def with_cells(name, **cells):
    """Return the people with some cells of a column replaced, by row: ``r3='x'``."""
    frame = people()
    frame[name] = [cells.get(f'r{i}', value) for i, value in enumerate(frame[name])]
    return frame


def notes(frame):
    """Return what is said of the columns."""
    return ' '.join(column_notes(frame, parse_model(MODEL), {}, []))


@pytest.mark.parametrize('name', ['age', 'bprs'])
def test_a_few_cells_that_are_no_numbers_cost_their_people_and_are_named(name):
    frame = with_cells(name, r3='12-14', r4='45?')
    study = make_study(parse_model(MODEL), None, None, frame)
    assert study.wide[name].isna().to_numpy().nonzero()[0].tolist() == [3, 4]
    assert "'12-14' of sub-03, '45?' of sub-04, which are no numbers" in notes(frame)


def test_many_are_a_wrong_column_and_are_named_in_the_refusal():
    frame = with_cells('bprs', **{f'r{i}': f'{i}-{i + 2}' for i in range(5)})
    with pytest.raises(InputDataError, match=r"5 such cells: '0-2' of sub-00.* and 2 more"):
        make_study(parse_model(MODEL), None, None, frame)


def test_several_units_are_the_reason():
    frame = with_cells('bprs', **{f'r{i}': '3 mg' if i % 2 else '0.2 g' for i in range(6)})
    with pytest.raises(InputDataError, match=r'one unit \(g, mg\)'):
        make_study(parse_model(MODEL), None, None, frame)


def test_sexes_in_words_and_codes_are_refused():
    frame = people(sex=['M', 'F', '1', '2'] * 5)
    with pytest.raises(InputDataError, match=r'words \(F, M\) and codes \(.1. of sub-02'):
        make_study(parse_model(MODEL), None, None, frame)


def test_a_value_many_times_the_others_is_asked_about():
    assert 'bprs of sub-07 is 1e+06, all others are at most 39' in notes(
        with_cells('bprs', r7=1e6)
    )
    assert notes(people()) == ''


def test_a_box_that_is_ticked_is_no_factor_of_its_own():
    frame = people(sex=['x', None] * 10)
    assert 'All others hold x: if an empty cell means no, write no.' in notes(frame)


def test_dates_of_birth_are_named_where_age_is_asked_for():
    frame = people(dob='1980-01-01').drop(columns='age')
    with pytest.raises(InputDataError, match='dob tells when people were born'):
        make_study(parse_model(MODEL), None, None, frame)
    assert any('dob tells' in why for why in propose_model(frame)['Proposal'])


def test_an_age_in_months_is_a_covariate():
    frame = people(age_months=np.arange(20) + 300).drop(columns='age')
    assert [c['Name'] for c in propose_model(frame)['Covariates']] == ['age_months', 'sex']


def test_the_columns_that_a_model_names():
    rules = [{'Name': 's', 'Columns': ['bprs'], 'Where': {'smoker': ['yes']}}]
    model = parse_model({**MODEL, 'Subsamples': rules, 'Sites': {'Column': 'Scanner'}})
    assert asked_columns(model) == {'group', 'age', 'sex', 'bprs', 'smoker', 'Scanner'}


def test_a_group_of_which_nothing_passed_is_said():
    flow = pd.DataFrame(
        {'cohort': 'all', 'group': ['HC', 'FL', 'HC', 'FL'], 'excluded': '', 'n_participants': 9,
         'measure': ['Glx', 'Glx', 'Glu', 'Glu'], 'n_measured': 9, 'n_used': [8, 0, 8, 7]}
    )  # fmt: skip
    told = flow_notes(flow)
    assert told == [
        'No value of Glx passed its gate in FL (9 measured): the group is in no comparison of it.'
    ]


def test_a_score_of_improvement_that_is_no_number_is_named():
    model = parse_model({**MODEL, 'Sessions': {'Improvement': {'Score': 'madrs'}}})
    frame = people(madrs=['LOCF', *range(19)])
    told = ' '.join(column_notes(frame, model, {}, []))
    assert "madrs holds 'LOCF'" in told
    assert 'left out as missing' in told
