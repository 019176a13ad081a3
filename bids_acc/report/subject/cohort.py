"""How the region of a session stands among the other people of the output folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_acc.derivatives.outputs import find_outputs
from bids_acc.report.html import Block, table_block
from bids_acc.report.subject.view import SubjectView, read_table, what_differs

LEAST_PEOPLE = 10
"""Other people below which no percentile is told; own convention: it would come in tens."""

MEASURES: Mapping[str, tuple[str, str, float]] = MappingProxyType(
    {
        'roi_thickness_mean_L': ('thickness of the region, left', 'mm', 1.0),
        'roi_thickness_mean_R': ('thickness of the region, right', 'mm', 1.0),
        'roi_area_mm2_L': ('area of the region, left', 'mm²', 1.0),
        'roi_area_mm2_R': ('area of the region, right', 'mm²', 1.0),
        'fa_median': ('FA, median of the brain', '', 1.0),
        'md_median': ('MD, median of the brain', '10⁻³ mm²/s', 1e3),
        'fd_mean': ('head motion during diffusion, mean', 'mm', 1.0),
        'snr_lcm': ('S/N of the spectrum', '', 1.0),
        'fwhm_hz': ('line width of the spectrum', 'Hz', 1.0),
    }
)
"""Column of a table of quality: words, unit on the page, and the factor to that unit."""
TABLES = ('anat_qc', 'dwi_qc', 'mrs_quality')


def percentile(value: float, others: npt.ArrayLike) -> float:
    """Return the share of other people's values below one, those that are equal by half.

    Parameters
    ----------
    value : float
        Of this session.
    others : (n,) array_like
        Of other people; NaN is left out.

    Returns
    -------
    float
        0 to 100; NaN where the value is missing or there are fewer than `LEAST_PEOPLE`.

    Examples
    --------
    >>> percentile(3.5, range(10)), percentile(9, range(10))
    (40.0, 95.0)
    """
    known = np.asarray(others, dtype=float)
    known = known[np.isfinite(known)]
    # a percentile among few is a rank, and looks like more
    if not np.isfinite(value) or known.size < LEAST_PEOPLE:
        return float('nan')
    return float(100 * (np.mean(known < value) + 0.5 * np.mean(known == value)))


def percentile_blocks(view: SubjectView, session: str | None) -> Iterator[Block]:
    """Yield a table of percentiles, where there are enough people.

    Parameters
    ----------
    view : SubjectView
        The subject.
    session : str or None
        Label without prefix.

    Yields
    ------
    Block
    """
    rows = []
    for key in TABLES:
        table = cohort_table(view.output_dir, key)
        if table.empty:
            continue
        mine = (table['subject'] == view.subject) & (table['session'] == (session or ''))
        # without the person's own sessions, towards which a comparison of few would be pulled
        others = table[table['subject'] != view.subject]
        for column in (name for name in MEASURES if name in table):
            for which, value in table.loc[mine].set_index('which')[column].dropna().items():
                # S/N of one voxel stands nowhere among those of others
                alike = others if key != 'mrs_quality' else others[others['which'] == which]
                known = alike.groupby('subject')[column].mean().dropna()
                place = percentile(float(value), known)
                words, unit, factor = MEASURES[column]
                if np.isfinite(place):
                    rows.append(
                        {
                            'measure': f'{words}{which}', 'value': f'{factor * float(value):.3g}',
                            'unit': unit, 'percentile': f'{place:.0f}',
                            'median of the others': f'{factor * float(known.median()):.3g}',
                            'people': str(len(known)),
                        }
                    )  # fmt: skip
    if rows:
        yield table_block(
            pd.DataFrame(rows), 'Among the people of this folder',
            'Share of the other people, each by the mean of their sessions, with a smaller value. '
            'Sites and groups are not told apart; a percentile near 0 or 100 asks for a look and '
            'is no verdict.',
        )  # fmt: skip


@lru_cache(maxsize=8)
def cohort_table(output_dir: Path, key: str) -> pd.DataFrame:
    """Read a table of quality of all sessions of a folder; once, while pages are written.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set.
    key : str
        Of `TABLES`.

    Returns
    -------
    DataFrame
        With ``subject`` and ``session`` (labels without prefix, empty without sessions), and
        ``which`` of several voxels or runs (`what_differs`).
    """
    rows = []
    for found in find_outputs(key, output_dir):
        try:
            table = read_table(found.path)
        except (OSError, ValueError):  # that session's own page says what is wrong
            continue
        if len(table):
            numbers = {name: table[name].iloc[0] for name in MEASURES if name in table}
            who = {name: found.entities.get(name, '') for name in ('subject', 'session')}
            rows.append({**who, 'which': what_differs(found), **numbers})
    frame = pd.DataFrame(rows)
    for name in set(MEASURES) & set(frame):
        frame[name] = pd.to_numeric(frame[name], errors='coerce')
    return frame
