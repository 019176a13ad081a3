"""How numbers and comparisons of the statistics tables are put into words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

EFFECT_NAMES: Mapping[str, str] = {
    'hedges_g': "Hedges' g",
    'hedges_g_adjusted': "Hedges' g (adjusted)",
    'mean_hedges_g': "mean Hedges' g",
    'cohen_d': "Cohen's d",
    'cohen_dz': "Cohen's dz",
    'partial_eta2': 'partial η²',
    'partial_r': 'partial r',
    'cramers_v': "Cramér's V",
    'rank_biserial': 'rank-biserial r',
    'akaike_weight': 'Akaike weight',
    'icc_2_1': 'ICC(2,1)',
}
"""Effect sizes as papers write them; others are shown with spaces for underscores."""

METRIC_NAMES: Mapping[str, str] = {
    'fa': 'FA', 'md': 'MD', 'ad': 'AD', 'rd': 'RD', 'mk': 'MK', 'icvf': 'ICVF', 'isovf': 'ISOVF',
    'od': 'OD', 'mo': 'MO', 'fawm': 'FA (weighted by white matter)',
    'gmvolume': 'grey matter volume', 'gmdensity': 'grey matter density',
    'fc': 'connectivity', 'reho': 'ReHo', 'alff': 'ALFF',
    'falff': 'fALFF', 'psc': 'signal change',
    'mtr': 'MTR', 'mtrgm': 'MTR (weighted by grey matter)',
    'mtrwm': 'MTR (weighted by white matter)',
}  # fmt: skip
"""Metrics whose customary name is not the column's."""
SIDES: Mapping[str, str] = {'L': ', left', 'R': ', right', 'both': ''}
"""Sides of a region in words."""
ENDINGS: Mapping[str, str] = {f'_{side}': SIDES[side] for side in 'LR'}
"""The same at the end of a column's name."""
FUNCTIONAL = frozenset({'reho', 'alff', 'falff', 'fc', 'psc'})
"""Metrics of BOLD series."""


def is_functional(name: str) -> bool:
    """Tell whether a response or metric is measured in BOLD series.

    Parameters
    ----------
    name : str
        Of a response, such as ``reho_c2``.

    Examples
    --------
    >>> [is_functional(name) for name in ('fc__Seitzman__sgACC_DMN__both', 'reho_c2', 'fa_c2')]
    [True, True, False]
    """
    return name.split('_', 1)[0] in FUNCTIONAL


def text_of(row: pd.Series, name: str) -> str:
    """Return a text cell, empty where nothing is said.

    Parameters
    ----------
    row : Series
        Of a table of results.
    name : str
        Of a column, which may be absent.

    Returns
    -------
    str
        Empty for numbers, NaN and ``n/a`` too.
    """
    value = row.get(name)
    return value if isinstance(value, str) and value != 'n/a' else ''


def listed(names: Sequence[str]) -> str:
    """Join names as prose does.

    Parameters
    ----------
    names : sequence of str
        At least one.

    Examples
    --------
    >>> listed(['a']), listed(['a', 'b', 'c'])
    ('a', 'a, b and c')
    """
    return ' and '.join([', '.join(names[:-1]), names[-1]] if len(names) > 1 else names)


CRITERIA: Mapping[str, str] = {
    'snr': 'S/N', 'fwhm': 'line width', 'crlb': 'Cramer-Rao bound',
}  # fmt: skip
"""Criteria of a gate of spectra that are abbreviations."""


def criterion_words(text: str) -> str:
    """Put a threshold of a gate into words.

    Parameters
    ----------
    text : str
        Metric, operator, number and unit, as `bids_acc.quality.gate.Threshold` writes it.

    Examples
    --------
    >>> criterion_words('fwhm < 10 Hz')
    'line width < 10 Hz'
    """
    name, _, rest = text.partition(' ')
    return f'{CRITERIA.get(name, name.replace("_", " "))} {rest}'.strip()


