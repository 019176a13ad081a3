"""FA that follows thickness is no finding, a planted one is; models may ask for covariates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.group.statistics.model.declaration import parse_model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.report.findings import explained_differences, significant_findings

CONTENT = {
    'Name': 'm', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']},
    'Covariates': [{'Name': 'age'}], 'Mrs': {'Primary': [], 'Relation': None},
    'Mixture': {'Measures': []}, 'Permutations': 0, 'Replication': {'Rule': 'none'},
}  # fmt: skip
N = 40


def cohort(thinner: float = 0.0, more_fa: float = 0.0, seed: int = 3):
    """Plant thickness and FA in parcel 1; FA follows white matter, of which thin cortex has more.

    Parameters
    ----------
    thinner : float
        Loss of thickness in TRS, mm.
    more_fa : float
        FA of TRS above that of HC at the same share of white matter.
    """
    rng = np.random.default_rng(seed)
    trs = np.arange(2 * N) >= N
    people = pd.DataFrame({
        'participant_id': [f'sub-{i:02d}' for i in range(2 * N)],
        'group': np.where(trs, 'TRS', 'HC'), 'age': rng.normal(40, 9, 2 * N),
    })  # fmt: skip
    thickness = rng.normal(2.8, 0.1, 2 * N) - thinner * trs
    white = 0.25 - 0.2 * (thickness - 2.8) + rng.normal(0, 0.005, 2 * N)
    faiso = rng.normal(0.09, 0.004, 2 * N)
    values = {
        'thickness': thickness, 'white': white, 'faiso': faiso,
        'fa': 0.5 * white + 0.5 * faiso + more_fa * trs + rng.normal(0, 0.004, 2 * N),
    }  # fmt: skip
    parcels = pd.concat(
        people[['participant_id']].assign(component=1, metric=metric, value=column)
        for metric, column in values.items()
    )
    return people, parcels


def tables(people, parcels, **sections):
    model = parse_model({**CONTENT, **sections})
    return run_statistics(model, parcels, None, people, None, np.random.default_rng(1))


def of_fa(found, name, contrast='TRS - HC'):
    table = found[name]
    rows = table[(table['response'] == 'fa_c1') & (table['term'] == 'group')]
    return rows[rows['contrast'].fillna('') == contrast].iloc[0]


def fa_among(findings):
    return findings['finding'].str.contains('FA of parcel 1').any()


def test_fa_of_a_thinner_cortex_is_kept_out_of_the_findings():
    found = tables(*cohort(thinner=0.15))
    assert of_fa(found, 'posthoc')['p_corrected'] < 0.01
    check = of_fa(found, 'partialvolume')
    assert check['explained'] == 'yes'
    assert check['p_unc'] > 0.05 > check['p_without']
    assert check['covariates'] == 'age, white_c1, faiso_c1'
    findings = significant_findings(found, 0.05)
    assert findings['finding'].str.contains('thickness of parcel 1', case=False).any()
    assert not fa_among(findings)
    words = 'explained by partial volume/noise: with white_c1, faiso_c1 as covariates p = '
    for name, contrast in (('ancova', ''), ('posthoc', 'TRS - HC')):
        assert words in of_fa(found, name, contrast)['note']
    assert any(words in text for text in explained_differences(found, 0.05))
    # the same tables without the check: the difference is a headline
    unchecked = {name: table for name, table in found.items() if name != 'partialvolume'}
    assert fa_among(significant_findings(unchecked, 0.05))


def test_planted_fa_stays_a_finding_and_names_the_check():
    found = tables(*cohort(thinner=0.15, more_fa=0.02))
    assert of_fa(found, 'partialvolume')['explained'] == 'no'
    findings = significant_findings(found, 0.05)
    assert fa_among(findings)
    same = findings.loc[findings['finding'].str.contains('FA of'), 'the same otherwise']
    assert same.str.contains('agrees:.*at equal partial volume and noise').all()
    assert explained_differences(found, 0.05) == []
    assert 'explained' not in of_fa(found, 'posthoc')['note']


def test_a_cohort_in_which_it_is_explained_does_not_count():
    parts = [cohort(thinner=0.15), cohort(more_fa=0.02, seed=4)]
    for number, part in enumerate(parts):
        for table in part:
            table['participant_id'] += 'ab'[number]
        part[0]['site'] = ['one', 'two'][number]
    people, parcels = (pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))
    found = tables(people, parcels, Cohort='site')
    findings = significant_findings(found, 0.05)
    row = findings[findings['finding'].str.contains('FA of parcel 1')].iloc[0]
    assert row['holds in'] == '1 of 2'
    assert row['one'].endswith('explained by partial volume/noise')
    sentences = explained_differences(found, 0.05)
    assert any('than in HC (one): explained by' in text for text in sentences)


def test_white_matter_is_no_response_unless_it_is_named_as_one():
    people, parcels = cohort()
    assert set(tables(people, parcels)['ancova']['response']) == {'thickness_c1', 'fa_c1'}
    named = tables(people, parcels, Responses={'Metrics': ['fa', 'white']})
    assert set(named['ancova']['response']) == {'white_c1', 'fa_c1'}


def test_a_model_asks_for_covariates_of_diffusion_alone():
    people, parcels = cohort(thinner=0.15)
    asked = {'PartialVolume': {'Covariates': ['white', 'faiso']}}
    found = tables(people, parcels, **asked)
    assert of_fa(found, 'posthoc')['covariates'] == 'age, white_c1, faiso_c1'
    thickness = found['ancova'].query("response == 'thickness_c1'")
    assert set(thickness['covariates']) == {'age'}
    # the check would repeat the model itself, and gives its numbers where it is made
    assert 'partialvolume' not in found
    check = of_fa(tables(people, parcels), 'partialvolume')
    assert of_fa(found, 'posthoc')['p_unc'] == pytest.approx(check['p_unc'])


def test_who_lacks_a_covariate_is_left_out_and_counted():
    people, parcels = cohort()
    lost = (parcels['participant_id'] == 'sub-07') & (parcels['metric'] == 'white')
    found = tables(people, parcels[~lost], PartialVolume={'Covariates': ['white']})
    row = of_fa(found, 'posthoc')
    assert (row['n'], row['excluded']) == (2 * N - 1, 'white_c1 missing=1')


def test_without_maps_nothing_changes_and_it_is_said_only_if_asked():
    people, parcels = cohort(thinner=0.15)
    old = parcels[parcels['metric'].isin(['thickness', 'fa'])]
    plain = tables(people, old)
    assert 'partialvolume' not in plain
    assert fa_among(significant_findings(plain, 0.05))
    assert not plain['ancova']['note'].astype(str).str.contains('maps').any()
    asked = tables(people, old, PartialVolume={'Covariates': ['white', 'faiso']})
    notes = asked['ancova'].set_index('response')['note'].fillna('')
    words = 'without white, faiso of the parcel: nobody has these maps'
    assert (notes['fa_c1'] == words).all()
    assert (notes['thickness_c1'] == '').all()
    assert asked['asked']['term'].tolist() == [
        'PartialVolume/Covariates faiso', 'PartialVolume/Covariates white',
    ]  # fmt: skip
    assert 'asked' not in plain
    drop = ['note']
    pd.testing.assert_frame_equal(asked['ancova'].drop(columns=drop),
                                  plain['ancova'].drop(columns=drop))  # fmt: skip


def test_an_unknown_covariate_is_refused():
    with pytest.raises(SettingsError, match=r'PartialVolume/Covariates/0.*grey'):
        parse_model({**CONTENT, 'PartialVolume': {'Covariates': ['grey']}})
