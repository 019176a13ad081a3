"""T1w to surfaces, thickness, area and the region of interest, one image at a time."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import init_sink
from bids_acc.settings import AnatSettings

from .interfaces import (
    AnatFigures,
    AnatQuality,
    BiasCorrect,
    ExternalSurfaces,
    FitSurfaces,
    PrepareT1w,
    RegionOfInterest,
    RegisterTemplate,
    SegmentTissues,
    SurfaceMetrics,
)
from .segmentation import TISSUES
from .template import (
    DENSITIES,
    HEMISPHERES,
    atlas_provenance,
    load_template,
    mask_sha256,
    region_mask,
)

OUTPUTS = (
    't1w_preproc', 't1w_mask', 'dseg', 'tpms', 'template_to_t1w_xfm', 'white', 'pial',
    'midthickness', 'thickness', 'area', 'parcellation', 'acc_labels', 'acc_mask', 'qc',
)  # fmt: skip
"""Fields of the output node."""
CORRESPONDENCE = {
    'builtin': "the template's own surfaces, carried to the subject and fitted",
    'freesurfer': 'sphere.reg',
    'gifti': 'sphere registered to fsaverage',
    'civet': 'nearest place and direction on the mid-surface, after registration of the T1w to '
    'the template',
}
"""How a subject's vertices were matched with the template's."""
INPUTS = ['t1w_file', 'surface_dir']
"""Fields of the input node."""


def surface_metadata(
    density: str, source: str = 'builtin', made_by: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what the sidecars of surface files say besides their own row."""
    mesh = 'fsaverage5' if density == '10k' else 'fsaverage5, once subdivided (not fsaverage6)'
    return {
        'Density': f'{DENSITIES[density]} vertices per hemisphere, {mesh}',
        'SpatialReference': 'fsaverage',
        'SurfaceSource': source,
        'Correspondence': CORRESPONDENCE[source],
        'Software': {
            **(made_by or {}),
            'antspyx': version('antspyx'),
            'nilearn': version('nilearn'),
            'bids_acc': version('bids_acc'),
        },
    }


def region_metadata(density: str, roi: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return labels, vertex count and SHA-256 of the region, left and right."""
    masks = [region_mask(h.labels, h.names, roi) for h in load_template(density).values()]
    return [
        {'Labels': list(roi), 'VertexCount': int(m.sum()), 'VertexMaskSHA256': mask_sha256(m)}
        for m in masks
    ]


def init_anat_wf(
    *,
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: AnatSettings,
    omp_nthreads: int = 1,
    seed: int = 0,
    name: str = 'anat_wf',
    surface_source: str = 'builtin',
    segmentation: str = 'Desikan',
    surface_software: Mapping[str, str] | None = None,
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
    surface_source : str
        ``'builtin'``, ``'freesurfer'``, ``'gifti'`` or ``'civet'``: what
        ``settings.surface_source`` came to for this subject. Volumes are always made here.
    segmentation : str
        Name of the atlas for file names; ``'DKT'`` when a FreeSurfer subject has its own.
    surface_software : mapping, optional
        Who made the surfaces, when others did: name to version.

    Inputs
    ------
    t1w_file
        The T1w image.
    surface_dir
        FreeSurfer or CIVET subject or GIFTI anat folder, unless surfaces are built in.

    Outputs
    -------
    t1w_preproc, t1w_mask, dseg
        Bias-corrected brain, its mask and most probable tissue.
    tpms
        Probabilities of GM, WM and CSF.
    template_to_t1w_xfm
        Affine and warp that carry template images to the T1w, in ANTs' order.
    white, pial, midthickness
        Left and right surface in scanner RAS of the T1w; vertices are those of the template.
    thickness, area
        Left and right map; NaN where undefined.
    parcellation, acc_labels
        Left and right atlas labels: all, and those of the region of interest.
    acc_mask
        Cortical ribbon of the region on the T1w grid.
    qc
        Table of one row.
    """
    workflow = pe.Workflow(name=name)
    fit_wf = _init_fit_wf(settings, surface_source, omp_nthreads, seed)
    sinks_wf = _init_sinks_wf(
        output_dir, entities, settings, surface_source, segmentation, surface_software
    )
    inputnode = pe.Node(niu.IdentityInterface(fields=INPUTS), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=list(OUTPUTS)), name='outputnode')
    passed = [*OUTPUTS, 'undefined', 'surfaces_figure', 'registration_figure']
    workflow.connect([
        (inputnode, fit_wf, [(f, f'inputnode.{f}') for f in INPUTS]),
        (fit_wf, sinks_wf, [(f'outputnode.{f}', f'inputnode.{f}') for f in passed]),
        (sinks_wf, outputnode, [(f'outputnode.{f}', f) for f in OUTPUTS]),
    ])  # fmt: skip
    return workflow


