"""Checks on a T1w volume and masks made from it, as arrays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_acc.exceptions import InputDataError
from bids_acc.images.masks import ball, largest_component
from bids_acc.typing import BoolArray, FloatArray

MIN_VOXEL, MAX_VOXEL = 0.3, 3.5
"""Accepted voxel sizes in mm."""
MAX_SHEAR = 0.01
"""Largest cosine between two axes of the grid; ANTs knows rotations only."""
MAX_SCALE = 0.05
"""By how much, as a share, sform and qform may differ about the size of a voxel."""
MAX_GAPS = 0.1
"""Largest share of voxels inside the object that may be NaN or infinite."""
MIN_EMPTY = 0.25
"""Share of voxels that are exactly zero above which zero is background; own convention."""
MIN_BRAIN_ML, MAX_BRAIN_ML = 600.0, 2300.0
"""Brain volumes outside this range are no whole human brain."""


def check_volume(data: npt.ArrayLike, affine: npt.ArrayLike, where: str) -> None:
    """Refuse what is no usable three-dimensional T1w volume.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If there are not three dimensions, the orientation is not defined or sheared, voxels are
        smaller than `MIN_VOXEL` or larger than `MAX_VOXEL`, or the image is constant.
    """
    data, affine = np.asarray(data), np.asarray(affine, dtype=float)
    if data.ndim > 3:
        raise InputDataError(
            f'{where}: {np.prod(data.shape[3:])} volumes; a T1w image has one (average them, or '
            'choose one).'
        )
    if data.ndim != 3 or min(data.shape) < 16:
        raise InputDataError(f'{where}: shape {data.shape} is not that of a 3-D volume.')
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputDataError(f'{where}: the affine is singular; repair sform or qform.')
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < MIN_VOXEL or sizes.max() > MAX_VOXEL:
        raise InputDataError(
            f'{where}: voxels of {" x ".join(f"{s:.2f}" for s in sizes)} mm; '
            f'{MIN_VOXEL} to {MAX_VOXEL} mm can be used{_voxel_remedy(float(sizes.max()))}.'
        )
    axes = affine[:3, :3] / sizes
    if np.abs(axes.T @ axes - np.eye(3)).max() > MAX_SHEAR:
        raise InputDataError(
            f'{where}: the axes of the affine are not at right angles; resample the image to a '
            'grid without shear.'
        )
    finite = data[np.isfinite(data)]
    if not finite.size or not finite.max() > finite.min():  # a difference of integers may overflow
        raise InputDataError(f'{where}: the image is constant: it holds no anatomy.')
    check_range(finite, where)
    _check_grey_values(finite, where)
    check_wrapped(data, where)


def _voxel_remedy(largest: float) -> str:
    """Say what can be done about voxels, of this edge in mm, that are too small or too large."""
    if largest > 2 * MAX_VOXEL:
        return ': look whether the header has the right unit, or give another T1w image'
    if largest > MAX_VOXEL:
        return ': such slices do not show the cortex; give another T1w image'
    return ': resample it to 0.5 mm or more'


INTENSITIES = (1e-9, 1e12)
"""Largest value of an image between which single precision has room for squares and their sums."""


def check_range(values: npt.ArrayLike, where: str) -> None:
    """Refuse values with which cannot be computed.

    Parameters
    ----------
    values : array_like
        Finite ones of an image; not empty.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If the largest lies outside `INTENSITIES`.
    """
    array = np.asarray(values)
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if not INTENSITIES[0] <= largest <= INTENSITIES[1]:
        raise InputDataError(
            f'{where}: values of up to {largest:.2g} are no intensities of a scanner: look at '
            'scl_slope in the header, or scale the image to values of about 1000.'
        )


MIN_VALUES = 24
"""Fewer different values are labels or a mask, or an image cut down to a few steps of grey. Own
convention: of eight real heads the one with fewest has 223."""
INTEGER_BITS = (8, 12, 16)
"""Bits of the integers in which scanners and converters write intensities."""
WRAPPED, WRAPPED_VOXELS = 0.15, 1000
"""Largest share of `wrapped_share`, and how many bright voxels it takes. Own convention: eight
real heads have .03 or less, clipped at the quantile .999 in eight bits .09, noise .11; where
values above 255 began again at zero seven of the heads have .20 to .59, one with voxels of 2 mm
.10 and .17 (values up to 560 and 330)."""


def _check_grey_values(values: npt.NDArray[np.generic], where: str) -> None:
    """Refuse an image of labels; a sample of voxels tells where it holds many values."""
    step = max(values.size // 200_000, 1)
    if np.unique(values[::step]).size < MIN_VALUES and np.unique(values).size < MIN_VALUES:
        raise InputDataError(
            f'{where}: only {np.unique(values).size} different values: this is a mask or an image '
            'of labels; give the image that it was made from.'
        )


def check_wrapped(data: npt.ArrayLike, where: str) -> float:
    """Refuse values that did not fit into their integers and began again at the other end.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.
    where : str
        File, for the message.

    Returns
    -------
    float
        See `wrapped_share`; 0 where values do not fill their integers.

    Raises
    ------
    InputDataError
        If more than `WRAPPED` of the brightest sixteenth of the range lies beside the darkest.
    """
    values = np.asarray(np.abs(data) if np.iscomplexobj(data) else data)
    width = float(np.nanmax(values)) - float(np.nanmin(values))
    if not any(0.99 * (2**bits - 1) <= width <= 2**bits - 1 for bits in INTEGER_BITS):
        return 0.0  # values that began again fill the whole range
    share = wrapped_share(values)
    if share > WRAPPED:
        raise InputDataError(
            f'{where}: {share:.0%} of the brightest voxels lie beside the darkest, as where '
            'values are too large for their integers and begin again at the other end; convert '
            'the image again, with more bits or as floating point.'
        )
    return share


def wrapped_share(data: npt.ArrayLike) -> float:
    """Return the share of the brightest voxels that a bright and a darkest one adjoin.

    The bright one, on the other side, tells a border from noise and from a bright skin in the air.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.

    Returns
    -------
    float
        NaN where fewer than `WRAPPED_VOXELS` are bright.

    Examples
    --------
    >>> ramp = 16 * np.arange(20.0)[:, None, None] * np.ones((1, 40, 40))
    >>> wrapped_share(np.minimum(ramp, 255)), wrapped_share(ramp % 256)
    (0.0, 1.0)
    """
    values = np.asarray(data)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    step = (high - low) / 16
    bright = np.argwhere(values >= high - step)
    if len(bright) < WRAPPED_VOXELS or not np.isfinite(step):
        return float('nan')
    last, beside = np.array(values.shape) - 1, np.zeros(len(bright), dtype=bool)
    for axis in range(3):
        sides = []
        for side in (-1, 1):
            there = bright.copy()
            there[:, axis] = np.clip(there[:, axis] + side, 0, last[axis])
            sides.append(values[tuple(there.T)])
        for one, other in (sides, sides[::-1]):
            beside |= (one <= low + step) & (other >= high - 4 * step)
    return float(beside.mean())


def check_forms(sform: FloatArray | None, qform: FloatArray | None, where: str) -> None:
    """Refuse a header that does not tell left from right.

    Parameters
    ----------
    sform, qform : (4, 4) ndarray or None
        Both affines of a NIfTI header; None where its code is zero.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If neither is set, one is a mirror image of the other, or their voxels differ in size.
    """
    if sform is None and qform is None:
        raise InputDataError(
            f'{where}: sform_code and qform_code are 0, so the header does not tell left from '
            'right; convert it again from DICOM, or set the codes if the affine is known to be '
            'right.'
        )
    if sform is None or qform is None:
        return
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        raise InputDataError(
            f'{where}: sform and qform disagree about left and right; set the wrong one to the '
            'other, or its code to 0.'
        )
    first, second = (np.linalg.norm(form[:3, :3], axis=0) for form in (sform, qform))
    if np.abs(np.log(first / second)).max() > MAX_SCALE:
        sizes = [' x '.join(f'{s:.2f}' for s in form) for form in (first, second)]
        raise InputDataError(
            f'{where}: voxels have {sizes[0]} mm by sform and {sizes[1]} mm by qform; set the '
            'wrong one to the other, or its code to 0.'
        )


FORM_GAP_MM = 2.0
"""Sform and qform that place a corner farther apart than this are told."""


def form_gap(sform: FloatArray | None, qform: FloatArray | None, shape: tuple[int, ...]) -> float:
    """Return how far apart sform and qform place a corner, in mm; NaN unless both are set.

    Parameters
    ----------
    sform, qform : (4, 4) ndarray or None
        Of a NIfTI header, voxel to scanner RAS in mm; None where its code is 0.
    shape : tuple of three int
        Voxels; the corner where both differ most counts.

    Examples
    --------
    >>> form_gap(np.eye(4), np.diag([1.0, 1, 2, 1]), (5, 5, 5))
    4.0
    """
    if sform is None or qform is None:
        return float('nan')
    ends = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], indexing='ij'), axis=-1)
    corners = np.c_[ends.reshape(-1, 3), np.ones(8)]
    return float(np.linalg.norm(corners @ (sform - qform)[:3].T, axis=1).max())


FAR_ABOVE = 0.25
"""Darkest voxels that are brighter than this share of the range, see `shifted_to_zero`. Own
convention: the air of a T1w image is darker than any tissue, and stays so in noise and after a
gamma of 0.5."""


def shifted_to_zero(data: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Shift intensities so that the darkest come to lie at zero; a background becomes zero.

    Standardised images, uniform ones of MP2RAGE from -0.5 to 0.5, and exports with air far below
    zero would lose their dark tissues where zero is taken for black. Where all begins far above
    zero (unsigned numbers with an offset of 32768), tissues would differ by a few per cent only,
    and methods that look at ratios would see none. A background of one value (zeros, or the -1 or
    100 that a tool puts outside the brain) becomes zero, and what lies above it keeps above it.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.

    Returns
    -------
    (nx, ny, nz) ndarray of float32
        Shifted by the quantile .005 if that lies below zero by more than a hundredth of the
        range to the quantile .995 (own convention; interpolation undershoots by less), or above
        zero by more than `FAR_ABOVE` of it, where there is no such background; where there is one
        as far above zero, and all begins there, by its value; otherwise as they were. What is not
        finite stays so, and is a background where it is more than `MIN_EMPTY` of the image.

    Examples
    --------
    >>> shifted_to_zero([[[-4.0, 1.0, 4.0]]]).round()
    array([[[0., 5., 8.]]], dtype=float32)
    >>> shifted_to_zero([[[0.0, 1.0, 4.0]]])
    array([[[0., 1., 4.]]], dtype=float32)
    >>> shifted_to_zero([[[1000.0, 1001.0, 1004.0]]]).round()
    array([[[0., 1., 4.]]], dtype=float32)
    """
    data = np.asarray(data)
    empty, value = _background(data)
    finite = np.isfinite(data)
    if value is None and (~finite).mean() > MIN_EMPTY:
        value = 0.0  # what lies around the object is not finite: its dark tissue may be bright
    shown = data[finite & ~empty]
    if not shown.size:
        return data.astype(np.float32)
    low, high = (float(q) for q in np.quantile(shown, (0.005, 0.995)))
    start = _start(low, FAR_ABOVE * (high - low), value)
    if start:
        least = 1e-3 * (high - low) if empty.any() else 0.0
        data = np.maximum(data - start, least)
    return np.where(empty, np.float32(0), data).astype(np.float32)


