"""The whole line: its stages joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink
from bids_acc.dwi.interfaces.tensor import MAP_NAMES
from bids_acc.dwi.interfaces.tracts import TRACT_MAPS, ImportTracts, MeasureTracts
from bids_acc.dwi.workflow.engines import (
    choose_engines,
    decided_beforehand,
    field_is_left,
    step_reports,
)
from bids_acc.dwi.workflow.outputs import init_dwi_sinks_wf
from bids_acc.dwi.workflow.prepare import SERIES, init_dwi_prepare_wf
from bids_acc.dwi.workflow.surface import init_dwi_surface_wf
from bids_acc.dwi.workflow.tensor import SINK_FIELDS, draws_fields, init_dwi_tensor_wf
from bids_acc.settings import DwiSettings
from bids_acc.typing import Metadata

INPUTS = (*SERIES, 'brain_mask', 'field_map', 'noddi_maps')
MESH_INPUTS = ('mesh_white', 'mesh_pial')
ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms', 'white', 'pial', 'midthickness', 'parcellation')

MIN_VOLUMES = 30
"""Below this number `auto` does not denoise: the Marchenko-Pastur law is that of large matrices,
and of 20 volumes it was seen to take away a sixth of the white matter's FA."""


def init_dwi_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: DwiSettings,
    has_anat: bool,
    density: str = '41k',
    omp_nthreads: int = 1,
    seed: int = 0,
    name: str = 'dwi_wf',
    has_reversed_pe: bool = False,
    has_field_map: bool = False,
    source: str = '',
    noddi_source: str = '',
    tract_tables: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
    left_out: Sequence[str] = (),
    no_opposite: Sequence[str] = (),
    own_atlas: str = '',
    atlases: Sequence[str] = (),
    mesh: str = '',
) -> pe.Workflow:
    """Turn the diffusion series of a session into maps of the diffusion tensor.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the series.
    settings : DwiSettings
        Steps and engines.
    has_anat : bool
        Whether T1w image, tissues and surfaces are there; without them, maps stay in the
        space of the first b = 0 volume.
    density : str
        Of the template mesh.
    omp_nthreads : int
        Threads that one step may use.
    seed : int
        Of registration.
    name : str
        Name of the workflow.
    has_reversed_pe : bool
        Whether there are images of reversed phase encoding with known readout times.
    has_field_map : bool
        Whether there is a field map that was measured by gradient echoes.
    source : str
        Tool that corrected the series already; empty for raw data.
    noddi_source : str
        Tool that made NODDI maps; empty without any.
    tract_tables : mapping of str to str
        Tables of tracts that other tools measured, and who made each.
    notes : sequence of str
        What had to be translated or assumed to read the images.
    left_out : sequence of str
        Images that are there and not used, each with the reason.
    no_opposite : sequence of str
        Of those, the ones that might have served as images of reversed phase encoding.
    own_atlas : str
        Atlas of the parcellation; empty for DKT.
    atlases : sequence of str
        Atlases besides the shipped ones, of which regions are measured.
    mesh : str
        Another mesh on which the tensor's measures are sampled as well; empty for none.

    Inputs
    ------
    dwi_files, bval_files, bvec_files
        One of each per run.
    sidecars
        Metadata of each run.
    reversed_pe_files, reversed_pe_sidecars
        Images of reversed phase encoding besides the runs, and their metadata.
    imaginary_files
        Imaginary part of each run that is a real part.
    field_map
        Field map (only with ``has_field_map``).
    brain_mask
        Brain on the grid of the series, where ``source`` has one.
    noddi_maps
        icvf, isovf and od (only with ``noddi_source``).
    t1w_preproc, t1w_mask, tpms
        T1w image, its brain, and fractions of GM, WM and CSF (only with ``has_anat``).
    white, pial, midthickness, parcellation
        Surfaces, left and right, scanner RAS, and regions (only with ``has_anat``).
    mesh_white, mesh_pial
        The same surfaces on the other mesh (only with ``mesh``).
    template_to_t1w_xfm
        Affine and warp that carry template images to the T1w (only with an atlas of tracts).

    Outputs
    -------
    fa, md, ad, rd, mo
        Maps, in T1w space with ``has_anat``.
    qc
        Table of quality measures.
    """
    engines = choose_engines(
        settings,
        has_anat=has_anat,
        has_reversed_pe=has_reversed_pe,
        has_field_map=has_field_map,
        source=source,
    )
    workflow = pe.Workflow(name=name)
    # an atlas lies in the template, to which only the T1w image leads
    tracts = settings.tract_atlas if has_anat else None
    fields = _input_fields(has_anat=has_anat, with_tracts=bool(tracts), with_mesh=bool(mesh))
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface([*MAP_NAMES, 'qc']), name='outputnode')
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}

    prepare_wf = init_dwi_prepare_wf(
        engines=engines,
        settings=settings,
        # who names a program gets it, however few volumes there are
        min_volumes=MIN_VOLUMES if settings.denoise == 'auto' else 0,
        omp_nthreads=omp_nthreads,
        seed=seed,
    )
    tensor_wf = init_dwi_tensor_wf(
        settings=settings, engines=engines, has_anat=has_anat, seed=seed
    )
    decided = decided_beforehand(settings, engines, source, no_opposite)
    without_atlas = bool(settings.tract_atlas) and not has_anat
    sinks_wf = init_dwi_sinks_wf(
        **where, engines=engines, settings=settings, has_anat=has_anat,
        notes=[*decided, *_read_notes(notes, left_out, without_atlas=without_atlas)],
    )  # fmt: skip
    workflow.add_nodes([inputnode, prepare_wf, tensor_wf, sinks_wf, outputnode])
    _join_stages(workflow, engines)
    if tract_tables:
        _import_tracts(workflow, tract_tables, where)
    if not has_anat:
        workflow.connect(prepare_wf, 'outputnode.reference', sinks_wf, 'inputnode.background')
        return workflow

    surface_wf = init_dwi_surface_wf(
        **where, settings=settings, density=density, noddi_source=noddi_source, seed=seed,
        own_atlas=own_atlas, atlases=atlases, mesh=mesh,
    )  # fmt: skip
    workflow.add_nodes([surface_wf])
    _join_anatomy(workflow, engines)
    _join_surfaces(workflow, engines, with_mesh=bool(mesh))
    if noddi_source:
        _join_noddi(workflow)
    if tracts:
        _add_tracts(workflow, inputnode, tensor_wf, tracts, where)
    return workflow


