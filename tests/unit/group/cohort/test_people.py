"""Who is in the cohort, with which values: participants, sessions and phenotype tables."""

from __future__ import annotations

import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.people import People, join_phenotype, read_people
from bids_acc.group.statistics.study.sessions import visit_order

PAIRS = [(f'sub-0{i}', f'ses-{v}') for i in (1, 2, 3) for v in ('pre', 'post')]


def people_of(folder, table: str, visits=None, sessions=PAIRS) -> People:
    """Write the tables of a cohort and read them."""
    (folder / 'participants.tsv').write_text(table)
    for who, text in (visits or {}).items():
        (folder / who).mkdir()
        (folder / who / f'{who}_sessions.tsv').write_text(text)
    return read_people(folder, sessions, {s for s, _ in sessions}, visit_order)


TABLE = 'participant_id\tgroup\tage\nsub-01\tHC\t30\nsub-02\tHC\t31\nsub-03\tTRS\t32\n'


def test_who_has_no_table_of_visits_keeps_the_own_values(tmp_path):
    visits = {'sub-01': 'session_id\tage\tdose\npre\t30.5\t1\nses-post\t31\t2\n'}
    people = people_of(tmp_path, TABLE, visits)
    frame = people.frame.set_index(['participant_id', 'session_id'])
    assert frame['age'].tolist() == [30.5, 31, 31, 31, 32, 32]
    assert frame['dose'].fillna(-1).tolist() == [1, 2, -1, -1, -1, -1]
    assert frame['group'].tolist() == ['HC'] * 4 + ['TRS'] * 2


def test_a_score_of_another_visit_is_no_score_of_this_one(tmp_path):
    table = 'participant_id\tbdi\nsub-01\t20\nsub-02\t21\nsub-03\t22\n'
    visits = {
        'sub-01': 'session_id\tbdi\npre\tn/a\npost\t5\n',
        'sub-02': 'session_id\tbdi\npre\t19\npost\tn/a\n',
    }
    frame = people_of(tmp_path, table, visits).frame
    assert frame['bdi'].fillna(-1).tolist() == [20, 5, 19, -1, 22, 22]


def test_visits_that_match_nothing_are_counted_and_named(tmp_path):
    visits = {'sub-01': 'session_id\tage\npre\t30\nmonth6\t31\n'}
    notes = ' '.join(people_of(tmp_path, TABLE, visits).notes)
    assert '1 visit has no results (sub-01 ses-month6)' in notes
    assert '1 session has no row (sub-01 ses-post)' in notes


def test_one_person_twice_is_one_row_or_an_error_that_names_the_values(tmp_path):
    people = people_of(tmp_path, TABLE + 'sub-03 \tTRS\t32\n')
    assert len(people.frame) == 6
    assert any('sub-03' in note for note in people.notes)
    with pytest.raises(InputDataError, match=r'several rows for sub-03 .* age \(32 and 33\)'):
        people_of(tmp_path, TABLE + '03\tTRS\t33\n')


def test_nobody_in_common_is_refused(tmp_path):
    with pytest.raises(InputDataError, match='none of its 3 participants has results'):
        people_of(tmp_path, TABLE.replace('sub-0', 'patient'))


def test_participants_with_one_row_for_each_visit(tmp_path):
    rows = ''.join(f'{s}\t{v}\tHC\t{i}\n' for i, (s, v) in enumerate(PAIRS, start=20))
    frame = people_of(tmp_path, 'participant_id\tsession_id\tgroup\tage\n' + rows).frame
    assert frame['age'].tolist() == [20, 21, 22, 23, 24, 25]


def joined(tmp_path, text: str, names=frozenset({'smoking'})) -> People:
    """Join one phenotype table to three people."""
    (tmp_path / 'phenotype').mkdir()
    (tmp_path / 'phenotype' / 'habits.tsv').write_text(text)
    people = People(pd.DataFrame(PAIRS, columns=['participant_id', 'session_id']))
    known = {s for s, _ in PAIRS}
    return join_phenotype(people, tmp_path / 'phenotype', set(names), known, visit_order)


def test_phenotype_rows_of_one_person_that_agree_are_one(tmp_path):
    text = 'participant_id\tsmoking\tday\n1\tyes\t1\n1\tyes\t2\n2\tno\t1\n3\tno\t1\n'
    people = joined(tmp_path, text)
    assert people.frame['smoking'].tolist() == ['yes', 'yes', 'no', 'no', 'no', 'no']
    assert people.not_joined == {}


