"""Which sessions to look at before any result: deviating acquisition, sources and figures.

Nothing is left out here. A flag is a row in a table and a sentence; whoever reads it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

KEYS = ['participant_id', 'session_id']
OUTLIER_Z = 3.5
"""Modified z score beyond which a figure is an outlier (Iglewicz and Hoaglin 1993, How to Detect
and Handle Outliers, ASQC)."""
LEAST_CHANGE = 0.05
"""Share of the cohort's median by which an outlier differs at least (own convention): where a
measure is nearly the same in everybody, a score is large for differences that nobody can see."""
MIN_SESSIONS = 8
"""Fewer sessions have no distribution to be an outlier of."""
SOURCE_ADVICE = (
    ' Sources differ in how thick and wide cortex comes out: compare groups within one source, or '
    'choose one with --surface-source.'
)
"""What follows from surfaces of several sources."""
HIGHER_IS_BETTER = (
    'anat_boundary_contrast', 'anat_cnr', 'anat_euler', 'anat_field_of_view_share',
    'anat_in_brain_share', 'anat_registration_dice', 'anat_roi_defined_share', 'anat_snr',
    'dwi_brain_seen', 'dwi_cnr', 'dwi_coherence', 'dwi_coreg', 'dwi_coverage',
    'dwi_neighbour_corr', 'dwi_sdc_similarity', 'dwi_snr', 'func_acc_coverage', 'func_acc_tsnr',
    'func_coreg_dice', 'func_coverage', 'func_dof', 'func_minutes_left', 'func_n_kept',
    'func_n_regions', 'func_tsnr', 'mrs_n_transients_used', 'mrs_snr', 'mrs_voxel_dice',
    'mrs_voxel_in_',
)  # fmt: skip
"""How columns begin of which a high value is no reason to look."""
LOWER_IS_BETTER = (
    'anat_clamped', 'anat_cut', 'anat_form_gap', 'anat_gap', 'anat_intersecting',
    'anat_thickness_outside', 'dwi_clipped', 'dwi_fd', 'dwi_csf', 'dwi_motion', 'dwi_n_missing',
    'dwi_negative', 'dwi_non_positive', 'dwi_outlier', 'dwi_residual', 'dwi_run_scale',
    'dwi_runs_apart', 'dwi_sdc_moved', 'func_dvars', 'func_fd', 'mrs_baseline_sensitivity',
    'mrs_drift', 'mrs_fwhm', 'mrs_residual_water', 'mrs_voxel_distance',
)  # fmt: skip
"""How columns begin of which a low value is no reason to look."""
ONE_OF_A_KIND: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        'dwi_scheme': ('Diffusion protocols deviate', ''),
        'anat_surface_source': (
            'Surfaces come from different sources',
            SOURCE_ADVICE,
        ),
    }
)
"""Columns that should have one value in a cohort: how a deviation is told, and what follows."""


def deviation_notes(qc: pd.DataFrame | None, participants: pd.DataFrame) -> list[str]:
    """Report protocols and sources that deviate within a cohort, before anything is analysed.

    Parameters
    ----------
    qc : DataFrame or None
        With the columns of `ONE_OF_A_KIND`, as far as they are known.
    participants : DataFrame
        A column ``cohort``, or else ``site``, tells who was meant to be measured alike; without
        one all were.

    Returns
    -------
    list of str
        One sentence for each cohort and column with more than one value.

    Examples
    --------
    >>> qc = pd.DataFrame(
    ...     {
    ...         'participant_id': ['sub-1', 'sub-2', 'sub-3'],
    ...         'session_id': None,
    ...         'dwi_scheme': ['aa', 'aa', 'bb'],
    ...     }
    ... )
    >>> deviation_notes(qc, qc[KEYS])[0]
    'Diffusion protocols deviate: aa in 2 sessions, bb in sub-3.'
    """
    if qc is None:
        return []
    return [
        note for column, words in ONE_OF_A_KIND.items() if column in qc.columns
        for note in _deviations(qc, participants, column, *words)
    ]  # fmt: skip


def place_column(people: pd.DataFrame) -> str | None:
    """Return the column of the participants' table that tells cohorts or sites; None without one.

    Parameters
    ----------
    people : DataFrame
        Participants' table; the values are not looked at.

    Returns
    -------
    {'cohort', 'site', None}
        ``cohort`` comes first where both are there.

    Examples
    --------
    >>> place_column(pd.DataFrame({'site': [1]}))
    'site'
    """
    return next((name for name in ('cohort', 'site') if name in people), None)


def _deviations(
    qc: pd.DataFrame, participants: pd.DataFrame, column: str, what: str, advice: str
) -> list[str]:
    """Write the sentences about one column."""
    known = qc[[*KEYS, column]].dropna(subset=[column])
    meant = place_column(participants)
    if meant is not None:
        # sites may differ by plan; within one, a deviation is an accident
        known = known.merge(participants[[*KEYS, meant]], on=KEYS, how='left')
        groups = [(f' in {meant} {name}', part) for name, part in known.groupby(meant)]
    else:
        groups = [('', known)]
    notes = []
    for where, part in groups:
        values = part[column].astype(str)
        counts = values.value_counts()
        if len(counts) < 2:
            continue
        main = f'{counts.index[0]} in {_named(part[values == counts.index[0]], 0)}'
        others = [f'{value} in {_named(part[values == value])}' for value in counts.index[1:]]
        notes.append(f'{what}{where}: {main}, {", ".join(others)}.{advice}')
    return notes


def _named(sessions: pd.DataFrame, most: int = 3) -> str:
    """Name the first few sessions of a table, or count them."""
    if not most:
        return f'{len(sessions)} session{"s" if len(sessions) > 1 else ""}'
    keys = sessions[KEYS].itertuples(index=False)
    names = [p if pd.isna(s) else f'{p} {s}' for p, s in keys]
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ' and '.join(names[:most]) + more


SAME_Z = 0.05
"""Difference of modified z scores below which two measures tell the same of every session (own
convention: tables are read with one decimal)."""


def flagged_sessions(qc: pd.DataFrame | None) -> pd.DataFrame:
    """List the sessions whose figures are unusual in themselves, or among those of the others.

    Where one direction is better, only outliers in the other one are listed. What differs from the
    median by less than `LEAST_CHANGE` of it is none. A measure that is an earlier one of its
    modality in another unit, such as a line width in ppm and in Hz, is listed once.

    Parameters
    ----------
    qc : DataFrame or None
        One row for each session; columns named ``<modality>_<measure>``. ``<modality>_flags``
        holds what the participant level found unusual.

    Returns
    -------
    DataFrame
        ``participant_id, session_id, modality, criterion, reason``; without rows if all is usual.

    Examples
    --------
    >>> qc = pd.DataFrame(
    ...     {'participant_id': ['sub-1'], 'session_id': None, 'anat_flags': 'cnr 0.5'}
    ... )
    >>> flagged_sessions(qc)[['modality', 'criterion', 'reason']].values.tolist()
    [['anat', 'usual range', 'cnr 0.5']]
    """
    columns = [*KEYS, 'modality', 'criterion', 'reason']
    if qc is None:
        return pd.DataFrame(columns=columns)
    rows = []
    for name in [c for c in qc.columns if c.endswith('_flags')]:
        told = qc[qc[name].notna()]
        rows.append(
            told[KEYS].assign(
                modality=name.partition('_')[0], criterion='usual range', reason=told[name]
            )
        )
    seen: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name in qc.columns:
        if name in KEYS or not pd.api.types.is_numeric_dtype(qc[name]) or _is_bool(qc[name]):
            continue
        modality, _, measure = name.partition('_')
        values = qc[name].to_numpy(dtype=float)
        # by the median: an outlier moves mean and SD towards itself, and hides in them
        score, middle = modified_z(values)
        worse = _worse(name, score)
        before = seen.setdefault(modality, [])
        # the median absolute deviation of a figure that is the same in most is tiny, and calls
        # trifles outliers
        away = (worse > OUTLIER_Z) & _visible(values, middle)
        # right and left, or two norms of one movement, would list the same person many times
        if any(
            np.array_equal(away, others)
            and np.allclose(worse, one, rtol=0, atol=SAME_Z, equal_nan=True)
            for one, others in before
        ):
            continue
        before.append((worse, away))
        reasons = [
            f'{measure} {value:.4g} (median of the cohort {middle:.4g}, modified z {z:+.1f})'
            for value, z in zip(values[away], score[away], strict=True)
        ]
        rows.append(
            qc.loc[away, KEYS].assign(
                modality=modality, criterion='outlier in the cohort', reason=reasons
            )
        )
    rows = [part for part in rows if len(part)]
    if not rows:
        return pd.DataFrame(columns=columns)
    found = pd.concat(rows, ignore_index=True)[columns]
    return found.sort_values([*KEYS, 'modality', 'criterion'], kind='stable', ignore_index=True)


def _worse(column: str, score: np.ndarray) -> np.ndarray:
    """Return how far values lie to the worse side; to either where neither is worse."""
    if column.startswith(HIGHER_IS_BETTER):
        return -score
    return score if column.startswith(LOWER_IS_BETTER) else np.abs(score)


def _visible(values: np.ndarray, middle: float) -> np.ndarray:
    """Tell which values differ from the median by more than `LEAST_CHANGE` of it."""
    return np.abs(values - middle) >= LEAST_CHANGE * abs(middle)


def _is_bool(values: pd.Series) -> bool:
    """Tell whether a column holds truth values."""
    return bool(pd.api.types.is_bool_dtype(values))


def modified_z(values: np.ndarray) -> tuple[np.ndarray, float]:
    r"""Return the modified z score of each value, and the median.

    .. math:: z_i = 0.6745 (x_i - \tilde x) / \mathrm{MAD}

    Median and median absolute deviation are not moved by the outliers that are looked for.

    Parameters
    ----------
    values : (n,) ndarray
        NaN where missing.

    Returns
    -------
    score : (n,) ndarray
        NaN where the value is missing, and everywhere with fewer than `MIN_SESSIONS` values or
        where more than half are alike.
    median : float
        NaN without a value.

    Examples
    --------
    >>> modified_z(np.array([1.0, 2, 3, 4, 5, 6, 7, 60]))[0].round(1).tolist()
    [-1.2, -0.8, -0.5, -0.2, 0.2, 0.5, 0.8, 18.7]
    """
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    if not known.size:
        return np.full(len(values), np.nan), float('nan')
    middle = float(np.median(known))
    spread = float(np.median(np.abs(known - middle)))
    # where more than half have the same value the spread is zero, and any other infinitely far
    if known.size < MIN_SESSIONS or spread <= 0:
        return np.full(len(values), np.nan), middle
    return 0.6745 * (values - middle) / spread, middle
