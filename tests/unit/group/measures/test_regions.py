"""Regions in the table of measures, and as responses of a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.exceptions import InputDataError
from bids_acc.group.measures.files import read_measures, write_measures
from bids_acc.group.measures.region_tables import read_regions
from bids_acc.group.measures.table import build_measures, long_form, meaning_of, region_column
from bids_acc.group.statistics.analyses.ancova import ancova
from bids_acc.group.statistics.model.declaration import parse_model, read_model
from bids_acc.group.statistics.requests import asked_and_not_done
from bids_acc.group.statistics.rows.row import finish_table
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.report.wording import response_words

HIPPOCAMPUS = 'volume__CerebrA__hippocampus__L'
MODEL = {
    'Name': 'm', 'Group': {'Column': 'dx', 'Levels': ['HC', 'TRD']},
    'Covariates': [{'Name': 'age', 'Kind': 'continuous'}],
    'Responses': {'Columns': ['volume__CerebrA__*', 'thickness__DKT__insula__L', 'fa__tracts__*']},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Tables of 24 people: a hippocampus that follows the head's size and is smaller in TRD."""
    rng = np.random.default_rng(3)
    for i in range(24):
        entities = {'subject': f'{i:02d}'}
        tiv = 1500 + 150 * rng.normal()
        volume = 2.4 * tiv - 250 * (i % 2) + 60 * rng.normal()
        path = output_path('anat_regions', tmp_path, entities)
        path.parent.mkdir(parents=True)
        pd.DataFrame([
            {'atlas': 'CerebrA', 'region': 'hippocampus', 'hemisphere': 'L', 'method': 'label',
             'volume_mm3': volume},
            {'atlas': 'DKT', 'region': 'insula', 'hemisphere': 'L', 'method': 'surface',
             'thickness_mm': rng.normal(2.8, 0.1), 'area_mm2': 2000.0},
            {'atlas': 'HCPMMP1', 'region': '9-46d', 'hemisphere': 'R', 'method': 'surface',
             'thickness_mm': np.nan if i else 2.0},
        ]).to_csv(path, sep='\t', index=False, na_rep='n/a')  # fmt: skip
        (tmp_path / f'{i:02d}.tiv').write_text(str(tiv))
    return tmp_path


def _measures(folder):
    """Return the table of measures of the folder."""
    who = [f'sub-{i:02d}' for i in range(24)]
    people = pd.DataFrame({
        'participant_id': who, 'dx': ['HC', 'TRD'] * 12,
        'age': np.random.default_rng(1).normal(40, 8, 24),
    })  # fmt: skip
    qc = pd.DataFrame({
        'participant_id': who,
        'anat_tiv_ml': [float((folder / f'{i:02d}.tiv').read_text()) for i in range(24)],
    })  # fmt: skip
    return build_measures(people, None, None, qc, None, read_regions(folder))


def test_names_tell_what_a_column_holds():
    name = region_column('thickness', 'HCPMMP1', '9-46d', 'R')
    found = meaning_of(name)
    assert (found.kind, found.metric, found.region) == ('region', 'thickness', '9_46d')
    assert (found.atlas, found.hemisphere, found.unit) == ('HCPMMP1', 'R', 'mm')


def test_regions_are_written_and_read_back(folder, tmp_path):
    measures = _measures(folder)
    assert measures.columns('region') == [
        'thickness__DKT__insula__L', 'thickness__HCPMMP1__9_46d__R', 'area__DKT__insula__L',
        HIPPOCAMPUS,
    ]  # fmt: skip
    assert measures.wide['thickness__HCPMMP1__9_46d__R'].notna().sum() == 1
    path = write_measures(measures, tmp_path)
    again = read_measures(path)
    pd.testing.assert_frame_equal(again.wide, measures.wide, check_dtype=False)
    assert again.meanings[HIPPOCAMPUS] == measures.meanings[HIPPOCAMPUS]
    path.with_suffix('.json').unlink()
    assert read_measures(path).meanings[HIPPOCAMPUS].unit == 'mm3'
    rows = long_form(measures)
    assert (rows.loc[rows['measure'] == HIPPOCAMPUS, 'region'] == 'hippocampus').all()


