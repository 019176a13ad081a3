"""Connectivity over people, without images: ``python tests/benchmarks/func_people.py [--quick]``.

People are simulated without images: series of the demo's regions, and on top of them, smooth in
space, what six motion parameters with their derivatives and squares, spin history and breathing
add; voxels of white matter and CSF hold the same without the regions. What follows is the
package's: noise components, strategies, cleaning, Fisher's z, markers, the design of the groups.
Prints the share of edges that are tied to motion (QC-FC) by strategy, how often the 95 % interval
holds the planted difference, and the rate of false positives. ``--quick`` takes fewer people.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

import numpy as np
import pandas as pd
from scipy import stats

from bids_acc.demo.networks import (
    DMN,
    SGACC,
    STEP_S,
    Regions,
    band_noise,
    draw_series,
    regions,
)
from bids_acc.func import confounds as noise
from bids_acc.func.connectivity import correlations, degrees_of_freedom, fisher_z, standardised
from bids_acc.func.denoising import Confounds, censored, choose_regressors, make_cleaning
from bids_acc.func.motion import rigid_matrix
from bids_acc.func.networks import markers
from bids_acc.group.formulas.design import build_design
from bids_acc.group.formulas.linear import anova, contrast_test, fit_ols
from bids_acc.group.formulas.motion_relation import motion_relation
from bids_acc.images.motion import framewise_displacement

SEED = 20261130
TR, N_VOLUMES, BAND = 2.0, 200, (0.01, 0.1)
N_COMPONENTS = 10
"""Noise components of each tissue that the table holds; strategies take five."""
N_WM, N_CSF = 300, 200
"""Voxels of the pools of noise."""
WHITE = 1.0
"""Standard deviation of a region's thermal noise, as a share of its activity's."""
ARTEFACT = 1.5
"""The same of what motion adds, in somebody with a mean displacement of .3 mm."""
LEAST_KEPT = 120
"""Volumes that must be left (4 min), or somebody is not measured."""
GATE_FD_MM = 0.5
"""Largest mean framewise displacement that the gate `rest` lets pass."""
CENSORED = ', censored at .5 mm'
STRATEGIES = ('none', 'simple', '36p', 'compcor24', 'compcor', f'compcor{CENSORED}')
GROUPS = {'HC': 0.6, 'responder': 0.6, 'resistant': 0.35}
"""Coupling of the subgenual cingulate with the default-mode network."""


def report(label: str, value: object) -> None:
    """Print one line."""
    print(f'  {label:<66} {value}', flush=True)


@dataclass(frozen=True)
class Person:
    """What one simulated person gave."""

    edges: np.ndarray
    """(n_edges,) Fisher's z."""
    marker: float
    """Subgenual cingulate with the default-mode network."""
    motion: float
    """Mean framewise displacement, mm."""
    dof: float


