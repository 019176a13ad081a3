"""The software behind other tools' results, from the nearest description."""

from __future__ import annotations

import json

import pytest

from bids_acc.bids.tools import generated_by


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        ({'GeneratedBy': [{'Name': 'qsiprep', 'Version': '0.21'}]}, [('qsiprep', '0.21')]),
        ({'GeneratedBy': [{'Name': 'a'}, {'Version': '1'}, 'b']}, [('a', '')]),
        ({'GeneratedBy': 'a text'}, []),
        ({}, []),
    ],
)
def test_names_and_versions(tmp_path, content, found):
    (tmp_path / 'sub-01').mkdir()
    (tmp_path / 'dataset_description.json').write_text(json.dumps(content))
    assert generated_by([tmp_path / 'sub-01', tmp_path]) == found


def test_an_unreadable_description_is_not_the_end(tmp_path):
    (tmp_path / 'dataset_description.json').write_text('{')
    assert generated_by([tmp_path]) == []
    assert generated_by([]) == []
