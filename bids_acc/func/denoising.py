"""What is regressed out of a series, and the matrix that does it.

Regressors are chosen and filter and regression are made by nilearn. All of that is linear in the
series, so that cleaning the identity matrix gives the one matrix that cleans any series of the
run: of voxels, vertices and regions alike, at the price of a product. Interpolation in space and
cleaning in time may therefore be made in any order.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from nilearn import signal
from nilearn.interfaces.fmriprep import load_confounds

from bids_acc.exceptions import InputDataError
from bids_acc.files.reading import reading, sane, short
from bids_acc.func.confounds import MOTION
from bids_acc.images.motion import HEAD_RADIUS_MM
from bids_acc.tables.reading import THEIRS, read_text, read_tsv
from bids_acc.typing import BoolArray, FloatArray, Metadata

_MOTION12 = {'strategy': ('motion', 'high_pass', 'compcor'), 'motion': 'derivatives',
             'compcor': 'anat_separated', 'n_compcor': 5}  # fmt: skip
STRATEGIES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        'compcor': _MOTION12,
        'compcor24': {**_MOTION12, 'motion': 'full'},
        'simple': {
            'strategy': ('motion', 'high_pass', 'wm_csf'), 'motion': 'full', 'wm_csf': 'basic',
        },
        '36p': {
            'strategy': ('motion', 'high_pass', 'wm_csf', 'global_signal'), 'motion': 'full',
            'wm_csf': 'full', 'global_signal': 'full',
        },
    }
)  # fmt: skip
"""Arguments of `nilearn.interfaces.fmriprep.load_confounds` for each strategy.

``compcor``: 6 motion parameters, their derivatives, 5 components of white matter and 5 of CSF
(Behzadi et al. 2007, doi:10.1016/j.neuroimage.2007.04.042; anatomical masks, Muschelli et al.
2014, doi:10.1016/j.neuroimage.2014.03.028) with the cosines that they were computed with;
``compcor24``: with squares as well (Friston et al. 1996, doi:10.1002/mrm.1910350312); ``simple``
and ``36p``: white matter and CSF, and the global signal (Ciric et al. 2017,
doi:10.1016/j.neuroimage.2017.03.020)."""

FD = 'framewise_displacement'
SAME_FD, SAME_FD_MM = 0.2, 0.01
"""Share, and mm, by which mean displacements of one run may differ by rounding and by the first
volumes (own convention)."""

GLOBAL = '+gsr'
"""End of a strategy's name that adds the global signal."""

TISSUES = ('CSF', 'WM')
"""Masks of the components that are taken."""

EXTRAPOLATE = False
"""Whether values beyond the first and last kept volume are made up before filtering."""


@dataclass(frozen=True)
class Confounds:
    """The table of a run, without its dummy volumes."""

    table: pd.DataFrame
    """One row for each volume that is used."""
    sidecar: Metadata
    """What the JSON says of the components."""
    path: Path
    """Where it was read."""
    notes: tuple[str, ...] = ()
    """What had to be computed, and what does not fit, as sentences."""

    def column(self, name: str) -> FloatArray:
        """Return a column; NaN where it is absent.

        Parameters
        ----------
        name : str
            In fMRIPrep's names.

        Returns
        -------
        (n_used,) ndarray
            In the unit of the column: mm for ``framewise_displacement``.
        """
        if name not in self.table:
            return np.full(len(self.table), np.nan)
        return self.table[name].to_numpy(dtype=float)


@dataclass(frozen=True)
class Cleaning:
    """Matrices that clean the series of a run."""

    filtered: FloatArray
    """(n_kept, n_volumes): confounds regressed out and band-passed."""
    regressed: FloatArray
    """(n_kept, n_volumes): confounds regressed out."""
    detrended: FloatArray
    """(n_volumes, n_volumes): slow drifts taken off, nothing else."""
    kept: BoolArray
    """(n_volumes,) volumes that were not censored."""
    regressors: pd.DataFrame
    """(n_volumes, n_regressors)."""
    n_regressors: int
    """Their rank over the kept volumes."""


