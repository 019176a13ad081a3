"""A model file proposed from participants.tsv, with the reason of each choice in it.

Nothing is guessed silently: a proposal is written to disk, says why it looks as it does, and is
used only when the user accepts it (``--model auto``) or passes the edited file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.files.writing import write_bytes
from bids_acc.group.formulas.design import varies
from bids_acc.group.statistics.model import Model, nearest, parse_model, read_model
from bids_acc.group.statistics.sessions import sessions_in_order

logger = logging.getLogger(__name__)

GROUP_NAMES = (
    'group', 'diagnosis', 'dx', 'diagnostic_group', 'patient_group', 'response_group',
    'clinical_group', 'participant_group', 'condition',
)  # fmt: skip
"""Columns that usually hold the groups, the likeliest first."""
CONTROL = re.compile(
    r'^(hc|hv|nc|ctrl?|ctl|con|control|controls|healthy.*|td|normal.*|norm|comparison)$',
    re.IGNORECASE,
)
SEX_NAMES = ('sex', 'gender')
COHORT_NAMES = ('cohort',)
SITE_NAMES = ('site', 'scanner', 'scanner_id', 'scannerserialnumber', 'centre', 'center')
CLINICAL = re.compile(
    r'panss|bprs|saps|sans|madrs|ham_?[ad]|hdrs|bdi|qids|cgi|gaf|rbans|psyrats|ymrs|dose|cpz|'
    r'olanz|illness|duration|onset|wais|matrics|psp',
    re.IGNORECASE,
)
MAX_LEVELS = 8


def _find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first column with one of these names, upper or lower case."""
    lower = {str(column).lower(): str(column) for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _levels(column: pd.Series) -> list[str]:
    """Return the levels that occur, as text."""
    present = column.dropna()
    if pd.api.types.is_numeric_dtype(present):
        return [f'{value:g}' for value in sorted(present.unique())]
    text = present.astype(str).str.strip()
    return sorted(set(text[~text.isin(['', 'n/a', 'N/A'])]))


def _numeric(column: pd.Series) -> bool:
    """Tell whether a column holds numbers (besides n/a) that vary."""
    cleaned = column.replace({'n/a': None, 'N/A': None, '': None}).dropna()
    number = pd.to_numeric(cleaned, errors='coerce')
    return len(cleaned) > 0 and bool(number.notna().all()) and varies(number)


def _group_column(people: pd.DataFrame) -> str:
    """Return the column that holds the groups.

    Raises
    ------
    InputDataError
        If there is none; the message lists the columns.
    """
    named = [
        column
        for name in GROUP_NAMES
        if (column := _find(list(people.columns), [name])) is not None
        and 2 <= len(_levels(people[column])) <= MAX_LEVELS
    ]
    if named:
        return named[0]
    with_control = [
        str(column)
        for column in people.columns
        if 2 <= len(levels := _levels(people[column])) <= MAX_LEVELS
        and any(CONTROL.match(level) for level in levels)
    ]
    if len(with_control) == 1:
        return with_control[0]
    raise InputDataError(
        'participants.tsv: no column could be taken for the groups (looked for '
        f'{", ".join(GROUP_NAMES)}, with 2 to {MAX_LEVELS} levels; the columns are '
        f'{", ".join(map(str, people.columns))}): write a model file with Group/Column.'
    )


def _spellings(levels: Sequence[str], sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the levels that differ from a more frequent one by upper and lower case only."""
    best: dict[str, str] = {}
    for level in sorted(levels, key=lambda v: (-sizes.get(v, 0), v)):
        best.setdefault(level.casefold(), level)
    return {v: best[v.casefold()] for v in levels if v != best[v.casefold()]}


def _rare(
    levels: Sequence[str], sizes: Mapping[str, int], reasons: list[str]
) -> tuple[list[str], list[str]]:
    """Split levels into those with enough participants and those with one only."""
    rare = [level for level in levels if sizes.get(level, 0) < 2]
    kept = [level for level in levels if level not in rare]
    for level in rare:
        meant = nearest(level, kept)
        hint = f' Is it {meant}? Then mend the cell, or name it in Group/Recode.' if meant else ''
        reasons.append(f'{level} is left out of the groups: it has one participant only.{hint}')
    return kept, rare


def _ordered_levels(
    column: pd.Series, description: Mapping[str, Any], reasons: list[str]
) -> tuple[list[str], str, dict[str, str]]:
    """Return the levels, in the sidecar's order if it tells one, the reference and recodings."""
    present = _levels(column)
    declared = [str(level) for level in description.get('Levels', {})]
    raw = column.dropna().map(lambda v: f'{v:g}' if isinstance(v, float) else str(v).strip())
    counts = {str(name): int(n) for name, n in raw.value_counts().items()}
    recode = _spellings(present, counts)
    for level, target in recode.items():
        counts[target] += counts[level]
        reasons.append(f'{level} is read as {target} (Group/Recode): they differ in case only.')
    present = [level for level in present if level not in recode]
    unknown = [level for level in present if level not in declared]
    levels = [level for level in declared if level in present] + unknown
    if declared and unknown:
        reasons.append(
            f'{", ".join(unknown)} occur in the column but not in participants.json: check the '
            'spelling (Group/Recode can mend it).'
        )
    levels, _ = _rare(levels, counts, reasons)
    if len(levels) < 2:
        raise InputDataError(
            f'participants.tsv: {column.name} has only {len(levels)} group with two participants '
            f'or more ({", ".join(levels) or "none"}): there is nothing to compare.'
        )
    controls = [level for level in levels if CONTROL.match(level)]
    if controls:
        reasons.append(f'Reference {controls[0]}: reads like the control group.')
        return levels, controls[0], recode
    largest = max(levels, key=lambda level: (counts.get(level, 0), level))
    reasons.append(f'Reference {largest}: no group reads like controls, this one is the largest.')
    return levels, largest, recode


def _why_not_numeric(people: pd.DataFrame, name: str) -> str:
    """Say which cell of a column is no number, or that all are alike."""
    cleaned = people[name].replace({'n/a': None, 'N/A': None, '': None})
    wrong = cleaned.notna() & pd.to_numeric(cleaned, errors='coerce').isna()
    if not wrong.any():
        return 'it is the same in everybody, or nobody has it.'
    who = people['participant_id'][wrong].iloc[0] if 'participant_id' in people else 'a row'
    return (
        f'it holds text ({cleaned[wrong].iloc[0]!r} of {who}; {int(wrong.sum())} such cells): '
        'write n/a for what is not known.'
    )


def _covariates(people: pd.DataFrame, reasons: list[str]) -> list[dict[str, Any]]:
    """Propose age and sex, where they are there."""
    covariates: list[dict[str, Any]] = []
    age = _find(list(people.columns), ['age'])
    if age is not None and _numeric(people[age]):
        covariates.append({'Name': age, 'Kind': 'continuous'})
    elif age is not None:
        reasons.append(f'{age} is no covariate: {_why_not_numeric(people, age)}')
    sex = _find(list(people.columns), SEX_NAMES)
    if sex is not None:
        levels = _levels(people[sex])
        if len(levels) > 1:
            covariates.append({'Name': sex, 'Kind': 'categorical', 'Levels': levels})
        else:
            reasons.append(f'{sex} is no covariate: it is the same in everybody.')
        folded = {level.lower()[:1] for level in levels}
        if len(folded) < len(levels):
            reasons.append(
                f'{sex} is written in several ways ({", ".join(levels)}): mend participants.tsv.'
            )
    if not covariates:
        reasons.append('No covariates: there is no column age, sex or gender.')
    return covariates


def propose_model(
    participants: pd.DataFrame, sidecar: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Propose a model from the participants table.

    Parameters
    ----------
    participants : DataFrame
        participants.tsv.
    sidecar : mapping, optional
        participants.json: its ``Levels`` give order and labels of the groups.

    Returns
    -------
    dict
        Content of a model file; ``Proposal`` holds the reason of each choice.

    Raises
    ------
    InputDataError
        If no column can hold the groups.

    Examples
    --------
    >>> people = pd.DataFrame({'group': ['TRS', 'HC', 'TRS', 'HC'], 'age': [30, 41, 25, 37]})
    >>> propose_model(people)['Group']['Reference']
    'HC'
    """
    sidecar = sidecar or {}
    reasons: list[str] = []
    visits = participants
    if 'participant_id' in participants:
        participants = participants.drop_duplicates('participant_id')
    column = _group_column(participants)
    reasons.append(f'Group {column}: its name or its levels read like groups.')
    description = sidecar.get(column, {})
    description = description if isinstance(description, Mapping) else {}
    levels, reference, recode = _ordered_levels(participants[column], description, reasons)
    levels = [reference, *(level for level in levels if level != reference)]
    labels = {
        str(level): str(text)
        for level, text in description.get('Levels', {}).items()
        if str(level) in levels and isinstance(text, str)
    }
    content: dict[str, Any] = {
        'Name': 'proposed',
        'Description': 'Proposed from participants.tsv; check it before you rely on it.',
        'Group': {
            'Column': column, 'Levels': levels, 'Reference': reference, 'Labels': labels,
            'Recode': recode,
        },
        'Covariates': _covariates(participants, reasons),
    }  # fmt: skip
    used = {column, *(c['Name'] for c in content['Covariates'])}
    content |= _places(participants, used, reasons)
    content |= _visits(visits, reasons)
    scores = [
        str(name)
        for name in participants.columns
        if name not in used and CLINICAL.search(str(name)) and _numeric(participants[name])
    ]
    if scores:
        content['Clinical'] = {'Scores': scores}
        reasons.append(f'Clinical scores by their names: {", ".join(scores)}.')
    covariates = content['Covariates']
    content['Demographics'] = {
        'Continuous': [c['Name'] for c in covariates if c['Kind'] == 'continuous'] + scores,
        'Categorical': [c['Name'] for c in covariates if c['Kind'] == 'categorical'],
    }
    content['Proposal'] = reasons
    return content


def _places(people: pd.DataFrame, used: set[str], reasons: list[str]) -> dict[str, Any]:
    """Propose cohort and site columns; both are left to the user when in doubt."""
    found: dict[str, Any] = {}
    columns = [str(c) for c in people.columns if c not in used]
    cohort = _find(columns, COHORT_NAMES)
    if cohort is not None and 2 <= len(_levels(people[cohort])) <= MAX_LEVELS:
        found['Cohort'] = cohort
        found['Replication'] = {'Rule': 'every'}
        reasons.append(f'Cohort {cohort}: analyses run per cohort and must agree to go on.')
    else:
        found['Replication'] = {'Rule': 'every'}
        reasons.append('One cohort: significant responses go on to pairwise tests.')
    site = _find(columns, SITE_NAMES)
    if site is not None and len(_levels(people[site])) > 1:
        found['Sites'] = {'Column': site}
        reasons.append(
            f'Sites {site}: several sites or scanners; nothing is harmonised unless '
            'Sites/Harmonise says so.'
        )
    return found


def _visits(visits: pd.DataFrame, reasons: list[str]) -> dict[str, Any]:
    """Propose which session is the first, where there are several."""
    if 'session_id' not in visits:
        return {}
    order = sessions_in_order(set(visits['session_id'].dropna().astype(str)) - {'n/a'})
    if len(order) < 2:
        return {}
    reasons.append(
        f'Sessions {", ".join(order)}: {order[0]} is taken for the first, at which everything but '
        'change is analysed (Sessions/Baseline, Order).'
    )
    return {'Sessions': {'Baseline': order[0], 'Order': order}}


def resolve_model(
    choice: str | None,
    participants: pd.DataFrame,
    sidecar: Mapping[str, Any] | None,
    proposal_file: Path,
) -> Model:
    """Return the model that the user chose; without a choice, write a proposal and stop.

    Parameters
    ----------
    choice : str or None
        Path of a model file, name of a preset, ``auto`` to accept the proposal, or None.
    participants, sidecar
        As in `propose_model`.
    proposal_file : Path
        Where the proposal is written, for example ``code/model-proposed_smdl.json``.

    Raises
    ------
    SettingsError
        If no choice was made: the message says where the proposal lies and what it holds.
    """
    if choice is not None and choice != 'auto':
        return read_model(choice)
    model = parse_model(propose_model(participants, sidecar), proposal_file.name)
    _keep_edited(proposal_file, model.to_json())
    write_bytes(proposal_file, model.to_json().encode())
    reasons = '\n'.join(f'  - {reason}' for reason in model.content['Proposal'])
    if choice == 'auto':
        logger.warning('The proposed model %s is used:\n%s', proposal_file, reasons)
        return model
    raise SettingsError(
        f'No model was given. One was proposed in {proposal_file}:\n{reasons}\n'
        f'Check it, then run again with --model {proposal_file}, or with --model auto to take '
        'it as it is.'
    )


def _keep_edited(proposal_file: Path, text: str) -> None:
    """Move a file that differs from the new proposal aside: somebody may have worked on it."""
    if not proposal_file.is_file() or proposal_file.read_text('utf-8') == text:
        return
    aside = proposal_file.with_name(proposal_file.name.replace('proposed', 'proposed-before'))
    proposal_file.replace(aside)
    logger.warning('%s differed from the new proposal and is now %s', proposal_file, aside.name)
