"""What gates of images leave out, kept in the table of measures beside what they keep.

A column ``thickness_c1__ungated`` holds the values of all sessions, whatever their gates say, and
``failed_anat`` the criteria that a session's T1w image did not meet. From these a table that is
given by ``--measures`` tells what the gates do to the result, as a run on folders does. Both are
there only where a gate of images left something out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.measures.table import (
    FAILED,
    UNGATED,
    Meaning,
    Measures,
    parcel_column,
    region_column,
)
from bids_acc.tables.people import visits_of

BETWEEN = '; '
"""Between two criteria of one session."""
PARCEL_PARTS = ['metric', 'component', 'hemisphere']
REGION_PARTS = ['metric', 'atlas', 'region', 'hemisphere']


def with_ungated(
    measures: Measures,
    images: pd.DataFrame | None,
    parcels: pd.DataFrame | None,
    regions: pd.DataFrame | None,
) -> Measures:
    """Return a table of measures with what gates of images left out.

    Parameters
    ----------
    measures : Measures
        With what they kept.
    images : DataFrame or None
        Criteria that images did not meet: keys, ``modality``, ``criterion``.
    parcels, regions : DataFrame or None
        Values that were left out, in long form; of regions with their ``modality``.

    Returns
    -------
    Measures
        The same where no gate left anything out.
    """
    if images is None or images.empty:
        return measures
    wide, meanings = measures.wide, dict(measures.meanings)
    at = pd.MultiIndex.from_frame(wide[KEYS])
    more: dict[str, pd.Series] = {}
    for name, left in _columns_left(parcels, regions):
        if name not in wide:
            continue
        values = left.set_index(KEYS)['value'].reindex(at).to_numpy(dtype=float)
        more[f'{name}__{UNGATED}'] = wide[name].where(wide[name].notna(), values)
        modality = left['modality'].iloc[0] if 'modality' in left else ''
        held = replace(meanings[name], kind=UNGATED, modality=str(modality))
        meanings[f'{name}__{UNGATED}'] = held
    plain = _plain(images)
    for modality in sorted(set(plain['modality'].astype(str))):
        failed = plain[plain['modality'] == modality]
        told = failed.groupby(KEYS)['criterion'].agg(lambda c: BETWEEN.join(dict.fromkeys(c)))
        more[f'{FAILED}_{modality}'] = pd.Series(told.reindex(at).to_numpy(), wide.index)
        meanings[f'{FAILED}_{modality}'] = Meaning('status')
    return Measures(wide.assign(**more), meanings, measures.notes)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with both keys as text, as the wide table has them."""
    who = table['participant_id'].astype(str)
    return table.assign(participant_id=who, session_id=visits_of(table).astype(str))


def _columns_left(
    parcels: pd.DataFrame | None, regions: pd.DataFrame | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each column that values were taken from, with these values."""
    if parcels is not None:
        for cell, rows in _plain(parcels).groupby(PARCEL_PARTS):
            metric, component, side = map(str, cell)
            yield parcel_column(metric, int(component), side), rows.dropna(subset='value')
    if regions is not None:
        for cell, rows in _plain(regions).groupby(REGION_PARTS):
            yield region_column(*map(str, cell)), rows.dropna(subset='value')


def criteria_failed(measures: Measures) -> pd.DataFrame | None:
    """Return the criteria that images did not meet, as a table of measures tells them.

    Parameters
    ----------
    measures : Measures
        As read.

    Returns
    -------
    DataFrame or None
        Keys, ``modality``, ``criterion`` and what else a list of exclusions holds (the figures
        are not in the table); None where no gate of images left anything out.
    """
    parts = []
    for name in measures.columns('status'):
        what, _, modality = name.partition('_')
        if what == FAILED:
            told = measures.wide[name].dropna().astype(str).str.split(BETWEEN)
            keys = measures.wide.loc[told.index, KEYS]
            parts.append(keys.assign(modality=modality, criterion=told).explode('criterion'))
    found = pd.concat(parts, ignore_index=True) if parts else None
    if found is None or found.empty:
        return None
    return found.assign(definition='--measures', value=np.nan, threshold='', verdict='fail',
                        reason=found['criterion'])  # fmt: skip


def parcels_left(measures: Measures) -> pd.DataFrame | None:
    """Return the values of parcels that gates of images left out.

    Parameters
    ----------
    measures : Measures
        As read.

    Returns
    -------
    DataFrame or None
        Long: keys, ``component, metric, hemisphere, value``.
    """
    parts = [
        rows.assign(component=held.component, metric=held.metric, hemisphere=held.hemisphere)
        for held, rows in _left(measures) if not held.region
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else None


def regions_left(measures: Measures) -> pd.DataFrame | None:
    """Return the values of regions that gates of images left out.

    Parameters
    ----------
    measures : Measures
        As read.

    Returns
    -------
    DataFrame or None
        Long: keys, ``metric, atlas, region, hemisphere, value, modality``.
    """
    parts = [
        rows.assign(metric=held.metric, atlas=held.atlas, region=held.region,
                    hemisphere=held.hemisphere, modality=held.modality)
        for held, rows in _left(measures) if held.region
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else None


def _left(measures: Measures) -> Iterator[tuple[Meaning, pd.DataFrame]]:
    """Yield the meaning of each column of ungated values, and the values that were left out."""
    for name in measures.columns(UNGATED):
        gated = name.removesuffix(f'__{UNGATED}')
        if gated not in measures.wide:
            continue
        out = measures.wide[gated].isna() & measures.wide[name].notna()
        rows = measures.wide.loc[out, KEYS].assign(value=measures.wide.loc[out, name])
        yield measures.meanings[name], rows


def check_ungated(path: object, measures: Measures) -> None:
    """Refuse a value that was edited in one of its two columns only.

    Parameters
    ----------
    path : object
        The table, for the message.
    measures : Measures
        As read.

    Raises
    ------
    InputDataError
        If a gated value is another one than the ungated of the same session.
    """
    for name in measures.columns(UNGATED):
        gated = name.removesuffix(f'__{UNGATED}')
        if gated not in measures.wide:
            continue
        kept, all_of_them = (
            pd.to_numeric(measures.wide[column]).to_numpy(dtype=float) for column in (gated, name)
        )
        apart = np.isfinite(kept) & ~np.isclose(kept, all_of_them, rtol=1e-6, atol=0)
        if apart.any():
            who = measures.wide['participant_id'].iloc[int(np.flatnonzero(apart)[0])]
            raise InputDataError(
                f'{path}: {name} of {who} does not follow from {gated}, from which the analysis '
                'is made; write the same value into both, or remove the column.'
            )
