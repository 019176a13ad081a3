"""How well a group report found what `bids_acc-demo --cohort` planted.

Reads the parcels and the report's own tables of tests; the analysis never sees the truth. Every
figure is printed as it is, good or bad.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from bids_acc.demo.output_folder import TRUE_PARTS, TRUE_VALUES, TRUTH
from bids_acc.demo.planted_maps import SCALES
from bids_acc.demo.planted_spectra import LEVELS
from bids_acc.demo.recovery import adjusted_difference
from bids_acc.demo.two_sites import SITES
from bids_acc.derivatives.outputs import find_outputs
from bids_acc.exceptions import InputDataError, MissingInputError
from bids_acc.tables.reading import read_tsv
from bids_acc.typing import FloatArray

CONFIDENCE = 0.95
ALPHA = 0.05
NEXT_TO_NOTHING = 0.1
"""A planted difference of less than this many standard deviations between people, as soft borders
carry into neighbouring parcels, is neither counted as an effect nor as none."""
WORTH_FINDING = 0.3
"""As many standard deviations are told when the report has no pairs of a planted difference."""
PER_MILLION = {'md': 1e6}
"""Factor by which small numbers are shown."""
UNITS = {'thickness': 'mm', 'md': '1e-6 mm2/s', 'Glx': 'mmol/kg'}


@dataclass(frozen=True)
class Truth:
    """What was planted."""

    content: Mapping[str, Any]
    """``code/truth-cohort.json``."""
    parts: pd.DataFrame
    """Planted part and weights, indexed by hemisphere and vertex."""
    people: pd.DataFrame
    """True values joined to participants.tsv, indexed by participant."""

    def weights(self, places: pd.Index[Any]) -> FloatArray:
        """Return how much of each planted part a set of vertices has, (n_parts,).

        Parameters
        ----------
        places : pd.Index[Any]
            Hemisphere and vertex of one parcel.

        Returns
        -------
        (n_parts,) ndarray
            Mean over the vertices; 1 where a part fills the parcel.
        """
        columns = [c for c in self.parts if str(c).startswith('weight_')]
        return np.asarray(self.parts.loc[places, columns].to_numpy(dtype=float).mean(axis=0))

    def expected(self, cohort: str, metric: str, group: str) -> FloatArray:
        """Return a group's difference from controls in each part, in the metric's unit.

        Parameters
        ----------
        cohort : str
            Name of the site.
        metric : str
            Such as ``thickness``.
        group : str
            Other than the controls.

        Returns
        -------
        (n_parts,) ndarray
            Zero where nothing was planted.
        """
        none = [0.0] * sum(str(c).startswith('weight_') for c in self.parts)
        by_group = self.content['differences_from_controls'].get(cohort, {}).get(metric, {})
        return np.array(by_group.get(group, none), dtype=float)


@dataclass(frozen=True)
class FoundEffect:
    """A difference of two groups as the report gives it, beside what was planted."""

    name: str
    unit: str
    expected: float
    """Difference planted on the average of all people that might have been drawn."""
    planted: float
    """Difference of what was planted in these people, adjusted as the report adjusts."""
    measured: float
    low: float
    """Limits of the report's 95 % interval."""
    high: float

    @property
    def inside(self) -> bool:
        """Whether the interval holds what was planted in these people."""
        return self.low <= self.planted <= self.high

    @property
    def covers_expected(self) -> bool:
        """Whether it holds the difference that was planted on the average."""
        return self.low <= self.expected <= self.high


@dataclass(frozen=True)
class CohortScore:
    """Everything that is printed."""

    agreement: Mapping[str, float]
    """By cohort, the adjusted Rand index of parcels and planted parts."""
    n_parcels: Mapping[str, int]
    effects: Sequence[FoundEffect]
    unplanted: FloatArray
    """p of the tests of what was not planted."""
    not_compared: Sequence[str]
    """Planted differences that the report does not test, and why."""
    model: str
    """Name of the model that was scored."""


