"""One table of everything that is measured: a row for each participant and session.

The group level's analyses are computed from this table alone, as it was written and read back. A
column's meaning lies in the JSON file beside it (`Meaning`); where that is lost, the name tells
it: ``thickness_c1`` is a parcel over both hemispheres and ``thickness_c1_L`` the left one,
``<voxel>__<unit scheme>__<metabolite>`` a metabolite level whether or not it passed its gate, the
same with ``__gated`` the level if it passed, with ``__gate`` the verdict,
``<voxel>__voxel__share_c1`` the share of the voxel that lies in a parcel,
``volume__CerebrA__hippocampus__L`` a region of an atlas, and either with ``__ungated`` the value
whether or not the images passed their gates. Any other column belongs to the person.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.opnmf.features import BOTH, UNITS, VertexMetrics
from bids_acc.group.parcels.measures import Parcellation, parcel_table
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.modalities import MODALITIES
from bids_acc.surfaces.template import HEMISPHERES

Kind = Literal['person', 'parcel', 'region', 'metabolite', 'voxel', 'quality', 'status', 'ungated']
PER_LEVEL = ('value', 'value_sd', 'gate', 'gate_reason')
"""What is kept of each level in each unit scheme."""
PER_METABOLITE = ('crlb_pct', 'detected')
"""What is the same in all unit schemes."""
GATED = 'gated'
UNGATED: Literal['ungated'] = 'ungated'
"""Ending, and kind, of parcels and regions whose values do not hang on the gates of images."""
FAILED = 'failed'
"""Beginning of the columns that name the criteria which images did not meet."""
WILD = frozenset('*?[')
"""What makes a name a pattern."""
VOXEL = 'voxel'
"""Where others have a unit scheme, in the names of what is measured of the place of a voxel."""
VOXEL_UNITS = {'thickness': 'mm', 'md': 'mm2/s', 'fa': '1'}
"""Unit of what is averaged over a voxel's cortex; shares have none."""
_PARCEL = re.compile(r'(?P<metric>[a-z]+)_c(?P<component>\d+)(?:_(?P<hemisphere>[LR]))?')
_MODALITY = f'({"|".join(MODALITIES)})'
_QUALITY = re.compile(rf'{_MODALITY}_.+')
_STATUS = re.compile(rf'(status|reason|failed)_{_MODALITY}')


@dataclass(frozen=True)
class Meaning:
    """What a column holds."""

    kind: Kind
    metric: str = ''
    component: int = 0
    hemisphere: str = ''
    voxel: str = ''
    scheme: str = ''
    """Unit scheme; empty for what is the same in all."""
    metabolite: str = ''
    quantity: str = ''
    """Column of the participant level's table of levels, or ``gated``."""
    unit: str = ''
    atlas: str = ''
    """Of a region."""
    region: str = ''
    """Its name."""
    modality: str = ''
    """Of an ungated region: the modality of its table."""


