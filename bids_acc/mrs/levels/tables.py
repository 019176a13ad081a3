"""Tables of one spectrum: levels with verdicts, quality, curves, concordance of two engines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import SupportsFloat

import numpy as np
import pandas as pd

from bids_acc.files.writing import plain
from bids_acc.mrs.levels.checklist import mrsinmrs
from bids_acc.mrs.levels.constants import load_relaxation
from bids_acc.mrs.levels.quality import of_curves
from bids_acc.mrs.levels.quantify import Level, WaterScaling, quantify
from bids_acc.mrs.levels.signs import LEAST_IN_IMAGE, signs_of_fit
from bids_acc.mrs.results.engine_result import EngineResult
from bids_acc.mrs.scan.io import MrsData
from bids_acc.mrs.scan.report import PreprocessingReport, SignRecord, sign_records
from bids_acc.mrs.spectrum import BasisInfo
from bids_acc.quality.gate import Gate, Verdict, judge_metabolite, judge_spectrum, load_gate
from bids_acc.quality.measure import QualityMeasure

LITTLE_OVERLAP = 0.1
"""A voxel with less of its volume in the anterior cingulate is remarked upon, not excluded."""

WIDTH_SHARE, WIDTH_SLACK_HZ = 0.5, 2.5
"""A fit whose singlet is narrower than this share of the NAA peak of the data, less the slack, has
described the peak by something else than NAA, and its numbers mean nothing."""

EDITING_COLUMNS = (
    'on_shift_hz', 'on_phase_deg', 'water_shift_hz', 'water_phase_deg', 'choline_residual',
    'naa_ratio', 'gannet_gaba_cr', 'gannet_gaba_fit_error_pct', 'gannet_glx_fit_error_pct',
    'gannet_gaba_fwhm_hz', 'gannet_gaba_snr', 'osprey_difference_snr',
)  # fmt: skip
"""Numbers of an edited scan that go into the table of quality as they are."""

SHOWN = (
    'tNAA',
    'tCr',
    'tCho',
    'Ins',
    'Glu',
    'Gln',
    'Glx',
    'GSH',
    'GABA',
    'Lac',
    'Tau',
    'GABA+',
    'Glx_edited',
    'GSH_edited',
)
"""Metabolites in the figure of levels, where the fit has them."""


REMARKS: Mapping[str, str] = MappingProxyType(
    {
        'GABA+': 'GABA with macromolecules at 3.0 ppm',
        'GABA_edited': 'rests on the model of the macromolecules at 3.0 ppm',
    }
)
"""What a reader of a level must know."""


@dataclass(frozen=True)
class TableInputs:
    """Everything known about a spectrum when its tables are written."""

    result: EngineResult
    """Fit."""
    report: PreprocessingReport
    """Report of preprocessing."""
    tissue: Mapping[str, float]
    """Fractions and overlap; empty without T1w image."""
    basis_info: BasisInfo
    """Basis set."""
    gate: Gate
    """Thresholds."""
    verdict: Verdict
    """Verdict on the spectrum."""
    scaling: WaterScaling | None
    """Water scaling; None without reference."""
    spectrometer_mhz: float
    """Spectrometer frequency in MHz."""
    echo_time: float
    """In s."""
    repetition_time: float
    """In s."""
    ratios: tuple[str, ...] = ()
    """Declared ratios."""
    notes: tuple[str, ...] = ()
    """Sentences about water scaling and the place of the voxel."""
    changes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Change of each ratio to tCr between blocks of a time course, with its SD."""
    scaling_notes: tuple[str, ...] = ()
    """Those of them that say why a water-scaled level is not corrected."""

    @classmethod
    def build(
        cls,
        *,
        result: EngineResult,
        report: PreprocessingReport,
        tissue: Mapping[str, float],
        basis_info: BasisInfo,
        gate: str,
        ratios: tuple[str, ...],
        relaxation: str,
        data: MrsData,
    ) -> TableInputs:
        """Judge the spectrum and prepare water scaling.

        Parameters
        ----------
        result : EngineResult
            Fit.
        report : mapping
            From :func:`~bids_acc.mrs.scan.report.preprocessing_report`.
        tissue : mapping
            Fractions of GM, WM and CSF in the voxel, its overlap and volume; empty without T1w
            image.
        basis_info : mapping
            The basis set in a sidecar's terms.
        gate : str
            Name of a preset or a file of thresholds.
        ratios : tuple of str
            Declared ratios, such as ``Glx/tNAA``.
        relaxation : str
            ``auto`` for the shipped constants of the field, or a file.
        data : MrsData
            The preprocessed acquisition: field, echo and repetition time.

        Returns
        -------
        TableInputs

        Raises
        ------
        SettingsError
            If gate or constants cannot be read.
        """
        thresholds = load_gate(gate)
        # The report is that of preprocessing, which other tables read as well: signs of the fit
        # are added to a copy.
        report = report.copy()
        report['artefacts'] = _all_signs(report, result, tissue, data.echo_time)
        artefacts = [entry['name'] for entry in report['artefacts'] if entry['found']]
        measures = dict(result.measures) | {
            'residual_water': (
                QualityMeasure(report['residual_water_ratio'], '1', 'water_over_naa'),
            )
        }
        # judged here, because an engine does not know the width that preprocessing found in the
        # data
        result = replace(result, invalid=(*result.invalid, *_width_contradicts(result, report)))
        verdict = judge_spectrum(
            thresholds, measures, data.spectrometer_mhz, artefacts, result.invalid
        )
        scaling, scaling_notes = _water_scaling(report, tissue, relaxation, data)
        notes = scaling_notes
        overlap = float(tissue.get('voxel_in_acc_fraction', math.nan))
        if overlap < LITTLE_OVERLAP:
            notes += (f'only {100 * overlap:.0f} % of the voxel lies in the anterior cingulate.',)
        return cls(
            result=result,
            report=report,
            tissue=tissue,
            basis_info=basis_info,
            gate=thresholds,
            verdict=verdict,
            scaling=scaling,
            spectrometer_mhz=data.spectrometer_mhz,
            echo_time=data.echo_time,
            repetition_time=data.repetition_time,
            ratios=ratios,
            notes=notes,
            scaling_notes=scaling_notes,
        )

    def sidecar(self) -> dict[str, object]:
        """Metadata that every table of this spectrum carries."""
        constants = self.scaling.constants if self.scaling else None
        return {
            'Engine': self.result.engine,
            'EngineVersion': self.result.version,
            'EngineValues': plain(self.result.extra),
            **{key: plain(value) for key, value in self.basis_info.items()},
            'Gate': plain(self.gate.content),
            'RelaxationConstants': constants.describe() if constants else None,
            'Preprocessing': plain(self.report['steps']),
            'Artefacts': plain(self.report['artefacts']),
            'Notes': [*self.report['notes'], *self.result.notes, *self.notes],
        }


