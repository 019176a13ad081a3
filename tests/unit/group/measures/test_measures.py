"""The table of measures: nothing is lost on the way, and analyses are made of it alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.group.measures.files import (
    columns_written,
    read_edited,
    read_measures,
    write_measures,
)
from bids_acc.group.measures.snippets import write_snippets
from bids_acc.group.measures.table import build_measures, long_form, parcels_by_side
from bids_acc.group.measures.ungated import (
    criteria_failed,
    parcels_left,
    regions_left,
    with_ungated,
)
from bids_acc.group.opnmf.simulate import CohortDesign, planted_cohort
from bids_acc.group.parcels.measures import Parcellation, parcel_table
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.statistics.analyses.ancova import ancova
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.rows.row import finish_table
from bids_acc.group.statistics.study.joining import make_study

KEYS = ['participant_id', 'session_id']
MODEL = {
    'Name': 'm', 'Group': {'Column': 'dx', 'Levels': ['HC', 'TRS'], 'Recode': {'hc': 'HC'}},
    'Covariates': [{'Name': 'age', 'Kind': 'continuous'}, {'Name': 'sex', 'Kind': 'categorical'}],
    'Mrs': {'UnitScheme': 'ratio_tcr', 'Primary': ['Glx']},
}  # fmt: skip


@pytest.fixture
def tables():
    """Return people, parcels, levels, quality and flow of twelve people at two visits."""
    rng = np.random.default_rng(4)
    who = [f'sub-{i:02d}' for i in range(1, 13)]
    people = pd.DataFrame([
        {'participant_id': p, 'session_id': s, 'dx': ('TRS', 'HC', 'hc')[i % 3],
         'age': rng.normal(40, 9), 'sex': 'MF'[i % 2], 'score': np.nan if i == 3 else 0.1 * i}
        for i, p in enumerate(who) for s in ('ses-1', 'ses-2')
    ])  # fmt: skip
    keys = people[KEYS].itertuples(index=False, name=None)
    keys = list(keys)
    parcels = pd.DataFrame([
        {'participant_id': p, 'session_id': s, 'component': c, 'metric': m,
         'hemisphere': side, 'value': rng.normal(2, 0.3)}
        for p, s in keys for c in (1, 2) for m in ('thickness', 'md')
        for side in ('L', 'R', 'both')
    ])  # fmt: skip
    mrs = pd.DataFrame([
        {'participant_id': p, 'session_id': s, 'voxel': voxel, 'metabolite': name,
         'unit_scheme': scheme, 'unit': '1', 'value': rng.normal(1.3, 0.1), 'crlb_pct': 7.5,
         'detected': True, 'gate': 'fail' if p == 'sub-05' else 'pass',
         'gate_reason': 'fwhm < 10 Hz: 12 fail' if p == 'sub-05' else None}
        for p, s in keys if p != 'sub-06'
        for voxel in ('acq-press_voi-ACC', 'voi-striatum') for name in ('Glx', 'NAA+NAAG')
        for scheme in ('ratio_tcr', 'water_tissue')
    ])  # fmt: skip
    qc = people[KEYS].assign(anat_cnr=rng.normal(3, 0.1, len(people)), dwi_scheme='30dir')
    flow = people[KEYS].assign(modality='mrs', status='run', reason='')
    flow.loc[flow['participant_id'] == 'sub-06', ['status', 'reason']] = ['skip', 'no spectrum']
    return people, parcels, mrs, qc, flow


@pytest.fixture
def written(tables, tmp_path):
    return write_measures(build_measures(*tables), tmp_path, {'age': {'Units': 'year'}})


def _sorted(table, *more):
    keys = [*KEYS, *more]
    return table.sort_values(keys, ignore_index=True)


def test_what_is_written_is_read_back_to_the_last_digit(tables, written):
    people, parcels, mrs, qc, _ = tables
    found = read_measures(written)
    pd.testing.assert_frame_equal(
        _sorted(found.participants), _sorted(people), check_dtype=False, check_exact=True
    )
    pd.testing.assert_frame_equal(
        _sorted(found.qc), _sorted(qc), check_dtype=False, check_exact=True
    )
    more = ('component', 'metric', 'hemisphere')
    columns = [*KEYS, *more, 'value']
    pd.testing.assert_frame_equal(
        _sorted(found.parcels, *more)[columns], _sorted(parcels, *more)[columns],
        check_dtype=False, check_exact=True,
    )  # fmt: skip
    more = ('voxel', 'metabolite', 'unit_scheme')
    columns = [*KEYS, *more, 'value', 'crlb_pct', 'gate', 'gate_reason']
    pd.testing.assert_frame_equal(
        _sorted(found.mrs, *more)[columns], _sorted(mrs, *more)[columns],
        check_dtype=False, check_exact=True,
    )  # fmt: skip


def test_gated_levels_are_empty_where_the_gate_failed_and_ungated_are_not(written):
    table = read_measures(written).wide.set_index(KEYS)
    name = 'acq_press_voi_ACC__ratio_tcr__Glx'
    failed = table.loc['sub-05']
    assert failed[f'{name}__gated'].isna().all()
    assert failed[name].notna().all()
    passed = table.loc['sub-01']
    assert passed[f'{name}__gated'].to_list() == passed[name].to_list()
    assert (table.loc['sub-06', 'status_mrs'] == 'absent').all()
    assert (table.loc['sub-06', 'reason_mrs'] == 'no spectrum').all()


def test_every_column_is_described_and_measures_have_units(written):
    wide = pd.read_csv(written, sep='\t')
    words = json.loads(written.with_suffix('.json').read_text())
    assert set(wide.columns) <= set(words)
    assert all(words[name]['Description'] for name in wide.columns)
    assert words['age']['Units'] == 'year'
    assert words['md_c1_L']['Units'] == 'mm2/s'
    assert words['thickness_c2']['Units'] == 'mm'


def test_the_long_form_has_the_same_values_once_each(written):
    found = read_measures(written)
    table = long_form(found)
    assert not table.duplicated([*KEYS, 'measure']).any()
    for name, part in table.groupby('measure'):
        assert part['value'].to_list() == found.wide[name].dropna().to_list()
    failed = table[(table['participant_id'] == 'sub-05') & (table['kind'] == 'metabolite')]
    assert set(failed['gate']) == {'fail'}


def _ancova(model, measures):
    study = make_study(model, measures.parcels, measures.mrs, measures.participants, measures.qc)
    rows = ancova(study, {}, np.random.default_rng(0))
    return finish_table(rows, model.families, model.correction)


def _numbers(text):
    return [float(x) for x in re.findall(r'= ([\d.e+-]+)', text)]


@pytest.mark.parametrize('language', ['py', 'R'])
def test_the_scripts_give_the_row_of_the_report(tables, written, language):
    program = sys.executable if language == 'py' else shutil.which('Rscript')
    if program is None:
        pytest.skip('Rscript is not installed')
    model = parse_model(MODEL)
    table = _ancova(model, read_measures(written))
    write_snippets(written.parent, model, {'ancova': table}, 'ses-1')
    done = subprocess.run(
        [program, written.parent / f'measures_example.{language}'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    row = table[table['term'] == 'group'].iloc[0]
    assert f'F({row["df1"]:.0f}, {row["df2"]:.0f})' in done.stdout
    assert _numbers(done.stdout) == pytest.approx(
        [row['value'], stats.f.sf(row['value'], row['df1'], row['df2'])], rel=1e-5
    )


def test_an_added_column_is_a_response_and_a_removed_row_is_gone(written):
    wide = pd.read_csv(written, sep='\t', na_values='n/a')
    wide['hippocampus'] = np.arange(len(wide), dtype=float)
    wide[wide['participant_id'] != 'sub-01'].to_csv(written, sep='\t', index=False, na_rep='NA')
    found = read_measures(written)
    assert 'hippocampus' in found.participants
    model = parse_model({**MODEL, 'Responses': {'Columns': ['hippocampus']}})
    table = _ancova(model, found)
    row = table[(table['response'] == 'hippocampus') & (table['term'] == 'group')].iloc[0]
    assert row['n'] == 11


def test_without_its_data_dictionary_the_names_tell(written):
    before = read_measures(written)
    written.with_suffix('.json').unlink()
    after = read_measures(written)
    assert {n: m.kind for n, m in after.meanings.items()} == {
        n: m.kind for n, m in before.meanings.items()
    }
    assert len(after.mrs) == len(before.mrs)
    assert set(after.mrs['voxel']) == {'acq_press_voi_ACC', 'voi_striatum'}


def _edit(path, name, who, value):
    wide = pd.read_csv(path, sep='\t', dtype=str, keep_default_na=False)
    wide.loc[wide['participant_id'] == who, name] = value
    wide.to_csv(path, sep='\t', index=False)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('acq_press_voi_ACC__ratio_tcr__Glx', '9', '__gated of sub-02 does not follow'),
        ('thickness_c1', '2,5', "thickness_c1 holds '2,5' of sub-02, which is no number"),
        ('session_id', 'ses-1', 'sub-02 ses-1 has two rows'),
        ('acq_press_voi_ACC__ratio_tcr__Glx__gate', 'TRUE', "'TRUE'; a verdict is pass or fail"),
        ('acq_press_voi_ACC__ratio_tcr__Glx__gate', 'ok', "of sub-02 is 'ok'; a verdict is pass"),
        ('participant_id', 'n/a', 'participant_id is missing'),
    ],
)
def test_edits_that_contradict_are_refused_with_the_place(written, name, value, message):
    _edit(written, name, 'sub-02', value)
    with pytest.raises(InputDataError, match=re.escape(message)):
        read_measures(written)


def test_an_absent_table_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match='no such file'):
        read_measures(tmp_path / 'measures.tsv')


def test_a_column_of_the_people_named_as_a_measure_is_refused(tables):
    people, *others = tables
    with pytest.raises(InputDataError, match=r'thickness_c1.*rename the column'):
        build_measures(people.assign(thickness_c1=1.0), *others)


def test_the_share_of_white_matter_is_described_and_no_response(tables, tmp_path):
    people, parcels, *others = tables
    white = parcels[parcels['metric'] == 'md'].assign(metric='white', value=0.3)
    path = write_measures(build_measures(people, pd.concat([parcels, white]), *others), tmp_path)
    words = json.loads(path.with_suffix('.json').read_text())['white_c1_L']
    assert words['Description'] == (
        'Mean of share of white matter in the samples over parcel 1, left hemisphere'
    )
    assert words['Units'] == '1'
    measures = read_measures(path)
    study = make_study(parse_model(MODEL), measures.parcels, measures.mrs, measures.participants)
    assert {m.metric for m in study.measures_of('parcel')} == {'md', 'thickness'}
    assert (study.wide['white_c2'] == 0.3).all()


@pytest.mark.parametrize('language', ['py', 'R'])
def test_the_script_knows_the_covariates_of_one_parcel(tables, tmp_path, language):
    program = sys.executable if language == 'py' else shutil.which('Rscript')
    if program is None:
        pytest.skip('Rscript is not installed')
    people, parcels, *others = tables
    rng = np.random.default_rng(8)
    white = parcels[parcels['metric'] == 'md'].assign(metric='white')
    white['value'] = rng.normal(0.3, 0.02, len(white))
    path = write_measures(build_measures(people, pd.concat([parcels, white]), *others), tmp_path)
    model = parse_model({**MODEL, 'PartialVolume': {'Covariates': ['white']}})
    table = _ancova(model, read_measures(path))
    write_snippets(tmp_path, model, {'ancova': table}, 'ses-1')
    done = subprocess.run(
        [program, tmp_path / f'measures_example.{language}'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    row = table[table['term'] == 'group'].iloc[0]
    assert row['covariates'] == 'age, sex, white_c1'
    assert _numbers(done.stdout)[0] == pytest.approx(row['value'], rel=1e-5)


@pytest.mark.parametrize('language', ['py', 'R'])
def test_the_scripts_take_codes_and_leave_out_what_the_row_left_out(tables, tmp_path, language):
    program = sys.executable if language == 'py' else shutil.which('Rscript')
    if program is None:
        pytest.skip('Rscript is not installed')
    people, *others = tables
    code = people['dx'].map({'TRS': 2, 'HC': 1, 'hc': 1}).astype(float)
    code = code.mask(people['participant_id'] == 'sub-02')  # a gap makes floats of a column
    code = code.mask(people['participant_id'] == 'sub-03', 3.0)  # alone in its group
    people = people.assign(dx=code, sex='F')  # the same in everybody
    path = write_measures(build_measures(people, *others), tmp_path)
    model = parse_model({**MODEL, 'Group': {'Column': 'dx', 'Levels': ['1', '2', '3']}})
    table = _ancova(model, read_measures(path))
    row = table[table['term'] == 'group'].iloc[0]
    assert (row['n'], row['df1'], row['covariates']) == (10, 1, 'age')
    write_snippets(tmp_path, model, {'ancova': table}, 'ses-1')
    done = subprocess.run(
        [program, tmp_path / f'measures_example.{language}'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert _numbers(done.stdout)[0] == pytest.approx(row['value'], rel=1e-5)


def test_two_values_of_one_cell_are_refused(tables):
    people, parcels, *others = tables
    doubled = pd.concat([parcels, parcels.iloc[:1]])
    with pytest.raises(InputDataError, match='two values of'):
        build_measures(people, doubled, *others)


def test_sides_of_a_parcel_make_the_whole():
    planted = planted_cohort(
        CohortDesign(n_subjects=6), np.random.default_rng(1), level=3, region_size=80
    )
    one = Parcellation('', np.zeros((1, 1)), planted.labels, planted.data.columns, {})
    whole = parcel_table(planted.data, planted.labels, planted.data.columns)
    result = ParcellationResult(
        parcellations={'': one}, choice=None, curves={}, matrices={}, table=whole,
        agreement=pd.DataFrame(), data=planted.data, excluded=pd.DataFrame(),
    )  # fmt: skip
    table = parcels_by_side(result)
    index = ['participant_id', 'metric', 'component']
    wide = table.pivot_table(index=index, columns='hemisphere', values='value')
    beside = replace(planted.data, values=planted.data.values[:1], metrics=('white',))
    more = parcels_by_side(result, beside)
    pd.testing.assert_frame_equal(more[more['metric'] != 'white'].reset_index(drop=True), table)
    first = table[table['metric'] == planted.data.metrics[0]]
    white = more[more['metric'] == 'white']
    assert sorted(white['hemisphere'].unique()) == ['L', 'R', 'both']
    np.testing.assert_allclose(white['value'], first['value'])
    area = wide.xs('area', level='metric')
    assert (area['L'] + area['R']).to_numpy() == pytest.approx(area['both'].to_numpy())
    count = table.pivot_table(index=index, columns='hemisphere', values='n_vertices')
    mean = wide.xs('md', level='metric')
    weights = count.xs('md', level='metric')
    joined = (mean['L'] * weights['L'] + mean['R'] * weights['R']) / weights['both']
    assert joined.to_numpy() == pytest.approx(mean['both'].to_numpy())


def _as_spreadsheet(text: str, program: str) -> str:
    """Rewrite a table as a program does that opened and saved it, columns in another order."""
    header, *rows = [line.split('\t') for line in text.splitlines()]
    order = [0, 1, *range(len(header) - 1, 1, -1)]
    header, rows = [header[i] for i in order], [[row[i] for i in order] for row in rows]
    if program == 'german excel':
        number = re.compile(r'-?\d+\.\d+([eE]-?\d+)?')
        words = {'n/a': '#NV', 'True': 'WAHR', 'False': 'FALSCH'}
        rows = [[words.get(c, c.replace('.', ',') if number.fullmatch(c) else c) for c in row]
                for row in rows]  # fmt: skip
        return '\ufeff' + '\r\n'.join('\t'.join(row) for row in [header, *rows]) + '\r\n'
    missing, quoted = {'r': ('NA', True), 'spss': ('.', False)}[program]
    rows = [[missing if cell == 'n/a' else cell for cell in row] for row in rows]
    if quoted:
        rows = [[cell if cell == missing or _is_number(cell) else f'"{cell}"' for cell in row]
                for row in rows]  # fmt: skip
    header = [f'"{name}"' for name in header] if quoted else header
    return '\n'.join('\t'.join(row) for row in [header, *rows]) + '\n'


def _is_number(cell: str) -> bool:
    """Tell whether a cell is a number."""
    return bool(re.fullmatch(r'-?\d+(\.\d+)?([eE]-?\d+)?', cell))


@pytest.mark.parametrize('program', ['german excel', 'r', 'spss'])
def test_a_table_that_another_program_saved_is_the_same_table(written, program):
    own = read_measures(written)
    written.write_text(_as_spreadsheet(written.read_text(), program))
    saved = read_measures(written)
    pd.testing.assert_frame_equal(saved.wide[own.wide.columns], own.wide)
    assert saved.meanings == own.meanings
    pd.testing.assert_frame_equal(_sorted(saved.mrs, 'voxel', 'metabolite', 'unit_scheme'),
                                  _sorted(own.mrs, 'voxel', 'metabolite', 'unit_scheme'),
                                  check_like=True)  # fmt: skip


# -- a table that another program has saved ------------------------------------------------------


def edited(written, change):
    """Save a changed copy of a table without its JSON file, as a spreadsheet does."""
    table = pd.read_csv(written, sep='\t', keep_default_na=False, dtype=str)
    path = written.with_name('edited.tsv')
    change(table).to_csv(path, sep='\t', index=False)
    return path


def test_people_of_an_edited_table_are_read_as_in_participants_tsv(written):
    who = list(pd.read_csv(written, sep='\t')['participant_id'].unique())

    def change(table):
        mine = table['participant_id'] == who[0]
        return table.assign(
            participant_id=table['participant_id'].str.removeprefix('sub-'),
            age=table['age'].where(~mine, '-9'), dx=table['dx'].where(~mine, 'unknown'),
        )  # fmt: skip

    found, notes = read_edited(edited(written, change), who)
    people = found.participants.set_index('participant_id')
    assert list(people.index.unique()) == who
    assert people.loc[[who[0]], ['age', 'dx']].isna().all(axis=None)
    assert people['age'].drop(who[0]).notna().all()
    text = ' '.join(notes)
    assert f'It has {len(who)} people' in text
    assert 'age: not possible and left out: -9' in text
    assert 'dx: read as missing: unknown (2)' in text


@pytest.mark.parametrize('case', [str.lower, str.upper])
def test_columns_in_another_case_are_known(written, case):
    """As R's clean_names and SQL write them."""
    plain, _ = read_edited(edited(written, lambda table: table), [])
    path = edited(written, lambda table: table.rename(columns=case))
    found, notes = read_edited(path, [], columns_written([written.parent]))
    assert found.meanings == plain.meanings
    assert not any(' 0 of metabolites' in note for note in notes)


