"""Write the whole dataset."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from bids_acc.demo import bold, cohort, diffusion, sidecars, spectrum, structural
from bids_acc.demo.anatomy import Anatomy, draw_placement, draw_shape
from bids_acc.demo.attenuation import expected_z
from bids_acc.demo.cohort import Participant, Visit
from bids_acc.demo.cortex import thickness_change, thickness_table, true_thickness
from bids_acc.demo.files import write_image, write_json, write_spectrum, write_tsv
from bids_acc.demo.networks import DMN, SGACC, mean_fisher_z, regions
from bids_acc.demo.patterns import (
    DEPTH_MM,
    LATERAL_WIDTH_MM,
    PATTERNS,
    REGION_EDGE_MM,
    REGION_HALF_WIDTH_MM,
    REGION_RADIUS_MM,
)
from bids_acc.demo.templates import FloatMap, Head, load_head
from bids_acc.demo.truth import DatasetTruth, VisitTruth
from bids_acc.demo.warp import apply_affine, rigid, sample, to_voxels
from bids_acc.derivatives.dataset import BIDS_VERSION
from bids_acc.images.motion import framewise_displacement
from bids_acc.typing import FloatArray

LOGGER = logging.getLogger(__name__)

VOXEL_CENTRE_MNI = (0.0, 36.0, 16.0)
"""Middle of the spectroscopic voxel, mm."""
VOXEL_SIZE_MM = 20.0
VOXEL_TILT_DEG = 12.0
"""Rotation of the spectroscopic voxel about the left-right axis, degrees."""


@dataclass(frozen=True)
class DemoOptions:
    """What was asked for; kept in ``code/truth.json``."""

    n_per_group: int = 4
    sessions: bool = False
    seed: int = 1
    resolution: float = 2.0
    """Voxel size of the T1w images, mm."""
    with_problems: bool = False


@dataclass(frozen=True)
class Scene:
    """What all participants share."""

    head: Head
    blurred: FloatMap
    maps: diffusion.DiffusionMaps
    bold_tissues: FloatMap
    """The template's tissues at the resolution of the BOLD series."""


def make_scene(resolution: float) -> Scene:
    """Blur the template head for the voxel sizes in which it will be scanned.

    Parameters
    ----------
    resolution : float
        Edge of the T1w images' voxels, mm.
    """
    head = load_head()
    return Scene(
        head,
        structural.blur_to(head.t1w, resolution),
        diffusion.diffusion_maps(head),
        bold.blurred_tissues(head, bold.DEMO.voxel_mm),
    )


def write_dataset(
    folder: Path, options: DemoOptions, progress: Callable[[str], None] = LOGGER.info
) -> DatasetTruth:
    """Write a raw BIDS dataset with planted effects.

    Parameters
    ----------
    folder : Path
        Where to; made if need be.
    options : DemoOptions
        How many participants, and so on.
    progress : callable
        Told one line for each visit that is written.

    Returns
    -------
    dict
        The truth, as in ``code/truth.json``.
    """
    people = cohort.draw_cohort(options.n_per_group, sessions=options.sessions, seed=options.seed)
    _write_tables(folder, people)
    scene = make_scene(options.resolution)
    rows: list[VisitTruth] = []
    for count, person in enumerate(people, start=1):
        rows += write_participant(folder, scene, person, options.resolution)
        progress(f'[{count}/{len(people)}] sub-{person.label} ({person.group}) written')
    truth = _truth(options, rows)
    write_json(folder / 'code' / 'truth.json', truth)
    return truth


