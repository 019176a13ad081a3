"""Nipype shells: files in, formulas called, files out."""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nb
import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from scipy.sparse.linalg import ArpackError

from bids_acc.exceptions import GridMismatchError, InputDataError, MetadataError
from bids_acc.mrs.levels.tables import (
    TableInputs,
    checklist_table,
    column_meanings,
    components_table,
    concordance_lines,
    concordance_table,
    correlation_table,
    fit_table,
    level_lines,
    quality_row,
    quantity_table,
)
from bids_acc.mrs.levels.timecourse import (
    contrast_table,
    course_lines,
    course_table,
    primary_changes,
)
from bids_acc.mrs.levels.tissue import volume_fractions
from bids_acc.mrs.levels.voxel import overlap_fraction, voxel_coverage
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.results.records import load_result, save_record
from bids_acc.mrs.scan.conditions import (
    OWN_WATER,
    from_the_echo,
    repetitions_in_coils,
    tell_conditions,
    water_apart,
)
from bids_acc.mrs.scan.differences import SecondCondition, second_condition
from bids_acc.mrs.scan.io import MrsData, read_affine, read_nifti_mrs, unread, write_nifti_mrs
from bids_acc.mrs.signal.artefacts import Artefact, check_artefacts, is_clipped
from bids_acc.mrs.signal.blocks import (
    TransientBlock,
    block_averages,
    equal_blocks,
    event_blocks,
    match_widths,
)
from bids_acc.mrs.signal.preprocessing import (
    Preprocessed,
    checked_scale,
    nothing_usable,
    preprocess,
)
from bids_acc.tables.reading import read_tsv
from bids_acc.tables.writing import write_tsv

if TYPE_CHECKING:
    from bids_acc.mrs.engines.run import FitRequest

COURSE_SHOWN = ('Glu', 'Glx', 'GABA', 'tNAA', 'tCho')
"""Metabolites in the figure of a time course."""

LOGGER = logging.getLogger('nipype.interface')


def _given(value: Any) -> Any:
    """Return a trait's value, None when undefined or empty."""
    return value if isdefined(value) and value else None


def _condition(label: object) -> str:
    """Name of an editing condition without what is often written around it.

    Examples
    --------
    >>> [_condition(label) for label in ('OFF', 'edit_off', 'Edit-ON', 'OFF 7.5 ppm', 'A')]
    ['off', 'off', 'on', 'off', 'a']
    """
    words = re.split(r'[^a-z]+', str(label).lower())
    named = {'on', 'off'} & set(words)
    return named.pop() if len(named) == 1 else ' '.join(filter(None, words))


def edit_index(data: MrsData, wanted: int) -> int:
    """Editing condition to fit: the wanted one, or the one that the header calls off.

    Raises
    ------
    MetadataError
        If there are several and none can be chosen.
    """
    n_edits = data.fids.shape[2]
    if n_edits == 1:
        return 0
    if 0 <= wanted < n_edits:
        return wanted
    if n_edits > 2:
        raise MetadataError(
            f'{data.source}: {n_edits} editing conditions, as HERMES and HERCULES have: their '
            f'differences are not computed; say which condition to fit alone with '
            f'--mrs-edit-index (0 to {n_edits - 1}).'
        )
    # NIfTI-MRS has the order of the conditions in the header of their dimension, BIDS in a field
    headers = [data.metadata.get(f'dim_{axis}_header') or {} for axis in (5, 6, 7)]
    for place in (*headers, {'EditCondition': data.metadata.get('EditCondition')}):
        for key in ('EditCondition', 'EditPulse'):
            found = place.get(key) or []
            values = found.get('Value', []) if isinstance(found, dict) else found
            labels = [_condition(label) for label in values]
            if len(labels) == n_edits and labels.count('off') == 1:
                return labels.index('off')
    raise MetadataError(
        f'{data.source}: {n_edits} editing conditions and none is called OFF in the header: say '
        f'which to fit with --mrs-edit-index (0 to {n_edits - 1}).'
    )


