"""T1w to surfaces, thickness, area and the region of interest, one image at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.anat.averaging import AverageT1w
from bids_acc.anat.interfaces import (
    MAPS,
    BiasCorrect,
    FitSurfaces,
    PrepareT1w,
    RegisterTemplate,
    SegmentTissues,
)
from bids_acc.anat.meshes import N_VERTICES
from bids_acc.anat.quality_interfaces import AnatFigures, AnatQuality
from bids_acc.anat.region_interfaces import MeasureRegions, ModulateGrey
from bids_acc.anat.segmentation import TISSUES
from bids_acc.anat.surface_interfaces import (
    CorrespondingSurfaces,
    ExternalSurfaces,
    RegionOfInterest,
)
from bids_acc.derivatives.outputs import init_sink, on_mesh
from bids_acc.files.meshes import SUBDIVISIONS, TEMPLATE_MESH
from bids_acc.settings import AnatSettings
from bids_acc.surfaces.atlases import DEFAULT_ATLAS, PROVENANCE
from bids_acc.surfaces.template import DENSITIES, HEMISPHERES
from bids_acc.typing import Metadata

OUTPUTS = (
    't1w_preproc', 't1w_mask', 'dseg', 'tpms', 'template_to_t1w_xfm', 't1w_to_template_xfm',
    'white', 'pial', 'midthickness', 'thickness', 'area', 'volume', 'parcellation', 'acc_labels',
    'acc_mask', 'regions', 'qc',
)  # fmt: skip
"""Fields of the output node."""
FITTED = (
    *OUTPUTS,
    'mask_metadata',
    'undefined',
    'gm_density',
    'surfaces_figure',
    'registration_figure',
    'template_figure',
    'roi_metadata',
    'regions_metadata',
    'region_labels',
    'region_names',
)
"""What is computed: the outputs, and what only the sinks take."""
CORRESPONDENCE = {
    'builtin': "the template's own surfaces, carried to the subject and fitted",
    'freesurfer': 'sphere.reg',
    'gifti': 'sphere registered to fsaverage',
    'civet': 'nearest place and direction on the mid-surface, after registration of the T1w to '
    'the template',
}
"""How a subject's vertices were matched with the template's."""
MESH_FIELDS = (
    'mesh_white', 'mesh_pial', 'mesh_midthickness', 'mesh_thickness', 'mesh_area', 'mesh_volume',
    'mesh_parcellation',
)  # fmt: skip
"""Outputs besides, where maps are measured on the mesh of a derivative as well."""
BOTH = [('white', 'white'), ('pial', 'pial')]
VERTEX_MAPS = [(name, name) for name in ('undefined', 'thickness', 'area')]
"""What surfaces hand on under the same name."""
INPUTS = ['t1w_file', 'brain_mask', 'surface_dir', 'mesh_dir']
"""Fields of the input node."""


@dataclass(frozen=True)
class SurfaceOrigin:
    """Where the surfaces of a session come from, for the graph and the sidecars."""

    source: str = 'builtin'
    """``'builtin'``, ``'freesurfer'``, ``'gifti'`` or ``'civet'``: what
    ``settings.surface_source`` came to for this subject. Volumes are always made here."""
    own_labels: str = ''
    """Atlas of the subject's own labels, ``'DKT'`` or ``'Desikan'``; empty: the template's."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Who made the surfaces, when others did: name to version."""
    note: str = ''
    """What a reader must know; it stands in the sidecars and among the flags of quality."""
    smoothing_mm: float = 0.0
    """Kernel (FWHM) with which the source smoothed thickness."""
    mesh: str = ''
    """Another mesh on which maps are measured as well, ``'civet'`` or ``'fsLR'``."""

    @property
    def segmentation(self) -> str:
        """Name of the atlas, for file names."""
        return self.own_labels or DEFAULT_ATLAS


