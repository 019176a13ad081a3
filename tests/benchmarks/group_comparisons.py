"""Error rates, power and coverage of the group statistics on simulated cohorts.

Cohorts have the sizes of the papers (73 in three groups, 79 in four, 37 in two), age and sex as
covariates that do affect the responses, and correlated responses. Run::

    python tests/benchmarks/group_comparisons.py [--quick]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.group.formulas.contingency import chi_squared
from bids_acc.group.formulas.design import Design, build_design
from bids_acc.group.formulas.evidence import bayes_factor_t, equivalence_p
from bids_acc.group.formulas.inference import (
    adjust_p,
    cramers_v_confidence,
    d_confidence,
    d_from_t,
    noncentrality_of_t,
    partial_eta2_confidence,
    r_confidence,
    r_from_t,
    rank_biserial,
    rank_biserial_confidence,
    small_sample_factor,
)
from bids_acc.group.formulas.linear import anova, contrast_test, f_survival, fit_ols
from bids_acc.group.formulas.permutation import permutation_p
from bids_acc.group.formulas.robust import mm_test
from bids_acc.group.formulas.sites import meta_analysis
from bids_acc.group.formulas.two_samples import (
    mann_whitney,
    permuted_means,
    pooled_sd,
    student,
    welch,
)
from bids_acc.typing import FloatArray

TOKYO = {'HC': 26, 'FL-Resp': 24, 'TRS': 23}
TORONTO = {'HC': 26, 'FL-Resp': 17, 'CLZ-Resp': 15, 'URS': 21}
LONDON = {'responsive': 18, 'resistant': 19}
N_RESPONSES = 16
COVARIATE_EFFECT = 0.3


@dataclass
class Tally:
    """Counts events and prints them as rates."""

    hits: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, event: float | np.bool_) -> None:
        """Count one trial."""
        self.hits.setdefault(name, []).append(float(event))

    def rate(self, name: str) -> float:
        """Return the share of trials with the event, in per cent."""
        return 100 * float(np.mean(self.hits[name]))


def covariates(groups: dict[str, int], rng: np.random.Generator) -> pd.DataFrame:
    """Draw group, age and sex of one cohort."""
    n = sum(groups.values())
    return pd.DataFrame({
        'group': np.repeat(list(groups), list(groups.values())),
        'age': rng.standard_normal(n), 'sex': rng.choice(['F', 'M'], n),
    })  # fmt: skip


def design_of(frame: pd.DataFrame, terms: list[str], groups: dict[str, int]) -> Design:
    """Build the design with the package's own coding."""
    return build_design(frame, terms, {'group': list(groups), 'sex': ['F', 'M']}, keep=['group'])


def responses(frame: pd.DataFrame, rng: np.random.Generator, shared: float = 0.5) -> FloatArray:
    """Draw correlated responses that depend on age and sex."""
    n = len(frame)
    common = rng.standard_normal((n, 1)) * np.sqrt(shared)
    own = rng.standard_normal((n, N_RESPONSES)) * np.sqrt(1 - shared)
    nuisance = COVARIATE_EFFECT * (frame['age'].to_numpy() + (frame['sex'] == 'F').to_numpy())
    return common + own + nuisance[:, None]