def _init_fit_wf(settings: AnatSettings, source: str, omp_nthreads: int, seed: int) -> pe.Workflow:
    """Compute everything, without names."""
    workflow = pe.Workflow(name='fit_wf')
    itk: dict[str, Any] = {'num_threads': omp_nthreads}
    density = settings.density
    inputnode = pe.Node(niu.IdentityInterface(fields=INPUTS), name='inputnode')
    prepare = pe.Node(
        PrepareT1w(skull_strip=settings.skull_strip, seed=seed, **itk),
        name='prepare', mem_gb=1.5, n_procs=omp_nthreads,
    )  # fmt: skip
    n4 = pe.Node(BiasCorrect(**itk), name='n4', mem_gb=1.5, n_procs=omp_nthreads)
    register = pe.Node(
        RegisterTemplate(seed=seed, **itk), name='register', mem_gb=1.5, n_procs=omp_nthreads
    )
    segment = pe.Node(SegmentTissues(), name='segment', mem_gb=1.5)
    region = pe.Node(
        RegionOfInterest(density=density, roi=tuple(settings.roi)), name='region', mem_gb=0.5
    )
    quality = pe.Node(AnatQuality(), name='quality', mem_gb=0.8)
    figures = pe.Node(AnatFigures(), name='figures', mem_gb=1.0)
    fields = [*OUTPUTS, 'undefined', 'surfaces_figure', 'registration_figure']
    outputnode = pe.Node(niu.IdentityInterface(fields=fields), name='outputnode')
    both = [('white', 'white'), ('pial', 'pial')]
    if source == 'builtin':
        surfaces = pe.Node(FitSurfaces(density=density), name='surfaces', mem_gb=1.5)
        metrics = pe.Node(SurfaceMetrics(density=density), name='metrics', mem_gb=0.5)
        workflow.connect([
            (n4, surfaces, [('out_file', 'in_file')]),
            (segment, surfaces, [('tpms', 'tpms')]),
            (register, surfaces, [('points_to_t1w', 'points_to_t1w'),
                                  ('images_to_t1w', 'images_to_t1w')]),
            (surfaces, metrics, [*both, ('undefined', 'undefined')]),
        ])  # fmt: skip
    else:
        surfaces = metrics = pe.Node(
            ExternalSurfaces(source=source, density=density), name='surfaces', mem_gb=1.5
        )
        workflow.connect(inputnode, 'surface_dir', surfaces, 'surface_dir')
        if source == 'civet':
            workflow.connect(register, 'points_to_t1w', surfaces, 'points_to_t1w')
        workflow.connect(surfaces, 'parcellation', region, 'labels')
    workflow.connect([
        (inputnode, prepare, [('t1w_file', 't1w_file')]),
        (prepare, n4, [('out_file', 'in_file'), ('mask_file', 'mask_file')]),
        (n4, register, [('out_file', 'in_file')]),
        (prepare, segment, [('mask_file', 'mask_file')]),
        (n4, segment, [('out_file', 'in_file')]),
        (register, segment, [('images_to_t1w', 'images_to_t1w')]),
        (surfaces, region, both),
        (n4, region, [('out_file', 'grid_file')]),
        (prepare, quality, [('mask_file', 'mask_file'), ('skull_stripped', 'skull_stripped')]),
        (segment, quality, [('tpms', 'tpms'), ('model_file', 'model_file')]),
        (surfaces, quality, [*both, ('undefined', 'undefined')]),
        (metrics, quality, [('thickness', 'thickness'), ('area', 'area')]),
        (region, quality, [('roi_labels', 'roi_labels')]),
        (n4, figures, [('out_file', 'in_file')]),
        (surfaces, figures, both),
        (region, figures, [('roi_labels', 'roi_labels')]),
        (register, figures, [('images_to_t1w', 'images_to_t1w')]),
        (prepare, outputnode, [('mask_file', 't1w_mask')]),
        (n4, outputnode, [('out_file', 't1w_preproc')]),
        (register, outputnode, [('images_to_t1w', 'template_to_t1w_xfm')]),
        (segment, outputnode, [('tpms', 'tpms'), ('dseg', 'dseg')]),
        (surfaces, outputnode, [*both, ('midthickness', 'midthickness'),
                                ('undefined', 'undefined')]),
        (metrics, outputnode, [('thickness', 'thickness'), ('area', 'area')]),
        (region, outputnode, [('parcellation', 'parcellation'), ('roi_labels', 'acc_labels'),
                              ('roi_mask', 'acc_mask')]),
        (quality, outputnode, [('out_file', 'qc')]),
        (figures, outputnode, [('surfaces', 'surfaces_figure'),
                               ('registration', 'registration_figure')]),
    ])  # fmt: skip
    return workflow


