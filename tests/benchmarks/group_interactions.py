"""Error rate, power and coverage of group x covariate, splines and group x hemisphere.

Run ``python tests/benchmarks/group_interactions.py [--quick]``. Each line gives the rate that was
found in the simulated cohorts, the one that theory says, and the Monte Carlo band (95 %) that goes
with their number. Cohorts have 60 people in two groups; sex and age differ between the groups.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.design import Design, build_design, sum_coding
from bids_acc.group.formulas.linear import anova, contrast_test, fit_ols

PEOPLE = 60
FACTORS = {'group': ['HC', 'TRS'], 'sex': ['F', 'M']}


def cohort(rng: np.random.Generator) -> pd.DataFrame:
    """Draw people: patients are older and more often men."""
    ill = np.arange(PEOPLE) % 2 == 1
    return pd.DataFrame({
        'group': np.where(ill, 'TRS', 'HC'),
        'sex': np.where(rng.random(PEOPLE) < 0.4 + 0.2 * ill, 'M', 'F'),
        'age': rng.uniform(20, 55, PEOPLE) + 5 * ill,
    })  # fmt: skip


def design_of(frame: pd.DataFrame, term: str, spline: bool) -> Design:
    """Return the model of one interaction beside all main effects."""
    terms = ['group', 'age', 'sex', f'group:{term}']
    return build_design(frame, terms, FACTORS, splines={'age': 3} if spline else None)


def power_of(design: Design, term: str, mean: np.ndarray) -> float:
    """Return the power of an F test for a known mean and noise of one (noncentral F)."""
    columns = list(design.terms[term])
    without = np.delete(design.X, columns, axis=1)
    rest = mean - without @ np.linalg.lstsq(without, mean, rcond=None)[0]
    inside = rest - (rest - design.X @ np.linalg.lstsq(design.X, rest, rcond=None)[0])
    df1, df2 = len(columns), design.X.shape[0] - design.X.shape[1]
    limit = stats.f.ppf(0.95, df1, df2)
    return float(stats.ncf.sf(limit, df1, df2, inside @ inside))


def p_of(design: Design, term: str, y: np.ndarray) -> float:
    """Return p of one term."""
    return next(t.p for t in anova(design.X, y, design.terms) if t.term == term)


def curve(age: np.ndarray) -> np.ndarray:
    """Return a curved effect of age that a straight line misses."""
    return ((age - 38) / 12) ** 2


def rate(n: int, seed: int, term: str, spline: bool, mean: Callable[[pd.DataFrame], np.ndarray]):
    """Return how often the interaction is significant, and how often theory says."""
    hits, expected = 0, 0.0
    for child in np.random.SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(child)
        frame = cohort(rng)
        design = design_of(frame, term, spline)
        truth = mean(frame)
        hits += p_of(design, f'group:{term}', truth + rng.normal(0, 1, PEOPLE)) <= 0.05
        expected += power_of(design, f'group:{term}', truth)
    return hits / n, expected / n


def coverage(n: int) -> float:
    """Return how often the interval of the difference among men holds the truth, 0.7."""
    inside = 0
    for child in np.random.SeedSequence(9).spawn(n):
        rng = np.random.default_rng(child)
        frame = cohort(rng)
        design = design_of(frame, 'sex', spline=False)
        y = 0.7 * ((frame['group'] == 'TRS') & (frame['sex'] == 'M')) + rng.normal(0, 1, PEOPLE)
        code = sum_coding(design.levels['sex'])['M']
        weights = design.cell_weights('group', 'TRS', 'sex', code)
        test = contrast_test(
            fit_ols(design.X, y), weights - design.cell_weights('group', 'HC', 'sex', code)
        )
        inside += abs(test.estimate - 0.7) <= stats.t.ppf(0.975, test.df) * test.se
    return inside / n


def hemisphere(n: int, effect: float) -> float:
    """Return how often the group effect on left minus right is significant."""
    hits = 0
    for child in np.random.SeedSequence(11).spawn(n):
        rng = np.random.default_rng(child)
        frame = cohort(rng)
        shared = rng.normal(0, 1, PEOPLE)
        left = shared + effect * (frame['group'] == 'TRS') + rng.normal(0, 0.5, PEOPLE)
        right = shared + rng.normal(0, 0.5, PEOPLE)
        design = build_design(frame, ['group', 'age', 'sex'], FACTORS)
        hits += p_of(design, 'group', np.asarray(left - right)) <= 0.05
    return hits / n


def main() -> None:
    """Print all rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='100 cohorts instead of 1,000')
    parser.add_argument('--cohorts', type=int, default=1000, help='how many are simulated')
    options = parser.parse_args()
    n = 100 if options.quick else options.cohorts
    ill = lambda f: (f['group'] == 'TRS').to_numpy(dtype=float)  # noqa: E731
    man = lambda f: (f['sex'] == 'M').to_numpy(dtype=float)  # noqa: E731
    age = lambda f: f['age'].to_numpy()  # noqa: E731
    lines = [
        ('group x sex: type I', *rate(n, 1, 'sex', False, lambda f: 0.5 * ill(f) + man(f))),
        ('group x sex: power', *rate(n, 2, 'sex', False, lambda f: 1.2 * ill(f) * man(f))),
        ('group x age, line: type I', *rate(4 * n, 3, 'age', False, lambda f: age(f) / 12)),
        ('group x age, line: power', *rate(n, 4, 'age', False, lambda f: ill(f) * age(f) / 14)),
        # In truth a curve, the same in both groups: a line takes it for an interaction, since the
        # groups differ in age.
        ('group x age, line, age curved: type I',
         rate(n, 5, 'age', False, lambda f: curve(age(f)))[0], float('nan')),
        ('group x age, spline, age curved: type I',
         *rate(n, 5, 'age', True, lambda f: curve(age(f)))),
        ('group x age, spline: power', *rate(n, 6, 'age', True, lambda f: ill(f) * curve(age(f)))),
        ('group at sex M: coverage of 95 %', coverage(n), 0.95),
        ('group x hemisphere: type I', hemisphere(n, 0.0), 0.05),
        ('group x hemisphere: power', hemisphere(n, 0.5), float('nan')),
    ]  # fmt: skip
    print(f'{n} cohorts of {PEOPLE} (four times as many for group x age, type I)')
    for name, found, theory in lines:
        expected = 0.05 if np.isnan(theory) else theory
        band = 1.96 * np.sqrt(expected * (1 - expected) / n)
        said = f'theory {theory:.3f} +- {band:.3f}' if np.isfinite(theory) else ''
        mark = '  OUTSIDE' if np.isfinite(theory) and abs(found - theory) > band else ''
        print(f'{name:45s} {found:.3f}  {said}{mark}')
    print(f'{resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} CPU s')


if __name__ == '__main__':
    main()