@dataclass(frozen=True)
class Measures:
    """The table and what its columns mean."""

    wide: pd.DataFrame
    """One row for each participant and session."""
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    """By column, keys left out."""
    notes: tuple[str, ...] = ()

    def columns(self, kind: Kind) -> list[str]:
        """Return the columns of one kind, in their order.

        Parameters
        ----------
        kind : str
            What the columns hold, of `Kind`.

        Returns
        -------
        list of str
            Columns of ``wide``.
        """
        return [name for name, meaning in self.meanings.items() if meaning.kind == kind]

    @property
    def _keys(self) -> pd.DataFrame:
        """Participant and session; without sessions the latter is missing, as elsewhere."""
        keys = self.wide[KEYS].astype(object)
        return keys.where(keys != '', None)

    @property
    def participants(self) -> pd.DataFrame:
        """People with their own columns, as participants.tsv has them."""
        return self._keys.join(self.wide[self.columns('person')])

    def people_with(self, wanted: Iterable[str]) -> pd.DataFrame:
        """Return people with their own columns, and others than levels that a model names.

        Parameters
        ----------
        wanted : iterable of str
            Names of columns, or patterns of them.
        """
        patterns = set(wanted)
        more = [
            name for kind in ('region', 'voxel', 'quality') for name in self.columns(kind)
            if name in patterns or any(fnmatchcase(name, p) for p in patterns if set(p) & WILD)
        ]  # fmt: skip
        return self.participants.join(self.wide[more])

    def renamed(self, names: Mapping[str, str]) -> Measures:
        """Return the same with other names of some columns.

        Parameters
        ----------
        names : mapping of str to str
            Column to its new name.
        """
        meanings = {names.get(name, name): held for name, held in self.meanings.items()}
        return Measures(self.wide.rename(columns=names), meanings, self.notes)

    @property
    def qc(self) -> pd.DataFrame | None:
        """Quality of all modalities, or None."""
        names = self.columns('quality')
        return self._keys.join(self.wide[names]) if names else None

    @property
    def parcels(self) -> pd.DataFrame | None:
        """Parcels in long form with their ``hemisphere`` (L, R or both), or None."""
        parts = [
            self._keys.assign(
                component=meaning.component, metric=meaning.metric, value=self.wide[name],
                hemisphere=meaning.hemisphere,
            )
            for name, meaning in self.meanings.items()
            if meaning.kind == 'parcel'
        ]  # fmt: skip
        if not parts:
            return None
        return pd.concat(parts, ignore_index=True).dropna(subset=['value'])

    @property
    def mrs(self) -> pd.DataFrame | None:
        """Metabolite levels in long form, or None; who has no spectrum has no rows."""
        parts = list(self._levels())
        return pd.concat(parts, ignore_index=True) if parts else None

    def _levels(self) -> Iterator[pd.DataFrame]:
        """Yield the rows of each level."""
        at = {
            (m.voxel, m.scheme, m.metabolite, m.quantity): name
            for name, m in self.meanings.items()
            if m.kind == 'metabolite'
        }
        for voxel, scheme, metabolite, quantity in at:
            if quantity != 'value':
                continue
            own = {q: at.get((voxel, scheme, metabolite, q)) for q in PER_LEVEL}
            own |= {q: at.get((voxel, '', metabolite, q)) for q in PER_METABOLITE}
            found = {q: self.wide[name] for q, name in own.items() if name is not None}
            rows = self._keys.assign(
                voxel=voxel, metabolite=metabolite, unit_scheme=scheme, **found
            )
            there = rows['value'].notna()
            if 'gate' in rows:
                # a spectrum that failed may have no value and a verdict: it is a loss, and counted
                there |= rows['gate'].notna()
            yield rows[there]


def safe(text: str) -> str:
    """Return a text that any program takes as part of a column's name.

    Parameters
    ----------
    text : str
        Label of a voxel, or name of a metabolite, an atlas or a region.

    Returns
    -------
    str
        Letters, digits and single underscores; a final plus becomes ``plus``.

    Examples
    --------
    >>> safe('acq-press_voi-ACC'), safe('NAA+NAAG')
    ('acq_press_voi_ACC', 'NAA_NAAG')
    >>> safe('GABA'), safe('GABA+')
    ('GABA', 'GABAplus')
    """
    # GABA and GABA+ would otherwise be one column
    text = re.sub(r'\+$', 'plus', text)
    return re.sub(r'[^0-9A-Za-z]+', '_', text).strip('_')


def parcel_column(metric: str, component: int, hemisphere: str = BOTH) -> str:
    """Name a parcel's column.

    Parameters
    ----------
    metric : str
        Vertex metric, for example ``md``.
    component : int
        Number of the parcel, from 1.
    hemisphere : {'both', 'L', 'R'}
        Which side of the parcel.

    Returns
    -------
    str
        See `meaning_of` for the way back.

    Examples
    --------
    >>> parcel_column('md', 2), parcel_column('md', 2, 'L')
    ('md_c2', 'md_c2_L')
    """
    name = f'{metric}_c{component}'
    return name if hemisphere == BOTH else f'{name}_{hemisphere}'


def metabolite_column(voxel: str, scheme: str, metabolite: str, quantity: str = 'value') -> str:
    """Name a metabolite's column.

    Parameters
    ----------
    voxel : str
        Label of the spectrum, as `voxel_name` makes it.
    scheme : str
        Unit scheme; empty for what is the same in all of them.
    metabolite : str
        Metabolite or sum of metabolites.
    quantity : str
        One of `PER_LEVEL`, `PER_METABOLITE` or `GATED`; ``value`` is not written.

    Returns
    -------
    str
        See `meaning_of` for the way back.

    Examples
    --------
    >>> metabolite_column('voi-ACC', 'ratio_tcr', 'Glx')
    'voi_ACC__ratio_tcr__Glx'
    >>> metabolite_column('voi-ACC', '', 'Glx', 'crlb_pct')
    'voi_ACC__Glx__crlb_pct'
    """
    parts = [safe(voxel), *([scheme] if scheme else []), safe(metabolite)]
    return '__'.join([*parts, *([] if quantity == 'value' else [quantity])])