def artefact_words(name: str) -> str:
    """Put the name of an artefact of a spectrum into words.

    Parameters
    ----------
    name : str
        One of `bids_acc.quality.gate.ARTEFACTS`.

    Examples
    --------
    >>> artefact_words('missing_naa'), artefact_words('strong_lipid')
    ('missing NAA', 'strong lipid')
    """
    return name.replace('_', ' ').replace('naa', 'NAA')


def unmet_words(criteria: str) -> str:
    """Say in words which thresholds were not met; anything else stays.

    Parameters
    ----------
    criteria : str
        Joined by commas, each with what came of it where that is unknown.

    Examples
    --------
    >>> unmet_words('fwhm < 10 Hz, crlb < 20 %')
    'line width not < 10 Hz, Cramer-Rao bound not < 20 %'
    >>> unmet_words('snr > 10: unknown'), unmet_words('no spectrum')
    ('S/N > 10: unknown', 'no spectrum')
    """
    parts = criteria.split(', ')
    if not all(re.match(r'\w+ [<>]', part) for part in parts):
        return criteria
    return ', '.join(
        criterion_words(part) if part.endswith('unknown')
        else re.sub(r' ([<>])', r' not \1', criterion_words(part))
        for part in parts
    )  # fmt: skip


def tested(row: pd.Series) -> str:
    """Write which term, and which levels of it, a row is about.

    Parameters
    ----------
    row : Series
        Of a table of results; ``term`` and ``contrast`` are read.

    Examples
    --------
    >>> tested(pd.Series({'term': 'group', 'contrast': 'TRS - HC'}))
    'TRS - HC'
    >>> tested(pd.Series({'term': 'panss_total', 'contrast': 'all groups'}))
    'panss_total: all groups'
    """
    term, contrast = text_of(row, 'term'), text_of(row, 'contrast')
    # "HC - TRS" of the term group needs no more words; of another term it does
    if contrast and term not in ('', 'group', contrast):
        return f'{term}: {contrast}'
    return contrast or term


IN_UNITS = frozenset({
    'mean_difference', 'adjusted_difference', 'difference_of_differences', 'difference of means',
    'slope', 'slope_difference',
})  # fmt: skip
"""Effects in the unit of the response, of which two decimals may show nothing."""


def number_words(number: float, decimals: int = 2) -> str:
    """Write a number with so many decimals; what rounds to zero has no sign.

    Parameters
    ----------
    number : float
        Any size.
    decimals : int
        Digits after the point.

    Examples
    --------
    >>> number_words(-0.004), number_words(7.0), number_words(-0.305, 1)
    ('0.00', '7.00', '-0.3')
    """
    text = f'{number:.{decimals}f}'
    return text.removeprefix('-') if float(text) == 0 else text


def digits_words(number: float) -> str:
    """Write a number with three digits that count.

    Parameters
    ----------
    number : float
        Any size; beyond 1000 all digits before the point are written.

    Examples
    --------
    >>> digits_words(0.2), digits_words(-2.314e-05), digits_words(12.0), digits_words(1234.6)
    ('0.200', '-2.31e-05', '12.0', '1235')
    """
    if abs(number) >= 999.5:  # which rounds to a thousand, and would get an exponent
        return f'{number:.0f}'
    return f'{number:#.3g}'.rstrip('.')


def effect_words(row: pd.Series) -> str:
    """Write the effect size with its interval.

    Parameters
    ----------
    row : Series
        Of a table of results; ``effect_name``, ``effect``, ``ci_low`` and ``ci_high`` are read.

    Returns
    -------
    str
        Empty without an effect. Three significant digits in the response's own unit, else two
        decimals.

    Examples
    --------
    >>> small = {'effect_name': 'mean_difference', 'effect': 2.314e-05, 'ci_low': float('nan')}
    >>> effect_words(pd.Series(small))
    'mean difference 2.31e-05'
    >>> effect_words(
    ...     pd.Series({'effect_name': 'cohen_d', 'effect': 0.5, 'ci_low': 0.1, 'ci_high': 0.9})
    ... )
    "Cohen's d 0.50 [0.10, 0.90]"
    """
    if pd.isna(row.get('effect')):
        return ''
    kind = text_of(row, 'effect_name')

    def write(number: float) -> str:
        return digits_words(number) if kind in IN_UNITS else number_words(number)

    return f'{effect_name(kind)} {with_interval(row, write)}'


