"""A raw BOLD run: what is offered to the built-in line, and what its volumes and sidecar must be.

The plan refuses by these rules before anything is computed; the run refuses by the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from bids_acc.exceptions import InputDataError, MetadataError
from bids_acc.images.phase import FieldMap
from bids_acc.typing import Metadata, Volume

MIN_TR, MAX_TR = 0.2, 12.0
"""Accepted repetition times, s."""
MAX_TE = 0.2
"""Echo time in s beyond which it must be in another unit: four times T2* of grey matter at 3 T,
after which nothing is left (own convention)."""
SAME_STEP_S = 1e-3
"""Difference of the distances of volumes, s, up to which they are the same (own convention)."""
MIN_VOLUMES = 40
MIN_SECONDS = 120.0
"""A shorter series tells nothing of fluctuations of .01 Hz: own convention."""

MOST_LACKING = 0.25
"""Share of slices without a value from which a volume is a part of one: the scanner's own
correction of motion empties one or two at an edge (own convention)."""
CHECKED_VOLUMES = 50
"""Volumes at the start among which those before the steady state are looked for."""
LARGE = 0.1
"""Share of the brightest voxels' value above which a value is no noise of the background (own
convention)."""
MOSTLY_NEGATIVE = 0.25
"""Share of values below zero from which a series has lost its mean: half of them would be, were
all of it gone (own convention)."""
SOME_NEGATIVE = 1e-3
"""Share from which it is told (own convention)."""
OUTLIER_Z = 3.5
"""Modified z-score of an outlier (Iglewicz & Hoaglin 1993, How to detect and handle outliers)."""


NAMING = {
    'task': 'task', 'acquisition': 'acq', 'ceagent': 'ce', 'reconstruction': 'rec',
    'direction': 'dir', 'run': 'run',
}  # fmt: skip
"""PyBIDS' name of each entity that tells runs apart, and its key in file names."""


@dataclass(frozen=True)
class RawRun:
    """One run of BOLD images, one image for each echo."""

    images: tuple[Path, ...]
    """In the order of their echo times."""
    metadata: tuple[Mapping[str, Any], ...]
    """Of each image."""
    entities: Mapping[str, str] = field(default_factory=dict)
    """Without ``echo`` and ``part``."""
    reversed_pe: tuple[tuple[Path, Mapping[str, Any]], ...] = ()
    """Images of reversed phase encoding, with their metadata."""
    alike: Path | None = None
    """Image of the field map whose phase encoding is the series'."""
    field_map: FieldMap | None = None
    """Field map that was measured by gradient echoes, where there is no image of reversed phase
    encoding."""
    events: Path | None = None
    notes: tuple[str, ...] = ()
    """What had to be translated or assumed."""

    @property
    def image(self) -> Path:
        """The first echo."""
        return self.images[0]

    @property
    def metadata_of_image(self) -> Mapping[str, Any]:
        """Sidecar of the first echo."""
        return self.metadata[0]

    @property
    def direction(self) -> str:
        """PhaseEncodingDirection, or nothing."""
        return str(self.metadata[0].get('PhaseEncodingDirection') or '')

    @property
    def repetition_time(self) -> float:
        """In s, as the sidecar says."""
        return float(self.metadata[0]['RepetitionTime'])

    @property
    def task(self) -> str:
        """Label of the task."""
        return str(self.entities.get('task', ''))

    @property
    def name(self) -> str:
        """Entities that tell the run from others of the session, with their keys in names."""
        return '_'.join(f'{key}-{self.entities[e]}' for e, key in NAMING.items()
                        if e in self.entities)  # fmt: skip

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        more = [path for path, _ in self.reversed_pe]
        single = [path for path in (self.events, self.alike) if path is not None]
        measured = () if self.field_map is None else self.field_map.files
        return (*self.images, *single, *more, *measured)


def check_repetition_time(metadata: Metadata, where: str) -> float:
    """Return the repetition time of a sidecar; the header's is not believed.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    where : str
        File, for the message.

    Returns
    -------
    float
        In s.

    Raises
    ------
    MetadataError
        If it is absent, no number, in milliseconds, or not between `MIN_TR` and `MAX_TR`.

    Examples
    --------
    >>> check_repetition_time({'RepetitionTime': 2}, 'bold.nii')
    2.0
    """
    given = metadata.get('RepetitionTime')
    if given is None and 'VolumeTiming' in metadata:
        raise MetadataError(_of_volume_times(metadata['VolumeTiming'], where))
    if given is None:
        raise MetadataError(
            f'{where}: its sidecar has no RepetitionTime, and the header\'s is not to be relied '
            'on; write it, in s.'
        )  # fmt: skip
    value = float(given) if _is_number(given) else math.nan
    if MIN_TR <= value <= MAX_TR:
        return value
    if isinstance(given, str | list):
        kind = 'text' if isinstance(given, str) else 'a list'
        raise MetadataError(
            f'{where}: RepetitionTime is {given!r}, {kind}; write one number without quotes, in s.'
        )
    in_ms = ', which seems to be in ms' if MIN_TR <= value / 1000 <= MAX_TR else ''
    raise MetadataError(
        f'{where}: RepetitionTime is {given!r}{in_ms}; write it in s '
        f'({MIN_TR:g} to {MAX_TR:g} can be used).'
    )