def test_a_column_that_two_could_be_is_left_as_it_stands(written):
    path = edited(written, lambda table: table.assign(DX='x', Score2='1', score2='2'))
    found, _ = read_edited(path, [], {'dx', 'SCORE2', 'Score2'})
    assert {'dx', 'DX', 'Score2', 'score2'} <= set(found.wide)


def test_people_of_the_table_only_and_of_the_results_only_are_named(written):
    who = list(pd.read_csv(written, sep='\t')['participant_id'].unique())

    def change(table):
        # a spreadsheet has read a label as a date
        return table.replace({'participant_id': {who[1]: 'Mar-04'}})

    text = ' '.join(read_edited(edited(written, change), who)[1])
    assert '1 person of the table is not among the selected participants' in text
    assert '(was the label changed?): sub-Mar-04.' in text
    assert (
        f'1 person of the output folder is not in the table and takes no part: {who[1]}.' in text
    )
    same = ' '.join(read_edited(edited(written, lambda table: table), who)[1])
    assert 'output folder' not in same


def test_one_person_under_two_labels_is_refused(written):
    who = list(pd.read_csv(written, sep='\t')['participant_id'].unique())
    label = 'sub-' + who[0].removeprefix('sub-').lstrip('0')

    def change(table):
        return pd.concat([table, table.iloc[[0]].assign(participant_id=label)])

    assert label != who[0]
    with pytest.raises(InputDataError, match='could be the same'):
        read_edited(edited(written, change), who)


