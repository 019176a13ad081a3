"""Nipype shell: measures that another tool has made of the runs of a task, under our names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from nipype.interfaces.io import add_traits

from bids_acc.func import joining
from bids_acc.func.finished import FinishedRun
from bids_acc.func.finished_maps import join_finished, read_finished
from bids_acc.func.interfaces.measuring import (
    NamedOutputsSpec,
    gated,
    write_joined,
    write_sides,
)
from bids_acc.surfaces.template import HEMISPHERES

TABLES = ('regions', 'markers', 'parcels', 'qc', 'matrix', 'timeseries')
"""Tables that are kept."""


class _FinishedInputSpec(BaseInterfaceInputSpec):
    runs = traits.List(traits.Dict(), mandatory=True, desc='see bids_acc.func.finished')
    density = traits.Str('41k', usedefault=True, desc='of the mesh')
    gate = traits.Str('rest-finished', usedefault=True, desc='preset, file or none')
    about = traits.Dict({}, usedefault=True, desc='who made it, for the sidecars')


class ImportFinished(SimpleInterface):
    """Read the measures of the runs of a task, join them, and write maps and tables."""

    input_spec = _FinishedInputSpec
    output_spec = NamedOutputsSpec

    def __init__(self, maps: Sequence[str] = (), **inputs: object) -> None:
        """Take the names of the maps, which name outputs."""
        # the outputs depend on what the tool has made, which is known when the graph is built
        super().__init__(**inputs)
        self._maps = list(maps)

    def _outputs(self) -> TraitedSpec:
        """Return one output for each map and side, and for each table."""
        names = [f'{name}_{side}' for name in self._maps for side in HEMISPHERES]
        return add_traits(super()._outputs(), [*names, *TABLES, 'metadata', 'joined'])

    def _run_interface(self, runtime: Bunch) -> Bunch:
        folder = Path(runtime.cwd)
        runs = [FinishedRun.from_dict(one) for one in self.inputs.runs]
        done = join_finished([read_finished(run, self.inputs.density) for run in runs])
        found, maps = done.rest, dict(done.rest.maps)
        kept = {name: maps[name] for name in self._maps}
        if kept:
            self._results |= write_sides(folder, kept, len(next(iter(kept.values()))) // 2)
        # discovery joins runs of one atlas only
        atlas = next(iter({run.atlas for run in runs}), '')
        tables = {
            'regions': joining.region_table(found),
            'markers': joining.marker_table(found, atlas),
            'parcels': done.parcels,
            'matrix': joining.matrix_table(found.matrix, found),
            'timeseries': joining.series_table(found),
            'qc': pd.DataFrame([gated(dict(found.report), self.inputs.gate)]),
        }
        self._results |= write_joined(folder, found, maps, tables, self.inputs.about)
        return runtime
