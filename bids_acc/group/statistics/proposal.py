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
from bids_acc.group.formulas.design import varies

from .model import Model, parse_model, read_model

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


def _ordered_levels(
    column: pd.Series, description: Mapping[str, Any], reasons: list[str]
) -> tuple[list[str], str]:
    """Return the levels, in the sidecar's order if it tells one, and the reference."""
    present = _levels(column)
    declared = [str(level) for level in description.get('Levels', {})]
    unknown = [level for level in present if level not in declared]
    levels = [level for level in declared if level in present] + unknown
    if declared and unknown:
        reasons.append(
            f'{", ".join(unknown)} occur in the column but not in participants.json; '
            'they are proposed as groups: check the spelling (Group/Recode can mend it).'
        )
    sizes = column.astype(str).str.strip().value_counts()
    lone = [level for level in levels if sizes.get(level, 0) == 1]
    if lone:
        reasons.append(f'{", ".join(lone)} has one participant only: too few to compare.')
    controls = [level for level in levels if CONTROL.match(level)]
    if controls:
        reasons.append(f'Reference {controls[0]}: reads like the control group.')
        return levels, controls[0]
    largest = max(levels, key=lambda level: (int(sizes.get(level, 0)), level))
    reasons.append(f'Reference {largest}: no group reads like controls, this one is the largest.')
    return levels, largest


def _covariates(people: pd.DataFrame, reasons: list[str]) -> list[dict[str, Any]]:
    """Propose age and sex, where they are there."""
    covariates: list[dict[str, Any]] = []
    age = _find(list(people.columns), ['age'])
    if age is not None and _numeric(people[age]):
        covariates.append({'Name': age, 'Kind': 'continuous'})
    elif age is not None:
        reasons.append(f'{age} is no covariate: it holds text or does not vary.')
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
    column = _group_column(participants)
    reasons.append(f'Group {column}: its name or its levels read like groups.')
    description = sidecar.get(column, {})
    description = description if isinstance(description, Mapping) else {}
    levels, reference = _ordered_levels(participants[column], description, reasons)
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
        },
        'Covariates': _covariates(participants, reasons),
    }  # fmt: skip
    used = {column, *(c['Name'] for c in content['Covariates'])}
    content |= _places(participants, used, reasons)
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
    proposal_file.parent.mkdir(parents=True, exist_ok=True)
    proposal_file.write_text(model.to_json(), 'utf-8')
    reasons = '\n'.join(f'  - {reason}' for reason in model.content['Proposal'])
    if choice == 'auto':
        logger.warning('The proposed model %s is used:\n%s', proposal_file, reasons)
        return model
    raise SettingsError(
        f'No model was given. One was proposed in {proposal_file}:\n{reasons}\n'
        f'Check it, then run again with --model {proposal_file}, or with --model auto to take '
        'it as it is.'
    )
