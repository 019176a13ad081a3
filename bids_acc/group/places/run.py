"""Where the spectra of a cohort were measured, within a run of the group level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from nilearn.datasets import load_mni152_template

from bids_acc.exceptions import InputDataError
from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.cohort.reading import Cohort
from bids_acc.group.formulas.overlap import centre_of
from bids_acc.group.parcels.files import write_table
from bids_acc.group.places.figures import plot_mean_voxel
from bids_acc.group.places.placement import Places, find_places, write_voxel_maps
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.study.voxels import voxel_names
from bids_acc.report.figures import save_for_paper
from bids_acc.report.reading import explained

NO_PLACES = (
    'no spectrum has a voxel in the template: they were fitted without a T1w image, or by an '
    'older version (run the participant level again for maps, parcels and cortex of the voxels).'
)


def sessions_of(cohort: Cohort) -> list[tuple[str, str | None]]:
    """List the participants and sessions of a cohort.

    Parameters
    ----------
    cohort : Cohort
        People and visits of the study.

    Returns
    -------
    list of (str, str or None)
        With prefixes; None in data without sessions.
    """
    keys = cohort.participants[KEYS].itertuples(index=False, name=None)
    return [(who, None if pd.isna(visit) else visit) for who, visit in keys]


def place_voxels(run: GroupRun) -> str:
    """Measure where the voxels lie, write maps, table and figures, and add it to the quality.

    Parameters
    ----------
    run : GroupRun
        With its cohort and, where there are maps, its parcels.

    Returns
    -------
    str
        How many voxels were found.
    """
    mrs = run.cohort.mrs
    if mrs is None:
        return 'no spectra'
    try:
        names = voxel_names(mrs, run.model)
    except InputDataError:  # said already; every label is a voxel of its own
        names = {str(label): str(label) for label in mrs['voxel'].unique()}
    places = find_places(run.data_dir, sessions_of(run.cohort), names, run.parcellation)
    if places.overlap.empty and places.values.empty:
        return NO_PLACES
    run.places = places
    if len(places.overlap):
        run.cohort = replace(run.cohort, qc=with_overlap(run.cohort, places, names))
        write_table('group_voxeloverlap', places.overlap, run.folder)
        write_voxel_maps(places, run.folder)
        _draw(run, places)
    return f'{len(places.overlap)} voxels'


def with_overlap(cohort: Cohort, places: Places, names: dict[str, str]) -> pd.DataFrame:
    """Add overlap and distance to the quality of each session, second voxels beside the first.

    Parameters
    ----------
    cohort : Cohort
        Its ``qc`` may be missing.
    places : Places
        Dice coefficient with the mean of the others, and distance of the centres in mm.
    names : dict of str to str
        Voxel of each spectrum's label; the first one gets columns without ending, another
        ``__<voxel>``.

    Returns
    -------
    DataFrame
        Table of quality with ``mrs_voxel_dice`` and ``mrs_voxel_distance_mm``.
    """
    first = next(iter(names.values()))
    table = cohort.participants[KEYS].drop_duplicates() if cohort.qc is None else cohort.qc
    for name, rows in places.overlap.groupby('voxel', sort=False):
        ending = '' if name == first else f'__{name}'
        columns = {
            'dice': f'mrs_voxel_dice{ending}',
            'distance_mm': f'mrs_voxel_distance_mm{ending}',
        }
        own = rows.drop_duplicates(KEYS)[[*KEYS, *columns]].rename(columns=columns)
        table = table.merge(own, on=KEYS, how='left')
    return table


def _draw(run: GroupRun, places: Places) -> None:
    """Draw the mean of each voxel over the template."""
    template = load_mni152_template(resolution=1)
    brain = np.asarray(template.dataobj, dtype=float)
    for one in places.maps:
        figure = plot_mean_voxel(
            one.mean, one.affine, brain, template.affine, centre_of(one.mean, one.affine)
        )
        path = run.folder / 'figures' / f'voxel_{one.name}.png'
        save_for_paper(figure, path, dpi=110)
        rows = places.overlap[places.overlap['voxel'] == one.name]
        caption = (
            f'Share of the {one.n} voxels that cover a place of the template; the red line holds '
            f'what at least half of them cover. {overlap_words(rows)} The table '
            'voxels/*_overlap.tsv has every voxel.'
        )
        run.figures.setdefault('Glutamate', []).append(
            (path, f'Voxel {one.name}', explained('voxel', caption))
        )


def overlap_words(rows: pd.DataFrame) -> str:
    """Say how well the voxels of one name overlap.

    Parameters
    ----------
    rows : DataFrame
        Rows of `Places.overlap`: ``dice``, ``distance_mm`` and ``outlier``.

    Returns
    -------
    str
        Median and range of the Dice coefficient, median distance, and who lies elsewhere.
    """
    known = rows['dice'].dropna()
    if known.empty:
        return 'One voxel, so that there is none to compare with.'
    away = rows.loc[rows['outlier'].eq(True), KEYS].itertuples(index=False, name=None)
    who = [' '.join(str(part) for part in key if not pd.isna(part)) for key in away]
    elsewhere = f' Elsewhere than the others: {", ".join(who)}.' if who else ''
    return (
        f'Dice with the mean of the others: median {known.median():.2f} ({known.min():.2f} to '
        f'{known.max():.2f}); centres lie {rows["distance_mm"].median():.1f} mm from their median.'
        f'{elsewhere}'
    )
