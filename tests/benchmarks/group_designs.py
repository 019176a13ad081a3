"""Error rates, power and coverage of mixtures, change, sites, ComBat, prediction and groups.

Run ``python tests/benchmarks/group_designs.py [--quick] [--only NAME]``. Each line gives the
figure, what it should be, the Monte Carlo band (95 %) that goes with the number of simulated
cohorts, and CPU seconds. A figure outside its band is marked and printed as it is.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.clinical.classify import classify
from bids_acc.group.formulas.harmonise import ComBat
from bids_acc.group.formulas.longitudinal import baseline_ancova, change_correlation, paired_change
from bids_acc.group.formulas.mixed import mixed_model
from bids_acc.group.formulas.mixture import bootstrap_lrt, compare_mixtures
from bids_acc.group.formulas.prediction import predict
from bids_acc.group.formulas.sites import adjusted_difference, meta_analysis

Line = tuple[str, float, float, int]
"""What, observed rate, expected rate (NaN: none), simulations."""


SUBJECTS = 24
SUBJECT_SD, NOISE_SD = 1.0, 0.8
"""Of the simulated visits, between and within subjects."""


def streams(n: int, seed: int) -> Iterator[np.random.Generator]:
    """Yield one generator for each simulated cohort."""
    for child in np.random.SeedSequence(seed).spawn(n):
        yield np.random.default_rng(child)


def visits(rng: np.random.Generator, n: int, interaction: float, missing: float = 0.2):
    """Simulate two groups in three sessions, some visits missing."""
    subject = np.repeat(np.arange(n), 3)
    visit = np.tile([0.0, 1.0, 2.0], n)
    group = np.where(subject % 2, 'resistant', 'responder')
    value = (
        10 + rng.normal(0, SUBJECT_SD, n)[subject] + 0.2 * visit
        + interaction * visit * (group == 'resistant') + rng.normal(0, NOISE_SD, 3 * n)
    )  # fmt: skip
    other = 30 + rng.normal(0, 4, n)[subject] - visit + rng.normal(0, 3, 3 * n)
    table = pd.DataFrame(
        {
            'participant_id': [f'sub-{i:02d}' for i in subject],
            'session_id': [f'ses-{int(v)}' for v in visit], 'visit': visit, 'group': group,
            'glx': value, 'madrs': other,
        }
    )  # fmt: skip
    return table[(visit == 0) | (rng.random(3 * n) > missing)]


def mixture(quick: bool) -> list[Line]:
    """Bootstrap test of one against two populations at paper 2's n = 37."""
    n, boots = (60, 39) if quick else (300, 99)
    null, power, equal, weight = 0, 0, 0, 0
    for rng in streams(n, 1):
        x = rng.normal(1.47, 0.24, 37)
        null += bootstrap_lrt(x, 1, rng=rng, n_bootstrap=boots)[1] <= 0.05
    m = n // 2
    for rng in streams(m, 2):
        x = np.r_[rng.normal(1.2, 0.12, 18), rng.normal(1.75, 0.12, 19)]
        power += bootstrap_lrt(x, 1, rng=rng, n_bootstrap=boots)[1] <= 0.05
        equal += bootstrap_lrt(x, 1, rng=rng, n_bootstrap=boots, equal_variance=True)[1] <= 0.05
    for rng in streams(m, 3):
        x = rng.normal(1.47, 0.24, 37)
        result = compare_mixtures(x, rng=rng, n_bootstrap=0, n_starts=20, max_components=2)
        weight += result.evidence_ratio(2, 1) > 2.7
    return [
        ('mixture: type I of 1 v 2, n = 37', null / n, 0.05, n),
        ('mixture: power, means 4.6 SD apart, n = 37', power / m, np.nan, m),
        ('  the same with one variance for both', equal / m, np.nan, m),
        ('mixture: evidence ratio > 2.7 though one population', weight / m, np.nan, m),
    ]


