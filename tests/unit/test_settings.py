"""Settings survive TOML and refuse what they do not know."""

from __future__ import annotations

import tomllib

import pytest

from bids_acc.exceptions import SettingsError
from bids_acc.settings import Resources, Settings, fingerprint, read_toml, to_toml, update


def test_toml_round_trip():
    settings = update(Settings(), {'resources': {'nprocs': 3}, 'random_seed': 7})
    assert update(Settings(), tomllib.loads(to_toml(settings))) == settings


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(SettingsError, match="did you mean 'nprocs'"):
        update(Settings(), {'resources': {'nproc': 3}})
    with pytest.raises(SettingsError, match="did you mean 'resources'"):
        update(Settings(), {'resource': {}})


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'resources': {'nprocs': 'two'}}, 'is a str'),
        ({'resources': {'nprocs': True}}, 'is a bool'),
        ({'anat': {'surface_source': 'freesurfr'}}, 'is not one of'),
        ({'anat': 3}, 'is a section'),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        update(Settings(), values, 'config.toml')


def test_unreadable_configuration(tmp_path):
    with pytest.raises(SettingsError, match='no such file'):
        read_toml(tmp_path / 'none.toml')
    (tmp_path / 'bad.toml').write_text('a = = 1')
    with pytest.raises(SettingsError, match='no valid TOML'):
        read_toml(tmp_path / 'bad.toml')


def test_fingerprint_tells_settings_apart():
    one = fingerprint(Resources(nprocs=1), 1)
    assert one == fingerprint(Resources(nprocs=1), 1)
    assert one != fingerprint(Resources(nprocs=2), 1)
    assert one != fingerprint(Resources(nprocs=1), 2)