def _start(low: float, far: float, background: float | None) -> float:
    """Return what is to be subtracted, so that intensities begin at zero; zero where they do.

    Parameters
    ----------
    low : float
        Darkest intensity, without a background.
    far : float
        What counts as far above.
    background : float or None
        Its value.

    Examples
    --------
    >>> _start(-300.0, 250.0, None), _start(32768.0, 250.0, None), _start(40.0, 250.0, None)
    (-300.0, 32768.0, 0.0)
    >>> _start(32780.0, 250.0, 32768.0), _start(100.0, 250.0, -1.0), _start(900.0, 250.0, 0.0)
    (32768.0, 0.0, 0.0)
    """
    if low < -0.01 * far / FAR_ABOVE:
        return low
    if background is None:
        return low if low > far else 0.0
    return background if background > far and 0 <= low - background <= far else 0.0


def _background(data: npt.NDArray[np.generic]) -> tuple[BoolArray, float | None]:
    """Mark the voxels of the one value that fills more than `MIN_EMPTY` of an image, if any.

    It is looked for at the corners, and zero is tried in any case.
    """
    n_finite = np.isfinite(data).sum()
    corners = data[tuple(slice(None, None, max(n - 1, 1)) for n in data.shape)]
    for value in (0, *np.unique(corners[np.isfinite(corners)])):
        empty = data == value
        if empty.sum() > max(MIN_EMPTY * n_finite, 8):  # more than the corners themselves
            return np.asarray(empty), float(value)
    return np.zeros(data.shape, dtype=bool), None


