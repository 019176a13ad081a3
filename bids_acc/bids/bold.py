"""BOLD series that fMRIPrep has prepared, as ``--derivatives`` offers them.

Names are those of fMRIPrep 20.2 to 25. A derivative that cannot be used is refused here, by name,
header and sidecar, before anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bids_acc.bids.images import (
    check_not_empty,
    read_grid,
    said_twice,
    series_notes,
    twin_of,
)
from bids_acc.bids.index import fits
from bids_acc.bids.inputs import BoldRun, FuncInputs, check_image, check_readable, open_image
from bids_acc.bids.prepared_t1w import other_t1w
from bids_acc.bids.sidecars import (
    LONG_NAMES,
    entities_of,
    inherited_metadata,
    long_names,
    read_json,
)
from bids_acc.bids.tools import generated_by
from bids_acc.exceptions import BidsAccError, InputDataError, MissingInputError
from bids_acc.files.meshes import mesh_of
from bids_acc.func.denoising import checked_confounds, dummies_in, read_confound_table
from bids_acc.func.joining import SAME_TR_S
from bids_acc.func.raw import check_length, check_repetition_time

SPACES = ('T1w', 'MNI152NLin2009cAsym', 'MNI152NLin6Asym', 'MNI152NLin2009aSym', 'fsaverage',
          'fsaverage6', 'fsaverage5')  # fmt: skip
"""Spaces in which a prepared series is welcome, the best first: our surfaces are those of the
T1w image; a template's lies as near as the registration brought it."""
SAME_PLACE_MM = 0.1
"""Distance of the corners of two grids up to which they are the same (own convention)."""
NAMES = ('task', 'acq', 'ce', 'rec', 'dir', 'run')
"""Entities of a file name that tell the series of a session apart."""


def find_bold(
    derivatives: Mapping[str, Path],
    subject: str,
    session: str | None,
    *,
    raw_root: Path,
    has_anat: bool,
    density: str = '41k',
    space: str = 'auto',
    wanted: Mapping[str, object] = MappingProxyType({}),
) -> tuple[FuncInputs | None, list[str]]:
    """Find the series that fMRIPrep has prepared for a session.

    Parameters
    ----------
    derivatives : mapping
        Name to folder.
    subject, session : str
        Labels without prefix.
    raw_root : Path
        Root of the raw data set, where events and repetition times may stand.
    has_anat : bool
        Whether surfaces of the T1w image will be there; without them ``T1w`` is of no use.
    density : str
        Of the template mesh; ``41k`` needs at least the vertices of ``fsaverage6``.
    space : str
        ``auto`` takes the best that is there; otherwise one of `SPACES`.
    wanted : mapping
        ``bold`` of the filter file; what it says of a run, such as its task, chooses.

    Returns
    -------
    inputs : FuncInputs or None
        None where no derivative holds a prepared series of this session.
    notes : list of str
        For the plan; of derivatives that are not read, too.

    Raises
    ------
    MissingInputError, InputDataError
        If there are some, but none can be used; with the reason for each.
    """
    unread: list[str] = []
    for name, root in derivatives.items():
        folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'func'
        images = _images(folder) if folder.is_dir() else []
        source = source_of(folder, name)
        # Results of an earlier run of this program are never its input.
        if source.startswith('bids_acc'):
            continue
        if not images:
            unread += [*_other_series(folder, source), *_of_hcp(root, subject)]
            continue
        kept = [path for path in images if chosen_by(path, wanted)]
        if not kept:
            unread.append(filtered_words(images, folder))
            continue
        elsewhere = _elsewhere(kept, root, subject, session, raw_root) if has_anat else ''
        welcome = _welcome(space, has_anat and not elsewhere, density)
        chosen = _best_space(kept, welcome)
        if not chosen:
            raise MissingInputError(_no_space(folder, kept, space, has_anat, density, elsewhere))
        inputs, notes = _judged(chosen, source, raw_root)
        if elsewhere and space == 'auto':
            alike = f'--func-space {_space_of(chosen[0])} measures all visits alike'
            notes.insert(0, f'not taken in space T1w: {elsewhere}; {alike}')
        cifti = [path for path in sorted(folder.glob('[!.]*_bold.dtseries.nii'))
                 if 'desc' not in entities_of(path)]  # fmt: skip
        others = _other_runs([*kept, *(path for path in cifti if chosen_by(path, wanted))], chosen)
        prepared = [run_of(entities_of(path)) for path in (*images, *cifti)]
        raw = raw_root.joinpath(*folder.relative_to(root).parts)
        others += _unprepared(raw, prepared, wanted, source)
        left_out = (*inputs.left_out, *others)
        notes += [f'not used: {text}' for text in others]
        return replace(inputs, left_out=left_out), [*notes, *unread]
    return None, unread


