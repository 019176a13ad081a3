r"""The diffusion tensor: weighted least squares on arrays, and its invariants.

The signal of a volume with b-value :math:`b` and direction :math:`g` is
:math:`S = S_0 \exp(-b\, g^T D g)`. Its logarithm is linear in the six elements of :math:`D` and
:math:`\ln S_0`, with noise of standard deviation :math:`\sigma / S`, hence weights
:math:`w = S^2` (Salvador et al. 2005, doi:10.1002/hbm.20076). Nothing is clipped: an estimate
with an eigenvalue that is zero or negative is marked, and its maps show what the formulas give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_acc.dwi.shells import find_shells
from bids_acc.exceptions import InputDataError
from bids_acc.typing import BoolArray, FloatArray

Method = Literal['ols', 'wls', 'iwls']

N_PARAMETERS = 7
MIN_FA_FOR_MODE = 0.01
"""Below this FA the tensor has no shape, and its mode is NaN."""

_SCALE = 1e-3
"""b-values are used in ms/um2 inside, which keeps the normal equations well conditioned."""

MAX_MS_UM2, MIN_S_M2 = 10.0, 1e5
"""Largest b-value, as a number, that is none in s/mm2 but one in ms/um2, and the smallest that is
one in s/m2. Own convention: below b 10 there is no weighting, 1e5 is beyond any scanner."""

_ROWS, _COLUMNS = np.triu_indices(N_PARAMETERS)


@dataclass(frozen=True)
class TensorFit:
    """Tensors of many voxels."""

    tensor: FloatArray
    """(n_voxels, 6) Dxx Dyy Dzz Dxy Dxz Dyz in mm2/s, in the frame of the directions."""
    s0: FloatArray
    """(n_voxels,) signal at b = 0, in the data's units."""
    residual: FloatArray
    """(n_voxels,) root mean square of (measured - fitted) over S0, dimensionless."""
    evals: FloatArray
    """(n_voxels, 3) eigenvalues in mm2/s, descending."""
    evecs: FloatArray
    """(n_voxels, 3, 3) eigenvectors as columns, in the order of `evals`."""
    non_positive: BoolArray
    """(n_voxels,) tensors with an eigenvalue <= 0: not physical, usually noise or artefact."""


def design_matrix(bvals: npt.ArrayLike, directions: npt.ArrayLike) -> FloatArray:
    """Return the log-linear model's matrix.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        In s/mm2, as measured (jitter included).
    directions : (n_volumes, 3) array_like
        Unit vectors; zero where b is zero.

    Returns
    -------
    (n_volumes, 7) ndarray
        Columns for Dxx Dyy Dzz Dxy Dxz Dyz (mm2/s times 1000) and ln S0.
    """
    b = np.asarray(bvals, dtype=float) * _SCALE
    x, y, z = np.asarray(directions, dtype=float).T
    terms = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    return np.column_stack([-b[:, None] * terms, np.ones_like(b)])


def check_design(bvals: npt.ArrayLike, directions: npt.ArrayLike) -> None:
    """Refuse a scheme from which no tensor can be had.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        s/mm2.
    directions : (n_volumes, 3) array_like
        Unit vectors in any frame; what they are for b = 0 does not matter.

    Raises
    ------
    InputDataError
        If the design has fewer than seven independent rows or a condition number above 1e4.
    """
    design = design_matrix(bvals, directions)
    singular = np.linalg.svd(design, compute_uv=False)
    if len(design) < N_PARAMETERS or singular[-1] < 1e-4 * singular[0]:
        raise InputDataError(
            f'{len(design)} {"volume does" if len(design) == 1 else "volumes do"} not determine a '
            'diffusion tensor: at least six different directions and two b-values are needed.'
        )


def check_scheme(
    names: str, bvals: npt.ArrayLike, directions: npt.ArrayLike, b_max: float,
    findings: Sequence[str] = (),
) -> None:  # fmt: skip
    """Refuse series from which no tensor can be had, with what there is and what is used.

    Parameters
    ----------
    names : str
        Of the files, for the message.
    bvals : (n_volumes,) array_like
        Of the usable volumes, s/mm2.
    directions : (n_volumes, 3) array_like
    b_max : float
        Largest b-value of the tensor, s/mm2.
    findings : sequence of str
        What was found irregular; those that tell why volumes are not used are repeated.

    Raises
    ------
    InputDataError
    """
    shells = find_shells(bvals)
    used = shells.volume_bvalues <= b_max
    try:
        check_design(np.asarray(bvals)[used], np.asarray(directions)[used])
    except InputDataError as error:
        lost = [text for text in findings if text.endswith('not used.')]
        besides = f' Besides, {" ".join(lost)}' if lost else ''
        there = ', '.join(f'{len(shells.members(b))} at b {b}' for b in shells.bvalues)
        raise InputDataError(
            f'{names}: {error} There are {there}; those up to b {b_max:g} are used (--dwi-b-max).'
            f'{_unit_hint(bvals)}{besides}'
        ) from error