def test_columns_that_a_program_renamed_are_said_to_be_of_people(written):
    def change(table):
        return table.set_axis(
            [name.upper() if name in KEYS else f'V{i}' for i, name in enumerate(table)], axis=1
        )

    found, notes = read_edited(edited(written, change), [])
    assert not found.columns('metabolite')
    assert '0 of parcels, 0 of regions, 0 of metabolites, 0 of quality' in notes[0]
    assert 'about people: V2, V3' in notes[0]


def test_rows_below_the_people_of_an_edited_table_are_no_people(written):
    wide = pd.read_csv(written, sep='\t', dtype=str, keep_default_na=False)
    wide.loc[len(wide)] = ['Mean', '', 'HC', *['1'] * (len(wide.columns) - 3)]
    wide.to_csv(written, sep='\t', index=False)
    found, notes = read_edited(written, {f'sub-{i:02d}' for i in range(1, 13)})
    assert found.wide['participant_id'].nunique() == 12
    assert any('Rows of Mean are no people' in note for note in notes)


def test_levels_without_verdicts_are_analysed_and_that_is_said(written):
    known = {f'sub-{i:02d}' for i in range(1, 13)}
    assert not any('no verdict' in note for note in read_edited(written, known)[1])
    wide = pd.read_csv(written, sep='\t', dtype=str, keep_default_na=False)
    wide[[c for c in wide if '__gate' not in c]].to_csv(written, sep='\t', index=False)
    found, notes = read_edited(written, known)
    n = len({(m.voxel, m.scheme, m.metabolite) for m in found.meanings.values()
             if m.quantity == 'value'})  # fmt: skip
    assert any(f'{n} of {n} metabolite levels have no verdict' in note for note in notes)


