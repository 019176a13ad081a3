"""Sessions of a longitudinal study: their order, the first one, improvement between two."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.formulas.longitudinal import percent_change, responders
from bids_acc.group.statistics.model import Model

BASELINE_LIKE = re.compile(
    r'^(pre.*|base.*|bl|before|t0*|v0*|w(eek)?0+|d(ay)?0+|m(onth)?0+|screen.*|enrol.*)$',
    re.IGNORECASE,
)
"""Labels that read like a first session."""


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
        parts = [part for part in re.split(r'(\d+)', plain) if part]
        natural = [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
        return not BASELINE_LIKE.match(plain), natural

    return sorted({label for label in labels if label}, key=key)


def first_session(model: Model, frame: pd.DataFrame) -> str | None:
    """Return the session that cross-sectional analyses look at; None without sessions.

    Parameters
    ----------
    model : Model
        Names it (``Sessions/Baseline``), or the order of all (``Sessions/Order``); otherwise it
        is the first by `sessions_in_order`.
    frame : DataFrame
        With ``session_id``.

    Raises
    ------
    InputDataError
        If nobody has the session that the model names.
    """
    by_label = {name.removeprefix('ses-'): name for name in set(frame['session_id']) if name}
    if not by_label:
        return None
    wanted = model.content['Sessions']['Baseline']
    if wanted is not None:
        label = str(wanted).removeprefix('ses-')
        if label not in by_label:
            raise InputDataError(
                f'Sessions/Baseline {wanted!r}: there is no such session; there are: '
                f'{", ".join(sorted(by_label.values()))}.'
            )
        return by_label[label]
    order = [str(name).removeprefix('ses-') for name in model.content['Sessions']['Order']]
    known = [by_label[name] for name in order if name in by_label]
    return (known or sessions_in_order(by_label.values()))[0]


def with_improvement(wide: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Add how much a symptom score improved and who responded, if the model asks for it.

    Parameters
    ----------
    wide : DataFrame
        One row per participant and session.
    model : Model
        ``Sessions/Improvement`` names the score, its minimum, the later session and the threshold.

    Returns
    -------
    DataFrame
        With ``<score>_improvement`` in per cent and ``<score>_response``, the same in all of a
        participant's sessions; missing where either session lacks the score or the first is at
        its minimum.

    Raises
    ------
    InputDataError
        If the score or the session is not there.
    """
    wanted = model.content['Sessions']['Improvement']
    if wanted is None:
        return wide
    score, first = wanted['Score'], first_session(model, wide)
    if score not in wide.columns:
        raise InputDataError(f'Sessions/Improvement: there is no column {score!r}.')
    order = model.content['Sessions']['Order'] or sessions_in_order(set(wide['session_id']))
    label = str(wanted['Session'] or order[-1]).removeprefix('ses-') if order else ''
    visit = wide['session_id'].astype(str).str.removeprefix('ses-')
    if first is None or not (visit == label).any() or label == first.removeprefix('ses-'):
        raise InputDataError(
            f'Sessions/Improvement: there is no session {label!r} after the first ({first}).'
        )
    values = pd.to_numeric(wide[score], errors='coerce') - wanted['Minimum']
    by_person = [
        values[rows].groupby(wide.loc[rows, 'participant_id']).first()
        for rows in (wide['session_id'] == first, visit == label)
    ]
    before, after = by_person[0].align(by_person[1], join='inner')
    improvement = pd.Series(percent_change(before, after), before.index)
    verdict = pd.Series(responders(improvement, wanted['Threshold']), before.index)
    words = verdict.map({1.0: 'responder', 0.0: 'nonresponder'})
    who = wide['participant_id']
    wide = wide.copy()
    wide[f'{score}_improvement'] = who.map(improvement)
    wide[f'{score}_response'] = who.map(words)
    return wide
