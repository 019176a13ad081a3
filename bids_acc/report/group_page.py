"""The cohort's page: what was found, from which data, by which method, with which caution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bids_acc.report.findings import adjustment_words
from bids_acc.report.glossary import with_glossary
from bids_acc.report.html import Block, Section, image_block, render_page, table_block
from bids_acc.report.plain_words import ANALYSES, plain_sections
from bids_acc.report.wording import (
    MODALITY_WORDS,
    effect_words,
    heading_words,
    is_functional,
    listed,
    name_words,
    p_words,
    response_words,
    statistic_words,
    tested,
    text_of,
)


@dataclass(frozen=True)
class TableText:
    """Where a table stands in the page and how to read it."""

    section: str
    title: str
    caption: str
    functional: str = ''
    """Title of its rows about function, which stand in that section; empty: it is not parted."""


TABLES: Mapping[str, TableText] = {
    'demographics': TableText(
        'People', 'Demographics',
        'Who was compared: mean (standard deviation) or counts. Continuous measures by t test or '
        'analysis of variance, categorical ones by chi-squared and, where cells are small, an '
        'exact test.',
    ),
    'qc_by_group': TableText(
        'Quality', 'Quality measures compared between groups',
        'Read this before any result: where a quality measure differs between groups, a '
        'difference in the outcome may come from it. To overlook one is the worse error here: '
        'look at small uncorrected p and at the size of the difference, too.',
    ),
    'ancova': TableText(
        'Structure', 'Parcel metrics between groups',
        'One analysis of covariance for each parcel and metric. Only the corrected p counts.',
        'Functional measures between groups',
    ),
    'gate': TableText(
        'Structure', 'Which responses go on to post hoc tests',
        'A response is followed up only where the rule of the model file is met, such as '
        'significance in every cohort.',
        'Which functional measures go on to post hoc tests',
    ),
    'posthoc': TableText(
        'Structure', 'Post hoc comparisons',
        'Pairs of groups: plain two-sample t tests, or means adjusted for the covariates, as the '
        'model file says. The sign follows the contrast as written: A - B.',
        'Post hoc comparisons of functional measures',
    ),
    'contrasts': TableText(
        'Structure', 'Planned contrasts', 'As the model file declares them.',
        'Planned contrasts of functional measures',
    ),
    'vertexwise': TableText(
        'Structure', 'Groups at every vertex',
        'Each contrast at every vertex, p corrected for all vertices by permutation '
        '(threshold-free cluster enhancement), then for metrics and contrasts by the family. The '
        'maps are in the folder vertexwise.',
    ),
    'vertexwise_clusters': TableText(
        'Structure', 'Where', 'Connected vertices whose corrected p is at most alpha.'
    ),
    'partialvolume': TableText(
        'Structure', 'FA and MD at equal partial volume and noise',
        'The same comparisons with the share of white matter and the noise floor (FA) or the '
        'share of CSF (MD) of the parcel as covariates. What vanishes is no finding.',
    ),
    'flow': TableText(
        'People', 'Participants by group',
        'How many have which data, and how many were used; measures with the same numbers are one '
        'row here, and a row each in the TSV.',
    ),
    'voxels': TableText(
        'People', 'Spectra', 'Which spectra are analysed, where people have several.'
    ),
    'confounding': TableText(
        'People', 'Groups and where they were measured',
        'Pairs of groups that share no site, scanner, acquisition or data set, hardly one, or '
        'the same unevenly: '
        'their difference cannot be told from one of the measurement.',
    ),
    'asked': TableText(
        'Checks', 'Asked for and not done', 'By the model file; the data do not allow it.'
    ),
    'mrs_group': TableText(
        'Glutamate', 'Metabolites between groups',
        'Spectra and metabolites that failed the quality gate are left out; the sensitivity '
        'table shows the same with the gate off.',
    ),
    'interactions': TableText(
        'Interactions', 'What the difference between groups depends on',
        'interactions: the test of group x covariate, or of the group effect on left minus right. '
        'simple_effect: the groups compared at each level, or at the 10th, 50th and 90th '
        'percentile, and how these comparisons differ. Only the first is a finding.',
    ),
    'relation': TableText(
        'Glutamate', 'Parcel metrics and the metabolite',
        'Main effect of the (centred) metabolite and its interaction with group.',
    ),
    'partialcorr': TableText(
        'Glutamate', 'Partial correlations',
        'Only where the model above was significant, so the correlations are selected; without '
        'group as published, and with it (within). df = n - 2 - number of columns partialled out.',
    ),
    'clinical': TableText(
        'Clinical measures', 'Parcel metrics, metabolites and clinical measures',
        'Within groups: one slope with group in the model. All groups: pooled, where a difference '
        'between groups looks like a relation; no finding of its own.',
    ),
    'evidence': TableText(
        'Further analyses', 'Evidence for the absence of an effect',
        'Bayes factors (BF10 below 1/3 speaks for no effect, above 3 for one), and equivalence '
        'tests where the model file declares a smallest effect of interest: a small p there says '
        'that the effect is smaller.',
    ),
    'mixture': TableText(
        'Further analyses', 'Mixture of Gaussians',
        'Is the distribution better described by one, two or three groups?',
    ),
    'zscores': TableText(
        'Further analyses', 'Distance from the norm',
        'Mean z score of each group, and the share of its people below and above a centile of the '
        'norm (share_below, share_above); each person is in zscores_participants.',
    ),
    'change': TableText(
        'Change', 'Change between sessions',
        'Within participants (paired), by session and group over all visits (mixed model: the '
        'term session by group asks whether groups change differently), and follow-up at equal '
        'baseline.',
    ),
    'trial': TableText(
        'Change', 'The trial',
        'Slopes of the groups over the visits, shares of responders and remitted, patients '
        'against controls who were measured once, treatments of a crossover. Everybody who was '
        'seen takes part; the rows of completers stand beside.',
    ),
    'reliability': TableText(
        'Quality', 'Agreement of sessions without treatment between them',
        'ICC(2,1) with its interval; a change of one person below the smallest detectable one '
        '(sdc, in the table) may be error of measurement. ICCs are larger where people differ '
        'more: compare them within groups.',
    ),
    'dropouts': TableText(
        'Change', 'Not seen at every visit', 'People of groups that have later visits.'
    ),
    'meta': TableText(
        'Further analyses', 'Cohorts side by side',
        'Each cohort, the pooled analysis with site, and their summary: of two cohorts the common '
        'effect with Q, of more the random-effects mean.',
    ),
    'prediction': TableText(
        'Further analyses', 'Prediction of response',
        'Cross-validated only; an in-sample accuracy is never reported. Of two classes also '
        'sensitivity and specificity, calibration and net benefit in unseen people.',
    ),
    'treatment': TableText('Further analyses', 'Treatment history', ''),
    'diagnostics': TableText(
        'Checks', 'Residuals and influence',
        'Shapiro-Wilk test, the largest change by one participant, and whether the conclusion '
        'changes with unequal variances (HC3), robust (MM) regression or permutation: of group '
        'effects, also at equal nuisance and at equal baseline, of mean changes and of mixed '
        'models over visits.',
    ),
    'sensitivity': TableText(
        'Checks', 'Sensitivity of the results to the quality gates',
        'The same with the quality gate off (gate_off), and with one of its criteria alone '
        '(gate_alone) where several left values out: metabolites, and the parcels where a gate of '
        'images leaves sessions out (in the parcels that were found without them).',
    ),
}  # fmt: skip
"""Known tables; others are shown at the end under their own name."""

SECTIONS = (
    'Summary', 'Quality', 'Findings', 'People', 'Change', 'Parcels', 'Structure',
    'Function', 'Glutamate', 'Interactions', 'Clinical measures', 'Further analyses', 'Checks',
    'Methods', 'Files',
)  # fmt: skip


@dataclass(frozen=True)
class GroupPage:
    """What the page is made of."""

    summary: Sequence[str]
    """Sentences for the head of the page."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Sequence[tuple[Path, str, str]]] = field(default_factory=dict)
    """Section to figures: path, title, caption."""
    extra: Mapping[str, Sequence[Block]] = field(default_factory=dict)
    """Section to further blocks, put first."""
    methods: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Columns that the data set explains, in words; groups and cohorts stand for themselves."""
    files: Sequence[tuple[Path, str]] = ()
    """What else lies in the folder, with what it holds."""
    folder: Path | None = None
    """Where the page will lie; figures and tables below it are linked."""
    tables_folder: Path | None = None
    """Where the tables lie, each as ``<name>.tsv``."""
    beside: Mapping[str | Path, Sequence[tuple[Path, str]]] = field(default_factory=dict)
    """Name of a table, or a figure, to files that belong to it, with words."""


def by_group(row: pd.Series) -> dict[str, str]:
    """Return what a row says of each group: mean (SD), n or counts, by the group's name.

    Parameters
    ----------
    row : Series
        Of demographics or of quality; ``description`` is read.

    Returns
    -------
    dict of str to str
        A group that is named as a column of the table is called ``group ...``.

    Examples
    --------
    >>> by_group(pd.Series({'description': 'HC: 41 (9), n=26; TRS: 39 (8), n=23'}))
    {'HC': '41 (9), n=26', 'TRS': '39 (8), n=23'}
    """
    parts = [part.split(': ', 1) for part in text_of(row, 'description').split('; ')]
    # a group may be called as a column is
    own = {'cohort', 'analysis', 'response', 'term', 'n', 'test', 'p', 'note'}
    return {
        f'group {part[0]}' if part[0] in own else part[0]: part[1]
        for part in parts
        if len(part) == 2
    }


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """Put a statistics table into the columns that a reader needs; the file has all.

    Parameters
    ----------
    table : DataFrame
        With the common columns; any other table is returned as it is.
    """
    if 'p_unc' not in table or table.empty:
        return in_words(table)
    rows = [
        {
            'cohort': text_of(row, 'cohort'),
            'analysis': analysis_words(row),
            'criterion': text_of(row, 'criterion'),
            'response': response_words(row),
            'term': name_words(tested(row)),
            **by_group(row),
            'n': str(int(row['n'])) if pd.notna(row.get('n')) and row['n'] else '',
            'test': statistic_words(row),
            'effect [CI]': effect_words(row),
            'adjusted for': _adjusted(row),
            'p': p_words(row['p_unc']),
            'p corrected': p_words(row.get('p_corrected')),
            'note': text_of(row, 'note'),
        }
        for _, row in table.iterrows()
    ]
    shown = pd.DataFrame(rows).fillna('')
    groups = list(dict.fromkeys(name for _, row in table.iterrows() for name in by_group(row)))
    # what is read of each row must not lie right of many columns, out of sight
    first = ['response', 'term', 'cohort', 'p', 'p corrected', 'analysis', 'criterion', *groups]
    shown = shown[[*first, *(name for name in shown if name not in first)]]
    empty = [c for c in shown if shown[c].eq('').all()]
    if (shown['term'] == 'group').all():  # as the title says
        empty.append('term')
    said = shown.where(shown['p'] != '').assign(**shown[['cohort', 'analysis']])  # of tests only
    alike = [c for c in ('cohort', *SAID_ONCE) if len(set(said[c].dropna())) <= 1]
    return shown.drop(columns=list(dict.fromkeys([*empty, *alike])))


SAID_ONCE = ('analysis', 'adjusted for')
"""Columns that are not shown where all rows have the same: the caption says it."""


def _adjusted(row: pd.Series) -> str:
    """Say what a test is adjusted for; empty without a test."""
    return adjustment_words(row) if pd.notna(row['p_unc']) else ''


def said_once(table: pd.DataFrame) -> str:
    """Say what all tests of a table share: their analysis, and what they are adjusted for.

    Parameters
    ----------
    table : DataFrame
        With the common columns; of any other nothing is said.

    Examples
    --------
    >>> row = {'p_unc': 0.1, 'analysis': 'posthoc_plain', 'covariates': '', 'formula': ''}
    >>> said_once(pd.DataFrame([row, row]))
    'All rows: t test without covariates.'
    >>> said_once(pd.DataFrame([{**row, 'analysis': 'ancova', 'covariates': 'age, sex'}]))
    'All rows: analysis of covariance, adjusted for age, sex.'
    """
    if 'p_unc' not in table or table['p_unc'].notna().sum() == 0:
        return ''
    tests = [row for _, row in table[table['p_unc'].notna()].iterrows()]
    names, adjusted = ({of(row) for row in tests} for of in (analysis_words, _adjusted))
    words = [name for name in names if len(names) == 1 and name in ANALYSES.values()]
    if adjusted == {'nothing'}:
        words += ['without covariates'] * (not any('without' in name for name in words))
    elif len(adjusted) == 1:
        words.append(f'adjusted for {next(iter(adjusted))}')
    return f'All rows: {", ".join(words)}.' if words else ''


def analysis_words(row: pd.Series) -> str:
    """Name the analysis of a row.

    Parameters
    ----------
    row : Series
        Of a table of results.

    Returns
    -------
    str
        From `ANALYSES`, else the name as it stands.
    """
    name = text_of(row, 'analysis')
    return ANALYSES.get(name, name)


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """Put the names of a table that has no tests into words: of columns, and of measures.

    Parameters
    ----------
    table : DataFrame
        Any.
    """
    named = {c: table[c].map(name_words) for c in ('measure', 'metric', 'response') if c in table}
    if 'modality' in table:
        named['modality'] = table['modality'].map(lambda name: MODALITY_WORDS.get(name, name))
    return table.assign(**named).rename(columns=heading_words)


def _listed(cells: pd.Series) -> str:
    """List different words once."""
    return ', '.join(dict.fromkeys(str(cell) for cell in cells if cell))


NO_DIFFERENCE = ('not done: no variation', 'not done: one category')
"""How the note of a measure begins that has one value in all people of a cohort."""


def _is_constant(table: pd.DataFrame) -> pd.Series:
    """Tell which rows are of measures with one value in all people of a cohort.

    One that is so only in those who pass the gate is not.
    """
    alike = table['note'].astype(str).str.startswith(NO_DIFFERENCE)
    return alike.groupby([table['cohort'].astype(str), table['response']]).transform('all')


def same_in_everybody(table: pd.DataFrame, cohorts: Sequence[str]) -> str:
    """List measures that have one value in all people, with that value.

    Parameters
    ----------
    table : DataFrame
        Rows of ``qc_by_group`` whose ``note`` begins as one of `NO_DIFFERENCE`.
    cohorts : sequence of str
        All cohorts that are compared; one is named where the value is not that of all.

    Returns
    -------
    str
        Parted by semicolons.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         'cohort': ['A', 'B', 'A', 'B'],
    ...         'response': ['mrs_te_s', 'mrs_te_s', 'dwi_n_runs', 'dwi_n_runs'],
    ...         'description': [
    ...             'HC: 0.03 (0), n=9',
    ...             'HC: 0.03 (0), n=8',
    ...             'HC: 1 (0), n=9',
    ...             'HC: 2 (0), n=8',
    ...         ],
    ...     }
    ... )
    >>> same_in_everybody(rows, ['A', 'B']).split('; ')[1]
    'diffusion: runs = 1 (A), 2 (B)'
    """
    found: dict[str, dict[str, list[str]]] = {}
    for _, row in table.iterrows():
        value = next(iter(by_group(row).values()), 'no value').split(' (')[0]
        value = re.sub(r' \d+$', '', value)  # of categories, how many people
        places = found.setdefault(name_words(text_of(row, 'response')), {}).setdefault(value, [])
        places.append(text_of(row, 'cohort'))
    everywhere = {*cohorts, *table['cohort'].dropna()}
    return '; '.join(
        f'{name} = ' + ', '.join(
            value if {*places} >= everywhere else f'{value} ({", ".join(dict.fromkeys(places))})'
            for value, places in by_value.items()
        )
        for name, by_value in found.items()
    )  # fmt: skip


NOT_DONE = ('not done: ', 'refused by the self-check: ')
"""What the note of a row without a test says."""


def not_done(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Collect the analyses that could not be done, with the reason.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By name, as the group level writes them.

    Returns
    -------
    DataFrame
        Columns ``analysis``, ``cohort``, ``response`` and ``why``; empty where all was done.
    """
    rows = [
        {
            'analysis': analysis_words(row),
            'cohort': text_of(row, 'cohort'),
            'response': name_words(text_of(row, 'response')) or tested(row),
            'why': text_of(row, 'note').split('not done: ')[-1],
        }
        for table in tables.values()
        if 'note' in table
        for _, row in table.iterrows()
        if any(word in text_of(row, 'note') for word in NOT_DONE)
    ]
    if not rows:
        return pd.DataFrame()
    # One reason for many responses is one row.
    folded = pd.DataFrame(rows).drop_duplicates().groupby(['analysis', 'why'], sort=False)
    names = folded.agg(_listed)
    return names.reset_index()[['analysis', 'cohort', 'response', 'why']]