def _of_volume_times(times: Any, where: str) -> str:
    """Say what to do with a sidecar that tells the time of each volume instead of their distance.

    Fluctuations are measured at equal distances only.
    """
    known = isinstance(times, list) and len(times) > 1 and all(map(_is_number, times))
    steps = np.diff(np.asarray(times, dtype=float)) if known else np.array([math.nan])
    if np.ptp(steps) < SAME_STEP_S:
        return (
            f'{where}: its sidecar has VolumeTiming in place of RepetitionTime; the volumes are '
            f'{steps.mean():g} s apart: write RepetitionTime instead.'
        )
    return (
        f'{where}: by VolumeTiming its volumes are not acquired at equal distances; such a series '
        'cannot be used.'
    )


def check_length(n_volumes: int, repetition_time: float, where: str, n_dummy: int = 0) -> None:
    """Refuse a run that is too short for what is measured.

    Parameters
    ----------
    n_volumes : int
        Without dummy volumes.
    repetition_time : float
        s.
    where : str
        File, for the message.
    n_dummy : int
        Volumes that are not counted, for the message.

    Raises
    ------
    InputDataError
        If it has fewer than `MIN_VOLUMES` volumes or lasts less than `MIN_SECONDS`.
    """
    seconds = n_volumes * repetition_time
    if n_volumes < MIN_VOLUMES or seconds < MIN_SECONDS:
        without = f' without {n_dummy} before the steady state' if n_dummy else ''
        raise InputDataError(
            f'{where}: {n_volumes} volumes{without}, {seconds:.0f} s; at least {MIN_VOLUMES} '
            f'volumes and {MIN_SECONDS:.0f} s are needed.'
        )


def spacing_note(repetition_time: float, header_s: float) -> str:
    """Say that the header of an image has another repetition time than its sidecar.

    Parameters
    ----------
    repetition_time : float
        Of the sidecar, s.
    header_s : float
        Of the header, s; 0 and 1 are what programs write that do not know it.

    Returns
    -------
    str
        A sentence; empty where both are the same to 1 % or the header tells nothing.

    Examples
    --------
    >>> spacing_note(2.0, 0.8)
    'RepetitionTime is 2 s, and 0.8 s in the header of the image; the former is used.'
    >>> spacing_note(2.0, 1.0), spacing_note(2.0, 2000.0), spacing_note(2.0, 2.0)
    ('', '', '')
    """
    told = header_s not in (0.0, 1.0) and math.isfinite(header_s) and header_s > 0
    units = (1.0, 1000.0, 1e6)  # headers whose unit is not that of their number
    if not told or any(math.isclose(header_s, repetition_time * u, rel_tol=0.01) for u in units):
        return ''
    return (
        f'RepetitionTime is {repetition_time:g} s, and {header_s:g} s in the header of the image; '
        'the former is used.'
    )


def negative_share(volume: npt.ArrayLike) -> float:
    """Return the share of values below zero among the large ones.

    A magnitude has none: some are an overflow of whole numbers, many a mean that was taken off.
    What interpolation leaves around the head is small, and is not counted.

    Parameters
    ----------
    volume : array_like
        Voxels of one volume.

    Examples
    --------
    >>> negative_share([0, 50, -60, 40, 70, -2])
    0.25
    """
    values = np.nan_to_num(np.asarray(volume, dtype=float), posinf=0, neginf=0)
    size = np.abs(values)
    large = size > LARGE * np.percentile(size, 99)
    return float((values[large] < 0).mean()) if large.any() else 0.0


def check_signal(data: npt.ArrayLike, where: str) -> None:
    """Refuse a series in which nothing changes, or with volumes that are empty.

    Parameters
    ----------
    data : (..., n_volumes) array_like
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If all values are zero, none is finite, no voxel changes, or a volume holds nothing.
    """
    values = np.asarray(data)
    finite = np.isfinite(values)
    if not finite.any() or not values[finite].any():
        what = 'all values are zero' if finite.any() else 'no value is finite'
        raise InputDataError(f'{where}: {what}; copy or convert the series again.')
    first, changes, empty = _without_gaps(values[..., 0]), False, []
    for number in range(values.shape[-1]):
        volume = _without_gaps(values[..., number])
        changes = changes or bool((volume != first).any())
        if not volume.any():
            empty.append(str(number + 1))
    if not changes:
        raise InputDataError(
            f'{where}: all volumes are the same, so that it is no series; convert it again.'
        )
    if empty:
        raise InputDataError(
            f'{where}: volume {", ".join(empty[:3])}{" ..." * (len(empty) > 3)} holds zeros or no '
            'finite value; convert the series again, or end it before.'
        )


