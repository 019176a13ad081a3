"""What the report of the group level says: summary, findings, tables, methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from bids_acc.group.cohort.quality import flagged_sessions
from bids_acc.group.folders import GROUP_FOLDER
from bids_acc.group.formulas.inference import one_sided_level
from bids_acc.group.measures.run import descriptions
from bids_acc.group.opnmf.choice import THRESHOLD, RankChoice
from bids_acc.group.page.figure_rows import rows_of
from bids_acc.group.page.methods import methods_text
from bids_acc.group.page.parcels import (
    choice_in_words,
    names_of_parcels,
    parcel_surface_blocks,
)
from bids_acc.group.page.people import excluded_blocks
from bids_acc.group.page.quality import quality_blocks
from bids_acc.group.page.references import FREE, bibliography, used_keys
from bids_acc.group.page.references import in_words as reference
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.figures.tests import SCALE, UNITS
from bids_acc.report.findings import (
    explained_differences,
    findings_in_brief,
    significant_findings,
)
from bids_acc.report.group_page import GroupPage, in_words
from bids_acc.report.html import Block, table_block

KEPT_OUT = (
    'Significant without and not with the share of white matter and the noise floor (FA) or the '
    'share of CSF (MD) of the parcel in the model, in the same people: partial volume or noise '
    'makes the difference, or the covariates hide a real one (table partialvolume).'
)
"""What it means that a difference is explained."""


SOURCES: Mapping[str, str] = {
    'rule': 'their number chosen by rule', 'override': 'as many as were asked for',
    'default': 'the published number', 'atlas': 'of the atlas that was given',
}  # fmt: skip
"""Where the number of parcels is from, in words."""
AGREEMENT = (
    'Dice and cosine of each pair of parcels that belong together; the adjusted Rand index is of '
    'all parcels (1 is the same, 0 chance). "By chance" are parcels of the same sizes that were '
    'grown again at random places.'
)


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


def _parcels_sentence(choice: RankChoice) -> str:
    """Say how many parcels there are, where the number is from, and whether it is stable."""
    words = [SOURCES.get(choice.source, choice.source)]
    if choice.source != 'atlas':  # whose parcels are not asked for their stability
        words.append('stable in every cohort' if choice.stable else 'not shown to be stable')
    if choice.source == 'rule' and choice.stable and not choice.agrees:
        words.append('its two signs point to different numbers, see Parcels')
    return f'{choice.k} parcels ({"; ".join(words)}).'


def page_content(run: GroupRun, folder: Path) -> GroupPage:
    """Collect the content of the page.

    Parameters
    ----------
    run : GroupRun
        A finished run; what it could not do is left out and said in its notes.
    folder : Path
        Where the page will lie.

    Returns
    -------
    GroupPage
    """
    summary = list(run.notes)
    if run.parcellation is not None:
        cautions = [text for one in run.parcellation.curves.values() for text in one.notes]
        summary.insert(0, ' '.join([_parcels_sentence(run.parcellation.choice), *cautions]))
    found = _found(run)
    if run.tables and run.model is not None:
        summary.append(findings_in_brief(found))
    # whoever stops reading after the first finding must have read it
    if 'confounding' in run.tables:  # before any result
        summary[:0] = list(run.tables['confounding']['note'])
    methods = methods_text(run)
    lines = [reference(bibliography()[key]) for key in used_keys(run)]
    return GroupPage(
        summary=summary,
        tables=shown_tables(run),
        figures=run.figures,
        extra=_extra_blocks(run, found),
        methods=[*methods, 'References:', *lines, FREE],
        files=list(_files(run)),
        names=own_names(run),
        folder=folder,
        tables_folder=run.folder / 'stats',
        beside=dict(_beside(run)),
    )


def _extra_blocks(run: GroupRun, found: pd.DataFrame) -> dict[str, list[Block]]:
    """Return what stands in each section beside the tables of statistics."""
    extra: dict[str, list[Block]] = {
        'Findings': list(_findings(run, found)),
        'People': [
            table_block(
                _flow_counts(run.cohort.flow), 'Who has which data',
                'Sessions by modality; qc/flow.tsv names each one and the reason.',
                file=run.folder / 'qc' / 'flow.tsv',
            ),
            *excluded_blocks(run),
        ],
        'Quality': list(quality_blocks(run)),
    }  # fmt: skip
    if len(flags := flagged_sessions(run.cohort.qc)):
        extra['Quality'].append(
            table_block(
                in_words(flags), 'Sessions to look at',
                'Figures outside their usual range, and outliers to the worse side among the '
                'sessions of this folder. Nobody is left out for them (qc/flags.tsv).',
                file=run.folder / 'qc' / 'flags.tsv',
            )
        )  # fmt: skip
    if run.places is not None and len(run.places.values):
        extra['Glutamate'] = [
            table_block(
                _place_means(run.places.values), 'Cortex and parcels of the voxels',
                'Mean (standard deviation) over the spectra: shares of the volume of the voxel, '
                'and thickness (mm), MD (mm²/s) and FA of the cortex inside it. Each person has '
                'them in measures.tsv, from where a model can take them as covariates.',
            )
        ]  # fmt: skip
    if run.parcellation is not None:
        extra['Parcels'] = list(_parcel_blocks(run, run.parcellation))
    return extra


def _parcel_blocks(run: GroupRun, found: ParcellationResult) -> Iterator[Block]:
    """Yield how parcels were chosen, where they lie, their means, and how cohorts agree."""
    folder = run.output_dir / GROUP_FOLDER / run.parcels_name if run.parcels_name else None

    def of_parcels(name: str) -> Path | None:
        """Return a table of these parcels."""
        return None if folder is None else folder / 'opnmf' / f'{name}.tsv'

    yield from _choice_blocks(run, found)
    yield from parcel_surface_blocks(found, folder)
    yield table_block(
        _parcel_means(found.table), 'Mean of each metric by parcel',
        'Mean and standard deviation over people: of the mean over the vertices of the '
        'parcel in both hemispheres, or of the sum for area.', file=of_parcels('parcels'),
    )  # fmt: skip
    if len(found.agreement):
        yield table_block(
            in_words(found.agreement), 'Agreement of the cohorts', AGREEMENT,
            file=of_parcels('crosscohort_ari'),
        )  # fmt: skip


def _beside(run: GroupRun) -> Iterator[tuple[str | Path, list[tuple[Path, str]]]]:
    """Yield what belongs to each table and figure: the table for a paper, the rows drawn."""
    for name in run.tables:
        stem = run.folder / 'tables' / f'desc-{name.replace("_", "")}_table'
        files = [(stem.with_suffix('.md'), 'for a paper'),
                 (stem.with_suffix('.csv'), 'CSV')]  # fmt: skip
        yield name, [(path, words) for path, words in files if path.is_file()]
    for entries in run.figures.values():
        for path, *_ in entries:
            yield path, list(rows_of(path))


def _choice_blocks(run: GroupRun, result: ParcellationResult) -> Iterator[Block]:
    """Yield how the number of parcels was chosen: for a clinician, and step by step."""
    title, group = 'How the number of parcels was chosen', run.settings.group
    if group.atlas is not None:
        yield Block(title=title, paragraphs=[*result.choice.trace, *result.notes])
        return
    words = choice_in_words(result.choice, result.curves, group.rule, THRESHOLD)
    yield Block(title=title, paragraphs=[*words, *result.notes])
    yield Block(title='The same step by step', paragraphs=result.choice.trace)


def own_names(run: GroupRun) -> dict[str, str]:
    """Return what the data set calls its own columns, for people.

    Parameters
    ----------
    run : GroupRun
        Groups and cohorts stand for themselves; a column with a ``LongName`` is called so.
    """
    found = {
        str(name): str(about['LongName'])
        for name, about in descriptions(run.data_dir).items()
        if isinstance(about, Mapping) and about.get('LongName')
    }
    if run.model is None:
        return found
    people, cohort = run.cohort.participants, run.model.cohort
    cohorts = people[cohort].dropna().unique() if cohort in people else ()
    return found | {str(name): str(name) for name in (*run.model.group.levels, *cohorts)}


FILES: Mapping[str, str] = {
    'measures.tsv': 'all measures, a row for each participant and session; edited, it is analysed '
    'by --measures FILE',
    'codebook.html': 'what each column of that table holds: definition, unit, usual range, how '
    'many have it',
    'measures_example.py': 'computes a row of this report from measures.tsv in Python',
    'measures_example.R': 'the same in R',
    'stats': 'every table of statistics, each with a JSON file that explains its columns',
    'tables/desc-all_tables.md': 'the primary results as tables of a paper (APA style)',
    'tables': 'each of them as Markdown and, with all digits, as CSV for a supplement; '
    'desc-tables_codebook.csv explains the columns',
    'qc/exclusions.tsv': 'who was left out, by which criterion, with value and threshold',
    'qc/acquisition.tsv': 'how each modality was acquired, with the number of sessions',
    'methods.md': 'methods as they ran, ready to paste',
    'references.bib': 'their references',
    'checklists': 'lists that journals ask for (COBIDAS, STROBE, with spectra of this program '
    'MRSinMRS), filled from this run as far as it knows',
    'figures/paper': 'figures as PDF and 300 dpi PNG, as wide as a column',
    'model_smdl.json': 'the model as it was run',
    'provenance.json': 'seed and versions',
}
"""What lies in a model's folder, beside the page."""