def _truth(options: DemoOptions, rows: list[VisitTruth]) -> DatasetTruth:
    """Put everything that was planted into one record."""
    return {
        'description': 'What bids_acc-demo planted in this dataset',
        'options': asdict(options),
        'patterns': {
            'description': 'Gaussian bumps in MNI space, the same on both sides of the midline',
            'depth_mm': DEPTH_MM,
            'lateral_width_mm': LATERAL_WIDTH_MM,
            'list': [asdict(pattern) for pattern in PATTERNS],
        },
        'md_region': {
            'description': 'The rise of mean diffusivity is flat around the line through the '
            'centres of the patterns, and falls to nothing over the edge',
            'radius_mm': REGION_RADIUS_MM,
            'half_width_mm': REGION_HALF_WIDTH_MM,
            'edge_mm': REGION_EDGE_MM,
        },
        'groups': {
            group: {
                'thickness_mm': cohort.THICKNESS_EFFECT_MM[group],
                'md_rise': cohort.MD_RISE[group],
                'glx_tcr': cohort.GLX_TCR[group],
                'sgacc_coupling': cohort.SGACC_COUPLING[group],
            }
            for group in cohort.GROUPS
        },
        'between_participant_sd': {
            'thickness_mm': cohort.THICKNESS_SD_MM,
            'md_relative': cohort.MD_SD,
            'glx_tcr': cohort.GLX_SD,
            'sgacc_coupling': cohort.SGACC_COUPLING_SD,
        },
        'follow_up': {g: dict(v) for g, v in cohort.FOLLOW_UP.items()},
        'glx_thickness_r': {'pattern': PATTERNS[1].name, 'r': cohort.GLX_THICKNESS_R},
        'te1_s': spectrum.TE1_S,
        'gm_md_mm2_per_s': diffusion.GM_MD,
        'visits': rows,
    }


def write_participant(
    folder: Path, scene: Scene, person: Participant, resolution: float
) -> list[VisitTruth]:
    """Write all visits of one participant and return what is in them.

    Parameters
    ----------
    folder : Path
        Root of the dataset.
    scene : Scene
        From `make_scene`.
    person : Participant
        With all visits.
    resolution : float
        Edge of the T1w images' voxels, mm.

    Returns
    -------
    list of VisitTruth
        One for each visit.
    """
    shape = draw_shape(person.generator(1))
    rows = []
    for number, visit in enumerate(person.visits):
        rng = person.generator(2, number)
        anatomy = Anatomy(
            shape, draw_placement(rng), np.array(visit.thickness_mm), scene.head.border
        )
        writer = VisitWriter(folder, scene, person, visit, anatomy)
        writer.write_t1w(resolution, rng)
        motion = writer.write_dwi(rng)
        voxel = writer.write_mrs(rng)
        function = writer.write_bold(person.generator(3, number))
        thickness = true_thickness(anatomy)
        path = writer.truth_path('thickness.tsv')
        write_tsv(path, thickness_table(thickness))
        row = _visit_truth(person, visit, anatomy, motion | function, voxel)
        row['thickness_file'] = path.relative_to(folder / 'code').as_posix()
        row['thickness_change'] = thickness_change(anatomy, thickness)
        rows.append(row)
    return rows


