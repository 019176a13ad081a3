"""Figures stand in the page as text: the same picture in half of the bytes."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from bids_acc.report.html import Block, Section, image_block, render_page, svg_address

STYLE = re.compile(r'\.(\w+)\{([^}]*)\}')


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Draw a figure with many points, words that need care and a picture in it."""
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    rng = np.random.default_rng(3)
    left.scatter(*rng.normal(size=(2, 200)), c=['#0072b2', '#d55e00'] * 100, alpha=0.5)
    left.set_title('Cohen\'s d < 0.5 & p > 5 % #1 "x" \\')
    left.set_xlabel('µ = $10^{-3}$ mm²/s')
    right.imshow(rng.random((20, 20)))
    path = tmp_path_factory.mktemp('svg') / 'a.svg'
    with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'x'}):
        figure.savefig(path)
    return path


def elements(text: str) -> list[tuple[str, str, dict[str, str]]]:
    """List what a picture draws, each element with the style that counts."""
    root = ET.fromstring(text)
    sheet = ' '.join(e.text or '' for e in root.iter() if e.tag.endswith('}style'))
    rules = dict(STYLE.findall(sheet))
    found = []
    for element in root.iter():
        tag = element.tag.partition('}')[2]
        if tag in ('metadata', 'RDF', 'Work', 'type', 'format', 'date', 'creator', 'Agent',
                   'title', 'style'):  # fmt: skip
            continue
        own = {k: ' '.join(v.split()) for k, v in element.attrib.items()}
        if 'class' in own:
            own['style'] = rules[own.pop('class')]
        found.append((tag, ' '.join((element.text or '').split()), own))
    return found


def test_the_picture_is_the_same(drawn):
    text = drawn.read_text(encoding='utf-8')
    kind, _, content = svg_address(text).partition(',')
    assert kind == 'data:image/svg+xml;charset=utf-8'
    assert elements(unquote(content)) == elements(text)


def test_it_is_much_shorter_than_base64(drawn):
    usual = len(base64.b64encode(drawn.read_bytes()))
    assert len(svg_address(drawn.read_text(encoding='utf-8'))) < 0.7 * usual


def test_no_sign_ends_the_address_the_attribute_or_the_tag(drawn):
    address = svg_address(drawn.read_text(encoding='utf-8'))
    assert not set('"<>&#\n\\') & set(address)
    page = render_page('t', 's', [Section('F', [image_block(drawn, 'Figure')])])
    assert f'<img src="{address}" alt="Figure."' in page


def test_an_address_that_holds_signs_of_html_cannot_leave_its_attribute():
    block = Block(image='data:image/png;base64,x" onload="alert(1)<b>')
    page = render_page('t', 's', [Section('F', [block])])
    assert 'onload="' not in page
    assert '<b>' not in page


def test_a_drawing_without_a_style_sheet_or_with_classes_keeps_its_styles():
    plain = '<svg xmlns="x">' + '<g style="fill: red"/>' * 9 + '</svg>'
    assert unquote(svg_address(plain)).count("style='fill: red'") == 9
    own = plain.replace('<g', '<style>.a{}</style><g class="a"', 1)
    assert unquote(svg_address(own)).count("style='fill: red'") == 9
