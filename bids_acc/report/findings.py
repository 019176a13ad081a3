"""What survived correction, in words: how adjusted, in which cohorts, and what says otherwise.

A finding is a row of the declared model. Beside it stand every cohort in which the comparison
exists, and what other means say of the same comparison (without covariates, by ranks, by
permutation, robustly, with the gate off): a reader sees at once what it hangs on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bids_acc.report.plain_words import ANALYSES
from bids_acc.report.wording import (
    effect_words,
    finding_words,
    goes_up,
    is_directed,
    p_words,
    text_of,
)

VARIANTS = (
    'permutation', 'rank', 'welch', 'robust', 'sensitivity', 'nuisance', 'together',
    'simple_effect', 'slope', 'completers', 'dropout rate', 'mixed contrast',
)  # fmt: skip
"""Ends of analysis names that repeat a main analysis by other means; not headline findings."""

HEADLINES = (
    'trial', 'change', 'contrasts', 'ancova', 'posthoc', 'vertexwise', 'mrs_group',
    'interactions', 'relation', 'clinical',
)  # fmt: skip
"""Tables whose rows can be findings, in the order of the page. A partial correlation repeats the
relation that it follows up: it stands beside it."""

CONTINUOUS = ('relation', 'clinical')
"""Tables whose terms are measures; the terms of the others group people."""

OTHERWISE: Mapping[str, str] = {
    **{name: ANALYSES[name] for name in (
        'mrs_ancova', 'mrs_adjusted', 'mrs_t', 'mrs_welch', 'mrs_permutation', 'posthoc',
        'posthoc_plain', 'hc3',
    )},
    'mrs_rank': 'ranks', 'ancova_f': 'F test',
    'posthoc_t': 't test', 'posthoc_plain_t': 't test without covariates',
    'contrasts_t': 't test', 'interactions_f': 'F test', 'relation_f': 'F test',
    'clinical_t': 't test', 'partialcorr_t': 't test without group in the model',
    'mrs_adjusted_t': 't test of adjusted means',
    'robust': 'robust regression',
    'permutation': 'permutation of residuals', 'gate_off': 'quality gate off',
    'partialcorr': 'without group in the model',
    'partial_volume': 'at equal partial volume and noise',
}  # fmt: skip
"""Analyses that make the same comparison by other means, in words."""

EXPLAINED = 'explained by partial volume/noise'
"""How a note starts that keeps a difference out of the findings."""

CHANGE = (
    'mixed model', 'paired change', 'baseline-adjusted', 'change-change', 'slopes',
    'response rate', 'remission rate', 'normalisation', 'crossover',
)  # fmt: skip
"""Analyses of the table of change."""

_KEYS = ['analysis', 'response', 'term', 'contrast', 'correction']


def significant_findings(
    tables: Mapping[str, pd.DataFrame],
    alpha: float,
    everything: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Collect the comparisons that survive correction in at least one cohort.

    Parameters
    ----------
    tables : mapping
        Statistics tables whose rows may be findings.
    alpha : float
        Level: a corrected p is significant when it is at most this.
    everything : mapping, optional
        All tables, to look up what other means say (default: ``tables``).

    Returns
    -------
    DataFrame
        One row for each comparison: ``finding`` in words; ``adjusted for``; ``holds in``, where
        there are several cohorts, the number in which it is significant in that direction of
        those in which the comparison exists; one column for each cohort with effect, interval, p
        and n; ``the same otherwise`` with the uncorrected p of other means. Empty if nothing
        survived. A difference that partial volume or noise explains (table ``partialvolume``) is
        none; `explained_differences` names it. A p value that the model does not correct (a
        primary hypothesis) is called uncorrected.
    """
    everything = tables if everything is None else everything
    # what is shown decides on findings; what was computed decides on what speaks against them
    main = _main_tables(tables, everything)
    cohorts = list(dict.fromkeys(c for t in main.values() for c in t['cohort'] if c != 'all'))
    groups = _groups_of_cohorts(everything)
    rows = [
        {**row, 'the same otherwise': _otherwise(lead, everything, alpha)}
        for name, table in main.items()
        for lead, row in _findings_of(name, table, cohorts, groups, alpha)
    ]
    found = pd.DataFrame(rows)
    return found.loc[:, (found != '').any()] if len(found) else found


