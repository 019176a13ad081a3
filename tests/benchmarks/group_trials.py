"""Error rate, power and coverage of slopes, rates and the crossover.

Run ``python tests/benchmarks/group_trials.py [--quick]``. Each line gives the rate that was found
in the simulated trials, the one that theory says, and the Monte Carlo band (95 %) that goes with
their number. Fisher's test is conservative by construction, so theory is no figure there.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.formulas.trials import crossover, rate_difference, slopes_by_group

PEOPLE, WEEKS = 40, np.array([0.0, 2.0, 4.0, 8.0])
SLOPE_SD, NOISE_SD = 0.12, 0.5


def streams(n: int, seed: int) -> Iterator[np.random.Generator]:
    """Yield one generator for each simulated trial."""
    for child in np.random.SeedSequence(seed).spawn(n):
        yield np.random.default_rng(child)


def visits(rng: np.random.Generator, gain: float, missing: float, slope_sd: float) -> pd.DataFrame:
    """Draw two arms over four visits; people leave and do not come back."""
    who, week = np.repeat(np.arange(PEOPLE), 4), np.tile(WEEKS, PEOPLE)
    slopes = rng.normal(0, slope_sd, PEOPLE) + gain * (np.arange(PEOPLE) % 2)
    y = rng.normal(10, 1, PEOPLE)[who] + slopes[who] * week + rng.normal(0, NOISE_SD, len(who))
    table = pd.DataFrame({'participant_id': [f'sub-{i:02d}' for i in who], 'week': week, 'glx': y,
                          'group': np.where(who % 2, 'b', 'a')})  # fmt: skip
    left = np.where(rng.random(PEOPLE) < missing, rng.integers(1, 4, PEOPLE), 4)
    return table[np.tile(np.arange(4), PEOPLE) < left[who]]


def slopes(n: int, gain: float, missing: float, slope_sd: float = SLOPE_SD) -> tuple[float, float]:
    """Return how often the slopes differ (5 %), and how often the interval holds the truth."""
    hits, inside = 0, 0
    for rng in streams(n, 1):
        found = slopes_by_group(visits(rng, gain, missing, slope_sd), 'glx', time='week',
                                group='group')  # fmt: skip
        hits += found.p <= 0.05
        inside += found.ci_low <= gain <= found.ci_high
    return hits / n, inside / n


def slope_power(gain: float) -> float:
    """Return the power without dropouts: a t test of people's own slopes."""
    variance = SLOPE_SD**2 + NOISE_SD**2 / np.sum((WEEKS - WEEKS.mean()) ** 2)
    shift, df = gain / np.sqrt(variance * 4 / PEOPLE), PEOPLE - 2
    return float(stats.ncf.sf(stats.f.ppf(0.95, 1, df), 1, df, shift**2))


def random_intercept(n: int) -> float:
    """Return how often a random intercept alone finds different slopes that are none."""
    terms = ['week', 'group', 'group:week']
    return float(np.mean([
        mixed_model(visits(rng, 0.0, 0.0, SLOPE_SD), 'glx', terms)[1][2].p <= 0.05
        for rng in streams(n, 1)
    ]))  # fmt: skip


def rates(n: int, a: float, b: float, size: int) -> tuple[float, float]:
    """Return how often two rates differ (5 %), and the coverage of the interval."""
    hits, inside = 0, 0
    for rng in streams(n, 2):
        found = rate_difference(int(rng.binomial(size, a)), size, int(rng.binomial(size, b)), size)
        hits += found.p <= 0.05
        inside += found.ci_low <= a - b <= found.ci_high
    return hits / n, inside / n


def crossovers(n: int, effect: float) -> tuple[float, float]:
    """Return how often the treatments differ at a period effect of one, and the coverage."""
    hits, inside = 0, 0
    for rng in streams(n, 3):
        order = np.where(np.arange(24) % 2, 'b', 'a')
        person = rng.normal(0, 2, 24)
        first = person + effect * (order == 'b') + rng.normal(0, 1, 24)
        second = person + 1 + effect * (order == 'a') + rng.normal(0, 1, 24)
        found = crossover(first, second, order, ('a', 'b')).treatment
        hits += found.p <= 0.05
        inside += found.ci_low <= effect <= found.ci_high
    return hits / n, inside / n


def main() -> None:
    """Print all rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='100 trials instead of 1,000')
    parser.add_argument('--trials', type=int, default=1000, help='how many are simulated')
    options = parser.parse_args()
    n = 100 if options.quick else options.trials
    shift = 0.7 / np.sqrt(2 / 24)
    crossover_power = float(stats.ncf.sf(stats.f.ppf(0.95, 1, 22), 1, 22, shift**2))
    whole, gone = slopes(n, 0.0, 0.0), slopes(n, 0.0, 0.3)
    power, flat = slopes(n, 0.12, 0.0), slopes(n, 0.0, 0.0, slope_sd=0.0)
    null, treated = crossovers(n, 0.0), crossovers(n, 0.7)
    same, other = rates(n, 0.4, 0.4, 30), rates(n, 0.7, 0.35, 30)
    nan = float('nan')
    lines = [
        ('slopes: type I', whole[0], 0.05), ('slopes: type I, 30 % drop out', gone[0], 0.05),
        ('slopes: type I, nobody has a slope of their own', flat[0], nan),
        ('slopes: coverage, 30 % drop out', gone[1], 0.95),
        ('slopes: power', power[0], slope_power(0.12)),
        ('  the same by a random intercept alone: type I', random_intercept(n), nan),
        ('rates 40 v 40 %, 30 each: type I (at most 5 %)', same[0], nan),
        ('rates: coverage', same[1], nan), ('rates 70 v 35 %: power', other[0], nan),
        ('rates 70 v 35 %: coverage', other[1], nan),
        ('crossover: type I', null[0], 0.05), ('crossover: power', treated[0], crossover_power),
        ('crossover: coverage', treated[1], 0.95),
    ]  # fmt: skip
    print(f'{n} trials')
    for name, found, theory in lines:
        band = 1.96 * np.sqrt(max(theory * (1 - theory), 0) / n) if np.isfinite(theory) else nan
        said = f'theory {theory:.3f} +- {band:.3f}' if np.isfinite(theory) else ''
        mark = '  OUTSIDE' if np.isfinite(theory) and abs(found - theory) > band else ''
        print(f'{name:50s} {found:.3f}  {said}{mark}')
    print(f'{resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} CPU s')


if __name__ == '__main__':
    main()
