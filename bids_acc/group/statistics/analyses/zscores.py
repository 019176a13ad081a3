"""How far each participant and each group lies from norms.

The norm of a measure is a table in the model file, or the group ``Norms/Level`` of the same cohort
at the first session, with the covariates ``Norms/Adjust`` and a spread that may change with
``Norms/Spread``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.contingency import fisher_exact
from bids_acc.group.formulas.design import build_design
from bids_acc.group.formulas.norms import Distances, sample_norms, table_norms
from bids_acc.group.formulas.two_samples import welch
from bids_acc.group.statistics.model.content import NormEntry, NormsEntry
from bids_acc.group.statistics.rows.kinds import NAN, Effect, StatisticalTest, TTest
from bids_acc.group.statistics.rows.row import Row, Told
from bids_acc.group.statistics.study.data import (
    Measure,
    Study,
    as_levels,
    group_counts,
    named_measures,
)
from bids_acc.typing import BoolArray, FloatArray

COLUMNS = (
    'participant_id', 'session_id', 'cohort', 'group', 'measure', 'z', 'centile', 'norm', 'norm_n',
    'outside_norm',
)  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """One measure of one cohort against its norm."""

    measure: Measure
    cohort: str
    frame: pd.DataFrame
    """Rows of the cohort, of all sessions."""
    away: Distances
    """For each row of ``frame``."""
    member: BoolArray
    """Rows that the norm was made of; none where it is a table."""
    outside: BoolArray
    """Rows whose covariates lie outside those of the norm."""
    norm: str
    """Group, or where the table is from."""
    problem: str = ''
    """Why there are no scores."""

    @property
    def by_table(self) -> bool:
        """Whether the norm comes from elsewhere."""
        return not self.member.any()


def scored_measures(study: Study) -> list[Measure]:
    """Return the measures and columns that are compared with norms.

    Parameters
    ----------
    study : Study
        Measures and model (``Norms``).

    Returns
    -------
    list of Measure
        Named columns, else those of the table of norms, else `named_measures`.
    """
    norms = study.model.content['Norms']
    wanted = norms['Columns']
    if not wanted and norms['Level'] is None:
        wanted = list(dict.fromkeys(entry['Measure'] for entry in norms['Table']))
    if not wanted:
        return named_measures(study)
    return [study.measure(name) or Measure(name, 'column', name) for name in wanted]


def score(study: Study) -> Iterator[Scored]:
    """Score each measure in each cohort.

    Parameters
    ----------
    study : Study
        Data and model; the section ``Norms`` says against what.
    """
    norms = study.model.content['Norms']
    for cohort, rows in study.cohorts(study.wide):
        frame = rows.reset_index(drop=True)
        for measure in scored_measures(study):
            if measure.name not in frame.columns:
                continue
            y = pd.to_numeric(frame[measure.name], errors='coerce').to_numpy(dtype=float)
            entries = [e for e in norms['Table'] if e['Measure'] == measure.name]
            if entries:
                yield _by_table(measure, cohort, frame, y, entries, norms)
            elif norms['Level'] is not None:
                yield _by_sample(study, measure, cohort, frame, y, norms['Level'])


def _by_table(
    measure: Measure,
    cohort: str,
    frame: pd.DataFrame,
    y: FloatArray,
    entries: Sequence[NormEntry],
    norms: NormsEntry,
) -> Scored:
    """Score against the entries of the table that fit each person's age and sex."""
    mean, sd = np.full(len(y), NAN), np.full(len(y), NAN)
    n = len(frame)
    empty = pd.Series(np.full(n, np.nan))
    age = pd.to_numeric(frame.get(norms['AgeColumn'], empty), errors='coerce').to_numpy()
    written = dict.fromkeys(e['Sex'] for e in entries if e['Sex'] is not None)
    sex = as_levels(frame.get(norms['SexColumn'], empty), written).to_numpy()
    for entry in entries:
        fits = np.ones(n, dtype=bool)
        if entry['Sex'] is not None:
            fits &= sex == entry['Sex']
        if entry['AgeMin'] is not None:
            fits &= age >= entry['AgeMin']
        if entry['AgeMax'] is not None:
            # the end is open, so that a birthday belongs to one band
            fits &= age < entry['AgeMax']
        # the first entry that fits counts: a table may end with one for everybody else
        free = fits & np.isnan(mean)
        mean[free], sd[free] = entry['Mean'], entry['SD']
    sources = ', '.join(dict.fromkeys(e['Source'] for e in entries))
    nobody = np.zeros(n, dtype=bool)
    return Scored(
        measure, cohort, frame, table_norms(y, mean, sd), nobody, np.isnan(mean), sources
    )


