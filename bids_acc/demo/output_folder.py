"""A participant level's output folder, written without images: what the group level reads.

Vertex maps, spectra's levels and quality, quality of the images, and the cohort's tables, with
planted parcels and group differences; what was planted lies in ``code/``. Any writer of such a
folder for tests, tutorial or benchmark uses these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc import __version__
from bids_acc.demo.planted_maps import SCALES, PlantedMaps, plant_maps
from bids_acc.demo.planted_spectra import GATE, PlantedSpectra, plant_spectra
from bids_acc.demo.two_sites import (
    CLINICAL_COLUMNS,
    CONTROLS,
    GROUPS,
    N_PUBLISHED,
    PARTICIPANT_COLUMNS,
    SITES,
    Person,
    clinical_table,
    draw_people,
    participants_table,
)
from bids_acc.derivatives.dataset import BIDS_VERSION, bidsignore
from bids_acc.derivatives.outputs import output_path, write_sidecar
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.quality.gate import load_gate
from bids_acc.surfaces.gifti import label_image, write_map, write_surface
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES, load_template
from bids_acc.tables.writing import write_tsv
from bids_acc.typing import FloatArray

MAP_KEYS: Mapping[str, str] = {
    'thickness': 'anat_thickness',
    'area': 'anat_area',
    'fa': 'dwi_vertex_fa',
    'md': 'dwi_vertex_md',
}
"""Output key of each metric's maps."""

TRUTH = Path('code') / 'truth-cohort.json'
"""What was planted, below the folder."""
TRUE_PARTS = Path('code') / 'truth-parts.tsv'
"""Planted part of each vertex and how much of each part's value it has."""
TRUE_VALUES = Path('code') / 'truth-values.tsv'
"""What each person has of each metric in each part, and of Glx, without noise."""

README = """\
Simulated results of a cohort
=============================

Every file was computed by `bids_acc-demo --cohort`; no person was scanned and there are no images.
The folder holds what the group level of bids_acc reads: vertex maps within the anterior cingulate
(NaN elsewhere), metabolite levels, quality tables, participants.tsv and phenotype/. The first
person has the template's surfaces too, from which the mesh's triangles are read.

Numbers of people and of lost spectra, and sizes of group differences, are those of
https://doi.org/10.1503/jpn.210113. `code/truth-*` says what was planted; the analysis does not
read it:

    bids_acc BIDS_DIR THIS_FOLDER group --model acc-structure
    bids_acc-demo --score THIS_FOLDER

BIDS_DIR is not read by the group level: any folder will do, this one too.
"""


@dataclass(frozen=True)
class CohortOptions:
    """What was asked for; kept beside the truth."""

    n_people: int = N_PUBLISHED
    seed: int = 1
    density: str = '41k'
    """Of the meshes."""


def write_output_folder(
    folder: Path, options: CohortOptions, progress: Callable[[str], None] = print
) -> PlantedMaps:
    """Write the folder.

    Parameters
    ----------
    folder : Path
        Where to; made if need be.
    options : CohortOptions
        How many people, and so on.
    progress : callable
        Told a line now and then.

    Returns
    -------
    PlantedMaps
        What the maps hold.
    """
    people = draw_people(options.n_people, options.seed)
    maps = plant_maps(people, options.seed, options.density)
    spectra = plant_spectra(people, maps.thickness_z, options.seed)
    _write_tables(folder, people)
    _write_truth(folder, options, people, maps, spectra)
    labels = _label_files(maps.region.density)
    for index, person in enumerate(people):
        rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(index, 3)))
        entities = {'subject': person.label.removeprefix('sub-')}
        write_vertex_maps(folder, entities, maps.data, index)
        write_region_labels(folder, entities, maps.region.density, labels)
        _write_spectrum(folder, entities, spectra, index)
        _write_image_quality(folder, entities, person, rng)
        if (index + 1) % 25 == 0 or index + 1 == len(people):
            progress(f'[{index + 1}/{len(people)}] people written')
    _write_template_surfaces(folder, people[0], maps.region.density)
    return maps