def close_gaps(data: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], float]:
    """Replace voxels that are not finite.

    Those around the object, connected to the edge of the image, are background and become zero;
    one inside, and one of a plane between others of which something is known, takes the value of
    the nearest finite voxel.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.

    Returns
    -------
    data : (nx, ny, nz) ndarray of float32
        Finite everywhere.
    share : float
        Gaps inside, as a share of all voxels that are no such background; gaps between two
        neighbours that are finite count as inside, however they hang together.

    Examples
    --------
    >>> close_gaps([[[np.nan, 2.0, 5.0]]])[0]
    array([[[0., 2., 5.]]], dtype=float32)
    """
    data = np.asarray(data, dtype=np.float32)
    gaps = ~np.isfinite(data)
    if not gaps.any():
        return data, 0.0
    labels, _ = ndimage.label(gaps)
    edge = np.concatenate(
        [np.take(labels, end, axis=axis).ravel() for axis in range(data.ndim) for end in (0, -1)]
    )
    lost = lost_planes(gaps)
    background = gaps & np.isin(labels, np.unique(edge[edge > 0])) & ~lost
    inside = gaps & ~background
    filled = np.where(background, np.float32(0), data)
    if inside.any():
        nearest = ndimage.distance_transform_edt(gaps, return_distances=False, return_indices=True)
        filled[inside] = data[tuple(nearest)][inside]
    within = inside | _pinched(gaps)
    return filled, float(within.sum() / max(int((~gaps | within).sum()), 1))


