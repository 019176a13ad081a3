"""What the report of the group level says: summary, findings, tables, methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bids_acc import __version__
from bids_acc.report.findings import significant_findings
from bids_acc.report.group_page import GroupPage
from bids_acc.report.html import Block, table_block

from .parcels.measures import SUMMED_METRICS
from .parcels.parcellation import ParcellationResult
from .quality import flagged_sessions
from .state import GroupRun


def subtitle(run: GroupRun) -> str:
    """Say what the page is about in one line.

    Parameters
    ----------
    run : GroupRun
        With its cohort and, where one was chosen, its model.
    """
    people = run.cohort.participants['participant_id'].nunique()
    model = 'no model' if run.model is None else f'model {run.model.name}'
    return f'{people} participants, {len(run.cohort.participants)} sessions, {model}'


def page_content(run: GroupRun) -> GroupPage:
    """Collect the content of the page.

    Parameters
    ----------
    run : GroupRun
        A finished run; what it could not do is left out and said in its notes.

    Returns
    -------
    GroupPage
    """
    summary = list(run.notes)
    if run.parcellation is not None:
        choice = run.parcellation.choice
        sure = 'stable in every cohort' if choice.stable else 'not shown to be stable'
        cautions = [text for one in run.parcellation.curves.values() for text in one.notes]
        sentence = f'{choice.k} parcels ({choice.source}; {sure}).'
        summary.insert(0, ' '.join([sentence, *cautions]))
    extra: dict[str, list[Block]] = {
        'Summary': list(_findings(run)),
        'People': [
            table_block(
                _flow_counts(run.cohort.flow), 'Who has which data',
                'Sessions by modality; group/qc/flow.tsv names each one and the reason.',
            )
        ],
    }  # fmt: skip
    if len(flags := flagged_sessions(run.cohort.qc)):
        extra['Quality'] = [
            table_block(
                flags, 'Sessions to look at',
                'Figures outside their usual range, and outliers to the worse side among the '
                'sessions of this folder. Nobody is left out for them (group/qc/flags.tsv).',
            )
        ]  # fmt: skip
    if run.parcellation is not None:
        extra['Parcels'] = [
            Block(title='How the number of parcels was chosen',
                  paragraphs=[*run.parcellation.choice.trace, *run.parcellation.notes]),
            table_block(_parcel_means(run.parcellation.table), 'Mean of each metric by parcel'),
        ]  # fmt: skip
        if len(run.parcellation.agreement):
            extra['Parcels'].append(
                table_block(run.parcellation.agreement, 'Agreement of the cohorts')
            )
    return GroupPage(
        summary=summary,
        tables=shown_tables(run),
        figures=run.figures,
        extra=extra,
        methods=methods_text(run),
        files=[
            'Statistics: group/stats/*.tsv, each with a JSON file that explains its columns.',
            'Parcels: tpl-*/ and group/opnmf/. Exclusions: group/qc/exclusions.tsv.',
            'The model as it was run: code/model-*_smdl.json.',
            'Seeds and versions: group/provenance.json.',
        ],
    )


def _findings(run: GroupRun) -> Iterator[Block]:
    """Show what survived correction, or say that nothing did."""
    if not run.tables or run.model is None:
        return
    found = significant_findings(shown_tables(run), run.model.alpha)
    level = f'correction for multiplicity (level {run.model.alpha:g})'
    if found.empty:
        yield Block(paragraphs=[f'No comparison is significant after {level}.'])
        return
    caption = (
        f'Comparisons that are significant after {level} in at least one cohort; a hypothesis '
        'that the model file leaves uncorrected is called so. Test statistics are in the tables '
        'below.'
    )
    yield table_block(found, 'Findings', caption)


def shown_tables(run: GroupRun) -> dict[str, pd.DataFrame]:
    """Choose the tables of the page; of two kinds of post hoc test, the one the model names.

    Parameters
    ----------
    run : GroupRun
        With its tables.

    Returns
    -------
    dict of str to DataFrame
        Tables with rows, lists of participants left out.
    """
    shown = {k: v for k, v in run.tables.items() if len(v) and not k.endswith('participants')}
    if run.model is not None and 'posthoc' in shown:
        plain = run.model.content['PostHoc']['Report'] == 'plain'
        wanted = 'posthoc_plain' if plain else 'posthoc'
        table = shown['posthoc']
        others = {'posthoc', 'posthoc_plain'} - {wanted}
        # Rows without a test say why nothing was compared: they stay.
        shown['posthoc'] = table[~table['analysis'].isin(others) | table['p_unc'].isna()]
    return shown


def _flow_counts(flow: pd.DataFrame) -> pd.DataFrame:
    """Count the usable and the other sessions of each modality."""
    words = {'run': 'used', 'skip': 'not available', 'exclude': 'excluded by the quality gate'}
    counts = flow.assign(status=flow['status'].map(words).fillna(flow['status']))
    return pd.crosstab(counts['modality'], counts['status']).reset_index()


def _parcel_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average each metric over people, by cohort and parcel."""
    keys = ['cohort', 'component', 'metric']
    found = table.groupby(keys, sort=True)['value'].agg(['mean', 'std', 'count']).reset_index()
    found = found.rename(columns={'std': 'sd', 'count': 'n'})
    return found if found['cohort'].any() else found.drop(columns='cohort')


