"""Which water reference belongs to a spectrum, and why another one does not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STRICT = {'session': 'ses', 'volume': 'voi', 'run': 'run', 'task': 'task', 'nucleus': 'nuc'}
"""Entities that a reference must not contradict, with their keys in names: it was then measured
elsewhere or at another time."""

FOR_EDDY_CURRENTS = re.compile(r'ecc|eddy', re.IGNORECASE)
"""Labels of references that were measured for eddy currents only."""

FOR_LEVELS = re.compile(r'conc|quant|scal|h2o|level', re.IGNORECASE)
"""Labels of references that were measured for quantification."""

_AVERAGES = ('NumberOfTransients', 'NumberOfAverages')
_IGNORED = frozenset({'suffix', 'extension', 'datatype', 'subject'})


@dataclass(frozen=True)
class Candidate:
    """A water reference that might belong to a spectrum."""

    path: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def acquisition(self) -> str:
        """Label of its ``acq`` entity, or empty."""
        return self.entities.get('acquisition', '')


@dataclass(frozen=True)
class Choice:
    """The reference that was chosen, and why the others were not."""

    path: Path | None
    reasons: Mapping[Path, str]
    """Why each of the others was not taken."""
    note: str = ''
    """What should be known about the one that was."""


def _number(metadata: Mapping[str, object], *names: str) -> float:
    """Read the first of some fields that is a number; NaN without."""
    for name in names:
        value = metadata.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return math.nan


def _contradiction(candidate: Candidate, entities: Mapping[str, str]) -> str:
    """Say which entity tells that a reference belongs to something else; empty when none does."""
    if '_inv-' in candidate.path.name:
        return 'it belongs to a metabolite-nulled acquisition'
    for name, key in STRICT.items():
        own, wanted = candidate.entities.get(name), entities.get(name)
        if own is not None and wanted is not None and own != wanted:
            return f'its {key} is {own}, that of the spectrum {wanted}'
    return ''


def _likeness(candidate: Candidate, entities: Mapping[str, str]) -> tuple[int, int, int]:
    """How well the entities agree; larger is better."""
    own = {k: v for k, v in candidate.entities.items() if k not in _IGNORED}
    shared = sum(entities.get(k) == v for k, v in own.items() if k != 'acquisition')
    extra = sum(k not in entities for k in own if k != 'acquisition')
    ours, wanted = candidate.acquisition.lower(), entities.get('acquisition', '').lower()
    if ours == wanted:
        alike = 2
    else:
        alike = int(bool(wanted) and (ours.startswith(wanted) or wanted.startswith(ours)))
    return alike, shared, -extra


def _by_purpose(
    candidates: Sequence[Candidate], echo_time: float
) -> tuple[list[Candidate], str, str]:
    """Those that serve quantification, by name, else by echo time, else by averages."""
    named = [c for c in candidates if FOR_LEVELS.search(c.acquisition)]
    if len(named) == 1:
        return named, 'its name says quantification', 'it is not the one named for quantification'
    others = [c for c in candidates if not FOR_EDDY_CURRENTS.search(c.acquisition)]
    if 0 < len(others) < len(candidates):
        candidates = others
        if len(others) == 1:
            return others, 'the other is for eddy currents', 'its name says eddy currents'
    same = [c for c in candidates if abs(_number(c.metadata, 'EchoTime') - echo_time) < 5e-4]
    if len(same) == 1:
        why = 'the only one with the echo time of the spectrum'
        return same, why, 'its echo time is not that of the spectrum'
    candidates = same or list(candidates)
    counts = [_number(c.metadata, *_AVERAGES) for c in candidates]
    if not any(math.isnan(count) for count in counts):
        most = [c for c, n in zip(candidates, counts, strict=True) if n == max(counts)]
        if len(most) == 1:
            return most, 'the one with most averages', 'another one has more averages'
    return list(candidates), '', ''


def choose_reference(
    candidates: Sequence[Candidate], entities: Mapping[str, str], metadata: Mapping[str, object]
) -> Choice:
    """Choose the water reference by which a spectrum is scaled.

    A reference must not contradict the spectrum in session, voxel, run, task or nucleus. Of those
    left the one whose entities agree best is taken, ``acq`` first; one of another ``acq`` serves
    where it is the only one. Of several alike, that for quantification is told by name, by the
    echo time of the spectrum, or by its averages.

    Parameters
    ----------
    candidates : sequence of Candidate
        References of the session.
    entities, metadata : mapping
        Of the spectrum.

    Returns
    -------
    Choice
        Without a path where none fits or several fit equally.

    Examples
    --------
    >>> two = [Candidate(Path(f'{a}_mrsref.nii'), {'acquisition': a}) for a in ('conc', 'ecc')]
    >>> choose_reference(two, {}, {}).path.name
    'conc_mrsref.nii'
    """
    reasons = {c.path: _contradiction(c, entities) for c in candidates}
    fitting = [c for c in candidates if not reasons[c.path]]
    reasons = {path: reason for path, reason in reasons.items() if reason}
    if not fitting:
        return Choice(None, reasons)
    best = max(_likeness(c, entities) for c in fitting)
    alike = [c for c in fitting if _likeness(c, entities) == best]
    reasons |= {c.path: 'another one agrees better' for c in fitting if c not in alike}
    why = ''
    if len(alike) > 1:
        kept, why, why_not = _by_purpose(alike, _number(metadata, 'EchoTime'))
        if len(kept) > 1:
            reasons |= {c.path: 'it fits as well as another one' for c in alike}
            return Choice(None, reasons)
        reasons |= {c.path: why_not for c in alike if c not in kept}
        alike = kept
    chosen = alike[0]
    if not why and chosen.acquisition != entities.get('acquisition', ''):
        why = f'the only one of this voxel; its acq is {chosen.acquisition or "not told"}'
    note = f'{chosen.path.name} is the water reference: {why}' if why else ''
    return Choice(chosen.path, reasons, note)
