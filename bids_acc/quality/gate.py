"""Thresholds on quality, and verdicts that list every criterion.

A threshold is a metric, the definitions of it that are accepted, an operator, a value and a
unit. A value that was made by another definition is an error and not a conversion, because
"S/N > 10" differs by a factor of two or more between programs.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, reads, short
from bids_acc.quality.measure import QualityMeasure

OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {'>': operator.gt, '>=': operator.ge, '<': operator.lt, '<=': operator.le}
)
"""Comparisons that a gate file may name."""

UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'snr': ('1',),
        'fwhm': ('Hz', 'ppm'),
        'shift': ('ppm', 'Hz'),
        'residual_water': ('1',),
        'crlb': ('%',),
    }
)
"""Metrics that a gate file may name, with their units; ``crlb`` is that of a metabolite."""

DEFINITIONS = frozenset(
    {
        'builtin_snr_lcm', 'builtin_snr_noise', 'builtin_fwhm', 'builtin_kernel_fwhm',
        'builtin_shift', 'builtin_crlb',
        'lcmodel_snr', 'lcmodel_fwhm', 'lcmodel_shift', 'lcmodel_crlb',
        'fsl_snr_spectrum', 'fsl_snr_residual', 'fsl_snr_peak', 'fsl_fwhm', 'fsl_crlb',
        'osprey_snr', 'osprey_fwhm', 'osprey_crlb', 'water_over_naa',
    }
)  # fmt: skip
"""Definitions that an engine or the preprocessing gives a value for."""

FIELDS = frozenset(
    {
        'name', 'version', 'description', 'missing', 'artefacts', 'spectrum', 'metabolite',
        'allow_cross_definition',
    }
)  # fmt: skip
"""Fields of a gate file."""

ARTEFACTS = (
    'missing_naa', 'wrong_phase', 'lipid', 'strong_lipid', 'residual_water', 'unsuppressed_water',
    'ghost', 'clipping', 'filtered_decay', 'implausible_ratio', 'implausible_level',
    'first_order_phase', 'unstable_fit', 'voxel_outside', 'editing_misaligned',
    'subtraction_residue', 'editing_absent',
)  # fmt: skip
"""Checks of a spectrum whose finding a gate file may refuse."""

PRESETS = ('acc-structure', 'acc-glutamate', 'mega-press')
"""Gates that come with the package."""
NOT_A_GATE = 'must be JSON with the lists "spectrum" and "metabolite"'
"""What is wrong with a file that holds something else."""


@dataclass(frozen=True)
class Threshold:
    """One criterion."""

    metric: str
    """``snr``, ``fwhm``, ``crlb``, ``shift`` or ``residual_water``."""
    definitions: tuple[str, ...]
    """Definitions whose values may be compared, most wanted first."""
    operator: str
    """One of ``> >= < <=``; the criterion is met when value operator threshold is true."""
    value: float
    """Threshold."""
    unit: str
    """Unit of the threshold: ``1``, ``Hz``, ``ppm`` or ``%``."""

    def __str__(self) -> str:
        unit = '' if self.unit == '1' else f' {self.unit}'
        return f'{self.metric} {self.operator} {self.value:g}{unit}'


@dataclass(frozen=True)
class Gate:
    """Thresholds for spectra and for metabolites."""

    name: str
    """Name of the gate."""
    spectrum: tuple[Threshold, ...]
    """Criteria of the whole spectrum."""
    metabolite: tuple[Threshold, ...]
    """Criteria of each metabolite."""
    artefacts: tuple[str, ...] = ()
    """Artefacts that exclude a spectrum; all others are only reported."""
    missing: Literal['strict', 'lenient'] = 'strict'
    """Whether a value that cannot be told excludes (strict) or is flagged (lenient)."""
    allow_cross_definition: bool = False
    """Compare values made by other definitions too; each such comparison is marked."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """The file as read."""


@dataclass(frozen=True)
class Criterion:
    """One comparison and its outcome."""

    threshold: Threshold
    """What was asked."""
    value: float
    """What there was, in the unit of the threshold."""
    definition: str
    """Which definition made the value; empty when there was none."""
    outcome: Literal['pass', 'fail', 'unknown']
    """Unknown when the value is missing or NaN."""

    def __str__(self) -> str:
        if self.outcome == 'unknown':
            return f'{self.threshold}: unknown'
        mark = '' if self.definition in self.threshold.definitions else f' ({self.definition})'
        return f'{self.threshold}: {self.value:.4g}{mark} {self.outcome}'


@dataclass(frozen=True)
class Verdict:
    """Whether something is kept, and why."""

    passed: bool
    """True when it is kept."""
    criteria: tuple[Criterion, ...]
    """Every comparison, those that passed too."""
    extra: tuple[str, ...] = ()
    """Reasons besides thresholds: an artefact, an amplitude of zero."""
    flagged: bool = False
    """Kept although a value is unknown (lenient gates)."""

    @property
    def word(self) -> str:
        """``pass`` or ``fail``."""
        return 'pass' if self.passed else 'fail'

    @property
    def reasons(self) -> str:
        """What excluded or flagged it; empty when nothing did."""
        failed = [str(c) for c in self.criteria if c.outcome != 'pass']
        return '; '.join([*self.extra, *failed])

    @property
    def listing(self) -> str:
        """Every criterion with its value."""
        return '; '.join([*self.extra, *(str(c) for c in self.criteria)])


def parse_threshold(
    entry: Mapping[str, Any],
    where: str,
    units: Mapping[str, tuple[str, ...]],
    definitions_of: Callable[[str], Iterable[str]] | None = None,
) -> Threshold:
    """Read one threshold of a gate file.

    Parameters
    ----------
    entry : mapping
        ``metric, definition, operator, value, unit``.
    where : str
        Which file, for messages.
    units : mapping of str to tuple of str
        Metrics that may be named here, with their units.
    definitions_of : callable, optional
        Definitions that a metric may have; `DEFINITIONS` by default.

    Returns
    -------
    Threshold

    Raises
    ------
    SettingsError
        If a part is missing, or is not known.
    """
    try:
        given = entry['definition']
        definitions = (given,) if isinstance(given, str) else tuple(given)
        found = Threshold(
            metric=str(entry['metric']),
            definitions=definitions,
            operator=str(entry['operator'] if 'operator' in entry else entry['op']),
            value=float(entry['value']),
            unit=str(entry.get('unit', '1')),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f'{where}: a threshold needs metric, definition, operator, value and unit; {entry!r} '
            f'does not ({short(error)}).'
        ) from error
    if not found.definitions:
        raise SettingsError(f'{where}: {entry!r} names no definition; a threshold needs one.')
    # float(True) is 1: a typing error would be a threshold
    truth = isinstance(entry['value'], bool)
    if found.operator not in OPERATORS or truth or not math.isfinite(found.value):
        raise SettingsError(
            f'{where}: {entry!r}: operator must be one of {" ".join(OPERATORS)}, value a number.'
        )
    check_known(where, f'metric of {entry!r}', [found.metric], units)
    check_known(where, f'unit of {entry!r}', [found.unit], units[found.metric])
    known = DEFINITIONS if definitions_of is None else definitions_of(found.metric)
    check_known(where, f'definition of {entry!r}', found.definitions, known)
    return found


def check_known(where: str, what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse words that a gate file must not hold: a typing error would exclude everybody.

    Parameters
    ----------
    where : str
        Gate file, to begin the message with.
    what : str
        Kind of word, such as ``metric``.
    given : iterable of str
        Words of the file.
    known : iterable of str
        Words that are allowed.

    Raises
    ------
    SettingsError
        Naming the words that are not known and all that are.
    """
    listed = sorted(known)
    if unknown := [word for word in given if word not in listed]:
        raise SettingsError(
            f'{where}: {what}: {", ".join(map(repr, unknown))} is unknown; there are '
            f'{", ".join(listed)}.'
        )


