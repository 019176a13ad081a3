"""Vertex maps with planted parcels and group differences, on the template's own mesh.

In each metric a person's map is the mean map plus what the person has in common over the whole
region, plus one value for each planted part (`bids_acc.demo.patterns.PATTERNS`; a vertex belongs
to the part whose pattern is strongest there), plus noise: smooth over the surface and without
neighbours. Group, age and sex move the values of the parts. Noise and shares are those of
`bids_acc.group.opnmf.simulate.CohortDesign`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.sparse import block_diag, csr_array, diags_array

from bids_acc.anat.quality import ACC_LABELS
from bids_acc.demo.patterns import PATTERNS, pattern_weights
from bids_acc.demo.two_sites import Person
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.opnmf.simulate import CohortDesign, smoothed
from bids_acc.surfaces.neighbours import adjacency, within
from bids_acc.surfaces.regions import region_mask
from bids_acc.surfaces.template import DENSITIES, load_template
from bids_acc.typing import FloatArray, IntArray

SCALES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        'thickness': (2.9, 0.35),
        'area': (0.62, 0.12),
        'fa': (0.22, 0.035),
        'md': (8.5e-4, 6.0e-5),
    }
)
"""Mean and unit of variation at a vertex of each metric, in mm, mm2, 1 and mm2/s."""

AGE_SHARE: Mapping[str, float] = MappingProxyType(
    {'thickness': -0.3, 'area': -0.1, 'fa': -0.15, 'md': 0.3}
)
"""Change over 12 years, in standard deviations of a part between people."""
AGE_YEARS = 12.0
SEX_SHARE: Mapping[str, float] = MappingProxyType(
    {'thickness': 0.0, 'area': 0.5, 'fa': 0.0, 'md': 0.0}
)
"""Men minus women, in the same unit."""
WITHIN_PARTS = 0.25
"""Variation of the mean map within the parts, as a share of that between them."""


@dataclass(frozen=True)
class PlantedRegion:
    """The anterior cingulate of both hemispheres and its planted parts."""

    places: pd.DataFrame
    """(n_vertices, 2) ``hemisphere`` and ``vertex``."""
    parts: IntArray
    """(n_vertices,) number of the part, from 0."""
    membership: FloatArray
    """(n_vertices, n_parts) how much of each part's value a vertex has; borders are soft."""
    smoother: csr_array
    """(n_vertices, n_vertices) mean over a vertex and its neighbours."""
    density: str
    """Of the mesh, as in file names."""


@dataclass(frozen=True)
class PlantedMaps:
    """Maps of all people and what is in them."""

    data: VertexMetrics
    """Physical units."""
    region: PlantedRegion
    values: Mapping[str, FloatArray]
    """By metric, (n_people, n_parts): each person's value above the mean map, without noise."""
    part_sd: Mapping[str, float]
    """By metric, the standard deviation of a part between people of one group, age and sex."""
    thickness_z: FloatArray
    """(n_people,) what is a person's own of the thickness of the affected parts, unit variance."""


