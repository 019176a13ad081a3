"""Monte Carlo of the linear-combination fit: bias, scatter, bounds, coverage of intervals.

Rows B of the acceptance table, printed by ``mrs_fit.py``. Two kinds of truth: one person measured
again and again (*fixed*: every spectrum has the same levels, no metabolite has a shift or width of
its own), and another person each time (*drawn*: shifts, widths and the levels under soft ratios
come from the very priors of the fit). A bound or interval that counts those priors as unknown is
too wide for the former and should be right for the latter. The line shape simulated is the one
that the fit assumes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_acc.mrs import simulate
from bids_acc.mrs.basis import load_basis
from bids_acc.mrs.engines import builtin_result
from bids_acc.mrs.lcm import FitOptions, fit_spectrum
from bids_acc.mrs.lcm.options import RATIO_PRIORS
from bids_acc.mrs.macromolecules import birch_fid
from bids_acc.mrs.spectrum import Basis, Spectrum, to_spectrum

SHARED = (
    Path(os.environ.get('BIDS_ACC_SHARED', Path(__file__).resolve().parents[3] / 'shared'))
    / 'data'
)
CHALLENGE = SHARED / 'basis' / 'challenge_press3T_30ms.BASIS'
LEVELS = {
    'NAA': 11.0, 'NAAG': 1.2, 'Cr': 4.5, 'PCr': 3.8, 'GPC': 1.0, 'PCh': 0.6, 'Glu': 10.0,
    'Gln': 3.0, 'Ins': 6.0, 'Gly': 0.8, 'GABA': 1.2, 'GSH': 1.3, 'Asp': 2.0, 'Asc': 1.0,
    'Ala': 0.5, 'Glc': 1.0, 'Scyllo': 0.3, 'Lac': 0.6, 'PE': 1.7, 'Tau': 1.3, 'Mac': 10.0,
}  # fmt: skip
MAIN = {'Glu': 'Glu', 'Glx': 'Glx', 'tNAA': 'tNAA', 'tCho': 'tCho', 'mI': 'Ins', 'tCr': 'tCr'}
"""Targets of the acceptance table and their names in a result."""
MEMBERS = {
    'Glx': ('Glu', 'Gln'), 'tNAA': ('NAA', 'NAAG'), 'tCho': ('GPC', 'PCh'), 'tCr': ('Cr', 'PCr'),
}  # fmt: skip
LIMITS = (92.0, 98.0)

Row = tuple[str, str, str, str, bool | None]


def truth_basis() -> tuple[Basis, str]:
    """Basis set with macromolecules as one member, and where it comes from."""
    grid = Spectrum(np.ones(2048), 2.5e-4, 123.2, 0.030, sequence='press')
    if CHALLENGE.is_file():
        return load_basis(CHALLENGE, grid), 'challenge basis set'
    own = load_basis('simulate', grid, te1=0.011)
    fids = np.vstack([own.fids, birch_fid(2048, 2.5e-4, 123.2)])
    return replace(own, names=(*own.names, 'Mac'), fids=fids, mm_names=('Mac',)), 'simulated'


def without_mm(basis: Basis) -> Basis:
    """Basis set of the metabolites alone."""
    keep = [k for k, name in enumerate(basis.names) if name not in basis.mm_names]
    return replace(
        basis, names=tuple(basis.names[k] for k in keep), fids=basis.fids[keep], mm_names=()
    )


def moved(basis: Basis, rng: np.random.Generator) -> Basis:
    """Move and widen each member as the priors of the fit say."""
    options = FitOptions()
    time_axis = np.arange(basis.n_points) * basis.dwell_time
    count = len(basis.names)
    shift = rng.normal(0, options.shift_sd_ppm * basis.spectrometer_frequency, count)
    width = rng.normal(0, options.width_sd_hz, count)
    rates = 2j * np.pi * shift - np.pi * width
    return replace(basis, fids=basis.fids * np.exp(rates[:, None] * time_axis))


def drawn_levels(levels: Mapping[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Draw the levels under soft ratios from these, cut at zero; keep the others."""
    found = dict(levels)
    for prior in RATIO_PRIORS:
        (name,) = prior.numerator
        if name in found:
            size = sum(weight * levels.get(other, 0.0) for other, weight in prior.denominator)
            value = -1.0
            while value < 0:
                value = rng.normal(prior.mean, prior.sd) * size
            found[name] = value
    return found


