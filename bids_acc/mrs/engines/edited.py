"""The difference of an edited scan joined to the fit of its condition OFF."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_acc.mrs.basis.edit_metadata import Editing
from bids_acc.mrs.basis.editing import (
    GABA_30_PPM,
    EditedBasis,
    edited_area,
    edited_basis,
)
from bids_acc.mrs.lcm.difference import (
    OTHER_MODELS,
    DifferenceFit,
    amount_under,
)
from bids_acc.mrs.results.engine_result import Curves, EngineResult
from bids_acc.mrs.spectrum import Basis
from bids_acc.typing import ComplexArray, FloatArray

SUFFIX = '_edited'
"""Of the names of what was fitted in a difference."""

ROWS = {'GABA': ('GABA', ('GABA+', 'GABA_edited', 'Glx_edited')), 'GSH': ('GSH', ('GSH_edited',))}
"""Member of the difference with a row of its own, and all rows, by what is edited."""

NAMES = ('GABA_edited', 'MM30_edited', 'Glu_edited', 'Gln_edited')
"""Members whose rows a scan edited for GABA has, for one that could not be fitted."""

_AMOUNTS = {'GABA+': 'GABA+', 'GABA_edited': 'GABA', 'Glx_edited': 'Glx', 'GSH_edited': 'GSH'}
_BASELINES = ('ed1', 'ed4')


@dataclass(frozen=True)
class EditedScan:
    """Difference of a scan and what is known of its editing."""

    difference: ComplexArray
    """(n_points,) ON minus OFF, not halved."""
    editing: Editing
    """Target and pulses."""


def basis_of(scan: EditedScan, off: Basis, cache_dir: Path | None) -> EditedBasis:
    """Simulate both conditions on the grid of the basis set of OFF, with its parts of the TE.

    Parameters
    ----------
    scan : EditedScan
        Target and pulses.
    off : Basis
        Basis set of the condition OFF.
    cache_dir : Path, optional
        Folder for results.

    Returns
    -------
    EditedBasis
        One proton has the amplitude of one in the basis set of OFF.
    """
    editing = scan.editing
    found = edited_basis(
        spectrometer_frequency=off.spectrometer_frequency,
        dwell_time=off.dwell_time,
        n_points=off.n_points,
        echo_time=off.echo_time,
        on=editing.on,
        off=editing.off,
        # both conditions and OFF alone must be of one sequence, or amounts would not compare
        te1=None if math.isnan(off.te1) else off.te1,
        target=editing.target,
        cache_dir=cache_dir,
    )
    scale = off.amplitude_per_proton
    on, without = (
        replace(b, fids=b.fids * scale, amplitude_per_proton=scale) for b in (found.on, found.off)
    )
    return EditedBasis(on, without, editing.target, editing.assumptions)


def join_difference(
    result: EngineResult,
    found: DifferenceFit,
    edited: EditedBasis,
    copies: FloatArray | None = None,
) -> EngineResult:
    """Add the amounts of the difference to the result of OFF.

    The errors of both fits are taken as independent. Their noise is not (that of OFF is in both),
    but what a fit of OFF makes of it at creatine and water is so small beside the error of GABA
    that a ratio's error changes by some percent of itself.

    Parameters
    ----------
    result : EngineResult
        Of OFF.
    found : DifferenceFit
        Fit of ON minus OFF.
    edited : EditedBasis
        Model spectra that it was fitted with.
    copies : (n_copies, n) ndarray, optional
        Amounts of copies of the difference that no measurement could tell from it.

    Returns
    -------
    EngineResult
        With members named ``*_edited``; only those of :data:`ROWS` have rows.
    """
    own = found.fit
    row, sums = ROWS[edited.target]
    # OFF has a GABA, too: under its own name the difference would take its place
    names = tuple(f'{name}{SUFFIX}' for name in own.names)
    # the others are fitted for the sake of the one that is edited, and have no levels of their own
    kinds = tuple('metabolite' if name == row else 'part' for name in own.names)
    joined = replace(
        result,
        names=(*result.names, *names),
        kinds=(*result.kinds, *kinds),
        values=np.concatenate([result.values, own.amplitudes]),
        sd=np.concatenate([result.sd, np.sqrt(np.maximum(np.diagonal(own.covariance), 0))]),
        covariance=_diagonal(result.covariance, own.covariance),
        sampling=_diagonal(result.sampling, own.sampling),
        unbiased=_appended(result.unbiased, own.unbiased),
        unbiased_covariance=_diagonal(result.unbiased_covariance, own.unbiased_covariance),
        refits=_copies(result.refits, copies),
        difference=None if own.failed else Curves(own.ppm, own.data, own.fit, own.baseline),
        extra={**result.extra, 'difference': _described(found, edited)},
        notes=(*result.notes, *_notes(found, edited)),
    )
    return replace(
        joined,
        baseline_sensitivity={
            **result.baseline_sensitivity,
            **{name: _relative(found, name, _BASELINES) for name in sums},
        },
        # the models that are varied are those of the macromolecules at 3.0 ppm
        model_spread={
            name: _relative(found, name, OTHER_MODELS) for name in sums if name != 'GSH_edited'
        },
    )


def _relative(found: DifferenceFit, name: str, among: tuple[str, ...]) -> float:
    """Largest change under other assumptions, relative to the amount; NaN when that is zero."""
    value = amount_under('free', found.fit, _AMOUNTS[name])
    return found.spread(_AMOUNTS[name], among) / value if value > 0 else math.nan


def _diagonal(first: FloatArray | None, second: FloatArray) -> FloatArray | None:
    """Covariance of two independent fits; None where the first has none."""
    if first is None:
        return None
    total = np.zeros((len(first) + len(second),) * 2)
    total[: len(first), : len(first)] = first
    total[len(first) :, len(first) :] = second
    return total


def _appended(first: FloatArray | None, second: FloatArray) -> FloatArray | None:
    """Two vectors as one; None where the first is missing."""
    return None if first is None else np.concatenate([first, second])


def _copies(first: FloatArray | None, second: FloatArray | None) -> FloatArray | None:
    """Amounts of changed copies of both spectra; None where either is missing."""
    return None if first is None or second is None else np.hstack([first, second])


def _described(found: DifferenceFit, edited: EditedBasis) -> dict[str, object]:
    """Numbers of the fit of the difference, for the sidecar."""
    fit, on = found.fit, edited.on.provenance
    return {
        'computed_as': 'ON - OFF, not halved',
        'target': edited.target,
        'edit_pulse_on': on['edit_pulse'],
        'edit_pulse_off': edited.off.provenance['edit_pulse'],
        'basis_names': list(fit.names),
        'basis_sha256': fit.basis.sha256,
        'macromolecule_models': {
            model: {name: amount_under(model, other, name) for name in _AMOUNTS.values()}
            for model, other in {'free': fit, **found.others}.items()
        },
        'gaba_area_per_unit': edited_area(edited, 'GABA', GABA_30_PPM)
        if edited.target == 'GABA'
        else math.nan,
        'amplitude_per_proton': edited.on.amplitude_per_proton,
        'snr_lcm': fit.snr_lcm,
        'lorentz_hz': fit.lorentz_hz,
        'gauss_hz': fit.gauss_hz,
        'phase0_deg': fit.phase0_deg,
        'misfit_phase_deg': math.degrees(fit.value('PhaseMisfit')[0]),
        'misfit_shift_hz': fit.value('ShiftMisfit')[0],
        'shift_ppm': fit.shift_ppm,
        'converged': fit.converged,
    }


def _notes(found: DifferenceFit, edited: EditedBasis) -> tuple[str, ...]:
    """Sentences about the fit of the difference."""
    notes = [f'difference: {note}' for note in (*edited.assumptions, *found.fit.notes)]
    if edited.target == 'GABA' and not found.fit.failed:
        notes.append(
            'GABA_edited rests on the model of the macromolecules at 3.0 ppm; GABA+ is the '
            'primary level.'
        )
    return tuple(notes)