LEAST_PLANE = 0.1
"""Planes with less than this share of what the fullest one knows are specks beside the object. Own
convention."""


def lost_planes(gaps: npt.ArrayLike) -> BoolArray:
    """Mark planes of the grid in which nothing is known, between others in which something is.

    Parameters
    ----------
    gaps : (nx, ny, nz) array_like of bool
        Voxels of which nothing is known.

    Returns
    -------
    (nx, ny, nz) ndarray of bool

    Examples
    --------
    >>> slices = np.array([True, False, False, True, True, False])
    >>> lost_planes(np.ones((2, 2, 1)) * slices)[0, 0]
    array([False, False, False,  True,  True, False])
    """
    gaps = np.asarray(gaps, dtype=bool)
    found = np.zeros_like(gaps)
    for axis in range(gaps.ndim):
        planes = np.moveaxis(gaps, axis, 0).reshape(gaps.shape[axis], -1)
        whole = np.asarray(planes.all(axis=1))
        counts = planes.shape[1] - planes.sum(axis=1)
        known = np.flatnonzero(counts > LEAST_PLANE * counts.max(initial=0))
        if known.size:
            whole[: known[0]] = whole[known[-1] :] = False
            np.moveaxis(found, axis, 0)[whole] = True
    return found


def _pinched(gaps: BoolArray) -> BoolArray:
    """Tell which gaps have no gap on either side along some axis."""
    found = np.zeros_like(gaps)
    for axis in range(gaps.ndim):
        here, there = np.moveaxis(found, axis, 0), np.moveaxis(gaps, axis, 0)
        here[1:-1] |= there[1:-1] & ~there[:-2] & ~there[2:]
    return found


def check_gaps(share: float, where: str) -> None:
    """Refuse an image that is mostly holes; see `close_gaps`.

    Parameters
    ----------
    share : float
        Part of the object's voxels that is not finite, 0 to 1.
    where : str
        File, for the message.

    Raises
    ------
    InputDataError
        If more than `MAX_GAPS` of the object is not finite.
    """
    if share > MAX_GAPS:
        raise InputDataError(
            f'{where}: {share:.0%} of the voxels inside the object are NaN or infinite, or in '
            'empty slices; convert the image again.'
        )


