"""How well an analysis found what `bids_acc-demo` planted.

Reads the results of the participant and group levels and ``code/truth.json``; the analysis
itself never sees the latter. Every figure is printed as it is, good or bad.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bids_acc.anat.template import load_template
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.group.cohort import read_mrs, sessions_on_disk
from bids_acc.group.vertexmaps import gather_vertex_metrics

from .patterns import PATTERNS, effect_at, pattern_weights

FloatArray = npt.NDArray[np.float64]

METABOLITES = ('Glx', 'Glu', 'tNAA', 'tCho', 'Ins')
REFERENCE, AFFECTED = 'HC', 'resistant'
PREGENUAL = 1
"""Number of the pattern in which the largest effects are planted."""


@dataclass(frozen=True)
class Recovery:
    """Agreement of measured with planted values."""

    name: str
    unit: str
    n: int
    bias: float
    """Mean of measured minus planted; NaN where only differences can be compared."""
    mae: float
    """Mean absolute difference."""
    slope: float
    """Measured units for each planted unit; 1 is perfect."""
    r: float
    """Pearson correlation."""


@dataclass(frozen=True)
class Effect:
    """A group difference, measured and planted."""

    name: str
    unit: str
    planted: float
    """Difference of the means of what was really planted in these participants."""
    measured: float
    low: float
    """Lower limit of the 95 % confidence interval (Welch)."""
    high: float
    """Upper limit."""

    @property
    def verdict(self) -> str:
        """Say in words whether the effect was found and whether its size is right."""
        found = 'found' if self.low * self.high > 0 else 'not significant'
        right = 'planted value inside the interval'
        wrong = 'planted value outside the interval'
        return f'{found}; {right if self.low <= self.planted <= self.high else wrong}'


def read_truth(bids_dir: Path) -> dict[str, Any]:
    """Read what was planted.

    Raises
    ------
    MissingInputError
        If the folder holds no demo dataset.
    InputDataError
        If ``code/truth.json`` cannot be read.
    """
    path = bids_dir / 'code' / 'truth.json'
    if not path.is_file():
        raise MissingInputError(f'{path} is missing: {bids_dir} was not made by bids_acc-demo.')
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise InputDataError(f'{path} is no JSON: {error}') from error


def compare(
    name: str, unit: str, planted: npt.ArrayLike, measured: npt.ArrayLike, *, absolute: bool
) -> Recovery:
    """Compare two series.

    Parameters
    ----------
    name, unit : str
        For the table.
    planted, measured : (n,) array_like
        Pairs; those with a missing value are left out.
    absolute : bool
        Whether the level counts; otherwise both series are centred first and there is no bias.

    Returns
    -------
    Recovery

    Examples
    --------
    >>> compare('x', 'mm', [1, 2, 3], [1.5, 2.5, 3.5], absolute=True).bias
    0.5
    >>> compare('x', 'mm', [1, 2, 3], [1.5, 2.5, 3.5], absolute=False).mae
    0.0
    """
    x, y = np.asarray(planted, dtype=float), np.asarray(measured, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3:
        return Recovery(name, unit, len(x), math.nan, math.nan, math.nan, math.nan)
    bias = float(np.mean(y - x)) if absolute else math.nan
    if not absolute:
        x, y = x - x.mean(), y - y.mean()
    varies = np.std(x) > 0 and np.std(y) > 0
    return Recovery(
        name=name,
        unit=unit,
        n=len(x),
        bias=bias,
        mae=float(np.mean(np.abs(y - x))),
        slope=float(np.polyfit(x, y, 1)[0]) if varies else math.nan,
        r=float(np.corrcoef(x, y)[0, 1]) if varies else math.nan,
    )


def group_effect(
    name: str, unit: str, groups: Sequence[str], planted: FloatArray, measured: FloatArray
) -> Effect:
    """Compare the affected group with the reference, and with what was planted in them."""
    of = np.asarray(groups)
    known = np.isfinite(measured)
    a, b = measured[known & (of == AFFECTED)], measured[known & (of == REFERENCE)]
    truth = float(
        planted[known & (of == AFFECTED)].mean() - planted[known & (of == REFERENCE)].mean()
    )
    if min(len(a), len(b)) < 2:
        return Effect(name, unit, truth, math.nan, math.nan, math.nan)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    low, high = float(interval.low), float(interval.high)
    return Effect(name, unit, truth, float(a.mean() - b.mean()), low, high)


def _key(participant: Any, session: Any) -> tuple[str, str]:
    """Make one key of participant and session; a missing session is empty."""
    return str(participant), session if isinstance(session, str) else ''


def _match(
    truth: Mapping[str, Any], keys: Iterable[tuple[str, str]]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Pair measured rows with planted ones; rows without truth are left out."""
    planted = {_key(v['participant_id'], v['session_id']): v for v in truth['visits']}
    pairs = [(planted[key], row) for row, key in enumerate(keys) if key in planted]
    return [visit for visit, _ in pairs], [row for _, row in pairs]