def _parts(text: TableText, table: pd.DataFrame) -> Iterator[tuple[TableText, pd.DataFrame]]:
    """Yield a table in one, or its rows about structure and those about function."""
    own = table['response'].map(lambda name: is_functional(str(name))) if text.functional else None
    if own is None or not own.any():
        yield text, table
        return
    if not own.all():
        yield text, table[~own]
    yield replace(text, section='Function', title=text.functional), table[own]


def _by_groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a table with its groups as columns in one, or by cohort where these have other groups.

    Columns of groups that a cohort does not have would stay empty.
    """
    if 'description' in table and 'p_unc' in table and 'cohort' in table and len(table):
        names = table['cohort'].map(str)
        groups = {
            name: frozenset(g for _, row in own.iterrows() for g in by_group(row))
            for name, own in table.groupby(names, sort=False)
        }
        # columns of groups that a cohort does not have would be read as groups without values
        if len(set(groups.values())) > 1:
            yield from ((name, table[names == name]) for name in groups)
            return
    yield '', table


def _measures_listed(names: pd.Series) -> str:
    """List measures; one metric in several parcels is named once."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(map(str, names)):
        metric, _, number = name.rpartition(' of parcel ')
        in_parcel = bool(metric) and number.isdigit()
        found.setdefault(metric if in_parcel else name, []).extend([number] * in_parcel)
    return ', '.join(
        metric if not numbers
        else f'{metric} of parcel{"s"[: len(numbers) > 1]} {listed(numbers)}'
        for metric, numbers in found.items()
    )  # fmt: skip


