"""Runs joined into one series with one checked gradient table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes

from bids_acc.dwi.appended import appended_maps
from bids_acc.dwi.gradients import Gradients
from bids_acc.dwi.levels import Levels, drift, judge_levels, mean_levels, slices_lost
from bids_acc.dwi.shells import (
    B0_THRESHOLD,
    GradientReport,
    Scaling,
    bvecs_to_scanner,
    check_gradients,
    scheme_hash,
)
from bids_acc.dwi.volumes import Volumes, copied_volumes, read_base, read_table, read_volumes
from bids_acc.exceptions import InputDataError
from bids_acc.images.distortion import phase_axis, readout_time, reversed_pe_of
from bids_acc.images.files import check_same_grid
from bids_acc.images.resampling import on_grid
from bids_acc.images.volumes import (
    check_gaps,
    check_range,
    check_wrapped,
    close_gaps,
    lost_planes,
)
from bids_acc.typing import BoolArray, FloatArray, Metadata

SAME_READOUT = 0.01
"""Runs whose displacement by a field differs by less than this share are distorted alike."""

Combine = Literal['field', 'same', 'corrected']
"""Which runs are joined, see `join_runs`."""

NOISE_SHARE = 0.1
"""Share of a volume's largest values up to which a value may be noise around zero."""
MAX_NEGATIVE = 0.05
"""Share of negative values beyond noise above which a series is no magnitude. Own convention."""
MAX_CLIPPED = 0.005
"""Share of a volume's voxels with signal that may hold its largest value. Own convention: in an
image whose range fits, one voxel or a few do."""
MAX_DRIFT = 0.1
"""Change of signal through a run that is named. Own convention: Vos et al. 2017 (see
`bids_acc.dwi.levels.drift`) measured some 5 % in 15 minutes."""
DOUBTFUL_WRAP = 0.03
"""Share of the brightest voxels beside the darkest (`bids_acc.images.volumes.wrapped_share`) from
which it is named. Own convention: b = 0 images of OpenNeuro ds000114 that were clipped at 8 or 12
bits have .001, those in which values began again from the percentile 90 on .04."""
MAX_STEP = 0.1
"""Largest distance of neighbouring grey values, as a share of the weighted signal. Own convention:
the error that rounding makes is then 3 %, that of noise in a fair image."""


@dataclass(frozen=True)
class Series:
    """All usable volumes of one session."""

    data: npt.NDArray[np.float32]
    """(i, j, k, n_volumes)."""
    affine: FloatArray
    gradients: Gradients
    bvecs_hash: str
    """See `bids_acc.dwi.shells.scheme_hash`."""
    n_expected: int
    """Volumes in the files; less those without a direction gives the volumes of `data`."""
    findings: tuple[str, ...]
    """What was irregular, in sentences."""
    slice_axis: int
    """Voxel axis along which slices were acquired."""
    acquisition: tuple[Acquisition, ...]
    """Of each run, whether it is used or not."""
    used: tuple[int, ...]
    """Numbers of the runs in `data`, in the order of the files; `gradients` tells that of `data`,
    where the reference's group comes first."""
    reversed_pe: npt.NDArray[np.float32] | None
    """(i, j, k, n) b = 0 volumes of reversed phase encoding, where there are any."""
    reversed_pe_acquisition: Acquisition | None
    """Of those."""
    negative: float
    """Of the runs in `data`, the largest `negative_share`."""
    clipped: float
    """Of the runs in `data`, the largest `clipped_share`."""
    drift: float
    """Of the runs in `data`, the largest change of signal from the first to the last volume, see
    `bids_acc.dwi.levels.drift`."""


@dataclass(frozen=True)
class Acquisition:
    """How phase was encoded."""

    direction: str
    """BIDS' PhaseEncodingDirection."""
    readout: float
    """Total readout time in s; NaN if unknown."""

    def describe(self) -> str:
        """Name direction and readout time in words.

        Examples
        --------
        >>> Acquisition('j-', 0.05).describe(), Acquisition('i', float('nan')).describe()
        ('j- with a readout of 0.05 s', 'i')
        """
        known = f' with a readout of {self.readout:.4g} s' if np.isfinite(self.readout) else ''
        return self.direction + known