def within_p(table: pd.DataFrame) -> float:
    """Return the exact p of visit x group: least squares with an intercept for each subject.

    Its F distribution holds whatever visits are missing, so it tells bad luck in the draws from a
    fault of the mixed model.
    """
    codes = np.unique(table['participant_id'], return_inverse=True)[1]
    counts = np.bincount(codes)
    visit = table['visit'].to_numpy()
    code = np.where(table['group'] == 'resistant', 1.0, -1.0)
    y, X = table['glx'].to_numpy(), np.column_stack([visit, visit * code])
    y, X = (
        y - (np.bincount(codes, y) / counts)[codes],
        X - np.column_stack([(np.bincount(codes, x) / counts)[codes] for x in X.T]),
    )
    beta, rss = np.linalg.lstsq(X, y, rcond=None)[:2]
    df = len(y) - len(counts) - 2
    variance = rss[0] / df * np.linalg.inv(X.T @ X)[1, 1]
    return float(stats.f.sf(beta[1] ** 2 / variance, 1, df))


def mixed_power(table: pd.DataFrame, interaction: float) -> float:
    """Return the power of visit x group for these visits, the variances being known.

    The noncentrality is that of generalised least squares; the degrees of freedom are those
    within subjects.
    """
    codes = np.unique(table['participant_id'], return_inverse=True)[1]
    visit = table['visit'].to_numpy()
    group = (table['group'] == 'resistant').to_numpy(dtype=float)
    X = np.column_stack([np.ones(len(visit)), visit, group, visit * group])
    V = SUBJECT_SD**2 * (codes[:, None] == codes) + NOISE_SD**2 * np.eye(len(visit))
    variance = np.linalg.inv(X.T @ np.linalg.solve(V, X))[3, 3]
    df = len(visit) - codes.max() - 3
    return float(stats.ncf.sf(stats.f.ppf(0.95, 1, df), 1, df, interaction**2 / variance))


def linear_power(X: np.ndarray, column: int, effect: float, sd: float) -> float:
    """Return the power of the test of one coefficient of a linear model with known noise."""
    df = X.shape[0] - X.shape[1]
    noncentrality = effect**2 / (sd**2 * np.linalg.inv(X.T @ X)[column, column])
    return float(stats.ncf.sf(stats.f.ppf(0.95, 1, df), 1, df, noncentrality))


