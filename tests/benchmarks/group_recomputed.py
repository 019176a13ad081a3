"""Compute each kind of row of the statistics again from the table of measures, and compare.

Run ``python tests/benchmarks/group_recomputed.py [OUTPUT_DIR MODEL] [--quick]``: it takes
``group/model-MODEL/measures.tsv`` and the tables in ``stats`` beside it; without a folder, the two
cohorts of ``tests/reference/stats``. It reads of a row what its columns say (who, formula,
contrast, method) and uses nothing of bids_acc for the numbers: normal equations and the
distributions of scipy. The table that it prints has, for each kind of row, how many there are, how
many were computed again, and the largest deviation in units of the sixth digit, with which the
tables are written (up to 1 is rounding), with the column that it is of.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import integrate, optimize, special, stats

REFERENCE = Path(__file__).resolve().parents[1] / 'reference' / 'stats'
DIGITS = 1e-5
"""A difference of one in the sixth digit, relative; numbers are printed with six."""
Numbers = dict[str, float]


def counts(cell: str) -> dict[str, int]:
    """Read ``n_per_group``."""
    return {k: int(v) for k, v in (part.rsplit('=', 1) for part in cell.split(';') if '=' in part)}


class Fit:
    """Least squares of one formula in the people of one row."""

    def __init__(self, frame: pd.DataFrame, formula: str) -> None:
        self.response, right = formula.split(' ~ ')
        self.terms = [t.strip() for t in right.split('+')]
        self.frame, self.y = frame, frame[self.response].to_numpy(dtype=float)
        self.blocks = {t: self.columns(t) for t in self.terms}
        ones = np.ones((len(frame), 1))
        self.X = np.column_stack([ones, *self.blocks.values()])
        self.inverse = np.linalg.pinv(self.X.T @ self.X)
        self.b = self.inverse @ self.X.T @ self.y
        self.residuals = self.y - self.X @ self.b
        self.df = len(frame) - np.linalg.matrix_rank(self.X)
        self.sigma = float(np.sqrt(self.residuals @ self.residuals / self.df))

    def columns(self, term: str, at: pd.DataFrame | None = None) -> np.ndarray:
        """Return sum-to-zero columns of a term, or what they are for other people."""
        people = self.frame if at is None else at
        made = np.ones((len(people), 1))
        for name in term.split(':'):
            own = self.frame[name]
            if pd.api.types.is_numeric_dtype(own):
                part = (people[name].to_numpy(dtype=float) - own.mean())[:, None]
            else:
                levels = sorted(own.unique())
                chosen = people[name].to_numpy()
                part = np.stack(
                    [(chosen == v) * 1.0 - (chosen == levels[-1]) for v in levels[:-1]]
                )
                part = part.T
            made = np.stack([a * b for a in made.T for b in part.T]).T
        return made

    def slices(self, term: str) -> np.ndarray:
        """Return the numbers of the coefficients of a term."""
        at = 1
        for name, block in self.blocks.items():
            if name == term:
                return np.arange(at, at + block.shape[1])
            at += block.shape[1]
        raise KeyError(term)

    def wald(self, columns: np.ndarray, covariance: np.ndarray) -> Numbers:
        """Return F of some coefficients, its p and partial eta squared with 90 % limits."""
        b = self.b[columns]
        f = float(b @ np.linalg.solve(covariance[np.ix_(columns, columns)], b)) / len(columns)
        return f_numbers(f, len(columns), self.df)

    def term_f(self, term: str) -> Numbers:
        """Return F of a term that no other contains: types II and III agree on it."""
        return self.wald(self.slices(term), self.sigma**2 * self.inverse)

    def contrast(self, weights: dict[str, float], level: str = '') -> tuple[float, float]:
        """Return a contrast of group means at the average covariates, and its standard error."""
        total = np.zeros(self.X.shape[1])
        for group, weight in weights.items():
            row = self.frame.iloc[[0]].assign(group=group)
            cells = []
            for term, block in self.blocks.items():
                average = np.zeros((1, block.shape[1]))
                cells.append(self.columns(term, row) if term == 'group' else average)
            if level:
                name, value = level.split(' ', 1)
                here = row.assign(**{name: value})
                cells = [
                    self.columns(t, here) if set(t.split(':')) <= {'group', name} else c
                    for t, c in zip(self.blocks, cells, strict=True)
                ]
            total += weight * np.concatenate([[1.0], *(c[0] for c in cells)])
        return float(total @ self.b), float(self.sigma * np.sqrt(total @ self.inverse @ total))


def root(function, start: float) -> float:
    """Return where a monotone function crosses zero."""
    width = 1.0
    while function(start - width) * function(start + width) > 0:
        width *= 2
    return float(optimize.brentq(function, start - width, start + width, xtol=1e-12))


def f_numbers(f: float, df1: int, df2: float) -> Numbers:
    """Return F, p and partial eta squared; limits by noncentral F (Steiger 2004)."""

    def limit(tail: float) -> float:
        if stats.f.cdf(f, df1, df2) <= tail:
            return 0.0
        high = 1.0
        while stats.ncf.cdf(f, df1, df2, high) > tail:
            high *= 2
        found = optimize.brentq(lambda x: stats.ncf.cdf(f, df1, df2, x) - tail, 1e-12, high)
        return float(found / (found + df2))

    return {
        'value': f, 'df1': df1, 'df2': df2, 'p_unc': float(stats.f.sf(f, df1, df2)),
        'effect': f * df1 / (f * df1 + df2), 'ci_low': limit(0.95), 'ci_high': limit(0.05),
    }  # fmt: skip


def shrink(df: float) -> float:
    """Return Hedges' factor."""
    return float(np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def t_numbers(t: float, df: float, scale: float, name: str = 'effect') -> Numbers:
    """Return t, p and ``t * scale`` with limits by noncentral t."""
    low, high = (
        root(lambda ncp, q=q: stats.nct.cdf(t, df, ncp) - q, t) * scale for q in (0.975, 0.025)
    )
    return {'value': t, 'df2': df, 'p_unc': float(2 * stats.t.sf(abs(t), df)), name: t * scale,
            'ci_low': low, 'ci_high': high}  # fmt: skip


def r_numbers(t: float, df: float, level: float = 0.95) -> Numbers:
    """Return a partial correlation from its t, with Fisher's limits."""
    r = t / np.sqrt(t**2 + df)
    margin = stats.norm.ppf((1 + level) / 2) / np.sqrt(df - 1)
    return {'effect': r, 'ci_low': float(np.tanh(np.arctanh(r) - margin)),
            'ci_high': float(np.tanh(np.arctanh(r) + margin))}  # fmt: skip


def bayes_t(t: float, df: float, n: float, scale: float) -> float:
    """Return BF10 by integrating the noncentral t over the Cauchy prior of the effect."""

    def over(u: float) -> float:
        delta = np.tan(u) * scale
        density = stats.nct.pdf(t, df, delta * np.sqrt(n))
        return float(density / np.pi) if np.isfinite(density) else 0.0

    near = float(np.arctan(t / np.sqrt(n) / scale))
    half = np.pi / 2 - 1e-9
    area = sum(integrate.quad(over, a, b, limit=400)[0] for a, b in ((-half, near), (near, half)))
    return area / float(stats.t.pdf(t, df))


def bayes_r(r: float, df: float) -> float:
    """Return BF10 of a slope: Liang et al. 2008 with 1/g ~ gamma(1/2, n s^2 / 2), s sqrt(2)/4."""
    n = df + 2
    scale = n / 16

    def density(g: float) -> float:
        prior = np.sqrt(scale / np.pi) * g**-1.5 * np.exp(-scale / g)
        return (1 + g) ** ((n - 2) / 2) * (1 + (1 - r * r) * g) ** (-(n - 1) / 2) * prior

    parts = [
        (0.0, 1.0),
        (1.0, scale + 1),
        (scale + 1, 100 * scale + 100),
        (100 * scale + 100, np.inf),
    ]
    return float(sum(integrate.quad(density, a, b, limit=400)[0] for a, b in parts))


def hc3(fit: Fit) -> np.ndarray:
    """Return the covariance of MacKinnon and White."""
    hat = np.einsum('ij,jk,ik->i', fit.X, fit.inverse, fit.X)
    meat = (fit.X * ((fit.residuals / (1 - hat)) ** 2)[:, None]).T @ fit.X
    return fit.inverse @ meat @ fit.inverse


def pair_of(row: pd.Series) -> dict[str, float] | None:
    """Return the weights of a contrast, from its method or its two names."""
    if row['analysis'] == 'contrasts':
        told = row['method'].split(': ')[1].split(', ')
        return {name: float(w) for name, w in (part.rsplit(' ', 1) for part in told)}
    groups = list(counts(row['n_per_group']))
    for a, b in [(a, b) for a in groups for b in groups if a != b]:
        if row['contrast'] == f'{a} - {b}':
            return {a: 1.0, b: -1.0}
    return None


def from_fit(row: pd.Series, fit: Fit) -> Numbers | None:
    """Return the numbers of a row of a linear model; None for a kind that is not done here."""
    kind, term = row['analysis'], row['term']
    residuals = fit.residuals
    if row['effect_name'] == 'partial_correlation':
        return relation_absence(row, fit)
    if kind in ('ancova', 'mrs_ancova', 'interactions', 'group by site') or (
        kind == 'demographics' and row['statistic'] == 'F'
    ):
        return fit.term_f(term)
    if kind == 'relation':
        found = fit.term_f(term)
        if ':' not in term:
            at = fit.slices(term)[0]
            se = fit.sigma * np.sqrt(fit.inverse[at, at])
            r = r_numbers(fit.b[at] / se, fit.df)
            found |= {'slope': fit.b[at], 'slope_se': se, 'partial_r': r['effect'],
                      'partial_r_low': r['ci_low'], 'partial_r_high': r['ci_high']}  # fmt: skip
        return found
    if kind in ('clinical', 'partialcorr', 'partialcorr_within'):
        at = fit.slices(term)[0]
        t = fit.b[at] / (fit.sigma * np.sqrt(fit.inverse[at, at]))
        p = float(2 * stats.t.sf(abs(t), fit.df))
        return {'value': t, 'df2': fit.df, 'p_unc': p, **r_numbers(t, fit.df)}
    if kind == 'normality':
        w = stats.shapiro(residuals)
        return {'value': w.statistic, 'p_unc': w.pvalue}
    if kind == 'equal_variances':
        parts = [residuals[fit.frame[term] == v] for v in sorted(fit.frame[term].unique())]
        found = stats.levene(*parts, center='median')
        return {'value': found.statistic, 'p_unc': found.pvalue}
    if kind == 'hc3':
        return fit.wald(fit.slices(term), hc3(fit))
    if kind == 'influence':
        hat = np.einsum('ij,jk,ik->i', fit.X, fit.inverse, fit.X)
        p = fit.X.shape[1]
        cook = residuals**2 / (p * fit.sigma**2) * hat / (1 - hat) ** 2
        return {'cooks_max': cook.max(), 'n_influential': float((cook > 4 / len(cook)).sum())}
    return from_pair(row, fit)


def from_pair(row: pd.Series, fit: Fit) -> Numbers | None:
    """Return the numbers of a row that compares two groups."""
    kind, weights = row['analysis'], pair_of(row)
    if weights is None:
        return None
    if kind in ('posthoc', 'contrasts', 'mrs_adjusted'):
        estimate, se = fit.contrast(weights)
    elif kind == 'simple_effect' and ' minus ' not in row['term']:
        estimate, se = fit.contrast(weights, row['term'].removeprefix('group at '))
    elif kind in ('per site', 'pooled with site'):
        estimate, se = fit.contrast(weights)
        half, p = stats.t.ppf(0.975, fit.df) * se, 2 * stats.t.sf(abs(estimate / se), fit.df)
        return {
            'value': estimate / se, 'df2': fit.df, 'p_unc': p, 'se': se, 'effect': estimate,
            'ci_low': estimate - half, 'ci_high': estimate + half,
        }  # fmt: skip
    elif kind in ('posthoc_plain', 'mrs_t', 'mrs_welch', 'mrs_rank'):
        a, b = (fit.y[(fit.frame['group'] == g).to_numpy()] for g in weights)
        return two_samples(kind, a, b)
    elif kind in ('equivalence', 'bayes_factor'):
        return absence(row, *fit.contrast(weights), fit)
    else:
        return None
    scale = se / fit.sigma * shrink(fit.df)
    extra = {'estimate': estimate, 'se': se, 'sd_residual': fit.sigma}
    return t_numbers(estimate / se, fit.df, scale) | extra


def absence(row: pd.Series, estimate: float, se: float, fit: Fit) -> Numbers:
    """Return the equivalence test or the Bayes factor of a difference of adjusted means."""
    half = stats.t.ppf(0.95, fit.df) * se
    found = {'effect': estimate / fit.sigma, 'ci_low': (estimate - half) / fit.sigma,
             'ci_high': (estimate + half) / fit.sigma}  # fmt: skip
    if row['analysis'] == 'bayes_factor':
        value = bayes_t(estimate / se, fit.df, (fit.sigma / se) ** 2, np.sqrt(0.5))
        return found | {'value': value, 'bf01': 1 / value}
    bound = float(re.findall(r'against ([\d.]+) SD', row['method'])[0]) * fit.sigma
    value = (bound - abs(estimate)) / se
    return found | {'value': value, 'p_unc': float(stats.t.sf(value, fit.df))}


def two_samples(kind: str, a: np.ndarray, b: np.ndarray) -> Numbers:
    """Return t, Welch's t or U of two groups."""
    n, m = len(a), len(b)
    if kind == 'mrs_rank':
        found = stats.mannwhitneyu(a, b)
        return {'value': found.statistic, 'effect': 2 * found.statistic / (n * m) - 1}
    if kind == 'mrs_welch':
        found = stats.ttest_ind(a, b, equal_var=False)
        limits = found.confidence_interval()
        return {
            'value': found.statistic, 'df2': found.df, 'p_unc': found.pvalue,
            'effect': a.mean() - b.mean(), 'ci_low': limits.low, 'ci_high': limits.high,
        }  # fmt: skip
    found = stats.ttest_ind(a, b)
    factor = shrink(n + m - 2) if kind == 'posthoc_plain' else 1.0
    return t_numbers(found.statistic, n + m - 2, factor * np.sqrt(1 / n + 1 / m))


def relation_absence(row: pd.Series, fit: Fit) -> Numbers:
    """Return the equivalence test or the Bayes factor of a relation."""
    at = fit.slices(row['term'])[0]
    t = fit.b[at] / (fit.sigma * np.sqrt(fit.inverse[at, at]))
    found = r_numbers(t, fit.df, 0.9)
    if row['analysis'] == 'bayes_factor':
        value = bayes_r(found['effect'], fit.df)
        return found | {'value': value, 'bf01': 1 / value}
    bound = np.arctanh(float(re.findall(r'r = ([\d.]+)', row['method'])[0]))
    value = (bound - abs(np.arctanh(found['effect']))) * np.sqrt(fit.df - 1)
    return found | {'value': value, 'p_unc': float(stats.norm.sf(value))}


def common_effect(row: pd.Series, table: pd.DataFrame) -> Numbers | None:
    """Return the common effect of two cohorts, from the rows of each beside it."""
    if row['analysis'] != 'meta-analysis' or row['statistic'] != 'z':
        return None
    same = (table['response'] == row['response']) & (table['contrast'] == row['contrast'])
    sites = table[same & (table['analysis'] == 'per site')]
    sizes = [list(counts(cell).values()) for cell in sites['n_per_group']]
    inverse = np.array([1 / a + 1 / b for a, b in sizes])
    factor = np.array([shrink(df) for df in sites['df2']])
    g = factor * sites['value'].to_numpy(dtype=float) * np.sqrt(inverse)
    v = inverse + g**2 / (2 * sites['n'].to_numpy(dtype=float))
    mean, se = float((g / v).sum() / (1 / v).sum()), float((1 / v).sum() ** -0.5)
    q = float(((g - mean) ** 2 / v).sum())
    z = stats.norm.ppf(0.975)
    return {
        'value': mean / se, 'p_unc': 2 * stats.norm.sf(abs(mean / se)), 'effect': mean, 'q': q,
        'ci_low': mean - z * se, 'ci_high': mean + z * se, 'p_q': stats.chi2.sf(q, len(g) - 1),
    }  # fmt: skip


def corrected(table: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Yield the deviations of the corrected p of each family, made of its p."""
    for _, part in table[table['p_unc'].notna() & table['family'].notna()].groupby('family'):
        p = part['p_unc'].to_numpy(dtype=float)
        order, n = np.argsort(p), len(p)
        fdr = np.empty(n)
        ranked = p[order] * n / np.arange(1, n + 1)
        fdr[order] = np.minimum.accumulate(ranked[::-1])[::-1].clip(max=1)
        bonf = (p * n).clip(max=1)
        used = {'bh': fdr, 'bonferroni': bonf, 'none': p}
        for name, values in (('p_fdr', fdr), ('p_bonf', bonf),
                             ('p_corrected', used.get(part['correction'].iloc[0]))):  # fmt: skip
            if values is not None:
                yield name, deviation(part[name].to_numpy(dtype=float), values)
        yield 'family_size', float(np.abs(part['family_size'] - n).max()) * 1e5


def deviation(told: np.ndarray | float, found: np.ndarray | float) -> float:
    """Return the largest difference in units of what six printed digits leave."""
    told, found = np.atleast_1d(told).astype(float), np.atleast_1d(found).astype(float)
    return float(np.max(np.abs(told - found) / (DIGITS * np.abs(told) + 1e-12)))


def people_of(row: pd.Series, frame: pd.DataFrame, scheme: str) -> pd.DataFrame | None:
    """Return the people of a row, complete in what its formula names; None if n is another."""
    response, right = row['formula'].split(' ~ ')
    needed = {response} | {v for t in right.split(' + ') for v in t.strip().split(':')}
    for name in sorted(needed - set(frame.columns)):
        ending = f'__{scheme}__{name}__gated'
        same = [c for c in frame.columns if c.endswith(ending)]
        if len(same) != 1:
            return None
        frame = frame.assign(**{name: frame[same[0]]})
    if row['cohort'] != 'all' and 'cohort' in frame:
        frame = frame[frame['cohort'] == row['cohort']]
    groups = counts(row['n_per_group'])
    if groups:
        frame = frame[frame['group'].isin(groups)]
    if not pd.api.types.is_numeric_dtype(frame[response]):  # counts, as of sex by group
        return None
    frame = frame.dropna(subset=sorted(needed))
    return frame if len(frame) == row['n'] else None


def recompute(
    tables: dict[str, pd.DataFrame], frame: pd.DataFrame, scheme: str = 'water_tissue'
) -> pd.DataFrame:
    """Return, for each kind of row, how many were computed again and the largest deviation.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Tables of ``stats``, as they were written.
    frame : DataFrame
        The table of measures, with the columns ``group`` and ``cohort`` of the model.
    scheme : str
        Unit scheme of the metabolites.
    """
    records = []
    for name, table in tables.items():
        if 'analysis' not in table or 'formula' not in table:
            continue
        for _, row in table[table['value'].notna()].iterrows():
            kind = f'{name}: {row["analysis"]}, {row["statistic"]}'
            found = common_effect(row, table)
            if found is None and isinstance(row['formula'], str) and ' ~ ' in row['formula']:
                people = people_of(row, frame, scheme)
                found = None if people is None else from_fit(row, Fit(people, row['formula']))
            if found is None:
                records.append((kind, 0, np.nan, ''))
                continue
            told = {k: v for k, v in found.items() if k in row and pd.notna(row[k])}
            off = {k: deviation(row[k], v) for k, v in told.items()}
            worst = max(off, key=off.__getitem__)
            records.append((kind, 1, off[worst], worst))
        records += [(f'{name}: families, {what}', 1, off, what) for what, off in corrected(table)]
    table = pd.DataFrame(records, columns=['kind', 'done', 'deviation', 'column'])
    made = []
    for kind, part in table.groupby('kind', sort=False):
        some = part[part['done'] == 1]
        at = some['deviation'].idxmax() if len(some) else None
        made.append((kind, len(part), len(some), np.nan if at is None else some['deviation'][at],
                     '' if at is None else some['column'][at]))  # fmt: skip
    return pd.DataFrame(made, columns=['kind', 'rows', 'recomputed', 'deviation', 'column'])


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read all tables of a folder; ``n/a`` is missing."""
    return {p.stem: pd.read_csv(p, sep='\t', na_values='n/a', keep_default_na=False,
                                float_precision='round_trip', low_memory=False)
            for p in sorted(folder.glob('*.tsv'))}  # fmt: skip


def of_reference(
    folder: Path, parcels: str = '(thickness|md)_c[1-4]'
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Analyse the stored cohorts, write the tables and read them again; parcels by pattern."""
    from bids_acc.group.statistics.model.declaration import parse_model
    from bids_acc.group.statistics.run import run_statistics
    from bids_acc.group.statistics.tables import write_tables

    cohorts = [
        pd.read_csv(REFERENCE / f'cohort_{name}.tsv', sep='\t', na_values='n/a',
                    float_precision='round_trip') for name in ('tokyo', 'toronto')
    ]  # fmt: skip
    frame = pd.concat(cohorts, ignore_index=True)
    columns = [c for c in frame if re.fullmatch(parcels, str(c))]
    model = {
        'Name': 'again', 'Cohort': 'cohort', 'Interactions': ['sex'], 'Permutations': 0,
        'Group': {'Column': 'group', 'Levels': ['HC', 'FL-Resp', 'CLZ-Resp', 'TRS', 'URS']},
        'Covariates': [{'Name': 'age'}, {'Name': 'sex', 'Kind': 'categorical'}],
        'Responses': {'Columns': [*columns, 'Glx']}, 'Replication': {'Rule': 'none'},
        'Contrasts': [{'Name': 'responders - controls', 'Weights': {'FL-Resp': 1, 'HC': -1}}],
        'Evidence': {'SmallestDifference': 0.8, 'SmallestCorrelation': 0.3},
        'Clinical': {'Scores': ['panss_positive'], 'Responses': 'all'},
        'Mixture': {'Measures': []}, 'Demographics': {'Continuous': ['age']},
    }  # fmt: skip
    tables = run_statistics(parse_model(model), None, None, frame, None, np.random.default_rng(0))
    write_tables(tables, folder)
    return read_tables(folder), frame


def of_output(output_dir: Path, name: str) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, str]:
    """Read what the group level wrote."""
    folder = output_dir / 'group' / f'model-{name}'
    model = json.loads(next(folder.glob('*_smdl.json')).read_text('utf-8'))
    frame = read_tables(folder)['measures']
    frame = frame.rename(columns={model['Group']['Column']: 'group'})
    if model.get('Cohort'):
        frame = frame.rename(columns={model['Cohort']: 'cohort'})
    frame = frame[frame['group'].isin(model['Group']['Levels'])]
    return read_tables(folder / 'stats'), frame, model['Mrs'].get('UnitScheme', 'ratio_tcr')


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('output_dir', nargs='?', type=Path)
    parser.add_argument('model', nargs='?', default='acc-structure')
    parser.add_argument('--quick', action='store_true', help='the same: it is short')
    given = parser.parse_args()
    if given.output_dir is None:
        with tempfile.TemporaryDirectory() as folder:
            table = recompute(*of_reference(Path(folder)))
    else:
        table = recompute(*of_output(given.output_dir, given.model))
    with pd.option_context('display.width', 120, 'display.max_rows', None):
        print(table.to_string(index=False, float_format=lambda x: f'{x:.2g}'))


if __name__ == '__main__':
    main()
