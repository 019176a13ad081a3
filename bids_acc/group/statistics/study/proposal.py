"""A model file proposed from participants.tsv, with the reason of each choice in it.

Nothing is guessed silently: a proposal is written to disk, says why it looks as it does, and is
used only when the user accepts it (``--model auto``) or passes the edited file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import pandas as pd

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.files.writing import write_bytes
from bids_acc.group.formulas.design import varies
from bids_acc.group.statistics.model.declaration import Model, nearest, parse_model, read_model
from bids_acc.group.statistics.study.data import as_text, level_text
from bids_acc.group.statistics.study.sessions import at_first_visit, visit_order
from bids_acc.group.statistics.study.voxels import usable_voxels, why_voxel
from bids_acc.tables.missing import is_missing
from bids_acc.tables.people import described
from bids_acc.tables.ranges import (
    AGE_IN_PARTS,
    AGE_NAMES,
    SEX_NAMES,
    WORD_CODES,
    birth_hint,
    plain_name,
)
from bids_acc.tables.reading import number
from bids_acc.tables.written import DATE

LOGGER = logging.getLogger(__name__)

GROUP_NAMES = (
    'group', 'diagnosis', 'dx', 'diagnostic_group', 'patient_group', 'response_group',
    'clinical_group', 'participant_group', 'condition', 'gruppe', 'groupe', 'grupo', 'gruppo',
    'groep', 'grupp', 'diagnose', 'diagnostic', 'diagn\u00f3stico', 'diagnosi',
)  # fmt: skip
"""Columns that usually hold the groups, the likeliest first."""
CONTROL = re.compile(
    r'^(hc|hv|nc|ctrl?|ctl|con|control|controls|healthy.*|td|normal.*|norm|comparison|kg|'
    r'kontroll\w*|gesund\w*|t\u00e9moins?|temoins?|contr\u00f4les?|sains?|contr?ol\w*|sanos?|sani|'
    r'gezond\w*|friska?)$',
    re.IGNORECASE,
)
CONTROL_WORDS = re.compile(
    r'\b(healthy|controls?|comparison|normal|norms?|neurotypical|typical(ly)?|unaffected|'
    r'non-?patients?|non-?clinical|(no|without( a)?) (diagnosis|disorder|illness|disease)|'
    r'never ill|gesunde?[nrs]?|\w*kontroll(e|en|gruppe|personen|probanden|er)?|vergleichsgruppe|'
    r'sains?|saines?|t\u00e9moins?|temoins?|contr\u00f4les?|controles|contr\u00f3is|controlos?|controlli|'
    r'san[oaie]s?|saud\u00e1ve(l|is)|gezonde?|friska?|raske|zdrow\w*)\b|'
    r'\u5065\u5e38|\u5065\u5eb7|\u5bfe\u7167|\u5bf9\u7167|\u5c0d\u7167|\u6b63\u5e38|\uc815\uc0c1|'
    r'\ub300\uc870|\u0437\u0434\u043e\u0440\u043e\u0432|\u043a\u043e\u043d\u0442\u0440\u043e\u043b',
    re.IGNORECASE,
)
"""Words in the description of a level that tell controls (``Levels`` of participants.json), in
some languages. What is in none of them is no control, and the reference is said to be a guess."""
NOT_CONTROL_WORDS = re.compile(
    r'\b(patient\w*|cases?|at[- ]risk|siblings?|relatives?|geschwister|angeh\u00f6rige\w*|'
    r'malades?|pa[cz]ient\w*|pati\u00ebnt\w*|doentes?|well-controlled|'
    r'(un|poorly[- ])controlled|abnormal|'
    r'(not|nicht|non|pas|no) (healthy|gesund\w*|sains?|sano|normal))\b|'
    r'\u60a3\u8005|\ud658\uc790|\u043f\u0430\u0446\u0438\u0435\u043d\u0442',
    re.IGNORECASE,
)
COHORT_NAMES = ('cohort', 'dataset', 'source_dataset')
SITE_NAMES = (
    'site', 'scanner', 'scanner_id', 'scannerserialnumber', 'centre', 'center', 'zentrum',
    'centro', 'hospital', 'standort', 'h\u00f4pital',
)  # fmt: skip
CLINICAL = re.compile(
    r'panss|bprs|saps|sans|madrs|ham_?[ad]|hdrs|bdi|qids|cgi|gaf|rbans|psyrats|ymrs|dose|cpz|'
    r'olanz|illness|duration|onset|wais|matrics|psp',
    re.IGNORECASE,
)
MAX_LEVELS = 8
FUNCTION_PRESET = 'trd-function'
"""Model whose responses are functional."""


def _find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the first column with one of these names, upper or lower case."""
    lower = {str(column).lower(): str(column) for column in columns}
    return next((lower[name] for name in names if name in lower), None)