def two_visits(rng: np.random.Generator, n: int, gain: float, effect: float) -> pd.DataFrame:
    """Simulate two groups before and after; all but one group gains ``effect`` more."""
    base = rng.normal(10, 1, n)
    group = np.arange(n) % 2
    after = 5 + 0.5 * base + gain + effect * group + rng.normal(0, NOISE_SD, n)
    score = 30 + rng.normal(0, 4, n)
    change = rng.normal(0, 3, n) - 2.0 * (after - base)
    parts = [
        pd.DataFrame({
            'participant_id': [f'sub-{i:02d}' for i in range(n)], 'session_id': session,
            'group': np.where(group, 'resistant', 'responder'), 'glx': glx, 'madrs': madrs,
        })
        for session, glx, madrs in (('ses-0', base, score), ('ses-1', after, score + change))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def type_one_of_mixed(quick: bool) -> list[Line]:
    """Type I error of time x group; the first 1,000 cohorts by themselves, then many more.

    The first 1,000 draws of this seed hold few large interactions: the exact test, which knows
    nothing of the mixed model, rejects as rarely there. The larger number shows the rate.
    """
    n, first = (300, 100) if quick else (10000, 1000)
    terms = ['visit', 'group', 'visit:group']
    mixed, exact, wald = [], [], []
    for rng in streams(n, 4):
        table = visits(rng, SUBJECTS, 0.0)
        result = mixed_model(table, 'glx', terms)[1][2]
        mixed.append(result.p < 0.05)
        wald.append(stats.chi2.sf(result.value, 1) < 0.05)
        exact.append(within_p(table) < 0.05)
    return [
        ('mixed model: type I of time x group (Satterthwaite)', float(np.mean(mixed)), 0.05, n),
        ('  the same cohorts by an exact F within subjects', float(np.mean(exact)), 0.05, n),
        ('  the first of these cohorts', float(np.mean(mixed[:first])), 0.05, first),
        ('  the first, by the exact F', float(np.mean(exact[:first])), 0.05, first),
        ('  all by normal approximation (not used)', float(np.mean(wald)), np.nan, n),
    ]


def change(quick: bool) -> list[Line]:
    """Paired, mixed, adjusted and change-change analyses with 20 % of the visits missing."""
    n = 150 if quick else 1000
    names = ('cover', 'paired', 'adjusted', 'pairs', 'power mixed', 'power paired',
             'power adjusted', 'power pairs')  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name in names}
    expected: dict[str, list[float]] = {name: [] for name in names if name.startswith('power')}
    terms, slope = ['visit', 'group', 'visit:group'], 0.5
    days = {'first': 'ses-0', 'second': 'ses-1'}
    for rng in streams(n, 5):
        table = visits(rng, SUBJECTS, 0.0)
        result = mixed_model(table, 'glx', terms)[1][0]
        found['cover'].append(result.ci_low < 0.2 < result.ci_high)
        found['adjusted'].append(baseline_ancova(table, 'glx', group='group', **days).p < 0.05)
        found['pairs'].append(change_correlation(table, 'glx', 'madrs', **days).p < 0.05)
        # d_z of the first change: mean 0.2, standard deviation 0.8 * sqrt 2
        dz = paired_change(table, 'glx', **days).test
        found['paired'].append(dz.ci_low < 0.2 / (NOISE_SD * 2**0.5) < dz.ci_high)
        table = visits(rng, SUBJECTS, slope)
        found['power mixed'].append(mixed_model(table, 'glx', terms)[1][2].p < 0.05)
        expected['power mixed'].append(mixed_power(table, slope))
        table = two_visits(rng, 30, 0.3, 0.8)
        wide = table.pivot_table(index='participant_id', columns='session_id', values='glx')
        base = wide['ses-0'].to_numpy()
        ones, group = np.ones(30), (np.arange(30) % 2).astype(float)
        found['power adjusted'].append(
            baseline_ancova(table, 'glx', group='group', **days).p < 0.05
        )
        X = np.column_stack([ones, base, group])
        expected['power adjusted'].append(linear_power(X, 2, 0.8, NOISE_SD))
        found['power pairs'].append(change_correlation(table, 'glx', 'madrs', **days).p < 0.05)
        score = table.query("session_id == 'ses-0'")['madrs'].to_numpy()
        gain = (wide['ses-1'] - wide['ses-0']).to_numpy()
        X = np.column_stack([ones, base, score, gain])
        expected['power pairs'].append(linear_power(X, 3, 2.0, 3.0))
        base = rng.normal(10, 1, 20)
        frame = pd.DataFrame({
            'participant_id': np.tile(np.arange(20), 2).astype(str),
            'session_id': np.repeat(['ses-0', 'ses-1'], 20),
            'glx': np.r_[base, base + rng.normal(0.8, 1, 20)],
        })  # fmt: skip
        found['power paired'].append(paired_change(frame, 'glx', **days).test.p < 0.05)
        expected['power paired'].append(
            float(stats.ncf.sf(stats.f.ppf(0.95, 1, 19), 1, 19, 0.8**2 * 20))
        )
    observed = {name: float(np.mean(values)) for name, values in found.items()}
    power = {name: float(np.mean(values)) for name, values in expected.items()}
    return [
        *type_one_of_mixed(quick),
        ('mixed model: coverage of the slope', observed['cover'], 0.95, n),
        ('paired: coverage of d_z', observed['paired'], 0.95, n),
        ('baseline-adjusted: type I', observed['adjusted'], 0.05, n),
        ('change-change: type I', observed['pairs'], 0.05, n),
        ('mixed model: power for a slope difference of 0.5 (analytic)', observed['power mixed'],
         power['power mixed'], n),
        ('paired: power for d_z = 0.8, n = 20 (analytic)', observed['power paired'],
         power['power paired'], n),
        ('baseline-adjusted: power for d = 1, n = 30 (analytic)', observed['power adjusted'],
         power['power adjusted'], n),
        ('change-change: power, n = 30 (analytic)', observed['power pairs'],
         power['power pairs'], n),
    ]  # fmt: skip


def meta(quick: bool) -> list[Line]:
    """Coverage of the mean effect over few cohorts that differ."""
    n = 300 if quick else 2000
    lines = []
    for k in (2, 3, 5):
        held = 0
        for rng in streams(n, 10 + k):
            variances = 4 / rng.integers(60, 90, k)
            effects = rng.normal(0.5, np.sqrt(variances + 0.04))
            result = meta_analysis(effects, variances)
            held += result.ci_low < 0.5 < result.ci_high
        # Two cohorts get the mean of a common effect, which is not what these were drawn from;
        # with more the interval is never narrower than the model's, so that it holds too often.
        wanted = 'at least 0.95' if k > 2 else 'no demand'
        lines.append(
            (f'meta-analysis: coverage, {k} cohorts that differ ({wanted})', held / n, np.nan, n)
        )
    return lines