def effect_name(kind: str) -> str:
    """Return the name of an effect size as papers write it.

    Parameters
    ----------
    kind : str
        Cell of the column ``effect_name``.

    Returns
    -------
    str
        The word ``effect`` for a measure without a name.
    """
    return EFFECT_NAMES.get(kind, kind.replace('_', ' ')) or 'effect'


def with_interval(row: pd.Series, write: Callable[[float], str]) -> str:
    """Write an effect and, where both limits are known, its interval.

    Parameters
    ----------
    row : Series
        Of a table of results; ``effect``, ``ci_low`` and ``ci_high`` are read.
    write : callable
        How a number is written.

    Returns
    -------
    str
    """
    interval = ''
    if pd.notna(row.get('ci_low')) and pd.notna(row.get('ci_high')):
        interval = f' [{write(row["ci_low"])}, {write(row["ci_high"])}]'
    return f'{write(row["effect"])}{interval}'


def four_digits(number: float) -> str:
    """Write a number with up to four digits that count, and no exponent for a large one.

    Parameters
    ----------
    number : float
        Degrees of freedom, a mean, a volume.

    Examples
    --------
    >>> four_digits(68.0), four_digits(12345.6), four_digits(0.000012344)
    ('68', '12346', '1.234e-05')
    """
    return f'{number:.0f}' if 9999.5 <= abs(number) < 1e12 else f'{number:.4g}'


def statistic_words(row: pd.Series) -> str:
    """Write the test statistic with its degrees of freedom.

    Parameters
    ----------
    row : Series
        Of a table of results; ``statistic``, ``value``, ``df1`` and ``df2`` are read.

    Examples
    --------
    >>> statistic_words(pd.Series({'statistic': 'F', 'value': 7.0, 'df1': 2.0, 'df2': 68.0}))
    'F(2, 68) = 7.00'
    >>> statistic_words(pd.Series({'statistic': 'chi2', 'value': 2.914, 'df1': 2.0}))
    'χ²(2) = 2.91'
    >>> statistic_words(pd.Series({'statistic': 'mean difference', 'value': 0.00012}))
    'mean difference = 0.00012'
    >>> statistic_words(pd.Series({'statistic': 't', 'value': 2.0, 'df1': 12345.0}))
    't(12345) = 2.00'
    """
    name = text_of(row, 'statistic').replace('chi2', 'χ²')
    if not name or pd.isna(row.get('value')):
        return name
    dof = [four_digits(row[c]) for c in ('df1', 'df2') if pd.notna(row.get(c))]
    if dof:
        return f'{name}({", ".join(dof)}) = {number_words(row["value"])}'
    value = row['value']
    return f'{name} = {number_words(value) if name in ("z", "χ²") else four_digits(value)}'


def p_words(value: object) -> str:
    """Write a p value as journals do.

    Parameters
    ----------
    value : object
        Number, or anything that is none.

    Returns
    -------
    str
        Three decimals, ``< 0.001`` below; empty for what is no number.
    """
    number = pd.to_numeric(value, errors='coerce')  # type: ignore[call-overload]
    if pd.isna(number):
        return ''
    # three decimals, as journals ask: more suggest a precision that assumptions do not have
    return '< 0.001' if number < 0.001 else f'{number:.3f}'


def metric_words(metric: str, component: float | None = None) -> str:
    """Name a metric, of a parcel where one is given.

    Parameters
    ----------
    metric : str
        Name in the tables, such as ``md`` or ``volume__ATLAS__REGION__SIDE``.
    component : float or None
        Number of the parcel; None or NaN for none.

    Examples
    --------
    >>> metric_words('md', 2), metric_words('Glx')
    ('MD of parcel 2', 'Glx')
    >>> metric_words('volume__CerebrA__hippocampus__L')
    'volume of hippocampus, left (CerebrA)'
    """
    parts = metric.split('__')
    if len(parts) == 4 and parts[3] in SIDES:
        what, atlas, region, side = parts
        return f'{METRIC_NAMES.get(what, what)} of {region}{SIDES[side]} ({atlas})'
    name = METRIC_NAMES.get(metric, metric)
    return name if component is None or pd.isna(component) else f'{name} of parcel {component:.0f}'