def surface_metadata(density: str, origin: SurfaceOrigin) -> dict[str, object]:
    """Describe in sidecars of surface files the mesh, and whose surfaces they are.

    Parameters
    ----------
    density : str
        ``10k`` or ``41k``.
    origin : SurfaceOrigin
        What the surfaces were made by.

    Returns
    -------
    dict
        Fields of a sidecar besides those of `bids_acc/data/outputs`.
    """
    return {
        'Density': f'{DENSITIES[density]} vertices per hemisphere, in the order of '
        f'{SUBDIVISIONS[density]}',
        'SpatialReference': TEMPLATE_MESH,
        'SurfaceSource': origin.source,
        **({'SurfaceSourceNote': origin.note} if origin.note else {}),
        'Correspondence': CORRESPONDENCE[origin.source],
        'Software': {
            **origin.software,
            'antspyx': version('antspyx'),
            'nilearn': version('nilearn'),
            'bids_acc': version('bids_acc'),
        },
    }


def mesh_metadata(settings: AnatSettings, origin: SurfaceOrigin) -> dict[str, object]:
    """Describe in sidecars the mesh of a derivative whose files are not resampled.

    Parameters
    ----------
    settings : AnatSettings
        Of which the files of labels on that mesh count.
    origin : SurfaceOrigin
        What the surfaces were made by, and on which mesh.

    Returns
    -------
    dict
        Fields of a sidecar besides those of `bids_acc/data/outputs`.
    """
    labels = (
        f'labels of {" and ".join(Path(t.split("=", 1)[1]).name for t in settings.mesh_labels)}'
        if settings.mesh_labels else 'DKT labels of CerebrA, by place in the T1w image'
    )  # fmt: skip
    return {
        'Density': f'{N_VERTICES[origin.mesh]} vertices per hemisphere, in the order of '
        f'{origin.mesh}',
        'SpatialReference': origin.mesh,
        'Correspondence': 'as its source has it; nothing was resampled',
        'Atlas': labels,
        'Software': {**origin.software, 'bids_acc': version('bids_acc')},
    }


def t1w_metadata(image_notes: Sequence[str]) -> dict[str, object]:
    """Return what the sidecar of the T1w image says.

    Parameters
    ----------
    image_notes : sequence of str
        Why this image was taken where there was a choice; may be empty.

    Returns
    -------
    dict
        ``SkullStripped``, and ``ImageSelection`` with notes.
    """
    chosen = {'ImageSelection': '; '.join(image_notes)} if image_notes else {}
    return {'SkullStripped': True, **chosen}


def atlas_metadata(origin: SurfaceOrigin) -> dict[str, str]:
    """Return which atlas the labels are of, and whose.

    Parameters
    ----------
    origin : SurfaceOrigin
        Whether its own annotation was resampled to the template's mesh.

    Returns
    -------
    dict
        ``Atlas``.
    """
    if origin.own_labels:
        return {'Atlas': f"the subject's own {origin.own_labels} labels, from its annotation"}
    return {'Atlas': PROVENANCE[DEFAULT_ATLAS]}


def metric_metadata(
    origin: SurfaceOrigin, density: str
) -> tuple[dict[str, object], dict[str, object]]:
    """Describe in sidecars how thickness and area were measured.

    Parameters
    ----------
    origin : SurfaceOrigin
        Which measured the thickness unless surfaces are the built-in ones.
    density : str
        ``10k`` or ``41k``.

    Returns
    -------
    thickness, area : dict
        Fields of both sidecars.
    """
    source = origin.source
    finer = FINER_METHOD if source == 'builtin' and density == '10k' else ''
    thickness: dict[str, Any] = {
        'Method': THICKNESS_METHOD + finer if source == 'builtin' else f'as {source} measured it'
    }
    if origin.smoothing_mm:
        thickness['Description'] = (
            'Cortical thickness at each vertex, smoothed by its source; NaN where undefined'
        )
        thickness['SmoothingFWHM'] = f'{origin.smoothing_mm:g} mm, by {source}'
    area = f'as {source} measured it' if source == 'freesurfer' else AREA_METHOD + finer
    return thickness, {'Method': area}