def is_cohort(folder: Path) -> bool:
    """Tell whether a folder was written by ``bids_acc-demo --cohort``.

    Parameters
    ----------
    folder : Path
        Any folder; its truth is looked for.
    """
    return (folder / TRUTH).is_file()


def read_cohort_truth(folder: Path) -> Truth:
    """Read what was planted.

    Parameters
    ----------
    folder : Path
        Written by ``bids_acc-demo --cohort``.

    Raises
    ------
    MissingInputError
        If a file is missing.
    InputDataError
        If one cannot be read.
    """
    if missing := [name for name in (TRUTH, TRUE_PARTS, TRUE_VALUES)
                   if not (folder / name).is_file()]:  # fmt: skip
        raise MissingInputError(
            f'{folder / missing[0]} is missing: {folder} was not made by bids_acc-demo --cohort, '
            'or is incomplete.'
        )
    try:
        content = json.loads((folder / TRUTH).read_text())
    except ValueError as error:
        raise InputDataError(f'{folder / TRUTH} is no JSON: {error}') from error
    parts = read_tsv(folder / TRUE_PARTS).set_index(['hemisphere', 'vertex'])
    values = read_tsv(folder / TRUE_VALUES)
    people = read_tsv(folder / 'participants.tsv').merge(values, on='participant_id')
    return Truth(content, parts, people.set_index('participant_id', drop=False))


def score_cohort(folder: Path) -> CohortScore:
    """Compare the group level's results in a folder with what was planted there.

    Parameters
    ----------
    folder : Path
        Written by ``bids_acc-demo --cohort``, and analysed.

    Returns
    -------
    CohortScore

    Raises
    ------
    MissingInputError
        If there is no truth, or the group level has not run.
    """
    truth = read_cohort_truth(folder)
    home = _model_folder(folder)
    parcels = _parcels(folder, home)
    tables: dict[str, pd.DataFrame] = {
        path.stem: read_tsv(path) for path in sorted((home / 'stats').glob('*.tsv'))
    }
    agreement = {
        cohort: float(adjusted_rand_score(truth.parts.loc[own.index, 'part'], own))
        for cohort, own in parcels.items()
    }
    effects = [*_structure(tables, truth, parcels), *_glx(tables, truth)]
    return CohortScore(
        agreement=agreement,
        n_parcels={cohort: own.nunique() for cohort, own in parcels.items()},
        effects=effects,
        unplanted=np.array(list(_unplanted(tables, truth, parcels))),
        not_compared=list(_not_compared(tables, truth, parcels)),
        model=home.name.removeprefix('model-'),
    )


def _model_folder(folder: Path) -> Path:
    """Return the folder of the model acc-structure, or else of the first model with results."""
    found = sorted((folder / 'group').glob('model-*/stats/ancova.tsv'))
    if not found:
        raise MissingInputError(
            f'{folder}: no group comparisons; run `bids_acc {folder} {folder} group --model '
            'acc-structure` first.'
        )
    homes = [path.parent.parent for path in found]
    return next((home for home in homes if home.name == 'model-acc-structure'), homes[0])


def _parcels(folder: Path, home: Path) -> dict[str, pd.Series]:
    """Return each cohort's parcels of a model by hemisphere and vertex."""
    record = json.loads((home / 'provenance.json').read_text())
    name = record.get('ParcelsFolder')
    found = find_outputs('group_vertexindex', folder / 'group' / name) if name else []
    if not found:
        raise MissingInputError(f'{folder}: {home.name} has no parcels to be compared.')
    return {
        item.entities.get('cohort', 'all'): read_tsv(item.path)
        .set_index(['hemisphere', 'vertex'])['component']
        .dropna()
        .astype(int)
        for item in found
    }


def _rows(tables: Mapping[str, pd.DataFrame], table: str, analysis: str) -> pd.DataFrame:
    """Return the rows of one analysis; an absent table has none."""
    found = tables.get(table)
    if found is None:
        return pd.DataFrame(columns=['analysis', 'cohort', 'metric', 'component'])
    return found[found['analysis'] == analysis]


