"""The methods paragraph says what the model file asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from bids_acc.group.methods import methods_text
from bids_acc.group.statistics.model import read_model


def statistics_in_words(model, *tables, **content):
    model = read_model(model)
    model.content.update(content)
    run = SimpleNamespace(
        parcellation=None, model=model, tables={name: pd.DataFrame() for name in tables},
        settings=SimpleNamespace(random_seed=7),
    )  # fmt: skip
    text, version = methods_text(run)
    assert version.endswith('seed 7.')
    return text


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


def test_metabolites_are_named_by_scheme_and_gate():
    text = statistics_in_words('acc-glutamate', 'mrs_group')
    assert 'Pairs' not in text
    assert 'failed the quality gate were left out' in text
    mrs = {'UnitScheme': 'ratio_tcr', 'Gate': False}
    text = statistics_in_words('acc-glutamate', 'mrs_group', Mrs=mrs)
    assert 'Metabolite levels: ratio to tCr; spectra and metabolites that failed the' in text
    assert 'gate were kept' in text


def test_families_with_another_correction_are_named():
    families = {'ancova': {'Method': 'bh'}, 'posthoc': {'Method': 'bonferroni'}, 'meta': {}}
    text = statistics_in_words('acc-structure', 'ancova', Correction='bh', Families=families)
    assert 'Hochberg (1995), except posthoc (by the method of Bonferroni).' in text
    text = statistics_in_words('acc-structure', 'ancova', Correction='none', Families={})
    assert 'P values were not corrected for multiple tests.' in text