def blocks_of(
    wanted: str, svs_file: Path, data: MrsData, events_file: Path | None = None
) -> list[TransientBlock]:
    """Divide a series into equal blocks, or by its events.

    Parameters
    ----------
    wanted : str
        A number of blocks, or ``events``.
    svs_file : Path
        Raw spectrum, whose name gives that of the events beside it.
    data : MrsData
        As read.
    events_file : Path, optional
        Its table of events, where it stands elsewhere: above the spectrum, as BIDS allows.

    Returns
    -------
    list of Block

    Raises
    ------
    InputDataError
        If there are no events, or no blocks can be made of them.
    """
    n_transients = data.fids.shape[1]
    step = data.repetition_time * data.fids.shape[2]  # conditions of an edited scan take turns
    if wanted != 'events':
        return equal_blocks(n_transients, int(wanted), step)
    usual = svs_file.name.split('.')[0].removesuffix('svs') + 'events.tsv'
    path = svs_file.with_name(usual) if events_file is None else events_file
    if not path.is_file():
        raise InputDataError(f'{path.name} is not there: add it, or give a number of blocks')
    table = read_tsv(path)
    if missing := [n for n in ('onset', 'duration') if n not in table]:
        raise InputDataError(f'{path.name}: the column {", ".join(missing)} is missing')
    numbers = table[['onset', 'duration']].apply(pd.to_numeric, errors='coerce')
    if numbers.isna().any(axis=None):
        raise InputDataError(f'{path.name}: an onset or duration is no number: correct it')
    kinds = table['trial_type'].astype(str) if 'trial_type' in table else ['event'] * len(table)
    return event_blocks(
        numbers['onset'].tolist(), numbers['duration'].tolist(), list(kinds), n_transients, step,
        data.positions,
    )  # fmt: skip


def preprocessing_report(
    data: MrsData, done: Preprocessed, reference: MrsData | None = None
) -> dict[str, Any]:
    """Say what preprocessing did to an acquisition, for the tables that follow."""
    return {
        'n_transients': done.n_transients,
        'n_transients_used': done.n_transients_used,
        'n_coils': data.fids.shape[0],
        'drift_hz': done.drift_hz,
        'preprocessing_shift_ppm': done.shift_ppm,
        'preprocessing_phase_deg': done.phase0_deg,
        'water_amplitude': done.water_amplitude,
        'fwhm_water_hz': done.water_fwhm_hz,
        'residual_water_ratio': done.residual_water_ratio,
        'ref_echo_time': math.nan if reference is None else reference.echo_time,
        'ref_repetition_time': math.nan if reference is None else reference.repetition_time,
        'voxel_volume_ml': data.voxel_volume_ml,
        'steps': done.steps,
        'artefacts': [],
        'unusable': data.unusable,
        'notes': list(data.notes),
        'metadata': data.metadata,
    }


class _PreprocessInputSpec(BaseInterfaceInputSpec):
    svs_file = File(exists=True, mandatory=True, desc='raw spectrum, NIfTI-MRS')
    svs_metadata = traits.Dict(desc='its BIDS metadata')
    ref_file = File(exists=True, desc='unsuppressed water of the same voxel, NIfTI-MRS')
    ref_metadata = traits.Dict(desc='its BIDS metadata')
    events_file = File(exists=True, desc='table of events of the series')
    eddy_current = traits.Enum('auto', 'on', 'off', usedefault=True, desc='correction from water')
    edit_index = traits.Int(-1, usedefault=True, desc='editing condition; -1 takes edit-off')
    acquisition = traits.Str('', usedefault=True, desc='label of the acq entity')
    note = traits.Str('', usedefault=True, desc='what is known beforehand about the spectrum')
    blocks = traits.Str('', usedefault=True, desc='number of blocks, or events; empty for none')


