"""Figures of the parcellation: what is drawn, not how it looks."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from bids_acc.group.parcels.figures import confidence_figure, rank_figure


def saved(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format='svg', metadata={'Date': None})
    return stream.getvalue()


@pytest.fixture
def curves():
    return pd.DataFrame(
        {
            'k': [2, 3, 4], 'stability': [0.9, 0.85, 0.6], 'stability_sd': [0.01, 0.02, 0.1],
            'matched_cosine': [0.95, 0.9, 0.8], 'full_gradient': [np.nan, -5, -1],
            'null_gradient': [np.nan, -2, -2],
        }
    )  # fmt: skip


def test_rank_figure_shows_every_cohort_and_marks_k(curves):
    figure = rank_figure({'a': curves, 'b': curves, 'too small': pd.DataFrame()}, 3)
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ['a', 'b']
    np.testing.assert_allclose(right.lines[0].get_ydata()[1:], [5, 1])
    assert any(np.array_equal(line.get_xdata(), [3, 3]) for line in left.lines)
    assert len(saved(figure)) < 400_000


def test_confidence_figure_leaves_out_vertices_without_parcel():
    figure = confidence_figure(np.array([0.5, 1.0, 0.2]), np.array([0, 0, -1]))
    (line,) = figure.axes[0].lines
    assert line.get_xdata().tolist() == [0.5, 1.0]
