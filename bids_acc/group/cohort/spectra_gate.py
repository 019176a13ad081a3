"""Spectra judged again at group time, from what the participant level's tables hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import SupportsFloat, SupportsIndex

import pandas as pd

from bids_acc.exceptions import SettingsError
from bids_acc.quality.gate import Gate, Verdict, judge_metabolite, judge_spectrum
from bids_acc.quality.measure import QualityMeasure
from bids_acc.tables.cells import is_empty, records

MEASURES: Mapping[str, Mapping[str, tuple[tuple[str, str, str], ...]]] = MappingProxyType(
    {
        'builtin': {
            'snr': (('snr_lcm', '1', 'builtin_snr_lcm'), ('snr_noise', '1', 'builtin_snr_noise')),
            'fwhm': (('fwhm_hz', 'Hz', 'builtin_fwhm'),
                     ('fwhm_kernel_hz', 'Hz', 'builtin_kernel_fwhm')),
            'shift': (('shift_ppm', 'ppm', 'builtin_shift'),),
        },
        'lcmodel': {
            'snr': (('snr_lcmodel', '1', 'lcmodel_snr'),),
            'fwhm': (('fwhm_lcmodel_ppm', 'ppm', 'lcmodel_fwhm'),),
            'shift': (('shift_ppm', 'ppm', 'lcmodel_shift'),),
        },
        'fsl': {
            'snr': (('snr_spectrum', '1', 'fsl_snr_spectrum'),
                    ('snr_residual', '1', 'fsl_snr_residual'),
                    ('snr_fsl_peak', '1', 'fsl_snr_peak')),
            'fwhm': (('fwhm_fsl_hz', 'Hz', 'fsl_fwhm'),),
        },
        'osprey': {
            'snr': (('snr_osprey', '1', 'osprey_snr'),),
            'fwhm': (('fwhm_osprey_hz', 'Hz', 'osprey_fwhm'),),
        },
    }
)  # fmt: skip
"""Column of the table of quality, unit and definition of each metric, by first word of engine."""
_CRITERION = re.compile(r'\w+ [<>]=? \S+(?: (?:Hz|ppm|%))?: (?:unknown|.+ (?:pass|fail))')
_ARTEFACT = 'artefact: '
_UNKNOWN = 'value unknown'
NOT_DETECTED = 'not detected'


def judge_again(gate: Gate, quality: Mapping[str, object], source: str) -> Verdict:
    """Hold one spectrum's row of the table of quality against a gate.

    What excludes a spectrum under any gate (a basis set of another field, a fit that failed) is
    taken from the criteria that the participant level wrote down.

    Parameters
    ----------
    gate : Gate
        Thresholds.
    quality : mapping
        The row.
    source : str
        Which gate and which spectrum, for messages.

    Returns
    -------
    Verdict

    Raises
    ------
    SettingsError
        If the engine's definitions are not those that the gate accepts.

    Examples
    --------
    >>> from bids_acc.quality.gate import load_gate
    >>> row = {'engine': 'builtin', 'snr_lcm': 9.0, 'fwhm_hz': 8.0, 'spectrometer_mhz': 127.7}
    >>> judge_again(load_gate('acc-structure'), row, 'x').reasons
    'snr > 10: 9 fail'
    >>> judge_again(load_gate('acc-glutamate'), row, 'x').word
    'pass'
    """
    measures = {
        metric: tuple(
            QualityMeasure(number(quality.get(column)), unit, definition)
            for column, unit, definition in entries
            # an engine that gives no figure has none to choose, and another definition may
            if not math.isnan(number(quality.get(column)))
        )
        for metric, entries in MEASURES.get(engine_family(quality.get('engine')), {}).items()
    }
    water = number(quality.get('residual_water_ratio'))
    measures['residual_water'] = (QualityMeasure(water, '1', 'water_over_naa'),)
    artefacts = [name for name in text(quality.get('artefacts')).split(', ') if name]
    frequency = number(quality.get('spectrometer_mhz'))
    try:
        # what no gate may undo (a fit that failed, a missing reference) was written at the
        # participant level, and stays
        return judge_spectrum(gate, measures, frequency, artefacts, always_excludes(quality))
    except SettingsError as error:
        raise SettingsError(f'{source}: {error}') from error


def judge_levels_again(gate: Gate, levels: pd.DataFrame, spectrum: Verdict, source: str
                       ) -> pd.DataFrame:  # fmt: skip
    """Give the levels of one spectrum the verdicts of a gate.

    Parameters
    ----------
    gate : Gate
        Thresholds.
    levels : DataFrame
        Rows of the table of quantities.
    spectrum : Verdict
        Of their spectrum, under the same gate.
    source : str
        Which gate and which spectrum, for messages.

    Returns
    -------
    DataFrame
        ``gate_spectrum, gate_metabolite, gate, gate_reason, gate_criteria`` for each row, and
        ``gate_definitions``, a mapping of each metric to the definition that was judged.

    Raises
    ------
    SettingsError
        If the bounds are not of a definition that the gate accepts.
    """
    rows = []
    for level in records(levels):
        bound = QualityMeasure(
            number(level.get('crlb_pct')), '%', f'{engine_family(level.get("engine"))}_crlb'
        )
        try:
            own = judge_metabolite(gate, bound, _detected(level))
        except SettingsError as error:
            raise SettingsError(f'{source}: {error}') from error
        # no threshold makes a value of none: it stays failed, with its reason
        known = math.isfinite(number(level.get('value')))
        passed = spectrum.passed and own.passed and known
        unknown = '' if known else _why_unknown(level)
        reasons = [part for part in (spectrum.reasons, own.reasons, unknown) if part]
        criteria = [part for part in (spectrum.listing, own.listing) if part]
        rows.append({
            'gate_spectrum': spectrum.word, 'gate_metabolite': own.word,
            'gate': 'pass' if passed else 'fail', 'gate_reason': '; '.join(reasons) or None,
            'gate_criteria': '; '.join(criteria) or None,
            'gate_definitions': {
                criterion.threshold.metric: criterion.definition
                for criterion in (*spectrum.criteria, *own.criteria) if criterion.definition
            },
        })  # fmt: skip
    return pd.DataFrame(rows, index=levels.index, dtype=object)


def quality_verdict(gate: Gate, verdict: Verdict) -> dict[str, str | None]:
    """Return the verdict on a spectrum as columns of the table of quality.

    Parameters
    ----------
    gate : Gate
        Its name goes into ``gate_preset``.
    verdict : Verdict
        Of one spectrum under this gate.

    Returns
    -------
    dict of str to str or None
        None, ``n/a`` in a table, where nothing is said against the spectrum.
    """
    return {
        'gate_preset': gate.name, 'gate': verdict.word,
        'gate_flagged': str(verdict.flagged).lower(), 'gate_reasons': verdict.reasons or None,
        'gate_criteria': verdict.listing or None,
    }  # fmt: skip


def engine_family(engine: object) -> str:
    """Return the first word of an engine's name, by which `MEASURES` finds its definitions.

    Parameters
    ----------
    engine : object
        Cell ``engine``; may be missing.

    Returns
    -------
    str
        Empty for a missing cell.

    Examples
    --------
    >>> engine_family('fsl_mrs'), engine_family('lcmodel')
    ('fsl', 'lcmodel')
    """
    return text(engine).partition('_')[0]


def always_excludes(quality: Mapping[str, object]) -> tuple[str, ...]:
    """Return the reasons that exclude a spectrum under any gate.

    Parameters
    ----------
    quality : mapping
        Row of the table of quality; read is ``gate_criteria``, a list separated by semicolons.

    Returns
    -------
    tuple of str
        What is neither a criterion with a threshold nor an artefact that a gate may tolerate.

    Examples
    --------
    >>> told = 'no fit; artefact: lipid; snr > 10: 12 pass; fwhm < 10 Hz: unknown'
    >>> always_excludes({'gate_criteria': told})
    ('no fit',)
    """
    parts = text(quality.get('gate_criteria')).split('; ')
    return tuple(
        part for part in parts
        if part and not part.startswith(_ARTEFACT) and not _CRITERION.fullmatch(part)
    )  # fmt: skip


def excluded_because(verdicts: Sequence[tuple[str, Mapping[str, object]]]) -> str:
    """Say why none of the spectra of a session passes; empty when one does.

    Parameters
    ----------
    verdicts : sequence of (str, mapping)
        Voxel and row of the table of quality of each.
    """
    reasons = []
    for voxel, quality in verdicts:
        if str(quality.get('gate')) != 'fail':
            return ''
        reasons.append(f'{voxel}: {quality.get("gate_reasons")}')
    return '; '.join(reasons)


def _detected(level: Mapping[str, object]) -> bool:
    """Tell whether a metabolite was found, from its column or from the criteria written down."""
    told = text(level.get('detected')).lower()
    if told in ('true', 'false'):
        return told == 'true'
    return NOT_DETECTED not in text(level.get('gate_criteria')).split('; ')


def _why_unknown(level: Mapping[str, object]) -> str:
    """Return why a level has no value, as the participant level said it."""
    _, found, rest = text(level.get('gate_reason')).partition(_UNKNOWN)
    return found + rest or _UNKNOWN


def text(value: object) -> str:
    """Return a cell as text; a missing one is empty.

    Parameters
    ----------
    value : object
        Text, number or a missing value (None, NaN).

    Returns
    -------
    str
        As ``str`` writes it.
    """
    return '' if is_empty(value) else str(value)


def number(value: object) -> float:
    """Return a cell as a number; what cannot be read as one is NaN.

    Parameters
    ----------
    value : object
        Number, text or None.

    Returns
    -------
    float
        Never raises.
    """
    if not isinstance(value, str | SupportsFloat | SupportsIndex):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
