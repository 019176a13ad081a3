"""The model file: which groups, measures and families of tests an analysis has.

A model file is JSON, ``model-<name>_smdl.json``, checked against ``data/models/schema.json``
(where each key is described and has its default). Unknown keys are refused with the name that
was probably meant. Shipped presets are files of the same kind.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Literal, TypedDict, cast

import jsonschema

from bids_acc.exceptions import SettingsError
from bids_acc.files.reading import read_whole, reads
from bids_acc.group.statistics.model.content import (
    ModelContent,
    MrsEntry,
    Pairs,
    RangeEntry,
    SessionsEntry,
)
from bids_acc.group.statistics.model.gates import session_gate, spectra_gate, with_gate_files
from bids_acc.group.statistics.rows.row import Family
from bids_acc.quality.gate import Gate
from bids_acc.quality.sessions import ImageModality, SessionGate


@dataclass(frozen=True)
class Group:
    """Groups that are compared."""

    column: str
    levels: tuple[str, ...]
    """In the order of tables and figures."""
    reference: str
    labels: Mapping[str, str] = field(default_factory=dict)
    recode: Mapping[str, str] = field(default_factory=dict)

    def pairs(self, which: Pairs, present: list[str]) -> list[tuple[str, str]]:
        """Return the pairs ``(a, b)`` to compare as a - b; the reference is always b.

        Parameters
        ----------
        which : {'all', 'reference'}
            Every pair, or each group with the reference only.
        present : list of str
            Groups that occur; others make no pair.

        Returns
        -------
        list of (str, str)
            In the order of the model file, the reference in front.
        """
        ordered = [self.reference, *(level for level in self.levels if level != self.reference)]
        ordered = [level for level in ordered if level in present]
        pairs = [(a, b) for i, b in enumerate(ordered) for a in ordered[i + 1 :]]
        return pairs if which == 'all' else [pair for pair in pairs if pair[1] == self.reference]


@dataclass(frozen=True)
class Covariate:
    """A covariate of every model."""

    column: str
    """Column of the people's tables."""
    kind: Literal['continuous', 'categorical']
    levels: tuple[str, ...] = ()
    spline: int = 0
    """Coefficients of a natural cubic spline; 0: a straight line."""
    only_in: tuple[str, ...] = ()
    """Groups that it is asked of, such as a dose of patients; empty: all."""

    @property
    def name(self) -> str:
        """Name of the term, and of its column in the analysis."""
        return f'{self.column} in {"/".join(self.only_in)}' if self.only_in else self.column


@dataclass(frozen=True)
class Contrast:
    """A planned contrast of adjusted means."""

    name: str
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Subsample:
    """A rule that some columns are analysed in some participants only."""

    name: str
    columns: tuple[str, ...]
    where: Mapping[str, list[str | float] | RangeEntry]

    def covers(self, column: str) -> bool:
        """Tell whether the rule is for a column.

        Parameters
        ----------
        column : str
            Name of a response or a score.

        Returns
        -------
        bool
            Patterns are those of `fnmatch`, in the case that they are written in.
        """
        return any(fnmatchcase(column, pattern) for pattern in self.columns)