def region_column(metric: str, atlas: str, region: str, hemisphere: str) -> str:
    """Name a region's column.

    Parameters
    ----------
    metric : str
        What is measured, for example ``volume``.
    atlas, region : str
        Atlas and its name of the region.
    hemisphere : {'both', 'L', 'R'}
        Side of the region.

    Returns
    -------
    str
        See `meaning_of` for the way back.

    Examples
    --------
    >>> region_column('volume', 'CerebrA', 'hippocampus', 'L')
    'volume__CerebrA__hippocampus__L'
    """
    return '__'.join([metric, safe(atlas), safe(region), hemisphere])


def meaning_of(name: str) -> Meaning:
    """Tell what a column holds from its name alone, where the JSON beside the table is lost.

    Parameters
    ----------
    name : str
        Column of the table of measures.

    Returns
    -------
    Meaning
        Of kind ``person`` where the name follows no pattern.

    Examples
    --------
    >>> meaning_of('md_c2_R').hemisphere, meaning_of('voi_ACC__ratio_tcr__Glx__gate').quantity
    ('R', 'gate')
    >>> meaning_of('volume__CerebrA__amygdala__R').region
    'amygdala'
    >>> meaning_of('fa_c1__ungated').kind, meaning_of('fa_c1__ungated').component
    ('ungated', 1)
    >>> meaning_of('age').kind, meaning_of('anat_cnr').kind, meaning_of('status_mrs').kind
    ('person', 'quality', 'status')
    """
    if name.endswith(f'__{UNGATED}'):
        held = meaning_of(name.removesuffix(f'__{UNGATED}'))
        if held.kind in ('parcel', 'region'):
            return replace(held, kind=UNGATED, modality=_modality_of(held))
    if found := _PARCEL.fullmatch(name):
        return Meaning(
            'parcel', found['metric'], int(found['component']), found['hemisphere'] or BOTH,
            unit=UNITS.get(found['metric'], ''),
        )  # fmt: skip
    if _STATUS.fullmatch(name):
        return Meaning('status')
    if _QUALITY.fullmatch(name):
        return Meaning('quality')
    if '__' in name:
        return _metabolite_meaning(name.split('__'))
    return Meaning('person')


_OF_METRICS: Mapping[str, str] = {
    **dict.fromkeys(('fa', 'md', 'mo', 'ad', 'rd', 'mk', 'icvf', 'isovf', 'od', 'fawm'), 'dwi'),
    **dict.fromkeys(('mtr', 'mtrgm', 'mtrwm'), 'mtr'),
    **dict.fromkeys(('reho', 'alff', 'falff', 'fc', 'psc'), 'func'),
}


def _modality_of(held: Meaning) -> str:
    """Return the modality of a region whose JSON file is lost; parcels need none."""
    return _OF_METRICS.get(held.metric, 'anat') if held.region else ''


def _metabolite_meaning(parts: list[str]) -> Meaning:
    """Read the parts of a region's or a metabolite's column."""
    if len(parts) == 4 and parts[3] in (*HEMISPHERES, BOTH):
        metric, atlas, region, side = parts
        return Meaning('region', metric, hemisphere=side, unit=UNITS.get(metric, ''),
                       atlas=atlas, region=region)  # fmt: skip
    if len(parts) == 3 and parts[1] == VOXEL:
        return voxel_meaning(parts[0], parts[2])
    quantities = {*PER_LEVEL, *PER_METABOLITE, GATED}
    quantity = parts.pop() if parts[-1] in quantities else 'value'
    # a bound is the same in all unit schemes, so its column names none
    if len(parts) == 2 and quantity in PER_METABOLITE:
        parts.insert(1, '')
    if len(parts) != 3:
        return Meaning('person')
    voxel, scheme, metabolite = parts
    return Meaning('metabolite', voxel=voxel, scheme=scheme, metabolite=metabolite,
                   quantity=quantity)  # fmt: skip