def _elsewhere(
    images: Sequence[Path], root: Path, subject: str, session: str | None, raw_root: Path
) -> str:
    """Say why series in space T1w do not lie on the session's T1w image."""
    in_t1w = any(_space_of(path) == 'T1w' for path in images)
    return other_t1w(root, subject, session, raw_root) if in_t1w else ''


LEAVES_NONE = '--bids-filter-file: bold leaves none of '
"""How it is said that a filter leaves nothing of a folder."""


def filtered_words(files: Sequence[Path], folder: Path) -> str:
    """Say that the filter file leaves nothing of a folder of derivatives.

    Parameters
    ----------
    files : sequence of Path
        That are there.
    folder : Path
    """
    return f'{LEAVES_NONE}{len(files)} file{"s"[: len(files) > 1]} of {folder}'


def chosen_by(path: Path, wanted: Mapping[str, object]) -> bool:
    """Tell whether the filter file chooses the run that a derivative is of.

    Only what names a run is asked: suffix, space and echo of a derivative are not those of the raw
    image that the filter is written for.

    Parameters
    ----------
    path : Path
        Of a derivative.
    wanted : mapping
        ``bold`` of the filter file.

    Examples
    --------
    >>> chosen_by(
    ...     Path('sub-1_task-rest_run-1_space-T1w_desc-preproc_bold.nii.gz'),
    ...     {'suffix': 'bold', 'run': '01', 'echo': 2},
    ... )
    True
    """
    asked = {LONG_NAMES[name] for name in ('ses', *NAMES)} | {'regex_search'}
    own = long_names(entities_of(path), ('ses', *NAMES))
    return fits(own, {name: value for name, value in wanted.items() if name in asked})


def run_of(short: Mapping[str, str]) -> dict[str, str]:
    """Return the entities that tell a run from all others.

    fMRIPrep 20.2 and 21 write ``run-1`` of what is ``run-01`` in the raw data set (fmriprep#2666).

    Parameters
    ----------
    short : mapping
        Entities of a file name.

    Examples
    --------
    >>> run_of({'sub': '01', 'task': 'rest', 'run': '01', 'space': 'T1w'})
    {'sub': '01', 'task': 'rest', 'run': '1'}
    """
    own = {k: v for k, v in short.items() if k in ('sub', 'ses', *NAMES)}
    if own.get('run', '').isdigit():
        own['run'] = str(int(own['run']))
    return own


def _other_runs(images: Sequence[Path], chosen: Sequence[Path]) -> list[str]:
    """Name the runs that are there in other spaces or forms only than those that are taken.

    All runs are taken in one space: what a template's and what a subject's cortex gave would be
    two measurements.
    """
    taken = [run_of(entities_of(path)) for path in chosen]
    found = []
    for path in images:
        if (own := run_of(entities_of(path))) in taken:
            continue
        taken.append(own)
        there = (
            'as CIFTI' if '.dtseries.' in path.name
            else f'in {_space_of(path) or "the own grid of the series"}'
        )  # fmt: skip
        found.append(
            f'{path.name}: this run is there {there} only, and the others are taken in '
            f'{_space_of(chosen[0])}; run fMRIPrep with the same --output-spaces on all'
        )
    return found


def _unprepared(
    folder: Path, prepared: Sequence[Mapping[str, str]], wanted: Mapping[str, object], source: str
) -> list[str]:
    """Name the raw runs of a folder of which a derivative has no series."""
    seen = list(prepared)
    names = []
    for path in sorted(folder.glob('[!.]*_bold.nii*')):
        short = entities_of(path)
        if run_of(short) in seen or short.get('part', 'mag') != 'mag':
            continue
        seen.append(run_of(short))
        if chosen_by(path, wanted):
            names.append(path.name)
    if not names:
        return []
    others = f' and {len(names) - 3} more' if len(names) > 3 else ''
    said = (
        f'{", ".join(names[:3])}{others}: raw only, {source} has no series of it; prepare it as '
        'well, or choose --func-source raw for all'
    )
    return [said]


