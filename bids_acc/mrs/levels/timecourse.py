"""Tables of a time course: a level for each block, and differences between blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bids_acc.mrs.results.engine_result import EngineResult

COURSE_COLUMNS = (
    'block', 'label', 'onset_s', 'n_transients', 'metabolite', 'unit_scheme', 'value', 'value_sd',
    'crlb_pct', 'snr_lcm', 'fwhm_hz', 'width_added_hz',
)  # fmt: skip
"""Columns of the levels."""

CONTRAST_COLUMNS = (
    'metabolite', 'unit_scheme', 'label', 'reference', 'difference', 'difference_sd',
    'difference_sd_blocks', 'difference_pct', 'primary',
)  # fmt: skip
"""Columns of the differences."""

_SCHEMES = {'ratio_tcr': 'tCr', 'engine': ''}


def scatter(values: Sequence[float]) -> float:
    """SD of a value from block to block, whatever slow change there is.

    From the squares of successive differences (von Neumann 1941, Ann Math Stat 12:367,
    https://doi.org/10.1214/aoms/1177731677).

    Parameters
    ----------
    values : sequence of float
        In the order of time.

    Returns
    -------
    float
        NaN with fewer than four values.

    Examples
    --------
    >>> round(scatter([1.0, 1.2, 1.0, 1.2]), 4), scatter([1.0, 1.2])
    (0.1414, nan)
    """
    steps = np.diff(np.asarray(values, dtype=float))
    if steps.size < 3:
        return math.nan
    # A difference of two has twice the variance of one.
    return float(np.sqrt(np.mean(steps**2) / 2))


def course_table(
    results: Sequence[EngineResult], blocks: Sequence[Mapping[str, object]]
) -> pd.DataFrame:
    """Level of each metabolite in each block.

    Parameters
    ----------
    results : sequence of EngineResult
        Fits of the blocks.
    blocks : sequence of mapping
        ``label``, ``onset_s``, ``n_transients`` and ``width_added_hz`` of each.

    Returns
    -------
    DataFrame
        One row per block, metabolite and scheme.
    """
    rows = []
    for number, (result, block) in enumerate(zip(results, blocks, strict=True), start=1):
        for name in result.metabolites():
            for scheme, below in _SCHEMES.items():
                if below:
                    value, sd = result.ratio(name, below)[0], result.ratio_sd(name, below)
                else:
                    value, sd = result.amount(name)[0], result.amount_sd(name)
                rows.append(
                    {
                        'block': number, **block, 'metabolite': name, 'unit_scheme': scheme,
                        'value': value, 'value_sd': sd, 'crlb_pct': result.crlb_pct(name),
                        'snr_lcm': result.extra.get('snr_lcm', math.nan),
                        'fwhm_hz': result.extra.get('fwhm_hz', math.nan),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COURSE_COLUMNS))


def contrast_table(course: pd.DataFrame) -> pd.DataFrame:
    """Compare the blocks with the first one, which is rest where events leave some.

    Parameters
    ----------
    course : DataFrame
        From :func:`course_table`.

    Returns
    -------
    DataFrame
        ``primary`` is true for the last of equal blocks, and for the first type of events: the
        change that the table of levels has as ``change_tcr``.
    """
    rows = []
    ordered = course.sort_values('block', kind='stable')
    for (name, scheme), part in ordered.groupby(['metabolite', 'unit_scheme'], sort=False):
        first, others = part.iloc[0], part.iloc[1:]
        numbered = all(str(label).isdigit() for label in part['label'])
        # blocks of events are no series in time: their scatter is not told
        sd_blocks = math.sqrt(2) * scatter(part['value'].tolist()) if numbered else math.nan
        wanted = len(part) if numbered else 2
        for row in others.to_dict(orient='records'):
            difference = row['value'] - first['value']
            base = float(first['value'])
            rows.append(
                {
                    'metabolite': name, 'unit_scheme': scheme, 'label': row['label'],
                    'reference': first['label'], 'difference': difference,
                    'difference_sd': float(np.hypot(row['value_sd'], first['value_sd'])),
                    'difference_sd_blocks': sd_blocks,
                    'difference_pct': 100 * difference / base if base > 0 else math.nan,
                    'primary': str(row['block'] == wanted).lower(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def primary_changes(contrasts: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Change of each ratio to tCr with its SD, the larger one where blocks tell their own.

    Parameters
    ----------
    contrasts : DataFrame
        From :func:`contrast_table`, as read back.
    """
    wanted = contrasts[
        (contrasts['unit_scheme'] == 'ratio_tcr')
        & (contrasts['primary'].astype(str).str.lower() == 'true')
    ]
    return {
        str(row['metabolite']): (
            float(row['difference']),
            float(np.fmax(row['difference_sd'], row['difference_sd_blocks'])),
        )
        for row in wanted.to_dict(orient='records')
    }


def course_lines(course: pd.DataFrame, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Ratios to tCr of some metabolites, by name, for the figure.

    Parameters
    ----------
    course : DataFrame
        From :func:`course_table`.
    names : sequence of str
        Metabolites or sums; those that the fit has not are left out.

    Returns
    -------
    dict of str to DataFrame
        Rows of each in the order of the blocks.
    """
    ratios = course[course['unit_scheme'] == 'ratio_tcr']
    return {
        name: ratios[ratios['metabolite'] == name].sort_values('block')
        for name in names
        if (ratios['metabolite'] == name).any()
    }