@dataclass(frozen=True)
class Model:
    """A checked model with all defaults filled in."""

    content: ModelContent
    """The whole file, resolved."""
    source: str = ''
    """Where it was read from."""

    @property
    def name(self) -> str:
        """Short name."""
        return str(self.content['Name'])

    @property
    def group(self) -> Group:
        """Groups that are compared."""
        entry = self.content['Group']
        return Group(
            entry['Column'], tuple(entry['Levels']), entry['Reference'] or entry['Levels'][0],
            entry['Labels'], entry['Recode'],
        )  # fmt: skip

    @property
    def cohort(self) -> str | None:
        """Column that tells cohorts apart."""
        return self.content['Cohort']

    @property
    def covariates(self) -> tuple[Covariate, ...]:
        """Covariates of every model."""
        return tuple(
            Covariate(
                entry['Name'],
                entry['Kind'],
                tuple(entry['Levels']),
                entry['Df'] if entry['Shape'] == 'spline' else 0,
                tuple(entry['OnlyIn']),
            )
            for entry in self.content['Covariates']
        )

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """Names of the covariates."""
        return tuple(covariate.name for covariate in self.covariates)

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Planned contrasts."""
        return tuple(Contrast(c['Name'], c['Weights']) for c in self.content['Contrasts'])

    @property
    def subsamples(self) -> tuple[Subsample, ...]:
        """Subsample rules."""
        return tuple(
            Subsample(s['Name'], tuple(s['Columns']), s['Where'])
            for s in self.content['Subsamples']
        )

    @property
    def alpha(self) -> float:
        """Level of tests and gates."""
        return float(self.content['Alpha'])

    @property
    def confidence(self) -> float:
        """Level of intervals."""
        return float(self.content['ConfidenceLevel'])

    @property
    def sessions(self) -> SessionsEntry:
        """Which visits are analysed, in which order, and how improvement is told."""
        return self.content['Sessions']

    @property
    def ss_type(self) -> Literal['II', 'III']:
        """Type of the sums of squares."""
        return self.content['SumOfSquares']

    @property
    def correction(self) -> Family:
        """Correction of families that are not named."""
        return Family(self.content['Correction'])

    @property
    def families(self) -> dict[str, Family]:
        """Correction by family."""
        by_response = ('posthoc', 'posthoc_plain', 'simple_effects')
        # pairs of groups are corrected within their response: the responses themselves were
        # corrected by the test that let them through
        shipped = dict.fromkeys(by_response, ('cohort', 'response'))
        method = self.content['Correction']
        families = {name: Family(method, over) for name, over in shipped.items()}
        return families | {
            name: Family(entry['Method'], tuple(entry['Over']))
            for name, entry in self.content['Families'].items()
        }

    @property
    def spectra_gate(self) -> Gate | None:
        """Thresholds for spectra; None for the verdicts of the participant level."""
        return spectra_gate(self.content['Gate']['mrs'], self.source)

    def session_gate(self, modality: ImageModality) -> SessionGate | None:
        """Return the thresholds for the images of a session; None for none.

        Parameters
        ----------
        modality : {'anat', 'dwi', 'func', 'mtr'}
            Of the images; spectra have `spectra_gate`.

        Returns
        -------
        SessionGate or None
            As the key ``Gate`` declares it.
        """
        return session_gate(self.content['Gate'][modality], modality, self.source)

    def to_json(self) -> str:
        """Write the resolved model as it was run."""
        return json.dumps(self.content, indent=2, ensure_ascii=False) + '\n'


Schema = TypedDict(
    'Schema',
    {
        '$ref': str, '$defs': dict[str, 'Schema'], 'properties': dict[str, 'Schema'],
        'additionalProperties': 'bool | Schema', 'items': 'Schema', 'default': object,
    },
    total=False,
)  # fmt: skip
"""What is read of a JSON schema to fill in defaults."""


@cache
def _schema() -> Schema:
    """Read the schema of model files."""
    text = resources.files('bids_acc.data').joinpath('models/schema.json').read_text('utf-8')
    schema: Schema = json.loads(text)
    return schema


def _resolve(schema: Schema) -> Schema:
    """Follow one reference inside the schema; siblings such as default stay."""
    if '$ref' not in schema:
        return schema
    target = _schema()['$defs'][schema['$ref'].rsplit('/', 1)[-1]]
    merged: Schema = {**target, **schema}
    del merged['$ref']
    return merged


def _with_defaults(value: object, schema: Schema) -> object:
    """Fill in the defaults of a value, all the way down."""
    schema = _resolve(schema)
    if isinstance(value, Mapping):
        properties = schema.get('properties', {})
        filled: dict[str, object] = {}
        for name, sub in properties.items():
            entry = _resolve(sub)
            if name in value:
                filled[name] = _with_defaults(value[name], entry)
            elif 'default' in entry:
                filled[name] = _with_defaults(entry['default'], entry)
        other = schema.get('additionalProperties')
        for name in value:
            if name not in properties:
                allowed: Schema = other if isinstance(other, dict) else {}
                filled[name] = _with_defaults(value[name], allowed)
        return filled
    if isinstance(value, list):
        return [_with_defaults(item, schema.get('items', {})) for item in value]
    return value


FAMILIES = (
    'ancova', 'change', 'clinical', 'contrasts', 'crlb_absolute', 'demographics', 'interaction',
    'interactions', 'meta', 'mrs_primary', 'mrs_secondary', 'mrs_together', 'mrs_voxel',
    'partialcorr', 'posthoc', 'posthoc_plain', 'prediction', 'quality', 'relation',
    'simple_effects', 'trial', 'vertexwise', 'zscores',
)  # fmt: skip
"""First words of the names of families; a variant has more words, such as ``quality passed``."""


HEMISPHERE = 'hemisphere'
"""The one interaction that is no covariate: with the side of a parcel."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant.

    Parameters
    ----------
    word : str
        As it was typed; upper and lower case are taken as the same.
    known : iterable of str
        Words that are allowed.

    Returns
    -------
    str or None
        None when no known word reaches a similarity of 0.6 (`difflib.get_close_matches`).

    Examples
    --------
    >>> nearest('covariate', ['Name', 'Covariates', 'Group']), nearest('x', ['Name'])
    ('Covariates', None)
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def _complaints(content: object, where: str) -> Iterator[str]:
    """Say in words what the schema does not allow."""
    validator = jsonschema.Draft202012Validator(_schema())
    # the first complaint is the one that people correct first: it must not depend on the order of
    # keys in a file
    for error in sorted(validator.iter_errors(content), key=lambda e: [str(p) for p in e.path]):
        place = '/'.join(str(part) for part in error.absolute_path) or 'top level'
        if error.validator == 'additionalProperties' and isinstance(error.instance, Mapping):
            known = list(error.schema.get('properties', {}))
            for key in error.instance:
                if key not in known:
                    meant = nearest(key, known)
                    hint = f'did you mean {meant!r}?' if meant else f'known: {", ".join(known)}'
                    yield f'{where}: unknown key {key!r} at {place}; {hint}'
        elif error.validator_value == 'string' and isinstance(error.instance, int | float):
            written = json.dumps(error.instance)
            yield f'{where}: {place}: {written} is a number; write it as text: "{written}".'
        else:
            yield f'{where}: {place}: {error.message}'


