"""The quality gate of images: figures of a session's T1w image, diffusion or BOLD series.

A criterion names a column of the table of quality. A figure of each hemisphere (``clamped_share``
for ``clamped_share_L`` and ``clamped_share_R``) must meet it on both sides.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, reading
from bids_acc.quality.gate import (
    Criterion,
    Threshold,
    Verdict,
    check_known,
    held_against,
    join_criteria,
    missing_of,
    name_of,
    parse_threshold,
)

SIDED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        'anat': {
            'in_brain_share': '1', 'boundary_contrast': '1', 'clamped_share': '1',
            'intersecting_share': '1', 'thickness_median': 'mm', 'thickness_outside_share': '1',
            'roi_defined_share': '1', 'roi_thickness_mean': 'mm',
        },
        'dwi': {'coverage': '1', 'csf': '1', 'csf_high': '1'},
        'func': {'coverage': '1', 'acc_coverage': '1', 'acc_tsnr': '1'},
        'mtr': {'coverage': '1', 'csf': '1'},
    }
)  # fmt: skip
"""Metrics of each hemisphere, with their units."""
WHOLE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        'anat': {
            'brain_agreement': '1', 'gap_share': '1', 'form_gap_mm': 'mm', 'brain_ml': 'mL',
            'bared_cm2': 'cm2',
            'gm_share': '1', 'gm_wm_ratio': '1', 'euler_wm': '1', 'rim_dark_share': '1',
            'cut_cm2': 'cm2', 'field_of_view_share': '1', 'registration_dice': '1',
            'registration_dice_wm': '1', 'cnr': '1', 'snr_wm': '1',
        },
        'dwi': {
            'n_volumes': '1', 'n_missing': '1', 'fd_mean': 'mm', 'fd_max': 'mm',
            'motion_mean': 'mm', 'motion_max': 'mm', 'outlier_slices': '1',
            'outlier_slices_pct': '%', 'snr_b0': '1', 'brain_seen': '1', 'neighbour_corr': '1',
            'residual_median': '1', 'non_positive_pct': '%', 'coherence': '1', 'coreg_dice': '1',
            'coreg_nmi': '1', 'sdc_similarity': '1', 'sdc_moved': 'mm',
        },
        'func': {
            'n_volumes': '1', 'n_kept': '1', 'minutes_left': 'min', 'fd_mean': 'mm',
            'fd_max': 'mm', 'fd_above_02': '1', 'fd_above_05': '1', 'dvars_mean': '1',
            'dof': '1', 'tsnr_median': '1', 'coreg_dice': '1', 'n_regions': '1',
        },
        'mtr': {
            'resolution_mm': 'mm', 'snr_off': '1', 'on_off_moved': 'mm', 'on_off_gap': 'mm',
            'mtr_gm': '%', 'mtr_wm': '%', 'mtr_csf': '%', 'mtr_wm_gm': '%',
            'negative_share': '1', 'measured_share': '1',
        },
    }
)  # fmt: skip
"""Metrics of the whole image, with their units."""
SHELL = re.compile(r'(snr|cnr)_b\d+')
"""Metrics of one shell of a diffusion series."""
FIELDS = frozenset({'name', 'version', 'description', 'missing', 'session'})
"""Fields of a gate file for images."""
PRESETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'anat': ('anat-usual',),
        'dwi': ('dwi-usual',),
        'func': (
            'rest',
            'rest-strict',
            'rest-finished',
            'rest-strict-finished',
            'rest-parcels',
            'rest-strict-parcels',
        ),
        'mtr': ('mtr-usual',),
    }
)
"""Gates that come with the package, by modality."""
NONE = 'none'
"""Word for no gate."""
ImageModality = Literal['anat', 'dwi', 'func', 'mtr']
"""Modalities whose images have a gate."""


@dataclass(frozen=True)
class SessionGate:
    """Thresholds for the images of a session."""

    name: str
    """Name of the gate."""
    modality: ImageModality
    """Whose figures are held against the thresholds."""
    session: tuple[Threshold, ...]
    """Criteria; all must be met."""
    missing: Literal['strict', 'lenient'] = 'strict'
    """Whether a value that cannot be told excludes (strict) or is flagged (lenient)."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """The file as read."""


def definition_of(metric: str) -> str:
    """Name the definition of a metric of images: this package's, as its tables describe it.

    Parameters
    ----------
    metric : str
        Column of a quality table.

    Examples
    --------
    >>> definition_of('registration_dice')
    'builtin_registration_dice'
    """
    return f'builtin_{metric}'


def session_preset(modality: ImageModality, name: str, where: str) -> SessionGate:
    """Read a gate for images that comes with the package.

    Parameters
    ----------
    modality : {'anat', 'dwi', 'func', 'mtr'}
        Of which images.
    name : str
        Of the gate, one of `PRESETS`.
    where : str
        Who asks, for messages.

    Returns
    -------
    SessionGate

    Raises
    ------
    SettingsError
        If there is no such gate.

    Examples
    --------
    >>> gate = session_preset('dwi', 'dwi-usual', 'Gate/dwi')
    >>> str(gate.session[0])
    'fd_mean <= 2 mm'
    """
    check_known(where, 'gate', [name], [NONE, *PRESETS[modality]])
    file = resources.files('bids_acc').joinpath(f'data/quality/{name}.json')
    return parse_session_gate(json.loads(file.read_text('utf-8')), modality, where)


def finished_gate(gate: str, *, on_cortex: bool) -> str:
    """Return the gate of finished measures that stands for one of series.

    Parameters
    ----------
    gate : str
        ``rest`` or ``rest-strict`` is replaced by its twin that asks for nothing that finished
        measures do not tell (tSNR; where no map lies on the template's cortex, coverage of the
        anterior cingulate); anything else stays.
    on_cortex : bool
        Whether there are maps on the cortex of the template.

    Examples
    --------
    >>> (
    ...     finished_gate('rest', on_cortex=True),
    ...     finished_gate('rest-strict', on_cortex=False),
    ...     finished_gate('none', on_cortex=True),
    ... )
    ('rest-finished', 'rest-strict-parcels', 'none')
    """
    if gate not in ('rest', 'rest-strict'):
        return gate
    return f'{gate}-{"finished" if on_cortex else "parcels"}'


def gate_for(gate: SessionGate, figures: Mapping[str, object]) -> SessionGate:
    """Return the gate by which one session is judged.

    Parameters
    ----------
    gate : SessionGate
        That is asked for.
    figures : mapping
        Row of a table of quality, without prefix. Finished measures of function are told by their
        strategy, which names the tool (``XCP-D 0.10.5: 36P``).

    Returns
    -------
    SessionGate
        The same; of finished measures, where it is a preset, its twin (`finished_gate`).
    """
    tool = ': ' in str(figures.get('strategy', ''))
    if not tool or gate.modality != 'func' or gate.name not in PRESETS['func']:
        return gate
    if gate.session != session_preset('func', gate.name, 'Gate/func').session:
        return gate  # a file of this name
    told = figures.get('acc_coverage_L')
    on_cortex = isinstance(told, int | float) and math.isfinite(told)
    name = finished_gate(gate.name, on_cortex=on_cortex)
    return gate if name == gate.name else session_preset('func', name, 'Gate/func')


def load_session_gate(modality: ImageModality, name: str, where: str) -> SessionGate:
    """Read a gate for images that comes with the package, or a file.

    Parameters
    ----------
    modality : {'anat', 'dwi', 'func', 'mtr'}
        Of which images.
    name : str
        One of `PRESETS`, or a JSON file.
    where : str
        Who asks, for messages.

    Raises
    ------
    SettingsError
        If there is no such gate or file, or it is not of the right form.
    """
    if name in PRESETS[modality]:
        return session_preset(modality, name, where)
    if not Path(name).is_file():
        listed = ', '.join(PRESETS[modality])
        raise SettingsError(f'{where}: neither a preset ({listed}, {NONE}) nor a file.')
    with reading(name, 'gate', 'correct it', SettingsError):
        content = json.loads(read_whole(name, error=SettingsError))
    return parse_session_gate(content, modality, where, Path(name).stem)


def parse_session_gate(
    content: Any, modality: ImageModality, where: str, name: str = 'gate'
) -> SessionGate:
    """Check the content of a gate file for images.

    Parameters
    ----------
    content : mapping
        Content of the file.
    modality : {'anat', 'dwi', 'func', 'mtr'}
        Of which images.
    where : str
        Which file, for messages.
    name : str
        Name of a gate that does not tell its own.

    Returns
    -------
    SessionGate

    Raises
    ------
    SettingsError
        If it is not of the right form, or a word in it is not known.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get('session'), list):
        raise SettingsError(f'{where}: must be JSON with the list "session".')
    check_known(where, 'field', content, FIELDS)
    # an empty list lets everybody pass, and looks like a gate in the report
    if not content['session']:
        raise SettingsError(
            f'{where}: "session" holds no criterion; for no gate write the word {NONE}.'
        )
    units = {metric: (unit,) for metric, unit in known_metrics(modality).items()}
    # shells are named by their b-value, which no list can know beforehand
    for entry in content['session']:
        metric = str(entry.get('metric')) if isinstance(entry, Mapping) else ''
        if modality == 'dwi' and SHELL.fullmatch(metric):
            units[metric] = ('1',)
    criteria = tuple(
        parse_threshold(entry, where, units, lambda metric: [definition_of(metric)])
        for entry in content['session']
    )
    missing = missing_of(content, where)
    return SessionGate(name_of(content, name, where), modality, criteria, missing, content)