def _by_sample(
    study: Study, measure: Measure, cohort: str, frame: pd.DataFrame, y: FloatArray, level: str
) -> Scored:
    """Score against the norm group's first session of the same cohort."""
    norms = study.model.content['Norms']
    # at the first visit only: people who come often would weigh more in the norm
    base = set(zip(study.baseline['participant_id'], study.baseline['session_id'], strict=True))
    keys = zip(frame['participant_id'], frame['session_id'], strict=True)
    first = np.array([key in base for key in keys], dtype=bool)
    wanted = [*norms['Adjust'], *norms['Spread']]
    names = list(dict.fromkeys(part for term in wanted for part in term.split(':')))
    complete = frame[names].notna().all(axis=1).to_numpy() if names else np.ones(len(y), bool)
    member = first & (frame['group'] == level).to_numpy() & complete & np.isfinite(y)
    away = Distances(*(np.full(len(y), NAN) for _ in range(3)))
    problem = ''
    try:
        used = complete.nonzero()[0]
        X = _columns(study, frame.iloc[used], norms['Adjust'])
        Z = _columns(study, frame.iloc[used], norms['Spread'])[:, 1:]
        found = sample_norms(X, y[used], member[used], Z)
        for name in ('z', 'centile', 'sd'):
            getattr(away, name)[used] = getattr(found, name)
    except InputDataError as error:
        problem = str(error)
    outside = _outside(study, frame, names, member)
    return Scored(measure, cohort, frame, away, member, outside, level, problem)


def _columns(study: Study, frame: pd.DataFrame, terms: Sequence[str]) -> FloatArray:
    """Return the design matrix of some covariates, intercept first."""
    if not terms:
        return np.ones((len(frame), 1))
    return build_design(frame, terms, study.factors(frame), splines=study.splines).X


def _outside(
    study: Study, frame: pd.DataFrame, names: Sequence[str], member: BoolArray
) -> BoolArray:
    """Tell who has a number beyond all members of the norm, or a level that none of them has."""
    outside = np.zeros(len(frame), dtype=bool)
    factors = study.factors(frame)
    for name in names:
        values = frame[name]
        if name in factors:
            outside |= (~values.isin(set(values[member])) & values.notna()).to_numpy()
        elif member.any():
            low, high = values[member].min(), values[member].max()
            outside |= ((values < low) | (values > high)).to_numpy()
    return outside


def participant_scores(study: Study) -> pd.DataFrame:
    """Return z scores and centiles of every participant and session, in long form.

    Parameters
    ----------
    study : Study
        Data and model (``Norms``).

    Returns
    -------
    DataFrame
        With the columns of `COLUMNS`, sorted by cohort, measure and participant; the centile
        is in per cent.
    """
    parts = []
    for scored in score(study):
        frame = scored.frame[['participant_id', 'session_id', 'cohort', 'group']]
        parts.append(
            frame.assign(
                measure=scored.measure.name, z=scored.away.z, centile=scored.away.centile,
                norm=scored.norm, norm_n=int(scored.member.sum()) or NAN,
                outside_norm=np.where(scored.outside, 'yes', 'no'),
            )
        )  # fmt: skip
    table = pd.concat(parts) if parts else pd.DataFrame(columns=list(COLUMNS))
    table['norm_n'] = pd.to_numeric(table['norm_n']).astype('Int64')
    return table[list(COLUMNS)].sort_values(
        ['cohort', 'measure', 'participant_id', 'session_id'], ignore_index=True
    )