def _all_signs(
    report: PreprocessingReport,
    result: EngineResult,
    tissue: Mapping[str, float],
    echo_time: float,
) -> list[SignRecord]:
    """Artefacts of data, fit and place; one that several know is found by any of them."""
    signs = [entry.copy() for entry in report['artefacts']]
    named = {entry['name']: entry for entry in signs}
    for sign in sign_records(signs_of_fit(result, tissue, echo_time)):
        before = named.get(sign['name'])
        if before is None:
            signs.append(sign)
        # each has its own limit: what one of them finds stays found
        elif sign['found'] and not before['found']:
            before.update(sign)
    return signs


def _width_contradicts(result: EngineResult, report: PreprocessingReport) -> tuple[str, ...]:
    """Say that the lines of the built-in fit are much narrower than the data's."""
    fitted = result.number('fwhm_hz')
    steps = report['steps']
    measured = float(steps[-1]['fwhm_after_hz']) if steps else math.nan
    # NaN on either side contradicts nothing
    if not fitted < WIDTH_SHARE * measured - WIDTH_SLACK_HZ:
        return ()
    return (
        f'the fitted singlet is {fitted:.1f} Hz wide, the NAA peak of the data {measured:.1f}',
    )


def _or(value: float, other: float) -> float:
    """Return a number, or another one when it is NaN."""
    return other if math.isnan(value) else value