def response_words(row: pd.Series) -> str:
    """Name what was measured.

    Parameters
    ----------
    row : Series
        Of a table of results; ``response``, ``metric`` and ``component`` are read.

    Examples
    --------
    >>> response_words(pd.Series({'response': 'md_c2', 'metric': 'md', 'component': 2}))
    'MD of parcel 2'
    >>> response_words(pd.Series({'response': 'Glx', 'metric': 'Glx', 'component': None}))
    'Glx'
    """
    metric, component = text_of(row, 'metric'), row.get('component')
    if metric and pd.notna(component):
        return metric_words(metric, component)
    return name_words(text_of(row, 'response'))


QUALITY: Mapping[str, str] = {
    'acc_coverage': 'anterior cingulate with signal',
    'acc_tsnr': 'temporal S/N of the anterior cingulate',
    'baseline_sensitivity_glu': 'change of Glu/tCr with the baseline',
    'baseline_sensitivity_glx_pct': 'change of Glx with the baseline (%)',
    'bared_cm2': 'brain that borders on nothing (cm²)',
    'boundary_contrast': 'contrast at the white surface',
    'brain_agreement': 'agreement of two brain masks', 'brain_method': 'brain found by',
    'brain_ml': 'brain (mL)', 'choline_residual': 'residual of the cholines in the difference',
    'clamped_share': 'share of the surface that was held back', 'cnr': 'contrast to noise',
    'cnr_b1000': 'contrast to noise, b = 1000',
    'clipped_pct': 'clipped signal', 'drift_pct': 'drift of the signal',
    'coreg_dice': 'overlap of the brains in this image and T1w',
    'coreg_nmi': 'mutual information of b = 0 and T1w', 'crlb_pct': '%SD',
    'csf': 'share of CSF at vertices', 'cut_cm2': 'brain cut by the image (cm²)',
    'dof': 'degrees of freedom left', 'drift_hz': 'drift (Hz)', 'dvars_mean': 'mean DVARS',
    'edit_aligned_by': 'editing conditions aligned by', 'edit_target': 'edited',
    'euler_wm': 'Euler number of white matter', 'f_csf': 'share of CSF',
    'f_gm': 'share of grey matter', 'f_wm': 'share of white matter', 'fa_median': 'median FA',
    'coverage': 'share of vertices with a value',
    'fd_above_02': 'volumes with motion above 0.2 mm',
    'fd_above_05': 'volumes with motion above 0.5 mm', 'fd_max': 'largest head motion (mm)',
    'fd_mean': 'mean head motion (mm)', 'field_of_view_share': 'share in the field of view',
    'fwhm_hz': 'line width (Hz)', 'fwhm_lcmodel_ppm': 'line width of LCModel (ppm)',
    'fwhm_ppm': 'line width (ppm)', 'fwhm_water_hz': 'line width of water (Hz)',
    'gaba_cr_area': 'GABA+/Cr by fitted areas', 'gannet_gaba_cr': 'GABA+/Cr as Gannet',
    'gannet_gaba_fit_error_pct': 'fit error of GABA as Gannet (%)',
    'gannet_gaba_fwhm_hz': 'width of GABA as Gannet (Hz)',
    'gannet_gaba_snr': 'S/N of GABA as Gannet', 'gate_reason': 'why',
    'gm_wm_ratio': 'grey by white matter', 'intersecting_share': 'share of faces that intersect',
    'md_median': 'median MD', 'measured_share': 'share of the brain with a value',
    'minutes_left': 'time left (min)', 'motion_max': 'largest displacement (mm)',
    'mtr_csf': 'ratio of CSF', 'mtr_gm': 'ratio of grey matter', 'mtr_wm': 'ratio of white matter',
    'mtr_wm_gm': 'white minus grey matter', 'n_dummy': 'volumes dropped at the start',
    'n_kept': 'volumes kept', 'n_missing': 'volumes left out', 'n_regions': 'regions measured',
    'n_regressors': 'regressors', 'n_runs': 'runs', 'n_transients': 'transients',
    'n_transients_used': 'transients averaged', 'n_volumes': 'volumes',
    'naa_ratio': 'NAA of the difference by NAA of OFF', 'negative_share': 'share below zero',
    'negative_pct': 'negative signal',
    'neighbour_corr': 'correlation of neighbouring volumes', 'noise_sd': 'SD of the noise',
    'non_positive_pct': 'tensors that are not positive (%)',
    'on_off_gap': 'gap of registration there and back (mm)',
    'on_off_moved': 'displacement between the images (mm)',
    'on_phase_deg': 'phase of ON (degrees)', 'on_shift_hz': 'offset of ON (Hz)',
    'osprey_difference_snr': 'S/N of the difference as Osprey',
    'order_gain': 'fit with directions in another order',
    'outlier_slices': 'slices without signal', 'outlier_slices_pct': 'slices without signal (%)',
    'registration_dice': 'overlap with the template', 'repetition_time': 'repetition time (s)',
    'residual_median': 'residual of the tensor', 'residual_water_ratio': 'residual water by NAA',
    'resolution_mm': 'edge of the voxel (mm)',
    'rim_dark_share': 'dark share of the rim of the brain mask',
    'roi_defined_share': 'share of the region with a value',
    'roi_thickness_mean': 'mean thickness of the region (mm)',
    'sdc_applied': 'distortion corrected', 'sdc_shift_mean': 'mean correction of distortion (mm)',
    'shift_ppm': 'shift of the data (ppm)', 'snr_b0': 'S/N of b = 0', 'snr_b1000': 'S/N, b = 1000',
    'snr_lcm': 'S/N of the spectrum (peak over noise)', 'snr_lcmodel': 'S/N of LCModel',
    'snr_noise': 'S/N of the spectrum by its noise', 'snr_off': 'S/N without saturation',
    'snr_osprey': 'S/N of Osprey', 'snr_spectrum': 'S/N of FSL-MRS',
    'snr_wm': 'S/N of white matter', 'surface_source': 'surfaces from',
    'spectrometer_mhz': 'spectrometer frequency (MHz)',
    'te1_s': 'first part of TE (s)', 'te2_s': 'second part of TE (s)', 'te_s': 'echo time (s)',
    'te_split_assumed': 'parts of TE assumed', 'thickness_median': 'median thickness (mm)',
    'tr_s': 'repetition time of the spectrum (s)', 'tsnr_median': 'temporal S/N, median',
    'voxel_in_acc_fraction': 'share of the voxel in the cingulate',
    'voxel_in_tissue_fraction': 'share of the voxel in tissue',
    'voxel_in_image_fraction': 'share of the voxel in the T1w image',
    'voxel_max_mm': 'longest edge of a voxel (mm)', 'voxel_volume_ml': 'volume of the voxel (mL)',
    'water_phase_deg': 'phase of water, ON against OFF (degrees)',
    'water_shift_hz': 'offset of water, ON against OFF (Hz)',
}  # fmt: skip
"""Figures of quality, without modality and side."""
MODALITY_WORDS: Mapping[str, str] = {
    'anat': 'T1w', 'dwi': 'diffusion', 'func': 'BOLD', 'mtr': 'magnetization transfer',
    'mrs': 'spectrum',
}  # fmt: skip
"""How the names of columns of quality begin, in words."""
HEADINGS: Mapping[str, str] = {
    'participant_id': 'participant', 'session_id': 'session', 'null_mean': 'mean by chance',
    'n_null': 'draws by chance', 'ari_within': 'adjusted Rand index within hemispheres',
    'cohort_a': 'cohort', 'cohort_b': 'other cohort', 'component_a': 'its parcel',
    'component_b': 'parcel of the other', 'null_p95': '95 % by chance stay below', 'p_unc': 'p',
    'ari': 'adjusted Rand index', 'dice': 'Dice overlap', 'null': 'kind of chance',
    'p_by_cohort': 'corrected p by cohort',
    'n_participants': 'people', 'n_measured': 'measured', 'n_vertices': 'vertices',
    'n_used': 'used', 'sd': 'SD', 'component': 'parcel', 'min_group_size': 'smallest group',
}  # fmt: skip
"""Columns whose name says too little by itself."""


