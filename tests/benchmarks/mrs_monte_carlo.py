"""Monte Carlo of the linear-combination fit: bias, scatter, bounds, coverage of intervals.

Rows B of the acceptance table, printed by ``mrs_fit.py``. Two kinds of truth: one person measured
again and again (*fixed*: every spectrum has the same levels, no metabolite has a shift or width of
its own), and another person each time (*drawn*: shifts, widths and the levels under soft ratios
come from the very priors of the fit). A third has levels that no soft ratio expects (*unusual*:
absent, or two to three times as high). The interval that the tables hold should be right for all
of them; the value plus and minus 1.96 ``value_sd`` is printed beside it. The line shape simulated
is the one that the fit assumes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_acc.mrs.basis import simulate
from bids_acc.mrs.basis.basis_set import load_basis
from bids_acc.mrs.basis.macromolecules import birch_fid
from bids_acc.mrs.engines.builtin import builtin_result
from bids_acc.mrs.lcm import FitOptions, fit_spectrum
from bids_acc.mrs.lcm.options import RATIO_PRIORS
from bids_acc.mrs.levels.quantify import quantify
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
UNUSUAL = LEVELS | {'Asp': 4.0, 'GABA': 0.0, 'Glc': 3.0, 'Gly': 0.0, 'Scyllo': 0.0, 'Tau': 3.0}
"""Levels that soft ratios pull away from, and some at the bound of the amplitudes."""
MAIN = {'Glu': 'Glu', 'Glx': 'Glx', 'tNAA': 'tNAA', 'tCho': 'tCho', 'mI': 'Ins', 'tCr': 'tCr'}
"""Targets of the acceptance table and their names in a result."""
MEMBERS = {
    'Glx': ('Glu', 'Gln'), 'tNAA': ('NAA', 'NAAG'), 'tCho': ('GPC', 'PCh'), 'tCr': ('Cr', 'PCr'),
}  # fmt: skip
LIMITS = (92.0, 98.0)
TRUTHS = {
    'fixed': 'fixed truth',
    'drawn': 'truth from the priors',
    'unusual': 'unusual levels, fixed',
}
SIZES = {
    ('fixed', 40): 1000, ('fixed', 20): 1000, ('fixed', 80): 800, ('fixed', 10): 200,
    ('drawn', 40): 1000, ('drawn', 20): 2500, ('drawn', 80): 800, ('unusual', 20): 1000,
}  # fmt: skip
"""Spectra of each truth and signal-to-noise ratio; coverage is asked for at 20 and above."""
QUICK_SIZES = {key: max(n // 25, 20) for key, n in SIZES.items()} | {('fixed', 10): 100}
"""The same for ``--quick``. Row B3 has a limit on a scatter, of which 20 spectra tell 16 % (1 SE)
and 100 tell 7 %."""

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
    basis: Basis, snr: float, count: int, seed: int, *, truth: str = 'fixed'
) -> Iterator[tuple[Spectrum, dict[str, float]]]:
    """Spectra and their content; signal-to-noise ratio as LCModel defines it."""
    middle = UNUSUAL if truth == 'unusual' else LEVELS
    fixed = {name: value for name, value in middle.items() if name in basis.names}
    drawn = truth == 'drawn'
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
    """What became of one metabolite; percentages of the mean truth, or of the spectra."""

    bias: float
    sd: float
    per_bound: float
    """Root mean square error over root mean square Cramer-Rao bound."""
    per_sd: float
    """The same over the standard deviation that the tables hold."""
    cover: float
    """Of the interval of the level."""
    cover_ratio: float
    """Of the interval of the ratio to tCr; NaN for tCr itself."""
    cover_sd: float
    """Of value +- 1.96 SD."""
    width: float
    """Median width of the interval over that of value +- 1.96 SD."""

    @property
    def covers(self) -> list[float]:
        """Both coverages of the intervals that the tables hold."""
        return [cover for cover in (self.cover, self.cover_ratio) if np.isfinite(cover)]


def amount(levels: Mapping[str, float], name: str) -> float:
    """True amount of a metabolite or sum."""
    return sum(levels[member] for member in MEMBERS.get(name, (name,)) if member in levels)


def figures(basis: Basis, snr: float, count: int, *, truth: str = 'fixed') -> dict[str, Figures]:
    """Fit many spectra; figures of the metabolites, then of the sums."""
    options = FitOptions(baseline_sensitivity=False)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for spectrum, levels in realisations(basis, snr, count, int(snr), truth=truth):
        found = quantify(builtin_result(fit_spectrum(spectrum, basis, options)), None)
        table = {(level.metabolite, level.unit_scheme): level for level in found}
        for name in (name for name, scheme in table if scheme == 'engine'):
            level, ratio = table[name, 'engine'], table[name, 'ratio_tcr']
            true = amount(levels, name)
            rows.setdefault(name, []).append((
                level.value, true, level.value_crlb, level.value_sd, level.ci_low, level.ci_high,
                true / amount(levels, 'tCr'), ratio.ci_low, ratio.ci_high,
            ))  # fmt: skip
    return {name: _figures(np.array(values), name) for name, values in rows.items()}


def _figures(values: np.ndarray, name: str) -> Figures:
    """Sum up values, truths, bounds, SDs and intervals, and the same for ratios."""
    value, true, bound, sd, low, high, ratio, ratio_low, ratio_high = values.T
    error = value - true
    off = float(np.std(error, ddof=1))
    per_cent = 100 / float(true.mean()) if true.any() else float('nan')
    held = (low <= true) & (true <= high)
    held_ratio = (ratio_low <= ratio) & (ratio <= ratio_high)
    return Figures(
        bias=per_cent * float(error.mean()),
        sd=per_cent * off,
        per_bound=off / float(np.sqrt(np.mean(bound**2))),
        per_sd=off / float(np.sqrt(np.mean(sd**2))),
        cover=100 * float(np.mean(held)),
        cover_ratio=float('nan') if name == 'tCr' else 100 * float(np.mean(held_ratio)),
        cover_sd=100 * float(np.mean(np.abs(error) < 1.96 * sd)),
        width=float(np.median((high - low) / (2 * 1.96 * sd))),
    )


def known_macromolecules(quick: bool) -> Iterator[Row]:
    """Rows B1 to B3 and B5."""
    basis, _ = truth_basis()
    sizes = QUICK_SIZES if quick else SIZES
    tables: dict[tuple[str, int], dict[str, Figures]] = {}
    for (truth, snr), size in sizes.items():
        start = time.process_time()
        tables[truth, snr] = figures(basis, snr, size, truth=truth)
        used = time.process_time() - start
        print(
            f'     S/N {snr}, {TRUTHS[truth]}, n {size}, {used:.0f} CPU s: bias %, SD %, SD over'
        )
        print('     bound and over value_sd; coverage % of the interval of level and of ratio;')
        print('     coverage of value +- 1.96 value_sd, width of the interval over that of it')
        for name, f in tables[truth, snr].items():
            covered = f'{f.cover:6.1f} {f.cover_ratio:6.1f}  {f.cover_sd:6.1f} {f.width:5.2f}'
            spread = f'{f.sd:6.1f} {f.per_bound:5.2f} {f.per_sd:5.2f}'
            print(f'       {name:6s} {f.bias:+6.1f} {spread} {covered}', flush=True)
    yield from estimates(tables, sizes['fixed', 20])
    for truth, text in TRUTHS.items():
        asked = [snr for kind, snr in sorted(tables, reverse=True) if kind == truth and snr >= 20]
        yield from coverage({snr: tables[truth, snr] for snr in asked}, text)


def estimates(tables: Mapping[tuple[str, int], Mapping[str, Figures]], n: int) -> Iterator[Row]:
    """Rows B1 to B3: bias, and scatter over bound and over ``value_sd``."""
    main = {key: [tables[key][name] for name in MAIN.values()] for key in tables}
    fixed, other = ([*main[truth, 40], *main[truth, 20]] for truth in ('fixed', 'drawn'))
    bias = max(abs(f.bias) for f in fixed)
    text = f'MC n={n}, MM known, S/N 40 and 20: largest bias'
    yield 'B1', text, '<= 3 %', f'{bias:.1f} %', bias <= 3
    for key, text, values in (
        ('B2', 'same: empirical SD / bound', [f.per_bound for f in fixed]),
        ('B2*', 'same, truth drawn from the priors', [f.per_bound for f in other]),
        ('B2*', 'same, fixed truth: empirical SD / value_sd', [f.per_sd for f in fixed]),
        ('B2*', 'same, drawn truth: empirical SD / value_sd', [f.per_sd for f in other]),
    ):
        low, high = min(values), max(values)
        figure = f'{low:.2f}-{high:.2f} (each +-{1 / np.sqrt(2 * (n - 1)):.2f}, 1 SE)'
        yield key, text, '0.85-1.15', figure, 0.85 <= low <= high <= 1.15
    glu = tables['fixed', 10]['Glu']
    met = abs(glu.bias) <= 5 and 0.8 <= glu.per_bound <= 1.2
    figure = f'{glu.bias:+.1f} %, {glu.per_bound:.2f}'
    yield 'B3', 'S/N 10: Glu bias, SD / bound', '<= 5 %, 0.8-1.2', figure, met


def coverage(tables: Mapping[int, Mapping[str, Figures]], truth: str) -> Iterator[Row]:
    """Rows B5: the interval of each level and each ratio to tCr by itself, at each S/N."""
    cells = {(name, snr): f for snr, table in tables.items() for name, f in table.items()}
    groups = {
        '6 main': {key: f for key, f in cells.items() if key[0] in MAIN.values()},
        'all others': {key: f for key, f in cells.items() if key[0] not in MAIN.values()},
    }
    snrs = ', '.join(str(snr) for snr in tables)
    for group, members in groups.items():
        covers = [cover for f in members.values() for cover in f.covers]
        beyond = [
            f'{name} {snr}' for (name, snr), f in members.items()
            if not LIMITS[0] <= min(f.covers) <= max(f.covers) <= LIMITS[1]
        ]  # fmt: skip
        figure = (
            f'{min(covers):.1f}-{max(covers):.1f} %; {len(beyond)} of {len(members)} beyond: '
            f'{", ".join(beyond) or "none"}'
        )
        text = f'coverage of the 95 % interval, S/N {snrs}, {truth}: {group}, singly'
        yield 'B5', text, '92-98 %', figure, not beyond
        widths = [f.width for f in members.values()]
        figure = f'{np.median(widths):.2f} ({min(widths):.2f}-{max(widths):.2f})'
        yield (
            'B5*',
            f'same: width over value +- 1.96 value_sd ({truth}, {group})',
            '-',
            figure,
            None,
        )
    mean = float(np.mean([cover for f in cells.values() for cover in f.covers]))
    yield (
        'B5',
        f'same, {truth}: mean over all',
        '92-98 %',
        f'{mean:.1f} %',
        (LIMITS[0] <= mean <= LIMITS[1]),
    )


def unknown_macromolecules(quick: bool) -> Iterator[Row]:
    """Row B4: the fit has no macromolecule spectrum, only its own lines and baseline."""
    basis, source = truth_basis()
    fitted, options = without_mm(basis), FitOptions(baseline_sensitivity=False)
    count = 6 if quick else 24
    fits = [
        builtin_result(fit_spectrum(spectrum, fitted, options))
        for spectrum, _ in realisations(basis, 40, count, 99)
    ]
    bias, held = {}, {}
    for key in ('Glu', 'tNAA', 'tCho', 'mI'):
        true = amount(LEVELS, MAIN[key]) / amount(LEVELS, 'tCr')
        ratios = [fit.ratio(MAIN[key], 'tCr')[0] for fit in fits]
        bias[key] = 100 * (float(np.mean(ratios)) / true - 1)
        limits = [fit.ratio_interval(MAIN[key], 'tCr') for fit in fits]
        held[key] = 100 * float(np.mean([low <= true <= high for low, high in limits]))
    met = abs(bias['Glu']) <= 20 and abs(bias['tNAA']) <= 8 and abs(bias['tCho']) <= 8
    figure = ', '.join(f'{key} {value:+.1f}' for key, value in bias.items()) + ' %'
    text = f'MC n={count}, MM unknown ({source}), S/N 40: bias of X/tCr'
    yield 'B4', text, 'Glu <= 20, tNAA, tCho <= 8 %', figure, met
    figure = ', '.join(f'{key} {value:.0f}' for key, value in held.items()) + ' %'
    yield 'B4*', 'same: coverage of the 95 % interval of X/tCr', '-', figure, None


def unknown_in_two_ranges(quick: bool) -> Iterator[Row]:
    """Row B4r: where the range ends, when macromolecules are unknown; ratios and levels."""
    basis, _ = truth_basis()
    fitted, count = without_mm(basis), 4 if quick else 12
    spectra = [spectrum for spectrum, _ in realisations(basis, 40, count, 99)]
    for high in (4.2, 4.0):
        options = FitOptions(ppm_range=(0.2, high), baseline_sensitivity=False)
        fits = [builtin_result(fit_spectrum(spectrum, fitted, options)) for spectrum in spectra]
        bias = {}
        for key in ('Glu', 'Glx', 'mI', 'tNAA', 'tCho'):
            true = amount(LEVELS, MAIN[key]) / amount(LEVELS, 'tCr')
            bias[key] = float(np.mean([fit.ratio(MAIN[key], 'tCr')[0] for fit in fits])) / true
        level = np.mean([fit.amount('tCr')[0] for fit in fits]) / amount(LEVELS, 'tCr')
        figure = ', '.join(f'{key} {100 * (value - 1):+.1f}' for key, value in bias.items())
        yield (
            'B4r', f'MC n={count}, MM unknown, S/N 40, range to {high} ppm: bias of X/tCr', '-',
            f'{figure} %; level of tCr {100 * (level - 1):+.0f} %', None,
        )  # fmt: skip


def main() -> None:
    """Print these rows alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='fewer repetitions')
    quick = parser.parse_args().quick
    for section in (known_macromolecules, unknown_macromolecules, unknown_in_two_ranges):
        for found in section(quick):
            print(' | '.join(str(part) for part in found))


if __name__ == '__main__':
    main()