def acquisition_of(metadata: Metadata, shape: Sequence[int]) -> Acquisition:
    """Read phase-encoding direction and total readout time from a sidecar.

    Parameters
    ----------
    metadata : mapping
        ``PhaseEncodingDirection`` or ``PhaseEncodingAxis``; ``j`` (usually anterior-posterior) is
        assumed without. See `readout_time` for the time.
    shape : sequence of int
        Voxels along each axis; those along the phase encoding may be needed.
    """
    given = metadata.get('PhaseEncodingDirection') or metadata.get('PhaseEncodingAxis') or 'j'
    return Acquisition(str(given), readout_time(metadata, shape['ijk'.index(str(given)[0])]))


@dataclass(frozen=True)
class _Run:
    """One run as it was read."""

    number: int
    data: npt.NDArray[np.float32]
    table: Gradients
    raw: tuple[FloatArray, FloatArray]
    axis: FloatArray
    acquisition: Acquisition
    spacing: float
    n_expected: int
    negative: float
    """See `negative_share`."""
    clipped: float
    """See `clipped_share`."""
    drift: float
    """See `bids_acc.dwi.levels.drift`."""

    @property
    def n_weighted(self) -> int:
        """Usable volumes with diffusion weighting."""
        return int((self.table.bvals > B0_THRESHOLD).sum())

    @property
    def n_base(self) -> int:
        """Usable volumes without."""
        return len(self.table.bvals) - self.n_weighted

    @property
    def stretch(self) -> float:
        """Displacement by a field of 1 Hz, mm."""
        return self.acquisition.readout * self.spacing

    def is_distorted_like(self, other: _Run) -> bool:
        """Tell whether phase was encoded alike; an unknown readout time is taken for equal.

        Parameters
        ----------
        other : _Run
            Alike are axes less than 26 degrees apart (cosine of 0.9), of the same sign, with
            displacements per Hz that differ by less than `SAME_READOUT`.
        """
        if self.axis @ other.axis < 0.9:
            return False
        return not abs(self.stretch / other.stretch - 1) > SAME_READOUT


def join_runs(
    dwi_files: Sequence[str | Path],
    bval_files: Sequence[str | Path],
    bvec_files: Sequence[str | Path],
    sidecars: Sequence[Metadata],
    reversed_pe: Sequence[tuple[str | Path, Metadata]] = (),
    combine: Combine = 'field',
    *,
    imaginary_files: Sequence[str | Path] = (),
    b0_threshold: float = B0_THRESHOLD,
    scaling: Scaling = 'auto',
) -> Series:
    """Read all runs and join them.

    Runs that are distorted alike form a group. The reference is the group with most
    diffusion-weighted volumes (among those with images of reversed phase encoding, where there
    are any), and its runs come first in the series. Volumes with b > 0 and no direction, and
    volumes without any signal, are left out.

    Parameters
    ----------
    dwi_files, bval_files, bvec_files : sequence of Path
        One of each per run; FSL gradient files in either orientation.
    sidecars : sequence of mapping
        Metadata of each run; may be empty.
    reversed_pe : sequence of (Path, mapping)
        Further images of reversed phase encoding, b = 0, with their metadata.
    combine : {'field', 'same', 'corrected'}
        Which runs are joined. ``field``: all, because a distortion field will bring them
        together (but those without a b = 0 volume to align them with). ``same``: those of the
        reference's group. ``corrected``: all, as nothing is distorted any more.
    imaginary_files : sequence of Path, optional
        Imaginary part of each run whose file is a real part; an empty name for the others.
    b0_threshold : float
        Largest b-value that counts as zero, s/mm2.
    scaling : {'auto', 'yes', 'no'}
        Whether b-values are told by the length of directions, see
        `bids_acc.dwi.shells.scaled_bvalues`.

    Returns
    -------
    Series

    Raises
    ------
    InputDataError
        If files do not fit each other.
    """
    if not dwi_files:
        raise InputDataError('no diffusion run was given.')
    metadata = list(sidecars) or [{}] * len(dwi_files)
    parts = list(imaginary_files) or [''] * len(dwi_files)
    tables = zip(bval_files, bvec_files, strict=True)
    images = [read_volumes(*pair) for pair in zip(dwi_files, parts, strict=True)]
    grid = (images[0][0].shape, images[0][1])
    findings: list[str] = []
    runs: list[_Run] = []
    for number, (image, table) in enumerate(zip(images, tables, strict=True)):
        check_same_grid(grid, (image[0].shape, image[1]), Path(dwi_files[number]).name)
        run, found = _read_run(
            number, image, table, metadata[number], str(dwi_files[number]),
            b0_threshold=b0_threshold, scaling=scaling,
        )  # fmt: skip
        label = f'run {number + 1}: ' if len(dwi_files) > 1 else ''
        findings += [label + f for f in found]
        runs.append(run)
    further = []
    for path, sidecar in reversed_pe:
        data, affine = read_base(path, b0_threshold)
        further.append((data, affine, acquisition_of(sidecar, data.shape)))
    used, reasons = _chosen(runs, [entry[2] for entry in further], combine)
    findings += [f'run {r.number + 1}: {reason}: not used.' for r, reason in reasons]
    reference = used[0][0]
    pair = _opposite_pair(runs, further, reference, grid[1])
    return _as_series(
        runs, used, grid, findings, pair, slice_axis=_slice_axis(metadata[reference.number])
    )