def _part_of(
    parcels: Mapping[str, pd.Series], truth: Truth, cohort: str, component: float
) -> FloatArray:
    """Return how much of each planted part a parcel has."""
    own = parcels.get(cohort, next(iter(parcels.values())))
    return truth.weights(own.index[own == int(component)])


def _structure(
    tables: Mapping[str, pd.DataFrame], truth: Truth, parcels: Mapping[str, pd.Series]
) -> Iterator[FoundEffect]:
    """Yield the pairs that the report compares in parcels where they were made to differ."""
    rows = _rows(tables, 'posthoc', 'posthoc')
    for _, row in rows[rows['metric'].isin(['thickness', 'md'])].iterrows():
        weights = _part_of(parcels, truth, row['cohort'], row['component'])
        a, b = row['contrast'].split(' - ')
        expected = float(
            weights @ (truth.expected(row['cohort'], row['metric'], a)
                       - truth.expected(row['cohort'], row['metric'], b))
        )  # fmt: skip
        if abs(expected) < NEXT_TO_NOTHING * _part_sd(row['metric']):
            continue
        columns = [f'{row["metric"]}_{k + 1}' for k in range(len(weights))]
        people = truth.people[truth.people['cohort'] == row['cohort']]
        own = people[columns].to_numpy(dtype=float) @ weights
        planted = adjusted_difference(row['formula'], people, own, pair=(a, b))
        yield _effect(row, f'parcel {int(row["component"])}', expected, planted)


def _part_sd(metric: str) -> float:
    """Return the standard deviation of a part between people, in the metric's unit."""
    from bids_acc.group.opnmf.simulate import CohortDesign

    design = CohortDesign()
    return float(SCALES[metric][1] * np.hypot(design.parcel_effect, design.global_effect))


def _effect(row: pd.Series, where: str, expected: float, planted: float) -> FoundEffect:
    """Turn a row of pairwise comparisons into an effect in the unit that is shown."""
    metric, factor = row['metric'], PER_MILLION.get(row['metric'], 1.0)
    name = f'{row["cohort"]}, {metric}{f", {where}" if where else ""}, {row["contrast"]}'
    se = row.get('se')
    if se is None or pd.isna(se):  # Student's t of two groups: the statistic tells it
        se = abs(row['estimate'] / row['value'])
    margin = float(se) * float(stats.t.ppf(0.5 + CONFIDENCE / 2, float(row['df2'])))
    return FoundEffect(
        name=name,
        unit=UNITS[metric],
        expected=factor * expected,
        planted=factor * planted,
        measured=factor * float(row['estimate']),
        low=factor * (float(row['estimate']) - margin),
        high=factor * (float(row['estimate']) + margin),
    )


def _glx(tables: Mapping[str, pd.DataFrame], truth: Truth) -> Iterator[FoundEffect]:
    """Yield the pairs that were made to differ in Glx."""
    by_site = {site.name: site.glx for site in SITES}
    sd = LEVELS['Glx'][1]
    rows = _rows(tables, 'mrs_group', 'mrs_t')
    for _, row in rows[rows['metric'] == 'Glx'].iterrows():
        a, b = row['contrast'].split(' - ')
        shifts = by_site.get(row['cohort'], {})
        expected = sd * (shifts.get(a, 0.0) - shifts.get(b, 0.0))
        if abs(expected) < NEXT_TO_NOTHING * sd:
            continue
        people = truth.people[truth.people['cohort'] == row['cohort']]
        mean = people.groupby('group')['Glx_mmol_per_kg'].mean()
        yield _effect(row, '', expected, float(mean[a] - mean[b]))


def _largest(truth: Truth, cohort: str, metric: str, weights: FloatArray) -> float:
    """Return the largest planted difference of any group in a parcel, standard deviations."""
    by_group = truth.content['differences_from_controls'].get(cohort, {}).get(metric, {})
    sizes = [abs(float(weights @ np.array(v))) for v in by_group.values()]
    return max(sizes, default=0.0) / _part_sd(metric)


