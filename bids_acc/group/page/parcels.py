"""The parcels on a surface that can be turned, with the words of anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.group.opnmf.choice import RankChoice, RankRule
from bids_acc.group.opnmf.rank import RankCurves
from bids_acc.group.page.figure_rows import rows_of
from bids_acc.group.parcels.figure_files import parcels_figure_path
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.parcels.places import ParcelPlace, parcel_name
from bids_acc.group.parcels.shown import places_of, shown_surfaces, size_of, views_of
from bids_acc.group.parcels.surface_maps import borders, surface_maps
from bids_acc.report.html import Block, image_block, table_block
from bids_acc.report.reading import explained
from bids_acc.report.surface_view import as_png, mesh_content, still_picture, viewer_content
from bids_acc.surfaces.inflated import InflatedHemisphere

READ = (
    'Parcels on the inflated template; turn by dragging or with the arrow keys, point at a place '
    'to read its name.'
)


HOW = (
    'How it is decided: the cohort is split into two halves at random, again and again, and '
    'parcels are found in each half alone. A number of parcels is trusted where the two halves '
    'draw the same map (agreement of {threshold:g} or more; 1 is perfect{everywhere}).'
)
"""What stability means, for readers who do not factorize matrices."""

THEN: Mapping[RankRule, str] = {
    'variation': 'Of the numbers that are trusted, that one is taken after which more parcels '
    'explain little more of how people differ from each other.',
    'stability': 'Of the numbers that are trusted, the last one before the halves begin to '
    'disagree is taken: the largest drop of agreement.',
    'published': 'Of the numbers that are trusted, the last one before the halves begin to '
    'disagree is taken: the largest drop of agreement (as in doi:10.1503/jpn.210113).',
}  # fmt: skip
"""What each rule does among the numbers that are stable."""


def choice_in_words(
    choice: RankChoice, curves: Mapping[str, RankCurves], rule: RankRule, threshold: float
) -> list[str]:
    """Say to a clinician how the number of parcels was chosen, and what it rests on.

    Parameters
    ----------
    choice : RankChoice
        The number.
    curves : mapping of str to RankCurves
        What each cohort says.
    rule : RankRule
        By which it was chosen.
    threshold : float
        Agreement of halves that is asked for.

    Returns
    -------
    list of str
        Sentences; the rule's own trace has every step.
    """
    if choice.source == 'default':
        return [f'{choice.k} parcels, as published: the cohort is too small to ask its halves.']
    everywhere = ', in every cohort' if len(curves) > 1 else ''
    how = HOW.format(threshold=threshold, everywhere=everywhere)
    found = [f'{how} {THEN[rule]}']
    if choice.source == 'override':
        own = '' if choice.by_rule is None else f'; the rule would take {choice.by_rule}'
        found.append(f'Here {choice.k} parcels were asked for{own}.')
    found += [_agreement(choice.k, one, name) for name, one in curves.items() if len(one.curves)]
    if not choice.stable:
        found.append(
            'No number of parcels passed: the halves draw different maps, so these parcels '
            'describe this sample and may look otherwise in the next.'
            if choice.source == 'rule'
            else 'The halves do not agree enough at this number: these parcels may look otherwise '
            'in the next sample.'
        )
    elif not choice.agrees and choice.source == 'rule':
        found.append(
            'The two signs, agreement of the halves and what more parcels explain, point to '
            'different numbers here: read the results with a neighbouring number too '
            '(--opnmf-components).'
        )
    return found


COHORT_SURFACE = (
    "Parcels on the mean surface of the cohort on the derivative's own mesh, inflated (vertices "
    'moved to the mean of their neighbours); the line is the border of the parcels.'
)


def _agreement(k: int, one: RankCurves, name: str) -> str:
    """Say how well halves agree at a number and beside it."""
    stability = one.curves.set_index('k')['stability']
    near = [j for j in (k - 1, k, k + 1) if j in stability.index]
    numbers = ', '.join(f'{stability[j]:.2f} with {j}' for j in near)
    return f'Agreement of halves{f" in {name}" if name else ""}: {numbers} parcels.'


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
        places = places_of(one, result.data)
        yield table_block(
            places_table(one, places), f'Where the parcels lie{of}',
            'Middle of the vertices in MNI152NLin2009aSym (x, y, z in mm) and regions of the '
            'Desikan-Killiany atlas. Dorsal, perigenual and subgenual: above, in front of and '
            'below the genu of the corpus callosum, in sectors of 45 degrees (own convention).',
        )  # fmt: skip
        figure = None if root is None else parcels_figure_path(root, cohort)
        surfaces = shown_surfaces(result.data)
        if set(surfaces) == {'L', 'R'}:
            block = _viewer(one, places, of, figure, surfaces)
            if not result.data.on_template:  # the page itself holds the template's only
                block = replace(block, caption=COHORT_SURFACE, surfaces=mesh_content(surfaces))
            yield block
        elif figure is not None and figure.is_file():
            yield image_block(figure, f'Parcels on the surface{of}', COHORT_SURFACE)


def names_of_parcels(result: ParcellationResult) -> dict[int, str]:
    """Name each parcel with its place, where it lies at the same place in all cohorts.

    Parameters
    ----------
    result : ParcellationResult
        What was found.

    Returns
    -------
    dict of int to str
        Names by number from 1, such as ``parcel 2 (dorsal)``; a number whose parcels lie at
        different places has no place in its name.
    """
    names: dict[int, set[str]] = {}
    for one in result.parcellations.values():
        places = places_of(one, result.data)
        for number in range(1, one.n_components + 1):
            names.setdefault(number, set()).add(parcel_name(number, places.get(number)))
    return {
        number: found.pop() if len(found) == 1 else parcel_name(number, None)
        for number, found in names.items()
    }


def places_table(one: Parcellation, places: Mapping[int, ParcelPlace]) -> pd.DataFrame:
    """Return size and place of each parcel, one row a parcel.

    Parameters
    ----------
    one : Parcellation
        Parcels of one cohort.
    places : mapping of int to ParcelPlace
        Where they lie, by number from 1.

    Returns
    -------
    DataFrame
        ``parcel, vertices``, centres of both sides in mm (template coordinates), ``regions``
        with their shares and, with resampled cohorts, the mean ``confidence``.
    """
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
    one: Parcellation, places: Mapping[int, ParcelPlace], of: str, figure: Path | None,
    surfaces: Mapping[str, InflatedHemisphere],
) -> Block:  # fmt: skip
    """Return the block with the surfaces; four views stand for them without script."""
    size = size_of(surfaces)
    maps, outline = surface_maps(one, places, size), borders(one, size)
    title, content = f'Parcels on the surface{of}', viewer_content(maps, outline, surfaces)
    caption = explained('parcels', READ)
    if figure is not None and figure.is_file():
        block = image_block(figure, title, caption)
        return replace(block, viewer=content, beside=list(rows_of(figure)))
    still = as_png(still_picture(maps[:1], outline, views_of(surfaces), surfaces))
    return Block(title=title, caption=caption, image=still, viewer=content)
