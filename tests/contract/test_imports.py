"""Imports go one way: formulas know arrays, interfaces files, workflows interfaces."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'bids_acc'
MODALITIES = ('anat', 'dwi', 'mrs')
SHELLS = {'interfaces', 'workflow', 'io', 'inputs'}


def imported(path: Path) -> set[str]:
    """List the modules that a file imports, wherever in the file, absolute."""
    package = ('bids_acc', *path.relative_to(PACKAGE).parent.parts)
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join([*base, *filter(None, [node.module])])
            names |= {module, *(f'{module}.{alias.name}' for alias in node.names)}
    return names


def modules(*folders: str) -> list[Path]:
    """List the files of some folders."""
    return sorted(p for folder in folders for p in (PACKAGE / folder).rglob('*.py'))


def below(path: Path) -> str:
    """Name a file from the package down."""
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize('path', modules(*MODALITIES), ids=below)
def test_a_modality_knows_no_other(path):
    own = path.relative_to(PACKAGE).parts[0]
    others = {f'bids_acc.{name}' for name in MODALITIES if name != own}
    wrong = [n for n in imported(path) if any(n == o or n.startswith(f'{o}.') for o in others)]
    assert wrong == []


@pytest.mark.parametrize('path', modules('.'), ids=below)
def test_only_the_top_knows_whole_settings(path):
    if path.relative_to(PACKAGE).parts[0] in ('cli', 'participant', 'settings.py'):
        return
    if below(path) in ('group/analysis.py', 'group/state.py'):  # the group analysis and its state
        return
    assert 'bids_acc.settings.Settings' not in imported(path)


@pytest.mark.parametrize('path', modules('.'), ids=below)
def test_nothing_imports_the_command_line(path):
    if path.relative_to(PACKAGE).parts[0] in ('cli', '__main__.py'):
        return
    assert [n for n in imported(path) if n.split('.')[:2] == ['bids_acc', 'cli']] == []


@pytest.mark.parametrize('path', modules('group'), ids=below)
def test_the_group_level_knows_no_nipype_and_no_raw_data(path):
    wrong = [n for n in imported(path) if n.startswith(('nipype', 'bids_acc.bids', 'bids.'))]
    assert wrong == []


@pytest.mark.parametrize('path', modules('.'), ids=below)
def test_print_only_on_the_command_line(path):
    if path.relative_to(PACKAGE).parts[0] in ('cli', 'data') or below(path) == 'demo/cli.py':
        return
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    assert not any(isinstance(c.func, ast.Name) and c.func.id == 'print' for c in calls)


@pytest.mark.parametrize('path', modules('group/formulas', 'group/opnmf'), ids=below)
def test_formulas_of_the_group_level_know_no_tables(path):
    wrong = ('bids_acc.group.statistics', 'bids_acc.group.parcels', 'bids_acc.derivatives')
    assert [name for name in imported(path) if name.startswith(wrong)] == []