def left_out_shells(bvals: npt.ArrayLike, b_max: float) -> str:
    """Say which shells the tensor does not use; empty where it uses all.

    Parameters
    ----------
    bvals : (n_volumes,) array_like
        s/mm2.
    b_max : float
        Largest b-value of the tensor, s/mm2.

    Examples
    --------
    >>> left_out_shells([0, 0, 1000, 3000, 3000], 1500)
    'The tensor uses b up to 1500 (--dwi-b-max): 2 volumes at b 3000 are not in it.'
    >>> left_out_shells([0, 1000], 1500)
    ''
    """
    shells = find_shells(bvals)
    beyond = [f'{len(shells.members(b))} volumes at b {b}' for b in shells.bvalues if b > b_max]
    if not beyond:
        return ''
    return f'The tensor uses b up to {b_max:g} (--dwi-b-max): {", ".join(beyond)} are not in it.'


def _unit_hint(bvals: npt.ArrayLike) -> str:
    """Name the unit that b-values seem to have where it is not s/mm2.

    Examples
    --------
    >>> _unit_hint([0, 1, 1]), _unit_hint([0, 1000])
    (' Are b-values in ms/um2? BIDS asks for s/mm2: multiply them by 1000.', '')
    """
    largest = float(np.max(bvals, initial=0.0))
    if 0 < largest <= MAX_MS_UM2:
        return ' Are b-values in ms/um2? BIDS asks for s/mm2: multiply them by 1000.'
    if largest >= MIN_S_M2:
        return ' Are b-values in s/m2? BIDS asks for s/mm2: divide them by 1e6.'
    return ''


def check_decay(fit: TensorFit) -> None:
    """Refuse tensors of a series whose signal does not fall with its b-values.

    Parameters
    ----------
    fit : TensorFit
        Of the voxels of a brain.

    Raises
    ------
    InputDataError
        If their median mean diffusivity is not positive: b-values are those of other volumes.
    """
    middle = float(np.nanmedian(fit.evals.mean(axis=1)))
    if not middle > 0:
        raise InputDataError(
            f'the signal of the brain does not fall as b rises (median mean diffusivity '
            f'{middle:.2g} mm2/s): the b-values are not those of these volumes. Convert images '
            'and gradient table again, together.'
        )


def fit_tensor(
    signal: npt.ArrayLike,
    bvals: npt.ArrayLike,
    directions: npt.ArrayLike,
    *,
    method: Method = 'iwls',
    n_iterations: int = 2,
    weights: npt.ArrayLike | None = None,
    chunk: int = 50_000,
) -> TensorFit:
    """Estimate a tensor for each voxel.

    ``ols``: equal weights. ``wls``: weights are the squared *measured* signals. ``iwls``: then,
    ``n_iterations`` times, weights are the squared signals that the previous estimate predicts.

    Parameters
    ----------
    signal : (n_voxels, n_volumes) array_like
        Magnitude signal; values that are not positive get no weight.
    bvals : (n_volumes,) array_like
        s/mm2.
    directions : (n_volumes, 3) array_like
        Unit vectors; the tensor comes out in their frame.
    method : {'ols', 'wls', 'iwls'}
        See above.
    n_iterations : int
        For ``iwls``.
    weights : (n_voxels, n_volumes) array_like, optional
        Multiplied with the above, e.g. 0 for outlier slices.
    chunk : int
        Voxels at a time; bounds memory, changes nothing else.

    Returns
    -------
    TensorFit
        NaN where fewer than seven samples are left or they do not determine a tensor.

    Raises
    ------
    InputDataError
        If the scheme as a whole does not determine a tensor.

    References
    ----------
    Veraart J, et al. (2013). Weighted linear least squares estimation of diffusion MRI
    parameters: strengths, limitations, and pitfalls. NeuroImage 81:335-346.
    https://doi.org/10.1016/j.neuroimage.2013.05.028

    Examples
    --------
    >>> directions = np.vstack(
    ...     [
    ...         np.zeros(3),
    ...         np.eye(3),
    ...         np.ones((1, 3)) / 3**0.5,
    ...         [[0.6, 0.8, 0], [0, 0.6, 0.8], [0.8, 0, 0.6]],
    ...     ]
    ... )
    >>> bvals = [0] + [1000] * 7
    >>> signal = 100 * np.exp(-1e-3 * np.array(bvals))
    >>> fit = fit_tensor(signal[None], bvals, directions)
    >>> (fit.tensor[0, :3] * 1e3).round(6)
    array([1., 1., 1.])
    """
    check_design(bvals, directions)
    data = np.atleast_2d(np.asarray(signal, dtype=float))
    extra = None if weights is None else np.asarray(weights, dtype=float)
    design = design_matrix(bvals, directions)
    parameters = np.full((len(data), N_PARAMETERS), np.nan)
    residual = np.full(len(data), np.nan)
    rounds = {'ols': 0, 'wls': 1, 'iwls': 1 + n_iterations}[method]
    for start in range(0, len(data), chunk):
        part = slice(start, start + chunk)
        given = None if extra is None else extra[part]
        parameters[part], residual[part] = _fit_chunk(data[part], design, rounds, given)
    tensor = parameters[:, :6] * _SCALE
    evals, evecs = eigensystem(tensor)
    with np.errstate(over='ignore'):
        s0 = np.exp(parameters[:, 6])
    return TensorFit(
        tensor=tensor,
        s0=s0,
        residual=residual,
        evals=evals,
        evecs=evecs,
        non_positive=evals[:, 2] <= 0,
    )