def write_vertex_maps(
    folder: Path, entities: Mapping[str, str], data: VertexMetrics, index: int
) -> None:
    """Write one person's maps of all metrics on the whole mesh, NaN outside the region.

    Parameters
    ----------
    folder : Path
        Root of the derivatives.
    entities : mapping of str to str
        ``subject`` and, if there is one, ``session``.
    data : VertexMetrics
        Of all people.
    index : int
        Row of this one.
    """
    for side, size in zip(HEMISPHERES, data.mesh_sizes, strict=True):
        own = (data.columns['hemisphere'] == side).to_numpy()
        vertices = data.columns.loc[own, 'vertex'].to_numpy()
        for number, metric in enumerate(data.metrics):
            whole = np.full(size, np.nan)
            whole[vertices] = data.values[number, index, own]
            path = output_path(
                MAP_KEYS[metric], folder, entities, hemisphere=side, density=data.density
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_map(path, whole, side, metric)
            write_sidecar(MAP_KEYS[metric], path)


def _label_files(density: str) -> dict[str, bytes]:
    """Return the atlas of each hemisphere as a file's content: everybody has the template's."""
    return {
        side: label_image(mesh.labels, mesh.names, side, {'Name': 'Desikan'}).to_bytes()
        for side, mesh in load_template(density).items()
    }


def write_region_labels(
    folder: Path, entities: Mapping[str, str], density: str, content: Mapping[str, bytes]
) -> None:
    """Write the atlas on one person's mesh.

    Parameters
    ----------
    folder : Path
        Root of the derivatives.
    entities : mapping of str to str
        ``subject`` and, if there is one, ``session``.
    density : str
        Of the mesh.
    content : mapping of str to bytes
        A GIFTI label file for each hemisphere.
    """
    key = 'anat_parcellation'
    for side, labels in content.items():
        path = output_path(
            key, folder, entities, hemisphere=side, density=density, segmentation='Desikan'
        )
        write_bytes(path, labels)
        write_sidecar(key, path, _density(density))


def _density(density: str) -> dict[str, str]:
    """Describe the mesh, as BIDS asks for where a name has ``den-``."""
    return {'Density': f'{DENSITIES.get(density, density)} vertices per hemisphere'}


def _write_template_surfaces(folder: Path, person: Person, density: str) -> None:
    """Give the first person the template's surfaces, so that the mesh is known."""
    entities = {'subject': person.label.removeprefix('sub-')}
    for side, mesh in load_template(density).items():
        path = output_path('anat_midthickness', folder, entities, hemisphere=side, density=density)
        write_surface(path, (mesh.white + mesh.pial) / 2, mesh.faces, side, 'midthickness')
        write_sidecar('anat_midthickness', path, _density(density))


def _write_spectrum(
    folder: Path, entities: Mapping[str, str], spectra: PlantedSpectra, index: int
) -> None:
    """Write levels and quality of one person's spectrum."""
    named = {**entities, 'acquisition': 'press', 'voi': 'ACC'}
    for key, table, about in (
        ('mrs_quantities', spectra.levels[index], {}),
        ('mrs_quality', spectra.quality[index], {'Gate': load_gate(GATE).content}),
    ):
        path = output_path(key, folder, named)
        write_tsv(path, table)
        write_sidecar(key, path, about)


def _write_image_quality(
    folder: Path, entities: Mapping[str, str], person: Person, rng: np.random.Generator
) -> None:
    """Write usual figures of the T1w image and the diffusion series."""
    patient = person.group != CONTROLS
    anat = {
        'surface_source': 'builtin', 'voxel_max_mm': 0.9, 'skull_stripped': False,
        'brain_ml': rng.normal(1250, 110), 'cnr': rng.normal(3.2, 0.25),
        'snr_wm': rng.normal(19, 2), 'euler_wm': -2 * rng.poisson(14),
        'registration_dice': min(0.985, rng.normal(0.965, 0.006)),
        'field_of_view_share': 1.0, 'converged': True, 'verdict': 'usual', 'flags': None,
    }  # fmt: skip
    for side in HEMISPHERES:
        anat[f'boundary_contrast_{side}'] = rng.normal(0.3, 0.02)
        anat[f'roi_defined_share_{side}'] = 1.0
        anat[f'clamped_share_{side}'] = abs(rng.normal(0.01, 0.004))
    dwi = {
        'n_volumes': 35 if person.site.name == 'Tokyo' else 33, 'n_missing': 0, 'n_runs': 1,
        'scheme': person.site.scheme,
        # patients move more, as in most clinical samples
        'fd_mean': float(np.exp(rng.normal(np.log(0.32 if patient else 0.26), 0.3))),
        'outlier_slices_pct': float(rng.exponential(0.25)),
        'snr_b0': rng.normal(person.site.diffusion_snr, 1.5),
        'neighbour_corr': rng.normal(0.78, 0.02), 'coreg_dice': rng.normal(0.93, 0.01),
        'coverage_L': 1.0, 'coverage_R': 1.0, 'csf_L': rng.normal(0.16, 0.03),
        'csf_R': rng.normal(0.16, 0.03), 'verdict': 'usual', 'flags': None,
    }  # fmt: skip
    for key, row in (('anat_qc', anat), ('dwi_qc', dwi)):
        path = output_path(key, folder, entities)
        write_tsv(path, pd.DataFrame([row]))
        write_sidecar(key, path)


def _write_tables(folder: Path, people: Sequence[Person]) -> None:
    """Write what describes the folder and the people."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / 'README.md', README.encode())
    write_bytes(folder / '.bidsignore', bidsignore().encode())
    write_json(
        folder / 'dataset_description.json',
        {
            'Name': 'Simulated results of two sites',
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'derivative',
            'License': 'CC0',
            'GeneratedBy': [
                {
                    'Name': 'bids_acc',
                    'Version': __version__,
                    'Description': 'Simulated by bids_acc-demo as the participant level writes',
                }
            ],
        },
    )
    write_tsv(folder / 'participants.tsv', participants_table(people))
    write_json(folder / 'participants.json', PARTICIPANT_COLUMNS)
    write_tsv(folder / 'phenotype' / 'clinical.tsv', clinical_table(people))
    write_json(folder / 'phenotype' / 'clinical.json', CLINICAL_COLUMNS)


def _write_truth(
    folder: Path,
    options: CohortOptions,
    people: Sequence[Person],
    maps: PlantedMaps,
    spectra: PlantedSpectra,
) -> None:
    """Write what was planted."""
    write_json(folder / TRUTH, truth_record(options, maps))
    weights = {f'weight_{k + 1}': column for k, column in enumerate(maps.region.membership.T)}
    parts = maps.region.places.assign(part=maps.region.parts + 1, **weights)
    write_tsv(folder / TRUE_PARTS, parts)
    values: dict[str, FloatArray] = {
        f'{metric}_{k + 1}': column
        for metric, table in maps.values.items()
        for k, column in enumerate(table.T)
    }
    labels = [person.label for person in people]
    write_tsv(
        folder / TRUE_VALUES, pd.DataFrame({'participant_id': labels, **values, **spectra.truth})
    )


def truth_record(options: CohortOptions, maps: PlantedMaps) -> dict[str, object]:
    """Return what is planted on the average of all people that might have been drawn.

    Parameters
    ----------
    options : CohortOptions
        As the command was called.
    maps : PlantedMaps
        With the SD between people of each metric, averaged over a part.

    Returns
    -------
    dict
        Differences in each metric's unit.
    """
    return {
        'description': 'What bids_acc-demo --cohort planted',
        'options': asdict(options),
        'source': 'https://doi.org/10.1503/jpn.210113',
        'groups': dict(GROUPS),
        'units': {'thickness': 'mm', 'area': 'mm2', 'fa': '1', 'md': 'mm2/s'},
        'differences_from_controls': {
            site.name: {
                metric: {
                    group: [shift * maps.part_sd[metric] for shift in shifts]
                    for group, shifts in site.differences.get(metric, {}).items()
                }
                for metric in SCALES
            }
            for site in SITES
        },
    }
