"""Basis sets and spectra computed from published spin systems.

The echo time of PRESS has two parts, and BIDS has no field for them. In three spectra of brain at
TE 30 and 35 ms, Glu/tCr with TE1 between 8 and 15 ms runs from 29 % below to 12 % above that at
the assumed 12.4 ms, mI/tCr from 11 % below, tNAA/tCr within 3 %; with the basis set of one
vendor's own pulses Glu/tCr is 19 % below. TE1 therefore is an explicit argument, and a basis set
that had to assume it says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bids_acc.exceptions import SettingsError
from bids_acc.mrs.basis import spin_systems
from bids_acc.mrs.basis.density_matrix import SEQUENCES, Timing, group_lines, lines_to_fid
from bids_acc.mrs.spectrum import Basis
from bids_acc.typing import ComplexArray

LOGGER = logging.getLogger(__name__)

MODEL_VERSION = 1
"""Raised whenever the simulation changes its numbers, so that no cache outlives it."""
ASSUMED_TE1 = 0.0124
"""First echo time of PRESS in s when nobody says it: as short as product sequences at 3 T
make it. An assumption, not a measurement."""
ASSUMED_TM = 0.010
"""Mixing time of STEAM in s when nobody says it. An assumption."""


def basis(
    *,
    spectrometer_frequency: float,
    dwell_time: float,
    n_points: int,
    echo_time: float,
    sequence: str = 'press',
    te1: float | None = None,
    te2: float | None = None,
    tm: float | None = None,
    metabolites: Sequence[str] | None = None,
    linewidth_hz: float = 1.0,
    cache_dir: Path | None = None,
) -> Basis:
    """Simulate the metabolites of the brain under ideal pulses.

    Parameters
    ----------
    spectrometer_frequency : float
        Proton frequency in MHz.
    dwell_time : float
        Sampling interval in s.
    n_points : int
        Number of samples.
    echo_time : float
        Echo time in s.
    sequence : {'press', 'steam', 'slaser'}
        Localisation.
    te1, te2 : float, optional
        Parts of the echo time of PRESS in s; one gives the other. Neither: TE1 is assumed,
        and the result says so.
    tm : float, optional
        Mixing time of STEAM in s.
    metabolites : sequence of str, optional
        Names; all that the package has when left out.
    linewidth_hz : float
        Lorentzian full width at half maximum given to each line.
    cache_dir : Path, optional
        Folder for results, named by a digest of everything that went in.

    Returns
    -------
    Basis
        An uncoupled proton has amplitude 1 at time 0.

    Raises
    ------
    SettingsError
        If the sequence or a metabolite is unknown or the times contradict each other.

    Examples
    --------
    >>> small = basis(
    ...     spectrometer_frequency=123.2,
    ...     dwell_time=5e-4,
    ...     n_points=1024,
    ...     echo_time=0.030,
    ...     te1=0.011,
    ...     metabolites=['Cr', 'Lac'],
    ... )
    >>> small.names, small.fids.shape, round(small.te2, 3), small.te_split_assumed
    (('Cr', 'Lac'), (2, 1024), 0.019, False)
    """
    timing, assumed = timing_of(sequence, echo_time, te1, te2, tm)
    names = tuple(metabolites) if metabolites is not None else spin_systems.available()
    systems = {name: spin_systems.load(name) for name in names}
    provenance: dict[str, object] = {
        'model': 'density matrix, ideal pulses, strong 1H and weak 31P coupling',
        'model_version': MODEL_VERSION,
        'sequence': sequence,
        'echo_time_s': echo_time,
        'te1_s': None if np.isnan(timing.te1) else timing.te1,
        'tm_s': None if np.isnan(timing.tm) else timing.tm,
        'te_split_assumed': assumed,
        'spectrometer_frequency_mhz': spectrometer_frequency,
        'dwell_time_s': dwell_time,
        'n_points': n_points,
        'linewidth_hz': linewidth_hz,
        'spin_systems': {name: systems[name].sha256 for name in names},
    }
    digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()
    fids = cached(cache_dir, digest)
    if fids is None:
        # lines without a width would be cut off by the end of the decay and ring
        decay = np.exp(-np.pi * linewidth_hz * dwell_time * np.arange(n_points))
        fids = np.array(
            [
                lines_to_fid(
                    *group_lines(system.groups, sequence, timing, spectrometer_frequency),
                    n_points,
                    dwell_time,
                )
                * decay
                for system in systems.values()
            ]
        )
        store(cache_dir, digest, fids)
    return Basis(
        names=names,
        fids=fids,
        dwell_time=dwell_time,
        spectrometer_frequency=spectrometer_frequency,
        echo_time=echo_time,
        sequence=sequence,
        te1=timing.te1,
        te2=echo_time - timing.te1,
        tm=timing.tm,
        te_split_assumed=assumed,
        linewidth_hz=linewidth_hz,
        amplitude_per_proton=1.0,
        provenance=provenance | {'sources': {n: systems[n].source for n in names}},
        flags=_assumptions(timing, assumed=assumed),
        sha256=digest,
    )


def timing_of(
    sequence: str, echo_time: float, te1: float | None, te2: float | None, tm: float | None
) -> tuple[Timing, bool]:
    """Check the delays and fill in what must be assumed.

    Parameters
    ----------
    sequence : {'press', 'steam', 'slaser'}
        What is simulated.
    echo_time : float
        TE in s.
    te1, te2 : float or None
        Parts of the echo time of PRESS in s; one of them is enough.
    tm : float or None
        Mixing time of STEAM in s.

    Returns
    -------
    timing : Timing
        With what the sequence needs: TE1 for PRESS, TM for STEAM.
    assumed : bool
        Whether a delay was not given. The spacing of semi-LASER's pulses always is assumed.

    Raises
    ------
    SettingsError
        If the sequence is not simulated, or the delays cannot be those of one scan.
    """
    if sequence not in SEQUENCES:
        raise SettingsError(
            f'no simulation of the sequence {sequence!r}; there are {", ".join(SEQUENCES)}'
        )
    if not echo_time > 0:
        raise SettingsError(f'a simulated basis set needs a positive echo time, got {echo_time} s')
    if sequence == 'steam':
        return Timing(echo_time, tm=ASSUMED_TM if tm is None else tm), tm is None
    if sequence == 'slaser':
        return Timing(echo_time), True
    if te1 is not None and te2 is not None and abs(te1 + te2 - echo_time) > 1e-4:
        raise SettingsError(f'TE1 {te1} s and TE2 {te2} s do not add up to TE {echo_time} s')
    if te1 is None and te2 is not None:
        te1 = echo_time - te2
    first = min(ASSUMED_TE1, echo_time / 2) if te1 is None else te1
    if not 0 < first < echo_time:
        raise SettingsError(f'TE1 {first} s does not lie between 0 and TE {echo_time} s')
    return Timing(echo_time, te1=first), te1 is None


def _assumptions(timing: Timing, *, assumed: bool) -> tuple[str, ...]:
    """Tell in a sentence which delay was assumed."""
    if not assumed:
        return ()
    if not np.isnan(timing.te1):
        return (f'TE1 assumed to be {timing.te1 * 1e3:.1f} ms: Glu/tCr may be off by 30 %',)
    if not np.isnan(timing.tm):
        return (f'TM assumed to be {timing.tm * 1e3:.1f} ms',)
    return ('evenly spaced refocusing pulses assumed',)


def cached(cache_dir: Path | None, digest: str) -> ComplexArray | None:
    """Read the decays of a former simulation; None when there are none that can be read.

    Parameters
    ----------
    cache_dir : Path or None
        Folder of former simulations; None for none.
    digest : str
        Checksum of all that makes the spectra: sequence, delays, field, sampling, spin systems and
        version of the model.

    Returns
    -------
    (n_metabolites, n_points) ndarray of complex128 or None
        Decays.
    """
    path = None if cache_dir is None else Path(cache_dir) / f'basis-{digest[:32]}.npy'
    if path is None or not path.is_file():
        return None
    try:
        return np.asarray(np.load(path), dtype=complex)
    except (OSError, ValueError):
        LOGGER.warning('cannot read %s; simulating again', path)
        return None


def store(cache_dir: Path | None, digest: str, fids: ComplexArray) -> None:
    """Keep the decays of a simulation, complete or not at all.

    Parameters
    ----------
    cache_dir : Path or None
        Folder, made when it is not there; None writes nothing.
    digest : str
        As for :func:`cached`.
    fids : (n_metabolites, n_points) ndarray of complex
        Decays.

    Notes ----- Several subjects may write the same file at once: each writes a draft of its own
    and renames it.
    """
    if cache_dir is None:
        return
    folder = Path(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f'basis-{digest[:32]}.npy'
    with TemporaryDirectory(dir=folder) as scratch:
        draft = Path(scratch) / final.name
        np.save(draft, fids)
        # Workers share the cache: a file that is written elsewhere and renamed is whole whenever
        # somebody sees it.
        draft.replace(final)


def synthetic_fid(
    model: Basis,
    amplitudes: Mapping[str, float],
    *,
    lorentz_hz: float = 3.0,
    gauss_hz: float = 4.0,
    phase: float = 0.0,
    shift_hz: float = 0.0,
    noise_sd: float = 0.0,
    rng: np.random.Generator | None = None,
    extra: ComplexArray | None = None,
) -> ComplexArray:
    """Free induction decay of a mixture, with Voigt lines and noise.

    Parameters
    ----------
    model : Basis
        Model spectra.
    amplitudes : mapping of str to float
        Amount of each member.
    lorentz_hz, gauss_hz : float
        Broadening, full widths at half maximum.
    phase : float
        Zero-order phase in rad.
    shift_hz : float
        Frequency offset.
    noise_sd : float
        Standard deviation of each of the real and imaginary parts.
    rng : Generator, optional
        Source of the noise; needed when there is any.
    extra : (n_points,) ndarray, optional
        Further signal, added before phase and shift and not broadened: macromolecules, lipids.

    Returns
    -------
    (n_points,) ndarray of complex128

    Raises
    ------
    SettingsError
        If noise is asked for without a generator.
    """
    time = np.arange(model.n_points) * model.dwell_time
    mixture = sum(
        (value * model.fid(name) for name, value in amplitudes.items()),
        np.zeros(model.n_points, dtype=complex),
    )
    gauss = (np.pi * gauss_hz * time) ** 2 / (4 * np.log(2))
    fid = mixture * np.exp(-np.pi * lorentz_hz * time - gauss)
    if extra is not None:
        fid = fid + extra
    fid = fid * np.exp(1j * phase + 2j * np.pi * shift_hz * time)
    if noise_sd == 0:
        return np.asarray(fid)
    if rng is None:
        raise SettingsError('noise needs a random generator')
    noise = rng.standard_normal((2, model.n_points)) * noise_sd
    return np.asarray(fid + noise[0] + 1j * noise[1])
