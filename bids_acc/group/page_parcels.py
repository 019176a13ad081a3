"""The parcels on a surface that can be turned, with the words of anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.group.parcels.figure_files import parcels_figure_path
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.parcels.places import ParcelPlace, parcel_name, parcel_places
from bids_acc.group.parcels.surface_maps import borders, surface_maps
from bids_acc.report.html import Block, image_block, table_block
from bids_acc.report.reading import explained
from bids_acc.report.surface_view import VIEWS, as_png, still_picture, viewer_content
from bids_acc.surfaces.inflated import N_VERTICES

READ = (
    'Parcels on the inflated template; turn by dragging or with the arrow keys, point at a place '
    'to read its name.'
)


def parcel_surface_blocks(result: ParcellationResult, root: Path | None) -> Iterator[Block]:
    """Yield a table of where the parcels lie, and the viewer, for each cohort.

    Parameters
    ----------
    result : ParcellationResult
        What was found.
    root : Path, optional
        Folder of these parcels, with their figures.

    Yields
    ------
    Block
    """
    for cohort, one in result.parcellations.items():
        of = f', {cohort}' if cohort else ''
        places = parcel_places(one.columns, one.labels, result.data.mesh_sizes[0])
        yield table_block(
            places_table(one, places), f'Where the parcels lie{of}',
            'Middle of the vertices in MNI152NLin2009aSym (x, y, z in mm) and regions of the '
            'Desikan-Killiany atlas. Dorsal, perigenual and subgenual: above, in front of and '
            'below the genu of the corpus callosum, in sectors of 45 degrees (own convention).',
        )  # fmt: skip
        if min(result.data.mesh_sizes) >= N_VERTICES:
            figure = None if root is None else parcels_figure_path(root, cohort)
            yield _viewer(one, places, of, figure)


def places_table(one: Parcellation, places: Mapping[int, ParcelPlace]) -> pd.DataFrame:
    """Return one row for each parcel."""
    rows = []
    for number in range(1, one.n_components + 1):
        place, own = places.get(number), one.labels == number - 1
        row = {'parcel': parcel_name(number, place), 'vertices': int(own.sum())}
        for side, words in (('L', 'left'), ('R', 'right')):
            centre = place.centre.get(side) if place else None
            row[f'{words} (mm)'] = '' if centre is None else ', '.join(f'{v:.0f}' for v in centre)
        row['regions'] = place.regions_in_words if place else ''
        if one.confidence is not None:
            row['confidence'] = f'{np.nanmean(one.confidence[own]):.2f}' if own.any() else 'n/a'
        rows.append(row)
    return pd.DataFrame(rows)


def _viewer(
    one: Parcellation, places: Mapping[int, ParcelPlace], of: str, figure: Path | None
) -> Block:
    """Return the block with the surfaces; four views stand for them without script."""
    maps, outline = surface_maps(one, places), borders(one)
    title, content = f'Parcels on the surface{of}', viewer_content(maps, outline)
    caption = explained('parcels', READ)
    if figure is not None and figure.is_file():
        return replace(image_block(figure, title, caption), viewer=content)
    still = as_png(still_picture(maps[:1], outline, list(VIEWS)))
    return Block(title=title, caption=caption, image=still, viewer=content)
