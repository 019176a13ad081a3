"""Nipype shells: one prepared run measured, and the runs of a task joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    DynamicTraitedSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.interfaces.io import add_traits

from bids_acc.func import joining
from bids_acc.func.connectivity import fisher_z
from bids_acc.func.measuring import (
    VERTEX_MAPS,
    AnatFiles,
    Carpet,
    Choices,
    PreparedRun,
    RunFiles,
    carpet_of,
    measure_on_mesh,
    measure_rest,
    prepare,
    vertex_labels,
)
from bids_acc.func.run import RUN_FIELDS, RunFacts
from bids_acc.images.files import format_table
from bids_acc.quality.sessions import judge_session, load_session_gate
from bids_acc.surfaces.atlases import DEFAULT_ATLAS
from bids_acc.surfaces.gifti import write_map
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import FloatArray, Metadata, Row

TABLES = ('regions', 'markers', 'parcels', 'qc', 'matrix', 'partial', 'timeseries')
"""Tables of a resting task."""


class AnatInputSpec(BaseInterfaceInputSpec):
    """What the T1w image gave, where there is one."""

    white = InputMultiObject(File(exists=True), desc='white surfaces, left and right')
    pial = InputMultiObject(File(exists=True), desc='pial surfaces, left and right')
    tpms = InputMultiObject(File(exists=True), desc='fractions of GM, WM, CSF')
    parcellation = InputMultiObject(File(exists=True), desc='labels, left and right')
    template_to_t1w_xfm = InputMultiObject(File(exists=True), desc='template images to T1w')
    t1w_mask = File(exists=True, desc='brain of the T1w image')
    mesh_white = InputMultiObject(File(exists=True), desc='on the mesh of a derivative')
    mesh_pial = InputMultiObject(File(exists=True), desc='on the mesh of a derivative')
    mesh_parcellation = InputMultiObject(File(exists=True), desc='on the mesh of a derivative')


class RunInputSpec(AnatInputSpec):
    """A prepared run and the settings."""

    bold = traits.List(File(exists=True), mandatory=True, desc='4D image, or left and right')
    mask = traits.Str('', usedefault=True, desc='brain on the grid of the series')
    confounds = File(exists=True, mandatory=True, desc='table of confounds')
    sidecar = traits.Str('', usedefault=True, desc='JSON of the components')
    facts = traits.Dict(mandatory=True, desc='of the run, see bids_acc.func.run')
    strategy = traits.Str('compcor', usedefault=True, desc='what is regressed out')
    censor_fd = traits.Either(None, traits.Float(), usedefault=True, desc='mm')
    band = traits.Tuple((0.01, 0.1), usedefault=True, desc='Hz')
    seeds = traits.Str('', usedefault=True, desc='table of further seeds')
    atlas = traits.Str('', usedefault=True, desc='labelled image in MNI152')
    density = traits.Str('41k', usedefault=True, desc='of the mesh')


def anat_files(inputs: BaseInterfaceInputSpec) -> AnatFiles:
    """Collect the files of the T1w image that an interface was given.

    Parameters
    ----------
    inputs : nipype.interfaces.base.BaseInterfaceInputSpec
        With the traits of `AnatInputSpec`, of which any may be undefined.
    """

    def those(name: str) -> list[Path]:
        value = getattr(inputs, name)
        return [Path(p) for p in value] if isdefined(value) else []

    def on(mesh: str, brain: Path | None = None, other: AnatFiles | None = None) -> AnatFiles:
        return AnatFiles(
            those(f'{mesh}white'), those(f'{mesh}pial'), those('tpms'),
            those(f'{mesh}parcellation'), those('template_to_t1w_xfm'), brain=brain, other=other,
        )  # fmt: skip

    brain = Path(inputs.t1w_mask) if isdefined(inputs.t1w_mask) else None
    # a derivative's mesh has its own surfaces; tissues and template are those of the same T1w
    # image
    other = on('mesh_') if isdefined(inputs.mesh_white) else None
    return on('', brain=brain, other=other)


def prepare_run(inputs: BaseInterfaceInputSpec) -> tuple[PreparedRun, AnatFiles, Choices]:
    """Read the run that an interface was given, and find where it has signal.

    Parameters
    ----------
    inputs : nipype.interfaces.base.BaseInterfaceInputSpec
        With the traits of `RunInputSpec`.

    Returns
    -------
    prepared : PreparedRun
    anat : AnatFiles
    choices : Choices

    Raises
    ------
    InputDataError
        See `prepare`.
    """
    choices = Choices(
        inputs.strategy, inputs.censor_fd, tuple(inputs.band),
        Path(inputs.seeds) if inputs.seeds else None,
        Path(inputs.atlas) if inputs.atlas else None, inputs.density,
    )  # fmt: skip
    files = RunFiles(
        [Path(p) for p in inputs.bold], Path(inputs.mask) if inputs.mask else None,
        Path(inputs.confounds), Path(inputs.sidecar) if inputs.sidecar else None,
    )  # fmt: skip
    anat = anat_files(inputs)
    return prepare(files, RunFacts.from_dict(inputs.facts), anat, choices), anat, choices


class _PickRunInputSpec(BaseInterfaceInputSpec):
    bold_files = traits.List(traits.List(File(exists=True)), mandatory=True, desc='of each run')
    mask_files = traits.List(traits.Str(), mandatory=True, desc='of each run')
    confounds_files = traits.List(File(exists=True), mandatory=True, desc='of each run')
    confounds_sidecars = traits.List(traits.Str(), mandatory=True, desc='of each run')
    run_facts = traits.List(traits.Dict(), mandatory=True, desc='of each run')
    number = traits.Int(mandatory=True, desc='from 0')


class _PickRunOutputSpec(TraitedSpec):
    bold = traits.List(File(exists=True), desc='4D image, or left and right')
    mask = traits.Str(desc='brain, or nothing')
    confounds = File(exists=True, desc='table')
    sidecar = traits.Str(desc='JSON, or nothing')
    facts = traits.Dict(desc='see bids_acc.func.run')


class PickRun(SimpleInterface):
    """Take one run out of those of a session."""

    input_spec = _PickRunInputSpec
    output_spec = _PickRunOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        names = ('bold', 'mask', 'confounds', 'sidecar', 'facts')
        for field, name in zip(RUN_FIELDS, names, strict=True):
            self._results[name] = getattr(self.inputs, field)[self.inputs.number]
        return runtime


class _MeasureRestOutputSpec(TraitedSpec):
    measures = File(exists=True, desc='what the run gave')
    mesh_measures = File(exists=True, desc='the same with maps on the mesh of a derivative')
    carpet = File(exists=True, desc='series before and after, and motion, for the picture')


class MeasureRest(SimpleInterface):
    """Measure local activity and connectivity in one run."""

    input_spec = RunInputSpec
    output_spec = _MeasureRestOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        prepared, anat, choices = prepare_run(self.inputs)
        found = measure_rest(prepared, anat, choices)
        folder = Path(runtime.cwd)
        self._results['measures'] = str(joining.write_rest(folder / 'rest.npz', found))
        if prepared.other is not None:
            there = measure_on_mesh(prepared, found, choices)
            self._results['mesh_measures'] = str(joining.write_rest(folder / 'mesh.npz', there))
        self._results['carpet'] = str(write_carpet(folder / 'carpet.npz', carpet_of(prepared)))
        return runtime


def write_carpet(path: Path, carpet: Carpet) -> Path:
    """Store the arrays that the carpet plot of a run is drawn from.

    Parameters
    ----------
    path : Path
        Ends in ``.npz``.
    carpet : Carpet
        Some hundred rows, not the whole series.

    Returns
    -------
    Path
        ``path``.
    """
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(carpet).items()}
    np.savez(path, **arrays)
    return path


def read_carpet(path: Path) -> Carpet:
    """Read what `write_carpet` kept.

    Parameters
    ----------
    path : Path
        Of `write_carpet`.
    """
    with np.load(path) as content:
        values = {name: content[name] for name in content.files}
    return Carpet(**{**values, 'repetition_time': float(values['repetition_time'])})


class NamedOutputsSpec(DynamicTraitedSpec):
    """Outputs that are named when the interface is made."""


def write_joined(
    folder: Path, found: joining.StoredRest, maps: Mapping[str, FloatArray],
    tables: Mapping[str, pd.DataFrame], about: Metadata,
) -> dict[str, object]:  # fmt: skip
    """Write the tables of a task and what its figures are made of.

    Parameters
    ----------
    folder : Path
    found : StoredRest
        Matrix, findings, degrees of freedom and report of the task.
    maps : mapping
        For the figures.
    tables : mapping
        Each as ``<name>.tsv``.
    about : mapping
        What the sidecars say besides.

    Returns
    -------
    dict of str to object
        The files by name, and ``metadata`` of the sidecars.
    """
    written = {
        name: str(format_table(table, folder / f'{name}.tsv')) for name, table in tables.items()
    }
    stored = folder / 'joined.npz'
    arrays: dict[str, Any] = {'matrix': found.matrix, **maps}
    np.savez(stored, **arrays)
    metadata = {
        **about,
        'Findings': list(found.findings),
        'DegreesOfFreedom': found.dof if np.isfinite(found.dof) else 'n/a',
        'RepetitionTime': found.report['repetition_time'],
        'NumberOfVolumes': found.report['n_kept'],
    }  # fmt: skip
    return {**written, 'joined': str(stored), 'metadata': metadata}


class JoinInputSpec(BaseInterfaceInputSpec):
    """Measures of the runs of a task."""

    measures = InputMultiObject(File(exists=True), mandatory=True, desc='of each run')
    parcellation = InputMultiObject(File(exists=True), desc='labels, left and right')
    own_atlas = traits.Str('', usedefault=True, desc='atlas of these; empty: DKT')
    density = traits.Str('41k', usedefault=True, desc='of the mesh')
    space = traits.Str(mandatory=True, desc='of the series')
    gate = traits.Str('rest', usedefault=True, desc='preset, file or none')
    about = traits.Dict({}, usedefault=True, desc='how it was measured, for the sidecars')


class _JoinMapsInputSpec(BaseInterfaceInputSpec):
    measures = InputMultiObject(File(exists=True), mandatory=True, desc='of each run')


class JoinMaps(SimpleInterface):
    """Join the runs of a task at rest, and write maps."""

    input_spec = _JoinMapsInputSpec
    output_spec = NamedOutputsSpec
    also: tuple[str, ...] = ()
    """Outputs besides the maps."""

    def __init__(self, seeds: Sequence[str] = (), **inputs: object) -> None:
        """Take the names of the seeds, which name outputs."""
        super().__init__(**inputs)
        self._seeds = list(seeds)

    def _outputs(self) -> TraitedSpec:
        """Return one output for each map and side, and for each table."""
        maps = [*VERTEX_MAPS, *(f'seed_{name}' for name in self._seeds)]
        names = [f'{name}_{side}' for name in maps for side in HEMISPHERES]
        return add_traits(super()._outputs(), [*names, *self.also])

    def _run_interface(self, runtime: Bunch) -> Bunch:
        self._write_maps(Path(runtime.cwd))
        return runtime

    def _write_maps(self, folder: Path) -> tuple[joining.StoredRest, dict[str, FloatArray]]:
        """Write both halves of each map; return what was joined, and the maps."""
        found = joining.join_rest([joining.read_rest(Path(p)) for p in self.inputs.measures])
        n_left = len(found.maps['reho']) // 2
        # a seed without signal has no map, and a sink waits for one: it gets a map that knows
        # nothing
        missing = np.full(len(found.maps['reho']), np.nan)
        maps = dict(found.maps)
        for name in self._seeds:
            maps[f'seed_{name}'] = fisher_z(found.seed_maps.get(name, missing))
        self._results |= write_sides(folder, maps, n_left)
        return found, maps


class JoinRest(JoinMaps):
    """Join the runs of a task at rest, and write maps and tables."""

    input_spec = JoinInputSpec
    also = (*TABLES, 'metadata', 'joined')

    def _run_interface(self, runtime: Bunch) -> Bunch:
        folder = Path(runtime.cwd)
        found, maps = self._write_maps(folder)
        n_left = len(found.maps['reho']) // 2
        own = self.inputs.parcellation if isdefined(self.inputs.parcellation) else []
        space = self.inputs.space
        labels, names = vertex_labels(own, space, self.inputs.density)
        own_atlas = self.inputs.own_atlas or DEFAULT_ATLAS
        # in a template's space the labels are the template's, whatever parcellation the person has
        atlas = own_atlas if space == 'T1w' and own else 'Desikan'
        tables = {
            'regions': joining.region_table(found),
            'markers': joining.marker_table(found),
            'parcels': joining.parcel_table(found.maps, labels, names, n_left, atlas),
            'matrix': joining.matrix_table(found.matrix, found),
            'partial': joining.matrix_table(joining.partial_matrix(found), found),
            'timeseries': joining.series_table(found),
            'qc': pd.DataFrame([gated(dict(found.report), self.inputs.gate)]),
        }
        self._results |= write_joined(folder, found, maps, tables, self.inputs.about)
        return runtime


def write_sides(folder: Path, maps: Mapping[str, FloatArray], n_left: int) -> dict[str, str]:
    """Write each map of both hemispheres as one file for the left and one for the right.

    Parameters
    ----------
    folder : Path
        For files ``<name>_<side>.shape.gii``.
    maps : mapping of str to (n_vertices,) ndarray
        Left vertices before right ones; NaN where undefined.
    n_left : int
        Vertices of the left hemisphere.

    Returns
    -------
    dict of str to str
        ``<name>_L`` and ``<name>_R`` to path.
    """
    written = {}
    for name, values in maps.items():
        for side, half in zip(HEMISPHERES, (slice(0, n_left), slice(n_left, None)), strict=True):
            path = folder / f'{name}_{side}.shape.gii'
            written[f'{name}_{side}'] = str(write_map(path, values[half], side, name))
    return written


def gated(figures: Row, gate: str) -> Row:
    """Add the verdict of a quality gate to the measures of quality.

    Parameters
    ----------
    figures : dict
        Row of the table of quality.
    gate : str
        ``none``, a preset or a file, as ``--func-gate`` takes it.

    Returns
    -------
    dict
        With ``gate`` and ``gate_reason``; ``n/a`` without a gate.
    """
    # a verdict of no gate would read as a pass
    if gate == 'none':
        return {**figures, 'gate': 'n/a', 'gate_reason': 'n/a'}
    verdict = judge_session(load_session_gate('func', gate, f'--func-gate {gate}'), figures)
    return {**figures, 'gate': verdict.word, 'gate_reason': verdict.reasons or 'n/a'}