def methods_text(run: GroupRun) -> list[str]:
    """Describe what was done, ready for a methods section.

    Parameters
    ----------
    run : GroupRun
        A finished run.

    Returns
    -------
    list of str
        Paragraphs.
    """
    paragraphs = []
    result = run.parcellation
    if result is not None:
        paragraphs.append(_parcels_in_words(run, result))
    if run.model is not None and run.tables:
        covariates = ', '.join(run.model.covariate_names) or 'no covariates'
        paragraphs.append(
            f'Groups ({", ".join(run.model.group.levels)}; reference {run.model.group.reference}) '
            f'were compared by analysis of covariance with {covariates} and type '
            f'{run.model.ss_type} sums of squares. Intervals are {100 * run.model.confidence:g} % '
            'confidence intervals. The formula, degrees of freedom, effect size, '
            'confidence interval, family and correction stand in every row of the tables. A '
            'missing value leaves a person out of that analysis only, and is counted there.'
        )
    paragraphs.append(f'bids_acc {__version__}, seed {run.settings.random_seed}.')
    return paragraphs


def _parcels_in_words(run: GroupRun, result: ParcellationResult) -> str:
    """Describe for a methods section how the parcels were made and measured."""
    group = run.settings.group
    summed = [name for name in result.data.metrics if name in SUMMED_METRICS]
    others = [name for name in result.data.metrics if name not in SUMMED_METRICS]
    measured = ' and '.join(
        f'{", ".join(names)} {verb} over the vertices of a parcel'
        for names, verb in ((others, 'averaged'), (summed, 'summed'))
        if names
    )
    region = f'{result.data.values.shape[2]} vertices of {" and ".join(run.settings.anat.roi)}'
    if group.atlas is not None:
        name = Path(group.atlas).name
        return f'The parcels of {name} were applied to {region}: {measured}.'
    ks = group.k_range
    parcel = {
        'variation': 'whose scores its deviations from the mean maps follow most closely over '
        'sessions and metrics',
        'weight': 'with its largest weight',
    }[group.labels]
    return (
        f'Vertex-wise {", ".join(result.data.metrics)} of {region} were standardised per metric '
        'over the cohort, shifted to be non-negative and factorized by orthonormal projective '
        'non-negative matrix factorization (Yang and Oja 2010, doi:10.1109/TNN.2010.2041361; '
        'Sotiras et al. 2015, doi:10.1016/j.neuroimage.2014.11.045). The number of components '
        f'was examined from {ks[0]} to {ks[-1]} by {group.n_splits} split-half '
        'repetitions, each half standardised by itself, and by the gain in reconstruction '
        f'(after doi:10.1503/jpn.210113); {result.choice.k} were used ({result.choice.source}). '
        f'Each vertex belongs to the component {parcel}; {measured}.'
    )
