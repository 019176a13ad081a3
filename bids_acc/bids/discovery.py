"""From a BIDS folder to sessions, with the reason for whatever is missing.

PyBIDS finds files and inherited metadata. Only ``anat``, ``dwi`` and ``mrs`` of the wanted
subjects are indexed, because indexing a large data set whole takes hours (PyBIDS issue 285).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bids import BIDSLayout, BIDSLayoutIndexer

from bids_acc.exceptions import (
    BidsAccError,
    ExitCode,
    InputDataError,
    InvalidDatasetError,
    MissingInputError,
    NothingSelectedError,
    SettingsError,
)

from .diffusion import find_noddi, find_preprocessed, find_reversed, noddi_refusal
from .inputs import (
    MODALITIES,
    AnatInputs,
    DwiInputs,
    DwiRun,
    MrsInputs,
    PlanRow,
    PlanStatus,
    Session,
    check_dwi_run,
    check_image,
    check_json,
)

LOGGER = logging.getLogger(__name__)

_OTHER_DATATYPES = re.compile(r'/(func|fmap|perf|meg|eeg|ieeg|beh|pet|micr|nirs|motion)(/|$)')
_NOT_DATA = re.compile(r'^/(derivatives|sourcedata|code|stimuli|phenotype|logs|\.[^/]*)(/|$)')

FILTER_QUERIES = {
    't1w': {'datatype': 'anat', 'suffix': 'T1w'},
    'dwi': {'datatype': 'dwi', 'suffix': 'dwi'},
    'svs': {'datatype': 'mrs', 'suffix': 'svs'},
    'mrsref': {'datatype': 'mrs', 'suffix': 'mrsref'},
}
"""Queries that a BIDS filter file may refine, in fMRIPrep's format."""

IMAGE_EXTENSIONS = ['.nii', '.nii.gz']


@dataclass(frozen=True)
class Selection:
    """Which part of a data set is wanted."""

    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    modalities: tuple[str, ...] = MODALITIES
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    """Name to folder of other tools' results."""
    dwi_source: str = 'auto'
    """``auto`` takes a preprocessed series where there is one, ``raw`` never, ``derivative`` only
    that."""
    dwi_noddi: str = 'auto'
    """``auto`` takes NODDI maps where there are any, ``require`` fails without, ``none`` never."""


def check_dataset(bids_dir: Path) -> None:
    """Refuse a folder that is no BIDS data set.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw data set.

    Raises
    ------
    MissingInputError
        If the folder is absent.
    InvalidDatasetError
        If ``dataset_description.json`` is absent or lacks a required field, or there is no
        subject folder.
    """
    if not bids_dir.is_dir():
        raise MissingInputError(f'{bids_dir}: there is no such folder.')
    description = bids_dir / 'dataset_description.json'
    remedy = 'Mend it, or add --skip-bids-validation.'
    try:
        content = check_json(description)
    except BidsAccError as error:
        raise InvalidDatasetError(f'{bids_dir} is no BIDS dataset: {error} {remedy}') from error
    if missing := [name for name in ('Name', 'BIDSVersion') if name not in content]:
        raise InvalidDatasetError(
            f'{description}: required field {" and ".join(missing)} is missing. {remedy}'
        )
    if not subject_labels(bids_dir):
        raise InvalidDatasetError(f'{bids_dir} holds no sub-* folder, so there is no data in it.')


def subject_labels(bids_dir: Path) -> list[str]:
    """List the subjects of a data set, without the prefix."""
    return sorted(p.name[4:] for p in bids_dir.glob('sub-*') if p.is_dir())


def session_labels(bids_dir: Path, subjects: Iterable[str]) -> list[str]:
    """List the sessions of some subjects, without the prefix."""
    return sorted(
        {p.name[4:] for s in subjects for p in (bids_dir / f'sub-{s}').glob('ses-*') if p.is_dir()}
    )


def choose_labels(asked: Sequence[str], there: Sequence[str], what: str) -> list[str]:
    """Take the wanted labels among those that are there.

    Parameters
    ----------
    asked : sequence of str
        Labels without prefix; none means all.
    there : sequence of str
        Labels that exist.
    what : str
        ``participant`` or ``session``, for the message.

    Raises
    ------
    NothingSelectedError
        If one of them does not exist; the message lists what there is.

    Examples
    --------
    >>> choose_labels(['02'], ['01', '02'], 'participant')
    ['02']
    """
    if not asked:
        return list(there)
    if missing := [label for label in asked if label not in there]:
        listed = ', '.join(there[:20]) + (
            f', ... ({len(there)} in all)' if len(there) > 20 else ''
        )
        raise NothingSelectedError(
            f'--{what}-label {" ".join(missing)} matches nothing; there is: {listed or "none"}.'
        )
    return sorted(set(asked))


