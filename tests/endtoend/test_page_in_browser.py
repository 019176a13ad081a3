"""Pages in a real browser: nothing asked of the network, nothing lost in print, usable by all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bids_acc.group.cohort.exclusions import read_verdicts
from bids_acc.report.html import Block, Section, image_block, render_page, table_block
from bids_acc.report.surface_view import SurfaceMap, mesh_content, viewer_content
from bids_acc.surfaces.inflated import InflatedHemisphere, inflated_template
from tests.synthetic.browser import check_page, needs_browser, opened, started
from tests.synthetic.surfaces import spiral_sphere

pytestmark = needs_browser


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    """Return headless Chromium."""
    with started() as running:
        yield running


def surface_block(surfaces=None) -> Block:
    """Return a map that is 1 in front and 2 behind, and its still picture."""
    both = surfaces or inflated_template()
    size = len(both['L'].vertices)
    values = {side: np.where(own.vertices[:, 1] > 0, 1.0, 2.0) for side, own in both.items()}
    outline = {side: own.labels == 27 for side, own in both.items()}
    pixel = (
        'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5E'
        'rkJggg=='
    )
    return Block(
        title='Surface', caption='A map.', image=f'data:image/png;base64,{pixel}',
        viewer=viewer_content(
            [SurfaceMap('thickness', values, 'mm', n_vertices=size)], outline, surfaces
        ),
        surfaces=mesh_content(surfaces) if surfaces else '',
    )  # fmt: skip


def own_mesh() -> dict[str, InflatedHemisphere]:
    """Return spheres with more vertices than the template, the faces of the right turned."""
    points, faces = spiral_sphere(12000)
    none = np.zeros(len(points), dtype=np.int64)
    sulcus = points[:, 2] < 0
    place = 60 * points / np.linalg.norm(points, axis=1, keepdims=True)
    return {
        side: InflatedHemisphere(place, own, sulcus, none, {0: 'a region of the mesh'})
        for side, own in (('L', faces), ('R', np.roll(faces, 1, axis=1)))
    }


@pytest.fixture(scope='module')
def page_file(tmp_path_factory) -> Path:
    """Write a page with every kind of block: long words, wide and long tables, a figure."""
    folder = tmp_path_factory.mktemp('page')
    svg = folder / 'figures' / 'a b.svg'
    svg.parent.mkdir()
    svg.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="900" height="200"></svg>')
    table = folder / 'long.tsv'
    table.write_text('response\n')
    rows = 300
    long = pd.DataFrame(
        {
            'response': [f'thickness of parcel {i}' for i in range(rows)],
            'p': np.random.default_rng(1).permutation(rows) / rows,
            'verdict': ['pass', 'fail'] * (rows // 2),
            'a_name_without_any_blank_in_it_that_is_long': ['x' * 40] * rows,
        }
    )
    wide = pd.DataFrame({f'column {i}': [1.5 * i, np.nan] for i in range(25)})
    sections = [
        Section('Summary', [Block(paragraphs=['a' * 300]), table_block(wide, 'Wide', 'Words.')]),
        Section('Figures', [image_block(svg, 'Thickness', 'Mean of each group.')]),
        Section('Maps', [surface_block()]),
        Section('Own mesh', [surface_block(own_mesh())]),
        Section('Rating', [Block(rating=('sub-01', (('ses-1', 'anat'), ('ses-1', 'mrs'))))]),
        Section('Tables', [table_block(long, 'Long', fold_above=16, file=table)]),
        *(Section(f'Section number {i}', [Block(paragraphs=['t'])]) for i in range(9)),
    ]
    path = folder / 'page.html'
    path.write_text(render_page('bids_acc <report>', 'sub & title', sections, folder))
    return path


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [400, 1280])
def test_no_serious_barrier_no_request_no_sideways_scrolling(browser, page_file, width, scheme):
    check_page(browser, page_file, width, scheme)


def test_the_page_says_the_same_without_script(browser, page_file):
    with_script, said = opened(browser, page_file)
    assert said == [], 'the script is let through by its hash'
    without, _ = opened(browser, page_file, java_script_enabled=False)
    assert 'thickness of parcel 299' in without.inner_text('main')
    assert without.get_by_text('Filter').count() == 0
    assert with_script.get_by_role('button', name='Copy Long (table)').count() == 1


def test_print_loses_no_row(browser, page_file):
    page, _ = opened(browser, page_file)
    page.emulate_media(media='print')
    hidden = page.evaluate(
        """[...document.querySelectorAll('td')].filter(cell => {
            const box = cell.closest('.wide').getBoundingClientRect();
            const own = cell.getBoundingClientRect();
            return own.height === 0 || own.bottom > box.bottom + 1;
        }).length"""
    )
    assert hidden == 0
    page.set_viewport_size({'width': 680, 'height': 1000})  # A4 with margins, at 96 dpi
    cut = """[...document.querySelectorAll('td, th, img')].filter(
        cell => cell.getBoundingClientRect().right > window.innerWidth).length"""
    assert page.evaluate(cut) == 0
    page.set_viewport_size({'width': 1280, 'height': 720})
    page.emulate_media(media='screen')
    assert page.evaluate("document.querySelector('.long').clientHeight") < 600


def test_tables_are_sorted_filtered_and_linked(browser, page_file):
    page, _ = opened(browser, page_file)
    table = page.get_by_role('region', name='Long (table)')
    values = 'rows => rows.filter(r => !r.hidden).map(r => r.cells[1].textContent)'
    table.get_by_role('button', name='p', exact=True).click()
    ascending = table.locator('tbody tr').evaluate_all(values)
    assert ascending == sorted(ascending, key=float)
    table.get_by_role('button', name='p', exact=True).click()
    assert table.locator('tbody tr').evaluate_all(values) == ascending[::-1]
    page.get_by_role('searchbox', name='Filter rows of Long (table)').fill('parcel 29')
    assert len(table.locator('tbody tr').evaluate_all(values)) == 11
    links = page.locator('main a').evaluate_all('all => all.map(a => a.getAttribute("href"))')
    assert 'long.tsv' in links
    assert 'figures/a%20b.svg' in links


def test_every_table_can_be_reached_and_scrolled_by_keyboard(browser, page_file):
    page, _ = opened(browser, page_file, viewport={'width': 400, 'height': 800})
    table = page.get_by_role('region', name='Wide (table)')
    table.focus()
    page.keyboard.press('ArrowRight')
    moved = 'document.activeElement.scrollLeft'
    assert any(page.evaluate(moved) or page.wait_for_timeout(100) for _ in range(50))


def test_a_page_of_20_megabytes_is_open_within_3_seconds_of_the_processor(browser, tmp_path):
    noise = np.random.default_rng(1)
    blocks = []
    for i in range(8):  # pictures that cannot be compressed, as scans
        path = tmp_path / f'scan{i}.png'
        plt.imsave(path, noise.integers(0, 256, (700, 900, 3), dtype=np.uint8))
        blocks.append(image_block(path, f'Scan {i}', 'Noise.'))
    long = pd.DataFrame({f'c{i}': noise.standard_normal(400) for i in range(12)})
    sections = [
        Section('Scans', blocks), Section('Maps', [surface_block()]),
        Section('Tables', [table_block(long, f'Table {i}') for i in range(6)]),
    ]  # fmt: skip
    path = tmp_path / 'large.html'
    path.write_text(render_page('large', '', sections, tmp_path))
    assert 19e6 < path.stat().st_size < 30e6
    page = browser.new_context(viewport={'width': 1280, 'height': 900}).new_page()
    session = page.context.new_cdp_session(page)
    # seconds of the processor and not of the clock: other work on the machine does not count
    session.send('Performance.enable', {'timeDomain': 'threadTicks'})
    page.goto(path.as_uri(), wait_until='load')
    found = {m['name']: m['value'] for m in session.send('Performance.getMetrics')['metrics']}
    assert 0 < found['TaskDuration'] < 3


@pytest.mark.slow  # drawn without a graphics card
def test_a_surface_is_turned_and_read_and_its_still_picture_stays_without_script(
    browser, page_file
):
    page, said = opened(browser, page_file, viewport={'width': 1000, 'height': 800})
    canvas = page.locator('.surface canvas').first
    page.locator('figure:has(+ .surface)').first.scroll_into_view_if_needed()  # drawn when seen
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    left_half = {'x': frame['width'] * 0.25, 'y': frame['height'] * 0.3}

    def told() -> str:
        canvas.hover(position=left_half)
        return page.locator('.surface output').first.inner_text()

    assert 'left' in told()
    spot = {'x': frame['width'] * 0.4, 'y': frame['height'] * 0.55}
    canvas.hover(position=spot)
    medial = page.locator('.surface output').first.inner_text()
    assert '1.00 mm' in medial, (
        'seen from the midline the left hemisphere has its front on the right'
    )
    page.get_by_role('button', name='lateral').first.click()
    canvas.hover(position={'x': spot['x'] + 1, 'y': spot['y']})
    assert '2.00 mm' in page.locator('.surface output').first.inner_text()
    canvas.focus()
    before = canvas.screenshot()
    for _ in range(4):
        page.keyboard.press('ArrowLeft')
    assert canvas.screenshot() != before
    assert said == []
    still = page.locator('figure.still img').first
    assert not still.is_visible()
    page.emulate_media(media='print')
    assert still.is_visible()
    assert not canvas.is_visible()
    without, _ = opened(browser, page_file, java_script_enabled=False)
    assert without.get_by_alt_text('Surface. A map.').first.is_visible()
    assert not without.locator('.surface').first.is_visible()


@pytest.mark.slow  # drawn without a graphics card
def test_a_mesh_of_its_own_is_drawn_and_read(browser, page_file):
    page, said = opened(browser, page_file, viewport={'width': 1000, 'height': 800})
    canvas = page.locator('.surface canvas').nth(1)
    page.locator('figure:has(+ .surface)').nth(1).scroll_into_view_if_needed()
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    read = []
    for share in (0.17, 0.33):  # behind and in front of the left half, seen from the midline
        canvas.hover(position={'x': frame['width'] * share, 'y': frame['height'] * 0.5})
        read.append(page.locator('.surface output').nth(1).inner_text())
    assert read == [f'left a region of the mesh: thickness {v:.2f} mm' for v in (2, 1)]
    assert said == []


def test_a_rating_becomes_the_table_that_the_group_level_reads(browser, page_file, tmp_path):
    page, said = opened(browser, page_file, accept_downloads=True)
    page.get_by_role('button', name='Download').click()
    assert page.get_by_text('Rate something first.').is_visible()
    page.get_by_label('Rater').fill('A  B')
    spectrum = page.get_by_role('group', name='ses-1 mrs')
    spectrum.get_by_label('exclude').check()
    spectrum.get_by_label('Reason').fill('lipids\tand more')
    with page.expect_download() as event:
        page.get_by_role('button', name='Download').click()
    assert event.value.suggested_filename == 'sub-01_exclude.tsv'
    (tmp_path / 'code').mkdir()
    event.value.save_as(tmp_path / 'code' / 'sub-01_exclude.tsv')
    verdicts = read_verdicts(None, tmp_path, {('sub-01', 'ses-1')})
    assert verdicts.table.to_numpy().tolist() == [
        ['sub-01', 'ses-1', 'mrs', 'lipids and more', 'A B']
    ]
    assert said == []


def test_a_figure_in_the_page_is_drawn_as_its_file_is(browser, tmp_path):
    """The page holds SVG without what draws nothing, its styles by name: no pixel differs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
    rng = np.random.default_rng(3)
    left.scatter(*rng.normal(size=(2, 90)), c=['#0072b2', '#d55e00', '#009e73'] * 30, alpha=0.5)
    left.set_title('Cohen\'s d < 0.5 & p > 5 % "x"')
    right.imshow(rng.random((9, 9)))
    file = tmp_path / 'a b.svg'
    with plt.rc_context({'svg.fonttype': 'none'}):
        figure.savefig(file)
    plt.close(figure)
    address = image_block(file, 'Figure').image
    assert len(address) < 0.6 * file.stat().st_size * 4 / 3
    shown = []
    for number, source in enumerate(('a%20b.svg', address)):
        page = tmp_path / f'{number}.html'
        page.write_text(f'<img src="{source}">', encoding='utf-8')
        opened_page, said = opened(browser, page)
        assert said == []
        assert opened_page.evaluate('document.images[0].naturalWidth') > 400
        shown.append(opened_page.locator('img').screenshot())
    assert shown[0] == shown[1]


def test_two_halves_of_a_figure_lie_over_each_other(browser, tmp_path):
    """The address of the figure is taken into a style sheet by the script."""
    figure = Figure(figsize=(6, 4))
    for half, colour in ((0, 'red'), (1, 'blue')):
        axes = figure.add_axes((0, 0.5 - 0.5 * half, 1, 0.5), facecolor=colour)
        axes.set(xticks=[], yticks=[])
        axes.text(0.1, 0.5, 'Cohen\'s (d) \\ "x"')
    file = tmp_path / 'f.svg'
    figure.savefig(file)
    path = tmp_path / 'page.html'
    block = replace(image_block(file, 'Two', 'One over the other.'), frames=True)
    path.write_text(render_page('t', 's', [Section('F', [block])], tmp_path), encoding='utf-8')
    page, said = opened(browser, path)
    assert said == []
    page.locator('.overlay').wait_for()
    shown = plt.imread(BytesIO(page.locator('.overlay').screenshot()))
    rows, columns, _ = shown.shape
    left, right = (shown[3 * rows // 4, int(share * columns)] for share in (0.25, 0.75))
    assert left[:3].tolist() == [1, 0, 0], 'the upper half'
    assert right[:3].tolist() == [0, 0, 1], 'the lower half'