def _read_run(
    number: int,
    image: tuple[Volumes, FloatArray],
    gradient_files: tuple[str | Path, str | Path],
    metadata: Metadata,
    where: str,
    *,
    b0_threshold: float,
    scaling: Scaling,
) -> tuple[_Run, list[str]]:
    """Check a run's signal and gradients, and keep what is usable; also what was irregular."""
    raw, affine = image
    check_signal(raw, where)
    data, gaps = without_gaps(raw)
    report = check_gradients(
        *read_table(*gradient_files, affine),
        data.shape[3],
        b0_threshold=b0_threshold,
        scaling=scaling,
    )
    check_positive(data, where)
    base = ~report.bvecs.any(axis=1)
    wrapped = check_wrapped(data[..., base] if base.any() else data, where)
    run, found = _as_run(number, data, affine, report, metadata, where)
    if wrapped > DOUBTFUL_WRAP:
        found.append(
            f'{wrapped:.0%} of the brightest voxels of b = 0 lie beside the darkest: look '
            'whether values were too large for their integers and began again at zero.'
        )
    if gaps:
        found.append(f'{gaps} values inside the object are NaN: their neighbours were taken.')
    return run, found


def _chosen(
    runs: Sequence[_Run], further: Sequence[Acquisition], combine: Combine
) -> tuple[list[list[_Run]], list[tuple[_Run, str]]]:
    """Choose the groups of runs to join, the reference's first; also why others are not."""
    copies = _copies(runs)
    left = [run.number for run, _ in copies]
    distinct = [run for run in runs if run.number not in left]
    used, reasons = _usable_groups(_grouped(distinct, further, combine), combine)
    return used, [*copies, *reasons]


def _as_series(
    runs: Sequence[_Run],
    used: Sequence[Sequence[_Run]],
    grid: tuple[tuple[int, ...], FloatArray],
    findings: Sequence[str],
    pair: tuple[Volumes, FloatArray, Acquisition] | None,
    *,
    slice_axis: int,
) -> Series:
    """Join the chosen groups of runs."""
    chosen = [run for group in used for run in group]
    # concatenating a single run would copy the largest array of the step
    data = chosen[0].data if len(chosen) == 1 else np.concatenate([r.data for r in chosen], axis=3)
    return Series(
        data=data,
        affine=grid[1],
        gradients=_joined([_placed(run, n, chosen[0]) for n, g in enumerate(used) for run in g]),
        bvecs_hash=scheme_hash(
            np.concatenate([run.raw[0] for run in chosen]),
            np.concatenate([run.raw[1] for run in chosen]),
        ),
        n_expected=sum(run.n_expected for run in chosen),
        findings=tuple(dict.fromkeys(findings)),
        slice_axis=slice_axis,
        acquisition=tuple(run.acquisition for run in runs),
        used=tuple(sorted(run.number for run in chosen)),
        reversed_pe=on_grid(*pair[:2], *grid) if pair else None,
        reversed_pe_acquisition=pair[2] if pair else None,
        negative=max(run.negative for run in chosen),
        clipped=max(run.clipped for run in chosen),
        drift=max((run.drift for run in chosen), key=lambda value: np.nan_to_num(abs(value))),
    )


