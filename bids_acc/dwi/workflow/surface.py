"""Stage 3: diffusion at the vertices of the cortex."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from bids_acc.derivatives.outputs import SinkPlace, init_sink, on_mesh
from bids_acc.dwi.interfaces.alignment import AlignMaps
from bids_acc.dwi.interfaces.surface import PickSide, SampleMaps, SampleSurface
from bids_acc.dwi.interfaces.tensor import MAP_NAMES
from bids_acc.dwi.noddi import NODDI_NAMES
from bids_acc.settings import DwiSettings
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import Metadata


class SidePlace(SinkPlace):
    """Where the outputs of one hemisphere go."""

    hemisphere: str
    """``L`` or ``R``."""


VERTEX_NAMES = (*MAP_NAMES, 'coverage', 'csf', 'white', 'fa_isotropic')


def init_dwi_surface_wf(
    *,
    output_dir: Path,
    entities: Metadata,
    settings: DwiSettings,
    density: str,
    noddi_source: str = '',
    own_atlas: str = '',
    atlases: Sequence[str] = (),
    mesh: str = '',
    seed: int = 0,
    name: str = 'surface_wf',
) -> pe.Workflow:
    """Measure diffusion in the cortical ribbon.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the series.
    settings : DwiSettings
    density : str
        Of the template mesh.
    noddi_source : str
        Tool that made NODDI maps; empty without any.
    own_atlas : str
        Atlas of the parcellation; empty for DKT.
    atlases : sequence of str
        Atlases besides the shipped ones, of which regions are measured.
    mesh : str
        Another mesh on which maps are sampled as well; empty for none.
    seed : int
        Of registration.
    name : str
        Name of the workflow.

    Inputs
    ------
    series, gradients, transforms, scales, coregistration, warp, axes, outliers, slice_axis
        The series, its transforms and its bad slices.
    tpms, white, pial, parcellation
        Tissues, surfaces and regions, left and right.
    mesh_white, mesh_pial
        Only with ``mesh``.
    noddi_maps, reference, t1w_preproc, t1w_mask
        Only with ``noddi_source``.

    Outputs
    -------
    reports, parcels
        Coverage of each side and of each region.
    """
    workflow = pe.Workflow(name=name)
    fields = ['series', 'gradients', 'transforms', 'scales', 'coregistration', 'warp', 'axes',
              'outliers', 'slice_axis', 'tpms', 'white', 'pial', 'parcellation', 'noddi_maps',
              'reference', 't1w_preproc', 't1w_mask']  # fmt: skip
    fields += ['mesh_white', 'mesh_pial'] if mesh else []
    inputnode = pe.Node(niu.IdentityInterface(fields), name='inputnode')
    merged = ('reports', 'parcels')
    outputnode = pe.Node(niu.IdentityInterface(list(merged)), name='outputnode')
    gather = {n: pe.Node(niu.Merge(2), name=f'gather_{n}') for n in merged}
    noddi = _add_noddi(workflow, inputnode, seed) if noddi_source else None
    workflow.connect([(gather[n], outputnode, [('out', n)]) for n in merged])
    for number, side in enumerate(HEMISPHERES):
        node = pe.Node(
            SampleSurface(**_tensor(settings), hemisphere=side, own_atlas=own_atlas,
                          atlases=tuple(atlases)),
            name=f'sample_{side}', mem_gb=2,
        )  # fmt: skip
        pick = _connect_sampling(workflow, inputnode, node, number, ('white', 'pial'))
        workflow.connect([
            (inputnode, node, [('parcellation', 'labels')]),
            (node, gather['reports'], [('report', f'in{number + 1}')]),
            (node, gather['parcels'], [('parcels', f'in{number + 1}')]),
        ])  # fmt: skip
        where: SidePlace = {
            'output_dir': output_dir, 'entities': entities, 'hemisphere': side,
        }  # fmt: skip
        if noddi is not None:
            _add_noddi_side(workflow, noddi, pick, noddi_source, where, density=density)
        _keep_tensor(workflow, node, settings, where, density=density)
        if mesh:
            other = pe.Node(SampleSurface(**_tensor(settings), hemisphere=side),
                            name=f'sample_mesh_{side}', mem_gb=2)  # fmt: skip
            pick = _connect_sampling(
                workflow, inputnode, other, number, ('mesh_white', 'mesh_pial')
            )
            _keep_tensor(workflow, other, settings, where, mesh=mesh)
            if noddi is not None:
                _add_noddi_side(workflow, noddi, pick, noddi_source, where, mesh=mesh)
    return workflow


def _tensor(settings: DwiSettings) -> dict[str, object]:
    """Return how the tensor is fitted at the vertices."""
    return {'method': settings.tensor_fit, 'b_max': settings.b_max, 'depths': settings.depths}


def _connect_sampling(
    workflow: pe.Workflow, inputnode: pe.Node, node: pe.Node, number: int, pair: tuple[str, str]
) -> pe.Node:
    """Give a node the series, its transforms and one side's surfaces; return what picks these."""
    pick = pe.Node(PickSide(index=number), name=node.name.replace('sample', 'pick'))
    workflow.connect([
        (inputnode, pick, [(pair[0], 'white'), (pair[1], 'pial')]),
        (pick, node, [('white', 'white'), ('pial', 'pial')]),
        (inputnode, node, [('series', 'in_file'), ('gradients', 'gradients'),
                           ('transforms', 'transforms'), ('scales', 'scales'),
                           ('axes', 'axes'), ('warp', 'warp'),
                           ('outliers', 'outliers'), ('slice_axis', 'slice_axis'),
                           ('coregistration', 'coregistration'), ('tpms', 'tpms')]),
    ])  # fmt: skip
    return pick