NAMED = 4
"""Findings that the summary of a page names; it says how many more there are. Own convention."""


def findings_in_brief(found: pd.DataFrame) -> str:
    """Say how many findings there are, and name first those that hold in most cohorts.

    Parameters
    ----------
    found : DataFrame
        As `significant_findings` returns it.

    Returns
    -------
    str
        Of several cohorts only what holds in more than one is named, and it is said when nothing
        does; where a finding is the opposite in another cohort, it is not named.

    Examples
    --------
    >>> findings_in_brief(pd.DataFrame({'finding': ['Glx is higher in A than in B']}))
    '1 finding: Glx is higher in A than in B. See Findings, and Quality before.'
    >>> findings_in_brief(pd.DataFrame({'finding': ['a', 'b'], 'holds in': ['1 of 2', '2 of 2']}))
    '2 findings, 1 in more than one cohort: b. See Findings, and Quality before.'
    """
    if found.empty:
        return 'No comparison is significant after correction for multiplicity.'
    count = f'{len(found)} finding{"s"[: len(found) > 1]}'
    where = 'See Findings, and Quality before.'
    names = found['finding']
    if 'holds in' in found:
        times = found['holds in'].str.extract(r'^(\d+) of \d+$')[0].fillna('0').astype(int)
        names = names[times[times > 1].sort_values(ascending=False, kind='stable').index]
        if names.empty:
            return f'{count}, none in more than one cohort. {where}'
        count += f', {len(names)} in more than one cohort'
    further = len(names) - NAMED
    said = '; '.join(names[:NAMED]) + (f'; and {further} more' if further > 0 else '')
    return f'{count}: {said}. {where}'


def explained_differences(
    tables: Mapping[str, pd.DataFrame],
    alpha: float,
    everything: Mapping[str, pd.DataFrame] | None = None,
) -> list[str]:
    """Name the comparisons that survive correction and that partial volume or noise explains.

    Parameters
    ----------
    tables, alpha, everything
        As for `significant_findings`.

    Returns
    -------
    list of str
        One sentence for each comparison and cohort.
    """
    main = _main_tables(tables, tables if everything is None else everything)
    sentences = []
    for name, table in main.items():
        for _, row in table[(table['p_corrected'] <= alpha) & table['explained']].iterrows():
            where = f' ({row["cohort"]})' if row['cohort'] != 'all' else ''
            words = finding_words(row, continuous=name in CONTINUOUS)
            note = text_of(row, 'note')
            sentences.append(f'{words}{where}: {note[max(note.find(EXPLAINED), 0) :]}.')
    return list(dict.fromkeys(sentences))


