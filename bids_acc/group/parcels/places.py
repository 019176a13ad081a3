"""Where parcels lie: in words, in coordinates of MNI152, and in regions of the atlas."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_acc.surfaces.template import DENSITIES, load_template
from bids_acc.typing import FloatArray, IntArray

GENU_YZ_MM = (27.0, 5.0)
"""Middle of the genu of the corpus callosum in MNI152, y and z, read off MNI152NLin2009aSym."""
SECTORS: Mapping[str, tuple[float, float]] = {
    'subgenual': (-180.0, -45.0), 'perigenual': (-45.0, 45.0), 'dorsal': (45.0, 180.0),
}  # fmt: skip
"""Direction from the genu to the middle of a parcel, in degrees above straight ahead. The names
are those of the field; the borders of 45 degrees are an own convention."""
CINGULATE = 'anteriorcingulate'
"""How the names of the regions end to which the words apply."""
LEAST_SHARE = 0.05
"""Regions with less of a parcel are not named."""


PARTS = (
    'rostral', 'caudal', 'anterior', 'posterior', 'isthmus', 'superior', 'inferior', 'middle',
    'medial', 'lateral', 'orbito', 'frontal', 'temporal', 'parietal', 'transverse', 'cingulate',
)  # fmt: skip
"""Words that the atlas writes without blanks."""


def region_words(name: str) -> str:
    """Put blanks into the name of a region.

    Parameters
    ----------
    name : str
        Region of the Desikan-Killiany atlas, written as one word.

    Returns
    -------
    str
        In separate words.

    Examples
    --------
    >>> region_words('rostralanteriorcingulate'), region_words('medialorbitofrontal')
    ('rostral anterior cingulate', 'medial orbitofrontal')
    """
    spaced = re.sub('|'.join(PARTS), lambda found: f'{found[0]} ', name)
    return ' '.join(spaced.replace('orbito ', 'orbito').split())


@dataclass(frozen=True)
class ParcelPlace:
    """Where one parcel lies."""

    words: str
    """Such as ``dorsal``; empty outside the anterior cingulate."""
    centre: Mapping[str, FloatArray]
    """Hemisphere to (3,) mean place of its vertices, mm in MNI152NLin2009aSym."""
    regions: Mapping[str, float]
    """Region of the Desikan-Killiany atlas to the share of the parcel's vertices in it."""
    n_vertices: int
    """On both hemispheres."""

    @property
    def regions_in_words(self) -> str:
        """Regions with their shares, the largest first."""
        named = sorted(self.regions.items(), key=lambda item: -item[1])
        return ', '.join(
            f'{region_words(name)} {share:.0%}' for name, share in named if share >= LEAST_SHARE
        )


def sector(y: float, z: float) -> str:
    """Return the word for a place in the anterior cingulate.

    Parameters
    ----------
    y, z : float
        In mm, MNI152.

    Examples
    --------
    >>> sector(20, 30), sector(42, 8), sector(25, -8)
    ('dorsal', 'perigenual', 'subgenual')
    """
    angle = math.degrees(math.atan2(z - GENU_YZ_MM[1], y - GENU_YZ_MM[0]))
    return next(name for name, (low, high) in SECTORS.items() if low <= angle <= high)


def parcel_places(
    columns: pd.DataFrame, labels: IntArray, n_vertices: int
) -> dict[int, ParcelPlace]:
    """Say of each parcel where it lies.

    Parameters
    ----------
    columns : DataFrame
        ``hemisphere`` and ``vertex`` of each label.
    labels : (n_labelled,) ndarray of int
        Parcel, from 0; -1 for none.
    n_vertices : int
        Of one hemisphere's mesh.

    Returns
    -------
    dict of int to Place
        By number of the parcel, from 1; empty on a mesh that is not the template's.
    """
    density = next((name for name, count in DENSITIES.items() if count == n_vertices), None)
    if density is None:
        return {}
    template = load_template(density)
    found = {}
    for label in range(int(labels.max(initial=-1)) + 1):
        own = columns[labels == label]
        if len(own):
            found[label + 1] = _place_of(own, template)
    return found


def _place_of(own: pd.DataFrame, template: Mapping[str, object]) -> ParcelPlace:
    """Return the place of one parcel's vertices."""
    centre, names = {}, []
    for side, part in own.groupby('hemisphere', sort=True):
        mesh = template[str(side)]
        vertices = part['vertex'].to_numpy()
        middle = (mesh.white[vertices] + mesh.pial[vertices]) / 2  # type: ignore[attr-defined]
        centre[str(side)] = middle.mean(axis=0)
        names += [mesh.names[code] for code in mesh.labels[vertices]]  # type: ignore[attr-defined]
    counts = pd.Series(names).value_counts(normalize=True)
    shares = {str(name): float(share) for name, share in counts.items()}
    # the words of the cingulate do not apply to a parcel that lies elsewhere for the most part
    cingulate = sum(share for name, share in shares.items() if name.endswith(CINGULATE))
    middle = np.mean(list(centre.values()), axis=0)
    words = sector(float(middle[1]), float(middle[2])) if cingulate > 0.5 else ''
    return ParcelPlace(words, centre, shares, len(own))


def parcel_name(number: int, place: ParcelPlace | None) -> str:
    """Return the name that tables, figures and pages give a parcel.

    Parameters
    ----------
    number : int
        From 1.
    place : ParcelPlace, optional
        Where it lies; its ``words`` are empty outside the cingulate cortex.

    Returns
    -------
    str
        Number and, where known, the sector of the cingulate.

    Examples
    --------
    >>> parcel_name(2, ParcelPlace('dorsal', {}, {}, 0)), parcel_name(2, None)
    ('parcel 2 (dorsal)', 'parcel 2')
    """
    return f'parcel {number} ({place.words})' if place and place.words else f'parcel {number}'