@dataclass(frozen=True)
class VisitWriter:
    """Writes the files of one visit."""

    folder: Path
    scene: Scene
    person: Participant
    visit: Visit
    anatomy: Anatomy

    @property
    def labels(self) -> list[str]:
        """Participant and, if there is one, session."""
        session = [] if self.visit.session is None else [f'ses-{self.visit.session}']
        return [f'sub-{self.person.label}', *session]

    def path(self, datatype: str, ending: str) -> Path:
        """Return the path of one file, for example ``path('anat', 'T1w.json')``.

        Parameters
        ----------
        datatype : str
            Of BIDS, such as ``anat``.
        ending : str
            What follows the subject and session in the name.

        Returns
        -------
        Path
            Its folder may not be there yet.
        """
        return self.folder.joinpath(*self.labels, datatype, '_'.join([*self.labels, ending]))

    def truth_path(self, ending: str) -> Path:
        """Return the path of a table of what is in the files.

        Parameters
        ----------
        ending : str
            What follows the subject and session in the name.

        Returns
        -------
        Path
            Below ``code/truth``, which is made.
        """
        folder = self.folder / 'code' / 'truth'
        folder.mkdir(parents=True, exist_ok=True)
        return folder / '_'.join([*self.labels, ending])

    def uri(self, path: Path) -> str:
        """Name a file of this dataset by BIDS URI.

        Parameters
        ----------
        path : Path
            Below the root of the dataset.

        Returns
        -------
        str
            ``bids::`` and the relative path.
        """
        return f'bids::{path.relative_to(self.folder).as_posix()}'

    def write_t1w(self, resolution: float, rng: np.random.Generator) -> None:
        """Write the T1w image and its sidecar.

        Parameters
        ----------
        resolution : float
            Edge of a voxel, mm.
        rng : numpy.random.Generator
            Draws noise and bias field.
        """
        affine, shape = structural.grid(resolution, structural.FIELD_OF_VIEW_MM)
        image = structural.t1w_image(
            self.scene.head, self.scene.blurred, self.anatomy, affine, shape, rng
        )
        write_image(self.path('anat', 'T1w.nii.gz'), image, affine)
        write_json(self.path('anat', 'T1w.json'), sidecars.T1W)

    def write_dwi(self, rng: np.random.Generator) -> dict[str, float]:
        """Write the diffusion run, for which the head lies a little differently.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws position, motion and noise.

        Returns
        -------
        dict of str to float
            Greatest translation in the run, mm.
        """
        nudge = rigid(0.8 * rng.standard_normal(3), 0.6 * rng.standard_normal(3))
        anatomy = Anatomy(
            self.anatomy.shape, nudge @ self.anatomy.placement, self.anatomy.thickness_mm,
            self.anatomy.border,
        )  # fmt: skip
        image, affine, motion = diffusion.dwi_image(
            self.scene.maps, anatomy, self.visit.md_change, rng
        )
        bvals, bvecs = diffusion.gradient_table()
        path = self.path('dwi', 'dwi.nii.gz')
        write_image(path, image, affine, sidecars.DWI['RepetitionTime'])
        self.path('dwi', 'dwi.bval').write_text(_numbers(bvals[None], '%d'))
        self.path('dwi', 'dwi.bvec').write_text(_numbers(bvecs.T, '%.6f'))
        times = _slice_times(image.shape[2], sidecars.DWI['RepetitionTime'])
        write_json(self.path('dwi', 'dwi.json'), {**sidecars.DWI, 'SliceTiming': times})
        shift = max(float(np.linalg.norm(m[:3, 3])) for m in motion)
        return {'dwi_max_translation_mm': round(shift, 4)}

    def write_bold(self, rng: np.random.Generator) -> dict[str, float]:
        """Write the BOLD run at rest, for which the head lies a little differently.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws position, motion, series and noise.

        Returns
        -------
        dict of str to float
            What was planted and what can be expected of it, by the names of `VisitTruth`.
        """
        nudge = rigid(0.8 * rng.standard_normal(3), 0.6 * rng.standard_normal(3))
        anatomy = replace(self.anatomy, placement=nudge @ self.anatomy.placement)
        effects = bold.RESTLESS_EFFECTS if self.person.restless else bold.DEMO_EFFECTS
        head = self.scene.head
        maps = bold.head_maps(head, self.scene.bold_tissues, anatomy, rng, dropout=effects.dropout)
        coupling = self.person.coupling(rng)
        (image,), truth = bold.simulate(bold.DEMO, maps, anatomy, effects, coupling, rng)
        write_image(
            self.path('func', 'task-rest_bold.nii.gz'), image, bold.DEMO.affine,
            bold.DEMO.repetition_time,
        )  # fmt: skip
        write_json(self.path('func', 'task-rest_bold.json'), sidecars.BOLD)
        series, where = truth.series.at(truth.volume_times), regions()
        z = mean_fisher_z(series, where.members(SGACC), where.members(DMN))
        expected = expected_z(bold.DEMO, maps, anatomy, effects, truth)
        centre = bold.DEMO.centre_mm
        moved = np.nanmean(framewise_displacement(truth.motion, centre))
        return {'sgacc_coupling': coupling, 'sgacc_dmn_z': round(z, 4),
                'sgacc_dmn_expected_z': round(expected, 4),
                'mean_fd_mm': round(float(moved), 4)}  # fmt: skip

    def write_mrs(self, rng: np.random.Generator) -> spectrum.SpectrumTruth:
        """Write the spectrum and its water reference.

        Parameters
        ----------
        rng : numpy.random.Generator
            Draws amplitudes, line width, shift, phase and noise.

        Returns
        -------
        spectrum.SpectrumTruth
            With the tissue fractions of the voxel.
        """
        affine = self.voxel_affine()
        truth = spectrum.draw_truth(self.visit.glx_tcr, self.voxel_fractions(affine), rng)
        metabolites, water = spectrum.make_fids(truth, rng)
        reference = self.path('mrs', 'acq-press_voi-ACC_mrsref.nii.gz')
        links = {
            'AnatomicalImage': self.uri(self.path('anat', 'T1w.nii.gz')),
            'ReferenceSignal': self.uri(reference),
        }
        plain = {'WaterSuppression': False, 'NumberOfTransients': 16}
        header = {key: sidecars.MRS[key] for key in sidecars.HEADER_KEYS}
        for suffix, fid, extra in (
            ('svs', metabolites, links),
            ('mrsref', water, plain | {'AnatomicalImage': links['AnatomicalImage']}),
        ):
            path = self.path('mrs', f'acq-press_voi-ACC_{suffix}.nii.gz')
            write_spectrum(path, fid, affine, spectrum.DWELL_TIME_S, header)
            sidecar = self.path('mrs', f'acq-press_voi-ACC_{suffix}.json')
            write_json(sidecar, {**sidecars.MRS, **extra})
        return truth

    def voxel_affine(self) -> FloatArray:
        """Place the spectroscopic voxel on the cingulate, as an operator would."""
        centre = self.anatomy.template_to_head(np.array([VOXEL_CENTRE_MNI]))
        centre = apply_affine(self.anatomy.placement, centre)[0]
        turn = self.anatomy.placement[:3, :3] @ rigid([0, 0, 0], [VOXEL_TILT_DEG, 0, 0])[:3, :3]
        affine = np.eye(4)
        affine[:3, :3] = turn * VOXEL_SIZE_MM
        affine[:3, 3] = centre
        return affine

    def voxel_fractions(self, affine: FloatArray, steps: int = 20) -> FloatArray:
        """Average GM, WM and CSF over the spectroscopic voxel.

        Parameters
        ----------
        affine : (4, 4) ndarray
            Unit cube to scanner, mm.
        steps : int
            Sample points along each edge.

        Returns
        -------
        (3,) ndarray
            Grey matter, white matter and CSF; their sum is one.
        """
        side = (np.arange(steps) + 0.5) / steps - 0.5
        inside = np.stack(np.meshgrid(side, side, side, indexing='ij'), axis=-1).reshape(-1, 3)
        head = self.anatomy.scanner_to_head(apply_affine(affine, inside))
        template = self.anatomy.head_to_template(head)
        voxels = to_voxels(self.scene.head.affine, template)
        fractions = np.array([sample(t, voxels).mean() for t in self.scene.head.tissues])
        return np.asarray(fractions / fractions.sum())