def _input_fields(*, has_anat: bool, with_tracts: bool, with_mesh: bool) -> list[str]:
    """List what the workflow is given."""
    fields = [*INPUTS, *(ANAT_INPUTS if has_anat else ())]
    fields += ['template_to_t1w_xfm'] if with_tracts else []
    fields += MESH_INPUTS if with_mesh else ()
    return fields


def _read_notes(
    notes: Sequence[str], left_out: Sequence[str], *, without_atlas: bool
) -> list[str]:
    """Say in sentences what reading the images taught."""
    missing = ['Tracts were not measured: there is no T1w image.'] if without_atlas else []
    return [
        *(f'{text}.' for text in notes), *(f'Not used: {text}.' for text in left_out), *missing
    ]  # fmt: skip


def _handed_on(names: Iterable[str]) -> list[tuple[str, str]]:
    """Connect what one stage gives to what the next one calls the same."""
    return [(f'outputnode.{name}', f'inputnode.{name}') for name in names]


def _given(names: Iterable[str]) -> list[tuple[str, str]]:
    """Connect inputs of the whole line to a stage that calls them the same."""
    return [(name, f'inputnode.{name}') for name in names]


def _join_stages(workflow: pe.Workflow, engines: Mapping[str, str]) -> None:
    """Join what there is without a T1w image: preparation, tensor, sinks."""
    inputnode, prepare_wf, tensor_wf, sinks_wf, outputnode = (
        workflow.get_node(n)
        for n in ('inputnode', 'prepare_wf', 'tensor_wf', 'sinks_wf', 'outputnode')
    )
    chain = ['series', 'gradients', 'transforms', 'reference', 'references', 'mask', 'report',
             'slice_axis']  # fmt: skip
    # eddy leaves nothing to move, and tells what it moved
    motion = (prepare_wf, 'motion') if engines['motion'] == 'eddy' else (tensor_wf, 'transforms')
    drawn = ['fields_figure'] if draws_fields(engines) else []
    # with eddy the field is in the series already
    field = ['warp'] if field_is_left(engines) else []
    workflow.connect([
        (inputnode, prepare_wf, _given((*SERIES, 'brain_mask', 'field_map'))),
        (prepare_wf, tensor_wf, _handed_on((*chain, *field))),
        (prepare_wf, sinks_wf, _handed_on(('gradients', 'mask', 'report', 'figure',
                                           'denoised_figure', *step_reports(engines)))),
        (motion[0], sinks_wf, [(f'outputnode.{motion[1]}', 'inputnode.motion')]),
        (tensor_wf, sinks_wf, _handed_on((*SINK_FIELDS, 'runs_report', *drawn))),
        (tensor_wf, outputnode, [(f'outputnode.{n}', n) for n in MAP_NAMES]),
        (sinks_wf, outputnode, [('outputnode.qc', 'qc')]),
    ])  # fmt: skip