@reads('gate', 'correct it', SettingsError)
def load_gate(name: str | Path) -> Gate:
    """Read a preset or a gate file.

    Parameters
    ----------
    name : str or Path
        ``acc-structure``, ``acc-glutamate`` or a JSON file.

    Returns
    -------
    Gate
        Checked thresholds.

    Raises
    ------
    SettingsError
        If there is no such preset or file, or it is not of the right form.

    Examples
    --------
    >>> [str(threshold) for threshold in load_gate('acc-glutamate').spectrum]
    ['snr >= 8', 'fwhm < 0.1 ppm']
    """
    if str(name) in PRESETS:
        text = resources.files('bids_acc').joinpath(f'data/mrs/gates/{name}.json').read_text()
    else:
        try:
            text = read_whole(name, error=SettingsError).decode('utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f'--mrs-gate {name}: neither a preset ({", ".join(PRESETS)}) nor a readable file.'
            ) from error
    where = f'--mrs-gate {name}'
    try:
        content = json.loads(text)
    except ValueError as error:
        raise SettingsError(f'{where}: {NOT_A_GATE} ({short(error)}).') from error
    return parse_gate(content, where, Path(name).stem)


def parse_gate(content: Any, where: str, name: str = 'gate') -> Gate:
    """Check the content of a gate file for spectra.

    Parameters
    ----------
    content : mapping
        Content of the file.
    where : str
        Which file, for messages.
    name : str
        Name of a gate that does not tell its own.

    Returns
    -------
    Gate
        Checked thresholds.

    Raises
    ------
    SettingsError
        If it is not of the right form, or a word in it is not known.
    """
    try:
        spectrum, metabolite = content['spectrum'], content['metabolite']
    except (KeyError, TypeError) as error:
        raise SettingsError(f'{where}: {NOT_A_GATE} ({short(error)}).') from error
    check_known(where, 'field', content, FIELDS)
    artefacts = content.get('artefacts', [])
    if not all(isinstance(part, list) for part in (spectrum, metabolite, artefacts)):
        raise SettingsError(f'{where}: {NOT_A_GATE} (spectrum, metabolite and artefacts).')
    check_known(where, 'artefact', map(str, artefacts), ARTEFACTS)
    of_spectra = {metric: units for metric, units in UNITS.items() if metric != 'crlb'}
    of_levels = {'crlb': UNITS['crlb']}
    return Gate(
        name=name_of(content, name, where),
        spectrum=tuple(parse_threshold(entry, where, of_spectra) for entry in spectrum),
        metabolite=tuple(parse_threshold(entry, where, of_levels) for entry in metabolite),
        artefacts=tuple(artefacts),
        missing=missing_of(content, where),
        allow_cross_definition=bool(content.get('allow_cross_definition', False)),
        content=content,
    )