def test_phenotype_rows_that_contradict_name_person_and_table(tmp_path):
    people = joined(tmp_path, 'participant_id\tsmoking\n01\tyes\n01\tno\n02\tno\n03\tno\n')
    assert 'smoking' not in people.frame
    assert set(people.not_joined) == {'smoking'}
    assert people.not_joined['smoking'].startswith(
        'habits.tsv has several rows for sub-01 that differ in smoking (yes and no); keep one row'
    )
    assert 'sub-01' in people.notes[-1]


def test_phenotype_by_visit(tmp_path):
    text = 'participant_id\tsession_id\tsmoking\n01\tpre\tyes\n01\tpost\tno\n02\tpre\tno\n'
    frame = joined(tmp_path, text).frame
    assert frame['smoking'].fillna('?').tolist() == ['yes', 'no', 'no', '?', '?', '?']


def test_a_phenotype_table_of_others_is_said(tmp_path):
    people = joined(tmp_path, 'participant_id\tsmoking\nsub-77\tyes\n')
    assert people.not_joined['smoking'] == 'habits.tsv has nobody of the results'


def test_visits_of_results_without_sessions_give_the_first(tmp_path):
    sessions = [('sub-01', None), ('sub-02', None)]
    table = 'participant_id\tsession_id\tage\n01\tpost\t31\n01\tpre\t30\n02\tpre\t40\n'
    people = people_of(tmp_path, table, sessions=sessions)
    assert people.frame['age'].tolist() == [30, 40]
    assert any('the first one is read (ses-pre)' in note for note in people.notes)


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('habits.tsv', 'participant_id,smoking\nsub-01,yes\n', 'separated by commas'),
        ('habits.csv', 'participant_id,smoking\nsub-01,yes\n', 'no tab-separated table'),
        ('habits.tsv', 'participant_id\tSmoking\nsub-01\tyes\n', "calls it 'Smoking'"),
    ],
)
def test_a_table_that_cannot_be_read_is_the_reason_and_costs_its_columns_only(
    tmp_path, name, text, words
):
    (tmp_path / 'phenotype').mkdir()
    (tmp_path / 'phenotype' / name).write_text(text)
    (tmp_path / 'phenotype' / 'other.tsv').write_text('participant_id\tbdi\nsub-01\t3\n')
    people = People(pd.DataFrame(PAIRS, columns=['participant_id', 'session_id']))
    known = {s for s, _ in PAIRS}
    found = join_phenotype(people, tmp_path / 'phenotype', {'smoking', 'bdi'}, known, visit_order)
    assert words in found.not_joined['smoking']
    assert found.frame['bdi'].tolist()[:2] == [3, 3]


def test_labels_of_visits_that_all_spell_otherwise_are_said_once(tmp_path):
    visits = {f'sub-0{i}': 'session_id\tdose\nPRE\t1\nPost\t2\n' for i in (1, 2, 3)}
    people = people_of(tmp_path, TABLE, visits)
    assert people.frame['dose'].tolist() == [1, 2] * 3
    said = [n for n in people.notes if 'is read as' in n]
    assert len(said) == 1
    assert said[0].startswith(
        'sessions.tsv of 3 people: ses-PRE is read as ses-pre, ses-Post is read as ses-post'
    )


@pytest.mark.parametrize(
    ('times', 'order'),
    [(('1.02.2020', '12.03.2019'), ('ses-post', 'ses-pre')),
     (('02/01/2020', '03/12/2019'), ('ses-pre', 'ses-post'))],
)  # fmt: skip
def test_dates_with_points_count_and_others_are_said_to_count_not(times, order):
    frame = pd.DataFrame({'participant_id': 'sub-1', 'session_id': ['ses-pre', 'ses-post'],
                          'acq_time': times})  # fmt: skip
    found = visit_order(frame)
    assert found.order == order
    assert ('02/01/2020' in found.reason) == ('/' in times[0])


def test_rows_below_the_people_are_no_people(tmp_path):
    people = people_of(tmp_path, TABLE + 'Mean\t\t31\nN=3\t\t\n')
    assert set(people.frame['participant_id']) == {'sub-01', 'sub-02', 'sub-03'}
    assert people.frame['age'].max() == 32
    assert any('rows of Mean, N=3 are no people' in note for note in people.notes)


