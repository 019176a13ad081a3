"""Who may import whom: one declared table, and what holds the code to it.

Two questions are asked of each module. *Which room does it lie in?* A room imports the rooms that
`ROOMS` names and no other, so that nothing runs back up. *What role does it play?* The first
pattern of `ROLES` that fits says so, and `MAY` says which roles and which outside packages a role
imports: formulas know arrays, files know formats, interfaces know both, workflows know interfaces.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BASE = 'typing exceptions modalities files tables programs'
MODALITY = f'{BASE} settings derivatives quality images surfaces report'
ROOMS: Mapping[str, str] = {
    'typing': '',
    'exceptions': '',
    'modalities': '',
    'files': 'typing exceptions',
    'tables': 'typing exceptions files',
    'bids': f'{BASE} images dwi func mtr',  # the plan judges by the rules of the run
    'programs': 'typing exceptions files',
    'settings': BASE,
    'derivatives': f'{BASE} settings',
    'quality': BASE,
    'images': BASE,
    'surfaces': f'{BASE} images',
    'report': f'{BASE} derivatives images surfaces',
    'clinical': f'{BASE} derivatives',
    'anat': MODALITY,
    'dwi': MODALITY,
    'func': MODALITY,
    'mtr': MODALITY,
    'mrs': MODALITY,
    'execution': f'{BASE} settings',
    'group': f'{BASE} settings derivatives quality images surfaces report clinical execution',
    'participant': f'{MODALITY} bids anat dwi func mtr mrs execution',
    'cli': f'{MODALITY} bids anat dwi func mtr mrs execution group participant clinical',
    '__main__': 'cli',
    'demo': f'{MODALITY} anat dwi func mrs group',
}
"""Room (folder or module below the package) and the rooms that it may import."""

ROLES: tuple[tuple[str, str], ...] = (
    ('cli/*', 'top'), ('participant/*', 'top'), ('execution/*', 'top'), ('__main__.*', 'top'),
    ('settings*', 'settings'), ('programs*', 'files'),
    ('*/workflow.*', 'workflow'), ('*/workflow/*', 'workflow'),
    ('*interfaces*', 'interfaces'), ('anat/averaging.*', 'interfaces'),
    ('*figures.*', 'figures'), ('group/statistics/figures/files.*', 'group'),
    ('group/statistics/figures/*', 'figures'),
    ('derivatives/*', 'derivatives'), ('bids/*', 'bids'), ('report/*', 'report'),
    ('demo/*', 'demo'), ('tables/*', 'tables'), ('clinical/*', 'tables'),
    ('files/reading.*', 'formulas'), ('files/meshes.*', 'formulas'),
    ('files/metadata.*', 'formulas'), ('files/*', 'files'),
    ('group/formulas/*', 'statistics'), ('group/opnmf/*', 'statistics'),
    ('group/tasks.*', 'parallel'),
    ('group/*', 'group'),
    ('images/files.*', 'files'), ('images/ants_bridge.*', 'files'),
    ('images/registration.*', 'files'), ('images/reversed_pe.*', 'files'),
    ('images/measured_field.*', 'files'),
    ('surfaces/gifti.*', 'files'),
    ('surfaces/atlases.*', 'files'),
    ('images/template_space.*', 'files'),
    ('anat/registration.*', 'files'), ('anat/builtin.*', 'files'), ('anat/brain.*', 'files'),
    ('anat/brain_registration.*', 'files'), ('anat/brain_weights.*', 'files'),
    ('anat/civet.*', 'files'), ('anat/freesurfer.*', 'files'), ('anat/sources.*', 'files'),
    ('anat/meshes.*', 'files'),
    ('dwi/anchor.*', 'files'), ('dwi/gradients.*', 'files'), ('dwi/series.*', 'files'),
    ('dwi/volumes.*', 'files'), ('dwi/tract_tables.*', 'files'),
    ('func/denoising.*', 'files'), ('func/sampling.*', 'files'), ('func/regions.*', 'files'),
    ('func/task.*', 'files'), ('func/measuring.*', 'files'), ('func/joining.*', 'files'),
    ('func/finished*', 'files'),
    ('mrs/scan/*', 'files'), ('mrs/engines/*', 'files'), ('mrs/results/records.*', 'files'),
    ('mrs/levels/tables.*', 'files'), ('mrs/levels/timecourse.*', 'files'),
    ('*', 'formulas'),
)  # fmt: skip
"""Pattern of a file below the package and its role; the first that fits, so that a new module is
a formula until it is declared to be something else."""

SCIENCE = 'numpy scipy nibabel.affines'
TABLES = f'{SCIENCE} pandas'
FORMATS = f'{TABLES} nibabel ants nilearn onnxruntime h5py yaml jsonschema'
OUTPUT = 'derivatives report interfaces'
MAY: Mapping[str, tuple[str, str]] = {
    'formulas': ('formulas', SCIENCE),
    'tables': ('formulas tables files derivatives', f'{TABLES} jsonschema yaml'),
    'statistics': (
        'formulas statistics tables parallel', f'{TABLES} sklearn statsmodels formulaic'
    ),
    'parallel': ('formulas files', f'{SCIENCE} joblib threadpoolctl'),
    'settings': (
        'formulas files tables settings', 'pydantic pydantic_core annotated_types tomli_w'
    ),
    'files': ('formulas files tables settings', FORMATS),
    'figures': ('formulas files figures statistics tables report group', f'{TABLES} matplotlib'),
    'bids': ('formulas files tables bids', f'{FORMATS} bids pydantic'),
    'derivatives': ('formulas files tables derivatives', f'{FORMATS} nipype'),
    'report': ('formulas files tables derivatives report', f'{TABLES} jinja2 matplotlib'),
    'interfaces': (
        'formulas files tables settings derivatives figures interfaces', f'{FORMATS} nipype dipy'
    ),
    'workflow': (
        'formulas files tables settings derivatives interfaces workflow', 'nipype niworkflows'
    ),
    'group': (
        'formulas files tables settings statistics figures derivatives report parallel group top',
        f'{FORMATS} matplotlib sklearn statsmodels formulaic',
    ),
    'demo': ('formulas files tables settings statistics parallel derivatives group demo',
             f'{FORMATS} sklearn statsmodels'),
    'top': (f'formulas tables files settings bids {OUTPUT} workflow parallel group top',
            f'{FORMATS} nipype psutil distributed dask_jobqueue packaging rich'),
}  # fmt: skip
"""Role, the roles of our modules that it may import, and the outside packages."""

WHOLE_SETTINGS = ('cli/*', 'participant/*', 'settings*', 'group/analysis.*', 'group/state.*')
"""Files that may see all settings; any other gets the values that it uses."""


def read_sources() -> dict[str, str]:
    """Return the text of each module, by its place below the package."""
    package = ROOT / 'bids_acc'
    paths = (
        p for p in sorted(package.rglob('*.py')) if 'data' not in p.relative_to(package).parts
    )
    return {str(path.relative_to(package)): path.read_text() for path in paths}


@cache
def _named(source: str) -> frozenset[str]:
    """List the dotted names that a file imports, wherever in it.

    Imports are absolute in this package (ruff's TID252 sees to it).
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return frozenset(names)


def imports(source: str, known: Mapping[str, str]) -> set[str]:
    """List what a file imports: places of our modules where `known` has them, or dotted names."""
    found = set()
    for name in _named(source):
        own = next((n for n in (name, name.rpartition('.')[0]) if n in known), name)
        found.add(known.get(own, own))
    return found


def modules(sources: Iterable[str]) -> dict[str, str]:
    """Return the place of each module by its dotted name."""
    return {_dotted(place): place for place in sources}


def _dotted(place: str) -> str:
    """Return the module of a file below the package."""
    name = 'bids_acc.' + place.removesuffix('.py').replace('/', '.')
    return name.removesuffix('.__init__')


def room_of(place: str) -> str:
    """Return the room that a file lies in."""
    return place.split('/')[0].removesuffix('.py')


def role_of(place: str) -> str:
    """Return the role that a file plays."""
    return next(role for pattern, role in ROLES if fnmatch(place, pattern))


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return one sentence for each import that the table does not allow."""
    found, known = [], modules(sources)
    for place, source in sources.items():
        if place == '__init__.py':
            continue
        if room_of(place) not in ROOMS:
            found.append(f'{place} lies in a new room: say in ROOMS what it may import')
            continue
        role, (roles, packages) = role_of(place), MAY[role_of(place)]
        for name in sorted(imports(source, known)):
            if name in sources:
                if name == '__init__.py':  # the version
                    continue
                if room_of(name) not in (room_of(place), *ROOMS[room_of(place)].split()):
                    found.append(f'{place} imports {name}: not one of its rooms')
                elif role_of(name) not in roles.split():
                    found.append(f'{place} ({role}) imports {name} ({role_of(name)})')
            elif _is_outside(name) and not any(
                f'{name}.'.startswith(f'{package}.') for package in packages.split()
            ):
                found.append(f'{place} ({role}) imports {name}')
        whole = any(n.startswith('bids_acc.settings') and n.endswith('.Settings')
                    for n in _named(source))  # fmt: skip
        if whole and not any(fnmatch(place, pattern) for pattern in WHOLE_SETTINGS):
            found.append(f'{place} sees all settings')
    return found


def _is_outside(name: str) -> bool:
    """Tell whether a dotted name is neither ours nor of the standard library."""
    return name.split('.')[0] not in {'bids_acc', *sys.stdlib_module_names}


def circles(sources: Mapping[str, str]) -> list[str]:
    """Return the modules that import each other in a circle, one line for each circle."""
    known = modules(sources)
    graph = {place: imports(text, known) & set(sources) for place, text in sources.items()}
    reach = {place: _reached(graph, place) for place in graph}
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph if a in reach[a]}
    return [' <-> '.join(group) for group in sorted(groups)]


def rooms_in_a_circle(rooms: Mapping[str, str] = ROOMS) -> list[str]:
    """Return the rooms of a table that may import themselves by way of others."""
    graph = {room: set(may.split()) for room, may in rooms.items()}
    return [room for room in rooms if room in _reached(graph, room)]


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return all modules that one imports, directly or not."""
    seen: set[str] = set()
    ahead = set(graph[start])
    while ahead:
        seen |= ahead
        ahead = set().union(*(graph[place] for place in ahead)) - seen
    return seen


def arrows(sources: Mapping[str, str], folder: str) -> dict[tuple[str, str], int]:
    """Count the imports between the rooms of a folder; files directly in it are a room each."""

    def room(place: str) -> str:
        return place.removeprefix(f'{folder}/').split('/')[0].removesuffix('.py')

    known, counts = modules(sources), dict[tuple[str, str], int]()
    inside = {p: t for p, t in sources.items() if p.startswith(f'{folder}/')}
    for place, text in inside.items():
        for name in imports(text, known) & set(inside):
            if room(place) != room(name):
                pair = room(place), room(name)
                counts[pair] = counts.get(pair, 0) + 1
    return counts
