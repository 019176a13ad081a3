"""Definitions of response and resistance in schizophrenia.

What the sources leave open is settled here and said in the rule's text, never silently.
"""

from __future__ import annotations

from collections.abc import Mapping

from bids_acc.clinical.evidence import (
    CLOZAPINE_SOURCE,
    GENERAL_ITEMS,
    GIVEN,
    KANE_SOURCE,
    NEGATIVE_ITEMS,
    POSITIVE_ITEMS,
    RSWG_ITEMS,
    RSWG_SOURCE,
    TRRIP_SOURCE,
    Context,
    DefinitionVerdict,
    antipsychotics,
    clozapine_given,
    failed_trials_rule,
    flag_rule,
    items_rule,
    number_rule,
    trial_failed,
)
from bids_acc.clinical.history import History, Record
from bids_acc.clinical.logic import Rule, Truth, all_of, any_of, compare, negate


def trrip(history: History, context: Context) -> DefinitionVerdict:
    """Apply the minimum requirements of the TRRIP consensus, modified as the notes say.

    Labels: HC, FL-Resp, TRS (resistant, clozapine not yet tried adequately), URS (resistant to
    clozapine too) and CLZ-Resp.

    Parameters
    ----------
    history : History
        Trials with dose, weeks, adherence and response; PANSS items and functioning among its
        ratings.
    context : Context
        Thresholds under ``trrip``, and chlorpromazine equivalents.

    Returns
    -------
    DefinitionVerdict
        With every rule and the evidence for it.

    Notes
    -----
    doi:10.1503/jpn.210113 says that it modified the criteria and prints how in its Appendix 1,
    which was not at hand: its labels and these may differ in single participants. The
    modifications here are two. Response may be rated from the history, where Howes et al. ask
    for a prospective scale; and a clozapine trial without a blood level is judged by its dose.
    """
    numbers = context.thresholds['trrip']
    patient = history.rating.get('patient')
    failed = failed_trials_rule(
        history, context, numbers, name='failed trials', adherence=True, source=TRRIP_SOURCE
    )
    symptoms = items_rule(
        history,
        POSITIVE_ITEMS + NEGATIVE_ITEMS,
        numbers['moderate_item'],
        name='moderate symptoms',
        source=TRRIP_SOURCE,
        any_high=True,
    )
    functioning = _functioning_rule(history, numbers)
    tried, failed_clz, answered_clz = _clozapine_rules(history, context, numbers)
    responded = any_of(
        negate(trial_failed(t, numbers['max_reduction_pct']))
        for t in antipsychotics(history, clozapine=False)
    )
    first_line = Rule(
        'first-line response',
        responded,
        f'{len(antipsychotics(history, clozapine=False))} first-line trials',
        'adequate response to one',
        TRRIP_SOURCE,
    )
    resistant = [patient, failed.truth]
    ill = [symptoms.truth, functioning.truth]
    labels = {
        'CLZ-Resp': all_of([*resistant, answered_clz.truth, negate(symptoms.truth)]),
        'FL-Resp': all_of(
            [
                patient,
                negate(failed.truth),
                first_line.truth,
                negate(symptoms.truth),
                negate(clozapine_given(history)),
            ]
        ),
        'HC': negate(patient),
        'TRS': all_of([*resistant, *ill, negate(tried.truth)]),
        'URS': all_of([*resistant, *ill, tried.truth, failed_clz.truth]),
    }
    who = flag_rule(history, 'patient', name='patient', source=TRRIP_SOURCE, wanted=True)
    rules = (who, failed, symptoms, functioning, tried, failed_clz, answered_clz, first_line)
    return DefinitionVerdict(rules, labels)


def _functioning_rule(history: History, numbers: Mapping[str, float]) -> Rule:
    """At least moderate impairment by SOFAS or, failing that, by GAF."""
    # SOFAS where both are known: GAF mixes symptoms in, which the rule beside it asks about
    # already
    column = 'sofas' if 'sofas' in history.rating else 'gaf'
    limit = numbers['max_functioning']
    return number_rule(
        history,
        column,
        lambda v: v < limit,
        name='functional impairment',
        asked=f'SOFAS or GAF < {limit:g}',
        source=TRRIP_SOURCE,
    )


def _clozapine_adequate(trial: Record, context: Context, numbers: Mapping[str, float]) -> Truth:
    """Return whether a clozapine trial was long and strong enough."""
    level = compare(trial.get('plasma_ng_ml'), lambda v: v >= numbers['min_clozapine_level_ng_ml'])
    if level is None:
        # a measured level stands above the dose, which says nothing of who metabolises or takes it
        level = compare(context.cpz(trial), lambda v: v >= numbers['min_cpz_mg'])
    return all_of(
        [
            level,
            compare(trial.get('weeks'), lambda v: v >= numbers['min_clozapine_weeks']),
            compare(trial.get('adherence_pct'), lambda v: v >= numbers['min_adherence_pct']),
        ]
    )


