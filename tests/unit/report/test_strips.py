"""Strips of points: everybody is there, named, and within the picture."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from bids_acc.report.strips import HEIGHT, LEFT, RADIUS, RANGE_AT, WIDTH, strip_picture

TITLE = '{*}title'


def points(svg: str) -> dict[str, tuple[float, float]]:
    root = ET.fromstring(svg)
    return {
        str(circle.findtext('title')): (float(circle.get('cx')), float(circle.get('cy')))
        for circle in root.iter('circle')
    }


@pytest.fixture
def values() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            'who': [f'sub-{i:02d}' for i in range(60)],
            'group': ['<HC> & "x"', 'TRS'] * 30,
            'value': rng.normal(12, 1, 60),
        }
    )


def test_each_person_is_a_point_of_its_own_column_and_higher_is_up(values: pd.DataFrame) -> None:
    found = points(strip_picture(values, 'S/N', ['<HC> & "x"', 'TRS'], 'dB'))
    assert len(found) == 60
    middle = LEFT + (WIDTH - LEFT) / 2
    for row in values.itertuples():
        x, y = found[f'{row.who}, {row.group}: {row.value:.4g} dB']
        assert (x < middle) == (row.group != 'TRS')
        assert 0 < y < HEIGHT
    ordered = values.sort_values('value')
    heights = [found[f'{r.who}, {r.group}: {r.value:.4g} dB'][1] for r in ordered.itertuples()]
    assert heights == sorted(heights, reverse=True)


def test_the_highest_point_does_not_touch_the_text_above(values: pd.DataFrame) -> None:
    found = points(strip_picture(values, 'S/N', ['<HC> & "x"', 'TRS']))
    top = min(y for _, y in found.values()) - RADIUS
    descent = 0.3 * 10  # of a letter, of the size in page.css
    assert top > RANGE_AT + descent
    assert max(y for _, y in found.values()) + RADIUS < HEIGHT - 18 - 10, 'nor the one below'


def test_points_of_like_height_lie_beside_each_other() -> None:
    same = pd.DataFrame({'who': list('abcde'), 'group': 'HC', 'value': 1.0})
    assert len(set(points(strip_picture(same, 'x', ['HC'])).values())) == 5


def test_missing_values_and_people_without_group_are_left_out(values: pd.DataFrame) -> None:
    values.loc[0, 'value'] = np.nan
    values.loc[1, 'group'] = None
    svg = strip_picture(values, 'S/N', ['<HC> & "x"', 'TRS'])
    assert len(points(svg)) == 58
    assert svg.count('n = 29') == 2
    empty = strip_picture(values.iloc[:0], 'none', ['HC'])
    assert points(empty) == {}