class _PreprocessOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='one corrected decay, NIfTI-MRS')
    report_file = File(exists=True, desc='steps and measures, JSON')
    water_file = File(desc='combined and averaged water, NIfTI-MRS')
    steps_file = File(exists=True, desc='one row per step')
    blocks_file = File(desc='averages of blocks, NIfTI-MRS')


class PreprocessSpectrum(SimpleInterface):
    """Combine, align, average and correct a raw spectrum."""

    input_spec = _PreprocessInputSpec
    output_spec = _PreprocessOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        data = read_nifti_mrs(self.inputs.svs_file, _given(self.inputs.svs_metadata))
        wanted = self.inputs.edit_index
        data, own_water = water_apart(repetitions_in_coils(data))
        data = tell_conditions(data, self.inputs.acquisition, wanted)
        condition = edit_index(data, wanted)
        reference, notes = self._reference(data)
        if reference is None and own_water is not None:
            notes = [*(notes if _given(self.inputs.ref_file) else []), OWN_WATER]
            reference = own_water
        data, reference = from_the_echo(data, reference)
        done, artefacts, unusable = self._processed(data, reference, condition)
        second = self._second(data, done, condition, unusable)
        if second.exchanged:
            condition = 1 - condition
            done, artefacts, unusable = self._processed(data, reference, condition)
            second = self._second(data, done, condition, unusable)
            notes = [*notes, 'the labels ON and OFF are exchanged, by the height of NAA.']
        done, scale = checked_scale(done, data.dwell_time, data.spectrometer_mhz)
        told = (*data.notes, *notes, scale, *second.notes, self.inputs.note, unusable)
        report = preprocessing_report(data, done, reference) | {
            'edit_index': condition,
            'editing': second.report,
            'artefacts': [*artefacts, *second.artefacts],
            'unusable': unusable,
            'notes': [part for part in told if part],
        }
        if second.report:
            report['n_transients'] += second.report['n_transients_on']
            report['n_transients_used'] += second.report['n_transients_on_used']
        cwd = Path(runtime.cwd)
        if self.inputs.blocks:
            report['blocks'], reason = self._blocks(data, done, condition, unusable, cwd)
            report['notes'] += [f'no time course: {reason}.'] if reason else []
        out_file = write_nifti_mrs(
            data.with_fids(done.fid)
            if second.pair is None
            else data.with_conditions({'OFF': second.pair.off, 'ON': second.pair.on}),
            cwd / 'preproc_svs.nii.gz',
        )
        steps = pd.DataFrame(json.loads(save_record(done.steps, cwd / 'steps.json').read_text()))
        write_tsv(cwd / 'steps.tsv', steps)
        if done.water is not None and math.isfinite(done.water_amplitude):
            water = write_nifti_mrs(data.with_fids(done.water), cwd / 'water.nii.gz')
            self._results['water_file'] = str(water)
        self._results['out_file'] = str(out_file)
        self._results['report_file'] = str(save_record(report, cwd / 'report.json'))
        self._results['steps_file'] = str(cwd / 'steps.tsv')
        return runtime

    def _processed(
        self, data: MrsData, reference: MrsData | None, condition: int
    ) -> tuple[Preprocessed, list[Artefact], str]:
        """Preprocess and check; where that cannot be done, NaN and the reason."""
        fids, axis = data.fids[:, :, condition], (data.dwell_time, data.spectrometer_mhz)
        reason = data.unusable
        if not reason and not np.any(fids):
            reason = 'the decays of this editing condition are zero throughout'
        if not reason:
            water = None if reference is None else reference.fids[:, :, 0]
            try:
                done = preprocess(fids, *axis, water, eddy_current=self.inputs.eddy_current)
            except (InputDataError, np.linalg.LinAlgError, ArpackError) as error:
                LOGGER.warning('%s: %s', data.source, error)
                reason = f'preprocessing failed: {error}'
            else:
                ratio = done.residual_water_ratio
                return done, check_artefacts(done.fid, *axis, ratio, is_clipped(fids)), ''
        return nothing_usable(data.n_points, reason), [], reason

    def _blocks(
        self, data: MrsData, done: Preprocessed, condition: int, unusable: str, cwd: Path
    ) -> tuple[list[dict[str, Any]], str]:
        """Average blocks of transients; what they are, and why there are none."""
        if unusable:
            return [], unusable
        fids, axis = data.fids[:, :, condition], (data.dwell_time, data.spectrometer_mhz)
        try:
            events = _given(self.inputs.events_file)
            blocks = blocks_of(
                self.inputs.blocks, Path(self.inputs.svs_file), data, events and Path(events)
            )
            averages, counts = block_averages(fids, *axis, done, blocks)
            matched, added = match_widths(averages, *axis)
        except (InputDataError, np.linalg.LinAlgError, ArpackError) as error:
            LOGGER.warning('%s: no time course: %s', data.source, error)
            return [], str(error).rstrip('.')
        out_file = write_nifti_mrs(data.with_fids(matched[:, None]), cwd / 'blocks_svs.nii.gz')
        self._results['blocks_file'] = str(out_file)
        told = zip(blocks, counts, added, strict=True)
        return [
            {'label': block.label, 'onset_s': block.onset_s, 'n_transients': count,
             'width_added_hz': float(width)}
            for block, count, width in told
        ], ''  # fmt: skip

    def _second(
        self, data: MrsData, done: Preprocessed, condition: int, unusable: str
    ) -> SecondCondition:
        """Lay ON upon OFF, where there are both and no other condition was asked for."""
        if unusable or data.fids.shape[2] != 2 or self.inputs.edit_index >= 0:
            return SecondCondition()
        try:
            return second_condition(data, done, condition)
        except (InputDataError, np.linalg.LinAlgError, ArpackError, ValueError) as error:
            LOGGER.warning('%s: condition ON left out: %s', data.source, error)
            return SecondCondition(notes=(f'the condition ON could not be used: {error}',))

    def _reference(self, data: MrsData) -> tuple[MrsData | None, list[str]]:
        """Water reference, checked against the spectrum."""
        ref_file = _given(self.inputs.ref_file)
        if ref_file is None:
            return None, ['no water reference: no eddy-current correction, no water scaling.']
        left_out = 'left out: no eddy-current correction, no water scaling.'
        try:
            reference = read_nifti_mrs(ref_file, _given(self.inputs.ref_metadata))
            reference = repetitions_in_coils(reference)
        except InputDataError as error:
            LOGGER.warning('water reference left out: %s', error)
            return None, [f'water reference {error} It is {left_out}']
        if reference.unusable:
            return None, [f'water reference {reference.source}: {reference.unusable}; {left_out}']
        if abs(reference.dwell_time / data.dwell_time - 1) > 1e-3:
            widths = f'{reference.spectral_width:g} Hz, the spectrum at {data.spectral_width:g} Hz'
            return None, [f'water reference {reference.source}: sampled at {widths}; {left_out}']
        notes = []
        if reference.fids.shape[0] != data.fids.shape[0]:
            notes.append(
                f'water reference {reference.source} has {reference.fids.shape[0]} coils, the '
                f'spectrum {data.fids.shape[0]}: they share no scale; no water scaling.'
            )
        if not np.allclose(reference.affine, data.affine, atol=1.0):
            notes.append('water reference and spectrum were not measured at the same place.')
        return reference, notes