def _clozapine_rules(
    history: History, context: Context, numbers: Mapping[str, float]
) -> tuple[Rule, Rule, Rule]:
    """Return: clozapine tried adequately; failed in such a trial; answered to in any trial."""
    trials = antipsychotics(history, clozapine=True)
    adequate = [_clozapine_adequate(t, context, numbers) for t in trials]
    failures = [trial_failed(t, numbers['max_reduction_pct']) for t in trials]
    # without a trial on record, and without a word that there was none, one may be missing
    missing: list[Truth] = [] if trials or clozapine_given(history) is False else [None]
    # TRS means that clozapine has not been tried adequately yet; begun and stopped is not tried
    tried = any_of([*adequate, *missing])
    failed = any_of([*(all_of(p) for p in zip(adequate, failures, strict=True)), *missing])
    answered = any_of([*map(negate, failures), *missing])
    evidence = (
        '; '.join(
            f'clozapine {t.get("dose_mg", "?")} mg, {t.get("weeks", "?")} weeks, level '
            f'{t.get("plasma_ng_ml", "n/a")}, response {t.get("response", "?")}'
            for t in trials
        )
        or GIVEN[clozapine_given(history)]
    )
    asked = (
        f'>= {numbers["min_clozapine_weeks"]} weeks, level >= '
        f'{numbers["min_clozapine_level_ng_ml"]} ng/mL (without a level: '
        f'>= {numbers["min_cpz_mg"]} mg CPZ), adherence'
    )
    return (
        Rule('clozapine tried adequately', tried, evidence, asked, TRRIP_SOURCE),
        Rule(
            'clozapine failed', failed, evidence, 'no response to an adequate trial', TRRIP_SOURCE
        ),
        Rule('clozapine response', answered, evidence, 'adequate response', TRRIP_SOURCE),
    )


def kane(history: History, context: Context) -> DefinitionVerdict:
    """Apply the modified Kane criteria. Labels: HC, resistant, responsive.

    Parameters
    ----------
    history : History
        Trials with dose, weeks and response; PANSS items, ``gaf`` and
        ``months_without_improvement`` among its ratings.
    context : Context
        Thresholds under ``kane``, and chlorpromazine equivalents.

    Returns
    -------
    DefinitionVerdict
        With every rule and the evidence for it.
    """
    numbers = context.thresholds['kane']
    months = numbers['min_months']
    failed = failed_trials_rule(
        history, context, numbers, name='failed trials', adherence=False, source=KANE_SOURCE
    )
    positive = items_rule(
        history,
        POSITIVE_ITEMS,
        numbers['moderate_item'],
        name='positive symptom',
        source=KANE_SOURCE,
        any_high=True,
    )
    gaf = number_rule(
        history,
        'gaf',
        lambda v: v < numbers['max_gaf'],
        name='functioning',
        asked=f'GAF < {numbers["max_gaf"]:g}',
        source=KANE_SOURCE,
    )
    lasting = number_rule(
        history,
        'months_without_improvement',
        lambda v: v >= months,
        name='no improvement',
        asked=f'>= {months:g} months',
        source=KANE_SOURCE,
    )
    mild = items_rule(
        history,
        POSITIVE_ITEMS + NEGATIVE_ITEMS + GENERAL_ITEMS,
        numbers['remission_item'],
        name='all items mild',
        source=KANE_SOURCE,
        any_high=False,
    )
    stable = number_rule(
        history,
        'months_without_relapse',
        lambda v: v >= months,
        name='no relapse',
        asked=f'>= {months:g} months',
        source=KANE_SOURCE,
    )
    never = negate(clozapine_given(history))
    naive = Rule(
        'clozapine never given', never, _clozapine_evidence(history), 'never', KANE_SOURCE
    )
    adherent = flag_rule(
        history, 'adherent_6_months', name='adherent', source=KANE_SOURCE, wanted=True
    )
    patient = flag_rule(history, 'patient', name='patient', source=KANE_SOURCE, wanted=True)
    eligible = [patient.truth, naive.truth, adherent.truth]
    labels = {
        'HC': negate(patient.truth),
        'resistant': all_of([*eligible, failed.truth, positive.truth, gaf.truth, lasting.truth]),
        'responsive': all_of([*eligible, mild.truth, stable.truth]),
    }
    return DefinitionVerdict(
        (patient, naive, adherent, failed, positive, gaf, lasting, mild, stable), labels
    )


def _clozapine_evidence(history: History) -> str:
    n = len(antipsychotics(history, clozapine=True))
    stated = history.rating.get('clozapine_ever', 'n/a')
    return f'{n} clozapine trials on record, clozapine_ever = {str(stated).lower()}'