def _numbers(rows: FloatArray, template: str) -> str:
    """Format gradient tables: one line for each row, blanks between."""
    return ''.join(' '.join(template % value for value in row) + '\n' for row in rows)


def _slice_times(n_slices: int, tr_s: float) -> list[float]:
    """Acquire every second slice first."""
    order = [*range(0, n_slices, 2), *range(1, n_slices, 2)]
    times = np.empty(n_slices)
    times[order] = np.arange(n_slices) * tr_s / n_slices
    return [round(float(time), 4) for time in times]


def _visit_truth(
    person: Participant,
    visit: Visit,
    anatomy: Anatomy,
    motion: dict[str, float],
    voxel: spectrum.SpectrumTruth,
) -> VisitTruth:
    """Record what is in one visit's files."""
    found = {
        'participant_id': f'sub-{person.label}',
        'session_id': None if visit.session is None else f'ses-{visit.session}',
        'group': person.group,
        'thickness_loadings_mm': visit.thickness_mm,
        'md_change': asdict(visit.md_change),
        'glx_tcr': visit.glx_tcr,
        'metabolites_tcr': {
            'Glu': round(voxel.ratio(('Glu',), ('Cr', 'PCr')), 4),
            'Glx': round(voxel.ratio(('Glu', 'Gln'), ('Cr', 'PCr')), 4),
            'tNAA': round(voxel.ratio(('NAA', 'NAAG'), ('Cr', 'PCr')), 4),
            'tCho': round(voxel.ratio(('GPC', 'PCh'), ('Cr', 'PCr')), 4),
            'Ins': round(voxel.ratio(('Ins',), ('Cr', 'PCr')), 4),
        },
        'tcr_mmol_per_kg': voxel.tcr_mmol_per_kg,
        'voxel_fractions': dict(
            zip(('GM', 'WM', 'CSF'), voxel.fractions.round(4).tolist(), strict=True)
        ),
        'linewidth_hz': [round(width, 3) for width in voxel.linewidth_hz],
        'head_scale': (1 / anatomy.shape.scale).round(4).tolist(),
        **motion,
    }
    return cast('VisitTruth', found)  # figures of motion have the names that it declares


