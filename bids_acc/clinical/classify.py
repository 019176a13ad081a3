"""Response groups of a whole cohort, with the trace of every rule."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bids_acc.clinical.criteria import (
    DEFINITIONS,
    UNDETERMINED,
    as_record,
    decide,
    definition,
    explain,
)
from bids_acc.clinical.equivalents import DEFAULT_METHOD, OWN_METHOD, load_equivalents
from bids_acc.clinical.evidence import Context, Thresholds, load_thresholds
from bids_acc.clinical.history import collect_histories, read_otherwise, read_table
from bids_acc.derivatives import outputs
from bids_acc.exceptions import InputDataError
from bids_acc.tables.labels import match_labels
from bids_acc.tables.writing import write_tsv

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Groups:
    """Labels, the rules behind them, and the doses that the rules used."""

    labels: pd.DataFrame
    """One row per participant: a column for each definition, and what it lacks."""
    trace: pd.DataFrame
    """One row per participant, definition and rule."""
    doses: pd.DataFrame
    """One row per antipsychotic trial with its chlorpromazine equivalent."""
    notes: tuple[str, ...] = ()
    """What was read otherwise than it stands there, and what is odd."""


def classify(
    trials: pd.DataFrame,
    ratings: pd.DataFrame,
    *,
    definitions: Sequence[str] = tuple(DEFINITIONS),
    thresholds: Thresholds | None = None,
    equivalents: Path | None = None,
    method: str = DEFAULT_METHOD,
    names: tuple[str, str] = ('trials', 'ratings'),
) -> Groups:
    """Put participants into response groups by their treatment history.

    Parameters
    ----------
    trials : DataFrame
        One row per treatment trial, see ``data/clinical/history_schema.json``.
    ratings : DataFrame
        One row per participant.
    definitions : sequence of str
        Names out of `criteria.DEFINITIONS`.
    thresholds : mapping, optional
        Numbers that replace those of ``data/clinical/thresholds.yaml``.
    equivalents : Path, optional
        Another table of chlorpromazine equivalents.
    method : str
        Method of the equivalents.
    names : (str, str)
        Files of the two tables, for messages.

    Returns
    -------
    Groups
        Labels are those of the definition, ``undetermined`` when evidence is missing, or
        ``unclassified`` when no group fits.

    Raises
    ------
    InputDataError
        If a row breaks the schema.
    SettingsError
        If a definition or threshold is unknown.

    Examples
    --------
    >>> trials = pd.DataFrame({'participant_id': ['sub-01'], 'drug': ['olanzapine']})
    >>> ratings = pd.DataFrame({'participant_id': ['sub-01'], 'patient': ['true']})
    >>> classify(trials, ratings, definitions=['trrip']).labels['trrip'].tolist()
    ['undetermined']
    """
    table = load_equivalents(equivalents)
    # a table of one's own is meant where it is given, whatever method the model still names
    if OWN_METHOD in {key[0] for key in table}:
        method = OWN_METHOD
    context = Context(load_thresholds(thresholds), table, method)
    rules = {name: definition(name) for name in sorted(definitions)}
    labels: list[dict[str, str]] = []
    trace: list[dict[str, Any]] = []
    doses: list[dict[str, Any]] = []
    drugs = {key[1] for key in table}
    for history in collect_histories(trials, ratings, names=names, drugs=drugs):
        who = history.participant_id
        row: dict[str, str] = {'participant_id': who}
        for name, apply in rules.items():
            verdict = apply(history, context)
            row[name] = decide(verdict)
            row[f'{name}_lacks'] = explain(verdict) if row[name] == UNDETERMINED else ''
            # every rule and not only those that decided: who disagrees with a label must see which
            # number would change it
            trace.extend(as_record(who, name, rule) for rule in verdict.rules)
            LOGGER.info('%s: %s by %s', who, row[name], name)
        labels.append(row)
        doses.extend(
            {
                'participant_id': who, 'trial': trial.get('trial'), 'drug': trial['drug'],
                'cpz_mg': context.cpz(trial), 'method': method,
            }
            for trial in history.trials
            if trial.get('drug_class', 'antipsychotic') == 'antipsychotic'
        )  # fmt: skip
    read = [(names[0], text) for text in read_otherwise(trials, drugs)]
    read += [(names[1], text) for text in read_otherwise(ratings)]
    notes = [f'{Path(file).name}, {text}.' for file, text in read]
    table_of_doses = pd.DataFrame(
        doses, columns=['participant_id', 'trial', 'drug', 'cpz_mg', 'method']
    )
    columns = ['participant_id', *(c for name in rules for c in (name, f'{name}_lacks'))]
    return Groups(
        labels=pd.DataFrame(labels, columns=columns),
        trace=pd.DataFrame(
            trace,
            columns=['participant_id', 'definition', 'rule', 'outcome', 'threshold', 'evidence',
                     'source'],
        ),
        doses=table_of_doses,
        notes=(*notes, *_dose_notes(table_of_doses)),
    )  # fmt: skip


MOST_CPZ_MG = 3000.0
"""Chlorpromazine equivalent, mg per day, above which a dose is asked about (own convention: five
times what counts as adequate)."""


def _dose_notes(doses: pd.DataFrame) -> list[str]:
    """Name drugs without an equivalent, and doses that may be typing errors."""
    equivalents = pd.to_numeric(doses['cpz_mg'])
    unknown = Counter(doses.loc[equivalents.isna(), 'drug'])
    high = [
        f'{drug} of {who} ({mg:.0f} mg)'
        for who, drug, mg in zip(doses['participant_id'], doses['drug'], equivalents, strict=True)
        if mg > MOST_CPZ_MG
    ]
    notes = []
    if unknown:
        named = ', '.join(f'{drug} ({n})' for drug, n in unknown.most_common(8))
        notes.append(
            f'Treatment history: no chlorpromazine equivalent of {named}: the drug, its route or '
            'a dose or interval is not known, so that it cannot be told whether these trials were '
            'adequate.'
        )
    if high:
        more = f' and {len(high) - 5} more' if len(high) > 5 else ''
        notes.append(
            f'Treatment history: above {MOST_CPZ_MG:.0f} mg of chlorpromazine per day: '
            f'{", ".join(high[:5])}{more}; is a dose wrong?'
        )
    return notes


def classify_files(trials: Path, ratings: Path, **options: object) -> Groups:
    """Read the two tables and classify; ``options`` as for `classify`.

    Parameters
    ----------
    trials : Path
        Tab-separated, one row for each treatment trial.
    ratings : Path
        Tab-separated, one row for each participant.
    **options : object
        ``definitions``, ``thresholds``, ``method``, ``equivalents``.

    Returns
    -------
    Groups
        Label of each participant under each definition, with the trace of all rules.

    Raises
    ------
    MissingInputError
        If a file does not exist.
    """
    return classify(
        read_table(trials), read_table(ratings), names=(str(trials), str(ratings)),
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


def classify_for_model(section: Mapping[str, Any], dataset: Path) -> Groups | None:
    """Classify as the section ``TreatmentHistory`` of a model file says.

    Parameters
    ----------
    section : mapping
        Definition, Trials, Ratings, Equivalents, Method and Thresholds.
    dataset : Path
        Folder that the files are relative to.

    Returns
    -------
    Groups or None
        None when the section names no definition.

    Raises
    ------
    MissingInputError
        If a definition is named and a table does not exist.
    """
    name = section['Definition']
    if name is None:
        return None
    own = section['Equivalents']
    return classify_files(
        dataset / section['Trials'], dataset / section['Ratings'], definitions=[name],
        thresholds=section['Thresholds'], method=section['Method'],
        equivalents=None if own is None else dataset / own,
    )  # fmt: skip


def join_labels(participants: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """Add the labels to the participants; who has no history is ``undetermined``.

    Parameters
    ----------
    participants : DataFrame
        With ``participant_id``.
    groups : Groups
        From `classify`.

    Raises
    ------
    InputDataError
        If a column of that name is there already.

    Examples
    --------
    >>> trials = pd.DataFrame({'participant_id': ['sub-01'], 'drug': ['olanzapine']})
    >>> ratings = pd.DataFrame({'participant_id': ['sub-01'], 'patient': ['false']})
    >>> groups = classify(trials, ratings, definitions=['trrip'])
    >>> people = pd.DataFrame({'participant_id': ['sub-01', 'sub-02']})
    >>> join_labels(people, groups)['trrip'].tolist()
    ['HC', 'undetermined']
    """
    names = [c for c in groups.labels if c in DEFINITIONS]
    if taken := [c for c in names if c in participants]:
        raise InputDataError(
            f'participants already have a column {taken[0]!r}; rename it, the treatment history '
            'gives one of that name.'
        )
    labels = groups.labels[['participant_id', *names]]
    # histories come from clinics, whose ids are seldom written as BIDS has them; an unmatched one
    # would look like a person without a history
    match = match_labels(
        labels['participant_id'], set(participants['participant_id']), 'sub-', 'treatment history'
    )
    for note in match.notes:
        LOGGER.warning('%s', note)
    labels = labels.assign(participant_id=labels['participant_id'].map(match.of))
    # left, so that a history of somebody who was never scanned adds nobody
    joined = participants.merge(labels, on='participant_id', how='left')
    return joined.fillna(dict.fromkeys(names, UNDETERMINED))


def write_groups(groups: Groups, output_dir: Path) -> dict[str, Path]:
    """Write labels, trace and doses where the table of outputs says.

    Parameters
    ----------
    groups : Groups
        From `classify`.
    output_dir : Path
        Root of the derivative dataset.

    Returns
    -------
    dict
        Output key to path.
    """
    paths = {}
    for key, table in (
        ('clinical_groups', groups.labels),
        ('clinical_trace', groups.trace),
        ('clinical_doses', groups.doses),
    ):
        path = outputs.output_path(key, output_dir)
        write_tsv(path, table)
        outputs.write_sidecar(key, path)
        paths[key] = path
    return paths