def rswg(history: History, context: Context) -> DefinitionVerdict:
    """Apply the remission criteria of the Remission in Schizophrenia Working Group.

    Parameters
    ----------
    history : History
        The eight PANSS items of `RSWG_ITEMS` and ``months_in_remission`` among its ratings.
    context : Context
        ``max_item`` (3, mild) and ``min_months`` (6) under ``rswg`` of its thresholds.

    Returns
    -------
    DefinitionVerdict
        Labels: HC, no remission, remission (Andreasen et al. 2005).
    """
    numbers = context.thresholds['rswg']
    severity = items_rule(
        history,
        RSWG_ITEMS,
        numbers['max_item'],
        name='severity',
        source=RSWG_SOURCE,
        any_high=False,
    )
    time = number_rule(
        history,
        'months_in_remission',
        lambda v: v >= numbers['min_months'],
        name='duration',
        asked=f'>= {numbers["min_months"]:g} months',
        source=RSWG_SOURCE,
    )
    patient = flag_rule(history, 'patient', name='patient', source=RSWG_SOURCE, wanted=True)
    remission = all_of([severity.truth, time.truth])
    labels = {
        'HC': negate(patient.truth),
        'no remission': all_of([patient.truth, negate(remission)]),
        'remission': all_of([patient.truth, remission]),
    }
    return DefinitionVerdict((patient, severity, time), labels)


def clozapine(history: History, context: Context) -> DefinitionVerdict:  # noqa: ARG001 - one signature
    """Apply the clozapine response criteria of paper 4. Labels: HC, CLZ-R, CLZ-NR.

    Full effect means both symptom groups full; a partial effect means each group at least
    partial and marked as sustained; no effect means both ineffective.

    Parameters
    ----------
    history : History
        Trials of clozapine with ``response_positive``, ``response_negative``, ``sustained``,
        ``relapse`` and ``monotherapy``.
    context : Context
        Part of the signature of all definitions; not used.

    Returns
    -------
    DefinitionVerdict
        With every rule and the evidence for it.
    """
    trials = antipsychotics(history, clozapine=True)
    others_now = (
        any_of(t.get('current') for t in antipsychotics(history, clozapine=False))
        if history.trials
        else None
    )
    unknown: list[Truth] = [] if trials or clozapine_given(history) is False else [None]
    mono = any_of([*(t.get('monotherapy') for t in trials), *unknown])
    effects = [_clozapine_effect(t) for t in trials]
    good = any_of(
        [
            *(all_of([t.get('monotherapy'), e[0]]) for t, e in zip(trials, effects, strict=True)),
            *unknown,
        ]
    )
    combined = any_of([*(negate(t.get('monotherapy')) for t in trials), others_now, *unknown])
    poor = any_of([*(e[1] for e in effects), *unknown])
    looked_at = ('response_positive', 'response_negative', 'sustained', 'relapse', 'monotherapy')
    shown = '; '.join(
        ', '.join(f'{name} {str(t.get(name, "?")).lower()}' for name in looked_at) for t in trials
    ) or _clozapine_evidence(history)
    given = Rule(
        'clozapine given',
        clozapine_given(history),
        _clozapine_evidence(history),
        'ever',
        CLOZAPINE_SOURCE,
    )
    rules = (
        flag_rule(history, 'patient', name='patient', source=CLOZAPINE_SOURCE, wanted=True),
        given,
        Rule('monotherapy', mono, shown, 'clozapine and no other', CLOZAPINE_SOURCE),
        Rule('full or sustained partial effect', good, shown, 'in monotherapy', CLOZAPINE_SOURCE),
        Rule('combination or other drug', combined, shown, 'yes', CLOZAPINE_SOURCE),
        Rule('no effect or relapse', poor, shown, 'either', CLOZAPINE_SOURCE),
    )
    eligible = [rules[0].truth, given.truth]
    responsive = all_of([*eligible, good, negate(all_of([combined, poor]))])
    resistant = all_of([*eligible, combined, poor, negate(good)])
    return DefinitionVerdict(
        rules, {'CLZ-NR': resistant, 'CLZ-R': responsive, 'HC': negate(rules[0].truth)}
    )


def _clozapine_effect(trial: Record) -> tuple[Truth, Truth]:
    """Return whether a trial had a full or sustained partial effect; whether none or relapse."""
    effects = [trial.get('response_positive'), trial.get('response_negative')]
    full = all_of(None if e is None else e == 'full' for e in effects)
    some = all_of(None if e is None else e != 'ineffective' for e in effects)
    none = all_of(None if e is None else e == 'ineffective' for e in effects)
    good = any_of([full, all_of([some, trial.get('sustained')])])
    return good, any_of([none, trial.get('relapse')])
