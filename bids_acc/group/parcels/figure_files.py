"""Pictures of a parcellation: curves, parcels on the surface, confidence."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from bids_acc.derivatives.outputs import find_outputs, output_path
from bids_acc.exceptions import BidsAccError
from bids_acc.group.parcels.figures import confidence_figure, rank_figure, surface_figure
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.report.figures import save_figure
from bids_acc.surfaces.gifti import read_surface
from bids_acc.typing import FloatArray, IntArray

LOGGER = logging.getLogger(__name__)

Entry = tuple[Path, str, str]


def write_parcel_figures(result: ParcellationResult, output_dir: Path, root: Path) -> list[Entry]:
    """Draw what the parcellation found.

    Parameters
    ----------
    result : ParcellationResult
        What was found.
    output_dir : Path
        Root of the derivative data set; a subject's own surface there carries the figure.
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
        entries.append((save_figure(figure, path), 'Stability and reconstruction', caption))
    surfaces = _surfaces(output_dir, result)
    for cohort, one in result.parcellations.items():
        of = f' of {cohort}' if cohort else ''
        entities = {'cohort': cohort} if cohort else {}
        if surfaces:
            path = output_path('group_opnmf_figure', root, entities, desc='parcels')
            figure = surface_figure(surfaces, _keys(one, result.data.mesh_sizes))
            caption = (
                'Medial view of both hemispheres, on the mid-cortical surface of one participant.'
            )
            entries.append((save_figure(figure, path), f'Parcels{of}', caption))
        if one.confidence is not None:
            path = output_path('group_opnmf_figure', root, entities, desc='confidence')
            figure = confidence_figure(one.confidence, one.labels)
            caption = (
                'Share of resampled cohorts in which a vertex falls into the same parcel; parcels '
                'whose line rises late are sure.'
            )
            entries.append((save_figure(figure, path), f'Confidence{of}', caption))
    return entries


def _surfaces(
    output_dir: Path, result: ParcellationResult
) -> dict[str, tuple[FloatArray, IntArray]]:
    """Read the mid-cortical surface of the first session that has both hemispheres."""
    surfaces = {}
    for side in ('L', 'R'):
        found = find_outputs('anat_midthickness', output_dir, hemisphere=side)
        for item in found:
            try:
                points, faces = read_surface(item.path)
            except BidsAccError:  # that of the next session is as good
                continue
            if len(points) == result.data.mesh_sizes['LR'.index(side)]:
                surfaces[side] = (points, faces)
                break
    return surfaces if len(surfaces) == 2 else {}


def _keys(one: Parcellation, sizes: tuple[int, int]) -> dict[str, IntArray]:
    """Write the labels onto the whole meshes, from 1; 0 outside."""
    keys = {}
    for side, size in zip('LR', sizes, strict=True):
        whole = np.zeros(size, dtype=np.int64)
        own = (one.columns['hemisphere'] == side).to_numpy()
        whole[one.columns.loc[own, 'vertex'].to_numpy()] = one.labels[own] + 1
        keys[side] = whole
    return keys
