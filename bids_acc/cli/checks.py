"""Options that only make sense together, checked before hours are spent."""

from __future__ import annotations

from pathlib import Path

from bids_acc.anat.meshes import labels_from_files
from bids_acc.exceptions import SettingsError
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.quality.sessions import load_session_gate
from bids_acc.settings import FuncSettings, Request
from bids_acc.surfaces.atlases import (
    check_region,
    load_tract_atlas,
    parse_atlas,
    read_labelled_image,
)
from bids_acc.surfaces.regions import WHOLE_CORTEX, find_region


def check_together(request: Request) -> None:
    """Refuse settings that contradict each other or the rest of the call.

    Parameters
    ----------
    request : Request
        All of the call; its folders are looked at, no data are read.

    Raises
    ------
    SettingsError
        Naming the flags, and what to add or to leave out.
    """
    _check_region(request)
    for name, folder in request.derivatives.items():
        _check_derivative(name, folder)
    if request.level == 'participant':
        _check_sources(request)


def _check_derivative(name: str, folder: Path) -> None:
    """Refuse what is no folder of subjects: one above it, or that of one subject."""
    if not folder.is_dir():
        raise SettingsError(f'--derivatives {name}={folder}: {folder} is no folder.')
    if any(path.is_dir() for path in folder.glob('sub-*')):
        return
    below = next((p for p in sorted(folder.glob('*/sub-*')) if p.is_dir()), None)
    if below is not None:
        raise SettingsError(
            f'--derivatives {name}={folder} holds no folder sub-*, but {below.parent} does: give '
            'that one.'
        )
    if folder.name.startswith('sub-'):
        raise SettingsError(
            f'--derivatives {name}={folder} is the folder of one subject: give the one above it, '
            f'{folder.parent}.'
        )


def _check_region(request: Request) -> None:
    """Refuse atlases that cannot be used and names of a region that none of them has."""
    anat = request.settings.anat
    if WHOLE_CORTEX in anat.roi and len(anat.roi) > 1:
        raise SettingsError('--roi cortex stands alone: it means every label.')
    names = [parse_atlas(text)[0] for text in anat.atlas]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingsError(f'--atlas {twice[0]}: two atlases have this name.')
    check_region(anat.roi, anat.atlas)
    _check_mesh(request)
    if (tracts := request.settings.dwi.tract_atlas) is not None:
        load_tract_atlas(tracts)


def _check_mesh(request: Request) -> None:
    """Refuse labels of a mesh that was not asked for, and names that they do not have."""
    anat = request.settings.anat
    if anat.mesh == TEMPLATE_MESH:
        if anat.mesh_labels or anat.mesh_roi:
            raise SettingsError(
                '--mesh-labels and --mesh-roi are for the mesh of a derivative: add --mesh civet '
                'or --mesh fsLR.'
            )
        return
    if 'anat' in request.modalities and request.level == 'participant' and not request.derivatives:
        raise SettingsError(
            f'--mesh {anat.mesh} takes the results of another tool: say where, with -d NAME=PATH.'
        )
    if anat.mesh_labels:
        for labels in labels_from_files(anat.mesh_labels, anat.mesh).values():
            try:
                find_region([labels], anat.region)
            except SettingsError as error:
                text = str(error).removeprefix('--roi')
                raise SettingsError(f'--mesh-roi{text}') from error


def _check_sources(request: Request) -> None:
    """Refuse a source of surfaces, images or fits that the call does not name."""
    anat, dwi, mrs = request.settings.anat, request.settings.dwi, request.settings.mrs
    func = request.settings.func
    of_others = {
        'anat': (anat.surface_source not in ('auto', 'builtin'),
                 f'--surface-source {anat.surface_source}'),
        'dwi': (dwi.source == 'derivative', '--dwi-source derivative'),
        'func': (func.source == 'derivative', '--func-source derivative'),
    }  # fmt: skip
    for modality, (wanted, flag) in of_others.items():
        if wanted and modality in request.modalities and not request.derivatives:
            raise SettingsError(
                f'{flag} takes the results of another tool: say where, with -d NAME=PATH.'
            )
    if 'func' in request.modalities:
        _check_func(func)
    if dwi.noddi == 'require' and 'dwi' in request.modalities and not request.derivatives:
        raise SettingsError(
            '--dwi-noddi require takes the maps of another tool: say where, with -d NAME=PATH.'
        )
    if 'mrs' in request.modalities and mrs.engine == 'import' and mrs.fits is None:
        raise SettingsError(
            '--mrs-engine import takes fits of another tool: say where, with --mrs-fits.'
        )


def _check_func(func: FuncSettings) -> None:
    """Refuse tables and gates that cannot be read, before hours are spent."""
    if func.seeds:
        from bids_acc.func.regions import seed_regions  # nilearn, which takes a second to load

        seed_regions(Path(func.seeds))
    if func.atlas:
        if not Path(func.atlas).is_file():
            raise SettingsError(f'--func-atlas {func.atlas}: there is no such file.')
        read_labelled_image('--func-atlas', Path(func.atlas))
    if func.gate != 'none':
        load_session_gate('func', func.gate, f'--func-gate {func.gate}')