def _files(run: GroupRun) -> Iterator[tuple[Path, str]]:
    """Name what was written, with what it holds."""
    for name, words in FILES.items():
        if (path := run.folder / name).exists():
            yield path, words
    if run.parcels_name:
        place = run.output_dir / GROUP_FOLDER / run.parcels_name
        yield place, 'parcels, their weights, and how their number was chosen'
    yield run.output_dir / GROUP_FOLDER / 'index.html', 'all models of this output folder'


def _findings(run: GroupRun, found: pd.DataFrame) -> Iterator[Block]:
    """Show what survived correction, or say that nothing did."""
    if not run.tables or run.model is None:
        return
    level = f'correction for multiplicity (level {run.model.alpha:g})'
    if found.empty:
        yield Block(paragraphs=[f'No comparison is significant after {level}.'])
    else:
        yield _findings_table(found, level, one_sided_level(run.model.confidence))
    if explained := explained_differences(shown_tables(run), run.model.alpha, run.tables):
        yield Block(
            title='Kept out of the findings',
            paragraphs=[KEPT_OUT, *explained],
        )


def _findings_table(found: pd.DataFrame, level: str, one_sided: float) -> Block:
    """Return the table of findings with what its columns mean."""
    caption = (
        f'Comparisons that are significant after {level} in at least one cohort; a hypothesis '
        'that the model file leaves uncorrected is called so. "The same otherwise" names other '
        'analyses of the comparison, with uncorrected p where they disagree at that level. '
        'Intervals are those of the level in the methods; of partial η² and V the '
        f'{100 * one_sided:g} % interval that goes with a one-sided test. Test statistics are in '
        'the tables below.'
    )
    return table_block(found, 'Findings', caption)


