"""Rows of the table ``classification``: cut-offs, calibration and net benefit of a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bids_acc.group.formulas.classification import (
    at_cutoff,
    auc_interval,
    calibration,
    net_benefit,
)
from bids_acc.group.formulas.prediction import PredictionResult
from bids_acc.group.statistics.rows.kinds import Effect
from bids_acc.group.statistics.rows.row import Row

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Probabilities at which the net benefit is told."""


def classification_rows(result: PredictionResult, outcome: str, cutoff: float) -> Iterator[Row]:
    """Yield what the unseen decisions of a classification are worth.

    Parameters
    ----------
    result : PredictionResult
        Of a two-level outcome.
    outcome : str
        What was predicted.
    cutoff : float
        Declared probability from which on somebody is called positive.
    """
    truth, decision = result.truth > 0.5, result.out_of_fold
    common: dict[str, Any] = {
        'response': outcome, 'term': result.scheme, 'n': result.n,
        'n_per_group': result.n_per_class,
    }  # fmt: skip
    auc, low, high = auc_interval(truth, decision)
    yield Row(
        analysis='AUC pooled', effect=Effect('AUC', auc, low, high),
        method='ranks of the unseen decision values of all folds together; DeLong, logit scale',
        **common,
    )  # fmt: skip
    # on the logit scale, on which decisions of several repeats were averaged
    declared = decision >= np.log(cutoff / (1 - cutoff))
    for name, called, words in (
        (f'probability {cutoff:g}', declared, 'declared cut-off'),
        ('Youden', result.called, "Youden's cut-off of the training folds, most of the repeats"),
    ):  # fmt: skip
        for what, found in at_cutoff(truth, called).items():
            yield Row(
                analysis=what, contrast=name,
                effect=Effect('share', found.value, found.ci_low, found.ci_high),
                method=f'{words}, unseen people; Wilson interval',
                extra={'description': f'all: {found.count}/{found.n}'}, **common,
            )  # fmt: skip
    fit = calibration(truth, decision)
    yield Row(
        analysis='calibration slope',
        effect=Effect('slope', fit.slope, fit.slope_low, fit.slope_high),
        method='logistic regression on the unseen logits; 1 is perfect',
        **common,
    )  # fmt: skip
    yield Row(
        analysis='calibration in the large',
        effect=Effect('intercept', fit.intercept, fit.intercept_low, fit.intercept_high),
        method='logistic regression with the unseen logits as offset; 0 is perfect', **common,
    )  # fmt: skip
    yield Row(
        analysis='Brier score', effect=Effect('brier', fit.brier),
        method="mean squared error of the unseen probabilities; that of everybody's rate is "
        f'{fit.brier_of_rate:.3g}', **common,
    )  # fmt: skip
    for p, model, everybody in zip(
        THRESHOLDS, *net_benefit(truth, decision, THRESHOLDS), strict=True
    ):
        yield Row(
            analysis='net benefit', contrast=f'probability {p:g}',
            effect=Effect('net_benefit', float(model)),
            method='decision curve (Vickers and Elkin 2006), unseen people',
            extra={'treat_all': float(everybody)}, **common,
        )  # fmt: skip
