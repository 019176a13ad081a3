"""Magnetization transfer of one session, as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink, on_mesh
from bids_acc.mtr.interfaces import (
    AlignTransfer,
    MapTransfer,
    PlotTransfer,
    SampleTransfer,
    TabulateTransfer,
)
from bids_acc.settings import MtrSettings
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import Metadata

ANAT_INPUTS = ('t1w_preproc', 't1w_mask', 'tpms', 'white', 'pial', 'parcellation',
               'template_to_t1w_xfm')  # fmt: skip
"""What is taken of the T1w image."""
MESH_INPUTS = ('mesh_white', 'mesh_pial')
"""What is taken besides where maps are sampled on the mesh of a derivative as well."""
VERTEX_MAPS = {'mtr': 'mtr', 'coverage': 'coverage', 'csf': 'csf', 'white': 'white_share'}
"""Ending of the output key, and field, of each vertex map."""


def init_mtr_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: MtrSettings,
    density: str,
    is_map: bool,
    factor: float = 1.0,
    own_atlas: str = '',
    atlases: Sequence[str] = (),
    tract_atlas: str = '',
    mesh: str = '',
    about: Metadata | None = None,
    seed: int = 1,
    name: str = 'mtr_wf',
) -> pe.Workflow:
    """Map the magnetization transfer ratio, and measure it at vertices and in regions.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Of the images.
    settings : MtrSettings
    density : str
        Of the template mesh.
    is_map : bool
        Whether a ready map is taken and not a pair of images.
    factor : float
        What makes per cent of a ready map.
    own_atlas : str
        Atlas of the parcellation; empty for DKT.
    atlases : sequence of str
        Atlases besides the shipped ones.
    tract_atlas : str
        Atlas of tracts; empty without.
    mesh : str
        Another mesh on which maps are sampled as well; empty for none.
    about : mapping, optional
        For the sidecars: who made a ready map, and notes.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    images
        With and without saturation, in this order; or a ready map.
    t1w_preproc, t1w_mask, tpms, white, pial, parcellation, template_to_t1w_xfm
        Of the T1w image.
    mesh_white, mesh_pial
        Only with ``mesh``.

    Outputs
    -------
    qc
        Table of quality.
    """
    workflow = pe.Workflow(name=name)
    fields = ['images', *ANAT_INPUTS, *(MESH_INPUTS if mesh else ())]
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(['qc']), name='outputnode')
    chosen: dict[str, Any] = {
        'factor': factor, 'noise_floor': settings.noise_floor, 'atlases': tuple(atlases),
    }  # fmt: skip
    align = pe.Node(AlignTransfer(seed=seed), name='align', mem_gb=1)
    maps = pe.Node(MapTransfer(**chosen, tract_atlas=tract_atlas), name='map', mem_gb=1.5)
    surface = pe.Node(
        SampleTransfer(**chosen, density=density, own_atlas=own_atlas), name='sample', mem_gb=1.5
    )
    tables = pe.Node(TabulateTransfer(source='map' if is_map else 'pair'), name='tables')
    plot = pe.Node(PlotTransfer(), name='plot')
    measured = [('transforms', 'transforms'), ('report', 'report')]
    workflow.connect([
        (inputnode, align, [(n, n) for n in ('images', 't1w_preproc', 't1w_mask')]),
        (inputnode, maps, [(n, n) for n in ('images', 't1w_preproc', 't1w_mask', 'tpms',
                                            'template_to_t1w_xfm')]),
        (inputnode, surface, [(n, n) for n in ('images', 'tpms', 'white', 'pial',
                                               'parcellation')]),
        (align, maps, measured),
        (align, surface, measured),
        (surface, tables, [('rows', 'surface_rows'), ('figures', 'coverage')]),
        (maps, tables, [('rows', 'label_rows'), ('figures', 'tissue')]),
        (align, tables, [('report', 'report')]),
        (tables, outputnode, [('qc', 'qc')]),
        (maps, plot, [('out_file', 'in_file')]),
        (inputnode, plot, [('t1w_preproc', 't1w_preproc'), ('tpms', 'tpms')]),
    ])  # fmt: skip
    where: SinkPlace = {'output_dir': output_dir, 'entities': entities}
    told = dict(about or {})
    floor = {} if is_map else {'NoiseFloor': settings.noise_floor}
    for key, node, field, metadata in (
        ('mtr_map', maps, 'out_file', {**told, **floor}),
        ('mtr_xfm', align, 'itk_transform', {}),
        ('mtr_regions', tables, 'regions', told),
        ('mtr_qc', tables, 'qc', told),
        ('mtr_figure', plot, 'out_file', {}),
    ):
        sink = init_sink(key, **where, name=f'ds_{key}')
        sink.inputs.metadata = metadata
        workflow.connect(node, field, sink, 'in_file')
    _keep_vertex_maps(workflow, surface, where, told, density=density)
    if mesh:
        other = pe.Node(SampleTransfer(**chosen, density=''), name='sample_mesh', mem_gb=1.5)
        workflow.connect([
            (inputnode, other, [('images', 'images'), ('tpms', 'tpms'),
                                *((n, n.removeprefix('mesh_')) for n in MESH_INPUTS)]),
            (align, other, measured),
        ])  # fmt: skip
        _keep_vertex_maps(workflow, other, where, told, mesh=mesh)
    return workflow


def _keep_vertex_maps(
    workflow: pe.Workflow, node: pe.Node, where: SinkPlace, told: Metadata,
    *, density: str = '', mesh: str = '',
) -> None:  # fmt: skip
    """Keep the maps of both hemispheres."""
    fields: dict[str, Any] = {'density': density} if density else {}
    for ending, field in VERTEX_MAPS.items():
        for index, side in enumerate(HEMISPHERES):
            key = on_mesh(f'mtr_vertex_{ending}', mesh)
            pick = pe.Node(niu.Select(index=[index]), name=f'pick_{ending}_{mesh}{side}')
            sink = init_sink(key, **where, hemisphere=side, **fields, name=f'ds_{key}_{side}')
            sink.inputs.metadata = dict(told)
            workflow.connect(
                [(node, pick, [(field, 'inlist')]), (pick, sink, [('out', 'in_file')])]
            )
