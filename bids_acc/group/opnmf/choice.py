"""The written rules that pick the number of components, and their trace.

The rule is one of three: ``variation`` (all of what follows), ``stability`` (the drop decides, the
elbow is told), and ``published`` (doi:10.1503/jpn.210113: a stability index above the threshold in
every cohort, its largest drop, and beside it where the gain in the error of all data slows; no
null).

1. *Stable*: k is admissible when the stability index, averaged over splits, is at least 0.8 in
   every cohort.
2. *Drop*: among the admissible k, the one after which the index, averaged over cohorts, falls
   most; of equal falls the largest k. (The published reading: "indices at k = 4 were above 0.8;
   moving from 4 to 5, we observed dramatic drop-offs".)
3. *Elbow*: the k at which the reduction of the error slows most, that is, where its second
   difference is largest, averaged over cohorts. The error is that of the variation between
   sessions: since X W W' is linear in X, the squared error is exactly the sum of that of each
   metric's mean map and that of the deviations from it. Only the second is about parts that
   vary together; the structure of the mean maps, which is the same in every half, would go on
   to reward components beyond those parts. An elbow needs a smaller and a larger k beside it.
4. Where drop and elbow name the same k, it is chosen. Where they differ, the elbow's k is taken
   if it is admissible, else the drop's, and the disagreement is reported: stable detail of the
   mean maps can keep the index high beyond the number of parts that vary together.
5. If no k is admissible, the most stable k is used and said to be *not stable*.

A null stands beside the curve of the whole error: data whose sessions were exchanged at every
vertex, so that the mean maps stay and nothing varies together. A k whose gain is no larger than
the null's is not admissible either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

RankRule = Literal['published', 'variation', 'stability']

THRESHOLD = 0.8
"""Stability index that a k must reach in every cohort; the published curves were read so."""
_TIE = 0.005


@dataclass(frozen=True)
class RankChoice:
    """The number of components and why."""

    k: int
    """Number of components to use."""
    source: str
    """``rule``, ``override`` or ``default``."""
    stable: bool
    """Whether the index reaches the threshold at k in every cohort."""
    agrees: bool
    """Whether drop and elbow name this k."""
    trace: tuple[str, ...]
    """Every step of the rule, in words."""
    by_rule: int | None = None
    """What the rule says, also when it was overridden."""


def choose_k(
    curves: Mapping[str, pd.DataFrame],
    *,
    threshold: float = THRESHOLD,
    override: int | None = None,
    default: int = 4,
    rule: RankRule = 'variation',
) -> RankChoice:
    """Apply a written rule.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        For each cohort, columns ``k``, ``stability``, ``variation_error`` and, if there is a
        null, ``full_gradient`` and ``null_gradient``. Cohorts without curves are left out.
    threshold : float
        Stability that an admissible k has in every cohort.
    override : int, optional
        Number of components asked for; the rule is still traced.
    default : int
        Used when no cohort has curves.
    rule : {'variation', 'stability', 'published'}
        See the module.

    Returns
    -------
    RankChoice
        With its trace.
    """
    usable = {name: table.set_index('k') for name, table in curves.items() if len(table)}
    if not usable:
        trace = ['No cohort is large enough to examine the number of components.']
        if override is not None:
            return RankChoice(override, 'override', False, False, (*trace, _overridden(override)))
        trace.append(
            f'The published number, k = {default}, is used without support from the data.'
        )
        return RankChoice(default, 'default', False, False, tuple(trace))
    k, stable, agrees, trace = _rule(usable, threshold, rule)
    if override is None:
        return RankChoice(k, 'rule', stable, agrees, tuple(trace), k)
    trace.append(f'{_overridden(override)} The rule says {k}.')
    reached = [t['stability'].get(override, np.nan) >= threshold for t in usable.values()]
    return RankChoice(
        override, 'override', bool(all(reached)), agrees and override == k, tuple(trace), k
    )


def _overridden(k: int) -> str:
    """Say that the number was asked for."""
    return f'k = {k} was asked for.'


def _rule(
    curves: Mapping[str, pd.DataFrame], threshold: float, rule: RankRule
) -> tuple[int, bool, bool, list[str]]:
    """Return k, whether it is stable, whether the criteria agree, and the trace."""
    stability = pd.concat([t['stability'] for t in curves.values()], axis=1, join='inner')
    kind = 'full_error' if rule == 'published' else 'variation_error'
    if not all(kind in table for table in curves.values()):
        kind = 'variation_error'
    error = pd.concat(
        # relative to the smallest k: cohorts of different size have errors of different size
        [t[kind] / t[kind].iloc[0] for t in curves.values()], axis=1, join='inner',
    ).mean(axis=1)  # fmt: skip
    mean = stability.mean(axis=1)
    trace = [
        f'Rule: {rule}.',
        'Mean stability: ' + ', '.join(f'{k}: {value:.2f}' for k, value in mean.items()) + '.',
    ]
    admissible = _admissible(curves, stability, threshold, trace, null=rule != 'published')
    if not admissible:
        best = (
            int(mean.index[int(np.nanargmax(mean))]) if mean.notna().any() else int(mean.index[0])
        )
        trace.append(f'No k is admissible; the most stable, k = {best}, is used: NOT STABLE.')
        return best, False, False, trace
    k_drop = _drop(mean, admissible, trace)
    k_elbow = _elbow(error, trace)
    if k_elbow is None or k_elbow == k_drop:
        verb = 'agree' if k_elbow is not None else 'cannot be compared'
        trace.append(f'Drop and elbow {verb}: k = {k_drop}.')
        return k_drop, True, k_elbow is not None, trace
    if rule != 'variation':
        trace.append(f'Drop ({k_drop}) and elbow ({k_elbow}) differ; k = {k_drop} by the rule.')
        return k_drop, True, False, trace
    usable = k_elbow in admissible
    k = k_elbow if usable else k_drop
    trace.append(
        f'Drop ({k_drop}) and elbow ({k_elbow}) DISAGREE; k = {k}, since the elbow is '
        + ('admissible.' if usable else 'not admissible.')
    )
    return k, True, False, trace


def _admissible(
    curves: Mapping[str, pd.DataFrame],
    stability: pd.DataFrame,
    threshold: float,
    trace: list[str],
    *,
    null: bool,
) -> list[int]:
    """Return the k that are stable and, if asked, gain more than the null, in every cohort."""
    good = (stability >= threshold).all(axis=1)
    trace.append(
        f'Stability >= {threshold:g} in every cohort at k = '
        f'{", ".join(str(k) for k in good.index[good]) or "none"}.'
    )
    for name, table in curves.items():
        if not null or 'null_gradient' not in table:
            continue
        idle = table.index[(table['full_gradient'] >= table['null_gradient']).to_numpy(bool)]
        idle = idle.intersection(good.index[good])
        if len(idle):
            good[idle] = False
            where = f' in {name}' if name else ''
            trace.append(
                f'No gain beyond exchanged sessions{where} at k = {", ".join(map(str, idle))}.'
            )
    return [int(k) for k in good.index[good]]


def _drop(mean: pd.Series, admissible: list[int], trace: list[str]) -> int:
    """Return the admissible k after which stability falls most."""
    falls = (mean - mean.shift(-1)).loc[admissible].dropna()
    if falls.empty or falls.max() <= 0:
        best = int(max(admissible, key=lambda k: (mean[k], k)))
        trace.append(f'Stability never falls after an admissible k; the most stable is {best}.')
        return best
    # falls that differ less than splits do are equal: of these more parcels are kept
    k = int(falls.index[falls >= falls.max() - _TIE].max())
    trace.append(f'Largest drop after an admissible k: {falls[k]:.3f}, after k = {k}.')
    return k


def _elbow(error: pd.Series, trace: list[str]) -> int | None:
    """Return the k with the largest second difference of the error."""
    bend = (error.shift(1) - 2 * error + error.shift(-1)).dropna()
    if bend.empty:
        trace.append('Too few k for an elbow of the error.')
        return None
    k = int(bend.index[int(np.argmax(bend))])
    trace.append(f'The gain in the error slows most at k = {k}.')
    return k