def name_of(content: Mapping[str, Any], name: str, where: str) -> str:
    """Return the name that a gate tells, or another one where it tells none.

    Parameters
    ----------
    content : mapping
        Content of the gate's file.
    name : str
        For a gate without a name of its own.
    where : str
        Which file, for messages.

    Raises
    ------
    SettingsError
        If it is no text, or empty.
    """
    told = content.get('name', name)
    if not isinstance(told, str) or not told.strip():
        raise SettingsError(f'{where}: "name" is {told!r}; it must be a word, or left out.')
    return told


def missing_of(content: Mapping[str, Any], where: str) -> Literal['strict', 'lenient']:
    """Return what a gate does with a value that cannot be told.

    Parameters
    ----------
    content : mapping
        Of the gate file.
    where : str
        Its path, for the message.

    Returns
    -------
    {'strict', 'lenient'}
        ``strict``, the default: an unknown value excludes. ``lenient``: it is only flagged.

    Raises
    ------
    SettingsError
        If it is neither ``strict`` nor ``lenient``.
    """
    missing: Literal['strict', 'lenient'] = content.get('missing', 'strict')
    if missing not in ('strict', 'lenient'):
        raise SettingsError(f'{where}: "missing" is {missing!r}; it must be strict or lenient.')
    return missing


def _choose(
    threshold: Threshold, measures: Sequence[QualityMeasure], allow_cross_definition: bool
) -> QualityMeasure | None:
    """Find the measure that a threshold may be compared with."""
    for definition in threshold.definitions:
        # in the order of the definitions and not of the measures: the most wanted one counts
        for measure in measures:
            if measure.definition == definition:
                return measure
    if not measures:
        return None
    # figures of one name differ between programs: SNR of LCModel is not that of FSL
    if allow_cross_definition:
        return measures[0]
    raise SettingsError(
        f'the gate asks {threshold} as defined by {" or ".join(threshold.definitions)}, but this '
        f'engine gives {", ".join(m.definition for m in measures)}: use a gate made for it, or '
        f'set "allow_cross_definition": true in the gate file.'
    )


def _compare(
    threshold: Threshold, measures: Sequence[QualityMeasure], spectrometer_mhz: float, cross: bool
) -> Criterion:
    """One criterion; a missing or NaN value is unknown."""
    measure = _choose(threshold, measures, cross)
    value = math.nan if measure is None else measure.in_unit(threshold.unit, spectrometer_mhz)
    definition = '' if measure is None else measure.definition
    return held_against(threshold, value, definition)


