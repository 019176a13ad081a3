"""The methods paragraph says what the model file asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.opnmf.choice import THRESHOLD, RankRule
from bids_acc.group.page.methods import methods_text
from bids_acc.group.statistics.model.declaration import read_model
from bids_acc.settings import GroupSettings, Settings


def statistics_in_words(model, *tables, **content):
    model = read_model(model)
    model.content.update(content)
    run = SimpleNamespace(
        parcellation=None, model=model, tables={name: pd.DataFrame() for name in tables},
        settings=SimpleNamespace(random_seed=7), acquisition=pd.DataFrame, processing=[],
        cohort=SimpleNamespace(mrs=None, flow=pd.DataFrame()),
    )  # fmt: skip
    *texts, version = methods_text(run)
    assert version.endswith('seed 7.')
    return ' '.join(texts)


def test_groups_covariates_and_follow_up_are_those_of_the_model():
    text = statistics_in_words('acc-structure', 'ancova', 'posthoc')
    assert 'type II sums of squares' in text
    assert (
        'by two-sample t tests where the effect of group was significant in every cohort' in text
    )
    assert 'tests by the method of Benjamini and Hochberg (1995).' in text
    assert 'Metabolite' not in text
    one = statistics_in_words('acc-structure', 'posthoc', Cohort=None)
    assert 'the effect of group was significant.' in one
    always = statistics_in_words('acc-structure', 'posthoc', Replication={'Rule': 'none'})
    assert 'two-sample t tests for every response.' in always


def test_analysis_of_covariance_is_named_only_where_it_was_made():
    both = statistics_in_words('acc-structure', 'ancova')
    assert 'analysis of covariance with the covariates age, sex and with type II' in both
    assert 'analysis of variance with type II' in statistics_in_words('acc-glutamate', 'mrs_group')
    change = statistics_in_words('prepost', 'meta')
    assert change.startswith('Groups: HC, responder, resistant; reference HC.')
    assert 'analysis of covariance' not in change


def test_metabolites_are_named_by_scheme_and_gate():
    text = statistics_in_words('acc-glutamate', 'mrs_group')
    assert 'Pairs' not in text
    assert 'failed the quality gate acc-glutamate were left out' in text
    mrs = {'UnitScheme': 'ratio_tcr', 'Gate': False}
    text = statistics_in_words('acc-glutamate', 'mrs_group', Mrs=mrs)
    assert 'Metabolite levels: ratio to tCr; spectra and metabolites that failed the' in text
    assert 'gate acc-glutamate were kept' in text


def test_families_with_another_correction_are_named():
    families = {'ancova': {'Method': 'bh'}, 'posthoc': {'Method': 'bonferroni'}, 'meta': {}}
    text = statistics_in_words('acc-structure', 'ancova', Correction='bh', Families=families)
    assert 'Hochberg (1995), except posthoc (by the method of Bonferroni).' in text
    text = statistics_in_words('acc-structure', 'ancova', Correction='none', Families={})
    assert 'P values were not corrected for multiple tests.' in text


def parcels_in_words(source='rule', excluded=2, by_rule=4, factorized=28, **group):
    choice = SimpleNamespace(k=4, source=source, by_rule=by_rule)
    values = np.zeros((2, 30, 1694))
    rows = pd.DataFrame({'participant_id': range(factorized), 'session_id': 'ses-1'})
    half = SimpleNamespace(rows=rows)
    result = SimpleNamespace(
        matrices={'L': half, 'R': half}, choice=choice,
        excluded=pd.DataFrame({'participant_id': range(excluded)}),
        data=SimpleNamespace(values=values, metrics=('thickness', 'md'), on_template=True),
    )  # fmt: skip
    settings = Settings(group=GroupSettings(**group))
    run = SimpleNamespace(
        parcellation=result, model=None, tables={}, settings=settings, processing=[],
        acquisition=pd.DataFrame,
    )  # fmt: skip
    return methods_text(run)[0]


def test_parcels_are_described_by_the_settings_that_ran():
    text = parcels_in_words(k_range=(3, 6), n_splits=7, n_init=5)
    assert 'examined from 3 to 6 in 7 random split halves' in text
    assert 'in 1 random half-split, each half' in parcels_in_words(n_splits=1)
    assert 'the best of 5 starts' in text
    assert '28 of 30 sessions took part; 2 lacked too many vertices' in text
    several = parcels_in_words(factorized=20)
    assert '20 of 30 sessions took part; 2 lacked too many vertices; 8 are further' in several
    assert f'at least {THRESHOLD:g} in every cohort' in text
    assert '4 were used.' in text
    assert '5 were' not in text
    asked = parcels_in_words(source='override', by_rule=3, n_components=4)
    assert '4 were asked for and used (the rule says 3)' in asked


@pytest.mark.parametrize('rule', get_args(RankRule))
def test_the_published_rule_is_named_only_where_it_ran(rule):
    text = parcels_in_words(rule=rule)
    assert ('jpn.210113' in text) == (rule == 'published')
    assert ('variation between sessions slowed most' in text) == (rule == 'variation')
    assert ('exchanged between sessions' in text) == (rule != 'published')


def test_findings_are_described_by_the_tests_that_made_them():
    text = statistics_in_words('acc-structure', 'mrs_group', 'clinical')
    assert 'levels of pairs of groups were compared adjusted for age, sex' in text
    assert 'within groups' in text
    assert 'permutation' not in text
    assert "Cramer's V, whose tests are one-sided, are 90 % intervals" in text
    assert 'adjusted for' not in statistics_in_words('acc-glutamate', 'mrs_group')


def test_artefacts_that_the_gate_of_the_model_excludes_are_told():
    levels = pd.DataFrame({'gate_criteria': ['snr > 10: 12 pass; crlb < 20 %: 9 pass']})
    flow = pd.DataFrame({'modality': ['mrs'], 'status': ['run']})

    def gate_in_words(gate):
        model = read_model('acc-structure')
        model.content['Gate'] = {**model.content['Gate'], 'mrs': gate}
        run = SimpleNamespace(
            parcellation=None, model=model, tables={'mrs_group': pd.DataFrame()},
            settings=SimpleNamespace(random_seed=7), acquisition=pd.DataFrame, processing=[],
            cohort=SimpleNamespace(mrs=levels, flow=flow),
        )  # fmt: skip
        return next(text for text in methods_text(run) if text.startswith('Gate: '))

    told = gate_in_words('acc-structure')
    artefacts = 'missing NAA, strong lipid, unsuppressed water, clipping or voxel outside'
    assert f'spectra with {artefacts}.' in told
    none = {**read_model('acc-structure').content['Gate'], 'mrs': None}
    assert 'Left out besides' not in gate_in_words(none['mrs'])
    own = {'name': 'own', 'spectrum': [], 'metabolite': [], 'artefacts': ['ghost']}
    assert 'spectra with ghost.' in gate_in_words(own)
