"""Settings survive TOML and refuse what they do not know or what is out of range."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.exceptions import SettingsError
from bids_acc.settings import (
    Request,
    Resources,
    Settings,
    fingerprint,
    json_schema,
    read_toml,
    to_toml,
    update,
)
from bids_acc.settings.option import options


def test_toml_round_trip():
    settings = update(Settings(), {'resources': {'nprocs': 3}, 'random_seed': 7}, 'a.toml')
    assert update(Settings(), tomllib.loads(to_toml(settings)), 'b.toml') == settings


@given(st.text(alphabet=st.characters(exclude_categories=['Cs']), max_size=30))
def test_any_text_survives_toml(text):
    settings = update(Settings(), {'mrs': {'basis': text}, 'group': {'strata': [text]}}, 'a.toml')
    assert update(Settings(), tomllib.loads(to_toml(settings)), 'b.toml') == settings


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'resources': {'nproc': 3}}, r'c.toml: unknown setting \[resources\] nproc; .*nprocs'),
        ({'resource': {}}, 'c.toml: unknown setting resource; did you mean resources'),
        ({'resources': {'nprocs': 'two'}}, "nprocs = 'two': it takes a whole number"),
        ({'resources': {'nprocs': '2'}}, "nprocs = '2': it takes a whole number"),
        ({'resources': {'nprocs': True}}, 'nprocs = True: it takes a whole number, at least 1'),
        ({'anat': {'surface_source': 'freesurfr'}}, 'did you mean freesurfer'),
        ({'anat': 3}, 'it is a section, not a value'),
        (
            {'mrs': {'te1': 'abc'}},
            r'\[mrs\] te1 = .abc.: it takes a number, above 0 and below',
        ),
        ({'mrs': {'ratios': 'Glu/Cr'}}, 'takes a list'),
        ({'group': {'max_missing': 70}}, r'max_missing = 70.*at least 0 and below 1'),
        ({'group': {'k_range': [2, 3, 9]}}, 'it takes two values'),
        ({'group': {'k_range': [9, 2]}}, 'the smallest number comes first'),
        ({'dwi': {'b_max': float('nan')}}, 'a finite number, above 0'),
        ({'dwi': {'b_max': float('inf')}}, 'a finite number, above 0'),
    ],
)
def test_wrong_values_are_refused(values, message):
    with pytest.raises(SettingsError, match=message) as error:
        update(Settings(), values, 'c.toml')
    assert str(error.value).startswith('c.toml: ')


def test_every_number_has_a_range_and_every_setting_a_flag_of_its_own():
    declared = list(options(Settings))
    assert len({item.flag for item in declared}) == len(declared)
    for item in declared:
        if item.annotation in (int, float):
            assert item.bounds, item.flag


def test_the_schema_accepts_what_is_written_and_refuses_what_is_refused():
    request = Request(Path('/in'), Path('/out'), 'participant', participant_labels=('01',))
    schema = json_schema()
    jsonschema.validate(tomllib.loads(to_toml(request)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({'dwi': {'b_max': -5}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({'request': {'labels': ['01']}}, schema)
    json.dumps(schema)


def test_unreadable_configuration(tmp_path):
    with pytest.raises(SettingsError, match='no such file'):
        read_toml(tmp_path / 'none.toml')
    with pytest.raises(SettingsError, match='directory'):
        read_toml(tmp_path)
    (tmp_path / 'bad.toml').write_text('a = = 1')
    with pytest.raises(SettingsError, match='no valid TOML'):
        read_toml(tmp_path / 'bad.toml')


def test_fingerprint_tells_settings_apart():
    one = fingerprint(Resources(nprocs=1), 1)
    assert one == fingerprint(Resources(nprocs=1), 1)
    assert one != fingerprint(Resources(nprocs=2), 1)
    assert one != fingerprint(Resources(nprocs=1), 2)


def test_records_are_frozen_and_checked_also_in_python():
    with pytest.raises(ValueError, match='greater than or equal to 1'):
        dataclasses.replace(Resources(), nprocs=0)
