"""Words of users in pictures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bids_acc.report.figures import save_figure


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