def test_volumes_are_compared_at_equal_head_size(folder):
    measures, model = _measures(folder), parse_model(MODEL)
    people = measures.people_with(['volume__*', 'thickness__DKT__insula__L', 'anat_tiv_ml'])
    study = make_study(model, None, None, people)
    assert {m.name for m in study.measures} == {HIPPOCAMPUS, 'thickness__DKT__insula__L'}
    table = finish_table(ancova(study, {}, np.random.default_rng(0)), model.families,
                         model.correction)  # fmt: skip
    found = table[table['term'] == 'group'].set_index('response')
    assert found.loc[HIPPOCAMPUS, 'covariates'] == 'age, anat_tiv_ml'
    assert found.loc['thickness__DKT__insula__L', 'covariates'] == 'age'
    assert found.loc[HIPPOCAMPUS, 'p_unc'] < 1e-6  # lost in the sizes of heads without it
    plain = parse_model({**MODEL, 'OwnCovariates': []})
    without = ancova(make_study(plain, None, None, people), {}, np.random.default_rng(0))
    p = next(r.test.p for r in without if r.response == HIPPOCAMPUS and r.term == 'group')
    assert p > 1e-3


def test_what_fits_nothing_is_said_and_a_slip_is_refused(folder):
    people = _measures(folder).people_with(['volume__*', 'thickness__DKT__insula__L'])
    study = make_study(parse_model(MODEL), None, None, people)
    asked = {row.term: row.note for row in asked_and_not_done(study, {})}
    assert 'no column has such a name' in asked['Responses/Columns fa__tracts__*']
    hippocampus = study.measure(HIPPOCAMPUS)
    assert 'without anat_tiv_ml: nobody has it' in study.not_beside(hippocampus)
    wrong = {**MODEL, 'Responses': {'Columns': ['volume__CerebrA__hipocampus__L']}}
    with pytest.raises(InputDataError, match=f"Did you mean '{HIPPOCAMPUS}'"):
        make_study(parse_model(wrong), None, None, people)


def test_a_table_that_cannot_be_read_is_left_out(folder, caplog):
    broken = output_path('anat_regions', folder, {'subject': '03'})
    broken.write_text('atlas\tregion\themisphere\tvolume_mm3\nx\ty\tL\tmuch\n')
    found = read_regions(folder)
    assert found is not None
    assert found['participant_id'].nunique() == 23
    assert 'sub-03' in caplog.text


def test_the_preset_of_depression_compares_what_there_is(tmp_path):
    rng = np.random.default_rng(8)
    names = ['volume__CerebrA__hippocampus__L', 'volume__CerebrA__amygdala__R',
             'thickness__HCPMMP1__subgenualACC__L', 'fa__Mine__Uncinate_fasciculus__R',
             'mo__Mine__Uncinate_fasciculus__R']  # fmt: skip
    people = pd.DataFrame(rng.normal(10, 1, size=(36, len(names))), columns=names)
    people['participant_id'] = [f'sub-{i:02d}' for i in range(36)]
    people['group'] = ['control', 'responder', 'nonresponder'] * 12
    people['sex'] = ['M', 'F', 'F', 'M'] * 9
    people['age'], people['anat_tiv_ml'] = rng.normal(40, 8, 36), rng.normal(1500, 100, 36)
    people[names[0]] -= 4 * (people['group'] == 'nonresponder')
    tables = run_statistics(read_model('trd-structure'), None, None, people, None,
                            np.random.default_rng(1))  # fmt: skip
    found = tables['contrasts'].set_index(['response', 'contrast'])
    assert set(found.index.get_level_values(0)) == set(names)
    assert found.loc[names[0], 'non-responders - responders']['p_corrected'] < 1e-6
    assert found.loc[names[0], 'non-responders - responders']['covariates'] == (
        'age, sex, anat_tiv_ml'
    )
    text = response_words(tables['contrasts'].iloc[0])
    assert '__' not in text
