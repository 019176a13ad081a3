"""Quality figures of a T1w image and its surfaces (arrays), and which of them are unusual."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from bids_acc.anat.segmentation import UNEQUAL
from bids_acc.images.volumes import BARED_CM2, CUT_CM2, FORM_GAP_MM
from bids_acc.typing import BoolArray

EXPECTED: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        'gap_share': (0.0, 0.001),
        'brain_ml': (800.0, 2000.0),
        'brain_agreement': (0.85, 1.0),
        'rim_dark_share': (0.2, 1.0),
        'cut_cm2': (0.0, CUT_CM2),
        'field_of_view_share': (0.98, 1.0),
        'registration_dice': (0.90, 1.0),
        'gm_share': (0.30, 0.65),
        'gm_wm_ratio': (0.8, 1.7),
        'euler_wm': (-2000.0, 2.0),
        'cnr': (1.5, math.inf),
        'snr_wm': (8.0, math.inf),
        'spread_ratio': (0.0, UNEQUAL),
        'in_brain_share_L': (0.95, 1.0),
        'in_brain_share_R': (0.95, 1.0),
        'boundary_contrast_L': (0.08, 0.6),
        'boundary_contrast_R': (0.08, 0.6),
        'clamped_share_L': (0.0, 0.10),
        'clamped_share_R': (0.0, 0.10),
        'intersecting_share_L': (0.0, 0.005),
        'intersecting_share_R': (0.0, 0.005),
        'thickness_median_L': (1.8, 3.7),
        'thickness_median_R': (1.8, 3.7),
        'thickness_outside_share_L': (0.0, 0.15),
        'thickness_outside_share_R': (0.0, 0.15),
        'roi_thickness_mean_L': (1.5, 4.5),
        'roi_thickness_mean_R': (1.5, 4.5),
        'roi_defined_share_L': (0.9, 1.0),
        'roi_defined_share_R': (0.9, 1.0),
    }
)
"""Lowest and highest usual value. They are set wide, to catch failures and not diversity: the
share of intersecting faces is the accuracy this project asks of itself; the others were chosen
around adult brains of 800-2000 mL and cortex of 2-4 mm. GM is 1.0 to 1.4
times WM in seven real heads; with a border of the two in the midst of white matter it was 1.6 to
1.8 in three of them, and 2.1 in a head whose own FreeSurfer labels say about 1."""
ACC_LABELS = frozenset({'caudalanteriorcingulate', 'rostralanteriorcingulate'})
"""Labels of the anterior cingulate."""
ACC_THICKNESS_MM = (2.3, 3.5)
"""Usual mean thickness of a region made of these labels only; other regions may be as thin as
visual cortex or as thick as the temporal pole."""

EXPECTED_OF_OTHERS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {'roi_defined_share_L': (0.65, 1.0), 'roi_defined_share_R': (0.65, 1.0)}
)
"""The same for surfaces that other software made, where it differs: 16-28 % of the cingulate
labels of FreeSurfer lie on the medial wall, without a thickness."""
THICKNESS_RANGE_MM = (1.0, 5.0)
"""Cortex is 1 to 4.5 mm thick (Fischl and Dale 2000); partial volume adds to that."""
RIM_MM, DEEP_MM, RIM_UPPER = 2.0, 8.0, 0.6
"""Depth of the rim of a brain mask, depth below which white matter is the rule, and the share of
the mask's height that is looked at: at its base lie brain stem and cerebellum. Own convention."""
MEANING: Mapping[str, str] = MappingProxyType(
    {
        'rim_dark_share': 'cortex is missing at the rim of the brain mask, which was cut too '
        'tightly; use a whole head, or a wider mask (--anat-brain-mask)',
        'cut_cm2': 'the field of view cuts the brain off, and surfaces near the cut are made up',
        'field_of_view_share': 'part of the brain lies outside the image',
    }
)
"""What is wrong with an image where a figure is unusual, and what to do about it."""


