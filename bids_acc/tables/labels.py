"""Labels of participants and sessions: one spelling each, whoever wrote the table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bids_acc.exceptions import InputDataError
from bids_acc.tables.reading import INVISIBLE

BASELINE_LIKE = re.compile(
    r'^(pre.*|base.*|bl|before|t0*|v0*|w(eek)?0+|d(ay)?0+|m(onth)?0+|screen.*|enrol.*)$',
    re.IGNORECASE,
)
"""Labels that read like a first session."""


@dataclass(frozen=True)
class Match:
    """Labels of a table beside those of the results."""

    of: Mapping[str, str]
    """Label with prefix for each given text; that of the results where they are the same."""
    notes: tuple[str, ...] = ()


def with_prefix(text: str, prefix: str) -> str:
    """Return a label without blanks and with its BIDS prefix.

    Parameters
    ----------
    text : str
        As written: ``01``, ``sub-01 ``, ``Sub-01``, or ``1.0`` of a spreadsheet.
    prefix : str
        ``sub-`` or ``ses-``.

    Examples
    --------
    >>> [with_prefix(text, 'sub-') for text in ('01', 'sub-01 ', 'SUB-01', '1.0')]
    ['sub-01', 'sub-01', 'sub-01', 'sub-1']
    """
    # full-width digits and the apostrophe by which spreadsheets keep zeros look like other labels
    label = unicodedata.normalize('NFKC', text).strip(INVISIBLE).lstrip("'")
    word = prefix.rstrip('-')
    label = re.sub(rf'^{word}[-_\u2010-\u2015\u2212]\s*', '', label, flags=re.IGNORECASE)
    # pandas and R write a column of ids with one gap as 1.0
    return prefix + re.sub(r'^(\d+)\.0+$', r'\1', label)


def loose(label: str) -> tuple[str, ...]:
    """Return what is left of a label when zeros in front of numbers and case do not count.

    Parameters
    ----------
    label : str
        Of a participant, session or group, as it was typed.

    Returns
    -------
    tuple of str
        Equal for two labels that a person would take for the same one.

    Examples
    --------
    >>> loose('sub-007') == loose('SUB-7'), loose('sub-1') == loose('sub-10')
    (True, False)
    """
    runs = re.findall(r'\d+|[^\W\d_]+|[^\w]+|_+', label.casefold())
    return tuple(run.lstrip('0') or '0' if run.isdigit() else run for run in runs)


def match_labels(given: Iterable[str], known: Iterable[str], prefix: str, where: str) -> Match:
    """Match the labels of a table to those that have results.

    Blanks, a missing prefix and its case do not count. A label that differs from one of the
    results in zeros, case, the prefix's spelling (``sub01``, ``subject-01``) or signs that BIDS
    allows in no label (``HC-01`` for ``sub-HC01``) only is read as that one, and said.

    Parameters
    ----------
    given : iterable of str
        Labels of the table, as written.
    known : iterable of str
        Labels of the results, with prefix.
    prefix : str
        ``sub-`` or ``ses-``.
    where : str
        The table, for messages.

    Raises
    ------
    InputDataError
        If two labels could mean the same results, or one label could mean two.

    Examples
    --------
    >>> match = match_labels(['1', '02'], ['sub-01', 'sub-02'], 'sub-', 'participants.tsv')
    >>> match.of['1'], match.of['02']
    ('sub-01', 'sub-02')
    >>> match.notes
    ('participants.tsv: sub-1 is read as sub-01 (zeros, case, signs or prefix differ only).',)
    """
    there = set(known)
    plain = {text: with_prefix(text, prefix) for text in dict.fromkeys(given)}
    # an exact match is taken first: loosely read, 01 and 1 are two people of some data sets
    by_key: dict[tuple[str, ...], set[str]] = {}
    for label in there:
        by_key.setdefault(loose(label), set()).add(label)
    read: dict[str, str] = {}
    for label in dict.fromkeys(plain.values()):
        close = _like(label, there, by_key)
        read[label] = label if label in there or not close else _only(label, close, where)
    _refuse_shared(read, where)
    changed = {a: b for a, b in read.items() if a != b}
    notes = (said_changes(changed, where),) if changed else ()
    return Match({text: read[label] for text, label in plain.items()}, notes)


def _like(label: str, there: set[str], by_key: Mapping[tuple[str, ...], set[str]]) -> set[str]:
    """Return the labels of the results that a label may mean, by the first reading that fits."""
    bare = _without_signs(label)
    if bare in there:
        return {bare}
    readings = [label, _shorter(label)]
    if not _SIGN_BETWEEN_DIGITS.search(label):  # 1-11 is not 01-1, whatever zeros mean
        readings += [bare, _without_signs(_shorter(label))]
    # from the reading that changes least to the one that changes most
    return next((by_key[key] for key in map(loose, readings) if key in by_key), set())


_SIGN_BETWEEN_DIGITS = re.compile(r'\d[\W_]+\d')
_ARM = re.compile(r'_arm_\d+$')
"""What REDCap puts behind the name of each event."""


def _without_signs(label: str) -> str:
    """Return a label as BIDS allows it: letters and digits behind the prefix.

    Examples
    --------
    >>> _without_signs('sub-HC_01'), _without_signs('ses-baseline_arm_1')
    ('sub-HC01', 'ses-baseline')
    """
    prefix = label[: label.index('-') + 1]
    rest = label.removeprefix(prefix)
    rest = _ARM.sub('', rest) if prefix == 'ses-' else rest
    return prefix + re.sub(r'[\W_]', '', rest)


def said_changes(changed: Mapping[str, str], where: str) -> str:
    """Say which labels of a table were matched although they are written differently.

    Parameters
    ----------
    changed : mapping of str to str
        Label in the table to label of the data; not empty.
    where : str
        What holds the labels, to begin the sentence with.

    Returns
    -------
    str
        Names three pairs and counts the others.
    """
    pairs = [f'{a} is read as {b}' for a, b in changed.items()]
    more = f' and {len(pairs) - 3} more' if len(pairs) > 3 else ''
    return f'{where}: {", ".join(pairs[:3])}{more} (zeros, case, signs or prefix differ only).'


_LONG_PREFIX = {
    'sub-': re.compile(r'^sub-(participant|subject|subj|sub)[-_ ]*', re.IGNORECASE),
    'ses-': re.compile(r'^ses-(session|sess|ses|visit|timepoint)[-_ ]*', re.IGNORECASE),
}
"""What people write in place of the prefix, behind the one that was put in front."""


def _shorter(label: str) -> str:
    """Return a label without a second prefix that it begins with: ``sub-sub01`` is ``sub-01``."""
    prefix = label[: label.index('-') + 1]
    return _LONG_PREFIX[prefix].sub(prefix, label)


def _only(label: str, close: set[str], where: str) -> str:
    """Return the one label that is meant."""
    if len(close) > 1:
        raise InputDataError(
            f'{where}: {label} could be {" or ".join(sorted(close))}, which differ in zeros or '
            'case only; write the label as the results have it.'
        )
    return next(iter(close))


def _refuse_shared(read: Mapping[str, str], where: str) -> None:
    """Refuse two labels of a table that mean the same, or that nothing tells apart."""
    by_key: dict[tuple[str, ...], list[str]] = {}
    for label, meant in read.items():
        by_key.setdefault(loose(meant), []).append(label)
    for labels in by_key.values():
        # two labels that both stand in the results are two people; else one of them was guessed
        if len(labels) > 1 and any(read[label] != label for label in labels):
            raise InputDataError(
                f'{where}: {" and ".join(sorted(labels))} differ in zeros or case only and could '
                'be the same; write each label as the results have it.'
            )


def sessions_in_order(labels: Iterable[str]) -> list[str]:
    """Return session labels as people count them, one that reads like a baseline in front.

    Parameters
    ----------
    labels : iterable of str
        With or without ``ses-``; empty ones are left out.

    Examples
    --------
    >>> sessions_in_order(['ses-10', 'ses-2'])
    ['ses-2', 'ses-10']
    >>> sessions_in_order(['followup', 'post', 'pre'])
    ['pre', 'followup', 'post']
    """

    def key(label: str) -> tuple[bool, list[tuple[bool, int, str]]]:
        plain = label.removeprefix('ses-')
        # numbers as numbers, or ses-10 comes before ses-2
        parts = [part for part in re.split(r'(\d+)', plain) if part]
        natural = [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
        return not BASELINE_LIKE.match(plain), natural

    return sorted({label for label in labels if label}, key=key)