def read_confounds(path: Path, sidecar: Path | None, n_volumes: int, n_dummy: int) -> Confounds:
    """Read a table of confounds in fMRIPrep's names and hold it against its series.

    Parameters
    ----------
    path : Path
        ``desc-confounds_timeseries.tsv`` or the older ``desc-confounds_regressors.tsv``.
    sidecar : Path or None
        JSON with the components' masks.
    n_volumes : int
        Of the series, dummy volumes among them.
    n_dummy : int
        Volumes at the start that are dropped.

    Raises
    ------
    InputDataError
        If it is no such table, or has another number of rows than the series has volumes.
    """
    return checked_confounds(read_confound_table(path), path, sidecar, n_volumes, n_dummy)


def read_confound_table(path: Path) -> pd.DataFrame:
    """Read a table of confounds as it is.

    Parameters
    ----------
    path : Path
        Tab-separated, with fMRIPrep's columns.

    Returns
    -------
    DataFrame
        One row for each volume of the file; NaN for ``n/a``.

    Raises
    ------
    InputDataError
        If it is no table.
    """
    with reading(path, 'table of confounds', 'run fMRIPrep again, or fetch it again'):
        return read_tsv(path, THEIRS)


def checked_confounds(
    table: pd.DataFrame, path: Path, sidecar: Path | None, n_volumes: int, n_dummy: int
) -> Confounds:
    """Check a table of confounds that was read against its series; as `read_confounds`.

    Parameters
    ----------
    table : DataFrame
        Of `read_confound_table`.
    path : Path
        Where it was read, for messages.
    sidecar, n_volumes, n_dummy
        See `read_confounds`.

    Raises
    ------
    InputDataError
        If it has another number of rows than the series has volumes, or a column of words.
    """
    if len(table) != n_volumes:
        raise InputDataError(
            f'{path} has {len(table)} rows, but the series has {n_volumes} volumes; one row is '
            'needed for each volume: fetch both again, or run fMRIPrep again.'
        )
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    if text:
        raise InputDataError(
            f'{path}: the column {text[0]} holds something else than numbers and n/a; fetch it '
            'again.'
        )
    infinite = np.isinf(table.to_numpy(dtype=float))
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        raise InputDataError(
            f'{path}: {table.columns[column]} is infinite in row {row + 1}; run fMRIPrep again, '
            'or fetch the table again.'
        )
    if {'RotX', 'FramewiseDisplacement'} & set(table):
        raise InputDataError(
            f'{path} has the column names of fMRIPrep 1.0 and 1.1 (FramewiseDisplacement, RotX); '
            'run fMRIPrep 20.2 or later.'
        )
    found: Any = {}
    if sidecar is not None:
        with reading(sidecar, 'JSON file', 'fetch it again'):
            found = sane(json.loads(read_text(sidecar)[0]))
    about = found if isinstance(found, dict) else {}
    moved, notes = _displacement(table, about)
    used = table.assign(framewise_displacement=moved).iloc[n_dummy:].reset_index(drop=True)
    # These columns are of volumes that were just left out; left in, they would be regressors of
    # zeros.
    steady = [name for name in used if not str(name).startswith('non_steady_state')]
    return Confounds(used[steady], about, path, notes)


def _displacement(table: pd.DataFrame, sidecar: Metadata) -> tuple[FloatArray, tuple[str, ...]]:
    """Return framewise displacement; from the motion parameters where the table has none.

    Where it has some, both are compared: by the displacements runs are judged and censored.
    """
    own = _of_parameters(table, sidecar)
    if FD not in table or table[FD].isna().all():
        computed = bool(np.isfinite(own).any())
        said = f'the table has no {FD}; it is computed from the motion parameters (Power 2012).'
        return own, (said,) if computed else ()
    given = table[FD].to_numpy(dtype=float)
    if not np.isfinite(own[1:]).all() or not np.isfinite(given[1:]).all():
        return given, ()
    means = float(given[1:].mean()), float(own[1:].mean())
    if abs(means[0] - means[1]) <= SAME_FD * means[1] + SAME_FD_MM:
        return given, ()
    said = (
        f'{FD} of the table is {means[0]:.2g} mm on average, and {means[1]:.2g} mm by its motion '
        'parameters (Power 2012: mm and radians): another definition, or another unit; the '
        "table's is used."
    )
    return given, (said,)