class _VoxelInputSpec(BaseInterfaceInputSpec):
    svs_file = File(exists=True, mandatory=True, desc='spectrum, whose affine is the voxel')
    t1w_file = File(exists=True, mandatory=True, desc='T1w image in the same scanner space')
    tpms = InputMultiObject(
        File(exists=True), mandatory=True, desc='maps of GM, WM and CSF, in that order'
    )
    acc_mask = File(exists=True, desc='anterior cingulate on the grid of the T1w image')


class _VoxelOutputSpec(TraitedSpec):
    mask_file = File(exists=True, desc='share of each T1w voxel inside the spectroscopic voxel')
    tissue_file = File(exists=True, desc='fractions, overlap and volumes, JSON')


class VoxelTissue(SimpleInterface):
    """Draw the spectroscopic voxel into the T1w image and say what is inside."""

    input_spec = _VoxelInputSpec
    output_spec = _VoxelOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        voxel_affine = read_affine(self.inputs.svs_file)
        t1w = nb.Nifti1Image.from_filename(self.inputs.t1w_file)
        nx, ny, nz = t1w.shape[:3]
        coverage = voxel_coverage(voxel_affine, t1w.affine, (nx, ny, nz))
        maps = [self._on_grid(path, t1w) for path in self.inputs.tpms]
        fractions, inside = volume_fractions(maps, coverage)
        acc = _given(self.inputs.acc_mask)
        overlap = math.nan
        if acc is not None:
            overlap = overlap_fraction(coverage, self._on_grid(acc, t1w) > 0.5)
        nominal = abs(np.linalg.det(voxel_affine[:3, :3])) / 1000
        covered = coverage.sum() * abs(np.linalg.det(t1w.affine[:3, :3])) / 1000
        share = min(covered / nominal, 1.0)
        cwd = Path(runtime.cwd)
        image = nb.Nifti1Image(coverage.astype(np.float32), t1w.affine)
        image.header.set_xyzt_units('mm', 'sec')
        image.to_filename(cwd / 'voxel_mask.nii.gz')
        tissue = {
            'f_gm': fractions[0] * share,
            'f_wm': fractions[1] * share,
            'f_csf': fractions[2] * share,
            'voxel_in_tissue_fraction': inside * share,
            'voxel_in_acc_fraction': overlap,
            'voxel_volume_ml': nominal,
            'voxel_in_image_fraction': share,
        }
        self._results['mask_file'] = str(cwd / 'voxel_mask.nii.gz')
        self._results['tissue_file'] = str(save_record(tissue, cwd / 'tissue.json'))
        return runtime

    @staticmethod
    def _on_grid(path: str, t1w: nb.Nifti1Image) -> np.ndarray:
        """Read an image that must share the grid of the T1w image."""
        image = nb.Nifti1Image.from_filename(path)
        if image.shape[:3] != t1w.shape[:3] or not np.allclose(
            image.affine, t1w.affine, atol=1e-3
        ):
            raise GridMismatchError(
                f'{Path(path).name} is not on the grid of {Path(t1w.get_filename() or "").name}: '
                f'resample it to the T1w image.'
            )
        return np.asarray(image.dataobj, dtype=float)


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
        from bids_acc.mrs.engines.run import run_engine

        data = read_nifti_mrs(self.inputs.in_file, {})
        request = self._request(Path(runtime.cwd))
        result, basis_info = run_engine(data, request)
        out_file = save_record(result, Path(runtime.cwd) / 'result.json')
        # kept as a file too, for the tables of a spectrum of which a later step fails
        kept = Path(runtime.cwd) / 'basis_info.json'
        kept.write_text(json.dumps(basis_info, default=str))
        self._results['result_file'] = str(out_file)
        self._results['basis_info'] = json.loads(kept.read_text())
        return runtime

    def _request(self, work_dir: Path) -> FitRequest:
        """Gather what is asked of the engine."""
        from bids_acc.mrs.engines.run import FitRequest

        report = json.loads(Path(self.inputs.report_file).read_text())
        return FitRequest(
            engine=self.inputs.engine,
            basis=self.inputs.basis,
            fits_dir=_given(self.inputs.fits_dir),
            svs_name=Path(self.inputs.svs_file).name if _given(self.inputs.svs_file) else '',
            sequence=self.inputs.sequence,
            acquisition=self.inputs.acquisition,
            te1=_given(self.inputs.te1),
            tm=_given(self.inputs.tm),
            baseline_ed_per_ppm=_given(self.inputs.baseline_ed_per_ppm),
            macromolecules=self.inputs.macromolecules,
            ppm_max=self.inputs.ppm_max,
            cache_dir=_given(self.inputs.cache_dir),
            unusable=report['unusable'],
            metadata=report['metadata'],
            water_amplitude=report['water_amplitude'],
            water_file=_given(self.inputs.water_file),
            seed=self.inputs.seed,
            naa_ratio=float((report.get('editing') or {}).get('naa_ratio', math.nan)),
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
        from bids_acc.mrs.engines.run import run_blocks
        from bids_acc.mrs.figures import plot_course, plot_no_fit
        from bids_acc.report.figures import save_figure

        cwd, in_file = Path(runtime.cwd), _given(self.inputs.in_file)
        results: list[EngineResult] = []
        blocks: list[dict[str, Any]] = []
        if in_file is not None:
            report = json.loads(Path(self.inputs.report_file).read_text())
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


class _TabulateInputSpec(BaseInterfaceInputSpec):
    result_file = File(exists=True, mandatory=True, desc='engine result')
    second_result_file = File(exists=True, desc='result of a second engine')
    report_file = File(exists=True, mandatory=True, desc='report of preprocessing')
    tissue_file = File(exists=True, desc='tissue fractions')
    contrast_file = File(exists=True, desc='differences between blocks')
    in_file = File(exists=True, desc='preprocessed decay; open when there is none')
    basis_info = traits.Dict(desc='basis set')
    gate = traits.Str('acc-structure', usedefault=True, desc='preset or file')
    ratios = traits.List(traits.Str(), desc='declared ratios')
    relaxation = traits.Str('auto', usedefault=True, desc='relaxation constants')


class _TabulateOutputSpec(TraitedSpec):
    quantities_file = File(exists=True, desc='levels')
    quality_file = File(exists=True, desc='quality and verdicts')
    fit_file = File(exists=True, desc='curves')
    concordance_file = File(exists=True, desc='two engines side by side')
    checklist_file = File(exists=True, desc='MRSinMRS list')
    components_file = File(exists=True, desc='what each metabolite adds to the model')
    correlation_file = File(exists=True, desc='correlations of the amplitudes')
    metadata = traits.Dict(desc='for all sidecars')
    components_metadata = traits.Dict(desc='columns of the components')
    correlation_metadata = traits.Dict(desc='columns of the correlations')


class TabulateSpectrum(SimpleInterface):
    """Levels, quality, verdicts and curves as tables."""

    input_spec = _TabulateInputSpec
    output_spec = _TabulateOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        report = json.loads(Path(self.inputs.report_file).read_text())
        in_file = _given(self.inputs.in_file)
        if in_file is None:
            data = unread(report['metadata'], 'spectrum', report['unusable'])
        else:
            data = read_nifti_mrs(in_file, {})
        tissue = _given(self.inputs.tissue_file)
        inputs = TableInputs.build(
            result=load_result(self.inputs.result_file),
            report=report,
            tissue=json.loads(Path(tissue).read_text()) if tissue else {},
            basis_info=_given(self.inputs.basis_info) or {},
            gate=self.inputs.gate,
            ratios=tuple(_given(self.inputs.ratios) or ()),
            relaxation=self.inputs.relaxation,
            data=data,
        )
        contrasts = _given(self.inputs.contrast_file)
        if contrasts is not None:
            table = pd.read_csv(contrasts, sep='\t', na_values='n/a')
            inputs = replace(inputs, changes=primary_changes(table))
        tables = {
            'quantities': quantity_table(inputs),
            'quality': pd.DataFrame([quality_row(inputs)]),
            'fit': fit_table(inputs),
            'checklist': checklist_table(inputs, data),
            'components': components_table(inputs),
            'correlation': correlation_table(inputs),
        }
        second = _given(self.inputs.second_result_file)
        if second is not None:
            tables['concordance'] = concordance_table(inputs.result, load_result(second))
        for name, table in tables.items():
            path = Path(runtime.cwd) / f'{name}.tsv'
            write_tsv(path, table)
            self._results[f'{name}_file'] = str(path)
        self._results['metadata'] = inputs.sidecar()
        for name in ('components', 'correlation'):
            meanings = column_meanings(inputs, name)
            self._results[f'{name}_metadata'] = {**meanings, 'Engine': inputs.result.engine}
        return runtime


class _PlotInputSpec(BaseInterfaceInputSpec):
    fit_file = File(exists=True, mandatory=True, desc='curves')
    quality_file = File(exists=True, mandatory=True, desc='quality and verdicts')


class _PlotOutputSpec(TraitedSpec):
    out_file = File(desc='figure, SVG')


class PlotFit(SimpleInterface):
    """Draw spectrum, fit, baseline and residual."""

    input_spec = _PlotInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_fit, plot_no_fit
        from bids_acc.mrs.results.engine_result import Curves
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.fit_file, sep='\t', na_values='n/a')
        quality = pd.read_csv(self.inputs.quality_file, sep='\t', na_values='n/a').iloc[0]
        reason = quality['gate_reasons']
        title = f'{quality["gate_preset"]}: {quality["gate"]}'
        title += f' ({reason})' if isinstance(reason, str) else ''
        if pd.notna(quality['te1_s']):
            parts = f'{1e3 * quality["te1_s"]:.1f} + {1e3 * quality["te2_s"]:.1f} ms'
            assumed = str(quality['te_split_assumed']).lower() == 'true'
            title += f'\nbasis set for TE {parts}' + (', split assumed' if assumed else '')
        if isinstance(quality['artefacts'], str):
            title += f'\nremarked upon: {quality["artefacts"].replace("_", " ")}'
        title = title.replace('$', r'\$')  # LCModel's section marks are no formulas
        if table['fit'].notna().any():
            columns = ('ppm', 'data', 'fit', 'baseline')
            curves = Curves(*(table[name].to_numpy(dtype=float) for name in columns))
            difference = None
            if 'fit_difference' in table and table['fit_difference'].notna().any():
                part = table[table['fit_difference'].notna()]
                names = ('ppm', *(f'{name}_difference' for name in columns[1:]))
                difference = Curves(*(part[name].to_numpy(dtype=float) for name in names))
            figure = plot_fit(curves, title, difference)
        else:
            figure = plot_no_fit(title)
        out_file = save_figure(figure, Path(runtime.cwd) / 'fit.svg')
        self._results['out_file'] = str(out_file)
        return runtime