def source_of(folder: Path, name: str) -> str:
    """Name the tool that made a folder of derivatives, with its version.

    Parameters
    ----------
    folder : Path
        Below the root of the derivatives.
    name : str
        What the folder is called where nothing tells.
    """
    made = generated_by(folder.parents)
    return ' '.join(filter(None, made[0])) if made else name


def _images(folder: Path) -> list[Path]:
    """List the prepared series of a folder, a hemisphere's left half standing for both."""
    # With --me-output-echos fMRIPrep writes each echo besides their combination; the echoes are no
    # series of their own. Phases are none either. Names with a dot in front are what macOS leaves
    # beside files on other disks.
    volumes = [p for p in sorted(folder.glob('[!.]*_desc-preproc_bold.nii*'))
               if p.name.endswith(('.nii', '.nii.gz')) and 'echo' not in entities_of(p)
               and entities_of(p).get('part', 'mag') == 'mag']  # fmt: skip
    surfaces = [p for p in sorted(folder.glob('[!.]*_bold.func.gii'))
                if entities_of(p).get('hemi') == 'L'
                and 'denoised' not in entities_of(p).get('desc', '')]  # fmt: skip
    return [*volumes, *surfaces]


def _other_series(folder: Path, source: str) -> list[str]:
    """Say what a folder without series that are read holds in place of them."""
    kinds = {
        '*.dtseries.nii': 'CIFTI (dtseries)',
        '*_desc-optcom*_bold.nii*': "tedana's optimal combination without fMRIPrep's names",
        '*_desc-denoised*_bold.*': 'denoised already (XCP-D, tedana)',
        '*_desc-residual*_bold.*': "denoised already (XCP-D's first versions)",
        '*_echo-*_desc-preproc_bold.nii*': 'single echoes, not combined',
        '*_desc-smoothAROMA*_bold.nii*': "ICA-AROMA's, which are cleaned already",
        '*_bold_*preproc.nii*': "fMRIPrep 1.0's",
        '*_desc-*boldref.nii*': 'references only (--level minimal)',
    }
    there = [words for pattern, words in kinds.items() if list(folder.glob(pattern))]
    if not there:
        return []
    text = (
        f'not used: {folder} of {source} holds series as {" and ".join(there)}, no '
        f'desc-preproc_bold: run fMRIPrep with --output-spaces {SPACES[0]} {SPACES[1]}'
    )
    if kinds['*_desc-*boldref.nii*'] in there:
        text += ' and --level full'
    if kinds['*.dtseries.nii'] in there:
        text += ', or give what XCP-D makes of the CIFTI files (-d xcpd=DIR)'
    return [text]


def nothing_prepared(
    derivatives: Mapping[str, Path], subject: str, session: str | None
) -> list[str]:
    """Say that fMRIPrep's results hold nothing of a session whose raw series are taken.

    Its page alone, or other people's series: this one is then prepared in another way than they.

    Parameters
    ----------
    derivatives : mapping
        Name to folder.
    subject, session : str
        Labels without prefix.
    """
    found = []
    for name, root in derivatives.items():
        folder = root / f'sub-{subject}' / (f'ses-{session}' if session else '') / 'func'
        source = source_of(folder, name)
        if source.lower().startswith('fmriprep') and not (folder.is_dir() and _images(folder)):
            found.append(
                f'{source} has no series of this session in {root}: the raw ones are prepared '
                'here, in another way than where it has some'
            )
    return found


def _of_hcp(root: Path, subject: str) -> list[str]:
    """Say that a folder is laid out as the HCP pipelines do, which is not read."""
    for name in (subject, f'sub-{subject}'):
        if (root / name / 'MNINonLinear').is_dir():
            said = (
                f'not used: {root / name / "MNINonLinear"} is of the HCP pipelines, whose series '
                'are not read: give what XCP-D (--input-type hcp) makes of them, or the raw BOLD'
            )
            return [said]
    return []