def _levels(column: pd.Series) -> list[str]:
    """Return the levels that occur, as text."""
    present = column.dropna()
    if pd.api.types.is_numeric_dtype(present):
        return [level_text(value) for value in sorted(present.unique())]
    text = as_text(present).astype(str)
    return sorted({level for level in text if not is_missing(level)})


def _known(column: pd.Series) -> pd.Series:
    """Return the cells that are not missing."""
    return column[~column.map(lambda v: pd.isna(v) or (isinstance(v, str) and is_missing(v)))]


def _numeric(column: pd.Series) -> bool:
    """Tell whether a column holds numbers (besides n/a) that vary."""
    cleaned = _known(column)
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
    # two columns with controls (diagnosis, family history) are two hypotheses: nobody but the user
    # can choose
    if len(with_control) == 1:
        return with_control[0]
    raise InputDataError(
        'participants.tsv: no column could be taken for the groups (looked for '
        f'{", ".join(GROUP_NAMES)}, with 2 to {MAX_LEVELS} levels; the columns are '
        f'{", ".join(map(str, people.columns))}): write a model file with Group/Column.'
    )


def _spellings(
    levels: Sequence[str], sizes: Mapping[str, int], declared: Sequence[str]
) -> dict[str, str]:
    """Return the levels that differ in case only from a declared or more frequent one."""
    # the spelling of the sidecar counts, else the most frequent one
    best = {level.casefold(): level for level in reversed(declared)}
    for level in sorted(levels, key=lambda v: (-sizes.get(v, 0), v)):
        best.setdefault(level.casefold(), level)
    return {v: best[v.casefold()] for v in levels if v != best[v.casefold()]}


def _without_codes(levels: list[str], described: set[str], reasons: list[str]) -> list[str]:
    """Leave out a level that is a customary code for missing beside small codes: 9 beside 0, 1."""
    values = {level: number(level) for level in levels}
    codes = [v for v in levels if values[v] in WORD_CODES and v not in described]
    rest = [values[v] for v in levels if v not in codes]
    if not codes or any(v is None or not 0 <= v < _LARGEST_CODE for v in rest):
        return levels
    reasons.append(
        f'{", ".join(codes)}: read as missing, a customary code; if it is a group, describe it '
        'in Levels of participants.json.'
    )
    return [level for level in levels if level not in codes]


_LARGEST_CODE = 6
"""Codes of groups below it make 9 a code for missing (own convention)."""


def _without_rare(
    levels: Sequence[str], sizes: Mapping[str, int], reasons: list[str]
) -> list[str]:
    """Leave out levels with one participant, which no comparison can use."""
    rare = [level for level in levels if sizes.get(level, 0) < 2]
    kept = [level for level in levels if level not in rare]
    for level in rare:
        meant = nearest(level, kept)
        hint = (
            f' Is it {meant}? Then correct the cell, or name it in Group/Recode.' if meant else ''
        )
        reasons.append(f'{level} is left out of the groups: it has one participant only.{hint}')
    return kept


def level_texts(description: Mapping[str, object], present: Sequence[str]) -> dict[str, str]:
    """Return what a sidecar says about each level, in its order.

    Parameters
    ----------
    description : mapping
        Entry of the column; ``Levels`` maps codes to words, or to objects with ``Description``
        or ``LongName``, or words to codes, or is a list of levels.
    present : sequence of str
        Levels that occur.

    Examples
    --------
    >>> level_texts({'Levels': {'0': {'Description': 'controls'}, '1.0': 'patients'}}, ['0', '1'])
    {'0': 'controls', '1': 'patients'}
    >>> level_texts({'Levels': {'control': 0, 'patient': 1}}, ['0', '1'])
    {'0': 'control', '1': 'patient'}
    """
    declared = description.get('Levels', {})
    if isinstance(declared, list):
        declared = {str(level): '' for level in declared}
    if not isinstance(declared, Mapping):
        return {}
    words = {str(level).strip(): _level_text(text) for level, text in declared.items()}
    if not set(map(_plain_level, words)) & set(present):
        turned = {text: level for level, text in words.items()}
        words = turned if set(map(_plain_level, turned)) & set(present) else words
    return {_plain_level(level): text for level, text in words.items()}