def contrast_to_noise(means: npt.ArrayLike, deviations: npt.ArrayLike) -> tuple[float, float]:
    r"""Return the contrast-to-noise ratio of GM and WM, and the signal-to-noise ratio of WM.

    .. math::
        \mathrm{CNR} = \frac{\mu_{WM} - \mu_{GM}}{\sqrt{(\sigma_{WM}^2 + \sigma_{GM}^2)/2}},
        \qquad \mathrm{SNR} = \mu_{WM} / \sigma_{WM}

    Higher is better. The deviations hold the tissue's own variety besides the noise.

    Parameters
    ----------
    means, deviations : (3,) array_like
        Of GM, WM and CSF.

    Returns
    -------
    cnr, snr : float
        NaN where a deviation is zero.
    """
    (grey, white, _), (grey_sd, white_sd, _) = np.asarray(means), np.asarray(deviations)
    noise = math.sqrt((grey_sd**2 + white_sd**2) / 2)
    return (
        float((white - grey) / noise) if noise > 0 else math.nan,
        float(white / white_sd) if white_sd > 0 else math.nan,
    )


def rim_dark_share(
    intensity: npt.ArrayLike, mask: npt.ArrayLike, voxel_sizes: npt.ArrayLike
) -> float:
    """Return how much of the rim of a brain mask is dark: fluid, and voxels half filled by it.

    A mask that follows the brain has a rim of CSF and cortex; one that was cut too tightly ends
    in cortex or white matter. Dark is what has less than half of white matter's intensity. In
    the upper part of six real heads .51 to .74 of the rim are dark, .26 to .34 where 2 mm were
    taken off, as stripping tools do that leave no fluid, and .12 to .19 where 4 mm of cortex were
    lost; of two more, one with a stroke and wide sulci and one with voxels of 0.7 mm, .94, .65 to
    .80 and .42 to .55: what is cut off of such brains is not seen (``python
    tests/benchmarks/real_heads.py --eroded``).

    Parameters
    ----------
    intensity : (nx, ny, nz) array_like
        Bias-corrected T1w intensities, axes nearest to right, anterior, superior.
    mask : (nx, ny, nz) array_like of bool
        Brain. Where it ends at a side of the image, there is no rim.
    voxel_sizes : (3,) array_like
        In mm.

    Returns
    -------
    float
        NaN where the mask is nowhere deep.
    """
    inside, sizes = np.asarray(mask, dtype=bool), np.asarray(voxel_sizes, dtype=float)
    boxes = ndimage.find_objects(inside.astype(np.uint8))
    if not boxes:
        return math.nan
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in boxes[0])
    inside, values = inside[box], np.asarray(intensity, dtype=float)[box]
    depth = ndimage.distance_transform_edt(inside, sampling=sizes)
    deep = values[depth > DEEP_MM]
    if not deep.size or inside.all():
        return math.nan
    upper = depth[..., int((1 - RIM_UPPER) * depth.shape[2]) :]
    rim = (upper > 0) & (upper <= max(RIM_MM, float(sizes.max())))
    white = float(np.quantile(deep, 0.75))
    found = values[..., depth.shape[2] - upper.shape[2] :][rim]
    return float((found < white / 2).mean()) if found.size else math.nan


def boundary_contrast(inner: npt.ArrayLike, outer: npt.ArrayLike) -> float:
    r"""Return the contrast across a surface between white and grey matter.

    .. math:: 2 (\tilde I_{in} - \tilde I_{out}) / (\tilde I_{in} + \tilde I_{out})

    with medians over the vertices. About 0.2 to 0.4 in a T1w image; near zero where the surface
    does not lie at the boundary at all. FreeSurfer's per cent contrast (Salat et al. 2009,
    NeuroImage 48:21-28, https://doi.org/10.1016/j.neuroimage.2009.03.074) is the same at each
    vertex.

    Parameters
    ----------
    inner, outer : (n,) array_like
        Intensities on the white matter's side and in the cortex.

    Returns
    -------
    float
        NaN without a vertex, or where both medians are zero.
    """
    inner, outer = np.asarray(inner, dtype=float), np.asarray(outer, dtype=float)
    if not inner.size or not outer.size:
        return math.nan
    inside, outside = float(np.median(inner)), float(np.median(outer))
    total = inside + outside
    return 2 * (inside - outside) / total if total > 0 else math.nan


