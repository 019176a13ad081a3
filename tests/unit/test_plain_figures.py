"""Words of users in pictures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from bids_acc.report.figures import (
    COLUMN_MM,
    LEAST_PT,
    PAPER,
    PAPER_DPI,
    save_figure,
    save_for_paper,
)


@pytest.mark.parametrize(
    'word', [r'$\frac$', r'$\alpha', '$5 to $6', '{', '^_', 'a' * 200, '=1+1']
)
def test_a_word_is_drawn_as_it_is_written(word, tmp_path):
    figure = Figure(layout='constrained')
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=word)
    axes.set_xticks([0, 1], [word, 'HC'])
    axes.set_title(word)
    axes.legend()
    text = save_figure(figure, tmp_path / 'a.svg').read_text()
    assert (word if len(word) < 100 else f'{word[:40]} … {word[:16]}') in text


def test_numbers_at_axes_are_still_numbers(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    axes.plot(np.logspace(-3, 3, 7))
    axes.set_yscale('log')
    text = save_figure(figure, tmp_path / 'a.svg').read_text()
    assert '>$' not in text  # TeX as it stands; Matplotlib notes its own in a comment


def test_a_paper_gets_pdf_and_png_of_a_columns_width_the_same_each_time(tmp_path):
    def drawn(folder, width):
        figure = Figure(figsize=(width, 3))
        figure.subplots().plot([0, 1])
        path = save_for_paper(figure, folder / 'a.svg')
        assert tuple(figure.get_size_inches()) == (width, 3), 'the page has its own size'
        return path.parent / PAPER

    first, second = drawn(tmp_path / '1', 9.6), drawn(tmp_path / '2', 9.6)
    for name in ('a.pdf', 'a.png'):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    pixels = imread(first / 'a.png').shape[1]
    assert pixels / PAPER_DPI * 25.4 == pytest.approx(COLUMN_MM[1], abs=0.1)
    narrow = drawn(tmp_path / '3', 4.0)
    assert imread(narrow / 'a.png').shape[1] / PAPER_DPI * 25.4 == pytest.approx(
        COLUMN_MM[0], abs=0.1
    )
    assert b'/CIDFontType2' in (first / 'a.pdf').read_bytes(), 'text can be edited'


def test_text_of_a_wide_figure_shrinks_with_it_but_stays_readable(tmp_path):
    figure = Figure(figsize=(14.4, 3))
    axes = figure.subplots()
    large, small = axes.text(0, 0, 'a', fontsize=12), axes.text(1, 1, 'b', fontsize=6)
    (line,) = axes.plot([0, 1], marker='o', markersize=8)
    seen = []
    axes.text(0.5, 0.5, '').draw = lambda *_: seen.append(
        (figure.get_size_inches()[0], large.get_fontsize(), small.get_fontsize(),
         line.get_markersize())
    )  # fmt: skip
    save_for_paper(figure, tmp_path / 'a.svg')
    width, *sizes = seen[-1]
    factor = COLUMN_MM[1] / 25.4 / 14.4
    assert width == pytest.approx(14.4 * factor)
    assert sizes == pytest.approx([12 * factor, LEAST_PT, 8 * factor])
    assert [large.get_fontsize(), small.get_fontsize(), line.get_markersize()] == [12, 6, 8]