def init_anat_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: AnatSettings,
    omp_nthreads: int = 1,
    seed: int = 0,
    name: str = 'anat_wf',
    origin: SurfaceOrigin | None = None,
    further_runs: Sequence[Path] = (),
    image_notes: Sequence[str] = (),
) -> pe.Workflow:
    """Make surfaces with thickness and area from a T1w image.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        BIDS entities of the T1w image.
    settings : AnatSettings
        Density of the mesh, region of interest, brain extraction.
    omp_nthreads : int
        Threads of ITK; with one thread a rerun gives the same bytes.
    seed : int
        Seed of the registration.
    name : str
        Name of the workflow.
    origin : SurfaceOrigin, optional
        Where the surfaces come from; built in by default.
    further_runs : sequence of Path
        Runs of the T1w image that are averaged with ``t1w_file``.
    image_notes : sequence of str
        Why this image was taken and not another, for its sidecar.

    Inputs
    ------
    t1w_file
        The T1w image.
    brain_mask
        Brain in the space of the T1w image; without it, the brain is extracted.
    surface_dir
        FreeSurfer or CIVET subject or GIFTI anat folder, unless surfaces are built in.
    mesh_dir
        Folder with the files on ``origin.mesh``.

    Outputs
    -------
    t1w_preproc, t1w_mask, dseg
        Bias-corrected brain, its mask and most probable tissue.
    tpms
        Probabilities of GM, WM and CSF.
    template_to_t1w_xfm
        Affine and warp that carry template images to the T1w, in ANTs' order.
    t1w_to_template_xfm
        Warp and affine that carry T1w images to the template, in ANTs' order.
    white, pial, midthickness
        Left and right surface in scanner RAS of the T1w; vertices are those of the template.
    thickness, area, volume
        Left and right map; NaN where undefined.
    regions
        Table of thickness, area and volume of each region.
    parcellation, acc_labels
        Left and right atlas labels: all, and those of the region of interest.
    acc_mask
        Cortical ribbon of the region on the T1w grid.
    qc
        Table of one row.
    mesh_white, mesh_pial, mesh_midthickness, mesh_thickness, mesh_area, mesh_volume,
    mesh_parcellation
        The same on the mesh of a derivative, where ``origin.mesh`` names one.
    """
    workflow = pe.Workflow(name=name)
    origin = origin or SurfaceOrigin()
    fit_wf = _init_fit_wf(settings, origin, omp_nthreads, seed)
    sinks_wf = _init_sinks_wf(output_dir, entities, settings, origin, image_notes)
    inputnode = pe.Node(niu.IdentityInterface(fields=INPUTS), name='inputnode')
    more = MESH_FIELDS if origin.mesh else ()
    outputnode = pe.Node(niu.IdentityInterface(fields=[*OUTPUTS, *more]), name='outputnode')
    folders = ('surface_dir', 'mesh_dir')
    workflow.connect([
        (inputnode, fit_wf, [(folder, f'inputnode.{folder}') for folder in folders]),
        (fit_wf, sinks_wf, [(f'outputnode.{f}', f'inputnode.{f}') for f in (*FITTED, *more)]),
        (fit_wf, outputnode, [(f'outputnode.{f}', f) for f in (*OUTPUTS, *more)]),
    ])  # fmt: skip
    if not further_runs:
        workflow.connect(inputnode, 't1w_file', fit_wf, 'inputnode.t1w_file')
        return workflow
    average = pe.Node(
        AverageT1w(
            further_files=[str(path) for path in further_runs],
            metadata=t1w_metadata(image_notes), seed=seed,
        ),
        name='average', mem_gb=1.5,
    )  # fmt: skip
    workflow.connect([
        (inputnode, average, [('t1w_file', 't1w_file')]),
        (average, fit_wf, [('out_file', 'inputnode.t1w_file')]),
        (average, sinks_wf, [('metadata', 'inputnode.t1w_metadata')]),
    ])  # fmt: skip
    return workflow


def _init_fit_wf(
    settings: AnatSettings, origin: SurfaceOrigin, omp_nthreads: int, seed: int
) -> pe.Workflow:
    """Compute everything, without names."""
    workflow = pe.Workflow(name='fit_wf')
    more = MESH_FIELDS if origin.mesh else ()
    inputnode = pe.Node(niu.IdentityInterface(fields=INPUTS), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=[*FITTED, *more]), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    _add_volumes(workflow, settings, omp_nthreads, seed)
    _add_surfaces(workflow, settings, origin)
    _add_region(workflow, settings, origin)
    _add_measures(workflow, settings, origin)
    _add_quality(workflow, origin)
    if origin.mesh:
        _add_mesh(workflow, settings, origin)
    return workflow