class _PlotModelInputSpec(BaseInterfaceInputSpec):
    fit_file = File(exists=True, mandatory=True, desc='curves')
    components_file = File(exists=True, mandatory=True, desc='what each metabolite adds')
    correlation_file = File(exists=True, mandatory=True, desc='correlations of the amplitudes')
    water_file = File(exists=True, desc='combined and averaged water, NIfTI-MRS')


class _PlotModelOutputSpec(TraitedSpec):
    components = File(exists=True, desc='single metabolites, SVG')
    correlation = File(exists=True, desc='matrix of correlations, SVG')
    water = File(exists=True, desc='water reference, SVG')


class PlotModel(SimpleInterface):
    """Draw the parts of the model, the correlations of its amplitudes, and the water reference."""

    input_spec = _PlotModelInputSpec
    output_spec = _PlotModelOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs import figures
        from bids_acc.report.figures import save_figure

        names = ('fit_file', 'components_file', 'correlation_file')
        fit, parts, correlation = (
            pd.read_csv(getattr(self.inputs, name), sep='\t', na_values='n/a') for name in names
        )
        none = figures.plot_no_fit
        drawn = dict.fromkeys(('components', 'correlation'), none('the engine does not tell'))
        drawn['water'] = none('no water reference')
        if len(parts) and fit['fit'].notna().any():
            curves = {str(name): parts[name].to_numpy() for name in parts.columns[1:]}
            drawn['components'] = figures.plot_components(
                fit['ppm'], curves, fit['data'], fit['baseline']
            )
        if len(correlation):
            metabolites = [str(name) for name in correlation['metabolite']]
            drawn['correlation'] = figures.plot_correlation(metabolites, correlation.iloc[:, 1:])
        if (water_file := _given(self.inputs.water_file)) is not None:
            water = read_nifti_mrs(water_file, {})
            drawn['water'] = figures.plot_water(water.fids[0, 0, 0].ravel(), water.dwell_time)
        for name, figure in drawn.items():
            path = save_figure(figure, Path(runtime.cwd) / f'{name}.svg')
            self._results[name] = str(path)
        return runtime