def _water_scaling(
    report: PreprocessingReport, tissue: Mapping[str, float], relaxation: str, data: MrsData
) -> tuple[WaterScaling | None, tuple[str, ...]]:
    """Gather what water scaling needs, and say why a part of it is not possible."""
    constants = load_relaxation(relaxation, data.field_tesla)
    notes = []
    if constants is None:
        notes.append(
            f'no relaxation constants for {data.field_tesla:.1f} T: levels are not corrected for '
            f'relaxation; give a file with --mrs-relaxation.'
        )
    if not tissue:
        notes.append('no tissue maps: levels are not corrected for tissue.')
    share = float(tissue.get('voxel_in_image_fraction', 1.0))
    if math.isnan(share):
        notes.append(
            'the file does not tell the place of the voxel (its affine is none of a voxel): '
            'levels are not corrected for tissue; convert it again with spec2nii.'
        )
    if share < LEAST_IN_IMAGE:
        notes.append(
            f'only {100 * share:.0f} % of the voxel lies in the T1w image, less than '
            f'{100 * LEAST_IN_IMAGE:.0f} %: levels are not corrected for tissue.'
        )
    if math.isnan(data.repetition_time):
        notes.append('RepetitionTime is missing: levels are not corrected for relaxation.')
    # the tissue outside the image is taken as that inside, where little is outside
    scale = 1 / share if share >= LEAST_IN_IMAGE else math.nan
    fractions = (
        float(tissue.get('f_gm', math.nan)) * scale,
        float(tissue.get('f_wm', math.nan)) * scale,
        float(tissue.get('f_csf', math.nan)) * scale,
    )
    scaling = WaterScaling(
        fractions=fractions,
        constants=constants,
        echo_time=data.echo_time,
        repetition_time=data.repetition_time,
        # a reference is usually measured with the spectrum's own times, and its sidecar is often
        # silent
        water_echo_time=_or(report['ref_echo_time'], data.echo_time),
        water_repetition_time=_or(report['ref_repetition_time'], data.repetition_time),
    )
    return scaling, tuple(notes)


def _split_assumed(basis_info: BasisInfo) -> str | None:
    """Whether the parts of the echo time were assumed; None when nothing is known of them."""
    assumed = basis_info.get('BasisTESplitAssumed')
    return None if assumed is None else str(bool(assumed)).lower()


def _word(verdict: bool, value: float) -> str | None:
    """Write ``true`` or ``false``; None when the value behind it is not known."""
    return None if math.isnan(value) else str(bool(verdict)).lower()


def _why_unknown(inputs: TableInputs, level: Level) -> str:
    """Say why a level has no value although the metabolite may have an amplitude."""
    if level.unit_scheme.startswith('water') and math.isfinite(inputs.result.amount('tCr')[0]):
        if not math.isfinite(inputs.result.water_scale):
            return 'value unknown: no usable water reference'
        if inputs.scaling_notes:
            return f'value unknown: {" ".join(inputs.scaling_notes)}'
    return 'value unknown'


def quantity_table(inputs: TableInputs) -> pd.DataFrame:
    """Levels of all metabolites in all schemes, each with both verdicts joined.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.

    Returns
    -------
    DataFrame
        One row per metabolite and scheme. ``gate`` is ``pass`` when spectrum and metabolite
        pass; values that fail stay in the table, so that the group can be analysed with the gate
        off.
    """
    result = inputs.result
    definition = result.crlb_definition
    rows = []
    levels = quantify(result, inputs.scaling, inputs.ratios)
    for level in [*levels, *_change_levels(inputs)]:
        crlb = result.crlb_pct(level.metabolite)
        detected = result.detected(level.metabolite)
        verdict = judge_metabolite(inputs.gate, QualityMeasure(crlb, '%', definition), detected)
        # A level without a value passes no gate, whatever its bound.
        passed = verdict.passed and inputs.verdict.passed and math.isfinite(level.value)
        reasons = [inputs.verdict.reasons, verdict.reasons]
        if not math.isfinite(level.value):
            reasons.append(_why_unknown(inputs, level))
        rows.append(
            {
                'metabolite': level.metabolite,
                'unit_scheme': level.unit_scheme,
                'unit': level.unit,
                'value': level.value,
                'value_sd': level.value_sd,
                'ci_low': level.ci_low,
                'ci_high': level.ci_high,
                'ci_estimate': level.ci_estimate,
                'value_crlb': level.value_crlb,
                'refit_spread': level.spread,
                'unstable': _word(level.spread > level.value_crlb, level.spread),
                'crlb_pct': crlb,
                # neither yes nor no where nothing was fitted, or no bound is told
                'detected': None if math.isnan(crlb) else str(detected).lower(),
                'baseline_sensitivity': result.baseline_sensitivity.get(
                    level.metabolite, math.nan
                ),
                'macromolecule_spread': level.value
                * result.model_spread.get(level.metabolite, math.nan),
                'remark': REMARKS.get(level.metabolite),
                'engine': result.engine,
                'engine_version': result.version,
                'basis_sha256': result.basis_sha256 or None,
                'te1_s': inputs.basis_info.get('BasisTE1', math.nan),
                'te2_s': inputs.basis_info.get('BasisTE2', math.nan),
                'te_split_assumed': _split_assumed(inputs.basis_info),
                'gate_spectrum': inputs.verdict.word,
                'gate_metabolite': verdict.word,
                'gate': 'pass' if passed else 'fail',
                'gate_reason': '; '.join(reason for reason in reasons if reason) or None,
                'gate_criteria': '; '.join(
                    part for part in (inputs.verdict.listing, verdict.listing) if part
                ),
            }
        )
    return pd.DataFrame(rows)


