"""Spin dynamics of small scalar-coupled systems under ideal pulses.

Full strong coupling between protons, weak coupling to one phosphorus-31; relaxation is left to
the line shape of the fit. The Hamiltonian is diagonalised once per group of spins; pulses,
delays and coherence filters then are cheap, and the signal is a list of lines.

The density operator follows Ernst RR, Bodenhausen G, Wokaun A (1987), Principles of Nuclear
Magnetic Resonance in One and Two Dimensions, Clarendon Press.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bids_acc.mrs.basis.spin_systems import SpinGroup
from bids_acc.mrs.spectrum import PPM_REFERENCE
from bids_acc.typing import ComplexArray, FloatArray

_AMPLITUDE_FLOOR = 1e-10
"""Lines weaker than this share of a proton are dropped."""


@cache
def _spin_operators(n_spins: int) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """Ix and Iz of each of n spins one half, in the product basis."""
    half_x = np.array([[0.0, 0.5], [0.5, 0.0]])
    half_z = np.diag([0.5, -0.5])

    def embed(operator: FloatArray, spin: int) -> FloatArray:
        return np.kron(np.kron(np.eye(2**spin), operator), np.eye(2 ** (n_spins - spin - 1)))

    return (
        tuple(embed(half_x, spin) for spin in range(n_spins)),
        tuple(embed(half_z, spin) for spin in range(n_spins)),
    )


@cache
def _exchange(n_spins: int, first: int, second: int) -> FloatArray:
    """Scalar product of two spins: (swap of the two - 1/2) / 2, real symmetric."""
    states = np.arange(2**n_spins)
    bit_1, bit_2 = n_spins - 1 - first, n_spins - 1 - second
    differ = ((states >> bit_1) ^ (states >> bit_2)) & 1
    swapped = states ^ (differ << bit_1) ^ (differ << bit_2)
    product = -0.25 * np.eye(2**n_spins)
    product[states, swapped] += 0.5
    return product


def hamiltonian(group: SpinGroup, spectrometer_frequency: float) -> FloatArray:
    """Free-precession Hamiltonian of a group in the frame of water.

    Parameters
    ----------
    group : SpinGroup
        Shifts and couplings.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    (2**n_spins, 2**n_spins) ndarray of float64
        In Hz; the phosphorus, when there is one, is the last spin.
    """
    n_spins = group.n_spins
    _, z = _spin_operators(n_spins)
    offsets = (PPM_REFERENCE - np.asarray(group.shifts_ppm)) * spectrometer_frequency
    total: FloatArray = sum(
        (offset * operator for offset, operator in zip(offsets, z, strict=False)),
        np.zeros((2**n_spins,) * 2),
    )
    for first, second, coupling in group.couplings_hz:
        total = total + coupling * _exchange(n_spins, first, second)
    # weak coupling is enough: the lines of the two nuclei lie tens of MHz apart
    for proton, coupling in group.phosphorus_hz:
        total = total + coupling * z[proton] @ z[-1]
    return total


class Ensemble:
    """Density operator of one group, moved through a pulse sequence.

    Starts as transverse magnetisation after an ideal excitation about y; one uncoupled
    proton then gives a signal of 1.
    """

    def __init__(self, group: SpinGroup, spectrometer_frequency: float) -> None:
        n_spins, n_protons = group.n_spins, len(group.shifts_ppm)
        x, z = _spin_operators(n_spins)
        self._energies, self._vectors = np.linalg.eigh(hamiltonian(group, spectrometer_frequency))
        total_x: FloatArray = np.sum(x[:n_protons], axis=0)
        total_z: FloatArray = np.sum(z[:n_protons], axis=0)
        # F+ = Fx + i Fy raises Fz by one: keep that half of 2 Fx
        order = np.diag(total_z)[:, None] - np.diag(total_z)[None, :]
        raising = np.where(np.isclose(order, 1), 2 * total_x, 0.0)
        self._raising = self._to_eigen(raising)
        self._order = np.round(np.diag(self._to_eigen(total_z))[:, None] * 2)
        self._order = (self._order - self._order.T) / 2
        self._n_spins, self._n_protons = n_spins, n_protons
        self._shifts = np.asarray(group.shifts_ppm)
        self.spectrometer_frequency = spectrometer_frequency
        self._total_x = self._to_eigen(total_x)
        self._total_z = self._to_eigen(total_z)
        self.density: ComplexArray = self._to_eigen(total_x).astype(complex)
        # The trace of F+ F- over n spins is 2 to the power of n - 2 for each: with it, one proton
        # counts as one whatever it is coupled to.
        self._normaliser = group.protons_each * group.weight / 2 ** (n_spins - 2)

    def _to_eigen(self, operator: FloatArray) -> FloatArray:
        return np.asarray(self._vectors.T @ operator @ self._vectors)

    def rotate(self, angle: float) -> None:
        """Apply an ideal, unselective pulse about y to all protons.

        Parameters
        ----------
        angle : float
            Flip angle in rad. A phosphorus of the group is not turned.
        """
        half = np.array(
            [
                [np.cos(angle / 2), -np.sin(angle / 2)],
                [np.sin(angle / 2), np.cos(angle / 2)],
            ]
        )
        rotation = np.eye(1)
        for spin in range(self._n_spins):
            rotation = np.kron(rotation, half if spin < self._n_protons else np.eye(2))
        rotation = self._to_eigen(rotation)
        self.density = rotation @ self.density @ rotation.T

    def rotate_near(self, ppm: float, half_width_ppm: float) -> None:
        """Apply an ideal 180 degree pulse about y to the protons near a chemical shift only.

        Coherence orders are kept before and after it, as the spoilers around an editing pulse do.

        Parameters
        ----------
        ppm : float
            Centre of the inverted band in ppm.
        half_width_ppm : float
            Protons farther from it than this are left as they are.
        """
        flip, rotation = np.array([[0.0, -1.0], [1.0, 0.0]]), np.eye(1)
        for spin in range(self._n_spins):
            near = spin < self._n_protons and abs(self._shifts[spin] - ppm) <= half_width_ppm
            rotation = np.kron(rotation, flip if near else np.eye(2))
        self._within_orders(self._to_eigen(rotation).astype(complex))

    def selective(self, amplitudes: FloatArray, step: float, ppm: float) -> ComplexArray:
        """Propagator of a selective pulse in small steps.

        Parameters
        ----------
        amplitudes : (n_steps,) ndarray
            Nutation frequency in each step, in Hz; an even number, the same from both ends.
        step : float
            Duration of a step in s.
        ppm : float
            Carrier.

        Returns
        -------
        (n, n) ndarray of complex128
            In the basis of the Hamiltonian's eigenvectors.
        """
        offset = (PPM_REFERENCE - ppm) * self.spectrometer_frequency
        # in the frame of the carrier the pulse stands still
        resting = np.diag(self._energies) - offset * self._total_z
        half = np.eye(self._energies.size, dtype=complex)
        for amplitude in amplitudes[: amplitudes.size // 2].tolist():
            energies, vectors = np.linalg.eigh(resting + amplitude * self._total_x)
            phase = np.exp(-2j * np.pi * step * energies)
            half = vectors @ (phase[:, None] * (vectors.T @ half))
        # each step is a symmetric matrix, so that the second half is the first one transposed
        turn = np.exp(-2j * np.pi * offset * step * amplitudes.size * np.diag(self._total_z))
        return np.asarray(turn[:, None] * (half.T @ half))

    def edit(self, propagator: ComplexArray) -> None:
        """Apply a selective pulse between spoilers that keep each coherence order.

        Parameters
        ----------
        propagator : (n, n) ndarray of complex
            From :meth:`selective`, in the basis of the Hamiltonian's eigenvectors.
        """
        self._within_orders(propagator)

    def _within_orders(self, unitary: ComplexArray) -> None:
        """Apply a pulse and keep only what has the same single-quantum order before and after."""
        kept = np.zeros_like(self.density)
        for order in (1, -1):
            before = np.where(self._order == order, self.density, 0.0)
            after = unitary @ before @ unitary.conj().T
            kept += np.where(self._order == order, after, 0.0)
        self.density = kept

    def evolve(self, duration: float) -> None:
        """Let shifts and couplings act: free precession.

        Parameters
        ----------
        duration : float
            In s. Relaxation is left out: the fit gives the lines their widths.
        """
        phase = np.exp(-2j * np.pi * duration * self._energies)
        self.density = phase[:, None] * self.density * phase.conj()[None, :]

    def select(self, order: int) -> None:
        """Keep the proton coherences of one order, as ideal spoilers do.

        Parameters
        ----------
        order : int
            +1 or -1 for single-quantum coherences, 0 for what lies along the field or is
            zero-quantum.
        """
        self.density = np.where(self._order == order, self.density, 0.0)

    def lines(self) -> tuple[FloatArray, ComplexArray]:
        """Frequencies in Hz and complex amplitudes of the signal from now on."""
        weights = self.density * self._raising.T * self._normaliser
        frequencies = self._energies[None, :] - self._energies[:, None]
        keep = np.abs(weights) > _AMPLITUDE_FLOOR
        return frequencies[keep], weights[keep]


@dataclass(frozen=True)
class Timing:
    """Delays of a sequence, all in s."""

    echo_time: float
    te1: float = float('nan')
    tm: float = float('nan')


def press(ensemble: Ensemble, timing: Timing) -> None:
    """Refocus by two spin echoes: 90 - TE1/2 - 180 - TE/2 - 180 - TE2/2.

    PRESS of Bottomley (1987, Ann N Y Acad Sci 508:333,
    https://doi.org/10.1111/j.1749-6632.1987.tb32915.x), with ideal pulses.

    Parameters
    ----------
    ensemble : Ensemble
        Transverse magnetisation just after excitation; it is moved to the echo in place.
    timing : Timing
        Echo time and its first part TE1.
    """
    te2 = timing.echo_time - timing.te1
    ensemble.evolve(timing.te1 / 2)
    ensemble.rotate(np.pi)
    ensemble.evolve(timing.echo_time / 2)
    ensemble.rotate(np.pi)
    ensemble.evolve(te2 / 2)


def semi_laser(ensemble: Ensemble, timing: Timing) -> None:
    """Refocus by two pairs of pulses, evenly spaced: TE/8, 3 x TE/4, TE/8 between them.

    Semi-LASER of Scheenen et al. (2008, Magn Reson Med 59:1, https://doi.org/10.1002/mrm.21302)
    has adiabatic pulses, taken as ideal here. Protocols may space them unevenly, which a sidecar
    does not tell.

    Parameters
    ----------
    ensemble : Ensemble
        Transverse magnetisation just after excitation; it is moved to the echo in place.
    timing : Timing
        Echo time.
    """
    ensemble.evolve(timing.echo_time / 8)
    for delay in (2, 2, 2, 1):
        ensemble.rotate(np.pi)
        ensemble.evolve(timing.echo_time / 8 * delay)


def steam(ensemble: Ensemble, timing: Timing) -> None:
    """Make a stimulated echo 90 - TE/2 - 90 - TM - 90 - TE/2, scaled to full signal.

    STEAM of Frahm et al. (1987, J Magn Reson 72:502), with ideal pulses. Spoilers select the
    orders +1 and 0 before, -1 after the last pulse; the half of the signal that is lost, lost to
    the water reference as well, is given back.

    Parameters
    ----------
    ensemble : Ensemble
        Transverse magnetisation just after excitation; it is moved to the echo in place.
    timing : Timing
        Echo time and mixing time.
    """
    ensemble.evolve(timing.echo_time / 2)
    ensemble.select(1)
    ensemble.rotate(np.pi / 2)
    ensemble.select(0)
    ensemble.evolve(timing.tm)
    ensemble.rotate(np.pi / 2)
    ensemble.evolve(timing.echo_time / 2)  # only order -1 is detected
    ensemble.density = -2 * ensemble.density


SEQUENCES: dict[str, Callable[[Ensemble, Timing], None]] = {
    'press': press,
    'slaser': semi_laser,
    'steam': steam,
}
"""How each sequence moves the density operator from excitation to the echo."""


def lines_to_fid(
    frequencies: FloatArray,
    amplitudes: ComplexArray,
    n_points: int,
    dwell_time: float,
    block: int = 64,
) -> ComplexArray:
    """Sum of undamped oscillations on a regular grid.

    Parameters
    ----------
    frequencies : (n_lines,) ndarray
        In Hz.
    amplitudes : (n_lines,) ndarray
        Complex amplitudes at time 0.
    n_points : int
        Number of samples.
    dwell_time : float
        Sampling interval in s.
    block : int
        Length of the inner grid: time n is split as ``block * q + r``, which makes the sum a
        matrix product.

    Returns
    -------
    (n_points,) ndarray of complex128

    Examples
    --------
    >>> import numpy as np
    >>> lines_to_fid(np.array([250.0]), np.array([1 + 0j]), 4, 0.001).round(6)
    array([ 1.+0.j,  0.+1.j, -1.+0.j, -0.-1.j])
    """
    n_blocks = -(-n_points // block)
    step = 2j * np.pi * dwell_time * frequencies[:, None]
    # Each time is a sum of two, so that exponentials are needed for blocks and within one block
    # only: two small tables and a product in place of one exponential for each line and sample.
    inner = np.exp(step * np.arange(block))
    outer = np.exp(step * block * np.arange(n_blocks)) * amplitudes[:, None]
    return np.asarray((outer.T @ inner).ravel()[:n_points])


def group_lines(
    groups: Sequence[SpinGroup], sequence: str, timing: Timing, spectrometer_frequency: float
) -> tuple[FloatArray, ComplexArray]:
    """Lines of a molecule at the echo: frequencies in Hz and complex amplitudes.

    Parameters
    ----------
    groups : sequence of SpinGroup
        The molecule.
    sequence : str
        One of :data:`SEQUENCES`.
    timing : Timing
        Its delays.
    spectrometer_frequency : float
        Proton frequency in MHz.

    Returns
    -------
    frequencies : (n_lines,) ndarray of float64
    amplitudes : (n_lines,) ndarray of complex128
        Sum of the real parts at echo time 0: the number of protons.
    """
    return lines_after(
        groups, spectrometer_frequency, lambda ensemble: SEQUENCES[sequence](ensemble, timing)
    )


def lines_after(
    groups: Sequence[SpinGroup], spectrometer_frequency: float, move: Callable[[Ensemble], None]
) -> tuple[FloatArray, ComplexArray]:
    """Lines of a molecule after any sequence: frequencies in Hz and complex amplitudes.

    Parameters
    ----------
    groups : sequence of SpinGroup
        Of the molecule; each evolves by itself.
    spectrometer_frequency : float
        In MHz.
    move : callable
        Moves the density operator of a group from excitation to the echo.

    Returns
    -------
    frequencies : (n_lines,) ndarray
    amplitudes : (n_lines,) ndarray of complex
    """
    frequencies, amplitudes = [], []
    for group in groups:
        ensemble = Ensemble(group, spectrometer_frequency)
        move(ensemble)
        found = ensemble.lines()
        frequencies.append(found[0])
        amplitudes.append(found[1])
    return np.concatenate(frequencies), np.concatenate(amplitudes)