def realisations(
    basis: Basis, snr: float, count: int, seed: int, *, drawn: bool = False
) -> Iterator[tuple[Spectrum, dict[str, float]]]:
    """Spectra and their content; signal-to-noise ratio as LCModel defines it."""
    fixed = {name: value for name, value in LEVELS.items() if name in basis.names}
    shape = {'lorentz_hz': 3.0, 'gauss_hz': 4.0}
    clean = simulate.synthetic_fid(basis, fixed, **shape)
    window = np.abs(np.linspace(0, 1, 2 * basis.n_points) - 0.5) < 0.1
    highest = np.abs(to_spectrum(clean, 2 * basis.n_points).real[window]).max()
    noise = highest / (2 * snr * np.sqrt(basis.n_points))
    for child in np.random.SeedSequence(seed).spawn(count):
        rng = np.random.default_rng(child)
        levels = drawn_levels(fixed, rng) if drawn else fixed
        fid = simulate.synthetic_fid(
            moved(basis, rng) if drawn else basis, levels, **shape,
            phase=rng.uniform(-0.6, 0.6), shift_hz=rng.uniform(-2, 2), noise_sd=float(noise),
            rng=rng,
        )  # fmt: skip
        yield Spectrum(fid, basis.dwell_time, basis.spectrometer_frequency, 0.03), levels


@dataclass(frozen=True)
class Figures:
    """What became of one metabolite; percentages of the mean truth."""

    bias: float
    sd: float
    per_bound: float
    """Root mean square error over root mean square Cramer-Rao bound."""
    per_sd: float
    """The same over the standard deviation that the tables hold."""
    cover: float
    """Of value +- 1.96 SD."""
    cover_ratio: float
    """The same for the ratio to tCr; NaN for tCr itself."""
    cover_bound: float
    """Of value +- 1.96 bounds."""


def amount(levels: Mapping[str, float], name: str) -> float:
    """True amount of a metabolite or sum."""
    return sum(levels[member] for member in MEMBERS.get(name, (name,)) if member in levels)


def figures(basis: Basis, snr: float, count: int, *, drawn: bool = False) -> dict[str, Figures]:
    """Fit many spectra; figures of the main targets, then of the other metabolites."""
    options = FitOptions(baseline_sensitivity=False)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for spectrum, levels in realisations(basis, snr, count, int(snr), drawn=drawn):
        result = builtin_result(fit_spectrum(spectrum, basis, options))
        for name in result.metabolites():
            value, bound = result.amount(name)
            ratio, true = result.ratio(name, 'tCr')[0], amount(levels, name)
            rows.setdefault(name, []).append((
                value, true, bound, result.amount_sd(name), ratio,
                true / amount(levels, 'tCr'), result.ratio_sd(name, 'tCr'),
            ))  # fmt: skip
    return {name: _figures(np.array(values)) for name, values in rows.items()}


def _figures(values: np.ndarray) -> Figures:
    """Sum up amounts, truths, bounds, SDs, and the same for ratios."""
    value, true, bound, sd, ratio, true_ratio, ratio_sd = values.T
    error = value - true
    off = float(np.std(error, ddof=1))
    return Figures(
        bias=100 * float(error.mean() / true.mean()),
        sd=100 * off / float(true.mean()),
        per_bound=off / float(np.sqrt(np.mean(bound**2))),
        per_sd=off / float(np.sqrt(np.mean(sd**2))),
        cover=100 * float(np.mean(np.abs(error) < 1.96 * sd)),
        cover_ratio=100 * float(np.mean(np.abs(ratio - true_ratio) < 1.96 * ratio_sd))
        if np.any(ratio_sd > 0)
        else float('nan'),
        cover_bound=100 * float(np.mean(np.abs(error) < 1.96 * bound)),
    )


