"""Run an engine on a spectrum, or on the blocks of a series."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import SupportsFloat

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bids_acc.mrs.engines.request import FitRequest
from bids_acc.mrs.engines.run import run_blocks, run_engine
from bids_acc.mrs.interfaces.traits import given
from bids_acc.mrs.levels.timecourse import (
    contrast_table,
    course_lines,
    course_table,
)
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.results.records import save_record
from bids_acc.mrs.scan.io import read_nifti_mrs
from bids_acc.mrs.scan.report import BlockRecord, PreprocessingReport
from bids_acc.tables.writing import write_tsv

COURSE_SHOWN = ('Glu', 'Glx', 'GABA', 'tNAA', 'tCho')
"""Metabolites in the figure of a time course."""


class _FitInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, desc='preprocessed decay, NIfTI-MRS; averages of blocks')
    report_file = File(exists=True, mandatory=True, desc='report of preprocessing')
    water_file = File(exists=True, desc='combined and averaged water, NIfTI-MRS')
    svs_file = File(exists=True, desc='raw spectrum, whose name finds imported fits')
    engine = traits.Enum('builtin', 'lcmodel', 'import', mandatory=True, desc='engine')
    basis = traits.Str('simulate', usedefault=True, desc='simulate, a file or a folder')
    fits_dir = traits.Str(desc="folder of other programs' fits")
    sequence = traits.Str('', usedefault=True, desc='press, steam, slaser; empty reads metadata')
    acquisition = traits.Str('', usedefault=True, desc='label of the acq entity')
    te1 = traits.Float(desc='first part of the echo time in s')
    tm = traits.Float(desc='mixing time in s')
    macromolecules = traits.Str(
        'auto', usedefault=True, desc='auto, parametrised, none, or a measured spectrum'
    )
    cache_dir = traits.Str(desc='folder where simulated basis sets are kept')
    seed = traits.Int(0, usedefault=True, desc='of the noise by which the fit is probed')
    baseline_ed_per_ppm = traits.Float(desc='stiffness of the baseline')
    ppm_max = traits.Float(4.2, usedefault=True, desc='upper end of the range that is fitted')


class _FitOutputSpec(TraitedSpec):
    result_file = File(exists=True, desc='engine result, JSON')
    basis_info = traits.Dict(desc='basis set, for sidecars')


class FitSpectrum(SimpleInterface):
    """Fit a spectrum, or import another program's fit of it."""

    input_spec = _FitInputSpec
    output_spec = _FitOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data = read_nifti_mrs(self.inputs.in_file, {})
        request = self._request(Path(runtime.cwd))
        result, basis_info = run_engine(data, request)
        out_file = save_record(result, Path(runtime.cwd) / 'result.json')
        # kept as a file too, for the tables of a spectrum of which a later step fails
        kept = Path(runtime.cwd) / 'basis_info.json'
        kept.write_text(json.dumps(basis_info, default=str))
        self._results['result_file'] = str(out_file)
        # through JSON and back, so that the node's result and its file hold the same
        self._results['basis_info'] = json.loads(kept.read_text())
        return runtime

    def _request(self, work_dir: Path) -> FitRequest:
        """Gather what is asked of the engine."""
        report: PreprocessingReport = json.loads(Path(self.inputs.report_file).read_text())
        # height of NAA in ON over OFF tells where an editing pulse struck that no field names
        naa = (report.get('editing') or {}).get('naa_ratio')
        return FitRequest(
            engine=self.inputs.engine,
            basis=self.inputs.basis,
            fits_dir=given(self.inputs.fits_dir),
            svs_name=Path(self.inputs.svs_file).name if given(self.inputs.svs_file) else '',
            sequence=self.inputs.sequence,
            acquisition=self.inputs.acquisition,
            te1=given(self.inputs.te1),
            tm=given(self.inputs.tm),
            baseline_ed_per_ppm=given(self.inputs.baseline_ed_per_ppm),
            macromolecules=self.inputs.macromolecules,
            ppm_max=self.inputs.ppm_max,
            cache_dir=given(self.inputs.cache_dir),
            unusable=report['unusable'],
            metadata=report['metadata'],
            water_amplitude=report['water_amplitude'],
            water_file=given(self.inputs.water_file),
            seed=self.inputs.seed,
            naa_ratio=float(naa) if isinstance(naa, SupportsFloat) else math.nan,
            work_dir=work_dir,
        )


class _FitBlocksOutputSpec(TraitedSpec):
    course_file = File(exists=True, desc='a level for each block')
    contrast_file = File(exists=True, desc='differences between blocks')
    plot_file = File(exists=True, desc='figure, SVG')


class FitBlocks(FitSpectrum):
    """Fit the blocks of a series and compare them; empty tables where there are none."""

    output_spec = _FitBlocksOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_course, plot_no_fit
        from bids_acc.report.figures import save_figure

        cwd, in_file = Path(runtime.cwd), given(self.inputs.in_file)
        results: list[EngineResult] = []
        blocks: list[BlockRecord] = []
        # no blocks where preprocessing found none, for a reason that stands among its notes
        if in_file is not None:
            report: PreprocessingReport = json.loads(Path(self.inputs.report_file).read_text())
            blocks = report['blocks']
            results = run_blocks(read_nifti_mrs(in_file, {}), self._request(cwd))
        course = course_table(results, blocks)
        tables = {'course': course, 'contrast': contrast_table(course)}
        for name, table in tables.items():
            path = cwd / f'{name}.tsv'
            write_tsv(path, table)
            self._results[f'{name}_file'] = str(path)
        lines = course_lines(course, COURSE_SHOWN)
        figure = plot_course(lines) if lines else plot_no_fit('no blocks')
        self._results['plot_file'] = str(save_figure(figure, cwd / 'course.svg'))
        return runtime
