"""Groups that share no site are named, first and in each row; what is asked for leaves a row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import InputDataError
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.confounding import confounded_groups
from bids_acc.group.statistics.study.joining import make_study

CONTENT = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS', 'FEP']},
    'Responses': {'Columns': ['volume']}, 'Mrs': {'Primary': [], 'Relation': None},
    'Mixture': {'Measures': []}, 'Permutations': 0, 'Replication': {'Rule': 'none'},
}  # fmt: skip


def people(sites: dict[str, str], n: int = 12, **columns) -> pd.DataFrame:
    """Return people of three groups; ``sites`` names those of each group, one letter each."""
    rng = np.random.default_rng(5)
    rows = [
        {'participant_id': f'sub-{group}{i}', 'group': group, 'scanner': place[i % len(place)],
         'volume': rng.normal(10, 1)}
        for group, place in sites.items() for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def tables(frame: pd.DataFrame, **sections) -> dict[str, pd.DataFrame]:
    """Run all analyses."""
    model = parse_model({**CONTENT, **sections})
    return run_statistics(model, None, None, frame, None, np.random.default_rng(1))


def test_a_pair_that_shares_no_scanner_is_named_in_its_rows_and_no_other():
    found = tables(people({'HC': 'AB', 'TRS': 'A', 'FEP': 'B'}))
    confounding = found['confounding']
    assert confounding['contrast'].tolist() == ['FEP - TRS']
    assert confounding['fully'].tolist() == [True]
    assert 'A: 0 FEP and 12 TRS' in confounding['note'][0]
    posthoc = found['posthoc'].set_index('contrast')['note'].fillna('')
    words = 'FEP and TRS are confounded with scanner'
    assert {c: words in note for c, note in posthoc.groupby(level=0).first().items()} == {
        'TRS - HC': False, 'FEP - HC': False, 'FEP - TRS': True,
    }  # fmt: skip
    omnibus = found['ancova'].set_index('term')['note']
    assert words in omnibus['group']


def test_groups_on_the_same_scanners_are_not_confounded():
    assert 'confounding' not in tables(people({'HC': 'AB', 'TRS': 'AB', 'FEP': 'AB'}))


def test_hardly_any_overlap_is_said_too():
    frame = people({'HC': 'A', 'TRS': 'B', 'FEP': 'AB'})
    frame.loc[0, 'scanner'] = 'C'
    frame.loc[12, 'scanner'] = 'C'
    study = make_study(parse_model(CONTENT), None, None, frame)
    one = next(f for f in confounded_groups(study) if f.groups == ('TRS', 'HC'))
    assert (one.fully, one.n_comparable, one.n_people) == (False, 2, 24)
    assert 'hardly share a scanner' in one.sentence()


@pytest.mark.parametrize('column', ['acquisition', 'SoftwareVersions', 'dataset', 'site_id'])
def test_other_columns_of_the_measurement_count_as_well(column):
    frame = people({'HC': 'A', 'TRS': 'B', 'FEP': 'AB'}).rename(columns={'scanner': column})
    assert column in set(tables(frame)['confounding']['column'])


def test_spectra_by_acquisition_are_confounded_with_it():
    frame = people({'HC': 'A', 'TRS': 'A', 'FEP': 'A'})
    label = frame['group'].map({'HC': 'acq-a', 'TRS': 'acq-b', 'FEP': 'acq-a'})
    mrs = pd.DataFrame({
        'participant_id': frame['participant_id'], 'session_id': '', 'voxel': label,
        'metabolite': 'Glu', 'unit_scheme': 'ratio_tcr', 'value': frame['volume'], 'gate': 'pass',
    })  # fmt: skip
    study = make_study(parse_model(CONTENT), None, mrs, frame)
    found = [(one.column, one.groups) for one in confounded_groups(study)]
    assert ('mrs_acquisition', ('TRS', 'HC')) in found


def test_what_was_asked_for_and_not_done_leaves_a_row():
    frame = people({'HC': 'A', 'TRS': 'B', 'FEP': 'C'})
    found = tables(
        frame,
        Sites={'Column': 'scanner', 'Harmonise': 'combat'},
        Sessions={'FollowUps': ['post']},
        Responses={'Columns': ['volume'], 'Metrics': ['mo']},
        Demographics={'Continuous': ['iq']},
        Subsamples=[{'Name': 'patients', 'Columns': ['panss*'], 'Where': {'group': ['TRS']}}],
    )
    asked = found['asked'].set_index('term')['note']
    assert set(asked.index) == {
        'Sites/Column', 'Sites/Harmonise', 'Sessions/FollowUps', 'Responses/Metrics mo',
        'Demographics iq', 'Subsamples patients',
    }  # fmt: skip
    assert asked.str.startswith('not done: ').all()
    assert 'confounded' in asked['Sites/Harmonise']


def test_what_was_done_leaves_none():
    frame = people({'HC': 'AB', 'TRS': 'AB', 'FEP': 'AB'})
    found = tables(frame, Sites={'Column': 'scanner'}, Norms={'Level': 'HC'})
    assert 'asked' not in found


def test_scanners_of_the_sidecars_count_without_a_column_of_the_people():
    """As `bids_acc.group.cohort.reading.read_quality` gives what the participant level kept."""
    frame = people({'HC': 'AB', 'TRS': 'AB', 'FEP': 'AB'}).drop(columns='scanner')
    frame['session_id'] = None
    qc = frame[['participant_id', 'session_id']].assign(
        anat_scanner=np.where(frame['group'] == 'FEP', '0452', '0451'),
        anat_software='E11', mrs_sequence=['press', 'steam'] * (len(frame) // 2),
    )  # fmt: skip
    found = confounded_groups(make_study(parse_model(CONTENT), None, None, frame, qc))
    assert {(one.column, one.groups, one.fully) for one in found} == {
        ('anat_scanner', ('FEP', 'HC'), True), ('anat_scanner', ('FEP', 'TRS'), True),
    }  # fmt: skip


@pytest.mark.parametrize(('adjusted', 'said'), [(False, True), (True, False)])
def test_groups_spread_unevenly_are_said_unless_the_model_adjusts_for_it(adjusted, said):
    frame = people({'HC': 'AAAB', 'TRS': 'ABBB', 'FEP': 'AB'}, n=40)
    covariates = [{'Name': 'scanner', 'Kind': 'categorical'}] if adjusted else []
    found = tables(frame, Covariates=covariates)
    assert ('confounding' in found) == said
    if said:
        row = found['confounding'].iloc[0]
        assert row['contrast'] == 'TRS - HC'
        assert not row['fully']
        assert "Cramer's V 0.50" in row['note']
        notes = found['ancova'].set_index('term')['note']
        assert 'TRS and HC are spread unevenly over scanner' in notes['group']


def test_cohorts_that_differ_in_case_are_refused():
    frame = people({'HC': 'AB', 'TRS': 'AB', 'FEP': 'AB'}).assign(city=['Tokyo', 'tokyo'] * 18)
    with pytest.raises(InputDataError, match='Tokyo and tokyo'):
        tables(frame, Cohort='city')
