"""Whether an estimated susceptibility field is used: only where it makes images more alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from bids_acc.exceptions import BidsAccError
from bids_acc.typing import FloatArray


class ShiftSizes(TypedDict):
    """How far the brain's signal is displaced along the phase encoding, mm."""

    sdc_shift_mean: float
    """Mean of the absolute value."""
    sdc_shift_p95: float
    """Its 95th percentile."""


class FieldReport(ShiftSizes):
    """What an estimated field says of itself, as the tables of quality name it."""

    sdc_similarity_before: float
    """Likeness of the images inside the brain without the field."""
    sdc_similarity: float
    """The same with it: a correlation, or normalised mutual information."""
    sdc_finding: str
    """A sentence for the reader; empty where there is nothing to say."""


class PairReport(FieldReport):
    """What a field says of itself that two images of reversed phase encoding gave."""

    sdc_moved: float
    """Movement of the head between them, mm."""


@dataclass(frozen=True)
class UsedField:
    """A field after it was judged."""

    shift: FloatArray
    """(i, j, k) displacement along the phase encoding, mm; zero where it is not used."""
    used: bool
    report: FieldReport | None
    """What the estimate said; None where there was none."""
    finding: str
    """A sentence for the reader; empty where there is nothing to say."""


def judged_field(
    estimate: Callable[[], tuple[FloatArray, FieldReport]], shape: Sequence[int],
    least: float = 0.0,
) -> UsedField:  # fmt: skip
    """Estimate a field, and use it only where it makes the images more alike.

    A field map that cannot be used does not stop a series: it is measured with its distortion,
    and the finding says so.

    Parameters
    ----------
    estimate : callable
        Returns the displacement along the phase encoding, (i, j, k) in mm, and its report; may
        raise `BidsAccError`.
    shape : tuple of three int
        Voxels of the series.
    least : float
        Similarity with the field below which the images of reversed phase encoding do not show
        the same head; 0 where there are none.

    Returns
    -------
    UsedField
    """
    shift, report = np.zeros(tuple(shape)), None
    try:
        shift, report = estimate()
        finding = report['sdc_finding']
    except BidsAccError as error:
        finding = f'The field map could not be used ({error}).'
    used = report is not None and _is_better(report, least)
    if report is not None and least > 0 and report['sdc_similarity'] < least:
        finding = (
            'Images of reversed phase encoding do not show the same head (correlation '
            f'{report["sdc_similarity"]:.2f} with the field).'
        )
    if used:
        return UsedField(shift, True, report, finding)
    finding = f'{finding} Distortion was not corrected.'.strip()
    return UsedField(np.zeros(tuple(shape)), False, report, finding)


def _is_better(report: FieldReport, least: float) -> bool:
    """Tell whether a field makes images agree that show the same head; NaN does not."""
    similarity = report['sdc_similarity']
    return bool(similarity >= least and similarity > report['sdc_similarity_before'])