def _welcome(space: str, has_anat: bool, density: str) -> list[str]:
    """List the spaces that can be used here, the best first."""
    usable = [s for s in SPACES if (has_anat or s != 'T1w')
              and (density == '10k' or s != 'fsaverage5')]  # fmt: skip
    return usable if space == 'auto' else [s for s in usable if s == space]


def _space_of(path: Path) -> str:
    """Return the space of a prepared series; fsaverage's densities have names of their own."""
    entities = entities_of(path)
    space = entities.get('space', '')
    return mesh_of(space, entities.get('den', ''))


def _best_space(images: Sequence[Path], welcome: Sequence[str]) -> list[Path]:
    """Take the best space that is there, and there one resolution: the finest by name."""
    for space in welcome:
        found = [path for path in images if _space_of(path) == space]
        by_run: dict[tuple[tuple[str, str], ...], Path] = {}
        for path in found:
            by_run.setdefault(tuple(sorted(run_of(entities_of(path)).items())), path)
        if by_run:
            return list(by_run.values())
    return []


def _no_space(
    folder: Path, images: Sequence[Path], space: str, has_anat: bool, density: str, elsewhere: str
) -> str:
    """Say why none of the spaces that are there can be used."""
    there = sorted({_space_of(path) or 'the own grid of the series' for path in images})
    asked = '' if space == 'auto' else f'--func-space {space}: '
    hints = []
    if 'T1w' in there and not has_anat:
        hints.append('space T1w needs the T1w image of the session (--modalities anat func)')
    if elsewhere:
        hints.append(
            f'space T1w is not the place of this T1w image ({elsewhere}): run fMRIPrep with '
            f'--output-spaces {SPACES[1]}'
        )
    if 'fsaverage5' in there and density != '10k':
        hints.append('fsaverage5 is for --density 10k')
    hints = hints or [f'run fMRIPrep with --output-spaces {SPACES[0]} {SPACES[1]}']
    return (
        f'{asked}{folder} holds prepared series in {", ".join(there)} only, and none of them can '
        f'be used: {"; ".join(hints)}, or choose --func-source raw.'
    )


def _judged(images: Sequence[Path], source: str, raw_root: Path) -> tuple[FuncInputs, list[str]]:
    """Keep the runs that can be used, with the reason for each that cannot."""
    runs: list[BoldRun] = []
    refused: list[tuple[Path, BidsAccError]] = []
    for image in images:
        try:
            runs.append(_once(_prepared_run(image, source, raw_root), runs))
        except BidsAccError as error:
            refused.append((image, error))
    if not runs:
        worst = refused[0][1]
        raise type(worst)('; '.join(str(error).removesuffix('.') for _, error in refused) + '.')
    left_out = tuple(f'{path.name}: {error}' for path, error in refused)
    names = ', '.join(run.bold[0].name for run in runs)
    notes = [f'taken as preprocessed by {source}: {names}',
             *(f'{run.bold[0].name}: {text.rstrip(".")}' for run in runs for text in run.notes),
             *(f'not used: {text}' for text in left_out)]  # fmt: skip
    return FuncInputs(tuple(runs), source=source, left_out=left_out), notes


def _once(run: BoldRun, others: Sequence[BoldRun]) -> BoldRun:
    """Refuse the copy of a task's run; say of a run that another task holds the same series.

    Raises
    ------
    InputDataError
        If its degrees of freedom would count twice.
    """
    if len(run.bold) > 1:  # the two sides of a surface
        return run
    twin = twin_of(run.bold[0], (one.bold[0] for one in others if len(one.bold) == 1))
    if twin is None:
        return run
    said = said_twice(run.bold[0], twin)
    if entities_of(twin).get('task') == entities_of(run.bold[0]).get('task'):
        raise InputDataError(said)
    return replace(run, notes=(*run.notes, said))


