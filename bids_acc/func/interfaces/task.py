"""Nipype shells: task response of one run, and fixed effects over the runs of a task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    Bunch,
    DynamicTraitedSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from nipype.interfaces.io import add_traits

from bids_acc.func.connectivity import degrees_of_freedom
from bids_acc.func.interfaces.measuring import (
    JoinInputSpec,
    RunInputSpec,
    gated,
    prepare_run,
    write_carpet,
    write_sides,
)
from bids_acc.func.joining import join_quality, numbered
from bids_acc.func.measuring import (
    carpet_of,
    find_regions,
    findings_of,
    joined_members,
    places_of,
    quality_of,
)
from bids_acc.func.regions import mean_series
from bids_acc.func.task import (
    ConditionContrast,
    Response,
    TaskAbout,
    check_left,
    design_matrix,
    events_and_notes,
    fit_run,
    fixed_effects,
    not_told,
    present_contrasts,
)
from bids_acc.images.files import format_table
from bids_acc.surfaces.template import HEMISPHERES
from bids_acc.typing import FloatArray

PARTS = ('effect', 'variance', 'z')
MESH = 'mesh_'
"""What the names of maps on the mesh of a derivative begin with."""


class _FitTaskInputSpec(RunInputSpec):
    contrasts = traits.List(traits.Dict(), mandatory=True, desc='name, words and weights')


class _FitTaskOutputSpec(TraitedSpec):
    measures = File(exists=True, desc='effects of the run')
    carpet = File(exists=True, desc='series before and after, and motion, for the picture')


class FitTask(SimpleInterface):
    """Fit the design of one run at the vertices and regions."""

    input_spec = _FitTaskInputSpec
    output_spec = _FitTaskOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        prepared, anat, choices = prepare_run(self.inputs)
        facts, cleaning = prepared.facts, prepared.cleaning
        n_volumes = len(cleaning.kept)
        # onsets are counted from the first volume that the scanner stored
        whole = (n_volumes + facts.n_dummy) * facts.repetition_time
        events, said = events_and_notes(Path(facts.events), whole)
        # taken out of the fit, and not of the series: the response to an event runs on through
        # them
        spikes = np.eye(n_volumes)[:, ~cleaning.kept]  # a regressor for each censored volume
        extra = pd.DataFrame(spikes, columns=[f'censored{n}' for n in range(spikes.shape[1])])
        design = design_matrix(
            events, n_volumes, facts.n_dummy, facts.repetition_time, facts.start_time,
            pd.concat([cleaning.regressors.reset_index(drop=True), extra], axis=1),
        )  # fmt: skip
        check_left(design, events, facts.name)
        asked = [ConditionContrast(**one) for one in self.inputs.contrasts]
        contrasts, absent = present_contrasts(asked, events, facts.name)
        reasons, badly = not_told(design, contrasts, facts.name)
        said += [*absent, *badly]
        groups = find_regions(prepared, anat, choices)
        regions = np.hstack([mean_series(places_of(prepared, on), one) for one, on in groups])
        # cortex without signal has noise, which a design explains here and there
        vertices = np.where(prepared.signal, prepared.series.vertices, np.nan)
        places = [vertices, regions]
        if prepared.other is not None:
            there = np.where(prepared.other.signal, prepared.other.series.vertices, np.nan)
            places.append(there)
        found = fit_run(np.hstack(places), design, contrasts)
        members = joined_members([one for one, _ in groups])
        dof = degrees_of_freedom(
            int(cleaning.kept.sum()), cleaning.n_regressors, choices.band, facts.repetition_time
        )
        about = {
            'report': quality_of(prepared, choices, dof, members),
            'findings': [
                *findings_of(prepared, members, choices.atlas), *(f'{text}.' for text in said)
            ],
            'names': [r.name for r in members.regions], 'kinds': [r.kind for r in members.regions],
            'networks': [r.network for r in members.regions], 'reasons': list(members.reasons),
            'n_vertices': int(vertices.shape[1]), 'dof': {n: r.dof for n, r in found.items()},
            'not_told': reasons,
        }  # fmt: skip
        arrays: dict[str, Any] = {
            f'{name}__{part}': getattr(one, part) for name, one in found.items() for part in PARTS
        }
        path = Path(runtime.cwd) / 'task.npz'
        np.savez(
            path, about=np.array(json.dumps(about)), coverage=np.array(members.coverage), **arrays
        )
        self._results['measures'] = str(path)
        carpet = write_carpet(Path(runtime.cwd) / 'carpet.npz', carpet_of(prepared))
        self._results['carpet'] = str(carpet)
        return runtime


class JoinTask(SimpleInterface):
    """Combine the runs of a task, and write maps and tables."""

    input_spec = JoinInputSpec
    output_spec = DynamicTraitedSpec

    def __init__(
        self, contrasts: Sequence[str] = (), *, on_mesh: bool = False, **inputs: object
    ) -> None:
        """Take the names of the contrasts, which name outputs, and whether there is a mesh."""
        super().__init__(**inputs)
        self._contrasts = list(contrasts)
        self._starts = ('', MESH) if on_mesh else ('',)

    def _outputs(self) -> TraitedSpec:
        """Return one output for each contrast, part and side."""
        names = [f'{start}{name}_{part}_{side}' for name in self._contrasts
                 for start in self._starts for part in ('effect', 'z')
                 for side in HEMISPHERES]  # fmt: skip
        return add_traits(super()._outputs(), [*names, 'table', 'qc', 'joined', 'metadata'])

    def _run_interface(self, runtime: Bunch) -> Bunch:
        folder = Path(runtime.cwd)
        runs = [_read(Path(path)) for path in self.inputs.measures]
        about = runs[0][0]
        rows, maps = [], {}
        on_mesh: dict[str, Any] = {}
        for name in self._contrasts:
            # a run without events of a condition says nothing about its contrasts
            having = [one for one in runs if name in one[0]['dof']]
            found = fixed_effects([_response(one, name) for one in having])
            why = (
                '' if np.isfinite(found.variance).any() else having[0][0]['not_told'].get(name, '')
            )
            n = about['n_vertices']
            maps[f'{name}_effect'], maps[f'{name}_z'] = found.effect[:n], found.z[:n]
            rows.append(_rows(name, found, about, runs[0][1]['coverage'], why))
            first = n + len(about['names'])
            on_mesh |= {f'{MESH}{name}_effect': found.effect[first:],
                        f'{MESH}{name}_z': found.z[first:]}  # fmt: skip
        self._results |= write_sides(folder, maps, about['n_vertices'] // 2)
        if MESH in self._starts:
            size = len(next(iter(on_mesh.values())))
            self._results |= write_sides(folder, on_mesh, size // 2)
        report = join_quality([one[0]['report'] for one in runs])
        tables = {
            'table': pd.concat(rows, ignore_index=True),
            'qc': pd.DataFrame([gated(report, self.inputs.gate)]),
        }
        for key, table in tables.items():
            self._results[key] = str(format_table(table, folder / f'{key}.tsv'))
        kept: dict[str, Any] = {k: v for k, v in maps.items() if k.endswith('_effect')}
        np.savez(folder / 'joined.npz', **kept)
        self._results['joined'] = str(folder / 'joined.npz')
        self._results['metadata'] = {
            **self.inputs.about,
            'Findings': numbered([one[0]['findings'] for one in runs]),
            'RepetitionTime': report['repetition_time'], 'NumberOfVolumes': report['n_kept'],
        }  # fmt: skip
        return runtime


def _read(path: Path) -> tuple[TaskAbout, dict[str, FloatArray]]:
    """Read what one run gave."""
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files if name != 'about'}
        about: TaskAbout = json.loads(str(content['about']))
    return about, arrays


def _response(run: tuple[TaskAbout, dict[str, FloatArray]], name: str) -> Response:
    """Return a contrast of one run."""
    about, arrays = run
    parts = {part: arrays[f'{name}__{part}'] for part in PARTS}
    return Response(**parts, dof=about['dof'][name])


def _rows(
    name: str, found: Response, about: TaskAbout, coverage: FloatArray, why: str
) -> pd.DataFrame:
    """List a contrast by region, with the reason why it has no value in any."""
    n = about['n_vertices']
    here = slice(n, n + len(about['names']))
    return pd.DataFrame(
        {
            'contrast': name,
            'region': about['names'],
            'kind': about['kinds'],
            'network': [network or np.nan for network in about['networks']],
            'effect': found.effect[here],
            'se': np.sqrt(found.variance[here]),
            'z': found.z[here],
            'dof': found.dof,
            'coverage': coverage,
            'reason': [reason or why or np.nan for reason in about['reasons']],
        }
    )