def _main_tables(
    tables: Mapping[str, pd.DataFrame], everything: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the rows that can be findings, and whether partial volume or noise explains each."""
    keys = ['cohort', 'response', 'term', 'contrast']
    checks = everything.get('partialvolume', pd.DataFrame())
    known: set[tuple[str, ...]] = set()
    if 'explained' in checks:
        vanished = checks[checks['explained'] == 'yes']
        # a finding that partial volume explains is none, whatever its p
        known = {tuple(text_of(row, key) for key in keys) for _, row in vanished.iterrows()}
    found = {}
    for name in (name for name in HEADLINES if name in tables):
        table = main_rows(name, tables[name])
        of_rows = [tuple(text_of(row, key) for key in keys) for _, row in table.iterrows()]
        explained = pd.Series([key in known for key in of_rows], table.index, dtype=bool)
        found[name] = table.assign(explained=explained)
    return found


def main_rows(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of a table of results that can be headline findings.

    Parameters
    ----------
    name : str
        Of the table, such as ``mrs_group`` or ``clinical``.
    table : DataFrame
        One test a row, as the group level writes it.

    Returns
    -------
    DataFrame
        With ``cohort`` filled (``all`` for tests over all people) and ``p_corrected`` as numbers.
    """
    if 'p_corrected' not in table:
        return table.iloc[:0].assign(cohort='', p_corrected=float('nan'))
    kept = table[~table['analysis'].astype(str).str.endswith(VARIANTS)]
    cohorts = [text_of(row, 'cohort') or 'all' for _, row in kept.iterrows()]
    p = pd.to_numeric(kept['p_corrected'], errors='coerce')
    kept = kept.assign(cohort=cohorts, p_corrected=p)
    if name == 'mrs_group':
        same = ['cohort', 'response', 'contrast']
        kept = _without_doubles(kept, same, 'analysis', 'mrs_t', ('mrs_adjusted', 'mrs_exact'))
    if name == 'clinical':
        same = ['cohort', 'response', 'term']
        kept = _without_doubles(kept, same, 'contrast', 'all groups', ('within groups',))
    return kept


def _without_doubles(
    table: pd.DataFrame, same: Sequence[str], column: str, weaker: str, stronger: Sequence[str]
) -> pd.DataFrame:
    """Drop the rows of a weaker analysis where a stronger one makes the same comparison."""
    key = table[list(same)].astype(str).agg('\t'.join, axis=1)
    # one comparison is one finding, by the analysis that adjusts most
    better = set(key[table[column].isin(list(stronger))])
    return table[~((table[column] == weaker) & key.isin(better))]


def _groups_of_cohorts(tables: Mapping[str, pd.DataFrame]) -> dict[str, set[str]]:
    """Return the groups that each cohort has, from the counts in all rows."""
    found: dict[str, set[str]] = {}
    for table in tables.values():
        if not {'cohort', 'n_per_group'} <= set(table):
            continue
        for cohort, counts in zip(table['cohort'], table['n_per_group'], strict=True):
            if isinstance(counts, str) and isinstance(cohort, str):
                names = {c.rsplit('=', 1)[0] for c in counts.split(';') if not c.endswith('=0')}
                found.setdefault(cohort, set()).update(names - {'', 'n/a'})
    return found


def _exists(row: pd.Series, cohort: str, groups: Mapping[str, set[str]]) -> bool:
    """Tell whether a cohort has both groups of a contrast 'A - B'."""
    contrast = text_of(row, 'contrast')
    everybody = set().union(*groups.values()) if groups else set()
    # a group's name may hold a hyphen between blanks; what is no pair of groups exists everywhere
    if ' - ' not in contrast or not set(contrast.split(' - ', 1)) <= everybody:
        return True
    return set(contrast.split(' - ', 1)) <= groups.get(cohort, set())


def _findings_of(
    name: str,
    table: pd.DataFrame,
    cohorts: list[str],
    groups: Mapping[str, set[str]],
    alpha: float,
) -> Iterator[tuple[pd.Series, dict[str, str]]]:
    """Yield the leading row and the cells of each comparison that is significant somewhere."""
    if table.empty:  # of which pandas would make no column of labels
        return
    labels = table[[c for c in _KEYS if c in table]].astype(str).agg('\t'.join, axis=1)
    for _, same in table.groupby(labels, sort=False):
        found = same[(same['p_corrected'] <= alpha) & ~same['explained']]
        if not len(found):
            continue
        # the direction is told of the strongest cohort, and those against it are named
        lead = found.sort_values('p_corrected', kind='stable').iloc[0]
        words = {'finding': finding_words(lead, continuous=name in CONTINUOUS)}
        adjusted = {'adjusted for': adjustment_words(lead)}
        shown = [c for c in ('all', *cohorts) if c in cohorts or (same['cohort'] == c).any()]
        if len(shown) == 1:
            yield lead, {**words, 'evidence': _evidence(lead), **adjusted}
            continue
        by_cohort = {row['cohort']: row for _, row in same.iterrows()}
        # a cohort without one of the groups cannot fail to replicate
        possible = [c for c in shown if c in by_cohort or _exists(lead, c, groups)]
        evidence = {
            c: _evidence(by_cohort[c]) if c in by_cohort
            else 'not tested' if c in possible else 'no such group'
            for c in shown
        }  # fmt: skip
        holds = {'holds in': _replication(lead, found, len(possible))}
        yield lead, {**words, **holds, **evidence, **adjusted}


def adjustment_words(row: pd.Series) -> str:
    """Say what a comparison is adjusted for.

    Parameters
    ----------
    row : Series
        Of a table of results; ``covariates``, ``formula`` and ``term`` are read.

    Returns
    -------
    str
        Names joined by commas; the tested term is not among them.

    Examples
    --------
    >>> adjustment_words(pd.Series({'covariates': 'age, sex', 'term': 'group'}))
    'age, sex'
    >>> adjustment_words(pd.Series({'covariates': '', 'formula': 'Glu ~ group', 'term': 'group'}))
    'nothing'
    >>> adjustment_words(
    ...     pd.Series({'covariates': 'age', 'formula': 'y ~ Glx + age + group', 'term': 'Glx'})
    ... )
    'group, age'
    >>> adjustment_words(
    ...     pd.Series(
    ...         {'covariates': 'age, sex', 'formula': 'y ~ group + age + sex', 'term': 'age'}
    ...     )
    ... )
    'group, sex'
    """
    terms = text_of(row, 'formula').split(' ~ ')[-1].split(' + ')
    own = text_of(row, 'term').replace(' in ', ':').split(':')
    names = [name for name in text_of(row, 'covariates').split(', ') if name and name not in own]
    if 'group' in terms and 'group' not in own:
        names.insert(0, 'group')
    return ', '.join(names) or 'nothing'


def _replication(lead: pd.Series, found: pd.DataFrame, n_cohorts: int) -> str:
    """Count the cohorts with the same finding, and name those with its opposite."""
    opposite = [
        str(row['cohort'])
        for _, row in found.iterrows()
        if is_directed(row) and goes_up(row) != goes_up(lead)
    ]
    text = f'{len(found) - len(opposite)} of {n_cohorts}'
    return f'{text}; the opposite in {", ".join(opposite)}' if opposite else text


def _evidence(row: pd.Series) -> str:
    """Write effect, p and number of people of one comparison, or why there is none."""
    p = p_words(row['p_corrected'])
    if not p:
        return text_of(row, 'note') or 'not tested'
    # A family without correction is the model's choice, such as one primary hypothesis.
    kind = 'uncorrected' if text_of(row, 'correction') == 'none' else 'corrected'
    parts = [
        effect_words(row),
        f'{kind} p {p}' if p.startswith('<') else f'{kind} p = {p}',
        people_words(row),
        EXPLAINED if row['explained'] else '',
    ]
    return ', '.join(part for part in parts if part)


def people_words(row: pd.Series) -> str:
    """Count the people of a comparison; of two groups in a model with more, those of the two.

    Parameters
    ----------
    row : Series
        Of a table of results; ``n``, ``n_per_group`` and ``contrast`` are read.

    Returns
    -------
    str
        Empty where ``n`` is missing.

    Examples
    --------
    >>> counts = {'n': 79, 'n_per_group': 'HC=26;TRS=21;FR=32'}
    >>> people_words(pd.Series({**counts, 'contrast': 'TRS - HC'}))
    'n = 47 of 79 in the model'
    >>> people_words(pd.Series({**counts, 'contrast': ''}))
    'n = 79'
    """
    if pd.isna(row.get('n')):
        return ''
    n = int(row['n'])
    cells = [cell.rpartition('=') for cell in text_of(row, 'n_per_group').split(';')]
    counts = {name: int(number) for name, _, number in cells if number.isdigit()}
    pair = text_of(row, 'contrast').split(' - ', 1)
    if len(pair) == 2 and set(pair) <= set(counts):
        own = sum(counts[name] for name in pair)
        if own < n:
            return f'n = {own} of {n} in the model'
    return f'n = {n}'


def other_means(
    lead: pd.Series, tables: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, float, str]]:
    """Yield what other analyses say of a comparison: name, uncorrected p, and a remark.

    Parameters
    ----------
    lead : Series
        Row of a finding.
    tables : mapping
        All statistics tables.
    """
    term, contrast = text_of(lead, 'term'), text_of(lead, 'contrast')
    # cross-sectional tests of the same measure ask another question, and would look like a
    # contradiction
    if lead['analysis'] in CHANGE:  # no other table compares visits
        if pd.notna(lead.get('p_wilcoxon')):
            yield 'signed ranks', float(lead['p_wilcoxon']), ''
        yield from _in_completers(lead, tables)
        return
    for table in tables.values():
        if not {'analysis', 'response', 'term', 'p_unc'} <= set(table):
            continue
        same = table[
            (table['response'] == lead['response']) & (table['cohort'] == lead['cohort'])
            & (table['term'] == term) & (table['analysis'] != lead['analysis'])
        ]  # fmt: skip
        for _, row in same.iterrows():
            name, other = str(row['analysis']), text_of(row, 'contrast')
            if name == 'influence' and text_of(row, 'lost_without'):
                who = text_of(row, 'lost_without').split(', ')
                named = ' or '.join(who) if len(who) < 4 else f'any one of {len(who)} people'
                yield 'leave one out', float('nan'), f'lost without {named}'
            if name not in OTHERWISE or pd.isna(row['p_unc']):
                continue
            # an omnibus test of two groups is their contrast, and of three it is not
            omnibus = not other or name == 'gate_off'
            if other == contrast or (omnibus and (not contrast or _only_pair(row, contrast))):
                yield OTHERWISE[name], float(row['p_unc']), ''
    clinical = tables.get('clinical')
    if contrast == 'within groups' and clinical is not None:
        rest = clinical[
            (clinical['response'] == lead['response']) & (clinical['cohort'] == lead['cohort'])
            & (clinical['term'] == term) & (clinical['contrast'] != contrast)
        ]  # fmt: skip
        for _, row in rest[rest['p_unc'].notna()].iterrows():
            name = 'pooled' if row['contrast'] == 'all groups' else f'{row["contrast"]} alone'
            yield name, float(row['p_unc']), ''