def parse_model(content: object, source: str = 'model') -> Model:
    """Check the content of a model file and fill in the defaults.

    Parameters
    ----------
    content : dict
        Content of the file.
    source : str
        Name of the file, for messages.

    Raises
    ------
    SettingsError
        If a key is unknown, a value is not allowed, or parts contradict each other.

    Examples
    --------
    >>> content = {'Name': 'x', 'Group': {'Column': 'group', 'Levels': ['HC', 'TRS']}}
    >>> parse_model(content).group.reference
    'HC'
    >>> parse_model({**content, 'Covariate': []})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    bids_acc.exceptions.SettingsError: model: unknown key 'Covariate' at top level; ...
    """
    complaints = list(_complaints(content, source))
    if complaints:
        raise SettingsError('\n'.join(complaints))
    model = Model(cast('ModelContent', _with_defaults(content, _schema())), source)
    complaints = [f'{source}: {text}' for text in _contradictions(model)]
    if complaints:
        raise SettingsError('\n'.join(complaints))
    # gates are read where they are used, which is hours later: a wrong one is refused now
    _ = model.spectra_gate, model.session_gate('anat'), model.session_gate('dwi')  # or refused
    _ = model.session_gate('func'), model.session_gate('mtr')
    return model


def _contradictions(model: Model) -> Iterator[str]:
    """Say which parts of a model do not fit together."""
    levels = model.group.levels
    named: list[tuple[str, Sequence[str | None]]] = [
        ('Group/Reference', [model.group.reference]),
        ('Group/Labels', list(model.group.labels)),
        ('Norms/Level', [model.content['Norms']['Level']]),
        *((f'Contrasts/{c.name}', list(c.weights)) for c in model.contrasts),
    ]
    for place, used in named:
        for level in used:
            if level is not None and level not in levels:
                yield f'{place}: {level!r} is none of {", ".join(levels)}.'
    for name in model.content['Families']:
        if name.split(' ')[0] not in FAMILIES:
            meant = nearest(name, FAMILIES)
            hint = f'did you mean {meant!r}?' if meant else f'known: {", ".join(FAMILIES)}'
            yield f'Families: there is no family {name!r}; {hint}'
    for contrast in model.contrasts:
        # weights that do not sum to zero compare a mean with nothing, and test the level of the
        # measure
        if abs(sum(contrast.weights.values())) > 1e-9:
            yield f'Contrasts/{contrast.name}: the weights do not sum to zero.'
    yield from _wrong_voxels(model.content['Mrs'])
    yield from _wrong_covariates(model)
    yield from _wrong_norms(model)
    names = model.covariate_names
    for name in sorted(set(names)):
        if names.count(name) > 1:
            yield f'Covariates: {name!r} is there twice.'
        if name == model.group.column:
            yield f'Covariates: {name!r} is the group column.'
        elif name in {'group', 'cohort'}:
            yield f'Covariates: {name!r} is a name of the analysis itself; rename the column.'


VOXEL_NAME = re.compile(r'[0-9A-Za-z]{1,64}')
"""What a name becomes part of: columns (``Glu_ACC``), files and formulas."""