def _of_parameters(table: pd.DataFrame, sidecar: Metadata) -> FloatArray:
    """Return framewise displacement by Power et al. 2012, mm; NaN without motion parameters."""
    if not set(MOTION) <= set(table):
        return np.full(len(table), np.nan)
    values = table[list(MOTION)].to_numpy(dtype=float, copy=True)
    for index, name in enumerate(MOTION[3:], start=3):
        about = sidecar.get(name)
        unit = str(about.get('Units', '')) if isinstance(about, Mapping) else ''
        values[:, index] *= HEAD_RADIUS_MM * (np.pi / 180 if unit.startswith('deg') else 1.0)
    return np.append(np.nan, np.abs(np.diff(values, axis=0)).sum(axis=1))


def count_dummies(path: Path) -> int:
    """Count the volumes at the start that fMRIPrep marks as not of the steady state.

    Only the table of all confounds has them (``non_steady_state_outlier00`` ...).

    Parameters
    ----------
    path : Path
        Table of confounds.
    """
    return dummies_in(read_confound_table(path))


def dummies_in(table: pd.DataFrame) -> int:
    """Count the volumes at the start that a table marks as not of the steady state.

    Parameters
    ----------
    table : DataFrame
        Of `read_confound_table`.

    Returns
    -------
    int
        Up to the last one that is marked, so that none of them is used; 0 without marks.
    """
    marks = [name for name in table if str(name).startswith('non_steady_state')]
    marked = np.flatnonzero((table[marks] > 0).any(axis=1)) if marks else np.array([])
    return int(marked.max()) + 1 if len(marked) else 0


def choose_regressors(confounds: Confounds, strategy: str) -> pd.DataFrame:
    """Take the columns of a strategy out of a table.

    Parameters
    ----------
    confounds : Confounds
    strategy : str
        One of `STRATEGIES`, with or without ``+gsr``.

    Returns
    -------
    DataFrame
        (n_volumes, n_regressors), means taken off.

    Raises
    ------
    InputDataError
        If the table lacks what the strategy needs.
    """
    name = strategy.removesuffix(GLOBAL)
    wanted: dict[str, Any] = dict(STRATEGIES[name])
    if strategy.endswith(GLOBAL) and 'global_signal' not in wanted['strategy']:
        wanted['strategy'] = (*wanted['strategy'], 'global_signal')
        wanted['global_signal'] = 'basic'
    table, about = _with_one_name(confounds)
    if 'compcor' in wanted['strategy']:
        _check_components(confounds, about)
    lacking = [column for column in _columns_of(wanted) if column not in table]
    if lacking:
        raise InputDataError(
            f'{confounds.path}: --func-strategy {strategy} needs columns that are not there '
            f'({", ".join(lacking[:3])}{" ..." * (len(lacking) > 3)}); choose another strategy, '
            'or run fMRIPrep again.'
        )
    with TemporaryDirectory() as folder:
        stem = Path(folder) / 'sub-1_task-1'
        table.to_csv(f'{stem}_desc-confounds_timeseries.tsv', sep='\t', index=False, na_rep='n/a')
        Path(f'{stem}_desc-confounds_timeseries.json').write_text(json.dumps(about))
        image = Path(f'{stem}_desc-preproc_bold.nii.gz')
        image.touch()  # nilearn finds the table by the name of an image, which it does not open
        try:
            with warnings.catch_warnings(action='ignore'):
                chosen, _ = load_confounds(str(image), **wanted)
        except (ValueError, KeyError, IndexError, TypeError, FileNotFoundError) as error:
            raise InputDataError(
                f'{confounds.path}: --func-strategy {strategy} cannot be made of this table '
                f'({short(error)}); choose another strategy, or run fMRIPrep again.'
            ) from error
    return _complete(confounds, chosen)