def _change_levels(inputs: TableInputs) -> list[Level]:
    """Give changes between blocks as levels, with the interval of a normal error."""
    return [
        Level(name, 'change_tcr', '1', value, sd, math.nan, value - NORMAL_95 * sd,
              value + NORMAL_95 * sd, value, math.nan)
        for name, (value, sd) in inputs.changes.items()
    ]  # fmt: skip


NORMAL_95 = 1.959964
"""Two-sided 95 % point of the normal distribution."""


def _in_unit(inputs: TableInputs, metric: str, definition: str, unit: str) -> float:
    """Look up a measure of one definition; NaN when this engine does not give it."""
    for measure in inputs.result.measures.get(metric, ()):
        if measure.definition == definition:
            return measure.in_unit(unit, inputs.spectrometer_mhz)
    return math.nan


def _recomputed(inputs: TableInputs) -> tuple[float, float]:
    """S/N and width in Hz from the curves of any engine; NaN without curves."""
    curves = inputs.result.curves
    if curves is None or not curves.ppm.size:
        return math.nan, math.nan
    return of_curves(curves.ppm, curves.data, curves.fit, curves.baseline, inputs.spectrometer_mhz)


def quality_row(inputs: TableInputs) -> dict[str, object]:
    """Quality of the spectrum, every definition in its own column.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.

    Returns
    -------
    dict
        One row of the quality table.
    """
    report, tissue, result = inputs.report, inputs.tissue, inputs.result
    extra, info = result.extra, inputs.basis_info
    step = result.number('fwhm_step_ppm')
    sensitivity = result.baseline_sensitivity
    found = [entry['name'] for entry in report['artefacts'] if entry['found']]
    recomputed = _recomputed(inputs)
    return {
        'engine': result.engine,
        'engine_version': result.version,
        'snr_lcm': _in_unit(inputs, 'snr', 'builtin_snr_lcm', '1'),
        'snr_noise': _in_unit(inputs, 'snr', 'builtin_snr_noise', '1'),
        'snr_lcmodel': _in_unit(inputs, 'snr', 'lcmodel_snr', '1'),
        'snr_spectrum': _in_unit(inputs, 'snr', 'fsl_snr_spectrum', '1'),
        'snr_residual': _in_unit(inputs, 'snr', 'fsl_snr_residual', '1'),
        'snr_fsl_peak': _in_unit(inputs, 'snr', 'fsl_snr_peak', '1'),
        'snr_osprey': _in_unit(inputs, 'snr', 'osprey_snr', '1'),
        'snr_recomputed': recomputed[0],
        'fwhm_hz': _in_unit(inputs, 'fwhm', 'builtin_fwhm', 'Hz'),
        'fwhm_ppm': _in_unit(inputs, 'fwhm', 'builtin_fwhm', 'ppm'),
        'fwhm_kernel_hz': _in_unit(inputs, 'fwhm', 'builtin_kernel_fwhm', 'Hz'),
        'fwhm_lcmodel_ppm': _in_unit(inputs, 'fwhm', 'lcmodel_fwhm', 'ppm'),
        'fwhm_lcmodel_hz': _in_unit(inputs, 'fwhm', 'lcmodel_fwhm', 'Hz'),
        'fwhm_step_hz': step * inputs.spectrometer_mhz,
        'fwhm_fsl_hz': _in_unit(inputs, 'fwhm', 'fsl_fwhm', 'Hz'),
        'fwhm_osprey_hz': _in_unit(inputs, 'fwhm', 'osprey_fwhm', 'Hz'),
        'fwhm_recomputed_hz': recomputed[1],
        'fwhm_water_hz': report['fwhm_water_hz'],
        'shift_ppm': extra.get('shift_ppm', math.nan),
        'phase0_deg': extra.get('phase0_deg', math.nan),
        'phase1_deg_per_ppm': extra.get('phase1_deg_per_ppm', math.nan),
        'residual_water_ratio': report['residual_water_ratio'],
        'baseline_knots': extra.get('baseline_knots', math.nan),
        'baseline_ed_per_ppm': extra.get('baseline_ed_per_ppm', math.nan),
        'baseline_sensitivity_glu': sensitivity.get('Glu', math.nan),
        'baseline_sensitivity_glx': sensitivity.get('Glx', math.nan),
        'f_gm': tissue.get('f_gm', math.nan),
        'f_wm': tissue.get('f_wm', math.nan),
        'f_csf': tissue.get('f_csf', math.nan),
        'voxel_volume_ml': report['voxel_volume_ml'],
        'voxel_in_image_fraction': tissue.get('voxel_in_image_fraction', math.nan),
        'voxel_in_tissue_fraction': tissue.get('voxel_in_tissue_fraction', math.nan),
        'voxel_in_acc_fraction': tissue.get('voxel_in_acc_fraction', math.nan),
        **_editing(inputs),
        'n_coils': report['n_coils'],
        'n_transients': report['n_transients'],
        'n_transients_used': report['n_transients_used'],
        'drift_hz': report['drift_hz'],
        'te_s': inputs.echo_time,
        'tr_s': inputs.repetition_time,
        'te1_s': info.get('BasisTE1', math.nan),
        'te2_s': info.get('BasisTE2', math.nan),
        'te_split_assumed': _split_assumed(info),
        'spectrometer_mhz': inputs.spectrometer_mhz,
        'artefacts': ', '.join(found) or None,
        'gate_preset': inputs.gate.name,
        'gate': inputs.verdict.word,
        'gate_flagged': str(inputs.verdict.flagged).lower(),
        'gate_reasons': inputs.verdict.reasons or None,
        'gate_criteria': inputs.verdict.listing,
        'notes': '; '.join([*report['notes'], *result.notes, *inputs.notes]) or None,
    }


