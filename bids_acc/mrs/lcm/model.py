"""The linear-combination model at given nonlinear parameters: columns, amplitudes, Jacobian.

The real part of the phased, zero-filled spectrum is a sum of broadened model spectra with
non-negative amplitudes and a penalised spline baseline. Given phases, shifts and widths, the
amplitudes and the baseline follow by linear least squares; they are never parameters of the
search (variable projection, Golub and Pereyra 1973, SIAM J Numer Anal 10:413).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import fft
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls

from bids_acc.exceptions import ComputationError
from bids_acc.mrs.lcm import lineshape
from bids_acc.mrs.lcm.baseline import penalty_for, second_differences, spline_columns
from bids_acc.mrs.spectrum import ppm_axis
from bids_acc.typing import ComplexArray, FloatArray

PHASE0, PHASE1, SHIFT, LORENTZ, VARIANCE = range(5)
"""Positions of the shared parameters; shifts and widths of the components follow."""
N_SHARED = 5
MIN_WINDOW_POINTS = 50
"""Points of the zero-filled window below which splines and lines cannot be told apart."""
_RIDGE = 1e-12
_VARIANCE_UNIT = lineshape.gauss_variance(4.0)


@dataclass(frozen=True)
class Component:
    """One column of the model and how far it may move and widen by itself."""

    name: str
    kind: str
    """``metabolite``, ``macromolecule`` or ``lipid``."""
    shift_sd_hz: float
    width_mean_hz: float
    width_sd_hz: float


@dataclass(frozen=True)
class Solution:
    """Amplitudes, baseline and misfit at some parameters."""

    amplitudes: FloatArray
    splines: FloatArray
    columns: FloatArray
    """(n_window, n_components) real model spectra."""
    gram: FloatArray
    """(n_components, n_components) inner products, see :meth:`LinearCombinationModel.gram`."""
    residual: FloatArray
    """(n_window,) data minus model and baseline."""
    cost: float
    """Squared residual in units of the noise variance, with the parameters' priors."""


