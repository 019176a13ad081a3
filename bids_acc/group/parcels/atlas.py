"""An existing atlas applied to a derivative dataset, from its files to its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_acc.group.opnmf.choice import RankChoice
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.parcels.files import read_atlas, write_maps, write_table
from bids_acc.group.parcels.parcellation import ParcellationResult, measure


def apply_atlas(atlas: Path, data: VertexMetrics, output_dir: Path) -> ParcellationResult:
    """Measure every session in the parcels of an existing atlas.

    Parameters
    ----------
    atlas : Path
        See `bids_acc.group.parcels.files.read_atlas`.
    data : VertexMetrics
        Maps of the region.
    output_dir : Path
        Folder of these parcels.
    """
    one = read_atlas(atlas, data)
    everyone = pd.Series('', index=data.sessions['participant_id'].unique())
    choice = RankChoice(
        one.n_components, 'atlas', False, False, (f'Parcels of {atlas.name} were applied.',)
    )
    table = measure(data, {'': one}, everyone)
    excluded = data.excluded if data.excluded is not None else pd.DataFrame()
    write_maps(one, data, output_dir)
    write_table('group_parcelvalues', table, output_dir)
    write_table('group_excludedmaps', excluded, output_dir)
    return ParcellationResult(
        parcellations={'': one}, choice=choice, curves={}, matrices={}, table=table,
        agreement=pd.DataFrame(), data=replace(data), excluded=excluded,
    )  # fmt: skip