def name_words(name: object) -> str:
    """Put the name of a measure into words; any other text is returned as it is.

    Parameters
    ----------
    name : object
        As in the tables.

    Examples
    --------
    >>> name_words('md_c2'), name_words('thickness_c1_L'), name_words('Glx')
    ('MD of parcel 2', 'thickness of parcel 1, left', 'Glx')
    >>> name_words('anat_boundary_contrast_L'), name_words('panss_total')
    ('T1w: contrast at the white surface, left', 'panss_total')
    """
    text = str(name)
    if text in METRIC_NAMES:
        return METRIC_NAMES[text]
    if text.count('__') == 3:  # a region
        return metric_words(text)
    side = ENDINGS.get(text[-2:], '')
    plain = text[:-2] if side else text
    if found := re.fullmatch(r'(\w+)_c(\d+)', plain):
        return metric_words(found[1], float(found[2])) + side
    modality, _, rest = plain.partition('_')
    if modality in MODALITY_WORDS and rest:
        return f'{MODALITY_WORDS[modality]}: {QUALITY.get(rest, rest.replace("_", " "))}{side}'
    if modality == 'crlb' and rest:
        return f'%SD of {rest}'
    if modality == 'gate' and rest:
        return f'verdict of the gate on {rest}'
    return text


def heading_words(name: object) -> str:
    """Put the name of a column into words.

    Parameters
    ----------
    name : object
        Of a column, as in the tables.

    Examples
    --------
    >>> heading_words('null_p95'), heading_words('matched_cosine')
    ('95 % by chance stay below', 'matched cosine')
    """
    return HEADINGS.get(str(name), str(name).replace('_', ' '))