def smooth_weights(places: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw weights that vary over some 40 mm, (n_places, n), standard deviation one."""
    waves = rng.standard_normal((3, 40)) / 40
    phase = rng.uniform(0, 2 * np.pi, 40)
    return np.cos(places @ waves + phase) @ rng.standard_normal((40, n)) / np.sqrt(20)


def draw_path(rng: np.random.Generator) -> np.ndarray:
    """Draw translations (mm) and rotations (rad) of somebody who is calm, or is not."""
    size = 0.06 * np.exp(0.6 * rng.standard_normal())
    path = np.cumsum(size * rng.standard_normal((N_VOLUMES, 6)), axis=0)
    path -= 0.05 * np.cumsum(path, axis=0)
    for volume in rng.choice(N_VOLUMES - 2, rng.poisson(8 * size / 0.06), replace=True):
        path[volume : volume + 2] += 8 * size * rng.standard_normal(6)
    path[:, 3:] /= 50
    return path


def noise_table(path: np.ndarray, pools: dict[str, np.ndarray]) -> tuple[Confounds, np.ndarray]:
    """Make the table of confounds of a run by the package's own functions."""
    moved = framewise_displacement([rigid_matrix(row, np.zeros(3)) for row in path], np.zeros(3))
    drift = noise.cosines(N_VOLUMES, TR)
    means = {'white_matter': pools['WM'].mean(axis=1), 'csf': pools['CSF'].mean(axis=1),
             'global_signal': np.hstack(list(pools.values())).mean(axis=1)}  # fmt: skip
    columns = {**noise.expand(means), **noise.expand(dict(zip(noise.MOTION, path.T, strict=True))),
               'framewise_displacement': moved, **noise.numbered('cosine', drift)}  # fmt: skip
    about: dict[str, dict[str, object]] = {}
    for mask in ('CSF', 'WM'):
        found = noise.noise_components(pools[mask].T, drift)
        names = noise.numbered('a_comp_cor_', found.series, len(about))
        # what the strategies do not take need not be written
        for number, (name, values) in enumerate(list(names.items())[:N_COMPONENTS]):
            columns[name] = values
            about[name] = {
                'Mask': mask, 'Method': 'aCompCor', 'Retained': True,
                'SingularValue': float(found.singular_values[number]),
                'VarianceExplained': float(found.explained[number]),
                'CumulativeVarianceExplained': float(found.explained[: number + 1].sum()),
            }  # fmt: skip
    return Confounds(pd.DataFrame(columns), about, Path('confounds.tsv')), moved


def simulate(
    coupling: float, rng: np.random.Generator, path: np.ndarray | None = None,
    where: Regions | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Draw the series of regions and of the pools of noise, and the head's path unless given."""
    where = where or regions()
    places = np.vstack([where.centres, rng.uniform(-60, 60, (N_WM + N_CSF, 3))])
    times = TR * np.arange(N_VOLUMES) + TR / 2
    path = draw_path(rng) if path is None else path
    moved = np.abs(np.diff(path * [1, 1, 1, 50, 50, 50], axis=0, prepend=path[:1])).sum(axis=1)
    terms = np.column_stack(list(noise.expand(dict(zip('abcdef', path.T, strict=True))).values()))
    terms = np.nan_to_num(terms) * np.tile([1, 1, 1, 50, 50, 50], 4)
    # where motion shows is much the same in all people: the same waves, and some of their own
    n_terms = terms.shape[1] + 1
    spread = 0.8 * smooth_weights(places, n_terms, np.random.default_rng((SEED, 9)))
    spread += 0.6 * smooth_weights(places, n_terms, rng)
    size = ARTEFACT / 0.3
    artefact = size * (terms @ spread[:, :-1].T * 0.15 - 0.5 * np.outer(moved, 1 + spread[:, -1]))
    seconds = N_VOLUMES * TR
    breath = band_noise((1, int(seconds / STEP_S)), rng)[0, :: int(TR / STEP_S)]
    values = artefact + 0.5 * np.outer(breath, 1 + 0.3 * smooth_weights(places, 1, rng)[:, 0])
    values += WHITE * rng.standard_normal(values.shape)
    n = len(where.centres)
    values[:, :n] += draw_series(where, seconds, coupling, rng).at(times).T
    return {'regions': values[:, :n], 'WM': values[:, n : n + N_WM], 'CSF': values[:, n + N_WM :],
            'path': path}  # fmt: skip


def of_marker() -> Regions:
    """Return the regions of which the marker is made: subgenual cingulate and default mode."""
    where = regions()
    kept = np.isin(where.networks, [SGACC, DMN])
    return Regions(where.centres[kept], tuple(np.array(where.networks)[kept]))


def measure(
    run: dict[str, np.ndarray], strategy: str, where: Regions | None = None
) -> Person | None:
    """Clean a person's series and summarise their correlations; None where too few are left."""
    table, moved = noise_table(run['path'], {k: run[k] for k in ('WM', 'CSF')})
    cosines = table.table.filter(regex='^cosine')
    named = strategy.removesuffix(CENSORED)
    regressors = cosines if named == 'none' else choose_regressors(table, named)
    kept = censored(moved, None if named == strategy else GATE_FD_MM)
    if kept.sum() < LEAST_KEPT:
        return None
    cleaning = make_cleaning(regressors, cosines, kept, TR, BAND)
    series = standardised(cleaning.filtered @ run['regions'])
    where = where or regions()
    sides = where.members(SGACC)
    # both sides of the subgenual cingulate are one seed
    seed = standardised(series[:, sides].mean(axis=1, keepdims=True))
    rest = np.setdiff1d(np.arange(series.shape[1]), sides)
    z = fisher_z(correlations(series[:, rest], series[:, rest]))
    joined = np.hstack([seed, series[:, rest]])
    names = [SGACC, *(f'region{k}' for k in rest)]
    networks = ['', *(where.networks[k] for k in rest)]
    centres = np.vstack([np.full(3, np.nan), where.centres[rest]])
    found = markers(fisher_z(correlations(joined, joined)), names, networks, centres)
    value = next(m.value for m in found if m.name == 'sgACC_DMN')
    dof = degrees_of_freedom(int(kept.sum()), cleaning.n_regressors, BAND, TR)
    return Person(z[np.triu_indices(len(rest), 1)], value, float(np.nanmean(moved)), dof)


def distances() -> np.ndarray:
    """Return the distance of the regions of each edge."""
    where = regions()
    centres = where.centres[np.setdiff1d(np.arange(len(where.networks)), where.members(SGACC))]
    upper = np.triu_indices(len(centres), 1)
    return np.linalg.norm(centres[upper[0]] - centres[upper[1]], axis=1)


def section_motion(quick: bool) -> None:
    """Edges that are tied to mean framewise displacement, in cohorts without differences.

    Each cohort has as many people as are drawn, and as many who pass the gate `rest` (mean
    displacement up to `GATE_FD_MM`), which are those that the group level compares.
    """
    n_cohorts, n_people = (1, 12) if quick else (2, 20)
    far, planted = distances(), planted_edges()
    for label, limit in (('everybody', np.inf), ('who pass the gate', GATE_FD_MM)):
        shares: dict[str, list[tuple[float, ...]]] = {name: [] for name in STRATEGIES}
        motion: list[float] = []
        for cohort in range(n_cohorts):
            runs = drawn_people(n_people, limit, np.random.default_rng((SEED, 1, cohort)))
            for strategy in STRATEGIES:
                people = [p for p in (measure(run, strategy) for run in runs) if p is not None]
                found = motion_relation(np.stack([p.edges for p in people]),
                                        [p.motion for p in people], far)  # fmt: skip
                alike = [np.corrcoef(p.edges, planted)[0, 1] for p in people]
                dof = np.mean([p.dof for p in people])
                one = (found.share, found.distance, np.mean(alike), dof, len(people))
                shares[strategy].append(one)
                if strategy == 'none':
                    motion += [p.motion for p in people]
        report(f'{label}: mean framewise displacement, mm: least, median, most',
               f'{min(motion):.2f}, {np.median(motion):.2f}, {max(motion):.2f}')  # fmt: skip
        for strategy, each in shares.items():
            share, slope, alike, dof, n = np.mean(each, axis=0)
            lowest, highest = (f(one[0] for one in each) for f in (min, max))
            report(f'{label}, {strategy}: edges tied to motion; with distance; r; dof; people',
                   f'{share:.1%} ({lowest:.1%} to {highest:.1%}); {slope:+.2f}; {alike:.3f}; '
                   f'{dof:.0f}; {n:.0f}')  # fmt: skip


def planted_edges() -> np.ndarray:
    """Return the planted correlation of each edge, up to a factor: networks are within alike."""
    where = regions()
    kept = np.setdiff1d(np.arange(len(where.networks)), where.members(SGACC))
    names = np.array(where.networks)[kept]
    return (names[:, None] == names)[np.triu_indices(len(kept), 1)].astype(float)


def drawn_people(n: int, limit: float, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Draw people until as many move no more than a limit as are wanted."""
    runs: list[dict[str, np.ndarray]] = []
    while len(runs) < n:
        path = draw_path(rng)
        matrices = [rigid_matrix(row, np.zeros(3)) for row in path]
        if np.nanmean(framewise_displacement(matrices, np.zeros(3))) <= limit:
            runs.append(simulate(0.6, rng, path))
    return runs


def section_groups(quick: bool) -> None:
    """A planted difference of the subgenual cingulate, and motion that differs as well.

    Twenty cohorts of three groups of six: how often a 95 % interval holds the truth does not
    depend on the number of people, what it costs to know does. Each cohort is printed.
    """
    n_cohorts, n_each = (3, 4) if quick else (20, 6)
    truth, where = planted_difference(), of_marker()
    inside, gaps, widths = [], [], []
    for cohort in range(n_cohorts):
        rng = np.random.default_rng((SEED, 2, cohort))
        people, rows = [], []
        for group, coupling in GROUPS.items():
            for _ in range(n_each):
                one = measure(simulate(coupling, rng, where=where), 'compcor', where)
                if one is None:
                    continue
                people.append(one)
                rows.append({'group': group, 'fd': people[-1].motion})
        frame = pd.DataFrame(rows)
        low, high, _, estimate = interval(frame, np.array([one.marker for one in people]))
        inside.append(low <= truth <= high)
        gaps.append(estimate)
        widths.append(high - low)
        report(f'cohort {cohort + 1}: {estimate:+.3f} ({low:+.3f} to {high:+.3f})', inside[-1])
    report('resistant - controls, sgACC with DMN: planted; mean found (sd); width of intervals',
           f'{truth:+.3f}; {np.mean(gaps):+.3f} ({np.std(gaps):.3f}); {np.mean(widths):.3f}',
           )  # fmt: skip
    report('cohorts whose 95 % interval holds it', f'{sum(inside)} of {n_cohorts}')


def planted_difference() -> float:
    """Return the difference of Fisher's z in the population, thermal noise in the band included.

    Each region shares its network's series by the root of .5; the subgenual cingulate is the mean
    of two regions with one series; in the band lies `band_share` of the white noise.
    """
    share = (min(BAND[1], 1 / (2 * TR)) - BAND[0]) * 2 * TR
    one = 1 / np.sqrt(1 + share * WHITE**2)
    both = 1 / np.sqrt(1 + share * WHITE**2 / 2)
    z = {g: np.arctanh(c * np.sqrt(0.5) * one * both) for g, c in GROUPS.items()}
    return float(z['resistant'] - z['HC'])


def interval(frame: pd.DataFrame, response: np.ndarray) -> tuple[float, float, float, float]:
    """Return the 95 % interval of the adjusted difference, its p and itself."""
    design = build_design(frame, ['group', 'fd'], {'group': list(GROUPS)}, keep=['group'])
    fit = fit_ols(design.X, response)
    pair = design.level_weights('group', 'resistant') - design.level_weights('group', 'HC')
    test = contrast_test(fit, pair)
    half = stats.t.ppf(0.975, test.df) * test.se
    return test.estimate - half, test.estimate + half, test.p, test.estimate


def section_errors(quick: bool) -> None:
    """False positives where groups differ in motion and motion is in connectivity."""
    n_cohorts = 300 if quick else 2000
    rng = np.random.default_rng((SEED, 3))
    hits = {'mean FD as a covariate': [], 'without it': []}
    group = np.repeat(list(GROUPS), 20)
    for _ in range(n_cohorts):
        motion = rng.gamma(4, 0.05, 60) + 0.06 * (group == 'resistant')
        response = rng.standard_normal(60) + 4 * motion
        frame = pd.DataFrame({'group': group, 'fd': motion})
        for name, terms in (('mean FD as a covariate', ['group', 'fd']),
                            ('without it', ['group'])):  # fmt: skip
            design = build_design(frame, terms, {'group': list(GROUPS)}, keep=['group'])
            tests = anova(design.X, response, design.terms, 'II')
            hits[name].append(next(t.p for t in tests if t.term == 'group') < 0.05)
    for name, each in hits.items():
        report(f'false positives of the group, {name}, %', f'{100 * np.mean(each):.1f}')


SECTIONS = {'motion': section_motion, 'groups': section_groups, 'errors': section_errors}


def main() -> None:
    """Run the sections that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='fewer people')
    parser.add_argument('--only', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    args = parser.parse_args()
    for name in args.only:
        print(name)
        started = time.process_time()
        SECTIONS[name](args.quick)
        report('(CPU s)', f'{time.process_time() - started:.0f}')


if __name__ == '__main__':
    main()