def _editing(inputs: TableInputs) -> dict[str, object]:
    """Quality of an edited difference; n/a in all columns for a scan that is not edited."""
    told = inputs.report.get('editing') or {}
    fitted = inputs.result.of_difference()
    target = told.get('target')
    return {
        'edit_target': target,
        **{name: told.get(name, math.nan) for name in EDITING_COLUMNS},
        'edit_aligned_by': told.get('aligned_by'),
        'gaba_cr_area': _area_ratio(inputs.result),
        'snr_difference_lcm': fitted.get('snr_lcm', math.nan),
    }


def _area_ratio(result: EngineResult) -> float:
    """Area of GABA+ in (ON - OFF)/2 over that of the methyl line of creatine in OFF."""
    fitted = result.of_difference()
    told = (fitted.get(key) for key in _AREAS)
    area, proton = (float(v) if v and isinstance(v, SupportsFloat) else math.nan for v in told)
    gaba, creatine = result.amount('GABA+')[0], result.amount('tCr')[0]
    return gaba * area / 2 / (3 * proton * creatine) if creatine > 0 else math.nan


_AREAS = ('gaba_area_per_unit', 'amplitude_per_proton')


def fit_table(inputs: TableInputs) -> pd.DataFrame:
    """Curves of the fit, one row per point of the ppm axis; empty when the engine gives none.

    The difference of an edited scan has columns of its own, n/a where there is none.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.

    Returns
    -------
    DataFrame
        ``ppm``, and ``data``, ``fit``, ``baseline``, ``residual`` in the engine's units, each once
        more with ``_difference``.
    """
    columns = ('ppm', 'data', 'fit', 'baseline', 'residual')
    curves, difference = inputs.result.curves, inputs.result.difference
    table = pd.DataFrame(
        {name: [] if curves is None else getattr(curves, name) for name in columns}, dtype=float
    )
    places = np.empty(0, dtype=int)
    if difference is not None:  # both windows are cut from one axis
        apart = table['ppm'].to_numpy()[:, None] - difference.ppm[None, :]
        places = np.abs(apart).argmin(axis=0)
    for name in columns[1:]:
        values = np.full(len(table), math.nan)
        if difference is not None:
            values[places] = getattr(difference, name)
        table[f'{name}_difference'] = values
    return table


