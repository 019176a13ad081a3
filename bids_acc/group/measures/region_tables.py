"""Regions out of the participants' tables: what the table of measures takes up."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import FoundOutput, find_outputs
from bids_acc.exceptions import BidsAccError
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.cohort.reading import rest_first
from bids_acc.group.opnmf.features import BOTH
from bids_acc.tables.reading import read_tsv

LOGGER = logging.getLogger(__name__)

REGION_COLUMNS: Mapping[str, Mapping[str, str]] = {
    'anat_regions': {'thickness_mm': 'thickness', 'area_mm2': 'area', 'volume_mm3': 'volume',
                     'gm_volume_mm3': 'gmvolume', 'gm_density': 'gmdensity'},
    'dwi_regions': {'fa': 'fa', 'md': 'md', 'mo': 'mo'},
    'dwi_tracts': {'fa': 'fa', 'md': 'md', 'mo': 'mo', 'fa_wm': 'fawm', 'volume_mm3': 'volume'},
    'dwi_bundles': {'fa': 'fa', 'md': 'md', 'ad': 'ad', 'rd': 'rd', 'mk': 'mk', 'icvf': 'icvf',
                    'isovf': 'isovf', 'od': 'od', 'volume_mm3': 'volume'},
    'mtr_regions': {'mtr': 'mtr', 'mtr_gm': 'mtrgm', 'mtr_wm': 'mtrwm'},
    'func_parcels': {'reho': 'reho', 'alff': 'alff', 'falff': 'falff'},
    'func_markers': {'z': 'fc'},
    'func_contrasts': {'effect': 'psc'},
}  # fmt: skip
"""Output key of each kind of table, and the metric that each of its columns becomes."""


def read_regions(data_dir: Path) -> pd.DataFrame | None:
    """Read the regions of all sessions.

    Parameters
    ----------
    data_dir : Path
        Root of the derivatives.

    Returns
    -------
    DataFrame or None
        Long: keys, ``metric, atlas, region, hemisphere, value, modality``; None where nobody has
        any. A table that cannot be read is named in a warning and left out, and of several runs
        the first counts.
    """
    parts = [part for key in REGION_COLUMNS for part in _of_kind(key, data_dir)]
    if not parts:
        return None
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    # a region without a value must not be the first run that counts
    found = found[np.isfinite(found['value'])]
    return found.drop_duplicates([*KEYS, 'metric', 'atlas', 'region', 'hemisphere'])


def _of_kind(key: str, data_dir: Path) -> Iterator[pd.DataFrame]:
    """Yield the long table of each session's file of one kind."""
    metrics = REGION_COLUMNS[key]
    # rest before task, and then by name: the first of several runs is the one that counts
    found = sorted(find_outputs(key, data_dir), key=lambda f: rest_first(f.path.name))
    for item in found:
        try:
            frame = read_tsv(item.path)
            there = {column: name for column, name in metrics.items() if column in frame}
            values = frame[list(there)].astype(float)
            frame = _as_regions(key, frame)
        # one broken table costs one person one kind of region, and the log names it
        except (BidsAccError, OSError, ValueError) as error:
            LOGGER.warning('%s is left out: %s', item.path, error)
            continue
        except KeyError as error:
            LOGGER.warning('%s is left out: the column %s is missing.', item.path, error)
            continue
        values = values.loc[frame.index]
        if not {'atlas', 'region', 'hemisphere'} <= set(frame.columns):
            LOGGER.warning('%s is left out: no atlas in it; compute it again.', item.path)
            continue
        keys = frame[['atlas', 'region', 'hemisphere']].astype(str)
        for column, name in there.items():
            yield keys.assign(
                **_session(item), metric=name, value=values[column], modality=key.partition('_')[0]
            )


def _as_regions(key: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Name markers and contrasts as regions are: by atlas, region and side."""
    if key == 'func_markers':
        atlas = frame.get('atlas', 'Seitzman')
        return frame.assign(atlas=atlas, region=frame['marker'], hemisphere=BOTH)
    if key == 'func_contrasts':
        own = frame[frame['kind'] != 'seitzman']
        return own.assign(atlas=own['contrast'], hemisphere=BOTH)
    return frame


def _session(item: FoundOutput) -> dict[str, str | None]:
    """Return the keys of a file's session."""
    session = item.entities.get('session')
    return {
        'participant_id': f'sub-{item.entities["subject"]}',
        'session_id': f'ses-{session}' if session else None,
    }
