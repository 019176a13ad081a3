"""From everybody listed to everybody analysed: how many are left at each step, and why not all.

Steps and reasons as the STROBE statement asks for (von Elm E, et al. 2007, PLoS Med 4:e296,
https://doi.org/10.1371/journal.pmed.0040296, item 13).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.measures.table import Measures
from bids_acc.group.opnmf.features import BOTH, PARTIAL_VOLUME
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.study.persons import groups_and_cohorts
from bids_acc.report.wording import FUNCTIONAL

STEPS: Mapping[str, str] = {
    'listed': 'Listed',
    'in_groups': 'In a group of the model',
    'results': 'With results',
    'passed': 'Passed quality control',
    'analysed': 'With a value at the analysed session',
}
"""Steps in order, with their headings."""
MODALITIES: Mapping[str, str] = {
    'anat': 'T1w', 'dwi': 'Diffusion', 'func': 'Function', 'mtr': 'Magnetization transfer',
    'mrs': 'Spectroscopy',
}  # fmt: skip
OF_ANAT = frozenset({'thickness', 'area', 'volume'})
OF_MTR = frozenset({'mtr', 'mtrgm', 'mtrwm'})
NO_GROUP = 'n/a'
"""Group and cohort of those who have none."""
_VALUES = re.compile(r': [\d.e+-]+(?: \(\w+\))?(?: fail)?')


def participant_flow(measures: Measures, model: Model, session: str | None) -> pd.DataFrame:
    """Count people at each step, by modality, cohort and group.

    Parameters
    ----------
    measures : Measures
        The table that the analyses are made of.
    model : Model
        Groups and cohorts.
    session : str or None
        Session at which groups are compared.

    Returns
    -------
    DataFrame
        ``modality, step, cohort, group, n, lost, reasons``; ``lost`` and ``reasons`` tell who of
        the step before is not in this one.
    """
    people = _people(measures, model)
    rows = []
    for modality in MODALITIES:
        if f'status_{modality}' not in measures.wide:
            continue
        lasting, reasons = _steps(measures, people, modality, session, model)
        for (cohort, group), part in people.groupby(['cohort', 'group'], sort=True):
            before: set[str] | None = None
            for step in STEPS:
                here = lasting[step] & set(part.index)
                gone: set[str] = set() if before is None else before - here
                told = Counter(reasons[step].get(who, 'not known') for who in gone)
                rows.append({
                    'modality': modality, 'step': step, 'cohort': cohort, 'group': group,
                    'n': len(here), 'lost': len(gone),
                    'reasons': '; '.join(f'{why}={n}' for why, n in sorted(told.items())),
                })  # fmt: skip
                before = here
    columns = ['modality', 'step', 'cohort', 'group', 'n', 'lost', 'reasons']
    return pd.DataFrame(rows, columns=columns)


def _people(measures: Measures, model: Model) -> pd.DataFrame:
    """Return the group and the cohort of each person, as the model defines them."""
    table = measures.wide
    placed = groups_and_cohorts(table, model).fillna(NO_GROUP)
    placed.index = pd.Index(table['participant_id'])
    return placed[~placed.index.duplicated()]


def _steps(
    measures: Measures, people: pd.DataFrame, modality: str, session: str | None, model: Model
) -> tuple[dict[str, set[str]], dict[str, dict[str, str]]]:
    """Return who is left at each step, and why the others are not."""
    wide = measures.wide
    status, reason = wide[f'status_{modality}'], wide.get(f'reason_{modality}')
    # results there are, whether or not they are used: the next step says who fails
    found = set(wide.loc[status.isin(['usable', 'excluded']), 'participant_id'])
    usable = set(wide.loc[status == 'usable', 'participant_id'])
    in_groups = people['group'].isin(model.group.levels) & (people['cohort'] != NO_GROUP)
    known = set(people.index[in_groups])
    valued = _with_value(measures, modality, session)
    lasting = {
        'listed': set(people.index), 'in_groups': known, 'results': known & found,
        'passed': known & found & usable, 'analysed': known & found & usable & valued,
    }  # fmt: skip
    why = _first_reasons(wide, reason)
    reasons: dict[str, dict[str, str]] = {
        'listed': {},
        'in_groups': {str(who): _why_no_group(row, model) for who, row in people.iterrows()},
        'results': why,
        'passed': why,
        'analysed': dict.fromkeys(people.index, _no_value(modality, session)),
    }
    return lasting, reasons


def _why_no_group(person: pd.Series, model: Model) -> str:
    """Say why somebody is in no group: another group, or one of the model without a cohort."""
    if person['group'] in model.group.levels:
        return f'{model.cohort} {NO_GROUP}'
    return f'group {person["group"]}'


def _no_value(modality: str, session: str | None) -> str:
    """Say in words why somebody with usable results is not analysed."""
    what = 'no metabolite passed' if modality == 'mrs' else 'no value in any parcel'
    return what if session is None else f'{what} at {session}'


def _first_reasons(wide: pd.DataFrame, reason: pd.Series | None) -> dict[str, str]:
    """Return the reason of each person's first session that has one, without its figures."""
    if reason is None:
        return {}
    known = wide[KEYS].assign(reason=reason).dropna(subset=['reason'])
    first = known.drop_duplicates('participant_id').set_index('participant_id')['reason']
    return {str(who): plain_reason(str(text)) for who, text in first.items()}


def plain_reason(text: str) -> str:
    """Return a reason without the person's own figures, so that equal reasons are counted.

    Parameters
    ----------
    text : str
        Reason of a row of the flow table; several are separated by semicolons.

    Returns
    -------
    str
        Each reason once, separated by commas; what a rater wrote stays as it is.

    Examples
    --------
    >>> plain_reason('acq-press_voi-ACC: fwhm < 10 Hz: 12.31 fail; snr > 10: 8.2 fail')
    'fwhm < 10 Hz, snr > 10'
    >>> plain_reason('left out by AB: ghosting')
    'left out by AB: ghosting'
    """
    if text.startswith('left out by'):
        return text
    plain = _VALUES.sub('', re.sub(r'\b\w+-\w[\w-]*: ', '', text))
    return ', '.join(dict.fromkeys(part.strip() for part in plain.split(';') if part.strip()))


def _with_value(measures: Measures, modality: str, session: str | None) -> set[str]:
    """Return who has a value of a modality at the session that is analysed."""
    rows = measures.wide if session is None else (
        measures.wide[measures.wide['session_id'] == session]
    )  # fmt: skip
    names = [
        name for name, m in measures.meanings.items()
        if (modality == 'mrs' and m.quantity == 'gated')
        or (modality == 'func' and m.kind in ('parcel', 'region') and m.metric in FUNCTIONAL)
        or (modality == 'mtr' and m.kind in ('parcel', 'region') and m.metric in OF_MTR)
        or (m.kind == 'parcel' and m.hemisphere == BOTH and m.metric not in PARTIAL_VOLUME
            and m.metric not in FUNCTIONAL | OF_MTR
            and (m.metric in OF_ANAT) == (modality == 'anat') and modality in ('anat', 'dwi'))
    ]  # fmt: skip
    there = rows[names].notna().any(axis=1)
    return set(rows.loc[there, 'participant_id'])