class _PlotLevelsInputSpec(BaseInterfaceInputSpec):
    quantities_file = File(exists=True, mandatory=True, desc='levels')


class PlotLevels(SimpleInterface):
    """Draw the levels of the great metabolites with their verdicts."""

    input_spec = _PlotLevelsInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_levels
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.quantities_file, sep='\t', na_values='n/a')
        figure = plot_levels(*level_lines(table))
        out_file = save_figure(figure, Path(runtime.cwd) / 'levels.svg')
        self._results['out_file'] = str(out_file)
        return runtime


class _PlotConcordanceInputSpec(BaseInterfaceInputSpec):
    concordance_file = File(exists=True, mandatory=True, desc='two engines side by side')


class PlotConcordance(SimpleInterface):
    """Draw the ratios of two engines."""

    input_spec = _PlotConcordanceInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_concordance, plot_no_fit
        from bids_acc.report.figures import save_figure

        table = pd.read_csv(self.inputs.concordance_file, sep='\t', na_values='n/a')
        figure = plot_no_fit('the engines share no metabolite')
        if len(table):
            engines = (str(table['engine_1'].iloc[0]), str(table['engine_2'].iloc[0]))
            figure = plot_concordance(
                concordance_lines(table), table['ratio_tcr_1'], table['ratio_tcr_2'], engines
            )
        out_file = save_figure(figure, Path(runtime.cwd) / 'concordance.svg')
        self._results['out_file'] = str(out_file)
        return runtime


class _PlotVoxelInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc='T1w image')
    mask_file = File(exists=True, mandatory=True, desc='coverage on its grid')
    acc_mask = File(exists=True, desc='anterior cingulate on its grid')


class PlotVoxel(SimpleInterface):
    """Draw the voxel on the T1w image."""

    input_spec = _PlotVoxelInputSpec
    output_spec = _PlotOutputSpec

    def _run_interface(self, runtime: Bunch) -> Bunch:
        from bids_acc.mrs.figures import plot_voxel
        from bids_acc.report.figures import save_figure

        def load(path: str) -> tuple[np.ndarray, tuple[float, ...]]:
            image = nb.as_closest_canonical(nb.Nifti1Image.from_filename(path))
            return np.asarray(image.dataobj, dtype=float), image.header.get_zooms()[:3]

        t1w, zooms = load(self.inputs.t1w_file)
        acc = _given(self.inputs.acc_mask)
        figure = plot_voxel(
            t1w, load(self.inputs.mask_file)[0], zooms, None if acc is None else load(acc)[0]
        )
        out_file = save_figure(figure, Path(runtime.cwd) / 'voxel.png')
        self._results['out_file'] = str(out_file)
        return runtime
