"""Definitions of treatment-resistant depression."""

from __future__ import annotations

from collections.abc import Mapping

from bids_acc.clinical.evidence import (
    COUNTS,
    THASE_SOURCE,
    TRD_SOURCE,
    Context,
    DefinitionVerdict,
    flag_rule,
    trial_failed,
)
from bids_acc.clinical.history import History, Record
from bids_acc.clinical.logic import Rule, Truth, all_of, any_of, at_least, compare, negate

TRD_STAGES = ('0', 'I', 'II', 'III', 'IV', 'V')


def trd(history: History, context: Context) -> DefinitionVerdict:
    """Tell treatment-resistant depression from the number of failed adequate trials.

    Parameters
    ----------
    history : History
        Trials with class, weeks and response; ratings with ``patient`` and ``history_complete``.
    context : Context
        ``min_trials`` and ``min_weeks`` under ``trd`` of its thresholds count.

    Returns
    -------
    DefinitionVerdict
        Labels: HC, TRD, not TRD.
    """
    numbers = context.thresholds['trd']
    failures = [antidepressant_failed(t, numbers) for t in antidepressants(history)]
    complete = history.rating.get('history_complete')
    n = int(numbers['min_trials'])
    truth = at_least(n, failures, complete=complete)
    patient = flag_rule(history, 'patient', name='patient', source=TRD_SOURCE, wanted=True)
    rule = Rule(
        'failed trials',
        truth,
        _antidepressant_text(history, numbers),
        f'>= {n} adequate trials without response',
        TRD_SOURCE,
    )
    labels = {
        'HC': negate(patient.truth),
        'TRD': all_of([patient.truth, truth]),
        'not TRD': all_of([patient.truth, negate(truth)]),
    }
    return DefinitionVerdict((patient, rule), labels)


def trd_stage(history: History, context: Context) -> DefinitionVerdict:
    """Stage treatment-resistant depression after Thase and Rush, 0 to V.

    Parameters
    ----------
    history : History
        Trials with class, response and, for ECT, whether it was bilateral.
    context : Context
        ``min_weeks`` under ``trd`` of its thresholds counts.

    Returns
    -------
    DefinitionVerdict
        Labels: HC and stages 0 to V: no class of drugs failed, one, two, a tricyclic too, an MAO
        inhibitor too, bilateral ECT too (Thase and Rush 1997).
    """
    numbers = context.thresholds['trd']
    complete = history.rating.get('history_complete')
    by_class: dict[str, list[Truth]] = {}
    for trial in antidepressants(history):
        name = str(trial['drug_class'])
        truth = antidepressant_failed(trial, numbers)
        # unilateral treatment is no failure of stage V, which Thase and Rush define by bilateral
        # ECT
        if name == 'ect':
            truth = all_of([truth, trial.get('bilateral')])
        # by class and not by drug: a second SSRI that fails is the same step of the ladder
        by_class.setdefault(name, []).append(truth)
    drugs = {name: any_of(v) for name, v in by_class.items() if name != 'ect'}
    text = _antidepressant_text(history, numbers)

    def failed(name: str) -> Truth:
        return at_least(1, by_class.get(name, []), complete=complete)

    steps = [
        at_least(1, drugs.values(), complete=complete),
        at_least(2, drugs.values(), complete=complete),
        failed('tca'),
        failed('maoi'),
        failed('ect'),
    ]
    asked = (
        'one class failed',
        'a second class failed',
        'a tricyclic failed',
        'an MAO inhibitor failed',
        'bilateral ECT failed',
    )
    # a stage needs all before it: ECT that failed before any tricyclic was tried is no stage V
    reached: list[Truth] = [all_of(steps[: i + 1]) for i in range(5)]
    patient = flag_rule(history, 'patient', name='patient', source=THASE_SOURCE, wanted=True)
    rules = tuple(
        Rule(f'stage {TRD_STAGES[i + 1]}', reached[i], text, asked[i], THASE_SOURCE)
        for i in range(5)
    )
    ladder: list[Truth] = [True, *reached, False]
    labels = {
        f'stage {TRD_STAGES[i]}': all_of([patient.truth, ladder[i], negate(ladder[i + 1])])
        for i in range(6)
    }
    return DefinitionVerdict((patient, *rules), {'HC': negate(patient.truth), **labels})


def antidepressants(history: History) -> list[Record]:
    """Return the trials of antidepressants and ECT.

    Parameters
    ----------
    history : History
        Its trials carry ``drug_class``; one without a class is taken for an antipsychotic.

    Returns
    -------
    list of Record
        In time order.
    """
    return [t for t in history.trials if t.get('drug_class', 'antipsychotic') != 'antipsychotic']


def antidepressant_failed(trial: Record, numbers: Mapping[str, float]) -> Truth:
    """Return whether an adequate trial brought no adequate response.

    A trial is adequate as rated, or where the Antidepressant Treatment History Form rates it 3 or
    more of 5; where both are there and disagree, nobody knows.

    Parameters
    ----------
    trial : Record
        Of `antidepressants`.
    numbers : mapping of str to float
        ``min_weeks``: how long an adequate trial lasts, weeks.

    Returns
    -------
    bool or None
        None where it is not known.
    """
    long_enough = compare(trial.get('weeks'), lambda v: v >= numbers['min_weeks'])
    # Duration alone can show a trial to be too short, never that its dose was sufficient.
    too_short = long_enough is False and trial.get('drug_class') != 'ect'
    adequate: Truth = False if too_short else _adequate(trial, numbers)
    return all_of([adequate, trial_failed(trial, None)])


def _adequate(trial: Record, numbers: Mapping[str, float]) -> Truth:
    """Return whether dose and duration were adequate, by the clinician or by the ATHF.

    References
    ----------
    Sackeim HA (2001). J Clin Psychiatry 62 Suppl 16:10-17. The form's tables of doses are not
    here: it is rated by hand.
    """
    stated: Truth = trial.get('adequate')
    rated = compare(trial.get('athf'), lambda v: v >= numbers['min_athf'])
    if stated is None or rated is None:
        return rated if stated is None else stated
    return stated if stated == rated else None


def _antidepressant_text(history: History, numbers: Mapping[str, float]) -> str:
    return (
        '; '.join(
            f'{t["drug"]} ({t["drug_class"]}): {COUNTS[antidepressant_failed(t, numbers)]}'
            for t in antidepressants(history)
        )
        or 'no trial on record'
    )