def _columns_of(wanted: Mapping[str, Any]) -> list[str]:
    """List the columns, components apart, that arguments of nilearn's function ask for."""
    endings = {'basic': ('',), 'derivatives': ('', '_derivative1'),
               'full': ('', '_derivative1', '_power2', '_derivative1_power2')}  # fmt: skip
    names = {'motion': MOTION, 'wm_csf': ('white_matter', 'csf'),
             'global_signal': ('global_signal',)}  # fmt: skip
    return [f'{column}{ending}' for part, columns in names.items() if part in wanted
            for column in columns for ending in endings[wanted[part]]]  # fmt: skip


def check_strategy(path: Path, sidecar: Path | None, strategy: str) -> list[str]:
    """Refuse a table of which a strategy cannot be made; say what it lacks.

    Parameters
    ----------
    path : Path
        Table of confounds.
    sidecar : Path or None
        JSON beside it.
    strategy : str
        As in `choose_regressors`.

    Returns
    -------
    list of str
        Sentences on what is used less than the strategy asks for.

    Raises
    ------
    InputDataError
        See `checked_confounds` and `choose_regressors`.
    """
    table = read_confound_table(path)
    confounds = checked_confounds(table, path, sidecar, len(table), dummies_in(table))
    choose_regressors(confounds, strategy)
    return lacking_tissues(confounds, strategy)


def lacking_tissues(confounds: Confounds, strategy: str) -> list[str]:
    """Say which tissue has no components, where the strategy uses those of both.

    Parameters
    ----------
    confounds : Confounds
    strategy : str
        As in `choose_regressors`.
    """
    if 'compcor' not in strategy:
        return []
    return [f'the table has no components of {name} alone (an empty mask), so that none are used.'
            for name in TISSUES if name not in components_of(confounds)]  # fmt: skip


def components_of(confounds: Confounds) -> dict[str, list[str]]:
    """Return the anatomical components of each tissue that the table has, the largest first.

    Parameters
    ----------
    confounds : Confounds
        With names of fMRIPrep 1.2 to 20.2 (``a_comp_cor_00`` of all masks) or of 21 and later
        (``c_comp_cor_00``, ``w_comp_cor_00``).

    Returns
    -------
    dict of str to list of str
        ``CSF`` and ``WM``, where there are any.
    """
    found: dict[str, list[str]] = {}
    for name, about in confounds.sidecar.items():
        mask = about.get('Mask') if isinstance(about, Mapping) else None
        if mask in TISSUES and name in confounds.table and '_comp_cor_' in name:
            found.setdefault(str(mask), []).append(str(name))
    return {mask: sorted(names, key=_number) for mask, names in sorted(found.items())}


def _number(name: str) -> int:
    """Return the number of a component: fMRIPrep's names have two digits, and then three."""
    digits = name.rpartition('_')[2]
    return int(digits) if digits.isdigit() else 0


def _check_components(confounds: Confounds, about: Metadata) -> None:
    """Refuse a table without components of a single tissue."""
    if not confounds.sidecar:
        raise InputDataError(
            f'{confounds.path}: the JSON file beside it is missing or empty, which tells '
            'components of white matter from those of CSF; add it, or choose '
            '--func-strategy simple.'
        )
    if not about:
        raise InputDataError(
            f'{confounds.path} has no components of white matter or of CSF alone, by the JSON '
            'file beside it (Mask); choose --func-strategy simple, or run fMRIPrep again.'
        )