def outside_grid(
    points: npt.ArrayLike, shape: tuple[int, ...], affine: npt.ArrayLike
) -> BoolArray:
    """Tell which points lie in no voxel of a grid.

    Parameters
    ----------
    points : (n, 3) array_like
        In mm.
    shape : tuple of int
        Grid.
    affine : (4, 4) array_like
        Voxel to mm.

    Examples
    --------
    >>> outside_grid([[0, 0, 0], [9, 0, 0]], (4, 4, 4), np.eye(4)).tolist()
    [False, True]
    """
    inverse = np.linalg.inv(np.asarray(affine, dtype=float))
    voxels = np.asarray(points, dtype=float) @ inverse[:3, :3].T + inverse[:3, 3]
    return np.asarray(((voxels < -0.5) | (voxels > np.array(shape) - 0.5)).any(axis=1))


def is_skull_stripped(data: npt.ArrayLike, voxel_sizes: npt.ArrayLike) -> bool:
    """Tell whether everything but the brain was set to zero.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Intensities.
    voxel_sizes : (3,) array_like
        In mm.

    Returns
    -------
    bool
        True if the background is exactly constant, and what is left has the size of a brain and
        no skull: a head may be cut to the size of a brain, too.
    """
    data, sizes = np.asarray(data), np.asarray(voxel_sizes, dtype=float)
    background = float(data.min()) if data.min() >= 0 else 0.0
    inside = data > background
    volume_ml = float(inside.sum()) * float(sizes.prod()) / 1000
    if inside.mean() >= 0.75 or not MIN_BRAIN_ML / 2 < volume_ml < MAX_BRAIN_ML:
        return False
    return not has_skull(data, inside, sizes)


SHELLS_MM = (0.0, 3.0, 6.0, 9.0, 12.0, 16.0)
"""Limits of the shells below the outline in which `has_skull` looks."""
SKULL_DIP = 0.8
"""A shell darker than this share of a shell farther out is the skull. In heads of the demo it is
0.3 of the scalp; in brains, one real skull-stripped among them, every shell is brighter than the
one outside it."""


def has_skull(data: npt.ArrayLike, inside: npt.ArrayLike, voxel_sizes: npt.ArrayLike) -> bool:
    """Tell whether a dark layer lies below a brighter outer one, as bone below the scalp.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities.
    inside : (nx, ny, nz) array_like of bool
        Head or brain.
    voxel_sizes : (3,) array_like
        In mm.
    """
    sizes = np.asarray(voxel_sizes, dtype=float)
    step = np.maximum(np.rint(2.0 / sizes), 1).astype(int)
    coarse = tuple(slice(None, None, k) for k in step)
    whole = ndimage.binary_fill_holes(largest_component(inside))
    padded = np.pad(whole[coarse], 1)  # what the field of view cuts is an outline as well
    depth = ndimage.distance_transform_edt(padded, sampling=sizes * step)[1:-1, 1:-1, 1:-1]
    values = np.asarray(data)[coarse]
    brightest = 0.0
    for low, high in pairwise(SHELLS_MM):
        shell = values[(depth > low) & (depth <= high)]
        if not shell.size:
            continue
        middle = float(np.median(shell))
        if middle < SKULL_DIP * brightest:
            return True
        brightest = max(brightest, middle)
    return False


def stripped_mask(data: npt.ArrayLike, voxel_sizes: npt.ArrayLike) -> BoolArray:
    """Return the brain of an image whose background is zero, holes filled.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Finite. Background is the least value, or 0 where values are negative.
    voxel_sizes : (3,) array_like
        mm; gaps of up to 3 mm around the edge are closed (own convention).

    Returns
    -------
    (nx, ny, nz) ndarray of bool
    """
    data = np.asarray(data)
    background = float(data.min()) if data.min() >= 0 else 0.0
    mask = largest_component(data > background)
    # Padded, as SciPy takes what lies beyond an array for empty: the erosion would eat a brain
    # from where the field of view cuts it.
    closed = ndimage.binary_closing(np.pad(mask, 4), ball(3.0, voxel_sizes))[4:-4, 4:-4, 4:-4]
    return np.asarray(ndimage.binary_fill_holes(closed | mask))


