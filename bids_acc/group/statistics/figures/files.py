"""The figures of a finished analysis as files, for the group page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.statistics.analyses.relation import relation_measure
from bids_acc.group.statistics.figures.classification import (
    calibration_figure,
    decision_figure,
    roc_figure,
    unseen,
)
from bids_acc.group.statistics.figures.interactions import interaction_figure
from bids_acc.group.statistics.figures.tests import group_figure, scatter_figure, trajectory_figure
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.study.data import Study, roles
from bids_acc.group.statistics.study.joining import make_study
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.report.wording import is_functional, metric_words, name_words, p_words
from bids_acc.tables.cells import is_empty, records

Entry = tuple[Path, str, str]

GROUP_CAPTION = (
    'Each point is a participant; beside them the mean of the group with its {level:g} % '
    'interval. Values are not adjusted for covariates. Brackets: corrected p at most 0.05 (*), '
    '0.01 (**), 0.001 (***) of the pair in the table of {table}.'
)
TRAJECTORY_CAPTION = (
    'Each line is a participant with two or more sessions; black: mean of the group with its '
    '{level:g} % interval at each session. The tests are in the table: a group that changes '
    'differently is the term session by group.'
)
SCATTER_CAPTION = (
    'Residuals after the covariates, put back at the mean, with the line of the partial '
    'correlation and the 95 % band of the line. The test of the relation, in the table, is made '
    'within groups; this figure is not.'
)


INTERACTION_CAPTION = (
    'Each point is a participant: the response without what the model gives to the other '
    'covariates (partial residuals), at their mean. Lines, or dashes with intervals, are the '
    "model's adjusted means with their {level:g} % interval. {p}"
)
ROC_CAPTION = (
    'Sensitivity over 1 - specificity of {n} people at every cut-off of the predicted '
    'probability, each predicted by models that had not seen the person ({scheme}); band: Wilson '
    'interval (95 %) of the sensitivity. AUC of all unseen people together with its interval '
    '(DeLong, logit scale).'
)
CALIBRATION_CAPTION = (
    'Points: groups of at least ten people of rising predicted probability, with the Wilson '
    'interval (95 %) of the share that has the outcome; curve and band: logistic recalibration; '
    'ticks above and below: people with and without the outcome. Dashed: perfect.'
)
DECISION_CAPTION = (
    'Net benefit of treating those whose predicted probability reaches the threshold: true '
    'positives per person, less false ones weighted by the odds of the threshold (Vickers and '
    'Elkin 2006, doi:10.1177/0272989X06295361).'
)


def _file_name(*parts: str) -> str:
    """Return a file name of letters, digits and underscores."""
    return '_'.join(re.sub(r'[^A-Za-z0-9]+', '', part) for part in parts if part) + '.svg'


def _group_files(
    study: Study, pairs: pd.DataFrame | None, folder: Path, metrics: list[str], table: str
) -> list[Entry]:
    """Draw one figure per cohort and metric, with the pairs that differ in a table."""
    entries = []
    for cohort, _ in study.cohorts():
        for metric in metrics:
            try:
                figure = group_figure(study, cohort, metric, pairs)
            except InputDataError:
                continue
            path = save_for_paper(figure, folder / _file_name('groups', cohort, metric))
            name = metric_words(metric)
            where = _in_cohort(cohort)
            title = f'{name[:1].upper()}{name[1:]} by group{where}'
            level = 100 * study.model.confidence
            caption = GROUP_CAPTION.format(table=table, level=level)
            entries.append((path, title, explained('groups', caption)))
    return entries


def _in_cohort(name: str) -> str:
    """Name a cohort at the end of a title, where there are several."""
    return '' if name == 'all' else f', {name}'


def _trajectory_files(
    study: Study, tables: Mapping[str, pd.DataFrame], folder: Path
) -> list[Entry]:
    """Draw the participants over the sessions, in each measure whose change was tested."""
    table = tables.get('change')
    if table is None or table.empty:
        return []
    tested = set(table.loc[table['p_unc'].notna(), 'response'])
    entries = []
    for cohort, _ in study.cohorts():
        for measure in study.measures:
            if measure.name not in tested:
                continue
            try:
                figure = trajectory_figure(study, cohort, measure)
            except InputDataError:
                continue
            path = save_for_paper(figure, folder / _file_name('change', cohort, measure.name))
            where = _in_cohort(cohort)
            what = metric_words(measure.metric, measure.component)
            caption = TRAJECTORY_CAPTION.format(level=100 * study.model.confidence)
            title = f'{what} over the sessions{where}'
            entries.append((path, title, explained('change', caption)))
    return entries


def _scatter_files(study: Study, tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Entry]:
    """Draw each relation of structure and metabolite that was tested."""
    name, table = relation_measure(study), tables.get('relation')
    if name is None or table is None or table.empty:
        return []
    tested = table[(table['analysis'] == 'relation') & (table['term'] == name)]
    tested = tested[tested['p_unc'].notna()]
    entries = []
    for cohort, response in sorted(zip(tested['cohort'], tested['response'], strict=True)):
        try:
            figure = scatter_figure(study, cohort, response, name, tables.get('partialcorr'))
        except InputDataError:
            continue
        path = save_for_paper(figure, folder / _file_name('relation', cohort, response, name))
        where = _in_cohort(cohort)
        measure = study.measure(response)
        what = metric_words(measure.metric, measure.component) if measure else response
        entries.append((path, f'{what} and {name}{where}', explained('relation', SCATTER_CAPTION)))
    return entries


def _interaction_files(
    study: Study, tables: Mapping[str, pd.DataFrame], folder: Path
) -> list[Entry]:
    """Draw each interaction with group that was tested."""
    table = tables.get('interactions')
    if table is None or table.empty:
        return []
    tested = table[(table['analysis'] == 'interactions') & table['p_unc'].notna()]
    entries = []
    for row in records(tested):
        name = str(row['term']).replace(' x ', ':').partition(':')[2]
        measure, cohort = study.measure(str(row['response'])), str(row['cohort'])
        if measure is None:
            continue
        try:
            figure = interaction_figure(study, cohort, measure, name)
        except InputDataError:
            continue
        path = folder / _file_name('interaction', cohort, measure.name, name)
        save_for_paper(figure, path)
        what = metric_words(measure.metric, measure.component)
        where = _in_cohort(cohort)
        caption = INTERACTION_CAPTION.format(
            level=100 * study.model.confidence, p=_interaction_words(row)
        )
        title = f'{what[:1].upper()}{what[1:]} by group and {name_words(name)}{where}'
        entries.append((path, title, explained('interaction', caption)))
    return entries


def _interaction_words(row: Mapping[str, object]) -> str:
    """Write the test of an interaction."""
    corrected = not is_empty(row['p_corrected'])
    words = p_words(row['p_corrected' if corrected else 'p_unc'])
    return (
        f'Interaction: {"corrected " if corrected else ""}p '
        f'{words if words.startswith("<") else f"= {words}"}.'
    )


def _classification_files(
    study: Study, tables: Mapping[str, pd.DataFrame], folder: Path
) -> list[Entry]:
    """Draw what the prediction of a two-level outcome is worth in unseen people."""
    people = tables.get('prediction_participants')
    if people is None:
        return []
    cutoff = float(study.model.content['Prediction']['Cutoff'])
    entries: list[Entry] = []
    for scheme, own in people.groupby('scheme', sort=True):
        truth, decision, called = unseen(own)
        positive, outcome = str(own['positive'].iloc[0]), name_words(own['response'].iloc[0])
        roc = ROC_CAPTION.format(n=len(own), scheme=scheme)
        for kind, figure, title, caption in (
            ('roc', roc_figure(truth, decision, called, cutoff), 'ROC curve',
             explained('roc', roc)),
            ('calibration', calibration_figure(truth, decision, positive), 'Calibration',
             explained('calibration', CALIBRATION_CAPTION)),
            ('decision', decision_figure(truth, decision, positive), 'Decision curve',
             explained('decision', DECISION_CAPTION)),
        ):  # fmt: skip
            path = save_for_paper(figure, folder / _file_name(kind, str(scheme)))
            entries.append((path, f'{title}: {outcome}, {scheme}', caption))
    return entries


def write_figures(
    model: Model,
    parcels: pd.DataFrame | None,
    mrs: pd.DataFrame | None,
    participants: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
) -> dict[str, list[Entry]]:
    """Draw the results of `bids_acc.group.statistics.run.run_statistics` into a folder.

    Parameters
    ----------
    model, parcels, mrs, participants
        As in `bids_acc.group.statistics.run.run_statistics`.
    tables : mapping of str to DataFrame
        Its result.
    folder : Path
        For example ``group/model-<name>/figures``.

    Returns
    -------
    dict of str to list of (Path, str, str)
        By section of the page: file, title, caption.
    """
    study = make_study(model, parcels, mrs, participants)
    metrics = sorted({measure.metric for measure in study.measures_of('parcel', 'column')})
    metabolites = [measure.metric for measure, _ in roles(study)]
    return {
        'Change': _trajectory_files(study, tables, folder),
        **{
            section: _group_files(
                study,
                tables.get('posthoc'),
                folder,
                [name for name in metrics if is_functional(name) == (section == 'Function')],
                'post hoc comparisons',
            )
            for section in ('Structure', 'Function')
        },
        'Glutamate': [
            *_group_files(study, tables.get('mrs_group'), folder, metabolites, 'metabolites'),
            *_scatter_files(study, tables, folder),
        ],
        'Interactions': _interaction_files(study, tables, folder),
        'Further analyses': _classification_files(study, tables, folder),
    }
