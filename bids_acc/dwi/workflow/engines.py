"""Which program does each step, and what the sidecars say about it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from nipype.interfaces import fsl
from nipype.interfaces import mrtrix3 as mrt

from bids_acc import __version__
from bids_acc.dwi.interfaces.eddy import eddy_program
from bids_acc.dwi.series import Combine
from bids_acc.exceptions import SettingsError
from bids_acc.settings import DwiSettings


def choose_engines(
    settings: DwiSettings,
    *,
    has_anat: bool = False,
    has_reversed_pe: bool = False,
    has_field_map: bool = False,
    source: str = '',
) -> dict[str, str]:
    """Decide which program does each step, from the settings and what is on PATH.

    Parameters
    ----------
    settings : DwiSettings
    has_anat : bool
        Whether there is a T1w image.
    has_reversed_pe : bool
        Whether there are images of reversed phase encoding with known readout times.
    has_field_map : bool
        Whether there is a field map that was measured by gradient echoes.
    source : str
        Tool that corrected the series already; then nothing is corrected again.

    Returns
    -------
    dict of str to str
        ``none`` where a step is skipped.

    Raises
    ------
    SettingsError
        If a program was asked for that is not there, or cannot do its work.
    """
    if source:
        steps = ('denoise', 'unringing', 'motion', 'susceptibility', 'bias')
        done = {'preprocessing': source, 'tensor_fit': settings.tensor_fit}
        return {**dict.fromkeys(steps, 'none'), **done}

    def on_path(program: str, otherwise: str) -> str:
        return 'mrtrix3' if shutil.which(program) else otherwise

    denoise, unringing = settings.denoise, settings.unringing
    return {
        'denoise': on_path('dwidenoise', 'builtin') if denoise == 'auto' else denoise,
        'unringing': on_path('mrdegibbs', 'none') if unringing == 'auto' else unringing,
        'motion': _motion_engine(settings.motion),
        'susceptibility': _susceptibility_engine(
            settings.susceptibility,
            has_anat=has_anat,
            has_reversed_pe=has_reversed_pe,
            has_field_map=has_field_map,
        ),
        'bias': settings.bias,
        'mask': 'builtin',
        'tensor_fit': settings.tensor_fit,
    }


def _motion_engine(asked: str) -> str:
    """Refuse eddy where it is not."""
    if asked == 'eddy' and eddy_program() is None:
        raise SettingsError(
            '--dwi-motion eddy: none of eddy_cpu, eddy_openmp and eddy is on PATH; install FSL, '
            'or choose builtin.'
        )
    return asked


def _susceptibility_engine(
    asked: str, *, has_anat: bool, has_reversed_pe: bool, has_field_map: bool
) -> str:
    """Choose how susceptibility distortion is corrected."""
    there = shutil.which('topup') is not None
    if asked == 'auto':
        if has_reversed_pe:
            return 'topup' if there else 'pair'
        # what was measured goes before what a registration infers from the shape of the brain
        if has_field_map:
            return 'fieldmap'
        return 'registration' if has_anat else 'none'
    if asked == 'topup' and not there:
        raise SettingsError(
            '--dwi-susceptibility topup: topup is not on PATH; install FSL, or choose pair, '
            'which is built in.'
        )
    # of a whole cohort some sessions lack the images: they go on without, and their page says so
    if asked in ('topup', 'pair') and not has_reversed_pe:
        return 'none'
    if asked == 'fieldmap' and not has_field_map:
        return 'none'
    return 'none' if asked == 'registration' and not has_anat else asked


def decided_beforehand(
    settings: DwiSettings,
    engines: Mapping[str, str],
    source: str,
    no_opposite: Sequence[str] = (),
) -> list[str]:
    """Say in words what was decided before the graph was built.

    Parameters
    ----------
    settings : DwiSettings
    engines : mapping
        From `choose_engines`.
    source : str
        Tool that corrected the series already; empty for raw data.
    no_opposite : sequence of str
        Images that might have been of reversed phase encoding, each with why it is not used.
    """
    if source:
        return [f'The series was taken as {source} corrected it; no step was repeated.']
    notes = []
    if engines['susceptibility'] == 'none':
        reason = 'it was switched off.'
        if settings.susceptibility != 'none':
            reason = _nothing_to_correct_with(settings.susceptibility, no_opposite)
        notes.append(f'Susceptibility distortion was not corrected: {reason}')
    if engines['motion'] == 'eddy':
        notes.append('eddy interpolates the series, so that the maps are interpolated twice.')
    return notes


def _nothing_to_correct_with(asked: str, no_opposite: Sequence[str]) -> str:
    """Say what is missing; images that are there but do not serve are named."""
    if asked == 'fieldmap':
        return 'there is no field map that was measured by gradient echoes and can be used.'
    if no_opposite:
        t1w = '' if asked in ('topup', 'pair') else 'there is no T1w image, and '
        return f'{t1w}no image of reversed phase encoding can be used ({"; ".join(no_opposite)}).'
    if asked in ('topup', 'pair'):
        return 'there are no images of reversed phase encoding.'
    return 'there is neither a T1w image nor one of reversed phase encoding.'


def engine_versions(engines: Mapping[str, str]) -> dict[str, str]:
    """Name the version of each program that is used.

    Parameters
    ----------
    engines : mapping of str to str
        Step to the program that does it, see `choose_engines`.

    Returns
    -------
    dict of str to str
        For sidecars; ``unknown`` where a program does not tell.
    """
    names = set(engines.values())
    versions = {'bids_acc': __version__, 'antspyx': version('antspyx')}
    if names & {'topup', 'eddy'}:
        versions['fsl'] = str(fsl.Info.version() or 'unknown')
    if 'dipy' in names:
        versions['dipy'] = version('dipy')
    if 'mrtrix3' in names:
        versions['mrtrix3'] = str(mrt.DWIDenoise().version or 'unknown')
    return versions


def combined_runs(engines: Mapping[str, str]) -> Combine:
    """Tell which runs can be analysed together, see `bids_acc.dwi.series.join_runs`.

    eddy moves volumes to their place before anything else is known, so that it needs topup's
    field to bring together what is distorted in different ways.

    Parameters
    ----------
    engines : mapping of str to str
        Step to the program that does it.
    """
    if engines.get('preprocessing'):
        return 'corrected'
    found = engines['susceptibility']
    # runs that are distorted in different ways can be joined only where something undoes it
    if found == 'none' or (engines['motion'] == 'eddy' and found != 'topup'):
        return 'same'
    return 'field'


def field_is_left(engines: Mapping[str, str]) -> bool:
    """Tell whether the preparation found a field that is still to be applied.

    eddy applies topup's field itself.

    Parameters
    ----------
    engines : mapping of str to str
        Step to the program that does it.
    """
    found = engines['susceptibility']
    return found in ('pair', 'fieldmap') or (found == 'topup' and engines['motion'] != 'eddy')


def step_reports(engines: Mapping[str, str]) -> list[str]:
    """List the steps of the preparation that report something.

    Parameters
    ----------
    engines : mapping of str to str
        Step to the program that does it.

    Returns
    -------
    list of str
        Fields of the preparation's ``outputnode``.
    """
    done = {
        'denoising': engines['denoise'] != 'none',
        'unringing': engines['unringing'] != 'none',
        'susceptibility': engines['susceptibility'] in ('topup', 'pair', 'fieldmap'),
        'eddy': engines['motion'] == 'eddy',
    }
    return [name for name, really in done.items() if really]
