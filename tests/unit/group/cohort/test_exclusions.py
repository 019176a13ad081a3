"""Verdicts of raters: read as people write them, honoured everywhere, and shown."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.cohort.exclusions import (
    exclusions_table,
    honour,
    read_verdicts,
    refuse_nobody_left,
    without_verdicts,
)
from bids_acc.group.cohort.reading import Cohort
from bids_acc.group.opnmf.features import complete_cases
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.page.people import people_left_out

SESSIONS = {('sub-01', 'ses-1'), ('sub-01', 'ses-2'), ('sub-02', 'ses-1'), ('sub-03', 'ses-1')}


def _write(path, *rows):
    header = 'participant_id\tsession_id\tmodality\treason\trater'
    path.parent.mkdir(exist_ok=True)
    path.write_text('\n'.join([header, *('\t'.join(row) for row in rows)]) + '\n')


@pytest.fixture
def verdicts(tmp_path):
    _write(
        tmp_path / 'code' / 'exclude.tsv',
        ('01', '2', 'T1w', 'ghosting', 'AB'), ('sub-02', 'n/a', 'mrs', 'lipids', 'n/a'),
        ('sub-09', 'n/a', 'dwi', 'x', 'AB'), ('sub-03', 'ses-7', 'all', 'x', 'AB'),
    )  # fmt: skip
    return read_verdicts(None, tmp_path, SESSIONS)


@pytest.fixture
def cohort():
    keys = pd.DataFrame(sorted(SESSIONS), columns=['participant_id', 'session_id'])
    flow = pd.concat(
        [keys.assign(modality=m, status='run', reason='') for m in ('anat', 'dwi', 'mrs')],
        ignore_index=True,
    )
    mrs = keys.assign(voxel='v', metabolite='Glx', value=1.0, gate='pass', gate_reason=None)
    mrs.loc[3, ['gate', 'gate_reason']] = ['fail', 'fwhm < 10 Hz: 12.5 fail; snr > 10: unknown']
    return Cohort(participants=keys, mrs=mrs, qc=None, flow=flow)


def test_labels_words_and_unknown_people_are_read_as_written(verdicts):
    first = verdicts.table.iloc[0]
    assert list(first[['participant_id', 'session_id', 'modality']]) == ['sub-01', 'ses-2', 'anat']
    assert any('sub-09, sub-03 ses-7' in note for note in verdicts.notes)


def test_without_a_table_nothing_is_left_out(tmp_path, cohort):
    none = read_verdicts(None, tmp_path, SESSIONS)
    assert honour(cohort, none) is cohort
    with pytest.raises(MissingInputError, match='--exclude'):
        read_verdicts(tmp_path / 'a.tsv', tmp_path, SESSIONS)


def test_a_modality_that_there_is_not_is_refused_with_the_person(tmp_path):
    _write(tmp_path / 'e.tsv', ('sub-01', 'n/a', 'pet', 'x', 'AB'))
    with pytest.raises(InputDataError, match=re.escape("'pet' of sub-01")):
        read_verdicts(tmp_path / 'e.tsv', tmp_path, SESSIONS)


def test_spectra_fail_and_the_flow_says_by_whom(verdicts, cohort):
    found = honour(cohort, verdicts)
    mrs = found.mrs.set_index(['participant_id', 'session_id'])
    assert mrs['gate'].to_dict() == {
        ('sub-01', 'ses-1'): 'pass', ('sub-01', 'ses-2'): 'pass',
        ('sub-02', 'ses-1'): 'fail', ('sub-03', 'ses-1'): 'fail',
    }  # fmt: skip
    assert mrs.loc[('sub-02', 'ses-1'), 'gate_reason'] == 'left out by a rater: lipids'
    left = found.flow[found.flow['status'] == 'exclude']
    assert left[['participant_id', 'session_id', 'modality', 'reason']].to_numpy().tolist() == [
        ['sub-01', 'ses-2', 'anat', 'left out by AB: ghosting'],
        ['sub-02', 'ses-1', 'mrs', 'left out by a rater: lipids'],
    ]
    assert (cohort.flow['status'] == 'run').all()


def test_exclusions_have_value_threshold_and_rater(verdicts, cohort):
    table = exclusions_table(honour(cohort, verdicts), verdicts)
    human = table[table['criterion'] == 'human verdict']
    assert len(human) == len(verdicts.table)
    assert set(human['definition']) == {'exclude.tsv'}
    gate = table[table['participant_id'].eq('sub-03') & table['metabolite'].eq('Glx')]
    rows = gate.set_index('criterion')
    assert rows.loc['fwhm', 'value'] == 12.5
    assert rows.loc['fwhm', 'threshold'] == '< 10 Hz'
    assert np.isnan(rows.loc['snr', 'value'])
    assert not (table['participant_id'].eq('sub-02') & table['metabolite'].eq('Glx')).any()


def test_maps_left_out_take_part_in_nothing_and_dwi_keeps_its_thickness(tmp_path):
    planted = planted_cohort(
        CohortDesign(n_subjects=5), np.random.default_rng(1), level=3, region_size=60
    )
    who = planted.data.sessions['participant_id']
    _write(tmp_path / 'e.tsv', (who[0], 'n/a', 'anat', 'x', 'A'), (who[1], 'n/a', 'dwi', 'x', 'A'))
    verdicts = read_verdicts(tmp_path / 'e.tsv', tmp_path, {(p, None) for p in who})
    data = without_verdicts(planted.data, verdicts)
    empty = np.isnan(data.values).all(axis=2)
    by_metric = dict(zip(data.metrics, empty, strict=True))
    assert by_metric['thickness'].tolist() == [True, False, False, False, False]
    assert by_metric['md'].tolist() == [True, True, False, False, False]
    kept, _ = complete_cases(data)
    assert kept.sessions['participant_id'].tolist() == who[2:].tolist()
    assert not np.isnan(planted.data.values).any()


def test_ratings_of_subjects_pages_are_joined_and_only_exclude_leaves_out(tmp_path):
    header = 'participant_id\tsession_id\tmodality\treason\trater\trating\n'
    code = tmp_path / 'code'
    code.mkdir()
    (code / 'sub-01_exclude.tsv').write_text(
        f'{header}sub-01\tses-1\tanat\tn/a\tAB\tkeep\nsub-01\tses-2\tmrs\tlipids\tAB\texclude\n'
    )
    (code / 'sub-02_exclude.tsv').write_text(f'{header}sub-02\tses-1\tdwi\tn/a\tAB\tunsure\n')
    _write(code / 'exclude.tsv', ('sub-03', 'n/a', 'all', 'withdrew', 'CD'))
    found = read_verdicts(None, tmp_path, SESSIONS)
    assert found.table[['participant_id', 'modality', 'reason']].to_numpy().tolist() == [
        ['sub-03', 'all', 'withdrew'], ['sub-01', 'mrs', 'lipids'],
    ]  # fmt: skip
    (code / 'sub-02_exclude.tsv').write_text(f'{header}sub-02\tses-1\tdwi\tn/a\tAB\tmaybe\n')
    with pytest.raises(InputDataError, match="'maybe' of sub-02 is none of exclude, unsure, keep"):
        read_verdicts(None, tmp_path, SESSIONS)


def test_the_page_names_each_person_once_for_each_modality(verdicts, cohort):
    shown = people_left_out(exclusions_table(honour(cohort, verdicts), verdicts))
    rows = shown.set_index(['participant', 'left out of'])
    assert rows.index.is_unique
    assert rows.loc[('sub-01', 'T1w'), 'why'] == 'left out by AB: ghosting'
    assert (
        rows.loc[('sub-03', 'Spectroscopy'), 'why'] == 'line width not < 10 Hz, S/N > 10: unknown'
    )
    assert rows.loc[('sub-03', 'Spectroscopy'), 'metabolites'] == 'Glx'


def test_tables_of_mriqc_name_files(tmp_path):
    path = tmp_path / 'group_T1w.tsv'
    path.write_text(
        'bids_name\tcjv\trating\tcomment\nsub-01_ses-1_T1w\t0.4\texclude\tx\n'
        'sub-02_ses-1_T1w\t0.3\tkeep\tn/a\nsub-02_ses-1_task-rest_bold.nii.gz\t0.3\texclude\tn/a\n'
    )
    there = [('sub-01', 'ses-1'), ('sub-02', 'ses-1')]
    table = read_verdicts(path, tmp_path, there).table
    assert table[['participant_id', 'session_id', 'modality']].to_numpy().tolist() == [
        ['sub-01', 'ses-1', 'anat'], ['sub-02', 'ses-1', 'func'],
    ]  # fmt: skip


def test_measures_without_verdicts_leave_nobody_out_silently(tmp_path):
    path = tmp_path / 'group_T1w.tsv'
    path.write_text('bids_name\tcjv\nsub-01_T1w\t0.4\n')
    with pytest.raises(InputDataError, match='no verdicts; add a column rating'):
        read_verdicts(path, tmp_path, [('sub-01', None)])


def test_sessions_are_matched_as_people_spell_them(tmp_path):
    """Left in the data for a zero, a bad spectrum would be analysed."""
    there = {('sub-01', 'ses-01'), ('sub-02', 'ses-02'), ('sub-02', 'ses-pre')}
    _write(
        tmp_path / 'e.tsv', ('1', '1', 'mrs', 'lipids', 'AB'), ('sub-02', '2.0', 'svs', 'x', 'AB'),
        ('sub-02', 'Ses-PRE', 'all', 'x', 'AB'),
    )  # fmt: skip
    found = read_verdicts(tmp_path / 'e.tsv', tmp_path, there)
    assert found.table['session_id'].tolist() == ['ses-01', 'ses-02', 'ses-pre']
    assert not any('no results' in note for note in found.notes)


def test_a_column_of_visits_with_another_name_leaves_nobody_out_of_all(tmp_path):
    (tmp_path / 'e.tsv').write_text('participant_id\tsession\tmodality\nsub-01\t2\tmrs\n')
    with pytest.raises(InputDataError, match="name the column 'session' session_id"):
        read_verdicts(tmp_path / 'e.tsv', tmp_path, SESSIONS)


def _answers(tmp_path, header, *cells):
    rows = [f'sub-{i:02d}\tmrs\t{cell}' for i, cell in enumerate(cells, start=1)]
    path = tmp_path / 'x.tsv'
    path.write_text('\n'.join([f'participant_id\tmodality\t{header}', *rows]) + '\n')
    return path


@pytest.mark.parametrize(
    ('header', 'cells'),
    [
        ('exclude', ('yes', 'no', 'n')), ('Excluded', ('1', '0', 'n/a')), ('bad', ('x', '', '')),
        ('include', ('no', 'yes', 'yes')), ('usable', ('FALSE', 'TRUE', 'TRUE')),
    ],
)  # fmt: skip
def test_a_column_of_yes_and_no_leaves_out_who_it_says(tmp_path, header, cells):
    found = read_verdicts(_answers(tmp_path, header, *cells), tmp_path, SESSIONS)
    assert found.table['participant_id'].tolist() == ['sub-01']


def test_answers_that_are_none_and_two_columns_of_answers_are_refused(tmp_path):
    with pytest.raises(InputDataError, match="exclude of sub-02 is 'perhaps'"):
        read_verdicts(_answers(tmp_path, 'exclude', 'yes', 'perhaps'), tmp_path, SESSIONS)
    with pytest.raises(InputDataError, match='which of exclude, include'):
        read_verdicts(_answers(tmp_path, 'exclude\tinclude', 'yes\tno'), tmp_path, SESSIONS)


def test_when_raters_leave_nobody_that_is_bad_data_and_one_modality_is_a_sentence(cohort):
    left = cohort.flow.assign(status='exclude')
    with pytest.raises(InputDataError, match='no session of any modality is left'):
        refuse_nobody_left(cohort.flow, left, 'exclude.tsv')
    left = cohort.flow.assign(status=cohort.flow['status'].where(cohort.flow['modality'] != 'mrs'))
    told = refuse_nobody_left(cohort.flow, left, 'exclude.tsv')
    assert told == ['exclude.tsv: no session of mrs is left.']
    assert refuse_nobody_left(cohort.flow, cohort.flow, 'exclude.tsv') == []