def read_filters(path: Path | None) -> dict[str, dict[str, Any]]:
    """Read a BIDS filter file in fMRIPrep's format.

    Raises
    ------
    SettingsError
        If it is no JSON or names a query that bids_acc does not make.
    """
    if path is None:
        return {}
    try:
        content = check_json(path)
    except BidsAccError as error:
        raise SettingsError(f'--bids-filter-file: {error}') from error
    if unknown := set(content) - set(FILTER_QUERIES):
        raise SettingsError(
            f'--bids-filter-file {path}: unknown query {", ".join(sorted(unknown))}; '
            f'known: {", ".join(FILTER_QUERIES)}.'
        )
    return content


def open_layout(
    bids_dir: Path, subjects: Sequence[str] | None = None, database_dir: Path | None = None
) -> BIDSLayout:
    """Index the anatomical, diffusion and spectroscopy files of some subjects.

    Parameters
    ----------
    bids_dir : Path
        Root of the raw data set.
    subjects : sequence of str, optional
        Only these are indexed; ignored with a database, which must serve every run.
    database_dir : Path, optional
        Index made by an earlier run, or the place for a new one.

    Returns
    -------
    BIDSLayout
        Without the sidecars that are no JSON; `_metadata` refuses the files beside them, so that
        one of these stops its own modality only.
    """
    ignore = [_OTHER_DATATYPES, _NOT_DATA, *_broken_sidecars(bids_dir, subjects)]
    if subjects is not None and database_dir is None:
        wanted = '|'.join(re.escape(label) for label in subjects)
        ignore.append(re.compile(rf'^/sub-(?!(?:{wanted})(?:/|$))'))
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=True, ignore=ignore)
    reset = database_dir is not None and not (database_dir / 'layout_index.sqlite').exists()
    try:
        return BIDSLayout(
            bids_dir,
            validate=False,
            indexer=indexer,
            database_path=database_dir,
            reset_database=reset,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise _name_broken_sidecar(bids_dir, error) from error


def _broken_sidecars(bids_dir: Path, subjects: Sequence[str] | None) -> list[re.Pattern[str]]:
    """Find sidecars beside images that are no JSON, as patterns below the root."""
    labels = subject_labels(bids_dir) if subjects is None else subjects
    broken = []
    for label in labels:
        for folder in ('*', 'ses-*/*'):
            for path in sorted((bids_dir / f'sub-{label}').glob(f'{folder}/*.json')):
                try:
                    check_json(path)
                except BidsAccError:
                    broken.append(re.compile(f'^/{re.escape(str(path.relative_to(bids_dir)))}$'))
    return broken


def _name_broken_sidecar(bids_dir: Path, error: Exception) -> BidsAccError:
    """Find the sidecar that stopped PyBIDS, which does not always name it."""
    for path in sorted(bids_dir.glob('*.json')) + sorted(bids_dir.glob('sub-*/**/*.json')):
        try:
            check_json(path)
        except BidsAccError as found:
            return found
    return InputDataError(f'{bids_dir} cannot be indexed: {error}')


def discover(layout: BIDSLayout, selection: Selection) -> list[Session]:
    """Find what each selected session offers.

    Parameters
    ----------
    layout : BIDSLayout
        From `open_layout`.
    selection : Selection
        Wanted subjects, sessions, filters and modalities.

    Returns
    -------
    list of Session
        Sorted; each with one plan row for each modality, whose status is ``run``, ``skip``
        or ``fail``.

    Raises
    ------
    NothingSelectedError
        If the labels match nothing, or no selected session has a usable modality.
    """
    root = Path(layout.root)
    subjects = choose_labels(selection.participant_labels, subject_labels(root), 'participant')
    wanted_sessions = choose_labels(
        selection.session_labels, session_labels(root, subjects), 'session'
    )
    sessions = []
    for subject in subjects:
        visits = session_labels(root, [subject])
        chosen: list[str | None] = [v for v in visits if v in wanted_sessions]
        if not visits:
            chosen = [None]
        sessions += [_discover_session(layout, subject, visit, selection) for visit in chosen]
    if not sessions:
        raise NothingSelectedError(
            f'No session is left after --session-label {" ".join(selection.session_labels)}.'
        )
    return sessions


def _discover_session(
    layout: BIDSLayout, subject: str, session: str | None, selection: Selection
) -> Session:
    """Find the three modalities of one session; a broken one never hides the others."""
    found: dict[str, Any] = {'anat': None, 'dwi': None, 'mrs': ()}
    rows = []
    for modality in MODALITIES:
        row = PlanRow(
            participant_id=f'sub-{subject}',
            session_id=None if session is None else f'ses-{session}',
            modality=modality,
            status='skip',
            reason='not asked for',
            reason_code='not_selected',
        )
        if modality in selection.modalities:
            row, found[modality] = _plan_modality(row, layout, subject, session, selection)
        rows.append(row)
    usable = tuple(s for s in found['mrs'] if not s.problem)
    broken = tuple(s for s in found['mrs'] if s.problem)
    return Session(subject, session, found['anat'], found['dwi'], usable, tuple(rows), broken)


def _plan_modality(
    row: PlanRow, layout: BIDSLayout, subject: str, session: str | None, selection: Selection
) -> tuple[PlanRow, Any]:
    """Find one modality; say what will be done with it, and why."""
    finders: dict[str, Callable[..., tuple[Any, list[str]]]] = {
        'anat': _find_anat, 'mrs': _find_mrs,
    }  # fmt: skip
    nothing: Any = () if row.modality == 'mrs' else None
    try:
        if row.modality == 'dwi':
            inputs, notes = _choose_dwi(layout, subject, session, selection)
        else:
            inputs, notes = finders[row.modality](layout, subject, session, selection.filters)
    except _NothingThereError as absent:
        return replace(row, reason=str(absent), reason_code='no_data'), nothing
    except _PartlyBrokenError as partly:
        usable = tuple(spectrum for spectrum in partly.inputs if not spectrum.problem)
        status: PlanStatus = 'run' if usable else 'fail'
        return replace(
            row, status=status, reason=partly.reason, reason_code='bad_input',
            inputs=_paths(usable), exit_code=partly.exit_code,
        ), partly.inputs  # fmt: skip
    except BidsAccError as error:
        return replace(
            row, status='fail', reason=str(error), reason_code=error.exit_code.name.lower(),
            exit_code=error.exit_code,
        ), nothing  # fmt: skip
    reason = '; '.join(notes)
    return replace(row, status='run', reason=reason, reason_code='', inputs=_paths(inputs)), inputs


class _NothingThereError(Exception):
    """The session has no file of this modality."""


class _PartlyBrokenError(Exception):
    """Some spectra can be used and others cannot."""

    def __init__(self, inputs: tuple[MrsInputs, ...], reason: str, exit_code: ExitCode) -> None:
        super().__init__(reason)
        self.inputs, self.reason, self.exit_code = inputs, reason, exit_code


def _paths(inputs: Any) -> tuple[str, ...]:
    """List all files of a modality."""
    units = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(str(path) for unit in units for path in unit.files)


def _query(
    layout: BIDSLayout,
    subject: str,
    session: str | None,
    filters: Mapping[str, Mapping[str, Any]],
    name: str,
) -> list[Any]:
    """Ask PyBIDS for the images of one query, refined by the filter file."""
    query = {**FILTER_QUERIES[name], 'extension': IMAGE_EXTENSIONS, 'subject': subject}
    if session is not None:
        query['session'] = session
    query.update(filters.get(name, {}))
    return _images(layout, query)


def _images(layout: BIDSLayout, query: dict[str, Any]) -> list[Any]:
    """Ask PyBIDS, and judge the datatype by the folder that a file lies in.

    PyBIDS 0.22 takes it from the first folder of the whole path that has a datatype's name, so
    that below /data/dwi/ everything would be diffusion.
    """
    wanted = query.pop('datatype', None)
    found = sorted(layout.get(**query), key=lambda f: f.path)
    if wanted is None:
        return found
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    return [f for f in found if Path(f.path).parent.name in names]


def _nothing(subject: str, session: str | None, datatype: str, suffix: str) -> _NothingThereError:
    """Say which pattern was looked for."""
    folder = f'sub-{subject}/' + (f'ses-{session}/' if session else '')
    return _NothingThereError(f'no file matches {folder}{datatype}/*_{suffix}.nii[.gz]')


def _entities(bids_file: Any) -> dict[str, str]:
    """Return the entities of a file as text, with BIDS' own names."""
    entities = {name: str(value) for name, value in bids_file.get_entities().items()}
    return {**entities, 'datatype': Path(bids_file.path).parent.name}


def _metadata(layout: BIDSLayout, path: str) -> dict[str, Any]:
    """Return the metadata of a file, with what it inherits; its own sidecar must be JSON."""
    sidecar = Path(path.split('.nii', maxsplit=1)[0] + '.json')
    if sidecar.exists() or sidecar.is_symlink():
        check_json(sidecar)
    return dict(layout.get_metadata(path))


def _find_anat(
    layout: BIDSLayout, subject: str, session: str | None, filters: Mapping[str, Any]
) -> tuple[AnatInputs, list[str]]:
    """Take the first usable T1w image, and say which others are there."""
    files = _query(layout, subject, session, filters, 't1w')
    notes = []
    if not files and session is not None and 't1w' not in filters:
        files = _other_sessions_t1w(layout, subject)
        if files:
            notes.append(f'no T1w in ses-{session}; that of {Path(files[0].path).name} is used')
    if not files:
        raise _nothing(subject, session, 'anat', 'T1w')
    if len(files) > 1:
        named = _named_by_spectra(layout, subject, session, filters)
        files = sorted(files, key=lambda f: Path(f.path).absolute() not in named)
    first = files[0]
    check_image(Path(first.path), (3,), minimum_size=16)
    others = tuple(Path(f.path) for f in files[1:])
    if others and not notes:
        notes.append(
            f'{len(files)} T1w images; {Path(first.path).name} is used '
            '(choose another with --bids-filter-file)'
        )
    entities = {**_entities(first), 'subject': subject}
    if session is not None:
        entities['session'] = session
    return (
        AnatInputs(Path(first.path), entities, _metadata(layout, first.path), others),
        notes,
    )


def _other_sessions_t1w(layout: BIDSLayout, subject: str) -> list[Any]:
    """Look for a T1w image of the same person at another visit."""
    query = {**FILTER_QUERIES['t1w'], 'extension': IMAGE_EXTENSIONS, 'subject': subject}
    return _images(layout, query)


def _gradient_file(layout: BIDSLayout, image: Path, extension: str) -> Path:
    """Find the nearest gradient file by the inheritance principle."""
    own = image.with_name(image.name.partition('.')[0] + extension)
    if own.exists() or own.is_symlink():
        return own
    nearest = layout.get_nearest(str(image), suffix='dwi', extension=extension, all_=True)
    if not nearest:
        raise MissingInputError(f'{own} is missing, and no inherited {extension} file fits.')
    return Path(nearest[0])


def _choose_dwi(
    layout: BIDSLayout, subject: str, session: str | None, selection: Selection
) -> tuple[DwiInputs, list[str]]:
    """Take a preprocessed series where there is one, else the raw ones; then NODDI maps."""
    inputs: DwiInputs | None = None
    if selection.dwi_source != 'raw':
        inputs = find_preprocessed(selection.derivatives, subject, session)
    if inputs is not None:
        names = ', '.join(run.image.name for run in inputs.runs)
        notes = [f'taken as preprocessed by {inputs.source}: {names}']
    elif selection.dwi_source == 'derivative':
        folders = ', '.join(map(str, selection.derivatives.values())) or 'none was given'
        raise MissingInputError(
            f'--dwi-source derivative: no desc-preproc_dwi of sub-{subject} in --derivatives '
            f'({folders}).'
        )
    else:
        inputs, notes = _find_dwi(layout, subject, session, selection.filters)
        opposite = tuple(find_reversed(Path(layout.root), inputs))
        inputs = replace(inputs, opposite=opposite)
    if selection.dwi_noddi == 'none':
        return inputs, notes
    maps = find_noddi(selection.derivatives, subject, session)
    if maps.files:
        notes.append(f'NODDI maps of {maps.source}')
    elif selection.dwi_noddi == 'require':
        raise MissingInputError(noddi_refusal(inputs))
    return replace(inputs, noddi=maps.files, noddi_source=maps.source), notes


def _find_dwi(
    layout: BIDSLayout, subject: str, session: str | None, filters: Mapping[str, Any]
) -> tuple[DwiInputs, list[str]]:
    """Take all diffusion series of the session."""
    files = _query(layout, subject, session, filters, 'dwi')
    if not files:
        raise _nothing(subject, session, 'dwi', 'dwi')
    runs, notes = [], []
    for bids_file in files:
        path = Path(bids_file.path)
        entities = _entities(bids_file)
        if entities.get('part') == 'phase':
            notes.append(f'{path.name}: phase image, not used')
            continue
        check_image(path, (3, 4), minimum_size=2)
        run = DwiRun(
            image=path,
            bval=_gradient_file(layout, path, '.bval'),
            bvec=_gradient_file(layout, path, '.bvec'),
            entities=entities,
            metadata=_metadata(layout, bids_file.path),
        )
        check_dwi_run(run)
        runs.append(run)
    if not runs:
        raise _nothing(subject, session, 'dwi', 'dwi')
    if len(runs) > 1:
        notes.append(f'{len(runs)} series are analysed together')
    return DwiInputs(tuple(runs), _common(run.entities for run in runs)), notes


def _common(entities: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Keep the entities on which all agree."""
    first, *rest = entities
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}


def _named_by_spectra(
    layout: BIDSLayout, subject: str, session: str | None, filters: Mapping[str, Any]
) -> set[Path]:
    """T1w images that the sidecars of the session's spectra name."""
    spectra = (Path(f.path) for f in _query(layout, subject, session, filters, 'svs'))
    found = set()
    for path in spectra:
        try:
            named, _ = _anatomical(layout, path, _metadata(layout, str(path)))
        except BidsAccError:  # said where the spectrum itself is looked at
            continue
        if named is not None:
            found.add(named.absolute())
    return found


def _anatomical(
    layout: BIDSLayout, svs: Path, metadata: Mapping[str, Any]
) -> tuple[Path | None, list[str]]:
    """T1w image that ``AnatomicalImage`` names, and a note when it is not there."""
    named = metadata.get('AnatomicalImage')
    uri = named[0] if isinstance(named, list) and named else named
    if not isinstance(uri, str) or not uri:
        return None, []
    path = resolve_uri(uri, Path(layout.root), svs.parent)
    if path is not None and (path.exists() or path.is_symlink()):
        return path, []
    return None, [f'{svs.name}: AnatomicalImage {uri!r} does not exist']


def _find_mrs(
    layout: BIDSLayout, subject: str, session: str | None, filters: Mapping[str, Any]
) -> tuple[tuple[MrsInputs, ...], list[str]]:
    """Take all spectra of the session, each with its water reference."""
    files = _query(layout, subject, session, filters, 'svs')
    notes, problems, spectra = [], [], []
    worst = ExitCode.OK
    for bids_file in files:
        path = Path(bids_file.path)
        if 'inversion' in (entities := _entities(bids_file)) or '_inv-' in path.name:
            notes.append(f'{path.name}: metabolite-nulled, not fitted')
            continue
        try:
            spectrum = _one_spectrum(layout, bids_file, entities, session, filters)
        except BidsAccError as error:
            problems.append(str(error))
            worst = max(worst, error.exit_code)
            problem = str(error).replace(f'{layout.root}/', '')
            spectra.append(MrsInputs(path, entities, {}, problem=problem))
        else:
            spectra.append(spectrum)
            notes += spectrum.notes
    if not spectra:
        raise _nothing(subject, session, 'mrs', 'svs')
    if problems:
        raise _PartlyBrokenError(tuple(spectra), '; '.join(problems + notes), worst)
    return tuple(spectra), notes


def _one_spectrum(
    layout: BIDSLayout,
    bids_file: Any,
    entities: Mapping[str, str],
    session: str | None,
    filters: Mapping[str, Any],
) -> MrsInputs:
    """Check one spectrum and find the water reference that belongs to it."""
    path = Path(bids_file.path)
    check_image(path, (4, 5, 6, 7))
    metadata = _metadata(layout, bids_file.path)
    reference, notes = _find_reference(layout, path, entities, metadata, session, filters)
    reference_metadata: dict[str, Any] = {}
    if reference is not None:
        try:
            check_image(reference, (4, 5, 6, 7))
            reference_metadata = _metadata(layout, str(reference))
        except BidsAccError as error:
            notes.append(f'water reference not usable ({error}); no water-scaled values')
            reference = None
    else:
        notes.append(f'{path.name}: no water reference; no water-scaled values')
    anatomical, missing = _anatomical(layout, path, metadata)
    notes += missing
    return MrsInputs(
        svs=path,
        entities=entities,
        metadata=metadata,
        reference=reference,
        reference_metadata=reference_metadata,
        anatomical=anatomical,
        notes=tuple(notes),
    )


def _find_reference(
    layout: BIDSLayout,
    svs: Path,
    entities: Mapping[str, str],
    metadata: Mapping[str, Any],
    session: str | None,
    filters: Mapping[str, Any],
) -> tuple[Path | None, list[str]]:
    """Find the water reference: as the sidecar names it, else by its entities, else ``_ref``."""
    root = Path(layout.root)
    named = metadata.get('ReferenceSignal')
    if named:
        uris = [named] if isinstance(named, str) else list(named)
        path = resolve_uri(uris[0], root, svs.parent)
        if path is not None and (path.exists() or path.is_symlink()):
            return path, [_legacy_note(path)] if '_ref.nii' in path.name else []
        notes = [f'{svs.name}: ReferenceSignal {uris[0]!r} does not exist']
    else:
        notes = []
    candidates = _query(layout, entities['subject'], session, filters, 'mrsref')
    if match := _best_match(candidates, entities):
        return match, notes
    legacy = svs.with_name(re.sub(r'_svs(?=\.nii)', '_ref', svs.name))
    if legacy.exists() or legacy.is_symlink():
        return legacy, [*notes, _legacy_note(legacy)]
    return None, notes


def _legacy_note(path: Path) -> str:
    """Warn of a name from before BIDS 1.10."""
    return (
        f'{path.name}: legacy suffix _ref is taken as the water reference; BIDS calls it _mrsref '
        'since 1.10'
    )


def _best_match(candidates: Sequence[Any], entities: Mapping[str, str]) -> Path | None:
    """Take the reference that contradicts no entity of the spectrum and shares most."""
    ignore = {'suffix', 'extension', 'datatype'}
    ranked = []
    for bids_file in candidates:
        own = {k: v for k, v in _entities(bids_file).items() if k not in ignore}
        path = Path(bids_file.path)
        if '_inv-' in path.name:
            continue
        contradicts = any(entities.get(k) not in (None, v) for k, v in own.items())
        extra = sum(k not in entities for k in own)
        if not contradicts and (extra == 0 or len(candidates) == 1):
            ranked.append((-sum(entities.get(k) == v for k, v in own.items()), str(path)))
    return Path(min(ranked)[1]) if ranked else None


def resolve_uri(uri: str, root: Path, folder: Path) -> Path | None:
    """Turn a BIDS-URI, or a path as older sidecars hold it, into a path.

    Parameters
    ----------
    uri : str
        ``bids::sub-01/mrs/...``, or a path relative to the subject, the data set or the file.
    root : Path
        Root of the data set.
    folder : Path
        Folder of the file whose sidecar holds the URI.

    Returns
    -------
    Path or None
        None if it points to another data set that is not linked here.

    Examples
    --------
    >>> resolve_uri('bids::sub-01/mrs/a.nii.gz', Path('/d'), Path('/d/sub-01/mrs')).as_posix()
    '/d/sub-01/mrs/a.nii.gz'
    """
    if uri.startswith('bids:'):
        name, _, relative = uri[5:].partition(':')
        if not name:
            return root / relative
        links = _dataset_links(root)
        target = links.get(name)
        if target is None or ('://' in target and not target.startswith('file://')):
            return None
        return (root / target.removeprefix('file://') / relative).absolute()
    subject_folder = next((p for p in folder.parents if p.name.startswith('sub-')), root)
    for base in (folder, subject_folder, root):
        if (base / uri).exists() or (base / uri).is_symlink():
            return base / uri
    return folder / uri


def _dataset_links(root: Path) -> dict[str, str]:
    """Read ``DatasetLinks`` of a data set."""
    try:
        links = check_json(root / 'dataset_description.json').get('DatasetLinks', {})
    except BidsAccError:
        return {}
    return {str(k): str(v) for k, v in links.items()}
