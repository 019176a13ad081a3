"""Model spectra of PRESS with two editing pulses (MEGA), for both conditions and their difference.

Mescher et al. (1998), NMR Biomed 11:266,
https://doi.org/10.1002/(SICI)1099-1492(199810)11:6<266::AID-NBM530>3.0.CO;2-J. A selective pulse,
half an echo time apart from its copy, turns the protons that it meets: couplings to them are
refocused in one condition (ON) and not in the other, and the difference shows what is coupled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.basis import spin_systems
from bids_acc.mrs.basis.density_matrix import Ensemble, Timing, lines_after, lines_to_fid
from bids_acc.mrs.basis.macromolecules import gaussian_fid
from bids_acc.mrs.basis.simulate import MODEL_VERSION, cached, store, timing_of
from bids_acc.mrs.spectrum import PPM_REFERENCE, Basis
from bids_acc.typing import ComplexArray, FloatArray

N_STEPS = 48
"""Steps of a shaped pulse."""

USUAL_DURATION, USUAL_FWHM = 0.015, 82.5
"""Duration in s and inversion width in Hz of the editing pulse where nothing tells them: an
assumption, which is said. Those of one vendor's Gaussian are 14 ms and 88 Hz; at 20 ms and 60 Hz
GABA is edited 4 % less."""

OFF_PPM = 7.46
"""Carrier of the editing pulse in ppm in the condition OFF where nothing tells it: as far below
water as 1.9 is above."""

TARGETS: Mapping[str, float] = MappingProxyType({'GABA': 1.9, 'GSH': 4.56})
"""What can be edited, and the carrier in ppm of the condition ON where nothing tells it."""

MEMBERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'GABA': ('GABA', 'Glu', 'Gln', 'GSH', 'NAA', 'NAAG'),
        'GSH': ('GSH', 'NAA', 'NAAG', 'Asp', 'Asc', 'Lac', 'GPC', 'PCh', 'Cr', 'Ins'),
    }
)
"""Metabolites of a difference spectrum of brain, by what is edited: those whose simulated
difference, at usual levels, is above a tenth of the target's."""

MM09, MM30 = (0.915, 0.1), (3.0, 14.0)
"""Shift in ppm and Gaussian width (ppm; Hz) of the macromolecules that are edited along with GABA
at 3 T: the pulse at 1.9 ppm turns the protons at 1.7, which are coupled to those at 3.0 (Henry et
al. 2001, Magn Reson Med 45:517, https://doi.org/10.1002/1522-2594(200103)45:3<517::AID-MRM1068>
3.0.CO;2-6); the width is that of Osprey's MM3co (Zoellner et al. 2022, NMR Biomed 35:e4618,
https://doi.org/10.1002/nbm.4618)."""

MM09_PROTONS, MM30_PROTONS = 3, 2
"""Protons of the two lines."""

AREA_WIDTH_HZ = 4.0
"""Gaussian width that lines get before they are integrated: it has no tails."""

GABA_30_PPM = (2.8, 3.2)
"""Where the edited line of GABA lies."""

MacromoleculeModel = Literal['free', '3to2', '1to1', 'none']
"""How the line at 3.0 ppm is tied: not at all, to MM09 by 2:3 in area, to GABA by 1:1, absent."""


@dataclass(frozen=True)
class EditPulse:
    """Selective pulse of one condition."""

    ppm: float
    """Carrier."""
    duration: float = USUAL_DURATION
    """In s."""
    fwhm_hz: float = USUAL_FWHM
    """Width of the inversion at half of its depth, in Hz."""
    ideal: bool = False
    """Whether it turns all protons within half the width, at one instant, and no others."""

    def amplitudes(self) -> FloatArray:
        """(N_STEPS,) nutation frequencies in Hz; their integral is half a turn."""
        return _gaussian(_width_for(self.duration, self.fwhm_hz), self.duration)