def voxel_meaning(voxel: str, measure: str) -> Meaning:
    """Tell what is measured of the place of a voxel.

    Parameters
    ----------
    voxel : str
        Label of the spectrum.
    measure : str
        ``share_c<number>`` (share of the voxel in a parcel) or a metric averaged over the
        voxel's cortex.

    Returns
    -------
    Meaning
        Of kind ``voxel``, with the unit of `VOXEL_UNITS`.

    Examples
    --------
    >>> voxel_meaning('voi-ACC', 'share_c2').component, voxel_meaning('svs', 'md').unit
    (2, 'mm2/s')
    """
    component = re.fullmatch(r'share_c(\d+)', measure)
    return Meaning(
        'voxel', metric=measure, component=int(component[1]) if component else 0, voxel=voxel,
        unit=VOXEL_UNITS.get(measure, '1'),
    )  # fmt: skip


def build_measures(
    participants: pd.DataFrame,
    parcels: pd.DataFrame | None,
    mrs: pd.DataFrame | None,
    qc: pd.DataFrame | None,
    flow: pd.DataFrame | None = None,
    regions: pd.DataFrame | None = None,
    places: pd.DataFrame | None = None,
) -> Measures:
    """Join everything that is known of each participant and session.

    Parameters
    ----------
    participants : DataFrame
        ``participant_id``, ``session_id`` and the columns of the people's tables.
    parcels : DataFrame or None
        Long: keys, ``component``, ``metric``, ``value`` and, if sides are told apart,
        ``hemisphere`` (L, R or both).
    mrs : DataFrame or None
        Long: keys, ``voxel``, ``metabolite``, ``unit_scheme``, ``value``, ``gate`` and so on.
    qc : DataFrame or None
        Keys and columns named ``<modality>_<measure>``.
    flow : DataFrame, optional
        Keys, ``modality``, ``status``, ``reason``.
    regions : DataFrame, optional
        Long: keys, ``metric``, ``atlas``, ``region``, ``hemisphere``, ``value``.
    places : DataFrame, optional
        Long: keys, ``voxel``, ``measure``, ``value``, of where spectra were measured.

    Returns
    -------
    Measures

    Raises
    ------
    InputDataError
        If a column of the people has the name of a measure, or a cell has two values.
    """
    people = _keyed(participants)
    tables: list[tuple[pd.DataFrame, dict[str, Meaning]]] = [
        (people, {str(name): Meaning('person') for name in people.columns if name not in KEYS})
    ]
    if parcels is not None and len(parcels):
        tables.append(_parcels_wide(parcels))
    if regions is not None and len(regions):
        tables.append(_regions_wide(regions))
    if mrs is not None and len(mrs):
        tables.append(_mrs_wide(mrs))
    if places is not None and len(places):
        tables.append(_places_wide(places))
    if qc is not None:
        own = _keyed(qc)
        tables.append((own, {str(name): Meaning('quality') for name in own if name not in KEYS}))
    if flow is not None and len(flow):
        tables.append(_flow_wide(flow))
    wide, meanings = tables[0]
    for table, found in tables[1:]:
        # one of two columns of a name would be dropped by the join, and nobody could tell which
        if twice := [name for name in found if name in meanings]:
            raise InputDataError(
                f'{twice[0]} is a column of participants.tsv, sessions.tsv or phenotype/ and the '
                'name of a measure of the group level: rename the column.'
            )
        wide = wide.merge(table, on=KEYS, how='outer', sort=True)
        meanings = {**meanings, **found}
    ordered = wide.sort_values(KEYS, kind='stable', ignore_index=True)
    return Measures(ordered[[*KEYS, *meanings]], meanings)


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with both keys as text, the session empty where there is none."""
    keyed = table.copy()
    if 'session_id' not in keyed:
        keyed.insert(1, 'session_id', '')
    session = keyed['session_id'].astype(object)
    keyed['session_id'] = session.where(session.notna(), '').astype(str)
    keyed['participant_id'] = keyed['participant_id'].astype(str)
    return keyed


def _pivoted(table: pd.DataFrame, name: str, value: str = 'value') -> pd.DataFrame:
    """Spread a long table over columns; two values for one cell are refused."""
    double = table.duplicated([*KEYS, name])
    if double.any():
        first = table.loc[double].iloc[0]
        raise InputDataError(
            f'measures: two values of {first[name]} for {first["participant_id"]} '
            f'{first["session_id"]}'.strip()
            + '; keep one.'
        )
    # pivot sorts its columns; the order of the participant level is that of its table
    order = list(dict.fromkeys(table[name]))
    spread = table.pivot(index=KEYS, columns=name, values=value)  # noqa: PD010
    return spread[order].reset_index()


def _parcels_wide(parcels: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread parcels over columns."""
    table = _keyed(parcels)
    if 'hemisphere' not in table:
        table['hemisphere'] = BOTH
    keys = ['metric', 'component', 'hemisphere']
    kinds = table[keys].drop_duplicates().sort_values(keys)
    meanings = {
        parcel_column(metric, int(component), side): Meaning(
            'parcel', metric, int(component), side, unit=UNITS.get(metric, '')
        )
        for metric, component, side in kinds.itertuples(index=False, name=None)
    }
    table['name'] = [
        parcel_column(metric, int(component), side)
        for metric, component, side in zip(*(table[key] for key in keys), strict=True)
    ]
    return _pivoted(table, 'name')[[*KEYS, *meanings]], meanings


