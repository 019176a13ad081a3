"""Quality first: each person's figures by group, and by site within them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import pandas as pd

from bids_acc.group.cohort.quality import KEYS
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.study.data import as_text
from bids_acc.group.statistics.study.persons import groups_of
from bids_acc.report.html import Block
from bids_acc.report.reading import explained
from bids_acc.report.strips import strip_picture

MEASURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        'anat_cnr': ('contrast to noise of the T1w image', ''),
        'anat_euler_wm': ('Euler number of white matter', ''),
        'anat_boundary_contrast_L': ('contrast at the white surface, left', ''),
        'anat_boundary_contrast_R': ('contrast at the white surface, right', ''),
        'dwi_fd_mean': ('head motion during diffusion, mean', 'mm'),
        'dwi_outlier_slices_pct': ('slices without signal', '%'),
        'dwi_snr_b0': ('S/N of b = 0', ''),
        'dwi_neighbour_corr': ('correlation of neighbouring volumes', ''),
        'func_fd_mean': ('head motion during BOLD, mean', 'mm'),
        'func_tsnr_median': ('temporal S/N of BOLD', ''),
        'mrs_snr_lcm': ('S/N of the spectrum', ''),
        'mrs_fwhm_hz': ('line width of the spectrum', 'Hz'),
        'mrs_f_csf': ('CSF in the voxel', 'share'),
        'mrs_voxel_in_acc_fraction': ('voxel within the cingulate', 'share'),
    }
)
"""Columns of the table of quality that are drawn, where they are there: words and unit."""

READ = 'Each point is a session of a person (point at it to see whose), the line is the median.'


def quality_blocks(run: GroupRun) -> Iterator[Block]:
    """Yield a strip of points for each measure of quality, for each cohort.

    Parameters
    ----------
    run : GroupRun
        With its cohort; without a model all people are one group.

    Yields
    ------
    Block
    """
    frame = _frame(run)
    if frame is None:
        return
    levels = list(run.model.group.levels) if run.model is not None else ['everybody']
    for place, part in frame.groupby('place', sort=True):
        pictures = [
            strip_picture(part.assign(value=part[name]), words, levels, unit)
            for name, (words, unit) in MEASURES.items()
            if name in part and part[name].notna().any()
        ]
        if pictures:
            where = f', {place!s}' if place else ''
            yield Block(
                title=f'Quality by group{where}',
                caption=explained('quality', READ),
                markup=''.join(pictures),
                beside=((run.folder / 'measures.tsv', 'its points (measures.tsv)'),),
            )


def _frame(run: GroupRun) -> pd.DataFrame | None:
    """Join quality with group and place of measurement."""
    qc, people = run.cohort.qc, run.cohort.participants
    if qc is None or qc.empty:
        return None
    place = run.place()
    # people whose place is not known are shown together, under no name of a place
    where = '' if place is None else as_text(people[place]).fillna('place not known')
    known = people[KEYS].assign(place=where)
    if run.model is None or run.model.group.column not in people:
        known['group'] = 'everybody'
    else:
        known['group'] = groups_of(people, run.model)
    numbers = {name: pd.to_numeric(qc[name], errors='coerce') for name in MEASURES if name in qc}
    frame = qc[KEYS].assign(**numbers).merge(known, on=KEYS, how='inner')
    visit = frame['session_id'].fillna('')
    frame['who'] = (frame['participant_id'] + ' ' + visit).str.strip()
    return frame