def _level_text(entry: object) -> str:
    """Return the words of one entry of Levels."""
    if isinstance(entry, Mapping):
        entry = entry.get('LongName') or entry.get('Description') or ''
    return str(entry).strip()


def _plain_level(level: str) -> str:
    """Write a code as the column has it: 1.0 is 1, 01 is 1 among numbers, true is 1."""
    value = {'true': 1.0, 'false': 0.0}.get(level.casefold(), number(level))
    return level if value is None else level_text(value)


_CODED = re.compile(r'^\d+(\.0)?\s*[=:.)]\s*|\s*[(\[]\d+[)\]]$')
"""A code beside its label, as SPSS and REDCap export them: ``1 = HC``, ``HC (1)``."""


def reads_like_controls(level: str, text: str = '') -> bool:
    """Tell whether a level is the control group, by its description if there is one.

    Parameters
    ----------
    level : str
        Value of the group column.
    text : str
        Its description in the JSON beside the table, which counts more than the value.

    Returns
    -------
    bool
        False when in doubt.

    Examples
    --------
    >>> reads_like_controls('0', 'healthy comparison subjects'), reads_like_controls('HC')
    (True, True)
    >>> reads_like_controls('1 = HC'), reads_like_controls('2 = TRS')
    (True, False)
    >>> reads_like_controls('1', 'patient'), reads_like_controls('control', 'patients, treated')
    (False, False)
    """
    level = _CODED.sub('', level)
    said = text or level
    if NOT_CONTROL_WORDS.search(said):
        return bool(re.match(r'(healthy|controls?|non-?patients?)\b', said, re.IGNORECASE))
    return bool(CONTROL.match(level) or CONTROL.match(text) or CONTROL_WORDS.search(said))


def _ordered_levels(
    column: pd.Series, description: Mapping[str, object], reasons: list[str]
) -> tuple[list[str], str, dict[str, str]]:
    """Return the levels, in the sidecar's order if it tells one, the reference and recodings."""
    present = _levels(column)
    texts = level_texts(description, present)
    counts = {str(name): int(n) for name, n in as_text(column).dropna().value_counts().items()}
    recode = _spellings(present, counts, list(texts))
    for level, target in recode.items():
        counts[target] = counts.get(target, 0) + counts[level]
        reasons.append(f'{level} is read as {target} (Group/Recode): they differ in case only.')
    present = sorted({recode.get(level, level) for level in present})
    unknown = [level for level in present if level not in texts]
    levels = [level for level in texts if level in present] + unknown
    if texts and unknown:
        reasons.append(
            f'{", ".join(unknown)} occur in the column but not in participants.json: check the '
            'spelling (Group/Recode can correct it).'
        )
    levels = _without_codes(levels, set(texts), reasons)
    levels = _without_rare(levels, counts, reasons)
    if len(levels) < 2:
        raise InputDataError(
            f'participants.tsv: of the groups in {column.name}, {" and ".join(levels) or "none"} '
            'has two participants or more here: there is nothing to compare.'
        )
    reference, why = _reference(levels, texts, counts)
    reasons.append(why)
    return levels, reference, recode


GUESS = 'is a guess'
"""Words of a reason that the report must show: the sign of every contrast hangs on it."""