def null_structure(groups: dict[str, int], rng: np.random.Generator, tally: Tally) -> None:
    """Count false positives of the analyses of structure in one null cohort."""
    frame = covariates(groups, rng)
    y = responses(frame, rng)
    frame['Glx'] = rng.standard_normal(len(frame))
    design = design_of(frame, ['group', 'age', 'sex'], groups)
    both = design_of(frame, ['group', 'Glx', 'age', 'sex', 'group:Glx'], groups)
    partial = build_design(frame, ['Glx', 'age', 'sex'], {'sex': ['F', 'M']})
    p = np.empty(N_RESPONSES)
    for j in range(N_RESPONSES):
        tests = {t.term: t.p for t in anova(design.X, y[:, j], design.terms, 'II')}
        p[j] = tests['group']
        tally.add('ANCOVA, group', p[j] <= 0.05)
        third = {t.term: t.p for t in anova(both.X, y[:, j], both.terms, 'III')}
        tally.add('Glx main effect, type III', third['Glx'] <= 0.05)
        tally.add('group x Glx interaction', third['group:Glx'] <= 0.05)
        fit = fit_ols(partial.X, y[:, j])
        weights = np.eye(partial.X.shape[1])[partial.terms['Glx'][0]]
        tally.add('partial correlation', contrast_test(fit, weights).p <= 0.05)
        adjusted = fit_ols(design.X, y[:, j])
        last = list(groups)[-1]
        pair = design.level_weights('group', last) - design.level_weights('group', 'HC')
        tally.add('pair of adjusted means', contrast_test(adjusted, pair).p <= 0.05)
        columns = list(design.terms['group'])
        b = adjusted.coefficients[columns]
        v = adjusted.covariance_hc3()[np.ix_(columns, columns)]
        f = float(b @ np.linalg.solve(v, b)) / len(columns)
        tally.add('HC3, group', f_survival(f, len(columns), adjusted.df) <= 0.05)
    tally.add('any of 16 by BH (FDR, all null)', (adjust_p(p, 'bh') <= 0.05).any())
    tally.add('any of 16 by Holm (FWER)', (adjust_p(p, 'holm') <= 0.05).any())
    tally.add('any of 16 by Bonferroni (FWER)', (adjust_p(p, 'bonferroni') <= 0.05).any())
    p_perm = permutation_p(design.X, y[:, 0], design.terms['group'], 199, rng).p
    tally.add('Freedman-Lane permutation, group', p_perm <= 0.05)


def half_null(groups: dict[str, int], rng: np.random.Generator, tally: Tally) -> None:
    """Count the share of false discoveries when half of the responses have an effect."""
    frame = covariates(groups, rng)
    y = responses(frame, rng)
    real = np.arange(N_RESPONSES) < N_RESPONSES // 2
    y[np.ix_((frame['group'] != 'HC').to_numpy(), real)] -= 0.8
    design = design_of(frame, ['group', 'age', 'sex'], groups)
    p = np.array([
        next(t.p for t in anova(design.X, y[:, j], design.terms, 'II') if t.term == 'group')
        for j in range(N_RESPONSES)
    ])  # fmt: skip
    found = adjust_p(p, 'bh') <= 0.05
    tally.add('FDR by BH, half of 16 real', (found & ~real).sum() / max(found.sum(), 1))


def null_metabolites(rng: np.random.Generator, tally: Tally) -> None:
    """Count false positives of the comparisons of two groups."""
    a, b = (rng.standard_normal(n) for n in LONDON.values())
    tally.add("Student's t", student(a, b).p <= 0.05)
    tally.add("Welch's t", welch(a, b).p <= 0.05)
    tally.add('Mann-Whitney, exact', mann_whitney(a, b).p <= 0.05)
    tally.add('permutation of means', permuted_means(a, b, 199, rng).p <= 0.05)


def analytic_power_t(d: float, n_a: int, n_b: int, df: int) -> float:
    """Return the power of a two-sided t test at 0.05, in per cent."""
    ncp = d / np.sqrt(1 / n_a + 1 / n_b)
    critical = stats.t.ppf(0.975, df)
    return 100 * float(stats.nct.sf(critical, df, ncp) + stats.nct.cdf(-critical, df, ncp))