@pytest.fixture
def left_out(tables):
    """Return failed criteria, and values of parcels and regions of the sessions that failed."""
    keys = {'participant_id': ['sub-02', 'sub-02', 'sub-07'], 'session_id': ['ses-1'] * 3}
    images = pd.DataFrame({**keys, 'modality': ['anat', 'anat', 'dwi'],
                           'criterion': ['cnr', 'brain_ml', 'fd_mean']})  # fmt: skip
    parcels = pd.DataFrame({
        'participant_id': ['sub-02', 'sub-07'], 'session_id': 'ses-1', 'component': 1,
        'metric': ['thickness', 'md'], 'value': [9.25, 1 / 3], 'hemisphere': 'both',
    })  # fmt: skip
    regions = pd.DataFrame({
        'participant_id': ['sub-07'], 'session_id': 'ses-1', 'metric': 'volume', 'atlas': 'own',
        'region': 'cingulum', 'hemisphere': 'L', 'value': [812.5], 'modality': 'dwi',
    })  # fmt: skip
    people, kept, mrs, qc, flow = tables
    gone = kept.merge(parcels[[*KEYS, 'metric', 'component', 'hemisphere']], how='left',
                      indicator=True)['_merge'].eq('both').to_numpy()  # fmt: skip
    others = pd.concat(
        [regions.assign(participant_id=who, value=800.0) for who in ('sub-01', 'sub-02')],
        ignore_index=True,
    )
    measures = build_measures(people, kept[~gone], mrs, qc, flow, others.drop(columns='modality'))
    return with_ungated(measures, images, parcels, regions), images, parcels, regions