def _reference(
    levels: Sequence[str], texts: Mapping[str, str], counts: Mapping[str, int]
) -> tuple[str, str]:
    """Return the level that others are compared with, and why."""
    # the sign of every difference hangs on it: whatever is not read from words is called a guess,
    # in the report too
    controls = [level for level in levels if reads_like_controls(level, texts.get(level, ''))]
    if controls:
        first = controls[0]
        said = f' ({texts[first]})' if texts.get(first) else ''
        why = f'Reference {first}{said}: reads like the control group.'
        if len(controls) > 1:
            why = (
                f'Reference {first}{said} {GUESS}: {", ".join(controls)} all read like controls, '
                'it stands first; set Group/Reference.'
            )
        return first, why
    turns = 'every difference changes its sign with it; set Group/Reference, or Levels in '
    turns += 'participants.json'
    if all(number(level) is not None for level in levels) and not any(texts.values()):
        lowest = min(levels, key=float)
        return lowest, (
            f'Reference {lowest} {GUESS}: the codes {", ".join(levels)} are not described, it is '
            f'the lowest; {turns}.'
        )
    most = max(counts.get(level, 0) for level in levels)
    largest = [level for level in levels if counts.get(level, 0) == most]
    if len(largest) > 1:
        return largest[0], (
            f'Reference {largest[0]} {GUESS}: no group reads like controls, and '
            f'{" and ".join(largest)} are equally large ({most} participants), it stands first; '
            f'{turns}.'
        )
    return largest[0], (
        f'Reference {largest[0]} {GUESS}: no group reads like controls, this one is the largest '
        f'({most} participants); {turns}.'
    )


def _why_not_numeric(people: pd.DataFrame, name: str) -> str:
    """Say which cell of a column is no number, or that all are alike."""
    cleaned = _known(people[name]).reindex(people.index)
    wrong = cleaned.notna() & pd.to_numeric(cleaned, errors='coerce').isna()
    if not wrong.any():
        return 'it is the same in everybody, or nobody has a value that is possible.'
    first = str(cleaned[wrong].iloc[0])
    who = people['participant_id'][wrong].iloc[0] if 'participant_id' in people else 'a row'
    what, remedy = 'text', 'write n/a for what is not known.'
    if DATE.fullmatch(first):
        what, remedy = 'dates', 'write numbers; a spreadsheet may have made dates of them.'
    elif re.fullmatch(r'\d+\s?(-|\u2013|to|bis)\s?\d+', first):
        what, remedy = 'ranges', 'write numbers, or name it with Kind categorical in a model file.'
    return f'it holds {what} ({first!r} of {who}; {int(wrong.sum())} such cells): {remedy}'


def _age_column(columns: Sequence[str]) -> str | None:
    """Return the column of ages: ``age``, or the first that is named like it, in whatever unit."""
    like = [str(c) for names in (AGE_NAMES, AGE_IN_PARTS) for c in columns
            if re.fullmatch(names, plain_name(str(c)))]  # fmt: skip
    return _find(columns, ['age']) or next(iter(like), None)


class ProposedCovariate(TypedDict):
    """A covariate of a proposed model file; other keys have their defaults."""

    Name: str
    Kind: Literal['continuous', 'categorical']
    Levels: NotRequired[list[str]]


def _covariates(people: pd.DataFrame, reasons: list[str]) -> list[ProposedCovariate]:
    """Propose age and sex, where they are there."""
    covariates: list[ProposedCovariate] = []
    age = _age_column(list(people.columns))
    if age is not None and _numeric(people[age]):
        covariates.append({'Name': age, 'Kind': 'continuous'})
    elif age is not None:
        reasons.append(f'{age} is no covariate: {_why_not_numeric(people, age)}')
    else:
        reasons.append(
            f'Age is no covariate: no column is named like it.{birth_hint(people.columns)}'
        )
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
                f'{sex} is written in several ways ({", ".join(levels)}): correct '
                'participants.tsv.'
            )
    else:
        reasons.append('Sex is no covariate: no column is named like it.')
    return covariates


