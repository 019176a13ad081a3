"""Pictures of a parcellation: curves, parcels on the surface, confidence."""

from __future__ import annotations

from pathlib import Path

from bids_acc.derivatives.outputs import output_path
from bids_acc.group.parcels.figures import confidence_figure, rank_figure
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.parcels.shown import places_of, shown_surfaces, size_of, views_of
from bids_acc.group.parcels.surface_maps import borders, surface_maps
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained
from bids_acc.report.surface_view import still_picture

Entry = tuple[Path, str, str]


def write_parcel_figures(result: ParcellationResult, root: Path) -> list[Entry]:
    """Draw what the parcellation found.

    Parameters
    ----------
    result : ParcellationResult
        What was found.
    root : Path
        Folder of these parcels.

    Returns
    -------
    list of (path, title, caption)
        For the report.
    """
    entries = []
    if result.curves:
        path = output_path('group_opnmf_figure', root, desc='rank')
        figure = rank_figure(
            {name: found.curves for name, found in result.curves.items()}, result.choice.k
        )
        caption = (
            'Left: agreement of the parcels of two random halves of the cohort; 1 is perfect. '
            'Right: gain in reconstruction with each component, beside that of shuffled data. '
            'The line marks the number that is used.'
        )
        entries.append(
            (
                save_for_paper(figure, path),
                'Stability and reconstruction',
                explained('rank', caption),
            )
        )
    for cohort, one in result.parcellations.items():
        of = f' of {cohort}' if cohort else ''
        entities = {'cohort': cohort} if cohort else {}
        surfaces = shown_surfaces(result.data)
        if surfaces:
            maps = surface_maps(one, places_of(one, result.data), size_of(surfaces))
            figure = still_picture(
                maps[:1], borders(one, size_of(surfaces)), views_of(surfaces), surfaces
            )
            # the page shows it where the parcels can be turned
            save_for_paper(figure, parcels_figure_path(root, cohort))
        if one.confidence is not None:
            path = output_path('group_opnmf_figure', root, entities, desc='confidence')
            figure = confidence_figure(one.confidence, one.labels)
            caption = 'Share of resampled cohorts in which a vertex falls into the same parcel.'
            entries.append(
                (save_for_paper(figure, path), f'Confidence{of}', explained('confidence', caption))
            )
    return entries


def parcels_figure_path(root: Path, cohort: str) -> Path:
    """Say where the picture of a cohort's parcels lies.

    Parameters
    ----------
    root : Path
        Folder of these parcels.
    cohort : str
        Empty when there is one.
    """
    entities = {'cohort': cohort} if cohort else {}
    return output_path('group_opnmf_figure', root, entities, desc='parcels')
