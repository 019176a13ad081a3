"""Which spectra are analysed where people have several voxels or acquisitions.

A label is what tells a spectrum from others of its session, e.g. ``acq-press30_voi-ACC``. Labels
of one region that never meet in a session, as acquisitions named by site, are one voxel. The
model file can say so itself, and can name several voxels that are measured side by side
(``Mrs/Voxels``).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import product

import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.statistics.model.declaration import Model

KEYS = ['participant_id', 'session_id']


@dataclass(frozen=True)
class Voxel:
    """A spectroscopy voxel, under all labels that its spectra have."""

    name: str
    """Ending of the names of its measures, where several voxels are analysed."""
    labels: tuple[str, ...]
    n_people: int
    """Participants who have such a spectrum."""
    n_usable: int
    """Those of them with a value that passed its gate."""


@dataclass(frozen=True)
class VoxelChoice:
    """What is analysed, what is not, and why."""

    used: tuple[Voxel, ...]
    left: tuple[Voxel, ...] = ()
    reason: str = ''
    """Empty when there was nothing to choose."""

    def table(self) -> pd.DataFrame:
        """Return one row for each label's voxel, used or not."""
        return pd.DataFrame(
            [
                {'voxel': voxel.name, 'labels': ', '.join(voxel.labels),
                 'n_participants': voxel.n_people, 'n_usable': voxel.n_usable,
                 'analysed': voxel in self.used, 'reason': self.reason}
                for voxel in (*self.used, *self.left)
            ]
        )  # fmt: skip


def usable_voxels(mrs: pd.DataFrame, scheme: str) -> list[Voxel]:
    """Return the voxels that there are, the one of most people with usable values in front.

    Parameters
    ----------
    mrs : DataFrame
        Metabolites in long form with ``voxel``.
    scheme : str
        Unit scheme; a value is usable when it is there and did not fail its gate.

    Returns
    -------
    list of Voxel
        Labels of one region (``voi-``) that never meet in a session are one voxel.

    Examples
    --------
    >>> mrs = pd.DataFrame(
    ...     {
    ...         'participant_id': ['sub-1', 'sub-2'],
    ...         'session_id': '',
    ...         'voxel': ['acq-a_voi-ACC', 'acq-b_voi-ACC'],
    ...         'metabolite': 'Glu',
    ...         'value': [1.0, 1.1],
    ...     }
    ... )
    >>> usable_voxels(mrs, 'ratio_tcr')
    [Voxel(name='ACC', labels=('acq-a_voi-ACC', 'acq-b_voi-ACC'), n_people=2, n_usable=2)]
    """
    people, usable, sessions = _by_label(mrs, scheme)
    # the label of most people first: it is the voxel that others are joined to
    ordered = sorted(sessions, key=lambda label: (-len(usable[label]), label))
    merged: list[list[str]] = []
    for label in ordered:
        for labels in merged:
            # two spectra of one session are two measurements, whatever their region: read as one
            # they would be two values in one cell
            met = any(sessions[label] & sessions[other] for other in labels)
            if region_of(label) == region_of(labels[0]) and not met:
                labels.append(label)
                break
        else:
            merged.append([label])
    taken: set[str] = set()
    voxels = []
    for labels in merged:
        name = _free_name(labels, taken)
        taken.add(name)
        voxels.append(_voxel(name, labels, people, usable))
    return sorted(voxels, key=lambda voxel: (-voxel.n_usable, voxel.labels))


def _by_label(
    mrs: pd.DataFrame, scheme: str
) -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[tuple[str, str]]]]:
    """Return by label the people, those with usable values, and the sessions."""
    table = mrs.assign(
        voxel=mrs['voxel'].astype(str), session_id=mrs['session_id'].fillna('').astype(str)
    )
    good = table['value'].notna()
    if 'unit_scheme' in table:
        good &= table['unit_scheme'] == scheme
    if 'gate' in table:
        good &= table['gate'].astype(str).str.lower() == 'pass'
    if 'metabolite' in table:
        good &= table['metabolite'] != 'tCr'  # 1 in units of itself, whatever the spectrum
    sessions, people = {}, {}
    for label, rows in table.groupby('voxel'):
        people[str(label)] = set(rows['participant_id'])
        sessions[str(label)] = set(rows[KEYS].itertuples(index=False, name=None))
    found = table[good].groupby('voxel')['participant_id'].agg(set).to_dict()
    return people, {label: found.get(label, set()) for label in people}, sessions


def region_of(label: str) -> str:
    """Return the ``voi`` entity of a label; empty without one.

    Parameters
    ----------
    label : str
        BIDS entities joined by underscores, see `voxel_name`.

    Returns
    -------
    str
        Its value without key.

    Examples
    --------
    >>> region_of('acq-press_voi-ACC'), region_of('svs')
    ('ACC', '')
    """
    parts = dict(part.split('-', 1) for part in label.split('_') if '-' in part)
    return parts.get('voi', '')