def score_spectra(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
    """Compare ratios to total creatine with what the spectra hold.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    truth : mapping
        From `read_truth`.

    Returns
    -------
    recoveries : list of Recovery
        One for each of `METABOLITES`; values that did not pass the gate are left out.
    effects : list of Effect
        The group difference of Glx.
    """
    table = read_mrs(output_dir, sessions_on_disk(output_dir))
    if table is None:
        return [], []
    table = table[table['unit_scheme'] == 'ratio_tcr']
    recoveries, effects = [], []
    for name in METABOLITES:
        rows = table[table['metabolite'] == name]
        keys = [
            _key(p, s) for p, s in zip(rows['participant_id'], rows['session_id'], strict=True)
        ]
        visits, matched = _match(truth, keys)
        values = rows['value'].where(rows['gate'] == 'pass').to_numpy(dtype=float)[matched]
        planted = np.array([visit['metabolites_tcr'][name] for visit in visits])
        recoveries.append(compare(f'{name}/tCr', '', planted, values, absolute=True))
        if name == 'Glx':
            groups = [visit['group'] for visit in visits]
            effects.append(group_effect('Glx/tCr', '', groups, planted, values))
    return recoveries, effects


def _pattern_means(
    output_dir: Path, metric: str
) -> tuple[list[tuple[str, str]], FloatArray, FloatArray, FloatArray]:
    """Average a vertex metric with each pattern's weights.

    Returns
    -------
    keys : list of (participant, session)
    means : (n_sessions, n_patterns) ndarray
    shares : (n_vertices, n_patterns) ndarray
        Weight of each vertex in each mean.
    points : (n_vertices, 3) ndarray
        MNI coordinates, mm.
    """
    found = gather_vertex_metrics(output_dir, (metric,))
    template = load_template(found.density or '41k')
    places = zip(found.columns['hemisphere'], found.columns['vertex'], strict=True)
    points = np.array([template[side].white[vertex] for side, vertex in places])
    weights = pattern_weights(points)
    values = found.values[0]
    known = np.isfinite(values)
    means = (np.where(known, values, 0) @ weights) / (known @ weights)
    pairs = zip(found.sessions['participant_id'], found.sessions['session_id'], strict=True)
    return [_key(p, s) for p, s in pairs], means, weights / weights.sum(axis=0), points


def score_thickness(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
    """Compare thickness with the planted shift of the border and the stretch of the warp.

    The template's own thickness has no known truth, so each pattern is compared as difference
    from the mean over all sessions.
    """
    keys, means, _, _ = _pattern_means(output_dir, 'thickness')
    visits, rows = _match(truth, keys)
    means = means[rows]
    change = np.array([visit['thickness_change']['by_pattern_mm'] for visit in visits])
    stretch = np.array([visit['thickness_change']['warp_factor'] for visit in visits])
    planted = change + means.mean(axis=0) * (stretch - 1)
    return _score_patterns('thickness', 'mm', visits, planted, means)


def score_diffusivity(
    output_dir: Path, truth: Mapping[str, Any]
) -> tuple[list[Recovery], list[Effect]]:
    """Compare relative differences of mean diffusivity with those planted in grey matter."""
    keys, means, shares, points = _pattern_means(output_dir, 'md')
    visits, rows = _match(truth, keys)
    relative = 100 * (means[rows] / means[rows].mean(axis=0) - 1)
    planted = 100 * np.array(
        [effect_at(points, visit['md_loadings_relative']) @ shares for visit in visits]
    )
    return _score_patterns('MD', '%', visits, planted, relative)


def _score_patterns(
    name: str,
    unit: str,
    visits: Sequence[Mapping[str, Any]],
    planted: FloatArray,
    measured: FloatArray,
) -> tuple[list[Recovery], list[Effect]]:
    """Score one metric over all patterns and its group difference in the pregenual one."""
    if len(visits) < 3:
        return [], []
    planted = planted - planted.mean(axis=0)
    measured = measured - measured.mean(axis=0)
    recovery = compare(
        f'{name}, {len(PATTERNS)} parts', unit, planted.ravel(), measured.ravel(), absolute=False
    )
    groups = [visit['group'] for visit in visits]
    effect = group_effect(
        f'{name}, {PATTERNS[PREGENUAL].name}', unit, groups,
        planted[:, PREGENUAL], measured[:, PREGENUAL],
    )  # fmt: skip
    return [recovery], [effect]


def score(output_dir: Path, bids_dir: Path) -> tuple[list[Recovery], list[Effect], list[str]]:
    """Compare all results with the truth.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives.
    bids_dir : Path
        The demo dataset.

    Returns
    -------
    recoveries : list of Recovery
    effects : list of Effect
    notes : list of str
        What could not be compared, and why.
    """
    truth = read_truth(bids_dir)
    recoveries: list[Recovery] = []
    effects: list[Effect] = []
    notes: list[str] = []
    for part in (score_thickness, score_diffusivity, score_spectra):
        try:
            found, differences = part(output_dir, truth)
        except BidsAccError as error:
            notes.append(str(error))
            continue
        recoveries += found
        effects += differences
    return recoveries, effects, notes


def _number(value: float, digits: int = 3) -> str:
    """Format a number; a missing one is a dash."""
    return '-' if math.isnan(value) else f'{value:.{digits}f}'


def format_score(
    recoveries: Sequence[Recovery], effects: Sequence[Effect], notes: Sequence[str] = ()
) -> str:
    """Write the comparison as a table for the terminal.

    Examples
    --------
    >>> text = format_score([], [Effect('MD', '%', 9.0, 8.0, 4.0, 12.0)])
    >>> text.splitlines()[0]
    'Planted group difference, resistant - HC'
    >>> text.splitlines()[-1].split('  ')[-1]
    '4.000 to 12.000: found; planted value inside the interval'
    """
    lines = []
    if recoveries:
        table = pd.DataFrame(
            {
                'what': [f'{r.name} ({r.unit})' if r.unit else r.name for r in recoveries],
                'n': [str(r.n) for r in recoveries],
                'bias': [_number(r.bias) for r in recoveries],
                'MAE': [_number(r.mae) for r in recoveries],
                'slope': [_number(r.slope, 2) for r in recoveries],
                'r': [_number(r.r, 2) for r in recoveries],
            }
        )
        lines += ['Measured against planted', *_columns(table)]
    if effects:
        lines += [f'Planted group difference, {AFFECTED} - {REFERENCE}']
        lines += [f'  {"what":<28}{"planted":>9}{"measured":>10}  95 % interval']
        for e in effects:
            what = f'{e.name} ({e.unit})' if e.unit else e.name
            interval = f'{_number(e.low)} to {_number(e.high)}: {e.verdict}'
            lines.append(
                f'  {what:<28}{_number(e.planted):>9}{_number(e.measured):>10}  {interval}'
            )
    lines += [f'Not compared: {note}' for note in notes]
    return '\n'.join(lines)


def _columns(table: pd.DataFrame) -> list[str]:
    """Lay a table of strings out in columns, the first one to the left."""
    rows = [list(table.columns), *table.to_numpy().tolist()]
    return [f'  {row[0]:<28}' + ''.join(f'{cell:>8}' for cell in row[1:]) for row in rows]