def _folded(table: pd.DataFrame) -> pd.DataFrame:
    """Write measures of which all else is the same into one row."""
    if 'measure' not in table or table.empty:
        return table
    others = [column for column in table if column != 'measure']
    folded = table.groupby(others, sort=False, dropna=False)['measure'].agg(_measures_listed)
    return folded.reset_index()[list(table)]


def _table_blocks(page: GroupPage, name: str) -> Iterator[tuple[str, Block]]:
    """Yield a table of the page, each part with its section; measures without variation apart."""
    text = TABLES.get(name, TableText('Further analyses', name, ''))
    file = page.tables_folder / f'{name}.tsv' if page.tables_folder else None
    table = page.tables[name]
    # many measures of quality are constants of a protocol, and would bury those that vary
    with_constants = name == 'qc_by_group' and 'note' in table
    alike = _is_constant(table) if with_constants else pd.Series(data=False, index=table.index)
    shown = table[~alike] if alike.any() else table
    for part, rows in _parts(text, shown) if len(shown) or not alike.any() else ():
        for number, (place, own) in enumerate(_by_groups(rows)):
            how = '' if number else part.caption  # is read once
            caption = ' '.join(filter(None, [how, said_once(own)]))
            title = f'{part.title}, {place}' if place else part.title
            words = _folded(compact(own)) if name == 'flow' else compact(own)
            block = table_block(words, title, caption, fold_above=16, file=file)
            yield part.section, replace(block, beside=page.beside.get(name, ()))
    if alike.any():
        said = same_in_everybody(table[alike], list(dict.fromkeys(table['cohort'].dropna())))
        yield (
            text.section,
            Block(
                title='Quality measures that do not vary within a cohort',
                paragraphs=[f'Nothing to compare between groups: {said}.'],
            ),
        )


def render_group_page(page: GroupPage, subtitle: str) -> str:
    """Put the cohort's page together.

    Parameters
    ----------
    page : GroupPage
        Content.
    subtitle : str
        Second line of the head.

    Returns
    -------
    str
        HTML.
    """
    blocks: dict[str, list[Block]] = {name: list(page.extra.get(name, ())) for name in SECTIONS}
    blocks['Summary'].insert(0, Block(paragraphs=list(page.summary)))
    for name, figures in page.figures.items():
        blocks[name] += [
            replace(image_block(path, title, caption), beside=page.beside.get(path, ()))
            for path, title, caption in figures
        ]
    for name in page.tables:
        for section, block in _table_blocks(page, name):
            blocks[section].append(block)
    if len(undone := not_done(page.tables)):
        blocks['Checks'].insert(
            0, table_block(undone, 'Not done, and why', 'Analyses that the data do not allow.')
        )
    blocks['Methods'].append(Block(paragraphs=list(page.methods)))
    blocks['Files'].append(Block(links=list(page.files)))
    sections = [Section(name, blocks[name]) for name in SECTIONS if blocks[name]]
    plain = with_glossary(plain_sections(sections, page.names))
    return render_page('bids_acc group report', subtitle, plain, page.folder)
