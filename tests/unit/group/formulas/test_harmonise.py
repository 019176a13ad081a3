from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.harmonise import ComBat

REFERENCE = Path(__file__).parents[3] / 'reference' / 'stats2'
FEATURES = [f'f{i}' for i in range(8)]


@pytest.fixture(scope='module')
def table():
    return pd.read_csv(REFERENCE / 'sites.tsv', sep='\t').drop(columns='participant_id')


@pytest.fixture(scope='module')
def reference():
    return json.loads((REFERENCE / 'reference.json').read_text())['combat']


class TestAgainstSva:
    def test_with_group_and_age_preserved(self, table, reference):
        clean = ComBat(preserve=('group', 'age')).fit_transform(table)
        np.testing.assert_allclose(clean.to_numpy(), reference['eb'], rtol=1e-6)

    def test_without_covariates(self, table, reference):
        clean = ComBat().fit_transform(table[[*FEATURES, 'site']])
        np.testing.assert_allclose(clean.to_numpy(), reference['plain'], rtol=1e-6)


def test_site_means_and_scales_become_equal_without_shrinkage(table):
    clean = ComBat(empirical_bayes=False).fit_transform(table[[*FEATURES, 'site']])
    means = clean.groupby(table['site']).mean()
    assert np.ptp(means.to_numpy(), axis=0).max() < 1e-10
    sds = clean.groupby(table['site']).std(ddof=1)
    assert np.ptp(sds.to_numpy(), axis=0).max() < 1e-10


def test_preserved_group_effect_stays(table):
    lopsided = table.copy()
    extra = lopsided[(lopsided['site'] == 'A') & (lopsided['group'] == 'SCZ')]
    lopsided = pd.concat([lopsided, extra], ignore_index=True)
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(len(lopsided), 8)), columns=FEATURES)
    truth = 2.0
    lopsided[FEATURES] = (
        noise
        + truth * (lopsided['group'] == 'SCZ').to_numpy()[:, None]
        + 5.0 * (lopsided['site'] == 'A').to_numpy()[:, None]
    )
    clean = ComBat(preserve=('group',)).fit_transform(lopsided.drop(columns='age'))
    group = lopsided['group']
    found = (clean[group == 'SCZ'].mean() - clean[group == 'HC'].mean()).mean()
    assert found == pytest.approx(truth, abs=0.2)


def test_transform_of_new_subjects_uses_the_fit_only(table):
    mixed = table.sample(frac=1, random_state=0)
    train, test = mixed.iloc[::2], mixed.iloc[1::2]
    combat = ComBat(preserve=('group', 'age'), min_per_site=5).fit(train)
    one_by_one = pd.concat([combat.transform(test.iloc[[i]]) for i in range(len(test))])
    pd.testing.assert_frame_equal(one_by_one, combat.transform(test))
    altered = test.copy()
    altered[FEATURES] += 100
    gamma = combat.gamma_.copy()
    combat.transform(altered)
    np.testing.assert_array_equal(gamma, combat.gamma_)


def test_column_order_and_index_are_kept(table):
    shuffled = table.sample(frac=1, random_state=1)
    combat = ComBat(preserve=('group', 'age')).fit(table)
    a, b = combat.transform(table), combat.transform(shuffled[table.columns[::-1]])
    pd.testing.assert_frame_equal(a.loc[shuffled.index], b)
    assert list(combat.get_feature_names_out()) == FEATURES


def test_it_is_a_scikit_learn_estimator(table):
    copy = clone(ComBat(preserve=('group', 'age'), min_per_site=7))
    assert copy.get_params()['min_per_site'] == 7
    assert not hasattr(copy, 'gamma_')
    copy.fit(table)


class TestGuards:
    def test_one_site(self, table):
        with pytest.raises(InputDataError, match='at least two sites'):
            ComBat().fit(table[table['site'] == 'A'])

    def test_too_few_in_a_site(self, table):
        with pytest.raises(InputDataError, match='C has 20'):
            ComBat(min_per_site=25).fit(table)

    def test_group_in_one_site_only(self, table):
        confounded = table.assign(group=np.where(table['site'] == 'A', 'SCZ', 'HC'))
        with pytest.raises(InputDataError, match='cannot be told from group'):
            ComBat(preserve=('group',)).fit(confounded)

    def test_unseen_site(self, table):
        combat = ComBat(preserve=('group', 'age')).fit(table)
        with pytest.raises(InputDataError, match="'D' was not among"):
            combat.transform(table.assign(site='D'))

    def test_missing_value(self, table):
        holed = table.copy()
        holed.loc[3, 'f2'] = np.nan
        with pytest.raises(InputDataError, match="'f2' has missing"):
            ComBat().fit(holed.drop(columns=['group', 'age']))

    def test_missing_covariate(self, table):
        with pytest.raises(InputDataError, match="'sex'"):
            ComBat(preserve=('sex',)).fit(table)

    def test_constant_feature(self, table):
        with pytest.raises(InputDataError, match='no variance'):
            ComBat(preserve=('group', 'age')).fit(table.assign(f1=2.0))

    def test_text_is_no_feature(self, table):
        with pytest.raises(InputDataError, match="'group' is no number"):
            ComBat().fit(table)

    def test_one_feature_cannot_be_shrunken(self, table):
        with pytest.raises(InputDataError, match='empirical_bayes=False'):
            ComBat().fit(table[['f0', 'site']])
