"""Cells of tables of people: missing words, decimal commas, ranges, levels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.tables.labels import match_labels
from bids_acc.tables.people import read_people_table, read_session_tables


def read(tmp_path, text: str, sidecar=None):
    """Write and read a table."""
    (tmp_path / 'participants.tsv').write_text(text)
    if sidecar is not None:
        (tmp_path / 'participants.json').write_text(json.dumps(sidecar))
    return read_people_table(tmp_path / 'participants.tsv')


@pytest.mark.parametrize(
    'word', ['NA', 'NaN', 'nan', 'unknown', 'n/a', 'N/A', '', '.', '-', '#N/A', 'NULL', 'missing',
             'inconnu', 'non renseigné', 'unbekannt', 'k.A.', 'desconocido', 'onbekend', '不明',
             '#NV', '#WERT!', '(blank)', '<NA>', 'unknown/not reported', '/'],
)  # fmt: skip
def test_words_for_missing_are_missing_and_counted(tmp_path, word):
    table = read(tmp_path, f'participant_id\tgroup\tage\nsub-1\tHC\t30\nsub-2\t{word}\t{word}\n')
    assert table.frame['group'].isna().tolist() == [False, True]
    assert table.frame['age'].tolist()[0] == 30
    assert np.isnan(table.frame['age'][1])
    said = [note for note in table.notes if f'{word} (1)' in note]
    assert len(said) == (0 if word.lower() in ('', 'n/a') else 2)


def test_a_declared_level_is_no_missing_word_and_a_declared_missing_code_is_one(tmp_path):
    sidecar = {'group': {'Levels': {'NA': 'non-affective psychosis', '9': 'unknown', '1': 'HC'}}}
    table = read(tmp_path, 'participant_id\tgroup\nsub-1\tNA\nsub-2\t9\nsub-3\t1\n', sidecar)
    assert table.frame['group'].fillna('missing').tolist() == ['NA', 'missing', '1']


def test_none_is_an_answer_in_words_and_missing_among_numbers(tmp_path):
    table = read(tmp_path, 'participant_id\tdrug\tdose\nsub-1\tnone\tnone\nsub-2\tx\t5\n')
    assert table.frame['drug'].tolist() == ['none', 'x']
    assert table.frame['dose'].isna().tolist() == [True, False]


@pytest.mark.parametrize('value', ['-9', '999', '140', '-99'])
def test_ages_that_nobody_has_are_left_out_and_said_by_name(tmp_path, value):
    table = read(tmp_path, f'participant_id\tage\nsub-1\t30\nsub-2\t{value}\n')
    assert table.frame['age'].isna().tolist() == [False, True]
    assert any(f'{value} (sub-2)' in note and '0 to 120' in note for note in table.notes)


def test_declared_limits_win(tmp_path):
    sidecar = {'panss_total': {'Minimum': 0, 'Maximum': 180}}
    table = read(tmp_path, 'participant_id\tpanss_total\nsub-1\t12\nsub-2\t181\n', sidecar)
    assert table.frame['panss_total'].isna().tolist() == [False, True]


def test_codes_are_missing_only_where_the_others_show_it(tmp_path):
    text = 'participant_id\tscore\tshift\nsub-1\t3\t-4\nsub-2\t-9\t-9\nsub-3\t5\t2\n'
    table = read(tmp_path, text)
    assert table.frame['score'].isna().sum() == 1
    assert table.frame['shift'].isna().sum() == 0


def test_decimal_commas_are_read_and_called_so(tmp_path):
    table = read(tmp_path, 'participant_id\tage\nsub-1\t30,5\nsub-2\t41\n')
    assert table.frame['age'].tolist() == [30.5, 41.0]
    assert 'decimal comma (30,5 of sub-1)' in table.notes[0]


def test_a_comma_that_may_part_thousands_makes_no_numbers_and_stops_nobody(tmp_path):
    table = read(tmp_path, 'participant_id\tvolume\tage\nsub-1\t1,500\t30\nsub-2\t2,250\t31\n')
    assert table.frame['volume'].tolist() == ['1,500', '2,250']
    assert table.frame['age'].tolist() == [30, 31]
    assert '1,500 of sub-1' in table.notes[0]
    assert 'part thousands' in table.notes[0]


@pytest.mark.parametrize(
    ('cells', 'values'),
    [
        (("1'735'790", "2'000.5", '900'), [1735790, 2000.5, 900]),
        (('1 735 790', '900 000', '7'), [1735790, 900000, 7]),
        (('1,735,790', '1,200', '900'), [1735790, 1200, 900]),
        (('1.735.790', '2.500', '900.000'), [1735790, 2500, 900000]),
        (('1.200,50', '3,5', '900'), [1200.5, 3.5, 900]),
        (('1,200.50', '1,300', '2'), [1200.5, 1300, 2]),
        (('84%', '50 %', '7.5 %'), [84, 50, 7.5]),
    ],
)
def test_parted_thousands_and_per_cent_that_leave_no_doubt_are_numbers(tmp_path, cells, values):
    rows = ''.join(f'sub-{i}\t{cell}\n' for i, cell in enumerate(cells))
    table = read(tmp_path, 'participant_id\tx\n' + rows)
    assert table.frame['x'].tolist() == values
    assert table.notes


@pytest.mark.parametrize(
    'cells',
    [('1.735.790', '2.5'), ('1,735,790', '1,5'), ('1.200,50', '1,200.50'), ('84%', '0.5')],
)
def test_cells_that_contradict_each_other_are_no_numbers(tmp_path, cells):
    rows = ''.join(f'sub-{i}\t{cell}\n' for i, cell in enumerate(cells))
    assert read(tmp_path, 'participant_id\tx\n' + rows).frame['x'].tolist() == list(cells)


def test_ages_as_dicom_writes_them_are_years(tmp_path):
    cells = ('034Y', '408M', '34 months', '26 weeks', '30')
    rows = ''.join(f'sub-{i}\t{age}\n' for i, age in enumerate(cells))
    table = read(tmp_path, 'participant_id\tage\n' + rows)
    assert table.frame['age'].to_numpy() == pytest.approx([34, 34, 34 / 12, 26 * 7 / 365.25, 30])
    assert any('months, weeks or days (408M of sub-1)' in note for note in table.notes)


def test_a_header_in_the_middle_is_nobody(tmp_path):
    """Two tables put one below the other with ``cat``."""
    header = 'participant_id\tgroup\tage\n'
    table = read(tmp_path, f'{header}sub-1\tHC\t30\n{header}sub-2\tHC\t31\n')
    assert table.frame['age'].tolist() == [30, 31]
    assert '1 row that repeat' in table.notes[0]


def test_the_json_file_may_write_a_column_in_other_case(tmp_path):
    sidecar = {'Age': {'Maximum': 65}, 'Group': {'Levels': {'1': 'HC', '9': 'unknown'}}}
    text = 'participant_id\tage\tgroup\nsub-1\t30\t1\nsub-2\t70\t9\n'
    frame = read(tmp_path, text, sidecar).frame
    assert frame['age'].isna().tolist() == [False, True]
    assert frame['group'].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ('written', 'meant'),
    [('HC-01', 'sub-HC01'), ('hc_1', 'sub-HC01'), ('HC 01', 'sub-HC01'), ('1-11', 'sub-111'),
     ('sub-01-1', 'sub-01-1'), ('TRS.07', 'sub-TRS7')],
)  # fmt: skip
def test_signs_that_no_label_can_have_do_not_count(written, meant):
    """BIDS labels are letters and digits; clinical tables have hyphens. 01-1 is not 11."""
    known = ['sub-HC01', 'sub-HC11', 'sub-111', 'sub-11', 'sub-TRS7']
    assert match_labels([written], known, 'sub-', 't').of[written] == meant


def test_signs_never_make_two_people_one():
    with pytest.raises(InputDataError, match='could be the same'):
        match_labels(['1-11', '11-1'], ['sub-111'], 'sub-', 't')


def test_names_of_events_of_redcap_are_sessions():
    known = ['ses-baseline', 'ses-week6']
    match = match_labels(['baseline_arm_1', 'week_6_arm_1'], known, 'ses-', 't')
    assert list(match.of.values()) == known


def test_capped_ages_are_numbers(tmp_path):
    table = read(tmp_path, 'participant_id\tage\nsub-1\t89+\nsub-2\t41\n')
    assert table.frame['age'].tolist() == [89, 41]


@pytest.mark.parametrize(
    ('header', 'words'),
    [
        ('subject_id', "rename 'subject_id'"),
        ('record_id', "rename 'record_id'"),
        ('name', 'participant_id is missing'),
    ],
)
def test_a_table_without_ids_is_refused(tmp_path, header, words):
    with pytest.raises(InputDataError, match=words):
        read(tmp_path, f'{header}\tage\nsub-1\t30\n')


def test_a_row_about_nobody_is_left_out_and_its_line_said(tmp_path):
    table = read(tmp_path, 'Participant_ID\tage\nsub-1\t30\nn/a\t31\n')
    assert table.frame['participant_id'].tolist() == ['sub-1']
    assert 'line 3' in table.notes[0]


def test_columns_of_visits_are_typed_over_all_people(tmp_path):
    for who, dose in (('sub-1', '2'), ('sub-2', 'NA'), ('sub-3', '3,5')):
        (tmp_path / who).mkdir()
        (tmp_path / who / f'{who}_sessions.tsv').write_text(f'session_id\tdose\npre\t{dose}\n')
    table = read_session_tables(tmp_path, ['sub-1', 'sub-2', 'sub-3', 'sub-4'])
    assert table is not None
    assert table.frame['dose'].fillna(-1).tolist() == [2.0, -1.0, 3.5]


def test_labels_that_differ_in_zeros_are_mapped_or_refused():
    known = ['sub-01', 'sub-02', 'sub-10']
    match = match_labels(['1', '2', 'sub-010 ', '11'], known, 'sub-', 'p.tsv')
    assert [match.of[t] for t in ('1', '2', 'sub-010 ', '11')] == [*known, 'sub-11']
    assert 'sub-1 is read as sub-01' in match.notes[0]
    with pytest.raises(InputDataError, match='sub-01 and sub-1 differ in zeros'):
        match_labels(['01', '1'], known, 'sub-', 'p.tsv')
    with pytest.raises(InputDataError, match='sub-01 or sub-1'):
        match_labels(['001'], ['sub-01', 'sub-1'], 'sub-', 'p.tsv')
    both = match_labels(['01', '1'], ['sub-01', 'sub-1'], 'sub-', 'p.tsv')
    assert (both.of['01'], both.of['1'], both.notes) == ('sub-01', 'sub-1', ())


def test_levels_that_begin_like_missing_words_are_levels(tmp_path):
    levels = {'0': 'no response', '1': 'unknown aetiology', '2': 'declined over two years',
              '7': 'refused', '8': {'Description': 'not assessed at baseline'},
              '9': 'unknown or not reported'}  # fmt: skip
    rows = ''.join(f'sub-{code}\t{code}\n' for code in levels)
    frame = read(tmp_path, 'participant_id\tgroup\n' + rows, {'group': {'Levels': levels}}).frame
    assert frame['group'].fillna(-1).tolist() == [0, 1, 2, -1, -1, -1]


@pytest.mark.parametrize('code', ['9', '99', '-9', '999', '9999'])
def test_a_code_among_words_is_missing_unless_it_is_described(tmp_path, code):
    text = f'participant_id\tsex\nsub-1\tM\nsub-2\tF\nsub-3\t{code}\n'
    table = read(tmp_path, text)
    assert table.frame['sex'].isna().tolist() == [False, False, True]
    assert any(f'{code} (1)' in note for note in table.notes)
    levels = {'sex': {'Levels': {code: 'other'}}}
    assert read(tmp_path, text, levels).frame['sex'].tolist() == ['M', 'F', code]


def test_numbers_among_words_that_are_no_codes_stay(tmp_path):
    table = read(tmp_path, 'participant_id\tarm\nsub-1\tA\nsub-2\t1\nsub-3\t9\n')
    assert table.frame['arm'].tolist() == ['A', '1', '9']


AGES = ('30', '41', '25', '38', '44', '52')


@pytest.mark.parametrize(
    ('cell', 'words'),
    [
        ('1934-02-03', 'dates left out: 1934-02-03 (sub-7)'),
        ('03.02.1934', 'dates left out'), ('Feb-34', 'dates left out'),
        ('34567', 'not possible and left out: 34567 (sub-7)'),
        ('n.d.', 'read as missing: n.d. (1)'),
    ],
)  # fmt: skip
def test_one_age_that_is_none_costs_one_person_and_is_called_what_it_is(tmp_path, cell, words):
    rows = ''.join(f'sub-{i}\t{age}\n' for i, age in enumerate((*AGES, cell), start=1))
    table = read(tmp_path, 'participant_id\tage\n' + rows)
    assert table.frame['age'].tolist()[:6] == [float(age) for age in AGES]
    assert np.isnan(table.frame['age'][6])
    assert any(words in note for note in table.notes), table.notes


def test_words_among_numbers_change_nothing_so_that_a_model_can_refuse_them(tmp_path):
    rows = ''.join(f'sub-{i}\t{age}\n' for i, age in enumerate((*AGES, 'forty')))
    ages = read(tmp_path, 'participant_id\tage\n' + rows).frame['age']
    assert ages.tolist() == [*AGES, 'forty']
    table = read(tmp_path, 'participant_id\tdrug\nsub-1\t100\nsub-2\t200\nsub-3\t~5\n')
    assert table.frame['drug'].tolist() == ['100', '200', '~5']


def test_ages_with_their_unit_are_numbers(tmp_path):
    cells = ('38 y', '40 ans', '31.5 years', '39 Jahre', 'P38Y', '30')
    rows = ''.join(f'sub-{i}\t{age}\n' for i, age in enumerate(cells))
    table = read(tmp_path, 'participant_id\tAge at MRI\n' + rows)
    assert table.frame['Age at MRI'].tolist() == [38, 40, 31.5, 39, 38, 30]
    assert any('5 cells with a unit' in note for note in table.notes)


@pytest.mark.parametrize('cell', ['99', '0'])
def test_ages_far_from_all_others_are_kept_and_asked_about(tmp_path, cell):
    rows = ''.join(f'sub-{i}\t{age}\n' for i, age in enumerate((*AGES, cell, cell)))
    table = read(tmp_path, 'participant_id\tage\n' + rows)
    assert table.frame['age'].tolist()[-1] == float(cell)
    assert any(f'{cell} (sub-6), {cell} (sub-7)' in note for note in table.notes), table.notes


def test_ages_in_another_unit_are_asked_for_it(tmp_path):
    rows = ''.join(f'sub-{i}\t{12 * int(age)}\n' for i, age in enumerate(AGES))
    assert any(
        'declare units' in n.lower() for n in read(tmp_path, 'participant_id\tage\n' + rows).notes
    )


@pytest.mark.parametrize(
    'written', ['sub01', 'subject-01', 'Subject 01', "'01", 'sub\u221201', 'SUB_01', '\u300001']
)
def test_ids_as_people_spell_them(written):
    assert match_labels([written], ['sub-01', 'sub-02'], 'sub-', 't').of[written] == 'sub-01'


def test_ids_of_patients_and_controls_are_not_taken_for_each_other():
    assert match_labels(['patient01'], ['sub-01'], 'sub-', 't').of['patient01'] == 'sub-patient01'


def test_each_sex_has_one_spelling_and_words_are_kept_where_there_is_one_each(tmp_path):
    written = ('M', 'm', 'male', 'F', 'f', 'weiblich', 'other')
    rows = ''.join(f'sub-{i}\t{sex}\n' for i, sex in enumerate(written))
    table = read(tmp_path, 'participant_id\tsex\n' + rows)
    assert table.frame['sex'].tolist() == ['M', 'M', 'M', 'F', 'F', 'F', 'other']
    assert any('written in several ways' in note for note in table.notes)
    plain = read(tmp_path, 'participant_id\tsex\nsub-1\tmale\nsub-2\tfemale\n')
    assert plain.frame['sex'].tolist() == ['male', 'female']
    assert plain.notes == ()


def test_sexes_by_iso_5218(tmp_path):
    rows = ''.join(f'sub-{i}\t{code}\n' for i, code in enumerate('12012912'))
    assert read(tmp_path, 'participant_id\tsex\n' + rows).frame['sex'].isna().sum() == 2
    rows = ''.join(f'sub-{i}\t{code}\n' for i, code in enumerate('0101'))
    assert read(tmp_path, 'participant_id\tsex\n' + rows).frame['sex'].tolist() == [0, 1, 0, 1]


def test_two_blanks_are_one(tmp_path):
    table = read(tmp_path, 'participant_id\tgroup\nsub-1\tTRS  late\nsub-2\tTRS\u00a0late\n')
    assert table.frame['group'].tolist() == ['TRS late'] * 2