def propose_model(
    participants: pd.DataFrame,
    sidecar: Mapping[str, object] | None = None,
    mrs: pd.DataFrame | None = None,
    *,
    function: bool = False,
) -> dict[str, object]:
    """Propose a model from the participants table.

    Parameters
    ----------
    participants : DataFrame
        participants.tsv.
    sidecar : mapping, optional
        participants.json: its ``Levels`` give order and labels of the groups.
    mrs : DataFrame, optional
        Metabolite levels in long form: which voxels there are.
    function : bool
        Whether there are BOLD series.

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
        participants = at_first_visit(participants, visit_order(participants))
    column = _group_column(participants)
    reasons.append(f'Group {column}: its name or its levels read like groups.')
    description = described(sidecar, column)
    description = description if isinstance(description, Mapping) else {}
    levels, reference, recode = _ordered_levels(participants[column], description, reasons)
    levels = [reference, *(level for level in levels if level != reference)]
    texts = level_texts(description, levels)
    labels = {level: texts[level] for level in levels if texts.get(level)}
    covariates = _covariates(participants, reasons)
    content: dict[str, object] = {
        'Name': 'proposed',
        'Description': 'Proposed from participants.tsv; check it before you rely on it.',
        'Group': {
            'Column': column, 'Levels': levels, 'Reference': reference, 'Labels': labels,
            'Recode': recode,
        },
        'Covariates': covariates,
    }  # fmt: skip
    used = {column, *(c['Name'] for c in covariates)}
    content |= _places(participants, used, reasons)
    content |= _visits(visits, reasons)
    content |= _voxels(mrs, reasons)
    if function:
        reasons.append(
            f'Functional measures are not compared in this model: run group once more with '
            f'--model {FUNCTION_PRESET}, or name columns in Responses/Columns.'
        )
    scores = [
        str(name)
        for name in participants.columns
        if name not in used and CLINICAL.search(str(name)) and _numeric(participants[name])
    ]
    for name in participants.columns:
        # a score with a few words in it is named: left out in silence it would be missed much
        # later
        mostly = pd.to_numeric(_known(participants[name]), errors='coerce').notna()
        if name not in {*used, *scores} and CLINICAL.search(str(name)) and mostly.mean() > 0.5:
            reasons.append(
                f'{name} is no clinical score: {_why_not_numeric(participants, str(name))}'
            )
    if scores:
        content['Clinical'] = {'Scores': scores}
        reasons.append(f'Clinical scores by their names: {", ".join(scores)}.')
    content['Demographics'] = {
        'Continuous': [c['Name'] for c in covariates if c['Kind'] == 'continuous'] + scores,
        'Categorical': [c['Name'] for c in covariates if c['Kind'] == 'categorical'],
    }
    content['Proposal'] = reasons
    return content


def _places(people: pd.DataFrame, used: set[str], reasons: list[str]) -> dict[str, object]:
    """Propose cohort and site columns; both are left to the user when in doubt."""
    found: dict[str, object] = {}
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


def _visits(visits: pd.DataFrame, reasons: list[str]) -> dict[str, object]:
    """Propose which session is the first, where there are several."""
    found = visit_order(visits)
    if len(found.order) < 2:
        return {}
    reasons.append(found.reason)
    return {'Sessions': {'Baseline': found.order[0], 'Order': list(found.order)}}


def _voxels(mrs: pd.DataFrame | None, reasons: list[str]) -> dict[str, object]:
    """Propose which voxel is analysed, or which labels are one thing, where there are several."""
    if mrs is None or 'voxel' not in mrs:
        return {}
    found = usable_voxels(mrs, 'ratio_tcr')
    if len({label for one in found for label in one.labels}) < 2:
        return {}
    reasons.append(why_voxel(found))
    return {'Mrs': {'Voxels': {one.name: list(one.labels) for one in found[:1]}}}


def resolve_model(
    choice: str | None,
    participants: pd.DataFrame,
    sidecar: Mapping[str, object] | None,
    proposal_file: Path,
    mrs: pd.DataFrame | None = None,
    *,
    function: bool = False,
) -> Model:
    """Return the model that the user chose; without a choice, write a proposal and stop.

    Parameters
    ----------
    choice : str or None
        Path of a model file, name of a preset, ``auto`` to accept the proposal, or None.
    participants, sidecar, mrs, function
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
    model = parse_model(
        propose_model(participants, sidecar, mrs, function=function), proposal_file.name
    )
    _keep_edited(proposal_file, model.to_json())
    write_bytes(proposal_file, model.to_json().encode())
    reasons = '\n'.join(f'  - {reason}' for reason in model.content['Proposal'])
    if choice == 'auto':
        LOGGER.warning('The proposed model %s is used:\n%s', proposal_file, reasons)
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
    LOGGER.warning('%s differed from the new proposal and is now %s', proposal_file, aside.name)