def n_findings(run: GroupRun) -> int:
    """Count what survived correction.

    Parameters
    ----------
    run : GroupRun
        With its tables.
    """
    return len(_found(run))


def _found(run: GroupRun) -> pd.DataFrame:
    """Return the findings, each parcel with its place where all cohorts have it there."""
    if not run.tables or run.model is None:
        return pd.DataFrame()
    found = significant_findings(shown_tables(run), run.model.alpha, run.tables)
    names = {} if run.parcellation is None else names_of_parcels(run.parcellation)
    if names and len(found):
        found['finding'] = found['finding'].str.replace(
            r'\bparcel (\d+)\b', lambda m: names.get(int(m[1]), m[0]), regex=True
        )
    return found


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
    # tables with a row for each person are too long for a page
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
    words = {
        'run': 'used',
        'skip': 'not available',
        'exclude': 'excluded by the quality gate or a rater',
    }
    counts = flow.assign(status=flow['status'].map(words).fillna(flow['status']))
    return in_words(pd.crosstab(counts['modality'], counts['status']).reset_index())


def _place_means(values: pd.DataFrame) -> pd.DataFrame:
    """Average what is measured of the place of each voxel over people."""
    order = list(dict.fromkeys(values['measure']))
    found = values.groupby(['voxel', 'measure'])['value'].agg(['mean', 'std', 'count'])
    words = found.apply(
        lambda row: f'{row["mean"]:.3g} ({row["std"]:.2g})' if row['count'] > 1
        else f'{row["mean"]:.3g}' if row['count'] else 'n/a', axis=1,
    )  # fmt: skip
    return words.unstack('measure')[order].reset_index()  # noqa: PD010


def _parcel_means(table: pd.DataFrame) -> pd.DataFrame:
    """Average each metric over people, by cohort and parcel, in the unit of papers."""
    keys = ['cohort', 'component', 'metric']
    found = table.groupby(keys, sort=True)['value'].agg(['mean', 'std', 'count']).reset_index()
    factor = found['metric'].map(lambda name: SCALE.get(name, 1.0))
    found['unit'] = found['metric'].map(lambda name: UNITS.get(name, ''))
    found[['mean', 'std']] = found[['mean', 'std']].mul(factor, axis=0)
    found = found.rename(columns={'std': 'sd', 'count': 'people'})
    shown = found[[*keys, 'unit', 'mean', 'sd', 'people']]
    return in_words(shown if found['cohort'].any() else shown.drop(columns='cohort'))