def is_directed(row: pd.Series) -> bool:
    """Tell whether the sign of the effect says in which direction it goes.

    Parameters
    ----------
    row : Series
        Of a table of results.

    Returns
    -------
    bool
        False for omnibus tests (F, chi-squared, likelihood ratio) without a partial correlation.
    """
    if pd.notna(row.get('partial_r')):
        return True
    if text_of(row, 'effect_name') == 'partial_eta2':
        return False
    if text_of(row, 'effect_name') in (
        'adjusted_difference', 'difference_of_differences', 'slope_difference',
    ):  # fmt: skip
        return pd.notna(row.get('effect'))
    return text_of(row, 'statistic') not in ('F', 'chi2', 'LR') and pd.notna(row.get('effect'))


def goes_up(row: pd.Series) -> bool:
    """Tell the sign of a directed effect: that of the partial correlation, where a row has one.

    Parameters
    ----------
    row : Series
        For which `is_directed` holds.
    """
    value = row.get('partial_r')
    return bool((value if pd.notna(value) else row['effect']) > 0)


def _change_words(row: pd.Series, what: str) -> str:
    """Say what a model over sessions found.

    Examples
    --------
    >>> row = {'term': 'session_id:group', 'effect_name': 'difference_of_differences'}
    >>> contrast = '(ses-2 - ses-1) x (resistant - HC)'
    >>> _change_words(pd.Series({**row, 'contrast': contrast, 'effect': 0.3}), 'Glu')
    'Glu changes more upwards in resistant than in HC (ses-2 - ses-1)'
    >>> row = {'term': 'session_id', 'effect_name': 'adjusted_difference', 'effect': -0.3}
    >>> _change_words(pd.Series({**row, 'contrast': 'ses-2 - ses-1'}), 'Glu')
    'Glu is lower in ses-2 than in ses-1'
    """
    contrast, up = text_of(row, 'contrast'), bool(row['effect'] > 0)
    if text_of(row, 'effect_name') == 'difference_of_differences':
        visits, groups = (part.strip('()') for part in contrast.split(' x '))
        one, other = groups.split(' - ', 1)
        way = 'upwards' if up else 'downwards'
        return f'{what} changes more {way} in {one} than in {other} ({visits})'
    if text_of(row, 'effect_name') == 'adjusted_difference':
        one, other = contrast.split(' - ', 1)
        return f'{what} is {"higher" if up else "lower"} in {one} than in {other}'
    others = [part for part in text_of(row, 'term').split(':') if part != 'session_id']
    if others:
        return f'{what} changes differently by {" and ".join(others)}'
    return f'{what} changes between sessions'


