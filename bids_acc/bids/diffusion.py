"""Diffusion data that come from elsewhere than ``dwi/`` of the raw data set.

Preprocessed series and NODDI maps of other tools, as ``--derivatives`` offers them. Names are
those of QSIPrep and QSIRecon (BIDS derivatives, with BEP016's ``model`` and ``param``), of AMICO's
own output folder, and of the NODDI toolbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bids_acc.bids.inputs import (
    B0_MAX,
    DwiInputs,
    DwiRun,
    check_dwi_run,
    check_image,
    read_gradients,
)
from bids_acc.bids.sidecars import entities_of, long_names, read_json
from bids_acc.bids.tools import generated_by
from bids_acc.dwi.volumes import MRTRIX
from bids_acc.exceptions import MissingInputError

NODDI_NAMES: Mapping[str, tuple[str, ...]] = {
    'icvf': ('icvf', 'ndi', 'ficvf', 'fintra'),
    'isovf': ('isovf', 'fwf', 'fiso'),
    'od': ('od', 'odi'),
}
"""Parameter of BEP016's ``model-noddi``, and the names that tools gave it (QSIRecon and AMICO 1;
AMICO 2; the NODDI toolbox; cuDIMOT)."""

BARE_NAMES = frozenset({'icvf', 'ndi', 'ficvf', 'isovf', 'fwf', 'fiso', 'odi'})
"""Of these the ones that stand for a map without the name of the model."""

SPACES = ('T1w', 'ACPC', None, 'orig')
"""Spaces in which a preprocessed series is welcome, the best first; never a template's."""

_SHELL_STEP = 100.0


@dataclass(frozen=True)
class NoddiMaps:
    """Maps of intra-neurite and isotropic volume fraction and orientation dispersion."""

    files: Mapping[str, Path] = field(default_factory=dict)
    """``icvf``, ``isovf`` and ``od``; none where there are no maps."""
    source: str = ''
    """Tool and version."""


def session_folders(root: Path, subject: str, session: str | None) -> list[Path]:
    """List the folders of a derivative that may hold a session's diffusion data.

    QSIRecon keeps each of its workflows in a data set of its own, below ``derivatives/``.

    Parameters
    ----------
    root : Path
        Folder given by ``--derivatives``.
    subject, session : str
        Labels without prefix.
    """
    roots = [root, *sorted(p for p in (root / 'derivatives').glob('*') if p.is_dir())]
    own = f'sub-{subject}' if session is None else f'sub-{subject}/ses-{session}'
    return [place / own / 'dwi' for place in roots if (place / own / 'dwi').is_dir()]


def tool_name(folder: Path, fallback: str) -> str:
    """Name the tool that made a derivative, with its version, from its description.

    Parameters
    ----------
    folder : Path
        Any folder of the derivative; ``dataset_description.json`` is looked for in those above.
    fallback : str
        Returned where no description names a tool, such as the NAME of ``--derivatives NAME=DIR``.
    """
    made = generated_by(folder.parents)
    return ' '.join(filter(None, made[0])) if made else fallback


def find_preprocessed(
    derivatives: Mapping[str, Path], subject: str, session: str | None
) -> DwiInputs | None:
    """Find a series that another tool has corrected already.

    Parameters
    ----------
    derivatives : mapping
        Name to folder.
    subject, session : str
        Labels without prefix.

    Returns
    -------
    DwiInputs or None
        With ``source`` naming the tool; None where no derivative holds
        ``desc-preproc_dwi.nii[.gz]`` with its gradient table.

    Raises
    ------
    MissingInputError, InputDataError
        If there is one, but it cannot be used.
    """
    for name, root in derivatives.items():
        for folder in session_folders(root, subject, session):
            images = [p for p in sorted(folder.glob('[!.]*_desc-preproc_dwi.nii*'))
                      if p.name.endswith(('.nii', '.nii.gz'))]  # fmt: skip
            chosen = _of_best_space(images)
            source = tool_name(folder, name)
            if chosen and not source.startswith('bids_acc'):
                return _preprocessed(chosen, source)
    return None


def _of_best_space(images: Iterable[Path]) -> list[Path]:
    """Keep the images of the most welcome space."""
    by_space: dict[str | None, list[Path]] = {}
    for path in images:
        by_space.setdefault(entities_of(path).get('space'), []).append(path)
    return next((by_space[space] for space in SPACES if space in by_space), [])


def _preprocessed(images: list[Path], source: str) -> DwiInputs:
    """Check the runs of a preprocessed series.

    QSIPrep writes ``.bvec`` along the voxel axes of its LPS+ images without FSL's flip (qsiprep
    issue 530), and beside it MRtrix3's ``.b``, which leaves no doubt.
    """
    runs, notes = [], list[str]()
    for image in images:
        stem = image.name.partition('.')[0]
        tables = [image.with_name(stem + end) for end in ('.bval', '.bvec')]
        for table in tables:
            if not table.exists():
                raise MissingInputError(
                    f'{table} is missing: a preprocessed series needs its rotated gradient table '
                    'beside it; add it, or choose --dwi-source raw.'
                )
        own = image.with_name(stem + MRTRIX)
        if own.is_file():  # in the scanner's frame, as to which tools differ for .bvec
            tables[1] = own
            notes.append(f'directions of {own.name}')
        sidecar = image.with_name(stem + '.json')
        metadata = read_json(sidecar) if sidecar.is_file() else {}
        names = long_names(entities_of(image), ('sub', 'ses', 'acq', 'rec', 'dir', 'run'))
        run = DwiRun(image, tables[0], tables[1], names, metadata)
        check_dwi_run(run)
        runs.append(run)
    same = set.intersection(*(set(run.entities.items()) for run in runs))
    return DwiInputs(
        runs=tuple(runs),
        entities=dict(same),
        source=source,
        mask=_mask_of(images[0]),
        notes=tuple(notes),
    )