def _unplanted(
    tables: Mapping[str, pd.DataFrame], truth: Truth, parcels: Mapping[str, pd.Series]
) -> Iterator[float]:
    """Yield p of tests of what is not there.

    Groups in parcels and metrics that none was planted in; interactions of group and Glx; and
    symptoms, which are drawn without regard to the brain, within one group.
    """
    groups = _rows(tables, 'ancova', 'ancova')
    for _, row in groups[groups['term'] == 'group'].iterrows():
        weights = _part_of(parcels, truth, row['cohort'], row['component'])
        if _largest(truth, row['cohort'], row['metric'], weights) < NEXT_TO_NOTHING:
            yield float(row['p_unc'])
    relation = _rows(tables, 'relation', 'relation')
    if len(relation):
        yield from relation.loc[relation['term'] == 'group:Glx', 'p_unc'].dropna()
    clinical = _rows(tables, 'clinical', 'clinical')
    if len(clinical):
        one_group = ~clinical['n_per_group'].fillna(';').str.contains(';')
        symptoms = clinical['term'].str.startswith('panss')
        yield from clinical.loc[one_group & symptoms, 'p_unc'].dropna()


def _not_compared(
    tables: Mapping[str, pd.DataFrame], truth: Truth, parcels: Mapping[str, pd.Series]
) -> Iterator[str]:
    """Yield what was planted in a parcel whose pairs the report does not compare."""
    pairs = _rows(tables, 'posthoc', 'posthoc')
    groups = _rows(tables, 'ancova', 'ancova')
    for _, row in groups[groups['term'] == 'group'].iterrows():
        weights = _part_of(parcels, truth, row['cohort'], row['component'])
        if _largest(truth, row['cohort'], row['metric'], weights) < WORTH_FINDING:
            continue
        if not (pairs['cohort'].eq(row['cohort']) & pairs['response'].eq(row['response'])).any():
            yield (
                f'{row["cohort"]}, {row["response"]}: groups differ in truth, p = '
                f'{row["p_unc"]:.2g}; the model goes on to pairs only where all cohorts agree'
            )


def format_cohort_score(score: CohortScore) -> str:
    """Write the score for the terminal.

    Parameters
    ----------
    score : CohortScore
        From `score_cohort`.

    Returns
    -------
    str
        Several lines.
    """
    lines = [f'Model {score.model}: parcels against planted parts']
    for cohort, ari in score.agreement.items():
        lines.append(
            f'  {cohort}: {score.n_parcels[cohort]} parcels, adjusted Rand index {ari:.2f}'
        )
    lines += _effect_lines(score.effects)
    n, hits = len(score.unplanted), int((score.unplanted < ALPHA).sum())
    if n:
        low, high = stats.binom.ppf([0.025, 0.975], n, ALPHA)
        lines.append(
            f'What was not planted: {hits} of {n} tests with p < {ALPHA:g}; {ALPHA:.0%} are '
            f'{ALPHA * n:.1f}, and {low:.0f} to {high:.0f} would be no surprise were they '
            'independent'
        )
    lines += [f'Not compared in the report: {text}' for text in score.not_compared]
    return '\n'.join(lines)


def _effect_lines(effects: Sequence[FoundEffect]) -> list[str]:
    """Lay the planted effects out and count those that the intervals hold."""
    if not effects:
        return ['Planted effects: the report compares no pair of groups that differ in truth']
    lines = [
        'Planted group differences in the report',
        f'  {"what":<54}{"average":>10}{"planted":>10}{"measured":>10}  95 % interval',
    ]
    for e in effects:
        verdict = 'holds what was planted' if e.inside else 'DOES NOT HOLD what was planted'
        lines.append(
            f'  {f"{e.name} ({e.unit})":<54}{e.expected:>10.2g}{e.planted:>10.2g}'
            f'{e.measured:>10.2g}  {e.low:.2g} to {e.high:.2g}: {verdict}'
        )
    inside, average = sum(e.inside for e in effects), sum(e.covers_expected for e in effects)
    lines.append(
        f'  {inside} of {len(effects)} intervals hold what was planted in these people, {average} '
        'the average of all people that might have been drawn (expected: 95 %)'
    )
    return lines