def _add_volumes(
    workflow: pe.Workflow, settings: AnatSettings, omp_nthreads: int, seed: int
) -> None:
    """Add what is made of the image itself: brain, even brightness, template, tissues."""
    itk: dict[str, Any] = {'num_threads': omp_nthreads}
    prepare = pe.Node(
        PrepareT1w(skull_strip=settings.skull_strip, seed=seed, **itk),
        name='prepare', mem_gb=2.0, n_procs=omp_nthreads,
    )  # fmt: skip
    n4 = pe.Node(BiasCorrect(**itk), name='n4', mem_gb=1.5, n_procs=omp_nthreads)
    register = pe.Node(
        RegisterTemplate(seed=seed, **itk), name='register', mem_gb=1.5, n_procs=omp_nthreads
    )
    segment = pe.Node(SegmentTissues(), name='segment', mem_gb=1.5)
    density_map = pe.Node(ModulateGrey(), name='modulate', mem_gb=1.5)
    inputnode, outputnode = (workflow.get_node(n) for n in ('inputnode', 'outputnode'))
    workflow.connect([
        (inputnode, prepare, [('t1w_file', 't1w_file'), ('brain_mask', 'brain_mask')]),
        (prepare, n4, [('out_file', 'in_file'), ('mask_file', 'mask_file')]),
        (n4, register, [('out_file', 'in_file')]),
        (prepare, segment, [('mask_file', 'mask_file')]),
        (n4, segment, [('out_file', 'in_file')]),
        (register, segment, [('images_to_t1w', 'images_to_t1w')]),
        (segment, density_map, [('tpms', 'tpms')]),
        (register, density_map, [('points_to_t1w', 'points_to_t1w')]),
        (prepare, outputnode, [('mask_file', 't1w_mask'), ('mask_metadata', 'mask_metadata')]),
        (n4, outputnode, [('out_file', 't1w_preproc')]),
        (register, outputnode, [('images_to_t1w', 'template_to_t1w_xfm'),
                                ('points_to_t1w', 't1w_to_template_xfm')]),
        (segment, outputnode, [('tpms', 'tpms'), ('dseg', 'dseg')]),
        (density_map, outputnode, [('out_file', 'gm_density')]),
    ])  # fmt: skip


def _add_surfaces(workflow: pe.Workflow, settings: AnatSettings, origin: SurfaceOrigin) -> None:
    """Add surfaces with thickness and area: built in, or those of another program."""
    inputnode, n4, register, segment, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'n4', 'register', 'segment', 'outputnode')
    )
    density = settings.density
    if origin.source == 'builtin':
        surfaces = pe.Node(FitSurfaces(density=density), name='surfaces', mem_gb=1.5)
        workflow.connect([
            (n4, surfaces, [('out_file', 'in_file')]),
            (segment, surfaces, [('tpms', 'tpms')]),
            (register, surfaces, [('points_to_t1w', 'points_to_t1w'),
                                  ('images_to_t1w', 'images_to_t1w')]),
        ])  # fmt: skip
    else:
        surfaces = pe.Node(
            ExternalSurfaces(source=origin.source, density=density), name='surfaces', mem_gb=1.5
        )
        workflow.connect(inputnode, 'surface_dir', surfaces, 'surface_dir')
    # CIVET has no sphere: its vertices are matched through the registration to the template
    if origin.source == 'civet':
        workflow.connect(register, 'points_to_t1w', surfaces, 'points_to_t1w')
    workflow.connect([
        (surfaces, outputnode, [*BOTH, ('midthickness', 'midthickness'), *VERTEX_MAPS,
                                ('volume', 'volume')]),
    ])  # fmt: skip