def finer(data: npt.ArrayLike, affine: FloatArray) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Interpolate a coarse volume by cubic splines to voxels of about a millimetre or less.

    Linear interpolation between voxels of 1.5 or 2 mm flattens the very edges that are looked
    for; voxels of about 1 mm stay as they are.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        Finite.
    affine : (4, 4) ndarray
        Voxel to scanner RAS in mm. Each axis is refined on its own, by a whole number.

    Returns
    -------
    data : (mx, my, mz) ndarray
        First and last voxel of each axis keep their places.
    affine : (4, 4) ndarray
        Of the finer grid.
    """
    data, affine = np.asarray(data, dtype=np.float32), np.asarray(affine, dtype=float)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    factor = np.maximum(np.rint(sizes / 0.85), 1)
    if (factor == 1).all():
        return data, affine
    fine = ndimage.zoom(data, factor, order=3, output=np.float32)
    # SciPy's zoom lays the centres of the first and the last voxel onto each other, so that the
    # origin stays and a step is no exact fraction of the old one.
    step = (np.array(data.shape) - 1) / (np.array(fine.shape) - 1)
    return fine, affine @ np.diag([*step, 1.0])


CUT_CM2 = 20.0
"""Flat face of a brain above which it is cut off, see `cut_area`. Own convention."""
HEAD_RADIUS_MM = 80.0
"""Of a ball as large as a brain with the CSF around it, 2145 mL."""


def cut_area(mask: npt.ArrayLike, voxel_sizes: npt.ArrayLike) -> float:
    r"""Return the largest flat face of a brain, in cm2: where the field of view cuts it off.

    A registration squeezes the template into what is left of a brain that is cut off, so that its
    overlap stays good: only the flat side tells. It lies at a side of the image, or within it
    where zeros were put around what was cut. There, the outermost slice of something round does
    not count, whose face grows with its thickness: that of a ball, :math:`2 \pi R h`. Of eight
    real heads the largest face has 5 cm2 beyond that, 12 with voxels of 3.4 mm, and of the same
    heads cut in half at least 124.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        Brain.
    voxel_sizes : (3,) array_like
        In mm.

    Examples
    --------
    >>> brain = np.zeros((9, 9, 9), dtype=bool)
    >>> brain[2:7, 2:7, 4:] = True
    >>> cut_area(brain, (2, 2, 2))
    1.0
    """
    inside, sizes = np.asarray(mask, dtype=bool), np.asarray(voxel_sizes, dtype=float)
    largest = 0.0
    for axis, thickness in enumerate(sizes.tolist()):
        voxel = float(sizes.prod()) / thickness
        planes = np.moveaxis(inside, axis, 0)
        sides = max(int(planes[end].sum()) for end in (0, -1)) * voxel
        ends = [(a & ~b).sum(axis=(1, 2)).max(initial=0) for a, b in
                ((planes[:-1], planes[1:]), (planes[1:], planes[:-1]))]  # fmt: skip
        within = float(max(ends)) * voxel - 2 * np.pi * HEAD_RADIUS_MM * thickness
        largest = max(largest, sides, within)
    return largest / 100


BARED_CM2 = 12.0
"""Bared brain above which a part of it was erased, see `bared_area`. Own convention."""
BRIGHT = 0.7
"""Share of the brain's median intensity from which a voxel is no fluid."""