def _free_name(labels: Sequence[str], taken: set[str]) -> str:
    """Name a voxel by its region, or by its label where that is taken."""
    short = region_of(labels[0])
    return short if short and short not in taken else labels[0].replace('-', '').replace('_', '')


def _voxel(
    name: str, labels: Sequence[str], people: Mapping[str, set[str]],
    usable: Mapping[str, set[str]],
) -> Voxel:  # fmt: skip
    """Count the people of some labels."""
    return Voxel(
        name,
        tuple(sorted(labels)),
        len(set().union(*(people[label] for label in labels))),
        len(set().union(*(usable[label] for label in labels))),
    )


def why_voxel(found: Sequence[Voxel]) -> str:
    """Say which of several voxels is analysed, and which labels are read as one.

    Parameters
    ----------
    found : sequence of Voxel
        From `usable_voxels`.
    """
    first, *others = found
    said = [
        f'Spectra: {", ".join(first.labels)} ({first.n_usable} participants with usable values)'
    ]
    if len(first.labels) > 1:
        said[0] += ', which never meet in a session, are read as one voxel'
    else:
        said[0] += ' is analysed'
    if others:
        listed = '; '.join(f'{", ".join(v.labels)} ({v.n_usable} usable)' for v in others)
        ties = {v.n_usable == first.n_usable for v in others}
        reasons = {True: 'as many usable values, by name', False: 'fewer usable values'}
        why = ' or '.join(reasons[tie] for tie in sorted(ties, reverse=True))
        said.append(f'not analysed: {listed} ({why})')
    return '; '.join(said) + ' (Mrs/Voxels names others).'


def choose_voxels(mrs: pd.DataFrame, model: Model) -> VoxelChoice:
    """Decide which spectra are analysed: as the model says, else those of most people.

    Parameters
    ----------
    mrs : DataFrame
        Metabolites in long form with ``voxel``.
    model : Model
        ``Mrs/Voxels``, ``Mrs/Voxel`` and the unit scheme.

    Raises
    ------
    InputDataError
        If nobody has a voxel that the model names, a label belongs to two, or two labels that
        the model calls one are in one session.
    """
    wanted = model.content['Mrs']
    declared = dict(wanted['Voxels'])
    if wanted['Voxel'] is not None:
        declared = {wanted['Voxel']: [wanted['Voxel']]}
    if not declared:
        found = usable_voxels(mrs, wanted['UnitScheme'])
        many = len({label for voxel in found for label in voxel.labels}) > 1
        return VoxelChoice(tuple(found[:1]), tuple(found[1:]), why_voxel(found) if many else '')
    people, usable, sessions = _by_label(mrs, wanted['UnitScheme'])
    # the declaration counts, whatever most people have
    labels_of = _declared_labels(declared, sorted(people))
    for name, labels in labels_of.items():
        _refuse_meeting(name, labels, sessions)
    used = tuple(_voxel(name, labels, people, usable) for name, labels in labels_of.items())
    rest = set(people) - {label for voxel in used for label in voxel.labels}
    left = tuple(_voxel(label, [label], people, usable) for label in sorted(rest))
    listed = '; '.join(f'{v.name}: {", ".join(v.labels)} ({v.n_usable} usable)' for v in used)
    reason = f'Spectra, by the model file: {listed}.' if len(people) > 1 else ''
    if left:
        reason += f' Not analysed: {", ".join(voxel.name for voxel in left)}.'
    return VoxelChoice(used, left, reason)


def voxel_names(mrs: pd.DataFrame, model: Model | None) -> dict[str, str]:
    """Name the voxel that each spectrum is one of, the analysed ones first.

    Parameters
    ----------
    mrs : DataFrame
        Metabolites in long form with ``voxel``.
    model : Model, optional
        Says what is analysed; without one, the voxels of most people come first.

    Returns
    -------
    dict of str to str
        Label of each spectrum to the name of its voxel.

    Raises
    ------
    InputDataError
        As `choose_voxels`.
    """
    if model is None:
        found = usable_voxels(mrs, 'ratio_tcr')
    else:
        choice = choose_voxels(mrs, model)
        taken = {voxel.name for voxel in choice.used}
        left = [
            replace(v, name=_free_name(v.labels, taken)) if v.labels == (v.name,) else v
            for v in choice.left
        ]
        found = [*choice.used, *left]
    return {label: safe_name(voxel.name) for voxel in found for label in voxel.labels}


def safe_name(name: str) -> str:
    """Return letters and digits only, for columns and file names.

    Parameters
    ----------
    name : str
        Label of a spectrum or name of a voxel.

    Returns
    -------
    str
        ``svs`` when nothing is left.

    Examples
    --------
    >>> safe_name('acq-press_voi-ACC')
    'acqpressvoiACC'
    """
    return re.sub(r'[^0-9A-Za-z]', '', name) or 'svs'