def _add_region(workflow: pe.Workflow, settings: AnatSettings, origin: SurfaceOrigin) -> None:
    """Add the region of interest: labels at the vertices, and its ribbon on the T1w grid."""
    n4, surfaces, outputnode = (workflow.get_node(n) for n in ('n4', 'surfaces', 'outputnode'))
    region = pe.Node(
        RegionOfInterest(
            density=settings.density,
            roi=tuple(settings.roi),
            atlases=tuple(settings.atlas),
            own_atlas=origin.own_labels,
            metadata={**surface_metadata(settings.density, origin), **atlas_metadata(origin)},
        ),
        name='region', mem_gb=0.5,
    )  # fmt: skip
    if origin.own_labels:
        workflow.connect(surfaces, 'parcellation', region, 'labels')
    workflow.connect([
        (surfaces, region, BOTH),
        (n4, region, [('out_file', 'grid_file')]),
        (region, outputnode, [('parcellation', 'parcellation'), ('roi_labels', 'acc_labels'),
                              ('roi_mask', 'acc_mask'), ('metadata', 'roi_metadata')]),
    ])  # fmt: skip


def _add_measures(workflow: pe.Workflow, settings: AnatSettings, origin: SurfaceOrigin) -> None:
    """Add the table of what was measured in each region of each atlas."""
    inputnode, n4, register, segment, surfaces, density_map, outputnode = (
        workflow.get_node(n)
        for n in ('inputnode', 'n4', 'register', 'segment', 'surfaces', 'modulate', 'outputnode')
    )
    regions = pe.Node(
        MeasureRegions(
            density=settings.density, atlases=tuple(settings.atlas), own_atlas=origin.own_labels
        ),
        name='regions', mem_gb=2.0,
    )  # fmt: skip
    if origin.own_labels:
        workflow.connect(surfaces, 'parcellation', regions, 'labels')
    if origin.source == 'freesurfer':
        workflow.connect(inputnode, 'surface_dir', regions, 'freesurfer_dir')
    workflow.connect([
        (surfaces, regions, [(name, name) for name in MAPS]),
        (n4, regions, [('out_file', 'grid_file')]),
        (segment, regions, [('tpms', 'tpms')]),
        (register, regions, [('images_to_t1w', 'images_to_t1w')]),
        (density_map, regions, [('out_file', 'density_file')]),
        (regions, outputnode, [('out_file', 'regions'), ('metadata', 'regions_metadata'),
                               ('dseg', 'region_labels'), ('dseg_table', 'region_names')]),
    ])  # fmt: skip


def _add_quality(workflow: pe.Workflow, origin: SurfaceOrigin) -> None:
    """Add the table of quality and the figures."""
    prepare, n4, register, segment, surfaces, region, regions, outputnode = (
        workflow.get_node(n)
        for n in ('prepare', 'n4', 'register', 'segment', 'surfaces', 'region', 'regions',
                  'outputnode')
    )  # fmt: skip
    quality = pe.Node(
        AnatQuality(surface_source=origin.source, surface_note=origin.note),
        name='quality', mem_gb=0.8,
    )  # fmt: skip
    figures = pe.Node(AnatFigures(), name='figures', mem_gb=1.0)
    workflow.connect([
        (regions, quality, [('facts', 'region_facts')]),
        (prepare, quality, [('mask_file', 'mask_file'), ('facts', 'facts')]),
        (n4, quality, [('out_file', 'in_file')]),
        (register, quality, [('points_to_t1w', 'points_to_t1w')]),
        (segment, quality, [('tpms', 'tpms'), ('model_file', 'model_file')]),
        (surfaces, quality, [*BOTH, *VERTEX_MAPS]),
        (region, quality, [('roi_labels', 'roi_labels')]),
        (n4, figures, [('out_file', 'in_file')]),
        (surfaces, figures, BOTH),
        (region, figures, [('roi_labels', 'roi_labels')]),
        (register, figures, [('images_to_t1w', 'images_to_t1w')]),
        (quality, outputnode, [('out_file', 'qc')]),
        (figures, outputnode, [('surfaces', 'surfaces_figure'),
                               ('registration', 'registration_figure'),
                               ('template', 'template_figure')]),
    ])  # fmt: skip


def _add_mesh(workflow: pe.Workflow, settings: AnatSettings, origin: SurfaceOrigin) -> None:
    """Add the measures on the mesh of a derivative, which is not resampled."""
    inputnode, regions, outputnode = (
        workflow.get_node(n) for n in ('inputnode', 'regions', 'outputnode')
    )
    mesh = pe.Node(
        CorrespondingSurfaces(space=origin.mesh, label_files=tuple(settings.mesh_labels)),
        name='mesh', mem_gb=1.0,
    )  # fmt: skip
    workflow.connect([
        (inputnode, mesh, [('mesh_dir', 'mesh_dir')]),
        (regions, mesh, [('dseg', 'region_labels')]),
        (mesh, outputnode, [(f.removeprefix('mesh_'), f) for f in MESH_FIELDS]),
    ])  # fmt: skip