def check_slices(data: Volume, where: str) -> None:
    """Refuse a series of which a volume is a part only, as an aborted scan leaves its last one.

    Parameters
    ----------
    data : (i, j, n_slices, n_volumes) ndarray
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If a volume lacks more than `MOST_LACKING` of the slices that most volumes have.
    """
    there = np.stack(
        [_without_gaps(data[..., n]).any(axis=(0, 1)) for n in range(data.shape[3])], axis=1
    )
    usual = there.mean(axis=1) > 0.5
    lacking = (usual[:, None] & ~there).sum(axis=0)
    partial = np.flatnonzero(lacking > MOST_LACKING * usual.sum())
    if partial.size:
        raise InputDataError(
            f'{where}: volume {partial[0] + 1} has zeros in {lacking[partial[0]]} of the '
            f'{usual.sum()} slices that others have, as an aborted scan leaves it; convert the '
            'series again, or end it before.'
        )


def _without_gaps(volume: Volume) -> Volume:
    """Put zeros for what is no finite number."""
    return np.nan_to_num(volume, posinf=0, neginf=0)


def check_echoes(
    shapes: Sequence[Sequence[int]], echo_times: Sequence[object], where: str
) -> None:
    """Refuse echoes that do not belong to one another.

    Parameters
    ----------
    shapes : sequence of sequence of int
        Of the images.
    echo_times : sequence
        ``EchoTime`` of each image's sidecar.
    where : str
        The first file, for the message.

    Raises
    ------
    InputDataError
        If shapes differ.
    MetadataError
        If echo times are missing, not all different, or beyond `MAX_TE`.

    Examples
    --------
    >>> check_echoes([(4, 4, 4, 9)] * 2, [0.012, 0.03], 'echo-1_bold.nii')
    """
    if len({tuple(shape) for shape in shapes}) > 1:
        listed = ', '.join('x'.join(map(str, shape)) for shape in shapes)
        raise InputDataError(
            f'{where}: its echoes have different shapes ({listed}); convert the series again.'
        )
    if len(shapes) < 2:
        return
    numbers = [float(t) if _is_number(t) else math.nan for t in echo_times]
    if not all(t > 0 for t in numbers) or len(set(numbers)) < len(numbers):
        raise MetadataError(
            f'{where}: the EchoTime of its echoes must be there and different, not '
            f'{", ".join(map(repr, echo_times))}; write them, in s.'
        )
    if max(numbers) > MAX_TE:
        in_ms = ' (it seems to be in ms)' if max(numbers) / 1000 <= MAX_TE else ''
        raise MetadataError(
            f'{where}: an EchoTime of {max(numbers):g} s cannot be that of a BOLD series{in_ms}; '
            'write those of all echoes in s.'
        )


def _is_number(value: object) -> TypeGuard[float]:
    """Tell a finite number from anything else that a sidecar may hold."""
    # `true` of JSON is an int to Python.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def count_dummies(volume_means: npt.ArrayLike) -> int:
    """Count the volumes at the start that were acquired before the steady state.

    Magnetisation that has not yet relaxed to its steady state gives a brighter image: leading
    volumes whose mean is an outlier upwards, by the modified z-score among the first
    `CHECKED_VOLUMES`. Volumes that the scanner or a user discarded already
    (``NumberOfVolumesDiscardedByScanner``, ``...ByUser``) are not in the file and do not count.

    Parameters
    ----------
    volume_means : (n_volumes,) array_like
        Mean intensity of each volume.

    Returns
    -------
    int

    Examples
    --------
    >>> count_dummies([900, 610, *[500, 501, 499, 502, 500] * 6])
    2
    """
    means = np.asarray(volume_means, dtype=float)[:CHECKED_VOLUMES]
    middle = np.median(means)
    spread = np.median(np.abs(means - middle))
    if not spread > 0:
        return 0
    # The normal distribution's quartile, 0.6745, makes the median absolute deviation a standard
    # one.
    is_outlier = 0.6745 * (means - middle) / spread > OUTLIER_Z
    # The first that is none ends the count: a bright volume later on is motion and no approach to
    # the steady state.
    return int(np.argmin(is_outlier)) if not is_outlier.all() else 0
