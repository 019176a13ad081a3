"""From the raw file of a spectrum to one corrected decay, or two of an edited scan."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from scipy.sparse.linalg import ArpackError

from bids_acc.exceptions import InputDataError
from bids_acc.mrs.interfaces.traits import given
from bids_acc.mrs.levels.voxel import measured_elsewhere
from bids_acc.mrs.results.records import save_record
from bids_acc.mrs.scan.conditions import (
    OWN_WATER,
    edit_index,
    from_the_echo,
    reference_as_received,
    spectrum_as_received,
    tell_conditions,
    water_apart,
)
from bids_acc.mrs.scan.differences import SecondCondition, second_condition
from bids_acc.mrs.scan.io import MrsData, read_nifti_mrs, write_nifti_mrs
from bids_acc.mrs.scan.nulled import nulled_sign
from bids_acc.mrs.scan.report import BlockRecord, preprocessing_report, sign_records
from bids_acc.mrs.signal.artefacts import (
    Artefact,
    check_artefacts,
    filtered_decay,
    is_clipped,
    unsuppressed_water,
)
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
    cold_water,
    nothing_usable,
    preprocess,
    wrong_axis,
)
from bids_acc.tables.reading import read_tsv
from bids_acc.tables.writing import write_tsv

LOGGER = logging.getLogger('nipype.interface')


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
    # BIDS: the file of events has the entities of the data, and the suffix events
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
        data = read_nifti_mrs(self.inputs.svs_file, given(self.inputs.svs_metadata))
        wanted = self.inputs.edit_index
        # before editing is looked for: GE stores shots of unsuppressed water before the others,
        # and sixteen of them among thirty-two were taken for ON and OFF
        data, own_water = water_apart(spectrum_as_received(data, self.inputs.acquisition))
        data = tell_conditions(data, self.inputs.acquisition, wanted)
        condition = edit_index(data, wanted)
        reference, notes = self._reference(data)
        # a reference that was measured by itself has more shots, and goes first
        if reference is None and own_water is not None:
            notes = [*(notes if given(self.inputs.ref_file) else []), OWN_WATER]
            reference = own_water
        data, reference = from_the_echo(data, reference)
        done, artefacts, unusable = self._processed(data, reference, condition)
        second = self._second(data, done, condition, unusable)
        # what was preprocessed as OFF is ON: once more, since everything that follows is made of
        # OFF
        if second.exchanged:
            condition = 1 - condition
            done, artefacts, unusable = self._processed(data, reference, condition)
            second = self._second(data, done, condition, unusable)
            notes = [*notes, 'the labels ON and OFF are exchanged, by the height of NAA.']
        done, scale = checked_scale(done, data.dwell_time, data.spectrometer_mhz)
        axis = (data.dwell_time, data.spectrometer_mhz)
        signs = (cold_water(done, *axis), nulled_sign(done.fid, *axis))
        told = (*data.notes, *notes, scale, *signs, *second.notes, self.inputs.note, unusable)
        report = preprocessing_report(data, done, reference)
        report['edit_index'], report['editing'] = condition, second.report
        report['artefacts'] = sign_records([*artefacts, *second.artefacts])
        report['unusable'] = unusable
        report['notes'] = [part for part in told if part]
        report['n_transients'] += second.n_transients
        report['n_transients_used'] += second.n_used
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
                reason = wrong_axis(done, *axis)
            if not reason:
                ratio = done.residual_water_ratio
                found = check_artefacts(done.fid, *axis, ratio, is_clipped(fids))
                if done.replay is not None:
                    found.append(unsuppressed_water(done.replay.wet, done.fid, *axis))
                found.append(filtered_decay(fids, *axis))
                return done, found, ''
        return nothing_usable(data.n_points, reason), [], reason

    def _blocks(
        self, data: MrsData, done: Preprocessed, condition: int, unusable: str, cwd: Path
    ) -> tuple[list[BlockRecord], str]:
        """Average blocks of transients; what they are, and why there are none."""
        if unusable:
            return [], unusable
        fids, axis = data.fids[:, :, condition], (data.dwell_time, data.spectrometer_mhz)
        try:
            events = given(self.inputs.events_file)
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
        # who asks for one condition gets that one, and no difference
        if unusable or data.fids.shape[2] != 2 or self.inputs.edit_index >= 0:
            return SecondCondition()
        try:
            return second_condition(data, done, condition)
        # OFF has levels of its own, which a spoilt ON must not cost
        except (InputDataError, np.linalg.LinAlgError, ArpackError, ValueError) as error:
            LOGGER.warning('%s: condition ON left out: %s', data.source, error)
            return SecondCondition(notes=(f'the condition ON could not be used: {error}',))

    def _reference(self, data: MrsData) -> tuple[MrsData | None, list[str]]:
        """Water reference, checked against the spectrum."""
        ref_file = given(self.inputs.ref_file)
        if ref_file is None:
            return None, ['no water reference: no eddy-current correction, no water scaling.']
        left_out = 'left out: no eddy-current correction, no water scaling.'
        try:
            reference = read_nifti_mrs(ref_file, given(self.inputs.ref_metadata))
            reference = reference_as_received(reference)
        except InputDataError as error:
            LOGGER.warning('water reference left out: %s', error)
            return None, [f'water reference {error} It is {left_out}']
        if reference.unusable:
            return None, [f'water reference {reference.source}: {reference.unusable}; {left_out}']
        # eddy currents are undone sample by sample, so that both must be sampled alike
        if abs(reference.dwell_time / data.dwell_time - 1) > 1e-3:
            widths = f'{reference.spectral_width:g} Hz, the spectrum at {data.spectral_width:g} Hz'
            return None, [f'water reference {reference.source}: sampled at {widths}; {left_out}']
        # water of another place scales by another tissue, and no number would show it
        if elsewhere := measured_elsewhere(data.affine, reference.affine):
            place = f'not measured at the place of the spectrum ({elsewhere})'
            return None, [f'water reference {reference.source}: {place}; {left_out}']
        notes = []
        if reference.fids.shape[0] != data.fids.shape[0]:
            notes.append(
                f'water reference {reference.source} has {reference.fids.shape[0]} coils, the '
                f'spectrum {data.fids.shape[0]}: they share no scale; no water scaling.'
            )
        told = [f'water reference {reference.source}: {note}' for note in reference.notes]
        return reference, [*notes, *told]
