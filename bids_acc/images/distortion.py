r"""Distortion by the magnet: along the phase-encoding axis, the same in all volumes.

A point :math:`x` of the head is found at :math:`x + u(x)\,e` with the signed unit vector
:math:`e` of phase encoding, and its signal is stretched with the image, so that the undistorted
image is

.. math:: I(x) = \left(1 + \frac{\partial u}{\partial e}\right) I_d(x + u(x)\,e)

(Jezzard & Balaban 1995, doi:10.1002/mrm.1910340111). The displacement is :math:`u = f\,T\,v` for a
field :math:`f` in Hz, a total readout time :math:`T` in s and a voxel of :math:`v` mm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from scipy import ndimage

from bids_acc.exceptions import MetadataError
from bids_acc.images.affines import axes_of
from bids_acc.images.field import estimate_field
from bids_acc.images.resampling import sample
from bids_acc.typing import FloatArray, Metadata

FSL_AXES = 'ijk'
"""Names of the voxel axes in the order of FSL's table of acquisition parameters."""

PHASE_DIRECTIONS = ('i', 'i-', 'j', 'j-', 'k', 'k-')
"""What BIDS allows as PhaseEncodingDirection."""


def apply_warp(
    field: npt.ArrayLike, affine: npt.ArrayLike, points: npt.ArrayLike, axis: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Move points by a displacement field along one axis, and tell how much they are squeezed.

    Parameters
    ----------
    field : (i, j, k) array_like
        Displacement along ``axis`` in mm: where the signal of a point is found.
    affine : (4, 4) array_like
    points : (n_points, 3) array_like
    axis : (3,) array_like
        Unit vector of phase encoding.

    Returns
    -------
    moved : (n_points, 3) ndarray
    factor : (n_points,) ndarray
        ``1 + d displacement / d axis``: what the signal is multiplied with.
    """
    along = np.asarray(axis, dtype=float)
    shift = np.nan_to_num(sample(field, affine, points))
    step = 0.5 * along
    ahead, behind = (
        np.nan_to_num(sample(field, affine, np.asarray(points) + sign * step)) for sign in (1, -1)
    )
    # Where the field folds the image, 1 + u' is negative: there is no such signal.
    return np.asarray(points) + shift[:, None] * along, np.maximum(1 + ahead - behind, 0)


def field_and_gradient(
    field: npt.ArrayLike, affine: npt.ArrayLike, points: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Return a field and its gradient at points; zero outside its grid.

    Parameters
    ----------
    field : (i, j, k) array_like
        Displacement, mm.
    affine : (4, 4) array_like
    points : (n_points, 3) array_like
        Scanner coordinates, mm.

    Returns
    -------
    value : (n_points,) ndarray
        In mm.
    gradient : (n_points, 3) ndarray
        Along the scanner's axes, mm/mm.

    Examples
    --------
    >>> ramp = np.arange(5.0)[:, None, None] * np.ones((5, 5, 5))
    >>> value, gradient = field_and_gradient(ramp, np.diag([-2, 2, 2, 1]), [[-4, 4, 4]])
    >>> float(value[0]), (gradient[0] + 0).tolist()
    (2.0, [-0.5, 0.0, 0.0])
    """
    matrix = np.asarray(affine, dtype=float)
    by_voxel = np.gradient(np.asarray(field, dtype=np.float32))
    value, *slopes = (np.nan_to_num(sample(v, matrix, points)) for v in (field, *by_voxel))
    return value, np.stack(slopes, axis=1) @ np.linalg.inv(matrix[:3, :3])


def displace(
    points: npt.ArrayLike, value: npt.ArrayLike, gradient: npt.ArrayLike, axis: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Move points along an axis by a field that is known there.

    Parameters
    ----------
    points : (n_points, 3) array_like
    value, gradient : (n_points,) and (n_points, 3) array_like
        From `field_and_gradient`.
    axis : (3,) array_like
        Displacement per mm of the field: the phase-encoding axis, times how much longer the
        readout is than the field's.

    Returns
    -------
    moved : (n_points, 3) ndarray
    factor : (n_points,) ndarray
        What the signal is multiplied with; see `apply_warp`.
    """
    along = np.asarray(axis, dtype=float)
    moved = np.asarray(points, dtype=float) + np.asarray(value, dtype=float)[:, None] * along
    return moved, np.maximum(1 + np.asarray(gradient, dtype=float) @ along, 0)


def undistort(
    volume: npt.ArrayLike, field: npt.ArrayLike, affine: npt.ArrayLike, axis: npt.ArrayLike,
    *, modulate: bool = True,
) -> FloatArray:  # fmt: skip
    """Bring one volume back to the undistorted grid, linearly.

    Parameters
    ----------
    volume, field : (i, j, k) array_like
        On the same grid; the field as for `apply_warp`.
    affine : (4, 4) array_like
    axis : (3,) array_like
    modulate : bool
        Whether the signal is multiplied with the Jacobian; not for masks.

    Returns
    -------
    (i, j, k) ndarray
        Zero outside the field of view.
    """
    shape = np.asarray(volume).shape
    grid = np.indices(shape).reshape(3, -1).T
    matrix = np.asarray(affine, dtype=float)
    moved, factor = apply_warp(field, matrix, grid @ matrix[:3, :3].T + matrix[:3, 3], axis)
    values = np.nan_to_num(sample(volume, matrix, moved))
    return np.asarray(values * factor if modulate else values).reshape(shape)


def displacement_from_hertz(
    field_hz: npt.ArrayLike, readout_s: float, spacing_mm: float
) -> FloatArray:
    """Turn a field into displacements along the phase-encoding direction.

    Parameters
    ----------
    field_hz : array_like
        Off-resonance.
    readout_s : float
        BIDS' TotalReadoutTime.
    spacing_mm : float
        Voxel size along the phase-encoding axis.

    Returns
    -------
    ndarray
        In mm.

    Examples
    --------
    >>> displacement_from_hertz([50.0], 0.05, 2.0)
    array([5.])
    """
    return np.asarray(field_hz, dtype=float) * readout_s * spacing_mm


def phase_axis(metadata: Metadata, affine: npt.ArrayLike) -> tuple[FloatArray, str]:
    """Return the phase-encoding direction in scanner coordinates.

    Parameters
    ----------
    metadata : mapping
        Sidecar, with ``PhaseEncodingDirection`` or, failing that, ``PhaseEncodingAxis``.
    affine : (4, 4) array_like

    Returns
    -------
    axis : (3,) ndarray
        Unit vector, RAS+.
    finding : str
        Empty, or what had to be assumed.

    Raises
    ------
    MetadataError
        If the field holds something that BIDS does not know.
    """
    # dcm2niix writes PhaseEncodingAxis where the vendor's header has the axis and not its
    # polarity.
    given = metadata.get('PhaseEncodingDirection') or metadata.get('PhaseEncodingAxis')
    if given is not None and given not in PHASE_DIRECTIONS:
        raise MetadataError(
            f'PhaseEncodingDirection is {given!r}; it must be one of '
            f'{", ".join(PHASE_DIRECTIONS)}.'
        )
    finding = '' if given else 'PhaseEncodingDirection is missing: j (usually AP) is assumed.'
    name = str(given or 'j')
    sign = -1.0 if name.endswith('-') else 1.0
    return sign * axes_of(affine)[:, 'ijk'.index(name[0])], finding


def reversed_pe_of(direction: str) -> str:
    """Return the reversed phase-encoding direction.

    Parameters
    ----------
    direction : str
        BIDS' ``PhaseEncodingDirection``: voxel axis ``i``, ``j`` or ``k``, and ``-`` where lines
        were encoded towards lower indices.

    Returns
    -------
    str
        The same axis the other way.

    Examples
    --------
    >>> reversed_pe_of('j'), reversed_pe_of('j-')
    ('j-', 'j')
    """
    return direction[:-1] if direction.endswith('-') else f'{direction}-'


def readout_time(metadata: Metadata, n_phase: int) -> float:
    """Return the total readout time.

    Parameters
    ----------
    metadata : mapping
        Sidecar, with ``TotalReadoutTime``, or ``EffectiveEchoSpacing`` from which it follows, or
        what dcm2niix estimates of Philips' images; see `estimated_readout`.
    n_phase : int
        Voxels along the phase-encoding axis.

    Returns
    -------
    float
        In seconds; NaN if it is not known (missing, no number, or not above zero).

    Examples
    --------
    >>> round(readout_time({'EffectiveEchoSpacing': 0.0005}, 101), 6)
    0.05
    """
    # BIDS defines the effective echo spacing on the reconstructed matrix, with interpolation and
    # acceleration in it: T = spacing * (ReconMatrixPE - 1).
    lines = number_in(metadata, 'ReconMatrixPE')
    steps = (lines if lines > 0 else n_phase) - 1
    for prefix in ('', 'Estimated'):
        if (given := number_in(metadata, f'{prefix}TotalReadoutTime')) > 0:
            return given
        if (spacing := number_in(metadata, f'{prefix}EffectiveEchoSpacing')) > 0:
            return spacing * steps
    apart = FAT_PPM * number_in(metadata, 'MagneticFieldStrength') * MHZ_PER_T
    return number_in(metadata, 'WaterFatShift') / apart if apart > 0 else float('nan')


FAT_PPM, MHZ_PER_T = 3.4, 42.57
"""Fat lies so far from water, and protons so per tesla: Philips tells the shift of fat in voxels,
which is its frequency times the readout time (sdcflows 2.10, ``get_trt``)."""


def estimated_readout(metadata: Metadata) -> str:
    """Say from what the readout time is estimated, where it is not told; empty otherwise.

    dcm2niix writes ``EstimatedTotalReadoutTime`` for Philips' images, which do not tell partial
    Fourier and acceleration to the full.

    Parameters
    ----------
    metadata : mapping
        Sidecar.

    Returns
    -------
    str
        For the reader.

    Examples
    --------
    >>> estimated_readout({'WaterFatShift': 20, 'MagneticFieldStrength': 3})
    'the readout time (0.0461 s) is an estimate from WaterFatShift'
    >>> estimated_readout({'TotalReadoutTime': 0.05, 'WaterFatShift': 20})
    ''
    """
    told = ('TotalReadoutTime', 'EffectiveEchoSpacing')
    if any(number_in(metadata, field) > 0 for field in told):
        return ''
    for field in (*(f'Estimated{name}' for name in told), 'WaterFatShift'):
        seconds = readout_time({f: metadata[f] for f in (field, 'MagneticFieldStrength')
                                if f in metadata}, 2)  # fmt: skip
        if seconds > 0:
            shown = '' if field.endswith('Spacing') else f' ({seconds:.3g} s)'
            return f'the readout time{shown} is an estimate from {field}'
    return ''


def number_in(metadata: Metadata, field: str) -> float:
    """Return a number of a sidecar, which may be written as text.

    Parameters
    ----------
    metadata : mapping
        Sidecar.
    field : str
        Its name.

    Returns
    -------
    float
        NaN where there is none, or something else.
    """
    value = metadata.get(field)
    if isinstance(value, bool) or not isinstance(value, str | float | int):
        return float('nan')
    try:
        return float(value)
    except ValueError:
        return float('nan')


MAX_READOUT_S = 1.0
"""Longer readouts are none of an echo-planar image, whose signal is gone after some T2* (0.05 s).
Own convention."""


MIN_READOUT_S = 1e-3
"""Shorter readouts are none either: at least ten lines of 0.1 ms. Own convention."""


def unknown_readout(metadata: Metadata) -> str:
    """Say which value of a sidecar is taken for an unknown readout time; empty for none.

    Parameters
    ----------
    metadata : mapping
        Sidecar; a field that is absent is no finding.

    Returns
    -------
    str
        For the reader.

    Examples
    --------
    >>> unknown_readout({'TotalReadoutTime': 0})
    'TotalReadoutTime is 0, which is no time, and was taken as unknown'
    >>> unknown_readout({'TotalReadoutTime': 0.05}), unknown_readout({})
    ('', '')
    """
    for field in ('TotalReadoutTime', 'EffectiveEchoSpacing'):
        if metadata.get(field) is not None and not number_in(metadata, field) > 0:
            return f'{field} is {metadata[field]!r}, which is no time, and was taken as unknown'
    return ''


def check_readout(readout_s: float, where: str) -> None:
    """Refuse a readout time that is told in another unit.

    Parameters
    ----------
    readout_s : float
        See `readout_time`; NaN passes.
    where : str
        File, for the message.

    Raises
    ------
    MetadataError
        If it is above `MAX_READOUT_S` or below `MIN_READOUT_S`.
    """
    if readout_s < MIN_READOUT_S:
        raise MetadataError(
            f'{where}: TotalReadoutTime (or EffectiveEchoSpacing times the lines) is '
            f'{readout_s:g} s, that of an echo-planar image 0.01 to 0.2 s: give the time of all '
            'lines in seconds; correct the sidecar, or take the field out of it.'
        )
    if readout_s > MAX_READOUT_S:
        raise MetadataError(
            f'{where}: TotalReadoutTime (or EffectiveEchoSpacing times the lines) is '
            f'{readout_s:g} s, that of an echo-planar image 0.01 to 0.2 s: BIDS asks for seconds, '
            'not milliseconds; correct the sidecar, or take the field out of it.'
        )


def fsl_parameters(direction: str, readout_s: float, *, flip_x: bool = False) -> FloatArray:
    """Return one row of FSL's table of acquisition parameters.

    Parameters
    ----------
    direction : str
        BIDS' PhaseEncodingDirection, ``i`` to ``k-``.
    readout_s : float
        Total readout time in s.
    flip_x : bool
        Whether the first voxel axis was turned round on the way to FSL.

    Returns
    -------
    (4,) ndarray
        Unit vector along the voxel axes, and the readout time.

    Raises
    ------
    MetadataError
        If the readout time is not known.

    Examples
    --------
    >>> fsl_parameters('j-', 0.05)
    array([ 0.  , -1.  ,  0.  ,  0.05])
    >>> fsl_parameters('i', 0.05, flip_x=True)
    array([-1.  ,  0.  ,  0.  ,  0.05])
    """
    if not np.isfinite(readout_s) or readout_s <= 0:
        raise MetadataError(
            'TotalReadoutTime is missing (and EffectiveEchoSpacing, too): FSL needs it; add it to '
            'the sidecar, or choose --dwi-susceptibility registration or none.'
        )
    row = np.zeros(4)
    axis = FSL_AXES.index(direction[0])
    row[axis] = -1.0 if direction.endswith('-') else 1.0
    if axis == 0 and flip_x:
        row[axis] *= -1
    row[3] = readout_s
    # Adding zero makes 0 of -0.0, which would be written as "-0".
    return row + 0.0


def expected_contrast(
    image: npt.ArrayLike, tissues: Sequence[npt.ArrayLike], anatomy: npt.ArrayLike,
    inside: npt.ArrayLike, rounds: int = 5,
) -> tuple[FloatArray, float]:  # fmt: skip
    """Return what a b = 0 image would look like where the T1w image says tissues are.

    Robust regression of the image on the tissue fractions, and on the T1w intensity within grey
    and white matter.

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean b = 0 image.
    tissues : sequence of (i, j, k) array_like
        Fractions of grey matter, white matter and CSF on the same grid, at its resolution.
    anatomy : (i, j, k) array_like
        T1w image on the same grid.
    inside : (i, j, k) array_like of bool
        Voxels that are compared.
    rounds : int
        Reweightings.

    Returns
    -------
    expected : (i, j, k) ndarray
    correlation : float
        Of the image with it, inside.
    """
    where = np.asarray(inside, dtype=bool)
    scale = float(np.percentile(np.asarray(anatomy)[where], 99)) or 1.0
    fractions = [np.asarray(t, dtype=float) for t in tissues]
    relative = np.asarray(anatomy, dtype=float) / scale
    columns = [*fractions, *(relative * f for f in fractions[:2])]
    design = np.stack([c[where] for c in columns], axis=1)
    wanted = np.asarray(image, dtype=float)[where]
    weights = np.ones(len(wanted))
    for _ in range(rounds):
        # a little towards zero: a tissue that is not there has no level
        gram = (design * weights[:, None]).T @ design
        ridge = 1e-6 * np.trace(gram) * np.eye(len(gram))
        levels = np.linalg.solve(gram + ridge, (design * weights[:, None]).T @ wanted)
        gap = np.abs(wanted - design @ levels)
        # Huber's weights, at two robust standard deviations: distortion itself lays CSF over
        # tissue, and these voxels must not set the tissues' levels.
        weights = np.minimum(1, 2 * 1.4826 * np.median(gap) / np.maximum(gap, 1e-9))
    expected = sum(level * c for level, c in zip(levels, columns, strict=True))
    return np.asarray(expected), correlation(design @ levels, wanted)


def correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return Pearson's correlation; NaN where one of them does not vary.

    Parameters
    ----------
    first, second : array_like
        Of one shape, finite.

    Returns
    -------
    float
        From -1 to 1; NaN also for fewer than two values.
    """
    a, b = np.asarray(first, dtype=float).ravel(), np.asarray(second, dtype=float).ravel()
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return float('nan')
    return float(np.corrcoef(a, b)[0, 1])


def normalised_mutual_information(
    first: npt.ArrayLike, second: npt.ArrayLike, bins: int = 32
) -> float:
    """Return how much two images tell of each other: (H(a) + H(b)) / H(a, b).

    Parameters
    ----------
    first, second : (n,) array_like
        Values at the same places; pairs with a missing value are left out.
    bins : int
        Bins from the 1st to the 99th percentile of each.

    Returns
    -------
    float
        From 1 (nothing) to 2 (everything).

    Examples
    --------
    >>> round(normalised_mutual_information(np.arange(1000), -np.arange(1000.0)), 2)
    2.0
    """
    a, b = np.asarray(first, dtype=float).ravel(), np.asarray(second, dtype=float).ravel()
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 2:
        return float('nan')
    # A few bright voxels would squeeze all the others into one or two bins.
    edges = [np.percentile(v[known], (1, 99)) for v in (a, b)]
    clipped = [np.clip(v[known], *e) for v, e in zip((a, b), edges, strict=True)]
    joint = np.histogram2d(clipped[0], clipped[1], bins=bins)[0] / known.sum()

    def entropy(p: FloatArray) -> float:
        return float(-np.sum(p[p > 0] * np.log(p[p > 0])))

    both = entropy(joint)
    return (entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1))) / both if both else 1.0


