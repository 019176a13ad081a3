"""What a model file asks for and no table has: a row with the reason for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import pandas as pd

from bids_acc.group.statistics.analyses.site_rows import shared_pairs, site_column
from bids_acc.group.statistics.rows.row import Row
from bids_acc.group.statistics.study.data import Study


def asked_and_not_done(study: Study, tables: Mapping[str, pd.DataFrame]) -> list[Row]:
    """Return a row for each thing that the model file asks for and that left no row.

    Parameters
    ----------
    study : Study
        Data and model.
    tables : mapping of str to DataFrame
        Finished tables.
    """
    parts = (_sites, _sessions, _others, _columns)
    return [
        Row(analysis='asked for', term=what, note=f'not done: {why}')
        for part in parts
        for what, why in part(study, tables)
    ]


def _analyses(tables: Mapping[str, pd.DataFrame], name: str) -> set[str]:
    """Return the analyses that a table has rows of."""
    table = tables.get(name)
    return set() if table is None else set(table['analysis'].astype(str))


def _sites(study: Study, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """Yield what was asked about sites."""
    wanted = study.model.content['Sites']
    combat = wanted['Harmonise'] == 'combat' and 'after ComBat' not in _analyses(tables, 'meta')
    # an analysis that is silently absent reads like one that found nothing
    if _analyses(tables, 'meta') and not combat:
        return
    if wanted['Column'] is None and not combat:
        return
    column = site_column(study)
    base = study.baseline.dropna(subset=[column])
    if base[column].nunique() < 2:
        why = f'{column} has only one value among the participants'
    elif not shared_pairs(base, study.group_levels(base), column):
        why = (
            f'no two values of {column} have the same two groups: groups and sites are confounded'
        )
    else:
        why = 'no measure could be compared; see the rows of the table meta'
    if wanted['Column'] is not None and not _analyses(tables, 'meta'):
        yield 'Sites/Column', why
    if combat:
        yield 'Sites/Harmonise', why


def _sessions(study: Study, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """Yield what was asked about change between sessions."""
    wanted: Mapping[str, object] = study.model.content['Sessions']
    names = ('FollowUps', 'ResponseColumn', 'Measures', 'ChangeCorrelations', 'Time',
             'Normalisation', 'Crossover')  # fmt: skip
    # with two visits the analyses of change say themselves what they could not do
    if _analyses(tables, 'change'):
        return
    n_sessions = study.wide['session_id'].replace('', None).nunique()
    for name in names:
        if wanted[name]:
            yield f'Sessions/{name}', f'the participants have {n_sessions} session(s), not two'


def _others(study: Study, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """Yield what was asked in sections that have a table of their own."""
    content = study.model.content
    asked = {
        'Norms/Level': (content['Norms']['Level'], 'zscores'),
        'Norms/Table': (content['Norms']['Table'], 'zscores'),
        'Prediction/Outcome': (content['Prediction']['Outcome'], 'prediction'),
        'Clinical/Scores': (content['Clinical']['Scores'], 'clinical'),
        'Contrasts': (content['Contrasts'], 'contrasts'),
        'Interactions': (content['Interactions'], 'interactions'),
        'Sessions/Reliability': (content['Sessions']['Reliability'], 'reliability'),
        'TreatmentHistory/Definition': (content['TreatmentHistory']['Definition'], 'treatment'),
        'Mrs/Together': (content['Mrs']['Together'], 'mrs_group'),
    }
    for name, (value, table) in asked.items():
        if value and not _analyses(tables, table):
            yield name, f'no measure is there that the table {table} could be made of'


def _columns(study: Study, tables: Mapping[str, pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """Yield columns and metrics that were named and are not there."""
    del tables
    content, there = study.model.content, set(study.wide.columns)
    # by what there is, so that the message can name what would have matched
    known = sorted({m.metric for m in study.measures_of('parcel')})
    for metric in content['Responses']['Metrics'] or []:
        if metric not in known:
            yield (
                f'Responses/Metrics {metric}',
                f'no parcel has it; there are {", ".join(known) or "none"}',
            )
    for pattern in content['Responses']['Columns']:
        if not any(fnmatchcase(m.name, pattern) for m in study.measures_of('column')):
            yield f'Responses/Columns {pattern}', 'no column has such a name'
    for name in content['PartialVolume']['Covariates']:
        if not any(f'{name}_c{m.component}' in there for m in study.measures_of('parcel')):
            yield (
                f'PartialVolume/Covariates {name}',
                f'nobody has maps of {name}; compute diffusion again, then the group level',
            )
    demographics = content['Demographics']
    for name in (*demographics['Continuous'], *demographics['Categorical']):
        if name not in there:
            yield f'Demographics {name}', 'no table has such a column'
    for rule in study.model.subsamples:
        if not any(fnmatchcase(name, p) for p in rule.columns for name in there):
            patterns = ', '.join(rule.columns)
            yield f'Subsamples {rule.name}', f'no column is called {patterns}'