class LinearCombinationModel:
    """Data, model FIDs and baseline of one fit.

    Parameters
    ----------
    fid : (n_points,) ndarray
        Data, scaled.
    fids : (n_components, n_points) ndarray
        Model FIDs, scaled.
    components : sequence of Component
        What the columns are.
    dwell_time : float
        Sampling interval in s.
    spectrometer_frequency : float
        Proton frequency in MHz.
    ppm_range : (float, float)
        Analysis window.
    noise_sd : float
        Standard deviation of a point of the real spectrum.
    lorentz_prior : (float, float)
        Mean and SD of the shared Lorentzian width in Hz.
    phase1_sd : float
        SD of the first-order phase in rad/ppm.

    Raises
    ------
    ComputationError
        If the window holds too few points.
    """

    def __init__(
        self,
        fid: ComplexArray,
        fids: ComplexArray,
        components: tuple[Component, ...],
        *,
        dwell_time: float,
        spectrometer_frequency: float,
        ppm_range: tuple[float, float],
        noise_sd: float,
        lorentz_prior: tuple[float, float],
        phase1_sd: float,
    ) -> None:
        n_points = fid.size
        self.components, self.fid, self.fids = components, fid, fids
        self.spectrometer_frequency = spectrometer_frequency
        self.time: FloatArray = np.arange(n_points, dtype=np.float64) * dwell_time
        # the real part of twice the points holds all that the complex decay does
        self.n_filled = 2 * n_points
        ppm = ppm_axis(self.n_filled, dwell_time, spectrometer_frequency)
        inside = np.flatnonzero((ppm >= ppm_range[0]) & (ppm <= ppm_range[1]))
        self.ppm = ppm[inside]
        if inside.size < MIN_WINDOW_POINTS:
            raise ComputationError(
                f'{inside.size} points between {ppm_range[0]} and {ppm_range[1]} ppm, '
                f'{MIN_WINDOW_POINTS} are needed'
            )
        # positions in the plain transform: nothing outside the window need be moved
        self.window = (inside - self.n_filled // 2) % self.n_filled
        self.pivot = float(np.mean(ppm_range))
        self.data = self._spectra(fid)
        self.noise_sd = noise_sd
        self.splines = spline_columns(self.ppm)
        self.ratios = np.zeros((0, len(components)))
        self._set_priors(lorentz_prior, phase1_sd)
        self.set_dimension(6.0)

    @property
    def n_components(self) -> int:
        """Number of model spectra."""
        return len(self.components)

    @property
    def n_parameters(self) -> int:
        """Number of nonlinear parameters."""
        return N_SHARED + 2 * self.n_components

    def _set_priors(self, lorentz_prior: tuple[float, float], phase1_sd: float) -> None:
        """Means and SDs of the nonlinear parameters; infinite where there is none."""
        n_components = self.n_components
        self.prior_mean = np.zeros(self.n_parameters)
        self.prior_sd = np.full(self.n_parameters, np.inf)
        self.prior_mean[LORENTZ], self.prior_sd[LORENTZ] = lorentz_prior
        self.prior_sd[PHASE1] = phase1_sd
        self.prior_sd[VARIANCE] = 25.0
        shifts = slice(N_SHARED, N_SHARED + n_components)
        widths = slice(N_SHARED + n_components, None)
        self.prior_sd[shifts] = [item.shift_sd_hz for item in self.components]
        self.prior_mean[widths] = [item.width_mean_hz for item in self.components]
        self.prior_sd[widths] = [item.width_sd_hz for item in self.components]

    def set_dimension(self, dimension: float) -> None:
        """Give the baseline a flexibility, as effective dimension over the whole window.

        Parameters
        ----------
        dimension : float
            Trace of the smoother of the baseline alone: 2 is a straight line, more follows more.
        """
        self.penalty = penalty_for(self.splines, dimension)
        difference = second_differences(self.splines.shape[1])
        self.roughness = self.penalty * difference.T @ difference
        # Once for a stiffness: it is the same at all shifts and widths, and each step of the
        # search needs it several times.
        self._spline_factor = cho_factor(self.splines.T @ self.splines + self.roughness)

    def start(self) -> FloatArray:
        """Parameters at their priors, with a 4 Hz line shape."""
        parameters = self.prior_mean.copy()
        parameters[LORENTZ] = 3.0
        parameters[VARIANCE] = 1.0
        return parameters

    def _spectra(self, fids: ComplexArray) -> ComplexArray:
        """Spectra inside the window."""
        return np.asarray(fft(fids, self.n_filled, axis=-1)[..., self.window])

    def phased(self, parameters: FloatArray) -> ComplexArray:
        """Take the phases out of the data.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            As for :meth:`solve`.

        Returns
        -------
        (n_window,) ndarray of complex128
            Its real part is what the model describes. The first-order phase turns about the middle
            of the window, so that both phases are hardly correlated.
        """
        phase = parameters[PHASE0] + parameters[PHASE1] * (self.ppm - self.pivot)
        return np.asarray(self.data * np.exp(-1j * phase))

    def broadened(self, parameters: FloatArray) -> ComplexArray:
        """Give the model FIDs the shifts and widths of some parameters.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            As for :meth:`solve`.

        Returns
        -------
        (n_components, n_points) ndarray of complex128
            Each moved by the shared shift and its own, and widened by the shared Voigt line and
            its own Lorentzian width.
        """
        n_components = self.n_components
        own = parameters[N_SHARED : N_SHARED + n_components]
        shifts: FloatArray = parameters[SHIFT] + own
        widths: FloatArray = parameters[LORENTZ] + parameters[N_SHARED + n_components :]
        variance = parameters[VARIANCE] * _VARIANCE_UNIT
        return lineshape.broaden(self.fids, self.time, shifts, widths, variance)

    def smoothed_data(self, width_hz: float = 4.0) -> ComplexArray:
        """Unphased data inside the window, broadened against noise.

        Parameters
        ----------
        width_hz : float
            Lorentzian width in Hz that is laid upon the data: about that of the lines, which is
            the filter that finds them best.

        Returns
        -------
        (n_window,) ndarray of complex128
        """
        return self._spectra(self.fid * np.exp(-np.pi * width_hz * self.time))

    def complex_columns(self, parameters: FloatArray) -> ComplexArray:
        """Model spectra inside the window with both parts, for the search of the phase.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            As for :meth:`solve`.

        Returns
        -------
        (n_window, n_components) ndarray of complex128
        """
        return self._spectra(self.broadened(parameters)).T

    def columns(self, parameters: FloatArray) -> FloatArray:
        """Real model spectra inside the window, the columns of the linear problem.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            As for :meth:`solve`.

        Returns
        -------
        (n_window, n_components) ndarray of float64
        """
        return self._spectra(self.broadened(parameters)).real.T

    def inner(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Inner products of columns without the part that the penalised splines explain.

        Parameters
        ----------
        left : (n_window, n_left) ndarray
        right : (n_window, n_right) ndarray

        Returns
        -------
        (n_left, n_right) ndarray of float64
        """
        on_splines = self.splines.T @ left, self.splines.T @ right
        explained = on_splines[0].T @ cho_solve(self._spline_factor, on_splines[1])
        return np.asarray(left.T @ right - explained)

    def gram(self, columns: FloatArray) -> FloatArray:
        """Inner products of model spectra, ratio priors included.

        Parameters
        ----------
        columns : (n_window, n_components) ndarray
            Real model spectra.

        Returns
        -------
        (n_components, n_components) ndarray of float64
            Inner products after the baseline took its part, plus those of the ratio priors: with
            them the amplitudes follow without solving for the splines.
        """
        rows = self.noise_sd * self.ratios
        return self.inner(columns, columns) + rows.T @ rows

    def solve(self, parameters: FloatArray) -> Solution:
        """Best non-negative amplitudes and baseline at some parameters.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            Phases in rad and rad/ppm, shift in Hz, Lorentzian width in Hz, Gaussian variance
            in units of a 4 Hz line; shifts and widths of the components in Hz.

        Returns
        -------
        Solution
        """
        columns = self.columns(parameters)
        target = self.phased(parameters).real
        # with the splines eliminated the amplitudes are a small non-negative problem
        gram = self.gram(columns)
        cross = self.inner(columns, target[:, None])[:, 0]
        amplitudes = nonnegative(gram, cross)
        rest = target - columns @ amplitudes
        splines = cho_solve(self._spline_factor, self.splines.T @ rest)
        misfit = float(rest @ (rest - self.splines @ splines))
        ratios = self.noise_sd * self.ratios @ amplitudes
        return Solution(
            amplitudes=amplitudes,
            splines=splines,
            columns=columns,
            gram=gram,
            residual=rest - self.splines @ splines,
            cost=(misfit + float(ratios @ ratios)) / self.noise_sd**2
            + self.prior_cost(parameters),
        )

    def prior_cost(self, parameters: FloatArray) -> float:
        """Squared distance of the parameters from their priors, in SDs.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            As for :meth:`solve`.

        Returns
        -------
        float
            In the units of the cost, so that one SD from a prior weighs as much as one SD of
            noise.
        """
        distance = (parameters - self.prior_mean) / self.prior_sd
        return float(distance @ distance)

    def derivatives(self, parameters: FloatArray, amplitudes: FloatArray) -> FloatArray:
        """Differentiate model minus data by the nonlinear parameters.

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            Where.
        amplitudes : (n_components,) ndarray
            Amplitudes, held fixed.

        Returns
        -------
        (n_window, n_parameters) ndarray of float64
        """
        fids = self.broadened(parameters) * amplitudes[:, None]
        weighted = self._spectra(fids * self.time).T
        quadratic = self._spectra(fids.sum(axis=0) * self.time**2)
        rotated = self.phased(parameters).imag
        jacobian = np.empty((self.window.size, self.n_parameters))
        # d Re(e^{-i phi} D) / d phi = Im(e^{-i phi} D); model minus data turns the sign
        jacobian[:, PHASE0] = -rotated
        jacobian[:, PHASE1] = -rotated * (self.ppm - self.pivot)
        by_shift, by_width = -2 * np.pi * weighted.imag, -np.pi * weighted.real
        jacobian[:, SHIFT] = by_shift.sum(axis=1)
        jacobian[:, LORENTZ] = by_width.sum(axis=1)
        jacobian[:, VARIANCE] = -_VARIANCE_UNIT * quadratic.real
        jacobian[:, N_SHARED : N_SHARED + self.n_components] = by_shift
        jacobian[:, N_SHARED + self.n_components :] = by_width
        return jacobian

    def normal_equations(
        self, parameters: FloatArray, solution: Solution
    ) -> tuple[FloatArray, FloatArray]:
        """Gauss-Newton matrix and half the gradient of the cost (Kaufman 1975, BIT 15:49).

        Parameters
        ----------
        parameters : (n_parameters,) ndarray
            Where.
        solution : Solution
            Of :meth:`solve` at these parameters.

        Returns
        -------
        normal : (n_parameters, n_parameters) ndarray of float64
        gradient : (n_parameters,) ndarray of float64
        """
        direct = self.derivatives(parameters, solution.amplitudes)
        normal = self.inner(direct, direct)
        # the residual is orthogonal to the active columns already, and free of baseline
        gradient = -direct.T @ solution.residual
        active = solution.amplitudes > 0
        if active.any():
            cross = self.inner(solution.columns[:, active], direct)
            gram = solution.gram[np.ix_(active, active)]
            # What the amplitudes in use would take up is no misfit (variable projection). By least
            # squares, as two nearly equal spectra make the matrix singular.
            normal -= cross.T @ np.linalg.lstsq(gram, cross, rcond=None)[0]
        precision = self.prior_sd**-2.0
        variance = self.noise_sd**2
        return (
            normal / variance + np.diag(precision),
            gradient / variance + precision * (parameters - self.prior_mean),
        )

    def set_ratios(self, rows: FloatArray) -> None:
        """Use soft ratio priors, given as rows on the amplitudes in units of their SDs.

        Parameters
        ----------
        rows : (n_priors, n_components) ndarray
            Each row times the amplitudes should be zero within one: (numerator - mean x
            denominator) over the SD of that difference.
        """
        self.ratios = rows


def nonnegative(gram: FloatArray, cross: FloatArray) -> FloatArray:
    """Non-negative least squares from inner products.

    Parameters
    ----------
    gram : (n_components, n_components) ndarray
        Inner products of the columns.
    cross : (n_components,) ndarray
        Inner products of the columns with the data.

    Returns
    -------
    (n_components,) ndarray of float64

    Examples
    --------
    >>> import numpy as np
    >>> nonnegative(np.eye(2), np.array([2.0, -1.0]))
    array([2., 0.])
    """
    scale = np.sqrt(np.clip(np.diag(gram), 1e-300, None))
    # unit columns, and a touch of ridge for spectra that are nearly copies of each other
    scaled = gram / np.outer(scale, scale) + _RIDGE * np.eye(len(gram))
    factor = np.linalg.cholesky(scaled)
    target = solve_triangular(factor, cross / scale, lower=True)
    # A triangular factor has the same inner products as the columns and some twenty rows in place
    # of a thousand.
    amplitudes, _ = nnls(factor.T, target, maxiter=50 * len(gram))
    return np.asarray(amplitudes / scale)