def _write_tables(folder: Path, people: list[Participant]) -> None:
    """Write what describes the dataset and the participants."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'README').write_text(sidecars.README['text'])
    write_json(
        folder / 'dataset_description.json',
        {
            'Name': sidecars.README['title'],
            'BIDSVersion': BIDS_VERSION,
            'DatasetType': 'raw',
            'License': 'CC0',
            'Authors': ['The bids_acc developers'],
            'GeneratedBy': [{'Name': 'bids_acc-demo', 'Description': 'Simulated data'}],
        },
    )
    sessions = people[0].visits[0].session is not None
    append_participants(folder, people)
    columns = sidecars.PARTICIPANT_COLUMNS | ({} if sessions else sidecars.CLINICAL_COLUMNS)
    write_json(folder / 'participants.json', columns)
    if not sessions:
        return
    columns = {'session_id': {'Description': 'Session label'}, **sidecars.CLINICAL_COLUMNS}
    write_json(folder / 'sessions.json', columns)


def append_participants(folder: Path, people: list[Participant]) -> None:
    """Add rows to ``participants.tsv`` and write what changes between visits.

    Parameters
    ----------
    folder : Path
        Root of the dataset; a ``participants.tsv`` there is kept and added to.
    people : list of Participant
        At least one; scores go to ``*_sessions.tsv`` where there are sessions.
    """
    sessions = people[0].visits[0].session is not None
    rows = [participant_row(person, clinical=not sessions) for person in people]
    table = pd.DataFrame(rows, dtype=object)
    path = folder / 'participants.tsv'
    if path.exists():
        former = pd.read_csv(path, sep='\t', dtype=str, keep_default_na=False)
        table = pd.concat([former, table.fillna('n/a')], ignore_index=True)
    write_tsv(path, table)
    for person in people if sessions else ():
        _write_sessions(folder, person)


def participant_row(person: Participant, *, clinical: bool) -> dict[str, object]:
    """Return one row of ``participants.tsv``.

    Parameters
    ----------
    person : Participant
        Age in years.
    clinical : bool
        Whether scores and dose at the first visit belong to it.

    Returns
    -------
    dict
        Column to cell; None is missing.
    """
    row: dict[str, object] = {
        'participant_id': f'sub-{person.label}',
        'group': person.group,
        'age': person.age,
        'sex': person.sex,
        'site': person.site,
    }
    return row | person.visits[0].clinical if clinical else row


def _write_sessions(folder: Path, person: Participant) -> None:
    """Write the symptom scores of each visit."""
    rows = [{'session_id': f'ses-{visit.session}', **visit.clinical} for visit in person.visits]
    path = folder / f'sub-{person.label}' / f'sub-{person.label}_sessions.tsv'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tsv(path, pd.DataFrame(rows, dtype=object))