def components_table(inputs: TableInputs) -> pd.DataFrame:
    """Tabulate what each name adds to the model; no row where the engine does not tell.

    Of an edited scan, the condition OFF.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.

    Returns
    -------
    DataFrame
        ``ppm`` and a column for each name, which add up to the fit without its baseline.
    """
    curves = inputs.result.curves
    if curves is None or not curves.components.size:
        return pd.DataFrame(columns=['ppm'])
    of_off = inputs.result.names[: len(curves.components)]
    named = dict(zip(of_off, curves.components, strict=True))
    return pd.DataFrame({'ppm': curves.ppm, **named})


def correlation_table(inputs: TableInputs) -> pd.DataFrame:
    """Correlate the errors of the amplitudes; no row where the engine gives no covariance.

    A metabolite whose variance is zero or unknown correlates with nothing (NaN).

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.

    Returns
    -------
    DataFrame
        One row and one column for each name. A strong negative correlation tells that the fit
        knows a sum and not its parts.
    """
    names, covariance = inputs.result.names, inputs.result.covariance
    if covariance is None:
        return pd.DataFrame(columns=['metabolite'])
    variance = np.diagonal(covariance)
    sd = np.sqrt(np.where(variance > 0, variance, np.nan))
    table = pd.DataFrame(covariance / np.outer(sd, sd), columns=list(names))
    table.insert(0, 'metabolite', list(names))
    return table


def column_meanings(inputs: TableInputs, table: str) -> dict[str, object]:
    """Describe the columns that are named after what was fitted, for a sidecar.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.
    table : str
        ``components`` or ``correlation``; any other has columns that are the same for all spectra
        and described in the table of outputs.

    Returns
    -------
    dict
        Description by column.
    """
    words = {
        'components': 'Contribution of {} to the model, in units of the column data of desc-fit',
        'correlation': 'Correlation of the error of {} with that of the row',
    }
    if table not in words:
        return {}
    curves, names = inputs.result.curves, inputs.result.names
    if table == 'components' and curves is not None:
        names = names[: len(curves.components)]
    return {name: {'Description': words[table].format(name)} for name in names}


def concordance_table(first: EngineResult, second: EngineResult) -> pd.DataFrame:
    """Ratios to tCr of two engines on the same spectrum.

    Parameters
    ----------
    first, second : EngineResult
        Fits.

    Returns
    -------
    DataFrame
        One row per metabolite that both know; the difference is in percent of the first.
    """
    rows = []
    for name in first.metabolites():
        if name not in second.metabolites() or name == 'tCr':
            continue
        ours, theirs = first.ratio(name, 'tCr')[0], second.ratio(name, 'tCr')[0]
        rows.append(
            {
                'metabolite': name,
                'engine_1': first.engine,
                'ratio_tcr_1': ours,
                'crlb_pct_1': first.crlb_pct(name),
                'engine_2': second.engine,
                'ratio_tcr_2': theirs,
                'crlb_pct_2': second.crlb_pct(name),
                'difference_pct': 100 * (theirs / ours - 1) if ours > 0 else math.nan,
            }
        )
    return pd.DataFrame(rows)