def combat(quick: bool) -> list[Line]:
    """Site effects before and after, and the group test after harmonisation."""
    n = 100 if quick else 500
    before, after, bias, type_one, found, power = [], [], [], 0, 0, []
    columns = [f'f{i}' for i in range(8)]
    for rng in streams(n, 20):
        site = np.repeat(['a', 'b'], [73, 79])
        group = np.where(rng.random(152) < np.where(site == 'a', 0.64, 0.67), 'SCZ', 'HC')
        effect = np.r_[0.8, 0, 0.5, np.zeros(5)]
        values = rng.normal(size=(152, 8)) * np.where(site == 'a', 1, 1.4)[:, None]
        values += (site == 'b')[:, None] * rng.normal(1, 0.5, 8) + (group == 'SCZ')[
            :, None
        ] * effect
        table = pd.DataFrame(values, columns=columns).assign(site=site, group=group)
        clean = ComBat(preserve=('group',)).fit_transform(table)
        for frame, into in ((table, before), (clean, after)):
            a, b = (frame.loc[site == s, columns].to_numpy() for s in 'ab')
            into.append(np.mean(np.abs(a.mean(0) - b.mean(0))))
        clean = clean.assign(group=group)
        bias.append(adjusted_difference(clean, 'f0', 'group', ('SCZ', 'HC')).effect - 0.8)
        # ComBat makes the scales alike: about that of both sites together
        scz, b = (group == 'SCZ').astype(float), (site == 'b').astype(float)
        found += adjusted_difference(clean, 'f2', 'group', ('SCZ', 'HC')).p < 0.05
        pooled = np.sqrt(np.mean(np.where(site == 'a', 1, 1.4) ** 2))
        power.append(linear_power(np.column_stack([np.ones(152), b, scz]), 2, 0.5, pooled))
        type_one += adjusted_difference(clean, 'f1', 'group', ('SCZ', 'HC')).p < 0.05
    return [
        ('ComBat: mean |site difference| before (SD)', float(np.mean(before)), np.nan, n),
        ('ComBat: mean |site difference| after (SD)', float(np.mean(after)), np.nan, n),
        ('ComBat: bias of a group difference of 0.8', float(np.mean(bias)), np.nan, n),
        ('ComBat: type I of the group afterwards', type_one / n, 0.05, n),
        (
            'ComBat: power for a difference of 0.5 (analytic, about)',
            found / n,
            float(np.mean(power)),
            n,
        ),
    ]


def prediction(quick: bool) -> list[Line]:
    """Nested cross-validation of noise and of a planted difference, 24 per class."""
    n, m = (20, 15) if quick else (150, 200)
    aucs, cover, wide, found = [], 0, 0, []
    features = [f'f{i}' for i in range(8)]

    def cohort(rng: np.random.Generator, effect: float) -> pd.DataFrame:
        table = pd.DataFrame(rng.normal(size=(48, 8)), columns=features)
        yes = np.arange(48) % 2 == 1
        table['f0'] += effect * yes
        return table.assign(outcome=np.where(yes, 'yes', 'no'))

    fast = {'positive': 'yes', 'n_repeats': 1, 'n_inner': 3}
    for rng in streams(n, 30):
        result = predict(cohort(rng, 0), 'outcome', features, rng=rng, n_permutations=0, **fast)
        aucs.append(result.value)
        cover += result.ci_low <= 0.5 <= result.ci_high
        found.append(
            predict(cohort(rng, 1.5), 'outcome', features, rng=rng, n_permutations=0, **fast).value
        )
    # The test is valid for any procedure that is repeated for each shuffled outcome: a short one
    # lets more cohorts be simulated.
    short = {**fast, 'n_folds': 3, 'n_inner': 2}
    for rng in streams(m, 31):
        result = predict(cohort(rng, 0), 'outcome', features, rng=rng, n_permutations=19, **short)
        wide += result.p <= 0.05
    return [
        ('prediction: mean AUC of noise', float(np.mean(aucs)), np.nan, n),
        ('prediction: coverage of 0.5 for noise', cover / n, np.nan, n),
        ('prediction: mean AUC, one feature at d = 1.5 (ideal 0.856)', float(np.mean(found)),
         np.nan, n),
        ('prediction: type I of the permutation test', wide / m, 0.05, m),
    ]  # fmt: skip