def _regions_wide(regions: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread regions over columns."""
    table = _keyed(regions)
    keys = ['metric', 'atlas', 'region', 'hemisphere']
    meanings: dict[str, Meaning] = {}
    names: dict[tuple[str, ...], str] = {}
    for cell in table[keys].drop_duplicates().itertuples(index=False, name=None):
        metric, atlas, region, side = map(str, cell)
        name = region_column(metric, atlas, region, side)
        names[cell] = name
        meanings[name] = Meaning('region', metric, hemisphere=side, unit=UNITS.get(metric, ''),
                                 atlas=atlas, region=region)  # fmt: skip
    table['name'] = [names[c] for c in table[keys].itertuples(index=False, name=None)]
    return _pivoted(table, 'name')[[*KEYS, *meanings]], meanings


def _mrs_wide(mrs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread metabolite levels over columns, with their verdicts and bounds."""
    table = _keyed(mrs)
    if 'voxel' not in table:
        table['voxel'] = 'svs'
    if 'unit_scheme' not in table:
        table['unit_scheme'] = 'engine'
    if 'gate' in table:
        table[GATED] = table['value'].where(table['gate'].astype(str).str.lower() == 'pass')
    frames: list[pd.DataFrame] = []
    meanings: dict[str, Meaning] = {}
    for quantity in (*PER_LEVEL, GATED, *PER_METABOLITE):
        # imported levels may have no interval, verdict or bound
        if quantity not in table:
            continue
        found, named = _quantity_wide(table, quantity)
        frames.append(found.set_index(KEYS))
        meanings.update(named)
    return pd.concat(frames, axis=1).reset_index(), meanings


def _quantity_wide(table: pd.DataFrame, quantity: str) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread one column of the table of levels."""
    shared = quantity in PER_METABOLITE
    own = table.assign(scheme='' if shared else table['unit_scheme'])
    if shared:
        own = own.drop_duplicates([*KEYS, 'voxel', 'metabolite'])
    keys = ['voxel', 'scheme', 'metabolite']
    in_unit = quantity in ('value', 'value_sd', GATED)
    meanings: dict[str, Meaning] = {}
    names: dict[tuple[str, str, str], str] = {}
    for key, part in own.groupby(keys, sort=True):
        voxel, scheme, metabolite = map(str, key)
        name = metabolite_column(voxel, scheme, metabolite, quantity)
        units = list(part['unit'].dropna().unique()) if 'unit' in part and in_unit else []
        names[voxel, scheme, metabolite] = name
        meanings[name] = Meaning(
            'metabolite', voxel=voxel, scheme=scheme, metabolite=metabolite, quantity=quantity,
            unit=str(units[0]) if units else ('%' if quantity == 'crlb_pct' else ''),
        )  # fmt: skip
    cells = zip(*(own[key].astype(str) for key in keys), strict=True)
    own['name'] = [names[cell] for cell in cells]
    return _pivoted(own, 'name', quantity)[[*KEYS, *meanings]], meanings


def _places_wide(places: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread what is measured of the places of voxels over columns."""
    table = _keyed(places)
    pairs = list(zip(table['voxel'].astype(str), table['measure'].astype(str), strict=True))
    table['name'] = [f'{safe(voxel)}__{VOXEL}__{measure}' for voxel, measure in pairs]
    named = dict(zip(table['name'], pairs, strict=True))
    meanings = {name: voxel_meaning(*pair) for name, pair in sorted(named.items())}
    return _pivoted(table, 'name')[[*KEYS, *meanings]], meanings


def _flow_wide(flow: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Meaning]]:
    """Spread what was usable, and why not, over columns."""
    words = {'run': 'usable', 'skip': 'absent', 'exclude': 'excluded'}
    table = _keyed(flow)
    table['status'] = table['status'].map(words).fillna(table['status'])
    frames: list[pd.DataFrame] = []
    meanings: dict[str, Meaning] = {}
    for column in ('status', 'reason'):
        table['name'] = f'{column}_' + table['modality'].astype(str)
        frames.append(_pivoted(table, 'name', column).set_index(KEYS))
        meanings |= {str(name): Meaning('status') for name in frames[-1].columns}
    return pd.concat(frames, axis=1).reset_index().replace({'': np.nan}).fillna(
        {'session_id': ''}
    ), meanings  # fmt: skip


