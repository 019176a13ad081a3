"""What a prediction of unseen people is worth, as pictures: ROC, calibration, decision curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from bids_acc.group.formulas.classification import (
    Share,
    at_cutoff,
    auc_interval,
    calibration,
    calibration_curve,
    calibration_groups,
    net_benefit,
    roc_curve,
    share,
)
from bids_acc.group.statistics.figures.tests import COLOURS
from bids_acc.typing import BoolArray, FloatArray

SIZE = (3.5, 3.3)
"""Inches: one column of a journal."""
GRID = np.arange(0.01, 1.0, 0.01)
"""Threshold probabilities of the decision curve."""


def unseen(people: pd.DataFrame) -> tuple[BoolArray, FloatArray, BoolArray]:
    """Return who is positive, the predicted logits, and whom Youden's cut-off calls positive.

    Parameters
    ----------
    people : DataFrame
        Rows of one scheme of the table ``prediction_participants``.
    """
    return (
        (people['observed'] == people['positive']).to_numpy(dtype=bool),
        people['decision'].to_numpy(dtype=float),
        (people['called'] == 'yes').to_numpy(dtype=bool),
    )


def _square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure whose axes go from 0 to 1, with the diagonal."""
    figure = Figure(figsize=SIZE, layout='constrained')
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color='0.6', lw=0.8, ls='--')
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect='equal')
    _dress(axes, xlabel, ylabel)
    return figure, axes


def _dress(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Give axes the common look."""
    axes.set_xlabel(xlabel, fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[['top', 'right']].set_visible(False)


def _bars(found: Share) -> FloatArray:
    """Return how far the interval of a share reaches down and up; rounding is no length."""
    ends = [[found.value - found.ci_low], [found.ci_high - found.value]]
    bars: FloatArray = np.maximum(np.array(ends), 0.0)
    return bars


def roc_figure(truth: BoolArray, decision: FloatArray, called: BoolArray, cutoff: float) -> Figure:
    """Draw the ROC curve of unseen people, with a band and the two cut-offs.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits of people who were not seen.
    called : (n,) ndarray of bool
        Whom Youden's cut-off of the training folds calls positive.
    cutoff : float
        Declared probability from which on somebody is called positive.
    """
    false, true, cutoffs = roc_curve(truth, decision)
    # pointwise, of the sensitivity at each cut-off: a band for the whole curve is another method
    band = [share(decision[truth] >= limit) for limit in cutoffs]
    figure, axes = _square('1 - specificity', 'sensitivity')
    axes.fill_between(
        false, [s.ci_low for s in band], [s.ci_high for s in band], step='post',
        color=COLOURS[0], alpha=0.15, lw=0,
    )  # fmt: skip
    axes.step(false, true, where='post', color=COLOURS[0], lw=1.4)
    declared = decision >= special.logit(cutoff)
    for i, (who, words) in enumerate(
        ((declared, f'probability {cutoff:g}'), (called, "Youden's cut-off")), start=1
    ):
        found = at_cutoff(truth, who)
        y, x = found['sensitivity'], found['specificity']
        axes.errorbar(
            1 - x.value, y.value, xerr=_bars(x)[::-1], yerr=_bars(y),
            fmt='os'[i - 1], ms=4, lw=0.9, color=COLOURS[i + (i > 1)], label=words,
        )  # fmt: skip
    auc, low, high = auc_interval(truth, decision)
    text = '' if np.isnan(low) else f' [{low:.2f}, {high:.2f}]'
    axes.set_title(f'AUC {auc:.2f}{text}, n = {truth.sum()} + {(~truth).sum()}', fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc='lower right')
    return figure


def calibration_figure(truth: BoolArray, decision: FloatArray, positive: str) -> Figure:
    """Draw predicted probabilities against what came true.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits of people who were not seen.
    positive : str
        Level that counts as positive.
    """
    figure, axes = _square(f'predicted probability of {positive}', f'share with {positive}')
    p, curve = calibration_curve(truth, decision)
    axes.fill_between(p, curve[1], curve[2], color=COLOURS[0], alpha=0.15, lw=0)
    axes.plot(p, curve[0], color=COLOURS[0], lw=1.4)
    for mean, found in calibration_groups(truth, decision):
        axes.errorbar(
            mean, found.value, fmt='o', ms=4, lw=0.9, color='black',
            yerr=_bars(found),
        )  # fmt: skip
    each = special.expit(decision)
    for who, at, colour in ((truth, 1.0, COLOURS[3]), (~truth, 0.0, COLOURS[2])):
        axes.plot(each[who], np.full(who.sum(), at), '|', color=colour, ms=6, alpha=0.7)
    fit = calibration(truth, decision)
    slope = 'not defined' if np.isnan(fit.slope) else (
        f'{fit.slope:.2f} [{fit.slope_low:.2f}, {fit.slope_high:.2f}]'
    )  # fmt: skip
    axes.set_title(f'slope {slope}, Brier {fit.brier:.3f}', fontsize=8)
    return figure


def decision_figure(truth: BoolArray, decision: FloatArray, positive: str) -> Figure:
    """Draw the net benefit of treating whom the prediction calls, everybody, and nobody.

    Parameters
    ----------
    truth : (n,) ndarray of bool
        Who is positive.
    decision : (n,) ndarray of float64
        Predicted logits of people who were not seen.
    positive : str
        Level that counts as positive.
    """
    model, everybody = net_benefit(truth, decision, GRID)
    figure = Figure(figsize=SIZE, layout='constrained')
    axes = figure.subplots()
    axes.axhline(0, color='0.5', lw=0.9, label='nobody')
    axes.plot(GRID, everybody, color=COLOURS[1], lw=1.1, ls='--', label='everybody')
    axes.plot(GRID, model, color=COLOURS[0], lw=1.4, label='by the prediction')
    rate = float(truth.mean())
    axes.set(xlim=(0, 1), ylim=(min(-0.05, 1.1 * float(model.min())), 1.15 * rate))
    # treating everybody falls without bound towards a threshold of one, and would press the rest
    # flat
    axes.set_ylim(max(axes.get_ylim()[0], -0.3), None)
    _dress(axes, f'threshold probability of {positive}', 'net benefit (per person)')
    axes.legend(fontsize=7, frameon=False, title='treated', title_fontsize=7)
    return figure