def field_from_pair(
    image: npt.ArrayLike,
    reversed_pe: npt.ArrayLike,
    mask: npt.ArrayLike,
    affine: npt.ArrayLike,
    axis: npt.ArrayLike,
    ratio: float = 1.0,
) -> FloatArray:
    """Estimate the displacement from two images of reversed phase encoding.

    Parameters
    ----------
    image, reversed_pe : (i, j, k) array_like
        b = 0 images on the same grid.
    mask : (i, j, k) array_like of bool
        Brain in ``image``.
    affine : (4, 4) array_like
    axis : (3,) array_like
        Signed unit vector of phase encoding of ``image``.
    ratio : float
        Readout time of the reversed image, relative to the first one's.

    Returns
    -------
    (i, j, k) ndarray
        Displacement along ``axis``, mm.
    """
    index, sign = phase_index(axis, affine)
    zooms = voxel_sizes(affine)
    wide = ndimage.binary_dilation(np.asarray(mask, dtype=bool), iterations=2)
    return sign * estimate_field(image, zooms, index, wide, reversed_pe=reversed_pe, ratio=ratio)


def field_from_anatomy(
    image: npt.ArrayLike,
    mask: npt.ArrayLike,
    affine: npt.ArrayLike,
    axis: npt.ArrayLike,
    *,
    anatomy: npt.ArrayLike,
    brain: npt.ArrayLike,
    tissues: Sequence[npt.ArrayLike],
    rounds: int = 2,
) -> tuple[FloatArray, dict[str, float]]:
    """Estimate the displacement from what the T1w image says the brain looks like.

    Parameters
    ----------
    image : (i, j, k) array_like
        Mean b = 0 image, distorted.
    mask : (i, j, k) array_like of bool
        Its brain.
    affine : (4, 4) array_like
    axis : (3,) array_like
        Signed unit vector of phase encoding.
    anatomy, brain : (i, j, k) array_like
        T1w image and its brain on the same grid, after the rigid alignment.
    tissues : sequence of (i, j, k) array_like
        Fractions of grey matter, white matter and CSF on the same grid.
    rounds : int
        How often contrast and field are estimated in turn.

    Returns
    -------
    displacement : (i, j, k) ndarray
        Along ``axis``, mm.
    measures : dict
        Correlation of the image with the expected one, before and after, and the share of the
        unexplained variance that is gone.
    """
    index, sign = phase_index(axis, affine)
    zooms = voxel_sizes(affine)
    there = np.asarray(brain, dtype=bool)
    both = there & np.asarray(mask, dtype=bool)
    # The signal is to be seen where it is now, in the image's own mask, and missed where it
    # belongs.
    around = ndimage.binary_dilation(there | np.asarray(mask, dtype=bool))
    shift, straight = np.zeros(there.shape), np.asarray(image, dtype=float)
    before = float('nan')
    for number in range(rounds):
        expected, similar = expected_contrast(straight, tissues, anatomy, both)
        before = similar if number == 0 else before
        target = np.where(ndimage.binary_dilation(there), expected, 0)
        shift = sign * estimate_field(image, zooms, index, around, target=target)
        straight = undistort(image, shift, affine, axis)
    after = expected_contrast(straight, tissues, anatomy, both)[1]
    gain = 1 - (1 - after**2) / (1 - before**2)
    return shift, {'sdc_similarity_before': before, 'sdc_similarity': after, 'sdc_gain': gain}


def phase_index(axis: npt.ArrayLike, affine: npt.ArrayLike) -> tuple[int, float]:
    """Return the voxel axis along which phase was encoded, and its sign.

    Parameters
    ----------
    axis : (3,) array_like
        Unit vector of phase encoding in scanner RAS.
    affine : (4, 4) array_like
        Voxel to scanner RAS in mm; may be oblique: the voxel axis nearest to ``axis`` is meant.

    Returns
    -------
    index : int
        0, 1 or 2.
    sign : float
        1.0 where phase was encoded towards higher indices, otherwise -1.0.
    """
    along = np.asarray(axis, dtype=float) @ axes_of(affine)
    index = int(np.abs(along).argmax())
    return index, float(np.sign(along[index]))