def parcels_by_side(
    result: ParcellationResult, beside: VertexMetrics | None = None
) -> pd.DataFrame:
    """Measure every parcel over both hemispheres, in the left and in the right one.

    Parameters
    ----------
    result : ParcellationResult
        Parcels and maps.
    beside : VertexMetrics, optional
        What is measured in the same parcels besides
        (`bids_acc.group.cohort.vertexmaps.gather_beside`); same sessions and vertices as the maps.

    Returns
    -------
    DataFrame
        As `bids_acc.group.parcels.measures.parcel_table`, with ``hemisphere``.
    """
    parts = [result.table.assign(hemisphere=BOTH)]
    session = result.data.sessions['participant_id'].astype(str)
    of_cohort = result.table.drop_duplicates('participant_id').set_index('participant_id')
    for cohort, one in result.parcellations.items():
        mine = result.data.take((session.map(of_cohort['cohort']) == cohort).to_numpy())
        parts += _sides(mine, one, cohort)
        if beside is not None:
            other = beside.take((session.map(of_cohort['cohort']) == cohort).to_numpy())
            if other.n_sessions:
                table = parcel_table(other, one.labels, one.columns, cohort)
                parts.append(table.assign(hemisphere=BOTH))
            parts += _sides(other, one, cohort)
    return pd.concat(parts, ignore_index=True)


def _sides(data: VertexMetrics, parcels: Parcellation, cohort: str) -> Iterator[pd.DataFrame]:
    """Yield the parcels of one cohort in each hemisphere."""
    for side in HEMISPHERES:
        half = data.hemisphere(side)
        if half.n_sessions and len(half.columns):
            table = parcel_table(half, parcels.labels, parcels.columns, cohort)
            yield table.assign(hemisphere=side)


def long_form(measures: Measures) -> pd.DataFrame:
    """Return parcels, levels and numeric quality with one row for each value.

    Parameters
    ----------
    measures : Measures
        The wide table.

    Returns
    -------
    DataFrame
        ``participant_id, session_id, measure, kind, metric, component, atlas, region, hemisphere,
        voxel, unit_scheme, metabolite, unit, value, gate``.
    """
    parts = [
        part for name, meaning in measures.meanings.items()
        if (part := _long_rows(measures, name, meaning)) is not None
    ]  # fmt: skip
    columns = [*KEYS, 'measure', 'kind', 'metric', 'component', 'atlas', 'region', 'hemisphere',
               'voxel', 'unit_scheme', 'metabolite', 'unit', 'value', 'gate']  # fmt: skip
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _long_rows(measures: Measures, name: str, meaning: Meaning) -> pd.DataFrame | None:
    """Return the rows of one column, or None if it is no measure."""
    values = measures.wide[name]
    wanted = meaning.kind in ('parcel', 'region', 'voxel', 'quality')
    wanted |= meaning.quantity == 'value'
    if not wanted or not pd.api.types.is_numeric_dtype(values) or values.dtype == bool:
        return None
    gate: Any = None
    if meaning.kind == 'metabolite':
        verdict = metabolite_column(meaning.voxel, meaning.scheme, meaning.metabolite, 'gate')
        gate = measures.wide.get(verdict)
    rows = measures.wide[KEYS].assign(
        measure=name, kind=meaning.kind, metric=meaning.metric or None,
        component=meaning.component or np.nan, atlas=meaning.atlas or None,
        region=meaning.region or None, hemisphere=meaning.hemisphere or None,
        voxel=meaning.voxel or None, unit_scheme=meaning.scheme or None,
        metabolite=meaning.metabolite or None, unit=meaning.unit or None, value=values, gate=gate,
    )  # fmt: skip
    return rows[values.notna()]
