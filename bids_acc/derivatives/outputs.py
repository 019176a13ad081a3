"""One table of outputs: names, sidecars, sinks and look-up come from ``data/outputs/*.yaml``.

Each entry is an output key with its level, its data type, its fixed entities, the entities that
a workflow builder supplies, and the constant part of its sidecar. The order of the entities in a
file name follows the BIDS schema, with BEP016's ``model`` and ``param`` where QSIRecon puts
them and ``contrast`` and ``stat`` as BEP012, BEP041 and XCP-D name them.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict

import yaml
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    Bunch,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)
from nipype.pipeline import engine as pe

from bids_acc.exceptions import InputDataError
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.files.writing import whole_file, write_json

ENTITIES = {
    'subject': 'sub', 'template': 'tpl', 'session': 'ses', 'cohort': 'cohort', 'sample': 'sample',
    'task': 'task', 'acquisition': 'acq', 'nucleus': 'nuc', 'voi': 'voi', 'ceagent': 'ce',
    'reconstruction': 'rec', 'direction': 'dir', 'run': 'run', 'echo': 'echo', 'inversion': 'inv',
    'part': 'part', 'hemisphere': 'hemi', 'space': 'space', 'atlas': 'atlas',
    'segmentation': 'seg', 'scale': 'scale', 'resolution': 'res', 'density': 'den',
    'model': 'model', 'param': 'param', 'label': 'label', 'contrast': 'contrast',
    'stat': 'stat', 'description': 'desc',
    'from': 'from', 'to': 'to', 'mode': 'mode',
}  # fmt: skip
"""Long to short entity names, in the order in which they stand in a file name (BIDS 1.11.1)."""

_ALIASES = {'desc': 'description', 'volume': 'voi', 'seg': 'segmentation', 'den': 'density',
            'acq': 'acquisition', 'sub': 'subject', 'ses': 'session', 'hemi': 'hemisphere',
            'res': 'resolution', 'rec': 'reconstruction', 'dir': 'direction', 'nuc': 'nucleus',
            'tpl': 'template'}  # fmt: skip
"""Other names under which the same entity is known (``volume`` is PyBIDS 0.22's ``voi``)."""

_SHORT_TO_LONG = {short: long for long, short in ENTITIES.items()}


@dataclass(frozen=True)
class OutputSpec:
    """One row of the table of outputs."""

    key: str
    """Name under which the code knows the output."""
    level: str
    """``session``, ``subject`` or ``dataset``."""
    datatype: str | None
    """Folder below the subject or session; for the data set level, below ``folder``."""
    entities: Mapping[str, str]
    """Fixed entities, with ``suffix`` and ``extension``."""
    free: tuple[str, ...] = ()
    """Entities that the builder must supply."""
    inherit: tuple[str, ...] = ()
    """Entities taken over from the source file when it has them."""
    folder: str = ''
    """Folder below the output root, for the data set level."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Constant part of the sidecar."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Description of each column, for tables."""
    report: Mapping[str, Any] | None = None
    """Title, caption and order in the subject's page, for figures."""
    sidecar: bool = True
    """Whether a JSON file is written beside the output."""
    meshes: Mapping[str, str] = field(default_factory=dict)
    """Other meshes on which the output exists as well: name of the space to density."""
    mesh: str = ''
    """Of an output on such a mesh, the name of the space."""


@dataclass(frozen=True)
class FoundOutput:
    """An output that lies on disk."""

    key: str
    path: Path
    entities: Mapping[str, str]


def _canonical(entities: Mapping[str, object]) -> dict[str, str]:
    """Use one long name for each entity, and text values."""
    return {
        _ALIASES.get(name, name): str(value)
        for name, value in entities.items()
        if value is not None and value != ''
    }


@cache
def load_table() -> Mapping[str, OutputSpec]:
    """Read the table of outputs.

    Returns
    -------
    Mapping of str to OutputSpec
        In the order of the files.

    Raises
    ------
    ValueError
        If a key stands twice, or an entry has a field that `OutputSpec` does not know.
    """
    table: dict[str, OutputSpec] = {}
    folder = resources.files('bids_acc') / 'data' / 'outputs'
    for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not item.name.endswith('.yaml'):
            continue
        for key, entry in (yaml.safe_load(item.read_text()) or {}).items():
            # YAML would keep the last of two rows without a word, and so would a dictionary
            if key in table:
                raise ValueError(f'{item.name}: output key {key!r} stands twice')
            try:
                spec = OutputSpec(
                    key=key,
                    **{
                        **entry,
                        'entities': _canonical(entry.get('entities', {})),
                        'free': tuple(_ALIASES.get(n, n) for n in entry.get('free', ())),
                        'inherit': tuple(_ALIASES.get(n, n) for n in entry.get('inherit', ())),
                    },
                )
            # a field that the declaration does not know is a misspelt one
            except TypeError as error:
                raise ValueError(f'{item.name}: {key}: {error}') from error
            table[key] = spec
            table |= {own.key: own for own in _on_meshes(spec)}
    return table


ON_MESH = 'Vertices of the mesh of {}, see the entity den'
"""What the sidecar of a map on the mesh of a derivative says of it."""


def on_mesh(key: str, space: str = '') -> str:
    """Return the key of an output on a mesh that a derivative brings.

    Parameters
    ----------
    key : str
        Of the output on the template's mesh.
    space : str
        Name of the other mesh; empty or ``fsaverage`` for the template's.

    Examples
    --------
    >>> on_mesh('anat_thickness', 'civet'), on_mesh('anat_thickness')
    ('anat_thickness_civet', 'anat_thickness')
    """
    return key if space in ('', TEMPLATE_MESH) else f'{key}_{space}'


def _on_meshes(spec: OutputSpec) -> Iterator[OutputSpec]:
    """Yield an output's rows on other meshes; what is said of it holds there."""
    for space, density in spec.meshes.items():
        yield replace(
            spec, key=on_mesh(spec.key, space), meshes={}, mesh=space,
            entities={**spec.entities, 'space': space, 'density': density},
            metadata={
                'SpatialReference': space, **spec.metadata,
                **({'Density': ON_MESH.format(space)} if 'Density' in spec.metadata else {}),
            },
            free=tuple(name for name in spec.free if name != 'density'),
        )  # fmt: skip


def output_spec(key: str) -> OutputSpec:
    """Return the declaration of one output, from ``data/outputs/*.yaml``.

    Parameters
    ----------
    key : str
        Such as ``anat_thickness``.

    Raises
    ------
    KeyError
        If there is no such key.
    """
    return load_table()[key]


def output_path(
    key: str, output_dir: Path | str, entities: Mapping[str, object] | None = None, **fields: Any
) -> Path:
    """Say where an output belongs.

    Parameters
    ----------
    key : str
        Output key.
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping, optional
        Entities of the source, of which the row's ``inherit`` are taken.
    **fields
        The row's ``free`` entities.

    Returns
    -------
    Path
        Absolute if ``output_dir`` is.

    Raises
    ------
    ValueError
        If a free entity is not given, or a field is given that the row does not declare: a
        misspelt entity must never vanish from a name.

    Examples
    --------
    >>> output_path('bold_nowhere', 'out')
    Traceback (most recent call last):
        ...
    KeyError: 'bold_nowhere'
    """
    spec = output_spec(key)
    given = _canonical(fields)
    if unknown := set(given) - set(spec.free):
        raise ValueError(f'{key}: {sorted(unknown)} not declared as free in the output table')
    if missing := set(spec.free) - set(given):
        raise ValueError(f'{key}: {sorted(missing)} must be given')
    source = _canonical(entities or {})
    inherited = {name: source[name] for name in spec.inherit if name in source}
    return Path(output_dir) / build_path(spec, {**inherited, **spec.entities, **given})


def build_path(spec: OutputSpec, entities: Mapping[str, str]) -> Path:
    """Return the path of an output below the root of the derivatives.

    Parameters
    ----------
    spec : OutputSpec
        Declares folder, data type and level.
    entities : mapping of str to str
        By long name (``subject``, ``hemisphere``), with ``suffix`` and ``extension``.

    Returns
    -------
    Path
        Entities in the order that BIDS asks for.
    """
    parts = [f'{short}-{entities[long]}' for long, short in ENTITIES.items() if entities.get(long)]
    name = '_'.join([*parts, entities.get('suffix', '')]).strip('_') + entities['extension']
    folder = Path(spec.folder)
    if spec.level in ('session', 'subject'):
        folder = folder / f'sub-{entities["subject"]}'
        if spec.level == 'session' and entities.get('session') and spec.datatype != 'figures':
            folder = folder / f'ses-{entities["session"]}'
    elif entities.get('template'):
        folder = folder / f'tpl-{entities["template"]}'
        if entities.get('cohort'):
            folder = folder / f'cohort-{entities["cohort"]}'
    if spec.datatype:
        folder = folder / spec.datatype
    return folder / name


def parse_entities(name: str) -> dict[str, str]:
    """Read the entities, suffix and extension of a file name written by `build_path`.

    Parameters
    ----------
    name : str
        Without its folders. From the first part on that is no known entity, the rest is the
        suffix.

    Returns
    -------
    dict of str to str
        By long name, with ``suffix`` and ``extension``; joined by `build_path`, they give the name
        again.

    Examples
    --------
    >>> parse_entities('sub-01_hemi-L_den-41k_thickness.shape.gii')['density']
    '41k'
    """
    stem, dot, extension = name.partition('.')
    parts = stem.split('_')
    entities = {}
    while parts and (pair := parts[0].partition('-'))[1] and pair[0] in _SHORT_TO_LONG:
        entities[_SHORT_TO_LONG[pair[0]]] = pair[2]
        parts.pop(0)
    return {**entities, 'suffix': '_'.join(parts), 'extension': dot + extension}


def find_outputs(key: str, output_dir: Path | str, **filters: Any) -> list[FoundOutput]:
    """Find the files of one output key.

    Parameters
    ----------
    key : str
        Output key.
    output_dir : Path
        Root of the derivative dataset.
    **filters
        Entities that must have this value, e.g. ``hemisphere='L'``; ``None`` means that the
        entity must be absent.

    Returns
    -------
    list of FoundOutput
        Sorted by path.
    """
    spec = output_spec(key)
    wanted = {_ALIASES.get(name, name): value for name, value in filters.items()}
    allowed = {*spec.entities, *spec.free, *spec.inherit}
    found = []
    for path in sorted(_files_of_key(spec, Path(output_dir), wanted.get('subject'))):
        entities = parse_entities(path.name)
        if set(entities) - allowed or any(entities.get(k) != v for k, v in spec.entities.items()):
            continue
        if any(name not in entities for name in spec.free):
            continue
        # A file that was moved or renamed by hand parses as well; only one in its place is an
        # output.
        if path.relative_to(output_dir) != build_path(spec, entities):
            continue
        if all(
            entities.get(name) == (None if value is None else str(value))
            for name, value in wanted.items()
        ):
            found.append(FoundOutput(key, path, entities))
    return found


def _files_of_key(spec: OutputSpec, root: Path, subject: object = None) -> Iterator[Path]:
    """Yield files of which none of this key is left out.

    With a subject only that folder is looked through: whoever asks for one subject after the other
    would otherwise look through all of them each time.
    """
    ending = spec.entities.get('suffix', '') + spec.entities.get('extension', '.')
    folder = root / spec.folder
    if spec.level == 'dataset':
        people = [str(folder)]
    elif subject is not None:
        people = [f'{folder}/sub-{subject}']
    else:
        people = [entry.path for entry in _entries(str(folder)) if entry.name.startswith('sub-')]
    for path in itertools.chain.from_iterable(map(_files_below, people)):
        name = path.rpartition('/')[2]
        if name.endswith(ending) or ('extension' not in spec.entities and ending in name):
            yield Path(path)


def _files_below(folder: str) -> Iterator[str]:
    """Yield the files below a folder; links to folders are not followed, as by `Path.glob`.

    A folder that is named like a file stands in its place and counts as it, so that whoever reads
    it says what is wrong.
    """
    for entry in _entries(folder):
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder:
            yield from _files_below(entry.path)
        if not is_folder or '.' in entry.name:
            yield entry.path


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """List what lies in a folder; nothing where it is none, or cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def sidecar_path(path: Path) -> Path:
    """Return the JSON file that belongs to an output.

    Parameters
    ----------
    path : Path
        Output of any extension; what follows the first point is replaced.

    Examples
    --------
    >>> sidecar_path(Path('sub-01_thickness.shape.gii')).name
    'sub-01_thickness.json'
    """
    return path.with_name(path.name.partition('.')[0] + '.json')


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the metadata beside an output; an absent file is an empty dictionary.

    Parameters
    ----------
    path : Path
        The output, not its JSON file.

    Raises
    ------
    InputDataError
        If the file is no JSON.
    """
    sidecar = sidecar_path(Path(path))
    if not sidecar.exists():
        return {}
    try:
        return dict(json.loads(sidecar.read_text()))
    except json.JSONDecodeError as error:
        raise InputDataError(f'{sidecar} is no valid JSON: {error}') from error


def write_sidecar(key: str, path: Path, metadata: Mapping[str, object] | None = None) -> None:
    """Write the JSON file beside an output: the row's constants, its columns, then ``metadata``.

    Columns are written as BIDS asks for tables: one object for each column name.

    Parameters
    ----------
    key : str
        Row of the table of outputs; nothing is written for one that is declared without sidecar.
    path : Path
        The output, not its JSON file.
    metadata : mapping or None
        What is known only now, such as ``Sources``; it prevails over what the row says.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    if output_spec(key).sidecar:
        write_json(sidecar_path(path), sidecar_content(key, metadata))


def sidecar_content(key: str, metadata: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return what `write_sidecar` writes.

    Parameters
    ----------
    key : str
        Row of the table of outputs.
    metadata : mapping or None
        Prevails over what the row says.

    Returns
    -------
    dict
        Field to value; for each column of a table its description and unit.
    """
    spec = output_spec(key)
    return {**spec.metadata, **spec.columns, **(metadata or {})}


def copy_canonical(source: Path, target: Path) -> None:
    """Copy a file; gzip is written without time and name, so equal content gives equal bytes.

    Parameters
    ----------
    source : Path
        File in the work folder.
    target : Path
        Replaced only when all is written. Packed if its name ends in ``.gz``.

    Raises
    ------
    OutputError
        If the target cannot be written.
    """
    packed_before, packed_after = source.name.endswith('.gz'), target.name.endswith('.gz')
    opener = gzip.open if packed_after and packed_before else open
    with opener(source, 'rb') as stream, whole_file(target) as raw:
        if packed_after:
            with gzip.GzipFile('', 'wb', 6, raw, mtime=0) as packed:
                shutil.copyfileobj(stream, packed)
        else:
            shutil.copyfileobj(stream, raw)


def keep_file(key: str, source: Path, target: Path, metadata: Mapping[str, object]) -> None:
    """Keep a file under its BIDS name, with its sidecar.

    Parameters
    ----------
    key : str
        Row of the table of outputs.
    source : Path
        File in the work folder.
    target : Path
        Path from `build_path`, below the root.
    metadata : mapping
        For the sidecar, besides what the row says.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    copy_canonical(source, target)
    write_sidecar(key, target, metadata)


def with_sources(
    metadata: Mapping[str, object], sources: Sequence[str] | None
) -> dict[str, object]:
    """Add ``Sources`` to the metadata of a sidecar, unless it tells its own.

    Parameters
    ----------
    metadata : mapping
        Of the sidecar.
    sources : list of str
        BIDS URIs; nothing is added where they are not known.
    """
    known = {'Sources': list(sources)} if isdefined(sources) and sources else {}
    return {**known, **metadata}


class _SinkInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc='the file to keep')
    out_path = traits.Str(mandatory=True, desc='where it belongs')
    key = traits.Str(mandatory=True, desc='its row in the table of outputs')
    metadata = traits.Dict(desc='what its sidecar says besides the constants of its row')
    sources = traits.List(traits.Str(), desc='BIDS URIs of the files that it was made from')


class Sink(SimpleInterface):
    """Keep a file under its BIDS name, with its sidecar.

    No step takes its input from here: a step takes a file from the step that made it, so that
    nothing waits for what is kept.
    """

    input_spec = _SinkInputSpec
    output_spec = TraitedSpec
    _always_run = True
    answers: tuple[str, int | None] | None = None
    """Which output of the modality a later run reads here, and its place where that is a list."""

    def _run_interface(self, runtime: Bunch) -> Bunch:
        metadata = self.inputs.metadata if isdefined(self.inputs.metadata) else {}
        metadata = with_sources(metadata, self.inputs.sources)
        target = Path(self.inputs.out_path)
        keep_file(self.inputs.key, Path(self.inputs.in_file), target, metadata)
        return runtime


class SinkPlace(TypedDict):
    """Where the outputs of a session go: what all of its sinks share."""

    output_dir: Path
    """Root of the derivative data set."""
    entities: Mapping[str, object]
    """Entities of the source file."""


def init_sink(
    key: str,
    *,
    output_dir: Path | str,
    entities: Mapping[str, object],
    name: str | None = None,
    **fields: object,
) -> pe.Node:
    """Make the node that keeps one output.

    Parameters
    ----------
    key : str
        Output key.
    output_dir : Path
        Root of the derivative dataset.
    entities : mapping
        Entities of the source file.
    name : str, optional
        Name of the node; ``ds_<key>`` by default.
    **fields
        The row's free entities.

    Returns
    -------
    Node
        With inputs ``in_file`` and ``metadata``.
    """
    suffix = '_'.join(re.sub(r'\W', '', str(value)) for value in fields.values())
    default = f'ds_{key}_{suffix}'.rstrip('_')
    sink = Sink(key=key, out_path=str(output_path(key, output_dir, entities, **fields)))
    return pe.Node(sink, name=name or default, mem_gb=0.1)