def _join_anatomy(workflow: pe.Workflow, engines: Mapping[str, str]) -> None:
    """Give the T1w image to what aligns with it and to the figures."""
    inputnode, tensor_wf, sinks_wf = (
        workflow.get_node(n) for n in ('inputnode', 'tensor_wf', 'sinks_wf')
    )
    workflow.connect([
        (inputnode, tensor_wf, _given(('t1w_preproc', 't1w_mask', 'tpms', 'white'))),
        (inputnode, sinks_wf, [('t1w_preproc', 'inputnode.background')]),
        (tensor_wf, sinks_wf, _handed_on(('itk_transform', 'coreg_report', 'coreg_figure',
                                          'anatomy_figure', 'distortion_figure'))),
    ])  # fmt: skip
    if engines['susceptibility'] == 'registration':
        workflow.connect(
            tensor_wf, 'outputnode.distortion_report', sinks_wf, 'inputnode.susceptibility'
        )


def _join_surfaces(workflow: pe.Workflow, engines: Mapping[str, str], *, with_mesh: bool) -> None:
    """Give the series, its transforms and the surfaces to the sampling at the vertices."""
    inputnode, prepare_wf, tensor_wf, surface_wf, sinks_wf = (
        workflow.get_node(n)
        for n in ('inputnode', 'prepare_wf', 'tensor_wf', 'surface_wf', 'sinks_wf')
    )
    on_mesh = MESH_INPUTS if with_mesh else ()
    # a field by registration is made behind the coregistration, so by the tensor's own stage
    by_registration = engines['susceptibility'] == 'registration'
    field = ['warp'] if by_registration or field_is_left(engines) else []
    workflow.connect([
        (inputnode, surface_wf, _given(('tpms', 'white', 'pial', 'parcellation', *on_mesh))),
        (prepare_wf, surface_wf, _handed_on(('series', 'gradients', 'slice_axis'))),
        (tensor_wf, surface_wf, _handed_on(('transforms', 'scales', 'coregistration', 'axes',
                                            'outliers', *field))),
        (surface_wf, sinks_wf, [(f'outputnode.{n}', f'inputnode.surface_{n}')
                                for n in ('reports', 'parcels')]),
    ])  # fmt: skip


def _join_noddi(workflow: pe.Workflow) -> None:
    """Give NODDI maps of a derivative to what aligns and samples them."""
    inputnode, prepare_wf, surface_wf = (
        workflow.get_node(n) for n in ('inputnode', 'prepare_wf', 'surface_wf')
    )
    workflow.connect([
        (inputnode, surface_wf, _given(('noddi_maps', 't1w_preproc', 't1w_mask'))),
        (prepare_wf, surface_wf, _handed_on(('reference',))),
    ])  # fmt: skip


def _add_tracts(
    workflow: pe.Workflow, inputnode: pe.Node, tensor_wf: pe.Workflow, atlas: str,
    where: SinkPlace,
) -> None:  # fmt: skip
    """Add the table of means over the tracts of an atlas."""
    maps = pe.Node(niu.Merge(len(TRACT_MAPS)), name='tract_maps', run_without_submitting=True)
    measure = pe.Node(MeasureTracts(atlas=atlas), name='tracts', mem_gb=1)
    sink = init_sink('dwi_tracts', **where, name='ds_tracts')
    workflow.connect([
        (tensor_wf, maps, [(f'outputnode.{n}', f'in{i}')
                           for i, n in enumerate(TRACT_MAPS, start=1)]),
        (maps, measure, [('out', 'maps')]),
        (inputnode, measure, [('tpms', 'tpms'), ('template_to_t1w_xfm', 'images_to_t1w')]),
        (measure, sink, [('out_file', 'in_file'), ('metadata', 'metadata')]),
    ])  # fmt: skip


def _import_tracts(workflow: pe.Workflow, tables: Mapping[str, str], where: SinkPlace) -> None:
    """Add the table of what other tools measured in tracts."""
    read = pe.Node(
        ImportTracts(files=list(tables), sources=list(tables.values())), name='other_tracts'
    )
    sink = init_sink('dwi_bundles', **where, name='ds_bundles')
    workflow.connect([(read, sink, [('out_file', 'in_file'), ('metadata', 'metadata')])])