def _in_completers(
    lead: pd.Series, tables: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[str, float, str]]:
    """Yield the same comparison in those who were seen at every visit."""
    for name in ('change', 'trial'):
        table = tables.get(name)
        if table is None:
            continue
        same = table[table['analysis'] == f'{lead["analysis"]} completers']
        for key in ('cohort', 'response', 'term', 'contrast'):
            same = same[same[key] == lead[key]]
        for p in same['p_unc'].dropna():
            yield 'completers', float(p), ''


def _only_pair(row: pd.Series, contrast: str) -> bool:
    """Tell whether an omnibus test has just the two groups of a contrast."""
    counts = [c for c in text_of(row, 'n_per_group').split(';') if not c.endswith('=0')]
    return {c.rsplit('=', 1)[0] for c in counts} == set(contrast.split(' - ', 1))


def _otherwise(lead: pd.Series, tables: Mapping[str, pd.DataFrame], alpha: float) -> str:
    """Write what other means say: first those that disagree."""
    against, agree = [], []
    for name, p, remark in other_means(lead, tables):
        if remark:
            against.append(remark)
        elif p <= alpha:
            agree.append(name)
        else:
            # uncorrected on both sides: families differ in size, and a check must not fail by its
            # family alone
            against.append(f'{name} (uncorrected p = {p_words(p)})')
    text = []
    if against:
        text.append(f'DISAGREES: {", ".join(dict.fromkeys(against))}')
    if agree:
        text.append(f'agrees: {", ".join(dict.fromkeys(agree))}')
    return '; '.join(text)