def power_cases(n_cohorts: int, rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Yield name, found and analytic power of d = 0.8 at the papers' sizes."""
    for name, (n_a, n_b) in {
        "t, 19 v 18 (glutamate)": (19, 18), 't, TRS v HC, 23 v 26': (23, 26),
        't, URS v CLZ-Resp, 21 v 15': (21, 15),
    }.items():  # fmt: skip
        found = [
            student(rng.standard_normal(n_a) + 0.8, rng.standard_normal(n_b)).p <= 0.05
            for _ in range(n_cohorts)
        ]
        yield name, 100 * float(np.mean(found)), analytic_power_t(0.8, n_a, n_b, n_a + n_b - 2)
    for name, groups in (('ANCOVA, 73 in 3 groups', TOKYO), ('ANCOVA, 79 in 4', TORONTO)):
        hits, expected = [], []
        for _ in range(n_cohorts):
            frame = covariates(groups, rng)
            shift = 0.8 * (frame['group'] == list(groups)[-1]).to_numpy()
            y = responses(frame, rng)[:, 0] + shift
            design = design_of(frame, ['group', 'age', 'sex'], groups)
            test = next(t for t in anova(design.X, y, design.terms, 'II') if t.term == 'group')
            hits.append(test.p <= 0.05)
            truth = anova(design.X, shift + 1e-9 * y, design.terms, 'II')
            ncp = next(t.sum_of_squares for t in truth if t.term == 'group')
            critical = stats.f.ppf(0.95, test.df1, test.df2)
            expected.append(stats.ncf.sf(critical, test.df1, test.df2, ncp))
        yield name, 100 * float(np.mean(hits)), 100 * float(np.mean(expected))


def coverage(rng: np.random.Generator, tally: Tally) -> None:
    """Count how often intervals hold the truth in one cohort."""
    d = 0.8
    n_b, n_a = LONDON.values()
    a, b = rng.standard_normal(n_a) + d, rng.standard_normal(n_b)
    test = student(a, b)
    low, high = d_confidence(test.value, n_a, n_b)
    tally.add("Cohen's d", low <= d <= high)
    other = welch(a, b)
    margin = stats.t.ppf(0.975, other.df2) * (a.mean() - b.mean()) / other.value
    tally.add('difference of means (Welch)', abs(a.mean() - b.mean() - d) <= abs(margin))

    for shift_, n_a, n_b in ((0.0, 19, 18), (0.8, 19, 18), (1.5, 19, 18), (1.5, 8, 8)):
        u = mann_whitney(rng.standard_normal(n_a) + shift_, rng.standard_normal(n_b)).value
        low, high = rank_biserial_confidence(rank_biserial(u, n_a, n_b), n_a, n_b)
        truth_r = 2 * stats.norm.cdf(shift_ / np.sqrt(2)) - 1
        tally.add(f'rank-biserial, d {shift_}, {n_a} v {n_b}', low <= truth_r <= high)

    counts = rng.multinomial(20, [0.35, 0.65]), rng.multinomial(25, [0.65, 0.35])
    chi2, df, _ = chi_squared(np.array(counts) + 0.0)
    low, high = cramers_v_confidence(chi2, df, 45, 1)
    share = (20 * 0.35 + 25 * 0.65) / 45
    truth_v = 0.3 * np.sqrt(20 * 25 / 45**2 / (share * (1 - share)))
    tally.add("Cramer's V (nominal 90 %)", low <= truth_v <= high)

    frame = covariates(TOKYO, rng)
    shift = d * (frame['group'] == 'TRS').to_numpy()
    y = responses(frame, rng)[:, 0] + shift
    design = design_of(frame, ['group', 'age', 'sex'], TOKYO)
    found = next(t for t in anova(design.X, y, design.terms, 'II') if t.term == 'group')
    truth = anova(design.X, shift + 1e-9 * y, design.terms, 'II')
    ncp = next(t.sum_of_squares for t in truth if t.term == 'group')
    low, high = partial_eta2_confidence(found.f, found.df1, found.df2)
    tally.add('partial eta squared (nominal 90 %)', low <= ncp / (ncp + found.df2) <= high)
    fit = fit_ols(design.X, y)
    pair = design.level_weights('group', 'TRS') - design.level_weights('group', 'HC')
    contrast = contrast_test(fit, pair)
    low, high = noncentrality_of_t(contrast.t, contrast.df)
    scale = contrast.se / fit.sigma
    tally.add('adjusted d (TRS v HC)', low * scale <= d <= high * scale)

    rho = -0.4
    glx = rng.standard_normal(len(frame))
    z = rho * glx + np.sqrt(1 - rho**2) * rng.standard_normal(len(frame))
    z = z + COVARIATE_EFFECT * frame['age'].to_numpy()
    partial = build_design(frame.assign(Glx=glx), ['Glx', 'age', 'sex'], {'sex': ['F', 'M']})
    slope = contrast_test(
        fit_ols(partial.X, z), np.eye(partial.X.shape[1])[partial.terms['Glx'][0]]
    )
    low, high = r_confidence(r_from_t(slope.t, slope.df), slope.df)
    tally.add('partial correlation (Fisher)', low <= rho <= high)


def print_evidence(n_cohorts: int, rng: np.random.Generator) -> None:
    """Print error rate and power of equivalence tests, and what Bayes factors say."""
    for n in (23, 60, 150):
        for truth in (0.0, 0.5):
            tally = Tally()
            for _ in range(n_cohorts):
                a, b = rng.standard_normal(n) + truth, rng.standard_normal(n)
                test = student(a, b)
                difference = float(a.mean() - b.mean())
                se, df = difference / test.value, test.df2
                bound = 0.5 * pooled_sd(a, b)
                tally.add('equivalent', equivalence_p(difference, se, df, bound) <= 0.05)
                bf10 = bayes_factor_t(test.value, df, n / 2)
                tally.add('BF01 > 3', bf10 < 1 / 3)
                tally.add('BF10 > 3', bf10 > 3)
            rates = ', '.join(f'{name} {tally.rate(name):.1f} %' for name in tally.hits)
            print(f'  {n} v {n}, d {truth}, bound 0.5 SD: {rates}')


def print_relations(n_cohorts: int, rng: np.random.Generator) -> None:
    """Print how often null relations are found when groups differ in both measures."""
    tally = Tally()
    for _ in range(n_cohorts):
        frame = covariates(LONDON, rng)
        resistant = (frame['group'] == 'resistant').to_numpy(dtype=float)
        frame['score'] = resistant + rng.standard_normal(len(frame))
        y = resistant + rng.standard_normal(len(frame))
        for name, terms in (('pooled', ['score']), ('within groups', ['score', 'group'])):
            design = build_design(frame, terms, {'group': list(LONDON)})
            p = next(t.p for t in anova(design.X, y, design.terms, 'II') if t.term == 'score')
            tally.add(name, p <= 0.05)
    rates = ', '.join(f'{name} {tally.rate(name):.1f} %' for name in tally.hits)
    print(f'  no relation within groups that differ by 1 SD in both, n 37: found {rates}')


def print_small(n_cohorts: int, rng: np.random.Generator) -> None:
    """Print type I error and power of the tests of small groups, normal and skewed."""
    for sizes in ((3, 3), (4, 5), (6, 7)):
        n = sum(sizes)
        group = np.repeat([1.0, -1.0], sizes)
        age = rng.standard_normal(n)
        for label, draw in (('normal', rng.standard_normal), ('skewed', rng.exponential)):
            tally = Tally()
            for _ in range(n_cohorts):
                noise = draw(size=n) ** (1 if label == 'normal' else 2)
                for shift in (0.0, 2.0):
                    y = noise + shift * float(noise.std()) * (group > 0)
                    word = 'power' if shift else 'type I'
                    plain = np.column_stack([np.ones(n), group])
                    tally.add(f't {word}', student(y[group > 0], y[group < 0]).p <= 0.05)
                    tally.add(
                        f'exact {word}', permutation_p(plain, y, [1], 999, rng).p <= 0.05 + 1e-12
                    )
                    if n >= 9:
                        adjusted = np.column_stack([plain, age])
                        test = permutation_p(adjusted, y, [1], 499, rng)
                        tally.add(f'with a covariate {word}', test.p <= 0.05)
            rates = ', '.join(f'{name} {tally.rate(name):.1f} %' for name in tally.hits)
            print(f'  {sizes[0]} v {sizes[1]}, {label}: {rates}')


def print_summaries(n_pairs: int, rng: np.random.Generator) -> None:
    """Print power and coverage of the mean of two cohorts, and of three."""
    sizes = ((23, 26), (21, 26), (19, 18))
    for k in (2, 3):
        for truth in (0.0, 0.6):
            tally, agree = Tally(), Tally()
            for _ in range(n_pairs):
                g, v = np.empty(k), np.empty(k)
                for i, (n_a, n_b) in enumerate(sizes[:k]):
                    test = student(rng.standard_normal(n_a) + truth, rng.standard_normal(n_b))
                    g[i] = d_from_t(test.value, n_a, n_b) * small_sample_factor(test.df2)
                    v[i] = 1 / n_a + 1 / n_b + g[i] ** 2 / (2 * (n_a + n_b))
                result = meta_analysis(g, v)
                held = result.ci_low <= truth <= result.ci_high
                tally.add('p <= 0.05', result.p <= 0.05)
                tally.add('held', held)
                low, high = result.common[1:]
                tally.add('common', not low <= 0 <= high)
                if result.q_p > 0.8:
                    agree.add('held', held)
            word = 'power' if truth else 'type I'
            print(
                f'  {k} cohorts, g {truth}: {word} {tally.rate("p <= 0.05"):.1f} %, coverage '
                f'{tally.rate("held"):.1f} %, where cohorts agree (Q p > 0.8) '
                f'{agree.rate("held"):.1f} %; the common effect beside it: {word} '
                f'{tally.rate("common"):.1f} %'
            )


def print_influence(n_cohorts: int, rng: np.random.Generator) -> None:
    """Print what tests do after a deletion by Cook's distance, and what robust ones do."""
    for groups in (LONDON, TOKYO, TOKYO | {'second': 77}):
        tally = Tally()
        for _ in range(n_cohorts):
            frame = covariates(groups, rng)
            y = rng.standard_normal(len(frame))
            design = design_of(frame, ['group', 'age', 'sex'], groups)
            columns = list(design.terms['group'])
            tally.add('full', anova(design.X, y, {'group': columns})[0].p <= 0.05)
            kept = fit_ols(design.X, y).cooks_distance() <= 4 / len(y)
            after = anova(design.X[kept], y[kept], {'group': columns})[0].p
            tally.add('after deletion', after <= 0.05)
            f, df1, df2 = mm_test(design.X, y, columns)
            tally.add('MM', f_survival(f, df1, df2) <= 0.05)
            for shift, name in ((4.0, 'one outlier in the last group: '),):
                spoiled = y.copy()
                spoiled[-1] += shift * 2
                p = anova(design.X, spoiled, {'group': columns})[0].p
                f, df1, df2 = mm_test(design.X, spoiled, columns)
                tally.add(f'{name}full', p <= 0.05)
                tally.add(f'{name}MM', f_survival(f, df1, df2) <= 0.05)
        rates = ', '.join(f'{name} {tally.rate(name):.1f} %' for name in tally.hits)
        print(f'  null group effect, n {sum(groups.values())}: {rates}')


def timed(name: str, work: Callable[[], None]) -> None:
    """Run a part and print its CPU time."""
    start = time.process_time()
    work()
    print(f'  [{name}: {time.process_time() - start:.0f} CPU s]\n')


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='200 cohorts instead of 1,000')
    parser.add_argument('--only', help='one part, by its name')
    parser.add_argument('--seed', type=int, default=20261121)
    arguments = parser.parse_args()
    n = 200 if arguments.quick else 1000
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(arguments.seed).spawn(9)]
    noise = 196 * np.sqrt(0.05 * 0.95 / n)

    def type_one() -> None:
        tally = Tally()
        for _ in range(n):
            null_structure(TOKYO, streams[0], tally)
            half_null(TOKYO, streams[0], tally)
            null_metabolites(streams[0], tally)
        print(f'Type I error, {n} null cohorts (nominal 5 %, 95 % noise +- {noise:.1f})')
        for name in tally.hits:
            print(f'  {name:<36} {tally.rate(name):6.2f} %')

    def power() -> None:
        print(f'Power at d = 0.8, {n} cohorts each (wanted: within 5 points)')
        for name, found, expected in power_cases(n, streams[1]):
            ok = 'ok' if abs(found - expected) <= 5 else 'OFF'
            print(f'  {name:<36} {found:6.1f} %  analytic {expected:5.1f} %  {ok}')

    def intervals() -> None:
        tally = Tally()
        for _ in range(n):
            coverage(streams[2], tally)
        print(f'Coverage of 95 % intervals, {n} cohorts (wanted: nominal +- 2)')
        for name in tally.hits:
            nominal = 90 if 'nominal 90' in name else 95
            ok = 'ok' if abs(tally.rate(name) - nominal) <= 2 else 'OFF'
            print(f'  {name:<36} {tally.rate(name):6.1f} %  {ok}')

    def absence() -> None:
        print_evidence(n, streams[6])

    def relations() -> None:
        print_relations(n, streams[7])

    def small_groups() -> None:
        print_small(n, streams[8])

    def summaries() -> None:
        print_summaries(10 * n, streams[4])

    def influential_people() -> None:
        print_influence(n // 4, streams[5])

    parts = {
        'type I': type_one, 'power': power, 'coverage': intervals,
        'relations': relations, 'small groups': small_groups, 'evidence': absence,
        'meta-analysis': summaries, 'influence': influential_people,
    }  # fmt: skip
    for name, part in parts.items():
        if arguments.only not in (None, name):
            continue
        timed(name, part)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'Peak memory {peak:.0f} MB')


if __name__ == '__main__':
    main()