def _prepared_run(image: Path, source: str, raw_root: Path) -> BoldRun:
    """Check a prepared run with its table of confounds.

    Raises
    ------
    MissingInputError, InputDataError
        With the reason.
    """
    bold: tuple[Path, ...] = (image,)
    short = entities_of(image)
    if image.name.endswith('.gii'):
        bold = (image, image.with_name(image.name.replace('_hemi-L_', '_hemi-R_')))
        for path in bold:
            check_readable(path)
        n_volumes = 0
    else:
        shape = check_image(image, (3, 4), minimum_size=2)
        if len(shape) != 4:
            raise InputDataError(f'{image} is one volume {shape}, not a series; fetch it again.')
        n_volumes = shape[3]
    names = long_names(short, ('sub', 'ses', *NAMES))
    table, sidecar = _confounds_of(image, short)
    raw = _raw_of(short, raw_root)
    # fMRIPrep's sidecar comes last: what it says is of the series as it is now, such as StartTime.
    metadata = {**_raw_metadata(raw, raw_root), **_own_metadata(image)}
    run = BoldRun(
        bold=bold, entities=names, metadata=metadata, space=_space_of(image), source=source,
        mask=_mask_of(image, short), confounds=table, confounds_sidecar=sidecar,
        events=_events_of(raw, short, raw_root),
    )  # fmt: skip
    repetition_time = check_repetition_time(metadata, str(image))
    notes: tuple[str, ...] = ()
    otherwise = _raw_metadata(raw, raw_root).get('RepetitionTime', repetition_time)
    if n_volumes:
        confounds = read_confound_table(table)  # once: it takes longer than the rest of the plan
        n_dummy = dummies_in(confounds)
        check_length(n_volumes - n_dummy, repetition_time, str(image), n_dummy)
        noise = checked_confounds(confounds, table, sidecar, n_volumes, n_dummy)
        check_not_empty(image)
        notes = (*noise.notes, *series_notes(image, repetition_time))
    notes += _slice_timing_notes(metadata, repetition_time)
    if isinstance(otherwise, int | float) and abs(otherwise - repetition_time) > SAME_TR_S:
        said = (
            f'RepetitionTime is {repetition_time:g} s beside the prepared series and '
            f'{otherwise:g} s in the raw data set; the former is used.'
        )
        notes = (*notes, said)
    run = replace(run, notes=notes)
    if run.events is not None:
        check_readable(run.events)
    return run


def _slice_timing_notes(metadata: Mapping[str, object], repetition_time: float) -> tuple[str, ...]:
    """Say what is wrong with the slice times that fMRIPrep was given."""
    times = metadata.get('SliceTiming')
    if not isinstance(times, list) or not times:
        return ()
    values = [t for t in times if isinstance(t, int | float) and not isinstance(t, bool)]
    if len(values) < len(times):
        wrong = 'holds something else than numbers'
    elif max(values) > repetition_time:
        wrong = 'is beyond the repetition time'
    else:
        return ()
    if metadata.get('SliceTimingCorrected') is True:
        return (f'SliceTiming {wrong}, and slices were shifted by it: prepare the run again.',)
    return (f'SliceTiming {wrong}, so that it is not used.',)


def _confounds_of(image: Path, short: Mapping[str, str]) -> tuple[Path, Path | None]:
    """Find the table of confounds of a run, and the JSON beside it."""
    own = run_of(short)
    # The second is the older name of the same table.
    for suffix in ('timeseries', 'regressors'):
        for path in sorted(image.parent.glob(f'[!.]*_desc-confounds_{suffix}.tsv')):
            if _told_apart(entities_of(path)) == own:
                check_readable(path)
                sidecar = path.with_suffix('.json')
                return path, sidecar if sidecar.is_file() else None
    raise MissingInputError(
        f'{image}: its table of confounds (desc-confounds_timeseries.tsv) is not in the same '
        'folder; fetch it as well, or run fMRIPrep again.'
    )


def _mask_of(image: Path, short: Mapping[str, str]) -> Path | None:
    """Find the brain mask on the grid of a prepared series."""
    if image.name.endswith('.gii'):
        return None
    wanted = _told_apart(short)
    for path in sorted(image.parent.glob('[!.]*_desc-brain_mask.nii*')):
        if _told_apart(entities_of(path)) == wanted:
            _check_mask(path, image)
            return path
    return None


def _told_apart(short: Mapping[str, str]) -> dict[str, str]:
    """Return the entities that the files of one series share; magnitudes alone are taken."""
    return {**{k: v for k, v in short.items() if k not in ('desc', 'part')}, **run_of(short)}