def held_against(threshold: Threshold, value: float, definition: str) -> Criterion:
    """Compare a value with a threshold; a NaN is neither passed nor failed but unknown.

    Parameters
    ----------
    threshold : Threshold
        Metric, operator, number and unit.
    value : float
        Converted into the threshold's unit; NaN where it was not measured.
    definition : str
        How the value was measured, such as ``builtin_fwhm``; kept in the record.
    """
    if math.isnan(value):
        return Criterion(threshold, value, definition, 'unknown')
    met = OPERATORS[threshold.operator](value, threshold.value)
    return Criterion(threshold, value, definition, 'pass' if met else 'fail')


def join_criteria(
    criteria: tuple[Criterion, ...], extra: tuple[str, ...], missing: Literal['strict', 'lenient']
) -> Verdict:
    """Make one verdict of all criteria; unknown ones exclude under a strict gate.

    Parameters
    ----------
    criteria : tuple of Criterion
        One for each threshold.
    extra : tuple of str
        Other reasons to exclude, such as artefacts; any of them suffices.
    missing : {'strict', 'lenient'}
        What an unknown criterion does: ``strict`` excludes, ``lenient`` flags.

    Returns
    -------
    Verdict
        Passed if no criterion failed, none that counts is unknown and ``extra`` is empty.
    """
    outcomes = {criterion.outcome for criterion in criteria}
    unknown = 'unknown' in outcomes
    # a figure that could not be computed is often that of the worst data, so that strict is the
    # default
    passed = not extra and 'fail' not in outcomes and not (unknown and missing == 'strict')
    return Verdict(passed, criteria, extra, flagged=passed and unknown)


def judge_spectrum(
    gate: Gate,
    measures: Mapping[str, Sequence[QualityMeasure]],
    spectrometer_mhz: float,
    artefacts: Sequence[str] = (),
    invalid: Sequence[str] = (),
) -> Verdict:
    """Whether a spectrum is kept.

    Parameters
    ----------
    gate : Gate
        Thresholds.
    measures : mapping of str to sequence of QualityMeasure
        Values by metric.
    spectrometer_mhz : float
        Joins Hz and ppm.
    artefacts : sequence of str
        Artefacts found; those that the gate names exclude.
    invalid : sequence of str
        Reasons that exclude under any gate.

    Returns
    -------
    Verdict
        With every criterion.

    Raises
    ------
    SettingsError
        If a value was made by a definition that the gate does not accept.

    Examples
    --------
    >>> measures = {
    ...     'snr': [QualityMeasure(21, '1', 'lcmodel_snr')],
    ...     'fwhm': [QualityMeasure(0.084, 'ppm', 'lcmodel_fwhm')],
    ... }
    >>> verdict = judge_spectrum(load_gate('acc-structure'), measures, 127.8)
    >>> verdict.word, verdict.reasons
    ('fail', 'fwhm < 10 Hz: 10.74 fail')
    >>> judge_spectrum(load_gate('acc-glutamate'), measures, 127.8).word
    'pass'
    """
    criteria = tuple(
        _compare(
            t, tuple(measures.get(t.metric, ())), spectrometer_mhz, gate.allow_cross_definition
        )
        for t in gate.spectrum
    )
    named = [f'artefact: {name}' for name in artefacts if name in gate.artefacts]
    extra = (*invalid, *named)
    return join_criteria(criteria, extra, gate.missing)


def judge_metabolite(gate: Gate, crlb: QualityMeasure, detected: bool) -> Verdict:
    """Whether a metabolite is kept; one with an amplitude of zero never is.

    Parameters
    ----------
    gate : Gate
        Thresholds.
    crlb : QualityMeasure
        Relative Cramer-Rao bound in percent.
    detected : bool
        Whether the amplitude is above zero.

    Returns
    -------
    Verdict
        With every criterion.

    Raises
    ------
    SettingsError
        If the bound was made by a definition that the gate does not accept.

    Examples
    --------
    >>> gate = load_gate('acc-structure')
    >>> judge_metabolite(gate, QualityMeasure(19.9, '%', 'lcmodel_crlb'), True).word
    'pass'
    >>> judge_metabolite(gate, QualityMeasure(20.0, '%', 'lcmodel_crlb'), True).word
    'fail'
    >>> judge_metabolite(gate, QualityMeasure(999.0, '%', 'lcmodel_crlb'), False).reasons
    'not detected; crlb < 20 %: 999 fail'
    """
    known = () if math.isnan(crlb.value) else (crlb,)
    criteria = tuple(
        _compare(t, known if t.metric == 'crlb' else (), math.nan, gate.allow_cross_definition)
        for t in gate.metabolite
    )
    # an amplitude of zero has no %SD, and would pass a lenient gate
    extra = () if detected else ('not detected',)
    return join_criteria(criteria, extra, gate.missing)
