"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bids_acc.cli import check_file, power
from bids_acc.cli.parser import build_parser
from bids_acc.demo import cli as demo
from bids_acc.group.statistics.model.declaration import parse_model
from tests.contract import numbers_page, outputs_table, settings_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / 'docs').rglob('*.md'))


def check_help() -> str:
    """Return the help of the command that checks spectra."""
    return check_file.build_parser().format_help()


def power_help() -> str:
    """Return the help of the command that simulates studies."""
    return power.build_parser().format_help()


def test_generated_pages_are_up_to_date():
    for made in (numbers_page, outputs_table, settings_table):
        name = Path(made.__file__).name
        assert made.PAGE.read_text() == made.page(), f'run python tests/contract/{name}'


def recipes() -> list[str]:
    """Return all model files that the documentation shows."""
    text = (ROOT / 'docs' / 'models.md').read_text()
    return re.findall(r'```json\n(\{\n  "Name".*?)```', text, re.DOTALL)


@pytest.mark.parametrize('text', recipes(), ids=lambda text: json.loads(text)['Name'])
def test_every_recipe_is_a_model(text):
    assert parse_model(json.loads(text)).name


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_named_flags_and_links_exist(page):
    text = page.read_text()
    others = {
        '--rm', '--shm-size', '--array', '--parsable', '--signal', '--wrap', '--dependency',
        '--user', '--network', '--read-only', '--cap-drop', '--tmpfs', '--containall', '--bind',
        '--special', '--chmod', '--no-install-recommends', '--tag', '--to-scanner',
        '--cifti-output', '--output-spaces', '--longitudinal',
        '--env', '--format',  # of docker
        '--full', '--quick', '--out', '--eroded',  # of the benchmarks
    }  # fmt: skip
    help_texts = build_parser().format_help() + check_help() + power_help()
    help_texts += demo.build_parser().format_help()
    known = set(re.split(r'[\s,\[\]]+', help_texts)) | others
    named = set(re.findall(r'(?<![\w-])--[a-z][a-z0-9-]+', text))
    assert named - known == set()
    for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text):
        assert (page.parent / target).exists(), target