def _gaussian(width: float, duration: float) -> FloatArray:
    """Gaussian of a standard deviation in s, cut to a duration, for half a turn."""
    time = (np.arange(N_STEPS) + 0.5) * duration / N_STEPS - duration / 2
    # symmetric to the last digit, so that equal steps are shared
    shape = np.exp(-((np.abs(time).round(12) / width) ** 2) / 2)
    return np.asarray(0.5 * shape / (shape.sum() * duration / N_STEPS))


def inverted_share(amplitudes: FloatArray, duration: float, offset_hz: float) -> float:
    """Share of a spin's magnetisation that a pulse inverts: 0 for none, 1 for all.

    Parameters
    ----------
    amplitudes : (n_steps,) ndarray
        Nutation frequencies in Hz.
    duration : float
        In s.
    offset_hz : float
        Of the spin from the carrier.
    """
    step = duration / amplitudes.size
    total = np.eye(2, dtype=complex)
    for amplitude in amplitudes:
        effective = float(np.hypot(amplitude, offset_hz))
        half = np.pi * effective * step
        unit = np.array([amplitude, offset_hz]) / max(effective, 1e-12)
        cosine, sine = np.cos(half), np.sin(half)
        turn = np.array(
            [
                [cosine - 1j * unit[1] * sine, -1j * unit[0] * sine],
                [-1j * unit[0] * sine, cosine + 1j * unit[1] * sine],
            ]
        )
        total = turn @ total
    return float(np.abs(total[1, 0]) ** 2)


@cache
def _width_for(duration: float, fwhm_hz: float) -> float:
    """Find the standard deviation in s of the Gaussian whose inversion has a width."""

    def excess(width: float) -> float:
        return inverted_share(_gaussian(width, duration), duration, fwhm_hz / 2) - 0.5

    narrow, wide = duration / 20, 2 * duration  # nearly a hard pulse; nearly a rectangle
    if excess(narrow) * excess(wide) > 0:
        raise SettingsError(
            f'no Gaussian pulse of {1e3 * duration:g} ms inverts {fwhm_hz:g} Hz: give duration '
            'and width that belong together.'
        )
    return float(brentq(excess, narrow, wide, xtol=1e-7))


def pulse_times(timing: Timing) -> tuple[float, float]:
    """Centres of the two editing pulses in s after excitation, half the echo time apart.

    The first lies midway between the first refocusing pulse and half the echo time, so that
    neither touches a refocusing pulse or the echo.

    Parameters
    ----------
    timing : Timing
        Of PRESS.
    """
    first = (timing.te1 / 2 + timing.echo_time / 2) / 2
    return first, first + timing.echo_time / 2


def _editing(ensemble: Ensemble, pulse: EditPulse | None) -> Callable[[], None]:
    """Return what applies the pulse, which is worked out once."""
    if pulse is None:
        return lambda: None
    if pulse.ideal:
        ppm = pulse.fwhm_hz / 2 / ensemble.spectrometer_frequency
        return lambda: ensemble.rotate_near(pulse.ppm, ppm)
    amplitudes = pulse.amplitudes()
    propagator = ensemble.selective(amplitudes, pulse.duration / N_STEPS, pulse.ppm)
    return lambda: ensemble.edit(propagator)


def mega_press(ensemble: Ensemble, timing: Timing, pulse: EditPulse | None) -> None:
    """Move the density operator through PRESS with two editing pulses.

    Parameters
    ----------
    ensemble : Ensemble
        After excitation.
    timing : Timing
        Of PRESS.
    pulse : EditPulse, optional
        None leaves both out.
    """
    first, second = pulse_times(timing)
    half = 0.0 if pulse is None or pulse.ideal else pulse.duration / 2
    edit = _editing(ensemble, pulse)

    refocusing = timing.te1 / 2 + timing.echo_time / 2
    ensemble.evolve(timing.te1 / 2)
    ensemble.rotate(np.pi)
    ensemble.evolve(first - half - timing.te1 / 2)
    edit()
    ensemble.evolve(refocusing - first - half)
    ensemble.rotate(np.pi)
    ensemble.evolve(second - half - refocusing)
    edit()
    ensemble.evolve(timing.echo_time - second - half)