def _with_one_name(confounds: Confounds) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what nilearn needs of a table and its JSON, components numbered from 0 without gaps.

    nilearn counts the components instead of reading their names, so that it misses those behind
    one that is not there.
    """
    groups, new = components_of(confounds), _new_names(confounds)
    names = list(new)
    about = {new[name]: {'Mask': mask} for mask, one in groups.items() for name in one}
    others = [name for name in confounds.table if '_comp_cor_' not in str(name)]
    return confounds.table[[*others, *names]].rename(columns=new), about


def _new_names(confounds: Confounds) -> dict[str, str]:
    """Return the name under which nilearn is given each component."""
    names = [name for one in components_of(confounds).values() for name in one]
    return {name: f'a_comp_cor_{number:02d}' for number, name in enumerate(names)}


def _complete(confounds: Confounds, chosen: pd.DataFrame) -> pd.DataFrame:
    """Refuse regressors with gaps, which would make every series NaN."""
    table = pd.DataFrame(chosen)
    gaps = table.isna()
    if gaps.to_numpy().any():
        column = str(gaps.columns[gaps.any()][0])
        row = int(np.flatnonzero(gaps[column])[0]) + 1
        own = {new: name for name, new in _new_names(confounds).items()}.get(column, column)
        raise InputDataError(
            f'{confounds.path}: {own} has no value in row {row} (dummy volumes not counted); '
            'run fMRIPrep again, or choose another --func-strategy.'
        )
    return table


def censored(displacement: FloatArray, threshold: float | None) -> BoolArray:
    """Tell which volumes are kept: not those of large motion, nor the one after each.

    Parameters
    ----------
    displacement : (n_volumes,) ndarray
        Framewise displacement in mm; that of the first volume is not known and counts as none.
    threshold : float or None
        In mm; None keeps all.

    Returns
    -------
    (n_volumes,) ndarray of bool
        True where kept.

    Examples
    --------
    >>> censored(np.array([np.nan, 0.1, 0.9, 0.1, 0.1]), 0.5)
    array([ True,  True, False, False,  True])

    References
    ----------
    Power JD et al. (2012). Spurious but systematic correlations in functional connectivity MRI
    networks arise from subject motion. NeuroImage 59(3):2142-2154.
    https://doi.org/10.1016/j.neuroimage.2011.10.018
    """
    if threshold is None:
        return np.ones(len(displacement), dtype=bool)
    moved = np.nan_to_num(displacement) > threshold
    # The magnetisation that motion has disturbed takes a repetition time or more to come back.
    after = np.concatenate([[False], moved[:-1]])
    return np.asarray(~(moved | after))


def make_cleaning(
    regressors: pd.DataFrame,
    cosines: pd.DataFrame,
    kept: BoolArray,
    repetition_time: float,
    band: tuple[float, float],
) -> Cleaning:
    """Make the matrices that clean the series of a run.

    Filter and regression are made together, so that neither brings back what the other took
    (Lindquist et al. 2019, doi:10.1002/hbm.24528); censored volumes are interpolated for the
    filter and then left out.

    Parameters
    ----------
    regressors : DataFrame
        (n_volumes, n_regressors).
    cosines : DataFrame
        (n_volumes, n): slow drifts.
    kept : (n_volumes,) ndarray of bool
    repetition_time : float
        In s.
    band : (float, float)
        In Hz.
    """
    n = len(kept)
    common: dict[str, Any] = {
        'detrend': True, 'standardize': None, 't_r': repetition_time, 'extrapolate': EXTRAPOLATE,
    }  # fmt: skip
    mask = None if kept.all() else np.flatnonzero(kept)
    nyquist = 1 / (2 * repetition_time)
    # A filter cannot pass what is not there: SciPy refuses an edge at or beyond the Nyquist
    # frequency.
    highest = band[1] if band[1] < nyquist else None
    values = regressors.to_numpy(dtype=float) if regressors.shape[1] else None
    drifts = cosines.to_numpy(dtype=float) if cosines.shape[1] else None
    with warnings.catch_warnings(action='ignore'):
        filtered = signal.clean(
            np.eye(n), confounds=values, sample_mask=mask, filter='butterworth',
            high_pass=band[0], low_pass=highest, **common,
        )  # fmt: skip
        regressed = signal.clean(
            np.eye(n), confounds=values, sample_mask=mask, filter=False, **common
        )
        detrended = signal.clean(np.eye(n), confounds=drifts, filter=False, **common)
    # Of the kept volumes: a regressor that is one censored volume takes nothing more.
    rank = 0 if values is None else int(np.linalg.matrix_rank(values[kept]))
    return Cleaning(filtered, regressed, detrended, kept, regressors, rank)