def test_visits_of_everybody_in_one_table_beside_the_participants(tmp_path):
    """As BIDS extension proposal 36 has it; a person's own table counts before it."""
    (tmp_path / 'sessions.tsv').write_text(
        'participant_id\tsession_id\tdose\n01\tpre\t1\n01\tpost\t2\n02\tpre\t3\n'
    )
    visits = {'sub-01': 'session_id\tdose\npre\t9\npost\t8\n'}
    frame = people_of(tmp_path, TABLE, visits).frame
    assert frame['dose'].fillna(-1).tolist() == [9, 8, 3, -1, -1, -1]


def test_ids_that_name_the_visit_too_are_both(tmp_path):
    """As FreeSurfer's and fMRIPrep's tables call their rows."""
    rows = ''.join(f'{s}_{v}\tHC\t{i}\n' for i, (s, v) in enumerate(PAIRS, start=20))
    frame = people_of(tmp_path, 'participant_id\tgroup\tage\n' + rows).frame
    assert frame['age'].tolist() == [20, 21, 22, 23, 24, 25]


@pytest.mark.parametrize('name', ['session', 'Visit', 'redcap_event_name', 'Time-Point'])
def test_a_column_of_visits_with_another_name_is_named(tmp_path, name):
    rows = ''.join(f'{s}\t{v}\tHC\t{i}\n' for i, (s, v) in enumerate(PAIRS, start=20))
    with pytest.raises(InputDataError, match=f'name the column {name!r} session_id'):
        people_of(tmp_path, f'participant_id\t{name}\tgroup\tage\n' + rows)


def test_a_column_of_visits_with_another_name_in_phenotype_is_named(tmp_path):
    people = joined(tmp_path, 'participant_id\tvisit\tsmoking\n01\t1\tyes\n01\t2\tno\n')
    assert "name the column 'visit' session_id" in people.not_joined['smoking']


def _two_tables(tmp_path, a, b, sessions=(('sub-01', None), ('sub-02', None), ('sub-03', None))):
    """Join two tables that have a score both."""
    (tmp_path / 'phenotype').mkdir()
    for name, text in (('a', a), ('b', b)):
        (tmp_path / 'phenotype' / f'{name}.tsv').write_text(text)
    people = People(pd.DataFrame(list(sessions), columns=['participant_id', 'session_id']))
    known = {'sub-01', 'sub-02', 'sub-03'}
    return join_phenotype(people, tmp_path / 'phenotype', {'bprs'}, known, visit_order)


def test_a_score_that_two_sites_keep_in_two_tables_is_whole(tmp_path):
    found = _two_tables(tmp_path, 'participant_id\tbprs\nsub-01\t20\nsub-02\t21\n',
                        'participant_id\tbprs\nsub-02\t21\nsub-03\t30\n')  # fmt: skip
    assert found.frame['bprs'].tolist() == [20, 21, 30]
    assert 'b.tsv gives 1 value that the other lacks.' in ' '.join(found.notes)


def test_where_two_tables_contradict_each_other_the_first_counts_and_that_is_said(
    tmp_path,
):
    found = _two_tables(tmp_path, 'participant_id\tbprs\nsub-01\t20\nsub-02\t21\n',
                        'participant_id\tbprs\nsub-02\t25\n')  # fmt: skip
    assert found.frame['bprs'].fillna(-1).tolist() == [20, 21, -1]
    assert 'of sub-02 they differ: a.tsv is read.' in ' '.join(found.notes)


def test_visits_in_two_tables_are_joined_and_a_persons_value_is_none_of_another_visit(tmp_path):
    pre = 'participant_id\tsession_id\tbprs\nsub-01\tpre\t20\nsub-02\tpre\t21\n'
    pairs = [(f'sub-0{i}', f'ses-{v}') for i in (1, 2) for v in ('pre', 'post')]
    post = 'participant_id\tsession_id\tbprs\nsub-01\tpost\t10\n'
    found = _two_tables(tmp_path, pre, post, pairs).frame
    assert found['bprs'].fillna(-1).tolist() == [20, 10, 21, -1]
    again = tmp_path / 'again'
    again.mkdir()
    found = _two_tables(again, pre, 'participant_id\tbprs\nsub-01\t99\n', pairs).frame
    assert found['bprs'].fillna(-1).tolist() == [20, -1, 21, -1]