def group_zscores(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Compare each group with the norm: mean z score, and how many lie beyond a centile.

    Parameters
    ----------
    study : Study
        Data and model (``Norms``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Samples tables for the exact test of shares where they are too many to enumerate.

    Returns
    -------
    list of Row
        One row a measure and group for the mean, and one for each share.
    """
    del earlier
    rows: list[Row] = []
    keys = ['participant_id', 'session_id']
    base = set(map(tuple, study.baseline[keys].to_numpy()))
    for scored in score(study):
        if scored.problem:
            rows.append(
                _row(study, scored, analysis='zscores', note=f'not done: {scored.problem}')
            )
            continue
        # each person once: later visits are the same person's again
        first = np.array([tuple(k) in base for k in scored.frame[keys].to_numpy()])
        known = first & np.isfinite(scored.away.z)
        groups = scored.frame['group'].to_numpy()
        members = {
            name: np.flatnonzero(known & (groups == name))
            for name in study.group_levels(scored.frame[known])
        }
        rows += _mean_rows(study, scored, members)
        rows += _share_rows(study, scored, members, rng)
    return rows


def _row(study: Study, scored: Scored, **cells: Unpack[Told]) -> Row:
    """Return a row with the cells of the measure filled in."""
    measure = scored.measure
    base = study.baseline
    _, excluded = study.missing(base[base['cohort'] == scored.cohort], [measure.name])
    adjust = study.model.content['Norms']['Adjust']
    told: Told = {'term': 'group', 'formula': f'z({measure.name}) ~ group'}
    return Row(
        cohort=scored.cohort, response=measure.name, metric=measure.metric,
        component=measure.component, excluded=excluded,
        covariates=() if scored.by_table else tuple(adjust), **(told | cells),
    )  # fmt: skip


def _norm_words(study: Study, scored: Scored) -> str:
    """Say what the norm is."""
    norms = study.model.content['Norms']
    if scored.by_table:
        return f'z by the table of norms ({scored.norm})'
    words = f'z by mean and SD of {scored.norm} in the cohort'
    if norms['Adjust']:
        words += f', expected from {", ".join(norms["Adjust"])}'
    if norms['Spread']:
        words += f', SD changing with {", ".join(norms["Spread"])}'
    return words


def _mean_rows(study: Study, scored: Scored, members: Mapping[str, np.ndarray]) -> Iterator[Row]:
    """Yield the mean z of each group against the norm."""
    z, level = scored.away.z, '' if scored.by_table else scored.norm
    for name, who in members.items():
        norm = z[members[level]] if level in members else np.array([])
        if name == level or len(who) < 2 or (level and len(norm) < 2) or np.ptp(z[who]) == 0:
            continue
        mean_z = float(z[who].mean())
        if level:
            # the norm's spread is its own: patients may differ in it, which is one of the
            # questions
            found = welch(z[who], norm)
            test, how = TTest(value=found.value, df2=found.df2, p=found.p), "Welch's t test"
            difference = mean_z - float(norm.mean())
        else:
            one = stats.ttest_1samp(z[who], 0.0)
            test = TTest(value=float(one.statistic), df2=len(who) - 1, p=float(one.pvalue))
            how, difference = "Student's t test against 0", mean_z
        quantile = stats.t.ppf((1 + study.model.confidence) / 2, test.df2)
        margin = abs(float(quantile * difference / test.value)) if test.value else NAN
        counts = group_counts(scored.frame.iloc[_joined(members, name, level)], [name, level])
        counts = {key: n for key, n in counts.items() if key}
        yield _row(
            study, scored, analysis='zscores', test=test,
            contrast=f'{name} - {level}' if level else name, n=sum(counts.values()),
            n_per_group=counts, family='zscores',
            effect=Effect('mean z', difference, difference - margin, difference + margin),
            method=f'{_norm_words(study, scored)}; {how} and interval, the SD taken as known',
        )  # fmt: skip


def _joined(members: Mapping[str, np.ndarray], *names: str) -> np.ndarray:
    """Return the rows of some groups together."""
    return np.concatenate([members[name] for name in names if name in members])


def _share_rows(
    study: Study, scored: Scored, members: Mapping[str, np.ndarray], rng: np.random.Generator
) -> Iterator[Row]:
    """Yield the share of each group below and above a centile, and its test."""
    limit = float(study.model.content['Norms']['Centile'])
    level = '' if scored.by_table else scored.norm
    for side, beyond in (
        ('below', scored.away.centile < limit), ('above', scored.away.centile > 100 - limit),
    ):  # fmt: skip
        centile = limit if side == 'below' else 100 - limit
        for name, who in members.items():
            hits, n = int(beyond[who].sum()), len(who)
            if n < 2:
                continue
            low, high = proportion_confint(hits, n, 1 - study.model.confidence, 'beta')
            test, how = StatisticalTest(), 'no test'
            # a table tells its share exactly; a norm sample has one of its own, with an error that
            # Fisher's test has in it
            if not level:
                p = float(stats.binomtest(hits, n, limit / 100).pvalue)
                test = StatisticalTest(statistic='share', value=hits / n, p=p)
                how = f'exact binomial test against {limit:g} %'
            elif name != level and level in members:
                norm = members[level]
                in_norm = int(beyond[norm].sum())
                p = _fisher([[hits, n - hits], [in_norm, len(norm) - in_norm]], rng)
                test = StatisticalTest(statistic='share', value=hits / n, p=p)
                how = f"Fisher's exact test against {in_norm} of {len(norm)} of {level}, each "
                how += 'judged by a norm without that person'
            yield _row(
                study, scored, analysis=f'share_{side}', contrast=name, test=test, n=n,
                n_per_group={name: n}, family='zscores share' if np.isfinite(test.p) else '',
                effect=Effect(f'share_{side}', hits / n, float(low), float(high)),
                method=f'{_norm_words(study, scored)}; share {side} centile {centile:g}, '
                f'Clopper-Pearson interval; {how}',
            )  # fmt: skip


def _fisher(counts: list[list[int]], rng: np.random.Generator) -> float:
    """Return the exact p of two shares; 1 where nobody or everybody is beyond."""
    if 0 in np.sum(counts, axis=0):
        return 1.0
    return fisher_exact(counts, rng)[0]
