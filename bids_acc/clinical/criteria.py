"""All definitions by name, and how a label follows from the truth of their rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bids_acc.clinical.depression import trd, trd_stage
from bids_acc.clinical.evidence import Context, DefinitionVerdict
from bids_acc.clinical.history import History
from bids_acc.clinical.logic import Rule
from bids_acc.clinical.maudsley import msm
from bids_acc.clinical.schizophrenia import clozapine, kane, rswg, trrip
from bids_acc.exceptions import SettingsError

DEFINITIONS: Mapping[str, Callable[[History, Context], DefinitionVerdict]] = {
    'clozapine': clozapine,
    'kane': kane,
    'msm': msm,
    'rswg': rswg,
    'trd': trd,
    'trd_stage': trd_stage,
    'trrip': trrip,
}
"""Definitions by name."""

UNDETERMINED = 'undetermined'
"""Label when evidence is missing."""
UNCLASSIFIED = 'unclassified'
"""Label when all evidence is there and no group of the definition fits."""


def decide(verdict: DefinitionVerdict) -> str:
    """Return the label of a participant under one definition.

    Parameters
    ----------
    verdict : DefinitionVerdict
        With the truth of each label.

    Returns
    -------
    str
        The label that is true; ``undetermined`` where evidence is missing or several are true,
        ``unclassified`` where no label fits.
    """
    true = [name for name, truth in verdict.labels.items() if truth is True]
    if len(true) == 1:
        return true[0]
    # two labels at once are a contradiction in the evidence, and no more decided than none
    if true or any(truth is None for truth in verdict.labels.values()):
        return UNDETERMINED
    return UNCLASSIFIED


def explain(verdict: DefinitionVerdict) -> str:
    """Name the rules of a definition for which evidence is missing.

    Parameters
    ----------
    verdict : DefinitionVerdict
        Of one participant.

    Returns
    -------
    str
        Empty where all rules are decided.
    """
    return ', '.join(rule.name for rule in verdict.rules if rule.truth is None)


def definition(name: str) -> Callable[[History, Context], DefinitionVerdict]:
    """Return the function that applies a definition of response or resistance.

    Parameters
    ----------
    name : str
        Key of `DEFINITIONS`, such as ``trrip`` or ``msm``.

    Returns
    -------
    callable
        Takes a history and the context, returns the verdict.

    Raises
    ------
    SettingsError
        If there is none of that name.
    """
    if name not in DEFINITIONS:
        raise SettingsError(f'no definition {name!r}; known: {", ".join(sorted(DEFINITIONS))}.')
    return DEFINITIONS[name]


def as_record(participant_id: str, name: str, rule: Rule) -> dict[str, object]:
    """Return one row of the table that tells how a label came about.

    Parameters
    ----------
    participant_id : str
        Label of the participant.
    name : str
        Of the definition.
    rule : Rule
        As it was applied to this participant.

    Returns
    -------
    dict
        Column to cell.
    """
    return {
        'participant_id': participant_id,
        'definition': name,
        'rule': rule.name,
        'outcome': rule.outcome,
        'threshold': rule.threshold,
        'evidence': rule.evidence,
        'source': rule.source,
    }