def known_metrics(modality: ImageModality) -> dict[str, str]:
    """Return the metrics that a gate for images may name, with their units.

    Parameters
    ----------
    modality : ImageModality
        ``anat``, ``dwi``, ``func`` or ``mtr``.

    Returns
    -------
    dict of str to str
        Metric to unit. Metrics of single shells (``SHELL``) are allowed besides, for diffusion.
    """
    return {**WHOLE[modality], **SIDED[modality]}


def judge_session(gate: SessionGate, figures: Mapping[str, Any]) -> Verdict:
    """Whether the images of a session are kept.

    Parameters
    ----------
    gate : SessionGate
        Thresholds.
    figures : mapping of str to float
        Columns of the session's table of quality; a column that is not there is unknown.

    Returns
    -------
    Verdict
        With every criterion, one for each hemisphere where the metric has two.

    Examples
    --------
    >>> gate = session_preset('dwi', 'dwi-usual', 'Gate/dwi')
    >>> good = {'fd_mean': 0.3, 'outlier_slices_pct': 0.1, 'coreg_dice': 0.93}
    >>> sides = {'coverage_L': 1.0, 'coverage_R': 0.7}
    >>> judge_session(gate, good | sides).reasons
    'coverage_R >= 0.9: 0.7 fail'
    """
    criteria = tuple(
        _criterion(threshold, column, figures)
        for threshold in gate.session
        for column in _columns(threshold.metric, gate.modality)
    )
    return join_criteria(criteria, (), gate.missing)


def _columns(metric: str, modality: str) -> tuple[str, ...]:
    """Return the columns of a metric: one, or one for each hemisphere."""
    # both must pass: a mean of the sides hides one that failed
    return (f'{metric}_L', f'{metric}_R') if metric in SIDED[modality] else (metric,)


def _criterion(threshold: Threshold, column: str, figures: Mapping[str, Any]) -> Criterion:
    """Hold one column against a threshold; text that is no number is unknown."""
    try:
        value = float(figures.get(column, math.nan))
    except (TypeError, ValueError):
        value = math.nan
    definition = threshold.definitions[0]
    return held_against(replace(threshold, metric=column), value, definition)