def bared_area(data: npt.ArrayLike, mask: npt.ArrayLike, voxel_sizes: npt.ArrayLike) -> float:
    """Return how much of a brain in a head borders on nothing, in cm2: where it was erased.

    Between brain and air lie fluid, skull and scalp. Where a bright voxel of the brain adjoins one
    of the image's lowest value, something was erased up to there: by defacing that went through
    the brain, or with a lesion. Such a cut need not be flat, as `cut_area` has it. Eight real
    heads have 0 to 4 cm2, most with slices of 3 mm; one of them with its front erased 50 to 100.

    Parameters
    ----------
    data : (nx, ny, nz) array_like
        T1w intensities of a head; a stripped brain borders on nothing all around.
    mask : (nx, ny, nz) array_like of bool
        Brain.
    voxel_sizes : (3,) array_like
        In mm.

    Returns
    -------
    float
        NaN where nothing in the mask is above the lowest value.

    Examples
    --------
    >>> head = np.full((9, 9, 9), 5)
    >>> head[:, 6:] = 0
    >>> bared_area(head, head > 0, (2, 2, 2))
    3.24
    """
    values, sizes = np.asarray(data), np.asarray(voxel_sizes, dtype=float)
    lowest = values.min()
    inside = np.asarray(mask, dtype=bool) & (values > lowest)
    if not inside.any():
        return float('nan')
    typical = float(np.median(values[inside])) - float(lowest)
    bright, nothing = inside & (values - lowest > BRIGHT * typical), values <= lowest
    total = 0.0
    for axis, thickness in enumerate(sizes.tolist()):
        brain, empty = np.moveaxis(bright, axis, 0), np.moveaxis(nothing, axis, 0)
        faces = (brain[:-1] & empty[1:]).sum() + (brain[1:] & empty[:-1]).sum()
        total += float(faces) * float(sizes.prod()) / thickness
    return total / 100


def euler_number_of_solid(mask: npt.ArrayLike) -> int:
    """Return the Euler number of the surface of a solid made of voxels.

    A ball has 2, each handle takes 2 away, each cavity and each separate part adds 2.

    Parameters
    ----------
    mask : (nx, ny, nz) array_like of bool
        Solid; voxels that share a corner are connected.

    Returns
    -------
    int
        Twice the Euler characteristic of the solid (vertices - edges + faces - voxels).

    Examples
    --------
    >>> ring = np.ones((3, 3, 1), dtype=bool)
    >>> euler_number_of_solid(ring)
    2
    >>> ring[1, 1] = False
    >>> euler_number_of_solid(ring)
    0
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    total = 0
    for merged in range(8):  # along which axes a cell is a point between voxels
        cells = padded
        axes = [axis for axis in range(3) if merged >> axis & 1]
        for axis in axes:
            cells = np.delete(cells, -1, axis) | np.delete(cells, 0, axis)
        dimension = 3 - len(axes)
        total += (-1) ** dimension * int(cells.sum())
    # The surface of a solid has twice the Euler number of the solid.
    return 2 * total


def white_matter_euler(probability: npt.ArrayLike) -> int:
    """Return the Euler number of the white matter as segmented, cavities filled: 2 - 2 handles.

    Noise, motion and poor contrast riddle the white matter with handles, so that the number
    falls. FreeSurfer's surface before its topology is repaired gives the same measure, which is
    known to follow the ratings of experts (Rosen et al. 2018, NeuroImage 169:407-418,
    https://doi.org/10.1016/j.neuroimage.2017.12.059). The template's meshes themselves are
    spheres by construction.

    Parameters
    ----------
    probability : (nx, ny, nz) array_like
        Of white matter.
    """
    solid = largest_component(np.asarray(probability) > 0.5)
    return euler_number_of_solid(ndimage.binary_fill_holes(solid))


def ribbon_mask(
    shape: tuple[int, ...],
    affine: FloatArray,
    inner: FloatArray,
    outer: FloatArray,
    n_layers: int = 9,
) -> BoolArray:
    """Return the voxels that lie between paired points of two surfaces.

    Parameters
    ----------
    shape : tuple of int
        Grid.
    affine : (4, 4) ndarray
        Voxel to mm.
    inner, outer : (n, 3) ndarray
        Paired points in mm, closer together along the surface than a voxel.
    n_layers : int
        Points along each pair.

    Returns
    -------
    (nx, ny, nz) ndarray of bool
        Voxels hit by any point, with single gaps closed.
    """
    share = np.linspace(0, 1, n_layers)[:, None, None]
    points = (inner + share * (outer - inner)).reshape(-1, 3)
    inverse = np.linalg.inv(affine)
    voxels = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    voxels = voxels[((voxels >= 0) & (voxels < np.array(shape))).all(axis=1)]
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(voxels.T)] = True
    return mask