@dataclass(frozen=True)
class _Sinks:
    """Where the results of one image are kept, and under which names."""

    workflow: pe.Workflow
    output_dir: Path
    entities: Metadata

    def keep(self, field: str, key: str, metadata: dict[str, object] | str | None = None) -> None:
        """Keep one file.

        Parameters
        ----------
        field : str
            Of the input node.
        key : str
            Row of the table of outputs.
        metadata : dict or str, optional
            What the sidecar says besides, or the field that holds it.
        """
        inputnode = self.workflow.get_node('inputnode')
        sink = init_sink(key, output_dir=self.output_dir, entities=self.entities)
        if isinstance(metadata, str):
            self.workflow.connect(inputnode, metadata, sink, 'metadata')
        else:
            sink.inputs.metadata = metadata or {}
        self.workflow.connect(inputnode, field, sink, 'in_file')
        if field in OUTPUTS:
            sink.interface.answers = (field, None)

    def keep_each(
        self, field: str, key: str, each: Sequence[Mapping[str, str]],
        metadata: list[dict[str, object]] | str,
    ) -> None:  # fmt: skip
        """Keep each file of a list, under entities of its own.

        Parameters
        ----------
        field : str
            Of the input node, with as many files.
        key : str
            Row of the table of outputs.
        each : sequence of mapping
            Entities that tell the files apart.
        metadata : list of dict, or str
            What each sidecar says besides, or the field that holds such a list.
        """
        parts = self._split(field, len(each))
        told = self._split(metadata, len(each)) if isinstance(metadata, str) else None
        for number, extra in enumerate(each):
            sink = init_sink(key, output_dir=self.output_dir, entities=self.entities, **extra)
            if told is not None:
                self.workflow.connect(told, f'out{number + 1}', sink, 'metadata')
            else:
                sink.inputs.metadata = metadata[number]
            self.workflow.connect(parts, f'out{number + 1}', sink, 'in_file')
            if field in OUTPUTS or field in MESH_FIELDS:
                sink.interface.answers = (field, number)

    def _split(self, field: str, n: int) -> pe.Node:
        """Take a list apart."""
        node = pe.Node(
            niu.Split(splits=[1] * n, squeeze=True), name=f'split_{field}',
            run_without_submitting=True,
        )  # fmt: skip
        self.workflow.connect(self.workflow.get_node('inputnode'), field, node, 'inlist')
        return node


def _init_sinks_wf(
    output_dir: Path,
    entities: Metadata,
    settings: AnatSettings,
    origin: SurfaceOrigin,
    image_notes: Sequence[str] = (),
) -> pe.Workflow:
    """Keep every result under its BIDS name."""
    workflow = pe.Workflow(name='sinks_wf')
    more = MESH_FIELDS if origin.mesh else ()
    inputnode = pe.Node(
        niu.IdentityInterface(fields=[*FITTED, *more, 't1w_metadata']), name='inputnode'
    )
    workflow.add_nodes([inputnode])
    sinks = _Sinks(workflow, output_dir, entities)
    _keep_volumes(sinks, image_notes)
    _keep_regions(sinks, tuple(settings.roi), origin)
    _keep_surfaces(sinks, settings.density, origin)
    if origin.mesh:
        _keep_mesh(sinks, settings, origin)
    return workflow