def _keep_tensor(
    workflow: pe.Workflow, node: pe.Node, settings: DwiSettings, where: SidePlace,
    *, density: str = '', mesh: str = '',
) -> None:  # fmt: skip
    """Keep one side's maps under their names."""
    fields: dict[str, Any] = {'density': density} if density else {}
    for what in VERTEX_NAMES:
        key = on_mesh(f'dwi_vertex_{what}', mesh)
        name = f'ds_{what}_{mesh}{where["hemisphere"]}'
        sink = init_sink(key, **where, **fields, name=name)
        sink.inputs.metadata = {
            'SamplingDepths': settings.depths,
            'Weights': 'Squared grey-matter share of the voxel',
        }
        workflow.connect(node, what, sink, 'in_file')


def _add_noddi(workflow: pe.Workflow, inputnode: pe.Node, seed: int) -> pe.Node:
    """Add the alignment of a derivative's NODDI maps with the T1w image."""
    align = pe.Node(AlignMaps(seed=seed + 2), name='align_noddi', mem_gb=1)
    workflow.connect([
        (inputnode, align, [('noddi_maps', 'maps'), ('reference', 'reference'),
                            ('coregistration', 'coregistration'), ('t1w_preproc', 't1w'),
                            ('t1w_mask', 't1w_mask')]),
    ])  # fmt: skip
    return align


def _add_noddi_side(
    workflow: pe.Workflow,
    align: pe.Node,
    pick: pe.Node,
    source: str,
    where: SidePlace,
    *,
    density: str = '',
    mesh: str = '',
) -> None:
    """Add the sampling of NODDI maps at the vertices of one side."""
    side = where['hemisphere']
    node = pe.Node(SampleMaps(hemisphere=side), name=f'noddi_{mesh}{side}', mem_gb=1)
    fields: dict[str, Any] = {'density': density} if density else {}
    workflow.connect([
        (workflow.get_node('inputnode'), node, [('noddi_maps', 'maps'), ('tpms', 'tpms')]),
        (align, node, [('transform', 'transform')]),
        (pick, node, [('white', 'white'), ('pial', 'pial')]),
    ])  # fmt: skip
    for what in NODDI_NAMES:
        sink = init_sink(on_mesh(f'dwi_vertex_{what}', mesh), **where, **fields,
                         name=f'ds_{what}_{mesh}{side}')  # fmt: skip
        sink.inputs.metadata = {'GeneratedBy': source}
        workflow.connect([
            (node, sink, [(what, 'in_file')]),
        ])  # fmt: skip