def thickness_distribution(thickness: npt.ArrayLike) -> dict[str, float]:
    """Return quantiles of thickness, and how much of it is beyond what cortex can be.

    Parameters
    ----------
    thickness : (n_vertices,) array_like
        In mm, NaN where undefined.

    Returns
    -------
    dict of str to float
        ``thickness_p05``, ``thickness_median``, ``thickness_p95`` in mm, and
        ``thickness_outside_share``, the share beyond `THICKNESS_RANGE_MM`; NaN without a value.
    """
    values = np.asarray(thickness, dtype=float)
    values = values[np.isfinite(values)]
    names = ('thickness_p05', 'thickness_median', 'thickness_p95', 'thickness_outside_share')
    if not values.size:
        return dict.fromkeys(names, math.nan)
    low, high = THICKNESS_RANGE_MM
    outside = float(((values < low) | (values > high)).mean())
    return dict(
        zip(names, [*np.quantile(values, (0.05, 0.5, 0.95)).tolist(), outside], strict=True)
    )


def unusual(
    figures: Mapping[str, float], source: str = 'builtin', region: Collection[str] = ()
) -> list[str]:
    """Say which figures lie outside their usual range; a missing or NaN figure does too.

    Parameters
    ----------
    figures : mapping
        Name to value.
    source : str
        Where the surfaces come from; see `EXPECTED_OF_OTHERS`.
    region : collection of str
        Labels that make up the region of interest; its mean thickness is judged more strictly
        where they are those of the anterior cingulate.

    Examples
    --------
    >>> [text for text in unusual({'brain_ml': 400.0}) if 'brain_ml' in text]
    ['brain_ml 400 (usual: 800 to 2000)']
    >>> thick = {'roi_thickness_mean_L': 3.7}
    >>> [text for text in unusual(thick, region=ACC_LABELS) if 'mean_L' in text]
    ['roi_thickness_mean_L 3.7 (usual: 2.3 to 3.5)']
    """
    usual = {**EXPECTED, **({} if source == 'builtin' else EXPECTED_OF_OTHERS)}
    if region and set(region) <= ACC_LABELS:
        usual |= {f'roi_thickness_mean_{hemi}': ACC_THICKNESS_MM for hemi in 'LR'}
    found = []
    for name, (low, high) in usual.items():
        value = figures.get(name, math.nan)
        if not low <= value <= high:
            meaning = f': {MEANING[name]}' if name in MEANING else ''
            found.append(f'{name} {value:.4g} (usual: {low:g} to {high:g}){meaning}')
    # n/a where there is no head around the brain, which is nothing unusual
    bared = figures.get('bared_cm2', math.nan)
    if bared > BARED_CM2:
        found.append(
            f'bared_cm2 {bared:.4g} (usual: 0 to {BARED_CM2:g}): a part of the brain seems to be '
            'erased, as by defacing, and surfaces near there are made up'
        )
    gap = figures.get('form_gap_mm', math.nan)
    if gap > FORM_GAP_MM:
        found.append(f'sform and qform place the image {gap:.3g} mm apart; sform was used')
    return found


def weakly_supported(
    supported: BoolArray,
    links: sparse.csr_array,
    n_rounds: int = 3,
    least: float = 0.2,
) -> BoolArray:
    """Tell which vertices saw no boundary and have hardly a neighbour that did.

    Parameters
    ----------
    supported : (n_vertices,) ndarray of bool
        Whether the vertex saw its boundary.
    links : (n_vertices, n_vertices) csr_array
        See `bids_acc.surfaces.neighbours.neighbour_mean`.
    n_rounds : int
        How many rings count.
    least : float
        Share of supported vertices around that is enough.

    Returns
    -------
    (n_vertices,) ndarray of bool
        Vertices whose place is a guess: their thickness is undefined.
    """
    share = supported.astype(float)
    for _ in range(n_rounds):
        share = links @ share
    return ~supported & (share < least)