def _keep_volumes(sinks: _Sinks, image_notes: Sequence[str]) -> None:
    """Keep images, transforms, quality and figures."""
    workflow = sinks.workflow
    sinks.keep('t1w_preproc', 'anat_t1w', t1w_metadata(image_notes))
    # replaces the metadata above where runs were averaged; undefined otherwise
    workflow.connect(
        workflow.get_node('inputnode'), 't1w_metadata',
        workflow.get_node('ds_anat_t1w'), 'metadata',
    )  # fmt: skip
    sinks.keep('t1w_mask', 'anat_brain_mask', 'mask_metadata')
    sinks.keep('dseg', 'anat_dseg')
    sinks.keep('qc', 'anat_qc')
    sinks.keep('surfaces_figure', 'anat_surfaces_figure')
    sinks.keep('registration_figure', 'anat_registration_figure')
    sinks.keep('template_figure', 'anat_template_figure')
    sinks.keep_each('tpms', 'anat_tpm', [{'label': tissue} for tissue in TISSUES], [{}] * 3)
    affine = {'desc': 'affine', 'extension': '.mat'}
    warp = {'desc': 'warp', 'extension': '.nii.gz'}
    # ANTs applies a list of transforms from its end: there and back are in opposite order
    sinks.keep_each('template_to_t1w_xfm', 'anat_xfm', [affine, warp], [{}, {}])
    sinks.keep_each('t1w_to_template_xfm', 'anat_xfm_to_template', [warp, affine], [{}, {}])
    sinks.keep('gm_density', 'anat_gm_density')


def _keep_regions(sinks: _Sinks, roi: Sequence[str], origin: SurfaceOrigin) -> None:
    """Keep the region of interest and what was measured in all regions."""
    sinks.keep('acc_mask', 'anat_roi_mask', {**atlas_metadata(origin), 'Labels': list(roi)})
    sinks.keep('regions', 'anat_regions', 'regions_metadata')
    sinks.keep('region_labels', 'anat_region_labels')
    sinks.keep('region_names', 'anat_region_names')


def _keep_surfaces(sinks: _Sinks, density: str, origin: SurfaceOrigin) -> None:
    """Keep surfaces, and maps and labels at their vertices."""
    hemis = [{'hemisphere': hemi, 'density': density} for hemi in HEMISPHERES]
    labelled = [{**hemi, 'segmentation': origin.segmentation} for hemi in hemis]
    mesh, atlas = surface_metadata(density, origin), atlas_metadata(origin)
    thickness, area = metric_metadata(origin, density)
    for kind in ('white', 'pial', 'midthickness'):
        sinks.keep_each(kind, f'anat_{kind}', hemis, [mesh] * 2)
    sinks.keep_each('thickness', 'anat_thickness', hemis, [{**mesh, **thickness}] * 2)
    sinks.keep_each('area', 'anat_area', hemis, [{**mesh, **area}] * 2)
    sinks.keep_each('volume', 'anat_volume', hemis, [{**mesh, 'Method': VOLUME_METHOD}] * 2)
    sinks.keep_each('undefined', 'anat_undefined', hemis, [mesh] * 2)
    sinks.keep_each('parcellation', 'anat_parcellation', labelled, [{**mesh, **atlas}] * 2)
    sinks.keep_each('acc_labels', 'anat_roi_labels', labelled, 'roi_metadata')


def _keep_mesh(sinks: _Sinks, settings: AnatSettings, origin: SurfaceOrigin) -> None:
    """Keep what was measured on the mesh of a derivative."""
    own = mesh_metadata(settings, origin)
    sides = [{'hemisphere': hemi} for hemi in HEMISPHERES]
    named = 'given' if settings.mesh_labels else 'CerebrA'
    for kind in MESH_FIELDS:
        key = on_mesh(f'anat_{kind.removeprefix("mesh_")}', origin.mesh)
        extra = {'segmentation': named} if kind == 'mesh_parcellation' else {}
        sinks.keep_each(kind, key, [{**side, **extra} for side in sides], [own] * 2)


THICKNESS_METHOD = (
    'Mean of the distances white vertex to pial surface and pial vertex to white surface '
    '(Fischl and Dale 2000)'
)
"""How thickness was measured, for the sidecar."""
AREA_METHOD = 'A third of the area of the triangles around the vertex, on the mid-surface'
"""How area was measured, for the sidecar."""
VOLUME_METHOD = (
    'A third of the volume of the prisms around the vertex, between the white and the pial '
    'surface (exact for bilinear sides)'
)
"""How volume was measured, for the sidecar."""
FINER_METHOD = '; measured on the mesh of 40962 vertices that this one is subdivided into'
"""What the sidecar says besides of a coarser mesh with built-in surfaces."""