def known_macromolecules(quick: bool) -> Iterator[Row]:
    """Rows B1 to B3 and B5."""
    basis, _ = truth_basis()
    count = 40 if quick else 400
    tables: dict[tuple[int, bool], dict[str, Figures]] = {}
    for snr, drawn in ((40, False), (20, False), (10, False), (40, True), (20, True)):
        start = time.process_time()
        size = count // 2 if snr == 10 else count
        tables[snr, drawn] = figures(basis, snr, size, drawn=drawn)
        used, kind = time.process_time() - start, 'drawn' if drawn else 'fixed'
        print(f'     S/N {snr}, {kind} truth, n {size}, {used:.0f} CPU s: bias %, SD %, SD over')
        print(
            '     bound and over value_sd, coverage % of value, of ratio, of value +- 1.96 bounds'
        )
        for name, f in tables[snr, drawn].items():
            covered = f'{f.cover:6.1f} {f.cover_ratio:6.1f} {f.cover_bound:6.1f}'
            spread = f'{f.sd:6.1f} {f.per_bound:5.2f} {f.per_sd:5.2f}'
            print(f'       {name:6s} {f.bias:+6.1f} {spread} {covered}')
    main = {key: [tables[key][name] for name in MAIN.values()] for key in tables}
    fixed, other = ([*main[40, drawn], *main[20, drawn]] for drawn in (False, True))
    bias = max(abs(f.bias) for f in fixed)
    text = f'MC n={count}, MM known, S/N 40 and 20: largest bias'
    yield 'B1', text, '<= 3 %', f'{bias:.1f} %', bias <= 3
    for key, text, values in (
        ('B2', 'same: empirical SD / bound', [f.per_bound for f in fixed]),
        ('B2*', 'same, truth drawn from the priors', [f.per_bound for f in other]),
        ('B2*', 'same, fixed truth: empirical SD / value_sd', [f.per_sd for f in fixed]),
        ('B2*', 'same, drawn truth: empirical SD / value_sd', [f.per_sd for f in other]),
    ):
        low, high = min(values), max(values)
        figure = f'{low:.2f}-{high:.2f} (each +-{1 / np.sqrt(2 * (count - 1)):.2f}, 1 SE)'
        yield key, text, '0.85-1.15', figure, 0.85 <= low <= high <= 1.15
    glu = tables[10, False]['Glu']
    met = abs(glu.bias) <= 5 and 0.8 <= glu.per_bound <= 1.2
    figure = f'{glu.bias:+.1f} %, {glu.per_bound:.2f}'
    yield 'B3', 'S/N 10: Glu bias, SD / bound', '<= 5 %, 0.8-1.2', figure, met
    yield from coverage(tables)


def coverage(tables: Mapping[tuple[int, bool], Mapping[str, Figures]]) -> Iterator[Row]:
    """Rows B5: each metabolite by itself, at both S/N, for fixed and drawn truth."""
    for drawn in (False, True):
        kind = 'truth from the priors' if drawn else 'fixed truth'
        main, others = [], {}
        for snr in (40, 20):
            for name, f in tables[snr, drawn].items():
                both = [c for c in (f.cover, f.cover_ratio) if np.isfinite(c)]
                if name in MAIN.values():
                    main += both
                else:
                    others[f'{name} {snr}'] = both
        text = f'coverage of 95 % intervals, S/N 40 and 20, {kind}: 6 main, singly'
        figure = f'{min(main):.1f}-{max(main):.1f} %'
        yield 'B5', text, '92-98 %', figure, LIMITS[0] <= min(main) <= max(main) <= LIMITS[1]
        mean = float(np.mean(main))
        text = f'same, {kind}: mean over the 6 main'
        yield 'B5', text, '92-98 %', f'{mean:.1f} %', LIMITS[0] <= mean <= LIMITS[1]
        flat = np.array([c for both in others.values() for c in both])
        beyond = [k for k, c in others.items() if min(c) < LIMITS[0] or max(c) > LIMITS[1]]
        figure = (
            f'{flat.min():.1f}-{flat.max():.1f} % (mean {flat.mean():.1f}); {len(beyond)} of '
            f'{len(others)} beyond: {", ".join(beyond) or "none"}'
        )
        text = f'same, {kind}: all other metabolites, singly'
        yield 'B5', text, '92-98 %', figure, not beyond


def unknown_macromolecules(quick: bool) -> Iterator[Row]:
    """Row B4: the fit has no macromolecule spectrum, only its own lines and baseline."""
    basis, source = truth_basis()
    fitted, options = without_mm(basis), FitOptions(baseline_sensitivity=False)
    count = 6 if quick else 24
    fits = [
        builtin_result(fit_spectrum(spectrum, fitted, options))
        for spectrum, _ in realisations(basis, 40, count, 99)
    ]
    bias = {}
    for key in ('Glu', 'tNAA', 'tCho', 'mI'):
        true = amount(LEVELS, MAIN[key]) / amount(LEVELS, 'tCr')
        ratios = [fit.ratio(MAIN[key], 'tCr')[0] for fit in fits]
        bias[key] = 100 * (float(np.mean(ratios)) / true - 1)
    met = abs(bias['Glu']) <= 20 and abs(bias['tNAA']) <= 8 and abs(bias['tCho']) <= 8
    figure = ', '.join(f'{key} {value:+.1f}' for key, value in bias.items()) + ' %'
    text = f'MC n={count}, MM unknown ({source}), S/N 40: bias of X/tCr'
    yield 'B4', text, 'Glu <= 20, tNAA, tCho <= 8 %', figure, met


if __name__ == '__main__':
    for section in (known_macromolecules, unknown_macromolecules):
        for found in section('--quick' in sys.argv):
            print(' | '.join(str(part) for part in found))