@dataclass(frozen=True)
class EditedBasis:
    """Model spectra of the two conditions, on the same grid."""

    on: Basis
    """With the editing pulse at the target."""
    off: Basis
    """With it elsewhere."""
    target: str
    """``GABA`` or ``GSH``."""
    assumptions: tuple[str, ...] = ()
    """Sentences about what was not told."""

    def difference(self, model: MacromoleculeModel = 'free') -> Basis:
        """ON minus OFF, not halved, with the macromolecules that are edited along with GABA.

        One unit of MM30 has the area of the edited line of one unit of GABA, so that their sum
        does not depend on how a fit divides it.

        Parameters
        ----------
        model : {'free', '3to2', '1to1', 'none'}
            How the line at 3.0 ppm is tied. ``3to2`` makes it one member with the line at 0.9,
            by areas of 2 to 3; ``1to1`` makes it one member with GABA, of twice the area of
            GABA's line, so that one unit of the member is two units of GABA and MM30.

        Returns
        -------
        Basis
        """
        fids = self.on.fids - self.off.fids
        names = list(self.on.names)
        columns = dict(zip(names, fids, strict=True))
        if self.target == 'GABA' and model != 'none' and 'GABA' in columns:
            area = edited_area(self, 'GABA', GABA_30_PPM) / MM30_PROTONS
            mm09, mm30 = (area * fid for fid in _macromolecules(self.on))
            if model == '1to1':
                columns['GABA'] = (columns['GABA'] + mm30) / 2
                columns |= {'MM09': mm09}
            elif model == '3to2':
                columns |= {'MM30': mm09 + mm30}
            else:
                columns |= {'MM09': mm09, 'MM30': mm30}
        digest = hashlib.sha256(f'{self.on.sha256}-{self.off.sha256}-{model}'.encode())
        return replace(
            self.on,
            names=tuple(columns),
            fids=np.array(list(columns.values())),
            provenance=self.on.provenance | {'difference': 'ON - OFF', 'macromolecules': model},
            flags=self.assumptions,
            sha256=digest.hexdigest(),
        )


def edited_area(edited: EditedBasis, name: str, window: tuple[float, float]) -> float:
    """Area of one unit of a metabolite in ON - OFF within a range, in units of a proton.

    Parameters
    ----------
    edited : EditedBasis
        Both conditions.
    name : str
        Metabolite.
    window : (float, float)
        In ppm.

    Returns
    -------
    float
        Real part of the integral over the window, of lines without Lorentzian tails.
    """
    basis = edited.on
    time = np.arange(basis.n_points) * basis.dwell_time
    gauss = (np.pi * AREA_WIDTH_HZ * time) ** 2 / (4 * np.log(2))
    difference = edited.on.fid(name) - edited.off.fid(name)
    # The Lorentzian that the basis has is taken off and a Gaussian put on: a Lorentzian's tails
    # would leave the window with a tenth of the area.
    fid = difference * np.exp(np.pi * basis.linewidth_hz * time - gauss)
    fid[0] /= 2  # a decay that starts at its first sample has no constant under its lines
    n_filled = 8 * basis.n_points
    spectrum = np.fft.fft(fid, n_filled).real
    ppm = PPM_REFERENCE - np.fft.fftfreq(n_filled, basis.dwell_time) / basis.spectrometer_frequency
    inside = (ppm >= window[0]) & (ppm <= window[1])
    # the integral of the spectrum is half the first sample of a decay that starts at zero
    return float(2 * spectrum[inside].sum() / n_filled)


def _macromolecules(basis: Basis) -> tuple[ComplexArray, ComplexArray]:
    """Lines at 0.9 and 3.0 ppm, with the areas of their protons."""
    frequency = basis.spectrometer_frequency
    grid = basis.n_points, basis.dwell_time, frequency
    return (
        MM09_PROTONS * gaussian_fid(MM09[0], MM09[1] * frequency, *grid),
        MM30_PROTONS * gaussian_fid(MM30[0], MM30[1], *grid),
    )


