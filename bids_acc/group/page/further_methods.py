"""Sentences of the methods section on what was done beside the comparison of groups.

Each is said of rows that hold a test, so that nothing is described that was asked for and not
done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from bids_acc.group.formulas.inference import one_sided_level
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.report.wording import listed

MOST_NAMED = 6
"""Predictors that the text names; the rows of the table name all. Own convention."""


RULES: Mapping[str, str] = {
    'every': 'significant in every cohort',
    'any': 'significant in any cohort',
}
"""Which responses are followed up, by ``Replication/Rule``."""


def followed_up(model: Model) -> str:
    """Say of which responses more is asked; empty where it is of all.

    Parameters
    ----------
    model : Model
        With its rule of replication.
    """
    rule = RULES.get(model.content['Replication']['Rule'], '')
    # with one cohort there is nothing to replicate in, whatever the rule is called
    return 'significant' if rule and model.cohort is None else rule


def rows_with_tests(tables: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
    """Return the rows of a table that hold a test.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        As the group level writes them.
    name : str
        Of the table.

    Returns
    -------
    DataFrame
        Empty, with the column ``analysis``, where there is no such row.
    """
    table = tables.get(name)
    if table is None or 'p_unc' not in table:
        return pd.DataFrame(columns=['analysis'])
    return table[table['p_unc'].notna()]


def further_sentences(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Describe relations, planned contrasts, cohorts, norms, prediction, evidence and checks.

    Parameters
    ----------
    model : Model
        What was asked for.
    tables : mapping of str to DataFrame
        What was done.

    Yields
    ------
    str
        One or two sentences on each kind of analysis, in the order of the page.
    """
    yield from _contrasts(model, tables)
    yield from _relation(model, tables)
    yield from _cohorts(model, tables)
    yield from _norms(tables)
    yield from _mixture(model, tables)
    yield from _prediction(model, tables)
    yield from _evidence(model, tables)
    yield from _checks(tables)


def _contrasts(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Name the planned contrasts."""
    if len(rows_with_tests(tables, 'contrasts')):
        names = listed([str(contrast['Name']) for contrast in model.content['Contrasts']])
        yield (
            f'Planned contrasts ({names}) of means at equal covariates were tested in every '
            'response, whatever the effect of group.'
        )


def _relation(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how structure and the metabolite were related."""
    if not len(rows_with_tests(tables, 'relation')):
        return
    metabolite = model.content['Mrs']['Relation']
    rule = followed_up(model)
    which = f' whose effect of group was {rule}' if rule else ''
    yield (
        f'The relation of {metabolite} to the measures of the parcels{which} was tested with '
        'group and covariates in the model, and whether it differs between groups by the '
        'interaction, in a second model.'
    )
    if len(rows_with_tests(tables, 'partialcorr')):
        yield (
            'Where it was significant, partial correlations followed, with and without group '
            'partialled out; so selected, they are too large.'
        )


def _cohorts(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how cohorts were put side by side."""
    rows = rows_with_tests(tables, 'meta')
    if not len(rows):
        return
    site = model.content['Sites']['Column'] or 'cohort'
    summary = sorted(set(rows['method'][rows['analysis'] == 'meta-analysis'].dropna()))
    pooled = f', and summarised by {listed(summary)}' if summary else ''
    yield (
        f'Differences between two groups were also estimated for each {site}, pooled with {site} '
        f'in the model, tested for the interaction of group and {site}{pooled}.'
    )
    # the rows of harmonised values, whatever the model asked for
    if rows['analysis'].astype(str).str.contains('ComBat').any():
        yield (
            f'Beside these stand differences after ComBat of {site} (Johnson et al. 2007, '
            'doi:10.1093/biostatistics/kxj037).'
        )


def _norms(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say what distances from a norm are."""
    rows = rows_with_tests(tables, 'zscores')
    for words in sorted({str(m).split('; ')[0] for m in rows.get('method', pd.Series()).dropna()}):
        yield f'Distances from the norm: {words}.'


def _mixture(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how the number of normal distributions was asked for."""
    if len(rows_with_tests(tables, 'mixture')):
        asked = model.content['Mixture']
        yield (
            f'Mixtures of up to {asked["MaxComponents"]} normal distributions were fitted by '
            'expectation maximisation and compared by Akaike weights and by the likelihood ratio '
            f'with {asked["Bootstraps"]} parametric bootstraps (McLachlan 1987, '
            'doi:10.2307/2347790).'
        )


def _prediction(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how unseen people were predicted."""
    if not len(rows_with_tests(tables, 'prediction')):
        return
    asked = model.content['Prediction']
    names = asked['Predictors']
    more = f' and {len(names) - MOST_NAMED} more' if len(names) > MOST_NAMED else ''
    from_what = f'{", ".join(names[:MOST_NAMED])}{more}' if names else 'the measures'
    sites = ' and leaving one site out at a time' if asked['LeaveSiteOut'] else ''
    yield (
        f'{asked["Outcome"]} was predicted from {from_what} by ridge-penalised regression in '
        f'people whom it had not seen ({asked["Folds"]} folds, {asked["Repeats"]} times{sites}; '
        'penalty and scaling chosen inside the folds), with p by permutation of the outcome '
        f'({asked["Permutations"]} times).'
    )


def _evidence(model: Model, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how the absence of an effect was asked for."""
    rows = tables.get('evidence')
    if rows is None or 'analysis' not in rows:
        return
    asked, done = model.content['Evidence'], set(rows['analysis'])
    level = f'{100 * one_sided_level(model.confidence):g} %'
    if 'bayes_factor' in done:
        yield (
            'Bayes factors of differences and relations have JZS priors (Rouder et al. 2009, '
            'doi:10.3758/PBR.16.2.225; Rouder and Morey 2012, doi:10.1080/00273171.2012.734737), '
            f'of scale {asked["PriorScale"]:.3g} for differences; intervals beside them are of '
            f'{level}.'
        )
    if 'equivalence' in done:
        bounds = [
            f'{value:g} {unit}'
            for value, unit in ((asked['SmallestDifference'], 'SD'),
                                (asked['SmallestCorrelation'], 'of the correlation'))
            if value is not None
        ]  # fmt: skip
        yield (
            f'Equivalence was tested by two one-sided tests (Schuirmann 1987) against '
            f'{listed(bounds)}, with {level} intervals.'
        )


CHECKS: Mapping[str, str] = {
    'normality': "Shapiro and Wilk's test of the residuals",
    'equal_variances': "Brown and Forsythe's test of their variances",
    'hc3': 'tests that allow for unequal variances (HC3)',
    'permutation': 'permutation of residuals (Freedman and Lane 1983)',
    'robust': 'MM regression (Yohai 1987)',
    'influence': 'the largest change by any one participant',
}
"""Analyses of the table ``diagnostics``, as the methods name them."""


def _checks(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Say how assumptions were checked, and that quality was compared."""
    rows = tables.get('diagnostics')
    done = [] if rows is None or 'analysis' not in rows else set(rows['analysis'])
    if words := [text for name, text in CHECKS.items() if name in done]:
        yield f'Assumptions were checked by {listed(words)}.'
    if len(rows_with_tests(tables, 'qc_by_group')):
        yield 'Measures of quality were compared between the same groups, without covariates.'
    gates = set(rows_with_tests(tables, 'sensitivity')['analysis'])
    if 'gate_off' in gates:
        alone = ' and with single criteria alone' * ('gate_alone' in gates)
        yield f'Results were computed again with the quality gates off{alone}.'