def treatment(quick: bool) -> list[Line]:
    """Planted response groups, then the same with cells emptied."""
    n = 200 if quick else 2000
    items = [f'panss_{s}{i}' for s, k in (('p', 7), ('n', 7)) for i in range(1, k + 1)]
    rng = np.random.default_rng(40)
    truth = rng.choice(['HC', 'FL-Resp', 'TRS', 'URS', 'CLZ-Resp'], n)
    trials, ratings = [], []
    for i, label in enumerate(truth):
        who = f'sub-{i:04d}'
        ill = label in ('TRS', 'URS')
        scores = {c: str(rng.integers(1, 4)) for c in items}
        if ill:
            scores[str(rng.choice(items))] = str(rng.integers(4, 8))
        ratings.append(
            {
                'participant_id': who,
                'patient': str(label != 'HC').lower(),
                'history_complete': 'true',
                'gaf': '45' if ill else '70',
                **scores,
            }
        )
        done = {'HC': [], 'FL-Resp': [('risperidone', 4, 'adequate')]}.get(
            label, [('risperidone', 6, 'inadequate'), ('olanzapine', 25, 'inadequate')]
        )
        done = done + {
            'URS': [('clozapine', 500, 'inadequate')],
            'CLZ-Resp': [('clozapine', 400, 'adequate')],
        }.get(label, [])
        trials += [
            {'participant_id': who, 'trial': k, 'drug': drug, 'dose_mg': dose,
             'weeks': 16 if drug == 'clozapine' else 8, 'adherence_pct': 90, 'response': answer}
            for k, (drug, dose, answer) in enumerate(done, 1)
        ]  # fmt: skip
    trial_table = pd.DataFrame(trials).astype(str)
    rating_table = pd.DataFrame(ratings).astype(str)
    found = classify(trial_table, rating_table, definitions=['trrip']).labels['trrip']
    lines = [('groups: planted label found', float((found == truth).mean()), 1.0, n)]
    for table in (trial_table, rating_table):
        body = [c for c in table if c not in ('participant_id', 'trial', 'drug')]
        table[body] = table[body].mask(rng.random((len(table), len(body))) < 0.1, 'n/a')
    found = classify(trial_table, rating_table, definitions=['trrip']).labels['trrip']
    given = (found != 'undetermined').to_numpy()
    wrong = float((found.to_numpy()[given] != truth[given]).mean())
    return [
        *lines,
        ('groups: 10 % of cells emptied, label still given', float(given.mean()), np.nan, n),
        ('groups: wrong among those given', wrong, 0.0, n),
    ]


PARTS: dict[str, Callable[[bool], list[Line]]] = {
    'mixture': mixture, 'change': change, 'meta': meta, 'combat': combat,
    'prediction': prediction, 'treatment': treatment,
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='fewer simulated cohorts')
    parser.add_argument('--only', choices=sorted(PARTS), help='one part')
    options = parser.parse_args()
    print(f'{"figure":62} {"observed":>9} {"expected":>9} {"band":>8} {"n":>6}')
    for name in [options.only] if options.only else PARTS:
        start = time.process_time()
        for label, value, expected, n in PARTS[name](options.quick):
            band = 1.96 * np.sqrt(expected * (1 - expected) / n)
            if 'power' in label:
                band = 0.05  # what is asked of power
            mark = ' <- outside' if abs(value - expected) > band + 1e-12 else ''
            shown = ('', '') if np.isnan(expected) else (f'{expected:.3f}', f'{band:.3f}')
            print(f'{label:62} {value:9.3f} {shown[0]:>9} {shown[1]:>8} {n:6d}{mark}', flush=True)
        print(f'  [{name}: {time.process_time() - start:.1f} CPU s]', flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'peak memory {peak:.0f} MB')


if __name__ == '__main__':
    main()