def _init_sinks_wf(
    output_dir: Path,
    entities: Mapping[str, Any],
    settings: AnatSettings,
    source: str,
    segmentation: str,
    made_by: Mapping[str, str] | None,
) -> pe.Workflow:
    """Keep every result under its BIDS name."""
    workflow = pe.Workflow(name='sinks_wf')
    fields = [*OUTPUTS, 'undefined', 'surfaces_figure', 'registration_figure']
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=list(OUTPUTS)), name='outputnode')
    density, roi = settings.density, tuple(settings.roi)
    own = segmentation == 'DKT'
    atlas = {'Atlas': "the subject's own DKT labels" if own else atlas_provenance()['Atlas']}
    mesh = surface_metadata(density, source, made_by)

    def keep(field: str, key: str, metadata: dict[str, Any] | None = None) -> None:
        sink = init_sink(key, output_dir=output_dir, entities=entities)
        sink.inputs.metadata = metadata or {}
        workflow.connect(inputnode, field, sink, 'in_file')
        if field in OUTPUTS:
            workflow.connect(sink, 'out_file', outputnode, field)

    def keep_each(
        field: str, key: str, each: list[dict[str, str]], metadata: list[dict[str, Any]]
    ) -> None:
        split = pe.Node(
            niu.Split(splits=[1] * len(each), squeeze=True), name=f'split_{field}',
            run_without_submitting=True,
        )  # fmt: skip
        merge = pe.Node(niu.Merge(len(each)), name=f'merge_{field}', run_without_submitting=True)
        workflow.connect(inputnode, field, split, 'inlist')
        for number, (extra, own) in enumerate(zip(each, metadata, strict=True), start=1):
            sink = init_sink(key, output_dir=output_dir, entities=entities, **extra)
            sink.inputs.metadata = own
            workflow.connect(split, f'out{number}', sink, 'in_file')
            workflow.connect(sink, 'out_file', merge, f'in{number}')
        if field in OUTPUTS:
            workflow.connect(merge, 'out', outputnode, field)

    hemis = [{'hemisphere': hemi, 'density': density} for hemi in HEMISPHERES]
    labelled = [{**hemi, 'segmentation': segmentation} for hemi in hemis]
    keep('t1w_preproc', 'anat_t1w', {'SkullStripped': True})
    keep('t1w_mask', 'anat_brain_mask')
    keep('dseg', 'anat_dseg')
    keep('acc_mask', 'anat_roi_mask', {**atlas, 'Labels': list(roi)})
    keep('qc', 'anat_qc')
    keep('surfaces_figure', 'anat_surfaces_figure')
    keep('registration_figure', 'anat_registration_figure')
    keep_each('tpms', 'anat_tpm', [{'label': tissue} for tissue in TISSUES], [{}] * 3)
    transforms = [
        {'desc': 'affine', 'extension': '.mat'}, {'desc': 'warp', 'extension': '.nii.gz'}
    ]  # fmt: skip
    keep_each('template_to_t1w_xfm', 'anat_xfm', transforms, [{}, {}])
    for kind in ('white', 'pial', 'midthickness'):
        keep_each(kind, f'anat_{kind}', hemis, [mesh] * 2)
    thick = {'Method': THICKNESS_METHOD if source == 'builtin' else f'as {source} measured it'}
    keep_each('thickness', 'anat_thickness', hemis, [{**mesh, **thick}] * 2)
    area = {
        'Method': AREA_METHOD if source in {'builtin', 'civet'} else f'as {source} measured it'
    }
    keep_each('area', 'anat_area', hemis, [{**mesh, **area}] * 2)
    keep_each('undefined', 'anat_undefined', hemis, [mesh] * 2)
    keep_each('parcellation', 'anat_parcellation', labelled, [{**mesh, **atlas}] * 2)
    known = (
        [{'Labels': list(roi)}] * 2 if source == 'freesurfer' else region_metadata(density, roi)
    )
    regions = [{**mesh, **atlas, **r} for r in known]
    keep_each('acc_labels', 'anat_roi_labels', labelled, regions)
    return workflow


THICKNESS_METHOD = (
    'Mean of the distances white vertex to pial surface and pial vertex to white surface '
    '(Fischl and Dale 2000)'
)
"""How thickness was measured, for the sidecar."""
AREA_METHOD = 'A third of the area of the triangles around the vertex, on the mid-surface'
"""How area was measured, for the sidecar."""