def check_signal(data: Volumes, where: str) -> None:
    """Refuse a series without signal, or one that is mostly holes.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray
        Signal.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If all voxels of every volume are the same, or more than a tenth of the object in the
        volume with most voxels is not finite, or values cannot be computed with.
    """
    finite = np.isfinite(data)
    values = data[finite]
    if not values.size or np.ptp(values) <= 0:
        raise InputDataError(f'{where}: the series is constant: it holds no signal.')
    check_range(values, where)
    check_slices(data, where)
    fullest = int(finite.sum(axis=(0, 1, 2)).argmax())
    if not finite[..., fullest].all():
        check_gaps(close_gaps(data[..., fullest])[1], where)


def check_positive(data: Volumes, where: str) -> None:
    """Refuse a series whose signal is mostly negative.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray
        Signal.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If it is in the middle volume.
    """
    share = negative_share(data[..., data.shape[3] // 2])
    if share > 0.5:
        raise InputDataError(
            f'{where}: {share:.0%} of the signal is negative: look at scl_slope and scl_inter in '
            'the header, or convert the images again.'
        )


def check_slices(data: Volumes, where: str) -> None:
    """Refuse a series in which slices between others are empty in every volume.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray
        Signal.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        With their numbers.
    """
    empty = np.asarray(~np.nan_to_num(data).any(axis=(0, 1, 3)))
    lost = np.flatnonzero(lost_planes(empty[None, None])[0, 0])
    if lost.size:
        raise InputDataError(
            f'{where}: slices {", ".join(map(str, lost[:8]))}{" ..." if lost.size > 8 else ""} '
            f'({lost.size} of {empty.size}) are empty in every volume; convert the images again.'
        )


def without_gaps(data: Volumes) -> tuple[Volumes, int]:
    """Replace values that are not finite, volume by volume, as in a T1w image.

    Programs that filter in the Fourier domain spread a NaN over its whole line, so a background
    of NaN cannot stay. Volumes without any value stay as they are: they are left out later.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) ndarray
        NaN or infinite where unknown.

    Returns
    -------
    data : (nx, ny, nz, n_volumes) ndarray
        See `bids_acc.images.volumes.close_gaps`; the array itself if all is finite.
    count : int
        Values inside the object that were replaced.
    """
    finite = np.isfinite(data)
    holed = [n for n in np.flatnonzero(~finite.all(axis=(0, 1, 2))) if finite[..., n].any()]
    closed = data.copy() if holed else data
    for volume in holed:
        closed[..., volume] = close_gaps(data[..., volume])[0]
    count = int((closed[..., holed][~finite[..., holed]] != 0).sum())
    return closed, count


def negative_share(data: npt.ArrayLike) -> float:
    """Return the share of negative values among those that are no noise.

    A magnitude image has none, one that was interpolated or whose phase was corrected hardly any
    beyond the noise; one from which a mean was subtracted has many.

    Parameters
    ----------
    data : array_like
        Signal of one volume.

    Returns
    -------
    float
        Among values beyond `NOISE_SHARE` of the largest (99th percentile); NaN without any.

    Examples
    --------
    >>> negative_share([100.0, 80.0, -1.0, 60.0, -70.0])
    0.25
    """
    values = np.asarray(data)[np.isfinite(data)]
    size = np.abs(values)
    if not size.size:
        return float('nan')
    signal = values[size > NOISE_SHARE * np.percentile(size, 99)]
    return float((signal < 0).mean()) if signal.size else float('nan')


def clipped_share(data: npt.ArrayLike) -> float:
    """Return the share of voxels with signal that hold the largest value.

    Where the range of numbers ended below the signal, as of a receiver driven too far or integers
    too short, fluid and coil side of the b = 0 images are cut off, and diffusivities with them.

    Parameters
    ----------
    data : array_like
        Signal of one volume.

    Returns
    -------
    float
        Among values beyond `NOISE_SHARE` of the largest; NaN without any.

    Examples
    --------
    >>> clipped_share([0.0, 0.0, 90.0, 80.0, 100.0, 100.0])
    0.5
    """
    values = np.asarray(data)[np.isfinite(data)]
    signal = values[values > NOISE_SHARE * values.max(initial=0.0)]
    return float((signal == signal.max()).mean()) if signal.size else float('nan')


def _copies(runs: Sequence[_Run]) -> list[tuple[_Run, str]]:
    """Name the runs that hold the same values as one before them."""
    found: list[tuple[_Run, str]] = []
    for later, run in enumerate(runs):
        for before in runs[:later]:
            if run.data.shape == before.data.shape and np.array_equal(run.data, before.data):
                found.append((run, f'it is a copy of run {before.number + 1}'))
                break
    return found


def _opposite_pair(
    runs: Sequence[_Run],
    further: Sequence[tuple[Volumes, FloatArray, Acquisition]],
    reference: _Run,
    affine: FloatArray,
) -> tuple[Volumes, FloatArray, Acquisition] | None:
    """Return the first b = 0 images whose phase encoding is the reverse of the reference's."""
    wanted = reversed_pe_of(reference.acquisition.direction)
    own = [
        (run.data[..., run.table.bvals <= B0_THRESHOLD], affine, run.acquisition)
        for run in runs if run.n_base
    ]  # fmt: skip
    fitting = [e for e in (*own, *further) if e[2].direction == wanted and e[0].shape[3]]
    return fitting[0] if fitting else None


def _as_run(
    number: int,
    data: npt.NDArray[np.float32],
    affine: FloatArray,
    report: GradientReport,
    metadata: Metadata,
    where: str,
) -> tuple[_Run, list[str]]:
    """Keep the usable volumes of a run; also what was irregular."""
    axis, assumed = phase_axis(metadata, affine)
    acquisition = acquisition_of(metadata, data.shape)
    keep, unusable = _usable_volumes(data, report)
    damaged, said = _damaged_base(data, report, keep, _slice_axis(metadata))
    keep &= ~damaged
    levels, told = _levels(data, report, keep, where)
    drifted = drift(levels, report.bvals[keep] * report.bvecs[keep].any(axis=1))
    keep[np.flatnonzero(keep)[levels.stray]] = False
    first = int(keep.argmax())
    negative, clipped = negative_share(data[..., first]), clipped_share(data[..., first])
    findings = [*(f for f in (*report.findings, assumed) if f), *unusable, *said, *told]
    findings += _drift_findings(drifted)
    findings += _too_coarse(data, report, keep)
    findings += _signal_findings(first, negative, clipped)
    count = int(keep.sum())
    table = Gradients(
        report.bvals[keep],
        bvecs_to_scanner(report.bvecs, affine)[keep],
        np.tile(axis, (count, 1)),
        np.full(count, number, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.ones(count),
    )
    run = _Run(
        number=number,
        data=data if keep.all() else data[..., keep],
        table=table,
        raw=(report.bvals, report.bvecs),
        axis=axis,
        acquisition=acquisition,
        spacing=float(voxel_sizes(affine)['ijk'.index(acquisition.direction[0])]),
        n_expected=data.shape[3],
        negative=negative,
        clipped=clipped,
        drift=drifted,
    )
    return run, findings


def _usable_volumes(data: Volumes, report: GradientReport) -> tuple[BoolArray, list[str]]:
    """Tell which volumes hold signal that the gradient table explains; also what others hold."""
    findings = []
    blank = np.array([not np.any(np.nan_to_num(data[..., n])) for n in range(data.shape[3])])
    if blank.any():
        listed = ', '.join(map(str, np.flatnonzero(blank)))
        findings.append(f'volumes {listed} hold no signal: not used.')
    maps = _appended(data, report, blank)
    if maps.any():
        listed = ', '.join(map(str, np.flatnonzero(maps)))
        findings.append(
            f'volumes {listed} count as b = 0 and show the diffusivity or the mean of weighted '
            'volumes, as maps do that a scanner appends: not used.'
        )
    copies = copied_volumes(data, report.bvals, report.bvecs)
    if copies:
        listed = ', '.join(f'{volume} of {before}' for volume, before in copies.items())
        findings.append(f'volumes that repeat another, of another weighting ({listed}): not used.')
    copied = np.isin(np.arange(data.shape[3]), list(copies))
    return report.usable & ~blank & ~maps & ~copied, findings


def _slice_axis(metadata: Metadata) -> int:
    """Return the voxel axis of the slices: that of ``SliceEncodingDirection``, else the third.

    Examples
    --------
    >>> _slice_axis({}), _slice_axis({'SliceEncodingDirection': 'j-'})
    (2, 1)
    """
    return 'ijk'.index(str(metadata.get('SliceEncodingDirection', 'k'))[0])


def _damaged_base(
    data: Volumes, report: GradientReport, keep: BoolArray, slice_axis: int
) -> tuple[BoolArray, list[str]]:
    """Tell which b = 0 volumes lost slices, where others did not; also in words.

    The first b = 0 volume is the reference of motion and mask: with a hole it would leave one in
    every map. Of weighted volumes the fit leaves out the lost slices alone.
    """
    base = np.flatnonzero(keep & ~report.bvecs.any(axis=1))
    lost = slices_lost(data, base, slice_axis)
    damaged = np.zeros(data.shape[3], dtype=bool)
    if len(lost) == base.size:
        return damaged, []
    damaged[list(lost)] = True
    return damaged, [
        f'volume {volume} (b = 0) lost the signal of slices {_named(np.array(slices))}: not used.'
        for volume, slices in lost.items()
    ]


def _drift_findings(drifted: float) -> list[str]:
    """Say that the signal changed while a run was acquired."""
    if abs(drifted) <= MAX_DRIFT:
        return []
    finding = (
        f'the signal changes by {drifted:+.0%} from the first to the last volume: where b = 0 '
        'and weighted volumes were acquired at different times, diffusivities are off by it.'
    )
    return [finding]


def _signal_findings(volume: int, negative: float, clipped: float) -> list[str]:
    """Say what the signal of a run's first usable volume cannot be trusted for."""
    findings = []
    if clipped > MAX_CLIPPED:
        findings.append(
            f'{clipped:.1%} of the signal of volume {volume} holds the largest value: '
            'the image is clipped, and diffusivities there are too small.'
        )
    if negative > MAX_NEGATIVE:
        findings.append(
            f'{negative:.0%} of the signal is negative: this is no magnitude image, or something '
            'was subtracted from it; diffusivities are wrong.'
        )
    return findings


def _levels(
    data: Volumes, report: GradientReport, keep: BoolArray, where: str
) -> tuple[Levels, list[str]]:
    """Compare the brightness of the usable volumes; also those that are left out, in words."""
    numbers = np.flatnonzero(keep)
    bvals = report.bvals[keep] * report.bvecs[keep].any(axis=1)
    chosen = data if keep.all() else data[..., numbers]
    levels = judge_levels(mean_levels(chosen), bvals)
    if levels.exchanged():
        bright = levels.bright() & (bvals > 0)
        others = f'volumes {_named(numbers[bright])} count' if bright.any() else 'others count'
        raise InputDataError(
            f'{where}: volumes {_named(numbers[levels.dark_base])} count as b = 0 and are as dark '
            f'as weighted ones, {others} as weighted and are as bright as b = 0: the gradient '
            'table is not in the order of the volumes. Convert both again, together.'
        )
    if not levels.stray.any():
        return levels, []
    several = levels.stray.sum() > 1
    ratios = levels.ratio[levels.stray]
    low, high = (f'{value:.2g}' for value in (ratios.min(), ratios.max()))
    finding = (
        f'volume{"s" if several else ""} {_named(numbers[levels.stray])} '
        f'{"have" if several else "has"} {low if low == high else f"{low} to {high}"} times the '
        'signal of the others with the same b-value, as where it is lost or the scanner was not '
        'in a steady state: not used.'
    )
    return levels, [finding]


def _named(numbers: npt.NDArray[np.intp]) -> str:
    """Name the first few volumes."""
    more = f' and {numbers.size - 8} more' if numbers.size > 8 else ''
    return ', '.join(map(str, numbers[:8])) + more


def _too_coarse(data: Volumes, report: GradientReport, keep: BoolArray) -> list[str]:
    """Say that an image has too few grey values for its weighted signal."""
    weighted = np.flatnonzero(keep & report.bvecs.any(axis=1))
    if not weighted.size:
        return []
    values = data[..., weighted[0]]
    grey = np.unique(values[np.isfinite(values)])
    object_ = values[values > NOISE_SHARE * grey.max()]
    if grey.size < 3 or not object_.size:
        return []
    share = float(np.diff(grey).min() / np.median(object_))
    if share <= MAX_STEP:
        return []
    finding = (
        f'grey values are {share:.0%} of the weighted signal apart: too coarse, diffusivities and '
        'FA are rounded with them; convert the images again, with more bits.'
    )
    return [finding]


def _appended(data: Volumes, report: GradientReport, blank: BoolArray) -> BoolArray:
    """Tell which usable volumes are maps that pass for b = 0."""
    usable = np.flatnonzero(report.usable & ~blank)
    found = np.zeros(data.shape[3], dtype=bool)
    if usable.size < data.shape[3]:
        data = data[..., usable]
    found[usable] = appended_maps(data, ~report.bvecs[usable].any(axis=1))
    return found


def _grouped(
    runs: Sequence[_Run], further: Sequence[Acquisition], combine: Combine
) -> list[list[_Run]]:
    """Put together what is distorted alike; the group of the reference first."""
    if combine == 'corrected':
        return [list(runs)]
    groups: list[list[_Run]] = []
    for run in runs:
        fitting = [g for g in groups if g[0].is_distorted_like(run)]
        if fitting:
            fitting[0].append(run)
        else:
            groups.append([run])
    there = {a.direction for a in further} | {r.acquisition.direction for r in runs if r.n_base}

    def rank(group: list[_Run]) -> tuple[bool, int]:
        has_base = any(run.n_base for run in group)
        paired = has_base and reversed_pe_of(group[0].acquisition.direction) in there
        return (combine == 'field' and paired), sum(run.n_weighted for run in group)

    first = max(groups, key=rank)
    return [first, *(g for g in groups if g is not first)]


def _usable_groups(
    groups: Sequence[list[_Run]], combine: Combine
) -> tuple[list[list[_Run]], list[tuple[_Run, str]]]:
    """Tell which groups are joined with the first, and why the runs of the others are not."""
    first, *others = groups
    used, reasons = [first], []
    for group in others:
        known = np.isfinite(group[0].stretch / first[0].stretch)
        reason = ''
        if combine == 'same':
            reason = (
                'it is distorted in another way (phase encoding '
                f'{group[0].acquisition.describe()} instead of '
                f'{first[0].acquisition.describe()}), and no distortion field is estimated that '
                'would bring the runs together (see --dwi-susceptibility)'
            )
        elif not any(run.n_base for run in group):
            reason = 'it has another phase encoding and no b = 0 volume to align it with'
        elif not known and abs(group[0].axis @ first[0].axis) < 0.9:
            reason = (
                'its phase encoding runs along another axis, and without TotalReadoutTime it is '
                'not known how far its signal is displaced'
            )
        if reason:
            reasons += [(run, reason) for run in group]
        else:
            used.append(group)
    return used, reasons


def _placed(run: _Run, group: int, reference: _Run) -> Gradients:
    """Complete a run's table with its group and its displacement relative to the reference's."""
    count = len(run.table.bvals)
    ratio = run.stretch / reference.stretch if group else 1.0
    return replace(
        run.table,
        groups=np.full(count, group, dtype=np.int64),
        ratios=np.full(count, ratio if np.isfinite(ratio) else 1.0),
    )


def _joined(tables: Sequence[Gradients]) -> Gradients:
    """Join gradient tables, volume after volume."""
    return Gradients(
        *(
            np.concatenate([getattr(table, entry.name) for table in tables])
            for entry in fields(Gradients)
        )
    )