def concordance_lines(table: pd.DataFrame) -> list[list[str]]:
    """Lines of the figure of concordance, as text.

    Parameters
    ----------
    table : DataFrame
        From :func:`concordance_table`, as read back.

    Returns
    -------
    list of list of str
        Metabolite, both ratios with their bounds, difference.
    """

    def number(value: float, form: str, unit: str = '') -> str:
        return '–' if pd.isna(value) else f'{value:{form}}{unit}'

    return [
        [
            str(row['metabolite']),
            f'{number(row["ratio_tcr_1"], ".3f")} ({number(row["crlb_pct_1"], ".0f")})',
            f'{number(row["ratio_tcr_2"], ".3f")} ({number(row["crlb_pct_2"], ".0f")})',
            number(row['difference_pct'], '+.0f', ' %'),
        ]
        for row in table.to_dict(orient='records')
    ]


def checklist_table(inputs: TableInputs, data: MrsData) -> pd.DataFrame:
    """Fill in the MRSinMRS list of the spectrum, one row per item.

    Parameters
    ----------
    inputs : TableInputs
        The spectrum.
    data : MrsData
        The preprocessed acquisition, for size of the voxel and sampling.

    Returns
    -------
    DataFrame
        One row for each item of the minimum reporting standard (Lin et al. 2021, NMR Biomed
        34:e4484, https://doi.org/10.1002/nbm.4484), with what is known of it.
    """
    basis, result = inputs.basis_info, inputs.result
    split = 'assumed' if basis.get('BasisTESplitAssumed') else 'given'
    te1, te2 = basis.get('BasisTE1') or math.nan, basis.get('BasisTE2') or math.nan
    known_split = math.isfinite(te1)
    info = {
        'software': f'bids_acc; engine {result.engine} {result.version}',
        'steps': ', '.join(step['step'] for step in inputs.report['steps'] if step['applied']),
        'voxel_size_mm': [
            round(float(math.sqrt(sum(v * v for v in data.affine[:3, k]))), 2) for k in range(3)
        ],
        'n_points': data.n_points,
        'spectral_width_hz': data.spectral_width,
        'quantification': 'ratios to tCr'
        + ('; water-scaled mmol/kg and mmol/L' if math.isfinite(result.water_scale) else ''),
        'basis': f'{result.engine}, basis {result.basis_sha256[:12] or "not known"}'
        + (f', TE1/TE2 {te1 * 1e3:.1f}/{te2 * 1e3:.1f} ms {split}' if known_split else ''),
    }
    rows = mrsinmrs(inputs.report['metadata'], quality_row(inputs), info)
    return pd.DataFrame([vars(row) for row in rows])


def level_lines(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and lines of the figure of levels, as text.

    Parameters
    ----------
    table : DataFrame
        The table of quantities as read back.

    Returns
    -------
    header : list of str
        Column titles.
    rows : list of list of str
        The metabolites of :data:`SHOWN` that the fit has.
    """
    levels = {
        (str(row['metabolite']), str(row['unit_scheme'])): row
        for row in table.to_dict(orient='records')
    }

    def number(name: str, scheme: str, column: str = 'value') -> str:
        value = levels.get((name, scheme), {}).get(column, math.nan)
        return '–' if pd.isna(value) else f'{value:.3g}'

    shown = [name for name in SHOWN if (name, 'ratio_tcr') in levels]
    # other engines than the built-in one give a standard deviation, no interval
    has_interval = any(pd.notna(levels[name, 'ratio_tcr'].get('ci_low')) for name in shown)
    errors = ('ci_estimate', 'ci_low', 'ci_high') if has_interval else ('value_sd',)
    rows = []
    for name in shown:
        row = levels[name, 'ratio_tcr']
        reason = row['gate_reason']
        rows.append(
            [
                name,
                number(name, 'ratio_tcr'),
                *(number(name, 'ratio_tcr', column) for column in errors),
                number(name, 'ratio_tcr', 'crlb_pct'),
                number(name, 'water_raw'),
                number(name, 'water_tissue'),
                str(row['gate']) + (f': {reason}'[:60] if isinstance(reason, str) else ''),
            ]
        )
    titles = ['data\nalone', '95 %\nfrom', '\nto'] if has_interval else ['± SD']
    header = ['', '/tCr', *titles, '%SD', 'raw\nmmol/kg', 'tissue\nmmol/kg', 'gate']
    return header, rows