def _fit_chunk(
    signal: FloatArray, design: FloatArray, rounds: int, weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Fit some voxels; returns parameters and relative residual."""
    # A logarithm needs signal; a value that is zero or less gets weight zero and not a small
    # number in its place, which would count as strong decay.
    valid = np.isfinite(signal) & (signal > 0)
    safe = np.where(valid, signal, 1.0)
    base = valid.astype(float) if weights is None else valid * weights
    level = np.max(np.where(valid, signal, 0), axis=1, keepdims=True)
    level[level <= 0] = 1.0
    # divided by the voxel's largest signal: the weights' size is irrelevant, their range is not
    logs = np.log(safe / level)
    parameters = _solve(design, base * (safe / level) ** 2 if rounds else base, logs)
    for _ in range(rounds - 1):
        predicted = np.exp(np.minimum(parameters @ design.T, 5.0))
        parameters = _solve(design, base * predicted**2, logs)
    predicted = np.exp(np.minimum(parameters @ design.T, 5.0))
    error = np.where(base > 0, safe / level - predicted, 0.0)
    mean_square = (error**2).sum(axis=1) / np.maximum((base > 0).sum(axis=1), 1)
    with np.errstate(over='ignore', divide='ignore'):  # a signal of noise may have no S0
        residual = np.sqrt(mean_square) / np.exp(parameters[:, 6])
    parameters[:, 6] += np.log(level[:, 0])
    return parameters, residual


def _solve(design: FloatArray, weights: FloatArray, logs: FloatArray) -> FloatArray:
    """Solve each voxel's weighted normal equations; NaN where they are singular."""
    # The upper triangle only, for all voxels by one product of matrices: 28 numbers instead of 49.
    products = design[:, _ROWS] * design[:, _COLUMNS]
    gram = np.empty((len(weights), N_PARAMETERS, N_PARAMETERS))
    gram[:, _ROWS, _COLUMNS] = weights @ products
    gram[:, _COLUMNS, _ROWS] = gram[:, _ROWS, _COLUMNS]
    right = (weights * logs) @ design
    trace = np.trace(gram, axis1=1, axis2=2)
    enough = ((weights > 0).sum(axis=1) >= N_PARAMETERS) & np.isfinite(trace) & (trace > 0)
    scaled = gram / np.where(enough, trace, 1.0)[:, None, None]
    with np.errstate(invalid='ignore', over='ignore'):
        enough &= np.linalg.det(np.where(enough[:, None, None], scaled, 0)) > 1e-24
    solution = np.full((len(weights), N_PARAMETERS), np.nan)
    if enough.any():
        share = trace[enough][:, None]
        solution[enough] = _solve_regular(scaled[enough], right[enough] / share)
    return solution


def _solve_regular(matrices: FloatArray, right: FloatArray) -> FloatArray:
    """Solve systems of trace one; NaN for those that are singular to rounding."""
    try:
        return np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        regular = np.linalg.eigvalsh(matrices)[:, 0] > 1e-13
        solution = np.full(right.shape, np.nan)
        solution[regular] = np.linalg.solve(matrices[regular], right[regular][..., None])[..., 0]
        return solution


def eigensystem(tensor: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, descending, and eigenvectors of symmetric tensors.

    Parameters
    ----------
    tensor : (n_voxels, 6) array_like
        Dxx Dyy Dzz Dxy Dxz Dyz; NaN gives NaN.

    Returns
    -------
    evals : (n_voxels, 3) ndarray
    evecs : (n_voxels, 3, 3) ndarray
        Columns.
    """
    elements = np.asarray(tensor, dtype=float)
    full = elements[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    # One NaN makes LAPACK refuse the whole stack.
    finite = np.isfinite(elements).all(axis=1)
    evals = np.full((len(elements), 3), np.nan)
    evecs = np.full((len(elements), 3, 3), np.nan)
    if finite.any():
        values, vectors = np.linalg.eigh(full[finite])
        evals[finite], evecs[finite] = values[:, ::-1], vectors[:, :, ::-1]
    return evals, evecs


def mean_diffusivity(evals: npt.ArrayLike) -> FloatArray:
    """Return the mean of the eigenvalues, in their unit.

    Parameters
    ----------
    evals : (..., 3) array_like

    Returns
    -------
    (...) ndarray
    """
    return np.asarray(np.asarray(evals, dtype=float).mean(axis=-1))


def axial_diffusivity(evals: npt.ArrayLike) -> FloatArray:
    """Return the largest of descending eigenvalues, in their unit.

    Parameters
    ----------
    evals : (..., 3) array_like
        Eigenvalues, largest first.

    Returns
    -------
    (...) ndarray
    """
    return np.asarray(evals, dtype=float)[..., 0]


def radial_diffusivity(evals: npt.ArrayLike) -> FloatArray:
    """Return the mean of the two smaller of descending eigenvalues, in their unit.

    Parameters
    ----------
    evals : (..., 3) array_like
        Eigenvalues, largest first.

    Returns
    -------
    (...) ndarray
    """
    return np.asarray(np.asarray(evals, dtype=float)[..., 1:].mean(axis=-1))


def fractional_anisotropy(evals: npt.ArrayLike) -> FloatArray:
    r"""Return how far from a sphere the tensor is: 0 for a sphere, 1 for a stick.

    .. math:: FA = \sqrt{\tfrac32}\,\frac{|D - \bar\lambda I|}{|D|}

    Parameters
    ----------
    evals : (..., 3) array_like
        Eigenvalues in any unit and order.

    Returns
    -------
    (...) ndarray
        Dimensionless; above 1 only where an eigenvalue is negative. NaN for a zero tensor.

    References
    ----------
    Basser PJ, Pierpaoli C (1996). J Magn Reson B 111:209-219.
    https://doi.org/10.1006/jmrb.1996.0086

    Examples
    --------
    >>> fractional_anisotropy([[1, 1, 1], [1, 0, 0]])
    array([0., 1.])
    """
    values = np.asarray(evals, dtype=float)
    deviation = values - values.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(values, axis=-1)
    spread = np.linalg.norm(deviation, axis=-1)
    ratio = np.divide(spread, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
    return np.asarray(np.sqrt(1.5) * ratio)


def mode(evals: npt.ArrayLike, min_fa: float = MIN_FA_FOR_MODE) -> FloatArray:
    r"""Return the shape of the anisotropy: -1 planar, 0 orthotropic, 1 linear.

    .. math:: MO = 3\sqrt6\,\det(\tilde D / |\tilde D|), \quad \tilde D = D - \bar\lambda I

    Parameters
    ----------
    evals : (..., 3) array_like
        Eigenvalues in any unit and order.
    min_fa : float
        Below this FA there is no shape to speak of, and the result is NaN.

    Returns
    -------
    (...) ndarray
        In [-1, 1], or NaN.

    References
    ----------
    Ennis DB, Kindlmann G (2006). Orthogonal tensor invariants and the analysis of diffusion
    tensor magnetic resonance images. Magn Reson Med 55:136-146.
    https://doi.org/10.1002/mrm.20741

    Examples
    --------
    >>> mode([[1, 0, 0], [1, 1, 0], [1, 1, 1]]).round(6)
    array([ 1., -1., nan])
    """
    values = np.asarray(evals, dtype=float)
    deviation = values - values.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(deviation, axis=-1, keepdims=True)
    shaped = fractional_anisotropy(values) >= min_fa
    unit = np.divide(
        deviation, norm, out=np.full(values.shape, np.nan), where=(norm > 0) & shaped[..., None]
    )
    return np.asarray(np.clip(3 * np.sqrt(6) * unit.prod(axis=-1), -1, 1))


def scalar_maps(fit: TensorFit) -> dict[str, FloatArray]:
    """Return all invariants of fitted tensors.

    Parameters
    ----------
    fit : TensorFit
        Of which the eigenvalues count, mm2/s.

    Returns
    -------
    dict of str to (n_voxels,) ndarray
        ``fa``, ``md``, ``ad``, ``rd`` (mm2/s) and ``mo``.
    """
    return {
        'fa': fractional_anisotropy(fit.evals),
        'md': mean_diffusivity(fit.evals),
        'ad': axial_diffusivity(fit.evals),
        'rd': radial_diffusivity(fit.evals),
        'mo': mode(fit.evals),
    }