def edited_basis(
    *,
    spectrometer_frequency: float,
    dwell_time: float,
    n_points: int,
    echo_time: float,
    on: EditPulse,
    off: EditPulse | None = None,
    te1: float | None = None,
    target: str = 'GABA',
    metabolites: Sequence[str] | None = None,
    linewidth_hz: float = 1.0,
    cache_dir: Path | None = None,
) -> EditedBasis:
    """Simulate both conditions of MEGA-PRESS.

    Parameters
    ----------
    spectrometer_frequency : float
        Proton frequency in MHz.
    dwell_time : float
        Sampling interval in s.
    n_points : int
        Number of samples.
    echo_time : float
        In s.
    on : EditPulse
        Pulse of the condition ON.
    off : EditPulse, optional
        That of the condition OFF; without it both pulses are left out there.
    te1 : float, optional
        First part of the echo time in s; assumed as for PRESS without it.
    target : {'GABA', 'GSH'}
        What is edited; the macromolecules follow GABA.
    metabolites : sequence of str, optional
        Names; those of :data:`MEMBERS` when left out.
    linewidth_hz : float
        Lorentzian full width at half maximum given to each line.
    cache_dir : Path, optional
        Folder for results, named by a digest of everything that went in.

    Returns
    -------
    EditedBasis
        An uncoupled proton has amplitude 1 at time 0 in either condition.

    Raises
    ------
    SettingsError
        If the editing pulses do not fit between the other pulses.
    """
    timing, assumed = timing_of('press', echo_time, te1, None, None)
    _check_room(timing, on)
    names = MEMBERS[target] if metabolites is None else tuple(metabolites)

    def condition(pulse: EditPulse | None) -> Basis:
        provenance: dict[str, object] = {
            'model': 'density matrix, ideal PRESS pulses, editing pulses between spoilers',
            'model_version': MODEL_VERSION, 'sequence': 'mega-press', 'echo_time_s': echo_time,
            'te1_s': timing.te1, 'te_split_assumed': assumed,
            'edit_pulse': None if pulse is None else asdict(pulse),
            'spectrometer_frequency_mhz': spectrometer_frequency, 'dwell_time_s': dwell_time,
            'n_points': n_points, 'linewidth_hz': linewidth_hz,
            'spin_systems': {name: spin_systems.load(name).sha256 for name in names},
        }  # fmt: skip
        digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()
        fids = cached(cache_dir, digest)
        if fids is None:
            grid = n_points, dwell_time
            decay = np.exp(-np.pi * linewidth_hz * dwell_time * np.arange(n_points))
            fids = decay * np.array(
                [
                    lines_to_fid(*_lines(name, timing, pulse, spectrometer_frequency), *grid)
                    for name in names
                ]
            )
            store(cache_dir, digest, fids)
        return Basis(
            names=names, fids=fids, dwell_time=dwell_time,
            spectrometer_frequency=spectrometer_frequency, echo_time=echo_time, sequence='press',
            te1=timing.te1, te2=echo_time - timing.te1, te_split_assumed=assumed,
            linewidth_hz=linewidth_hz, amplitude_per_proton=1.0, provenance=provenance,
            sha256=digest,
        )  # fmt: skip

    return EditedBasis(condition(on), condition(off), target)


def _check_room(timing: Timing, pulse: EditPulse) -> None:
    """Refuse pulses that would touch a refocusing pulse or the echo."""
    first, _ = pulse_times(timing)
    half = 0.0 if pulse.ideal else pulse.duration / 2
    if first - half < timing.te1 / 2 or first + half > timing.echo_time / 2:
        raise SettingsError(
            f'two editing pulses of {1e3 * pulse.duration:g} ms do not fit into TE '
            f'{1e3 * timing.echo_time:g} ms with TE1 {1e3 * timing.te1:g} ms: correct '
            'PulseDuration or EchoTime in the sidecar.'
        )


def _lines(
    name: str, timing: Timing, pulse: EditPulse | None, spectrometer_frequency: float
) -> tuple[FloatArray, ComplexArray]:
    """Lines of a molecule at the echo: frequencies in Hz and complex amplitudes."""
    return lines_after(
        spin_systems.load(name).groups, spectrometer_frequency,
        lambda ensemble: mega_press(ensemble, timing, pulse),
    )  # fmt: skip