def _check_mask(path: Path, image: Path) -> None:
    """Refuse a brain mask that is not on the grid of its series, or marks nothing."""
    shape = check_image(path, (3,), minimum_size=2)
    grid, affine = read_grid(image)
    if shape != tuple(grid[:3]):
        raise InputDataError(
            f'{path} has the grid {shape}, but {image.name} has {tuple(grid[:3])}; fetch both '
            'again.'
        )
    ends = [*(n - 1 for n in grid[:3]), 1]
    corners = np.array([[*index, 1] for index in np.ndindex(2, 2, 2)]) * ends
    apart = np.abs(corners @ (read_grid(path)[1] - affine).T).max()
    if apart > SAME_PLACE_MM:
        raise InputDataError(
            f'{path} lies up to {apart:.1f} mm beside {image.name}, by the matrices of their '
            'headers; fetch both again.'
        )
    if not np.asarray(open_image(path).dataobj).any():
        raise InputDataError(f'{path} marks no voxel; fetch it again, or leave it out.')


def _own_metadata(image: Path) -> dict[str, Any]:
    """Read the sidecar beside a prepared series."""
    path = image.with_name(image.name.partition('.')[0] + '.json')
    return read_json(path) if path.is_file() else {}


def _raw_of(short: Mapping[str, str], raw_root: Path) -> Path | None:
    """Find the raw series, or the name that it would have."""
    folder = raw_root / f'sub-{short["sub"]}' / (f'ses-{short["ses"]}' if 'ses' in short else '')
    own = run_of(short)
    for path in sorted((folder / 'func').glob('[!.]*_bold.nii*')):
        if run_of(entities_of(path)) == own:
            return path
    return None


def _raw_metadata(raw: Path | None, raw_root: Path) -> dict[str, Any]:
    """Read what the raw data set says of a series."""
    return inherited_metadata(raw, raw_root) if raw is not None else {}


def raw_metadata_of(short: Mapping[str, str], raw_root: Path) -> dict[str, Any]:
    """Read what the raw data set says of the series with these entities; empty without it.

    Parameters
    ----------
    short : mapping
        Entities of a file name.
    raw_root : Path
        Root of the raw data set.
    """
    return _raw_metadata(_raw_of(short, raw_root), raw_root)


def _events_of(raw: Path | None, short: Mapping[str, str], raw_root: Path) -> Path | None:
    """Find the table of events of a run, beside the raw series or above it."""
    own = run_of(short)
    folder = raw_root / f'sub-{short["sub"]}' / (f'ses-{short["ses"]}' if 'ses' in short else '')
    start = raw.parent if raw is not None else folder / 'func'
    for place in (start, *(p for p in start.parents if p.is_relative_to(raw_root))):
        # A table without task would by inheritance be that of every run, rest as well.
        fitting = [p for p in place.glob('[!.]*_events.tsv')
                   if {**entities_of(p), **run_of(entities_of(p))}.items() <= own.items()
                   and entities_of(p).get('task') == own.get('task')]  # fmt: skip
        if fitting:
            return max(fitting, key=lambda p: (len(entities_of(p)), p.name))
    return None


def start_time(metadata: Mapping[str, object], repetition_time: float) -> float:
    """Return the time within the TR that volumes stand for, in s.

    fMRIPrep writes ``StartTime`` where it has corrected slice times (fmriprep#2477); otherwise the
    middle of the TR is the mean over slices.

    Parameters
    ----------
    metadata : mapping
        Sidecar; ``StartTime`` counts from the start of a volume, s.
    repetition_time : float
        Spacing of the volumes, s; a ``StartTime`` outside 0 to this is not believed.

    Returns
    -------
    float
        Between 0 and ``repetition_time``.

    Examples
    --------
    >>> start_time({'StartTime': 0.4, 'SliceTimingCorrected': True}, 2.0), start_time({}, 2.0)
    (0.4, 1.0)
    """
    given = metadata.get('StartTime')
    valid = isinstance(given, int | float) and np.isfinite(given) and 0 <= given <= repetition_time
    return float(given) if valid else repetition_time / 2  # type: ignore[arg-type]
