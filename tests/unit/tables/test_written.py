"""Numbers as people and programs write them: read where one reading fits, said in any case."""

import json
import math

import pytest

from bids_acc.tables.columns import spelt_as_asked
from bids_acc.tables.people import read_people_table


def column(tmp_path, cells, name='score', sidecar=None):
    """Return the values of one column and the sentences about it."""
    path = tmp_path / 'participants.tsv'
    rows = [f'sub-{i:02d}\t{cell}' for i, cell in enumerate(cells, start=1)]
    path.write_text('\n'.join([f'participant_id\t{name}', *rows]) + '\n', encoding='utf-8')
    if sidecar is not None:
        path.with_suffix('.json').write_text(json.dumps({name: sidecar}))
    table = read_people_table(path)
    return table.frame[name].tolist(), list(table.notes)


@pytest.mark.parametrize('cell', ['>=57', '> 57', '\u226557', '<30', '<LOD', 'BDL', '<0,1'])
def test_a_value_of_which_only_a_bound_is_known_costs_one_person_and_is_named(tmp_path, cell):
    values, notes = column(tmp_path, ['41', cell, '38'])
    assert values[::2] == [41, 38]
    assert math.isnan(values[1])
    assert len(notes) == 1
    assert f'{cell} (sub-02)' in notes[0]
    assert 'bound' in notes[0]


@pytest.mark.parametrize(
    ('cells', 'values'),
    [
        (['300 mg', '200mg', '100'], [300, 200, 100]),
        (['300 mg/day', '200 mg/d', '150 mg per day'], [300, 200, 150]),
        (['12,5 ng/mL', '3 ng/ml'], [12.5, 3]),
        (['200 \u03bcg', '100 mcg'], [200, 100]),
    ],
)
def test_one_unit_in_all_cells_is_read(tmp_path, cells, values):
    found, notes = column(tmp_path, cells)
    assert found == values
    assert 'with a unit' in notes[0]


@pytest.mark.parametrize(
    'cells', [['300 mg', '0.2 g', '100'], ['70 kg', '154 lb'], ['1.75 m', '175 cm']]
)
def test_several_units_make_no_numbers_and_are_named(tmp_path, cells):
    found, notes = column(tmp_path, cells)
    assert found == cells
    assert 'several units' in notes[0]


def test_a_letter_behind_a_number_is_no_unit(tmp_path):
    cells = ['14a', '14b', '15']
    assert column(tmp_path, cells) == (cells, [])


@pytest.mark.parametrize(
    ('cell', 'years'),
    [
        ('P45Y6M', 45.5), ('P540M', 45), ('45y6m', 45.5), ('45 years, 6 months', 45.5),
        ('45;6', 45.5), ('>89', 89), ('90 or older', 90), ('\u226590', 90),
    ],
)  # fmt: skip
def test_ages_with_months_or_caps_are_years(tmp_path, cell, years):
    values, notes = column(tmp_path, ['30', cell, '41'], 'age')
    assert values == pytest.approx([30, years, 41])
    assert len(notes) == 1
    assert cell in notes[0]


def test_a_cap_is_a_bound_where_ages_are_not_meant(tmp_path):
    assert math.isnan(column(tmp_path, ['30', '>89', '41'], 'bprs')[0][1])


def test_infinity_is_no_value(tmp_path):
    values, notes = column(tmp_path, ['3', 'inf', '-Inf', '4'])
    assert [v for v in values if not math.isnan(v)] == [3, 4]
    assert 'inf (1)' in notes[0]


def test_typographic_signs_around_numbers_do_not_count(tmp_path):
    cells = ['\u22125', "'46", '\u201c47\u201d', '1,2E+3']
    assert column(tmp_path, cells)[0] == [-5, 46, 47, 1200]
    assert column(tmp_path, ['\u2212', 'a', 'b'])[0][1:] == ['a', 'b']


def test_ratings_in_signs_have_no_missing_among_them(tmp_path):
    assert column(tmp_path, ['+', '++', '-', 'n/a'])[0][:3] == ['+', '++', '-']
    assert column(tmp_path, ['*', '**', '***'])[0] == ['*', '**', '***']
    assert [isinstance(v, float) for v in column(tmp_path, ['3', '-', '4'])[0]] == [True] * 3


@pytest.mark.parametrize(
    ('cells', 'values'),
    [
        (['Y', 'no', 'yes', 'n'], ['yes', 'no', 'yes', 'no']),
        (['ja', 'Ja', 'nein'], ['yes', 'yes', 'no']),
        (['yes', 'no', 'yes'], ['yes', 'no', 'yes']),
        (['Y', 'N', 'Y'], ['Y', 'N', 'Y']),
        (['yes', 'Yes', 'partial'], ['yes', 'Yes', 'partial']),
        (['TRUE', 'true', 'False'], [True, True, False]),
    ],
)
def test_yes_and_no_have_one_spelling_where_a_column_holds_nothing_else(tmp_path, cells, values):
    assert column(tmp_path, cells)[0] == values


@pytest.mark.parametrize(
    'name', ['duration_of_illness_months', 'cpz_dose', 'Dose (mg/day)', 'age_months']
)
def test_durations_doses_and_ages_are_not_negative_and_may_be_zero(tmp_path, name):
    values, notes = column(tmp_path, ['-2', '0', '240', '250', '260'], name)
    assert math.isnan(values[0])
    assert values[1:] == [0, 240, 250, 260]
    assert len(notes) == 1
    assert '-2 (sub-01)' in notes[0]
    assert column(tmp_path, ['-2', '3'], f'change_in_{name}')[0] == [-2, 3]


def test_a_column_in_capitals_is_the_one_that_is_asked_for():
    assert spelt_as_asked(['SEX', 'AGE'], ['sex'], 't')[0] == {'SEX': 'sex'}
    assert spelt_as_asked(['SEX', 'sex'], ['sex'], 't') == ({}, [])
    assert spelt_as_asked(['SEX', 'Sex'], ['sex'], 't') == ({}, [])  # which one is meant?
    assert spelt_as_asked(['Sex'], ['sex', 'Sex'], 't') == ({}, [])  # asked for as it is
