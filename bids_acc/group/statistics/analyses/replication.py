"""Which responses go on to further tests: those whose group effect is there in every cohort."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.rows.row import Row


def retained_responses(
    table: pd.DataFrame | None, model: Model, term: str = 'group'
) -> dict[str, str]:
    """Return the responses that pass the replication rule, with the reason.

    Parameters
    ----------
    table : DataFrame or None
        Finished table of the analysis of covariance.
    model : Model
        Rule, level and which p value it looks at.
    term : str
        Term that must be significant.

    Returns
    -------
    dict of str to str
        Response and why it was retained; sorted.
    """
    rule = model.content['Replication']
    if table is None or table.empty:
        return {}
    rows = _main(table[table['term'] == term])
    everyone = sorted(set(table['response'].astype(str)) - {''})
    if rule['Rule'] == 'none':
        return dict.fromkeys(everyone, 'no replication rule')
    # all cohorts of the table: one in which the test could not be done has not replicated it
    cohorts = sorted(set(table['cohort'].astype(str)))
    retained = {}
    for response in everyone:
        p = rows[rows['response'] == response].set_index('cohort')[rule['Value']]
        found = [cohort for cohort in cohorts if cohort in p and p[cohort] <= model.alpha]
        enough = len(found) == len(cohorts) if rule['Rule'] == 'every' else bool(found)
        if enough:
            retained[response] = (
                f'{rule["Value"]} <= {model.alpha:g} in {", ".join(found)}'
                f' ({rule["Rule"]} of {len(cohorts)})'
            )
    return retained


def _main(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the supplements of small samples."""
    return (
        # the F beside a permutation would be a second vote of the same cohort
        table[~table['analysis'].astype(str).str.endswith('_f')] if 'analysis' in table else table
    )


def nothing_retained(
    analysis: str, table: pd.DataFrame | None, model: Model, retained: Mapping[str, str]
) -> list[Row]:
    """Return the row that says why nothing was followed up; none if something was.

    Parameters
    ----------
    analysis : str
        Name of the analysis that follows up.
    table : DataFrame or None
        Table ``ancova``.
    model : Model
        Its replication rule.
    retained : mapping of str to str
        As `retained_responses` returns it.

    Returns
    -------
    list of Row
        One row without a test, or none.
    """
    if retained or table is None or table.empty:
        return []
    rule = model.content['Replication']
    where = 'every cohort' if rule['Rule'] == 'every' else 'any cohort'
    note = f'not done: no response has {rule["Value"]} <= {model.alpha:g} for group in {where}'
    return [Row(analysis=analysis, note=note)]


def gate_decisions(tables: Mapping[str, pd.DataFrame], model: Model) -> pd.DataFrame:
    """Return one row per response: retained for further tests or not, and why.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Finished tables; ``ancova`` is read.
    model : Model
        Its replication rule.

    Returns
    -------
    DataFrame
        ``response, retained, reason, p_by_cohort``.
    """
    table = tables.get('ancova')
    if table is None or table.empty:
        return pd.DataFrame(columns=['response', 'retained', 'reason'])
    retained = retained_responses(table, model)
    value, rule = model.content['Replication']['Value'], model.content['Replication']['Rule']
    where = 'any cohort' if rule == 'any' else 'all cohorts'
    rows = []
    # those that were not retained are listed too, with the p that decided
    for response in sorted(set(table['response'].astype(str)) - {''}):
        own = _main(table[(table['response'] == response) & (table['term'] == 'group')])
        values = '; '.join(f'{c}: {p:.4g}' for c, p in zip(own['cohort'], own[value], strict=True))
        rows.append(
            {
                'response': response,
                'retained': response in retained,
                'reason': retained.get(response, f'{value} not <= {model.alpha:g} in {where}'),
                'p_by_cohort': values or 'not tested',
            }
        )
    return pd.DataFrame(rows)