def plant_region(density: str, blur: int = CohortDesign.blur // 2) -> PlantedRegion:
    """Cut the region out of the template and lay the parts into it.

    Parameters
    ----------
    density : str
        ``41k`` or ``10k``.
    blur : int
        Rounds of averaging over neighbours that soften the borders of the parts.

    Returns
    -------
    PlantedRegion
    """
    places, points, smoothers = [], [], []
    for side, mesh in load_template(density).items():
        inside = np.flatnonzero(region_mask(mesh.labels, mesh.names, tuple(sorted(ACC_LABELS))))
        graph = within(adjacency(mesh.faces, len(mesh.white)), inside)
        near = graph + diags_array(np.ones(len(inside)))
        smoothers.append(diags_array(1.0 / near.sum(axis=1)) @ near)
        places.append(pd.DataFrame({'hemisphere': side, 'vertex': inside}))
        points.append(mesh.white[inside])
    smoother = csr_array(block_diag(smoothers))
    parts = pattern_weights(np.concatenate(points)).argmax(axis=1)
    membership = np.eye(len(PATTERNS))[parts]
    for _ in range(blur):
        membership = smoother @ membership
    return PlantedRegion(
        pd.concat(places, ignore_index=True), parts, membership, smoother, density
    )


def plant_maps(
    people: Sequence[Person], seed: int, density: str = '41k', design: CohortDesign | None = None
) -> PlantedMaps:
    """Draw the maps of all people.

    Parameters
    ----------
    people : sequence of Person
        From `bids_acc.demo.two_sites.draw_people`.
    seed : int
        The same seed gives the same maps.
    density : str
        Of the mesh.
    design : CohortDesign, optional
        Shares of what varies.

    Returns
    -------
    PlantedMaps
    """
    design = design or CohortDesign()
    region = plant_region(density)
    part_sd = float(np.hypot(design.parcel_effect, design.global_effect))
    # One generator for what all people share and one for each metric: more people, or another
    # metric, leave the others' numbers as they are.
    fixed = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 1)))
    values, stack, own_thickness = {}, [], np.zeros((len(people), len(PATTERNS)))
    for number, (metric, (mean, unit)) in enumerate(SCALES.items()):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 2)))
        own = _own(design, len(people), rng)
        if metric == 'thickness':
            own_thickness = own
        signal = own + part_sd * _explained(people, metric)
        maps = _mean_map(design, region, fixed) + signal @ region.membership.T
        maps += _noise(design, region, len(people), rng)
        # OPNMF takes no negative values, and neither thickness nor diffusivity has any.
        stack.append(np.maximum(mean + unit * maps, 0.05 * mean))
        values[metric] = unit * signal
    return PlantedMaps(
        data=_as_metrics(np.array(stack), people, region),
        region=region,
        values=values,
        part_sd={metric: part_sd * unit for metric, (_, unit) in SCALES.items()},
        thickness_z=_affected(own_thickness, design),
    )


def _own(design: CohortDesign, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw what people have by themselves, (n_people, n_parts): one common and own values."""
    shared = design.global_effect * rng.standard_normal((n, 1))
    return np.asarray(shared + design.parcel_effect * rng.standard_normal((n, len(PATTERNS))))


def _affected(own: FloatArray, design: CohortDesign) -> FloatArray:
    """Average the two affected parts and give them the variance of one."""
    variance = design.global_effect**2 + design.parcel_effect**2 / 2
    return np.asarray(own[:, 1:3].mean(axis=1) / np.sqrt(variance))


def _explained(people: Sequence[Person], metric: str) -> FloatArray:
    """Sum what group, age and sex do to each part, in standard deviations between people."""
    group = np.array([person.shift(metric) for person in people])
    age = np.array([(person.age - person.site.age[0]) / AGE_YEARS for person in people])
    sex = np.array([(person.sex == 'M') - 0.5 for person in people])
    return np.asarray(group + (AGE_SHARE[metric] * age + SEX_SHARE[metric] * sex)[:, None])


def _mean_map(design: CohortDesign, region: PlantedRegion, rng: np.random.Generator) -> FloatArray:
    """Draw the map that all people have in common, (n_vertices,)."""
    offsets = region.membership @ rng.standard_normal(len(PATTERNS))
    pattern = smoothed(rng.standard_normal(len(region.parts)), region.smoother, 30)
    whole = offsets + WITHIN_PARTS * pattern
    return np.asarray(design.map_effect * (whole - whole.mean()) / whole.std())


def _noise(
    design: CohortDesign, region: PlantedRegion, n: int, rng: np.random.Generator
) -> FloatArray:
    """Draw what belongs to no part, (n_people, n_vertices)."""
    white = rng.standard_normal((len(region.parts), n))
    smooth = smoothed(white, region.smoother, design.blur)
    return np.asarray(
        design.smooth_noise * smooth.T
        + design.white_noise * rng.standard_normal((n, len(region.parts)))
    )


def _as_metrics(
    values: FloatArray, people: Sequence[Person], region: PlantedRegion
) -> VertexMetrics:
    """Lay maps out as the group level holds them."""
    sessions = pd.DataFrame(
        {'participant_id': [person.label for person in people], 'session_id': None}, dtype=object
    )
    return VertexMetrics(
        values=values,
        metrics=tuple(SCALES),
        sessions=sessions,
        columns=region.places,
        mesh_sizes=(DENSITIES[region.density], DENSITIES[region.density]),
        density=region.density,
    )
