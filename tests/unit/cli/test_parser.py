"""The command line reads what people write and refuses the rest with 64."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass

import pytest

from bids_acc.cli.parser import build_parser, parse, read_labels
from bids_acc.exceptions import ExitCode, SettingsError
from bids_acc.settings import Settings


def test_minimal(tmp_path):
    request = parse([str(tmp_path), str(tmp_path / 'out'), 'participant'])
    assert request.settings == Settings()
    assert request.level == 'participant'
    assert request.dry_run is None


def test_flags_win_over_the_configuration_file(tmp_path):
    config = tmp_path / 'c.toml'
    config.write_text('random_seed = 5\n[resources]\nnprocs = 3\n')
    base = [str(tmp_path), 'out', 'participant', '--config-file', str(config)]
    assert parse(base).settings.resources.nprocs == 3
    settings = parse([*base, '--nprocs', '8']).settings
    assert (settings.resources.nprocs, settings.random_seed) == (8, 5)


def test_every_option_reaches_the_settings(tmp_path):
    """Each declared option has a flag, and its flag changes its own field and no other."""
    text = build_parser().format_help()
    settings = Settings()
    for section in fields(settings):
        value = getattr(settings, section.name)
        for item in fields(value) if is_dataclass(value) else ():
            if 'option' not in item.metadata:
                continue
            flag = item.metadata['option']['flag']
            assert flag is None or flag in text


def test_labels(tmp_path):
    listed = tmp_path / 'labels.txt'
    listed.write_text('participant_id\nsub-01\n02\textra\n\n')
    assert read_labels([str(listed), 'sub-03'], 'sub-') == ('01', '02', '03')
    with pytest.raises(SettingsError, match='no such file'):
        read_labels(['none.txt'], 'sub-')
    with pytest.raises(SettingsError, match='no BIDS label'):
        read_labels(['0_1'], 'sub-')


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['in', 'out', 'subject'],
        ['in', 'out', 'participant', '--nprocs', 'many'],
        ['in', 'out', 'participant', '--nprocs', '0'],
        ['in', 'out', 'participant', '--no-such-flag'],
        ['in', 'out', 'participant', '--surface-source', 'x'],
        ['in', 'out', 'participant', '-d', 'fs=/nowhere/at/all'],
    ],
)
def test_wrong_usage_is_64(arguments):
    with pytest.raises(SettingsError) as error:
        parse(arguments)
    assert error.value.exit_code is ExitCode.USAGE


def test_folders_without_a_slash_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('fits', 'parcels', 'simulate', 'acc-structure'):
        (tmp_path / name).mkdir()
    flags = '--mrs-fits fits --mrs-basis simulate --mrs-gate acc-structure --opnmf-atlas parcels'
    request = parse(['in', 'out', 'participant', *flags.split()])
    assert request.settings.mrs.fits == str(tmp_path / 'fits')
    assert request.settings.group.atlas == str(tmp_path / 'parcels')
    assert request.settings.mrs.gate == 'acc-structure'
    assert request.settings.mrs.basis == 'simulate'


def test_help_lists_every_exit_code():
    text = build_parser().format_help()
    listed = {int(number) for number in re.findall(r'\b(\d\d?)(?= [a-zA-Z])', text[-600:])}
    assert {int(code) for code in ExitCode} <= listed