def _wrong_voxels(mrs: MrsEntry) -> Iterator[str]:
    """Say which names of voxels cannot be parts of names of measures, or are the same."""
    if mrs['Voxel'] is not None and mrs['Voxels']:
        yield 'Mrs/Voxel and Mrs/Voxels are both there; keep Voxels.'
    seen: dict[str, str] = {}
    for name in mrs['Voxels']:
        if not VOXEL_NAME.fullmatch(name):
            yield (
                f'Mrs/Voxels: {name[:40]!r} is no name of a voxel; take up to 64 letters (A to Z) '
                'and digits, such as ACC or ACC2.'
            )
        # figures are files, and some file systems take both names for one
        elif (other := seen.setdefault(name.casefold(), name)) != name:
            yield f'Mrs/Voxels: {other!r} and {name!r} differ in case only; name them apart.'


def _wrong_covariates(model: Model) -> Iterator[str]:
    """Say what of shapes, groups and interactions of covariates cannot be."""
    levels = model.group.levels
    for covariate in model.covariates:
        if covariate.spline and covariate.kind == 'categorical':
            yield f'Covariates: {covariate.column!r} is categorical and can be no spline.'
        for level in covariate.only_in:
            if level not in levels:
                known = ', '.join(levels)
                yield f'Covariates/{covariate.column}/OnlyIn: {level!r} is none of {known}.'
    allowed = (*(c.name for c in model.covariates if not c.only_in), HEMISPHERE)
    for name in model.content['Interactions']:
        nested = next((c for c in model.covariates if c.only_in and name == c.column), None)
        if nested is not None:
            yield f'Interactions: {name!r} is asked of {", ".join(nested.only_in)} only (OnlyIn).'
        elif name == 'voxel':
            yield 'Interactions: group x voxel is tested wherever Mrs/Voxels names several voxels.'
        elif name not in allowed:
            meant = nearest(name, allowed)
            hint = f'did you mean {meant!r}?' if meant else f'put it there, or take {HEMISPHERE}'
            yield f'Interactions: {name!r} is none of the Covariates; {hint}'


def _wrong_norms(model: Model) -> Iterator[str]:
    """Say which covariates of the norms the model does not have."""
    allowed = [c.name for c in model.covariates if not c.only_in]
    for key in ('Adjust', 'Spread'):
        for name in dict.fromkeys(
            p for term in model.content['Norms'][key] for p in term.split(':')
        ):
            if name not in allowed:
                meant = nearest(name, allowed)
                hint = f'did you mean {meant!r}?' if meant else 'put it there'
                yield f'Norms/{key}: {name!r} is none of the Covariates; {hint}'


def presets() -> dict[str, Path]:
    """Return the shipped model files by name."""
    folder = Path(str(resources.files('bids_acc.data').joinpath('models')))
    return {
        path.name.removeprefix('model-').removesuffix('_smdl.json'): path
        for path in sorted(folder.glob('model-*_smdl.json'))
    }


_JSON = (
    'model files are JSON, not YAML or TOML: names in double quotes, no comments, and no comma '
    'before a closing bracket'
)


def _once(where: str, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return an object of a JSON file; of a key that stands twice the parser drops the first."""
    held = dict(pairs)
    if len(held) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise SettingsError(f'{where}: {twice!r} stands twice in one object; keep one.')
    return held


@reads('model', 'correct it', SettingsError)
def read_model(source: str | Path) -> Model:
    """Read a model file or a shipped preset.

    Parameters
    ----------
    source : str or Path
        Path of a file, or the name of a preset such as ``acc-structure``.

    Raises
    ------
    SettingsError
        If there is no such file or preset, or its content is refused.

    Examples
    --------
    >>> read_model('acc-structure').ss_type
    'II'
    """
    shipped = presets()
    path = shipped.get(str(source), Path(source))
    try:
        text = read_whole(path, error=SettingsError)
        content = json.loads(text, object_pairs_hook=partial(_once, path.name))
    except (FileNotFoundError, IsADirectoryError) as error:
        close = difflib.get_close_matches(str(source), [*shipped, 'auto'], n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'presets: {", ".join(shipped)}'
        raise SettingsError(f'--model {source}: no such file or preset; {hint}') from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f'--model {path} is no valid JSON: {error}; {_JSON}') from error
    if isinstance(content, Mapping) and 'Nodes' in content:
        raise SettingsError(
            f'--model {path} is a BIDS Stats Model (Nodes, Edges); the group level has model '
            'files of its own (docs/models.md): group --model auto writes one to begin with.'
        )
    if not isinstance(content, Mapping):
        raise SettingsError(
            f'--model {path} holds a {type(content).__name__}; a model file is one JSON object.'
        )
    return parse_model(with_gate_files(content, path.parent, path.name), path.name)