def test_what_gates_of_images_left_out_comes_back_from_the_table(left_out, tmp_path):
    measures, images, parcels, regions = left_out
    path = write_measures(measures, tmp_path)
    columns = list(pd.read_csv(path, sep='\t').columns)
    assert columns[-5:] == ['md_c1__ungated', 'thickness_c1__ungated',
                            'volume__own__cingulum__L__ungated', 'failed_anat',
                            'failed_dwi']  # fmt: skip
    for lost_json in (False, True):
        if lost_json:
            path.with_suffix('.json').unlink()
        back = read_measures(path)
        same = criteria_failed(back)[list(images)]
        pd.testing.assert_frame_equal(_sorted(same, 'criterion'), _sorted(images, 'criterion'),
                                      check_dtype=False)  # fmt: skip
        found = parcels_left(back)[list(parcels)]
        pd.testing.assert_frame_equal(_sorted(found), _sorted(parcels), check_dtype=False)
        assert regions_left(back)['value'].tolist() == [812.5]
        if not lost_json:
            found = regions_left(back)[list(regions)]
            pd.testing.assert_frame_equal(found, regions, check_dtype=False)
        assert 'thickness_c1__ungated' not in set(long_form(back)['measure'])
        assert len(back.parcels) == len(measures.parcels)


def test_an_ungated_value_that_was_edited_alone_is_refused(left_out, tmp_path):
    path = write_measures(left_out[0], tmp_path)
    table = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
    table.loc[table['participant_id'] == 'sub-01', 'thickness_c1__ungated'] = '3.5'
    table.to_csv(path, sep='\t', index=False)
    with pytest.raises(InputDataError, match='thickness_c1__ungated of sub-01 does not follow'):
        read_measures(path)


def test_without_failures_no_column_is_added(tables):
    measures = build_measures(*tables)
    assert with_ungated(measures, None, None, None) is measures
    assert criteria_failed(measures) is None
    assert parcels_left(measures) is None
    assert regions_left(measures) is None