def _mask_of(image: Path) -> Path | None:
    """Find the brain mask that belongs to a preprocessed series."""
    wanted = {k: v for k, v in entities_of(image).items() if k != 'desc'}
    for path in sorted(image.parent.glob('[!.]*_mask.nii*')):
        found = entities_of(path)
        if found.pop('desc', 'brain') == 'brain' and found == wanted:
            check_image(path, (3,), minimum_size=2)
            return path
    return None


def find_noddi(derivatives: Mapping[str, Path], subject: str, session: str | None) -> NoddiMaps:
    """Find NODDI-type maps in the derivatives.

    Parameters
    ----------
    derivatives : mapping
        Name to folder.
    subject, session : str
        Labels without prefix.

    Returns
    -------
    NoddiMaps
        Empty where there are none; complete where there are.

    Raises
    ------
    MissingInputError, InputDataError
        If a map cannot be read.
    """
    for name, root in derivatives.items():
        for folder in session_folders(root, subject, session):
            nested = [folder, folder / 'AMICO' / 'NODDI', folder / 'NODDI']
            for place in nested:
                files = _noddi_files(place)
                if len(files) == len(NODDI_NAMES):
                    for path in files.values():
                        check_image(path, (3,), minimum_size=2)
                    return NoddiMaps(files, tool_name(folder, name))
    return NoddiMaps()


def _noddi_files(folder: Path) -> dict[str, Path]:
    """Match the files of one folder with the three parameters."""
    found: dict[str, Path] = {}
    images = [p for p in sorted(folder.glob('[!.]*.nii*')) if p.name.endswith(('.nii', '.nii.gz'))]
    for path in images:
        entities = entities_of(path)
        if entities.get('space', 'ACPC') not in SPACES or entities.get('desc') == 'modulated':
            continue
        word = _noddi_word(path, entities)
        for param, names in NODDI_NAMES.items():
            if word in names:
                found.setdefault(param, path)
    return found


def _noddi_word(path: Path, entities: Mapping[str, str]) -> str:
    """Return the word of a file name that tells the parameter, or nothing."""
    if entities.get('model', entities.get('recon', '')).lower().startswith('noddi'):
        return entities.get('param', entities.get('mdp', '')).lower()
    stem = path.name.partition('.')[0].lower()
    if legacy := re.search(r'desc-([a-z]+)_noddi$', stem):  # QSIPrep before 0.20
        return legacy.group(1)
    if bare := re.fullmatch(r'(?:fit|noddi|mean)_([a-z]+)', stem):  # AMICO, toolbox, cuDIMOT
        return bare.group(1)
    last = stem.rpartition('_')[2]  # a map that a hand has named: NDI, sub-01_ODI
    return last if last in BARE_NAMES else ''


def noddi_refusal(inputs: DwiInputs | None) -> str:
    """Say why NODDI maps that were asked for cannot be had.

    Parameters
    ----------
    inputs : DwiInputs or None
        The session's diffusion series.
    """
    start = (
        '--dwi-noddi require: no derivative holds model-noddi maps of icvf, isovf and od for '
        'this session'
    )
    if inputs is None:
        return f'{start}.'
    shells = shell_values(
        [b for run in inputs.runs for b in read_gradients(run.bval, run.bvec)[0]]
    )
    if len(shells) < 2:
        named = f'b {shells[0]:g}' if shells else 'none'
        return (
            f'{start}, and they cannot be estimated from single-shell data ({named}): with one '
            'b-value a neurite fraction, an isotropic fraction and a dispersion cannot be told '
            'apart. Leave --dwi-noddi at auto, or acquire two shells.'
        )
    return (
        f'{start}. The series has {len(shells)} shells, so that QSIRecon or AMICO can fit them; '
        'give their folder by --derivatives.'
    )


def shell_values(bvals: Iterable[float]) -> list[float]:
    """Return the mean b-value of each shell above zero, s/mm2.

    Parameters
    ----------
    bvals : iterable of float
        b-values of all volumes, s/mm2, in any order; those up to `B0_MAX` (50) count as b = 0.

    Returns
    -------
    list of float
        Ascending. A gap of more than 100 s/mm2 between neighbours parts two shells (own
        convention).

    Examples
    --------
    >>> shell_values([0, 5, 989, 1003, 2000])
    [996.0, 2000.0]
    """
    above = sorted(b for b in map(float, bvals) if b > B0_MAX)
    groups: list[list[float]] = []
    for b in above:
        if groups and b - groups[-1][-1] <= _SHELL_STEP:
            groups[-1].append(b)
        else:
            groups.append([b])
    return [sum(group) / len(group) for group in groups]


__all__ = [
    'NODDI_NAMES', 'NoddiMaps', 'find_noddi', 'find_preprocessed',
    'noddi_refusal', 'session_folders', 'shell_values', 'tool_name',
]  # fmt: skip