def _declared_labels(
    declared: Mapping[str, Sequence[str]], there: Sequence[str]
) -> dict[str, list[str]]:
    """Return the labels that each declared voxel means."""
    found: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for name, patterns in declared.items():
        found[name] = [v for v in there if any(fnmatchcase(v, p) or v == p for p in patterns)]
        if not found[name]:
            raise InputDataError(
                f'Mrs/Voxels {name}: nobody has a spectrum called {" or ".join(patterns)}; there '
                f'are: {", ".join(there)}.'
            )
        for label in found[name]:
            if label in owner:
                raise InputDataError(
                    f'Mrs/Voxels: {label} belongs to both {owner[label]} and {name}; name each '
                    'label once.'
                )
            owner[label] = name
    return found


def _refuse_meeting(
    name: str, labels: Sequence[str], sessions: Mapping[str, set[tuple[str, str]]]
) -> None:
    """Refuse labels that are called one voxel but are measured side by side."""
    for i, label in enumerate(labels):
        for other in labels[i + 1 :]:
            if both := sessions[label] & sessions[other]:
                where = ' '.join(part for part in min(both) if part)
                raise InputDataError(
                    f'Mrs/Voxels {name}: {where} has both {label} and {other}, which cannot be '
                    'one value; make them two voxels, or name one of them.'
                )


def selected(mrs: pd.DataFrame, choice: VoxelChoice) -> pd.DataFrame:
    """Return the rows of the analysed voxels, metabolites named by voxel where there are several.

    Parameters
    ----------
    mrs : DataFrame
        Metabolites in long form with ``voxel``.
    choice : VoxelChoice
        From `choose_voxels`.

    Returns
    -------
    DataFrame
        ``voxel`` is the name of the voxel, ``label`` that of the spectrum.
    """
    name_of = {label: voxel.name for voxel in choice.used for label in voxel.labels}
    table = mrs[mrs['voxel'].astype(str).isin(list(name_of))]
    table = table.assign(label=table['voxel'], voxel=table['voxel'].astype(str).map(name_of))
    if len(choice.used) > 1:
        table['metabolite'] = table['metabolite'].astype(str) + '_' + table['voxel']
    return table


def _paired(first: list[str], second: list[str]) -> list[list[str]]:
    """Pair two measures: two metabolites within each voxel, anything else with all voxels."""
    alike = len(first) == len(second)
    pairs = zip(first, second, strict=True) if alike else product(first, second)
    return [list(pair) for pair in pairs]


def for_voxels(model: Model, choice: VoxelChoice, metabolites: Iterable[str]) -> Model:
    """Return a model whose metabolites are named by voxel, where several voxels are analysed.

    Parameters
    ----------
    model : Model
        As it was read.
    choice : VoxelChoice
        From `choose_voxels`.
    metabolites : iterable of str
        Names of the metabolites that there are, without voxel.

    Returns
    -------
    Model
        ``Glx`` of the lists of measures becomes ``Glx_ACC`` and ``Glx_striatum``; the relation to
        structure is that of the first voxel.
    """
    if len(choice.used) < 2:
        return model
    names = [voxel.name for voxel in choice.used]
    known = {*metabolites, *model.content['Ratios']}

    def of_each(name: str) -> list[str]:
        if name not in known:
            return [name]
        parts = name.split('/')
        return ['/'.join(f'{part}_{voxel}' for part in parts) for voxel in names]

    def renamed(listed: Iterable[str]) -> list[str]:
        return [new for name in listed for new in of_each(name)]

    # the model as written is kept for the record; this one has the names of the columns
    content = copy.deepcopy(model.content)
    mrs, norms = content['Mrs'], content['Norms']
    mrs['Primary'], mrs['Secondary'] = renamed(mrs['Primary']), renamed(mrs['Secondary'])
    mrs['Together'] = {family: renamed(members) for family, members in mrs['Together'].items()}
    if mrs['Relation'] is not None:
        mrs['Relation'] = of_each(mrs['Relation'])[0]
    content['Mixture']['Measures'] = renamed(content['Mixture']['Measures'])
    content['Sessions']['Measures'] = renamed(content['Sessions']['Measures'])
    content['Sessions']['ChangeCorrelations'] = [
        pair for x, y in content['Sessions']['ChangeCorrelations']
        for pair in _paired(of_each(x), of_each(y))
    ]  # fmt: skip
    for rule in (*content['Subsamples'], *content['OwnCovariates']):
        rule['Columns'] = renamed(rule['Columns'])
    content['Prediction']['Predictors'] = renamed(content['Prediction']['Predictors'])
    content['Ratios'] = renamed(content['Ratios'])
    norms['Columns'] = renamed(norms['Columns'])
    norms['Table'] = [
        {**entry, 'Measure': new}
        for entry in norms['Table'] for new in of_each(entry['Measure'])
    ]  # fmt: skip
    return replace(model, content=content)