def finding_words(row: pd.Series, *, continuous: bool = False) -> str:
    """Say in words what a significant row found, with its direction where it has one.

    Parameters
    ----------
    row : Series
        Row of a statistics table.
    continuous : bool
        Whether the tested term is a measure, and not a grouping of people.

    Examples
    --------
    >>> row = {'response': 'thickness_c2', 'metric': 'thickness', 'component': 2, 'term': 'group'}
    >>> finding_words(pd.Series({**row, 'contrast': 'TRS - HC', 'statistic': 't', 'effect': -0.9}))
    'thickness of parcel 2 is lower in TRS than in HC'
    >>> finding_words(pd.Series({**row, 'statistic': 'F', 'effect': 0.2}))
    'thickness of parcel 2 differs between groups'
    >>> finding_words(
    ...     pd.Series(
    ...         {
    ...             **row,
    ...             'term': 'Glx',
    ...             'statistic': 't',
    ...             'effect': -0.4,
    ...             'effect_name': 'partial_r',
    ...         }
    ...     )
    ... )
    'thickness of parcel 2 falls with Glx'
    >>> finding_words(pd.Series({**row, 'analysis': 'interactions', 'term': 'group:sex'}))
    'the difference between groups in thickness of parcel 2 depends on sex'
    >>> row = {'response': 'Glx', 'term': 'group:time', 'effect_name': 'slope_difference'}
    >>> finding_words(pd.Series({**row, 'contrast': 'drug - placebo', 'effect': 0.2}))
    'Glx changes more upwards over time in drug than in placebo'
    """
    what, term, contrast = response_words(row), text_of(row, 'term'), text_of(row, 'contrast')
    # F of several degrees of freedom says that, and not where
    directed = is_directed(row)
    rises = directed and goes_up(row)
    if 'session_id' in term.split(':'):
        return _change_words(row, what)
    if text_of(row, 'effect_name') == 'slope_difference' and ' - ' in contrast:
        one, other = contrast.split(' - ', 1)
        way = 'upwards' if rises else 'downwards'  # of two slopes that fall, one is higher too
        return f'{what} changes more {way} over time in {one} than in {other}'
    if text_of(row, 'effect_name') == 'risk_difference' and ' - ' in contrast:
        one, other = contrast.split(' - ', 1)
        return f'{what} is {"more" if rises else "less"} frequent in {one} than in {other}'
    # its sign depends on the coding of both terms, and is told by the simple effects
    if text_of(row, 'analysis') == 'interactions':
        on = term.replace(' x ', ':').partition(':')[2]
        return f'the difference between groups in {what} depends on {on}'
    if directed and ' - ' in contrast:
        one, other = contrast.split(' - ', 1)
        where = f' ({term})' if term not in ('', 'group', contrast) else ''
        return f'{what} is {"higher" if rises else "lower"} in {one} than in {other}{where}'
    scope = f' ({contrast})' if contrast else ''
    related = text_of(row, 'effect_name') in ('r', 'partial_r') or pd.notna(row.get('partial_r'))
    if directed and related:
        return f'{what} {"rises" if rises else "falls"} with {term}{scope}'
    if ':' in term:
        one, other = term.split(':', 1)
        return f'the relation of {what} to {other} depends on {one}{scope}'
    if text_of(row, 'statistic') in ('F', 'F permuted') and term:
        if continuous:
            return f'{what} varies with {term}{scope}'
        return f'{what} differs {"between groups" if term == "group" else f"by {term}"}{scope}'
    return f'{what}: {tested(row)}'
