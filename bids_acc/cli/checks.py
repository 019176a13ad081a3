"""Options that only make sense together, checked before hours are spent."""

from __future__ import annotations

from bids_acc.exceptions import SettingsError
from bids_acc.settings import Request
from bids_acc.surfaces.regions import WHOLE_CORTEX, region_mask
from bids_acc.surfaces.template import HEMISPHERES, load_template


def check_together(request: Request) -> None:
    """Refuse settings that contradict each other or the rest of the call.

    Raises
    ------
    SettingsError
        Naming the flags, and what to add or to leave out.
    """
    _check_region(request)
    for name, folder in request.derivatives.items():
        if not folder.is_dir():
            raise SettingsError(f'--derivatives {name}={folder}: {folder} is no folder.')
    if request.level == 'participant':
        _check_sources(request)


def _check_region(request: Request) -> None:
    """Refuse names of a region that no atlas has; the template knows all of Desikan-Killiany."""
    roi = request.settings.anat.roi
    if WHOLE_CORTEX in roi and len(roi) > 1:
        raise SettingsError('--roi cortex stands alone: it means every label.')
    mesh = load_template('10k')[HEMISPHERES[0]]
    region_mask(mesh.labels, mesh.names, roi)


def _check_sources(request: Request) -> None:
    """Refuse a source of surfaces, images or fits that the call does not name."""
    anat, dwi, mrs = request.settings.anat, request.settings.dwi, request.settings.mrs
    of_others = {
        'anat': (anat.surface_source not in ('auto', 'builtin'),
                 f'--surface-source {anat.surface_source}'),
        'dwi': (dwi.source == 'derivative', '--dwi-source derivative'),
    }  # fmt: skip
    for modality, (wanted, flag) in of_others.items():
        if wanted and modality in request.modalities and not request.derivatives:
            raise SettingsError(
                f'{flag} takes the results of another tool: say where, with -d NAME=PATH.'
            )
    if dwi.noddi == 'require' and 'dwi' in request.modalities and not request.derivatives:
        raise SettingsError(
            '--dwi-noddi require takes the maps of another tool: say where, with -d NAME=PATH.'
        )
    if 'mrs' in request.modalities and mrs.engine == 'import' and mrs.fits is None:
        raise SettingsError(
            '--mrs-engine import takes fits of another tool: say where, with --mrs-fits.'
        )
