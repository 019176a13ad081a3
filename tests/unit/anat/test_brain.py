"""Brain extraction on arrays: around the networks, choice of a start, bounds, given masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_acc.anat import brain
from bids_acc.anat.brain import BRAIN_ML, BrainMask, find_brain, find_in_stripped, given_brain
from bids_acc.anat.brain_network import (
    BOX_SHAPE,
    BRAIN_SHAPE,
    DEVIATION,
    MEAN,
    BrainNetworks,
    box_with_margin,
    intensity_limits,
    largest_part,
    nearest_resampled,
    network_brain,
    normalised,
)
from bids_acc.anat.brain_registration import AffineFit, best_fit, carried_outline, head_box
from bids_acc.anat.brain_weights import load_networks, weights_record
from bids_acc.anat.quality import unusual
from bids_acc.exceptions import ComputationError, InputDataError
from bids_acc.images.volumes import BARED_CM2, bared_area

GRID = np.array([[3.0, 0, 0, -105], [0, 3, 0, -125], [0, 0, 3, -105], [0, 0, 0, 1]])
SHAPE = (70, 80, 70)


def distance() -> np.ndarray:
    """Return the distance of each voxel from the centre of a grid of 3 mm, in mm."""
    index = np.indices(SHAPE).reshape(3, -1).T
    points = index @ GRID[:3, :3].T + GRID[:3, 3]
    return np.linalg.norm(points, axis=1).reshape(SHAPE)


def by_threshold(low: float) -> BrainNetworks:
    """Return networks that take all that is brighter than a level, of intensities as they see."""
    return BrainNetworks(*[lambda x: (x > low).astype(np.float32)] * 2)


@pytest.fixture
def head() -> np.ndarray:
    """Return a bright ball of 66 mm (1204 mL) in a fainter one."""
    return np.select([distance() < 66, distance() < 90], [100.0, 30.0], 0.0)


def fit_of(volume: float, information: float) -> AffineFit:
    scale = np.cbrt(volume)
    return AffineFit(np.diag([scale, scale, scale, 1.0]), information)


def test_resampling_keeps_the_field_of_view(rng: np.random.Generator) -> None:
    data = rng.random((7, 12, 5))
    assert np.array_equal(nearest_resampled(data, data.shape), data)
    twice = nearest_resampled(data, (14, 24, 10))
    assert np.array_equal(twice[1::2, ::2, 1::2], data)
    assert np.array_equal(nearest_resampled(twice, data.shape), data)


def test_intensities_are_normalised_whatever_their_unit(rng: np.random.Generator) -> None:
    data = rng.gamma(2.0, 1.0, (20, 20, 20))
    seen = normalised(data, *intensity_limits(data))
    assert (seen.mean(), seen.std()) == pytest.approx((MEAN, DEVIATION), abs=1e-4)
    again = normalised(700 * data - 40, *intensity_limits(700 * data - 40))
    assert again == pytest.approx(seen, abs=1e-3)
    with pytest.raises(ValueError, match='constant'):
        intensity_limits(np.ones((9, 9, 9)))


def test_box_reaches_a_tenth_beyond_the_brain_and_not_beyond_the_image() -> None:
    mask = np.zeros((128, 128, 128), dtype=bool)
    mask[40:80, 0:50, 100:128] = True
    x, y, z = box_with_margin(mask, (256, 128, 64))
    assert (x.start, x.stop) == (72, 168)
    assert (y.start, y.stop) == (0, 55)
    assert z.stop == 64
    with pytest.raises(ValueError, match='no brain'):
        box_with_margin(np.zeros((8, 8, 8)), (8, 8, 8))


def test_the_brain_is_one_part_without_holes(head: np.ndarray) -> None:
    head[35:37, 40:42, 35:37] = 0
    head[4:9, 4:9, 4:9] = 100
    found = network_brain(head, by_threshold(MEAN + DEVIATION))
    assert np.array_equal(found, distance() < 66)
    assert not largest_part(np.zeros((3, 3, 3))).any()


def test_weights_are_those_of_the_record(tmp_path: Path) -> None:
    record = weights_record()
    assert (record['Name'], record['License'], len(record['SHA256'])) == ('deepbet', 'MIT', 2)
    networks = load_networks()
    small = networks.box(np.zeros((32, 64, 32), dtype=np.float32))
    assert small.shape == (32, 64, 32)
    assert 0 <= small.min() <= small.max() <= 1
    for name in record['SHA256']:
        (tmp_path / name).write_bytes(b'something else')
    with pytest.raises(ComputationError, match='install bids_acc again'):
        load_networks(tmp_path)
    assert BOX_SHAPE[0] % 32 == BRAIN_SHAPE[0] % 32 == 0


def test_of_the_fits_with_the_scale_of_a_head_the_most_alike_is_taken() -> None:
    shrunk, right, other, blown = (
        fit_of(0.3, 0.9), fit_of(0.8, 0.5), fit_of(0.9, 0.4), fit_of(1.4, 0.8),
    )  # fmt: skip
    assert best_fit([shrunk, right, other, blown]) is right
    assert best_fit([shrunk, blown]) is None
    assert fit_of(1.05, 0).plausible


def test_outline_lies_where_the_fit_puts_it() -> None:
    fit = fit_of(0.7, 0)
    shifted = AffineFit(fit.matrix + np.array([[0, 0, 0, 12.0], [0] * 4, [0] * 4, [0] * 4]), 0)
    still, moved = (carried_outline(f, SHAPE, GRID) for f in (fit, shifted))
    assert np.array_equal(moved[4:], still[:-4])
    assert 1100 < still.sum() * 0.027 < 1500


@pytest.mark.parametrize('neck', [0, 60])
def test_the_neck_is_cut_off(neck: int) -> None:
    data = np.pad(np.where(distance() < 87, 100.0, 0.0), [(0, 0), (0, 0), (neck, 0)])
    data[30:40, 30:50, : neck + 20] = 90
    box = head_box(data, GRID)
    top = neck + 64
    assert box[2].stop == pytest.approx(top, abs=1)
    assert box[2].start == pytest.approx(top - 175 / 3, abs=2)


def test_networks_are_believed_within_the_bounds_of_a_brain(
    head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a brain or a whole head from the networks: registration takes their place."""
    right = distance() < 66
    monkeypatch.setattr(brain, 'compared', lambda *_, **__: 0.9)
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [fit_of(0.7, 1.0)])
    monkeypatch.setattr(brain, '_seen_by_networks', lambda *_: right)
    found = find_brain(head, GRID, tmp_path)
    assert (found.method, found.agreement) == ('network', 0.9)
    for radius in (55, 90):
        monkeypatch.setattr(brain, '_seen_by_networks', lambda *_, r=radius: distance() < r)
        found = find_brain(head, GRID, tmp_path)
        assert found.method == 'registration'
        assert found.agreement < 0.85
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [fit_of(1.4, 1.0)])
    with pytest.raises(InputDataError, match=r'found 3\d+ mL, registration found no brain.*mask'):
        find_brain(head, GRID, tmp_path)


def test_half_a_head_is_named_as_that(
    head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = distance() < 66
    half[: SHAPE[0] // 2] = False
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [])
    monkeypatch.setattr(brain, '_seen_by_networks', lambda *_: half)
    with pytest.raises(InputDataError, match=r'flat face of 1\d\d cm2: .* a part of the head'):
        find_brain(head, GRID, tmp_path)


def test_what_is_larger_than_a_brain_is_not_called_a_part_of_a_head(
    head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that stands on its top: the networks take neck and face, flat at the image's side."""
    much = distance() < 95
    much[..., : SHAPE[2] // 3] = False
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [])
    monkeypatch.setattr(brain, '_seen_by_networks', lambda *_: much)
    with pytest.raises(InputDataError, match=r'stands upright') as refused:
        find_brain(head, GRID, tmp_path)
    assert brain.volume_ml(much, GRID) > 2100
    assert 'a part of the head' not in str(refused.value)


def test_a_brain_that_was_erased_in_part_is_flagged(head: np.ndarray) -> None:
    """Defacing that went through the brain, askew: no flat face, but brain beside nothing."""
    right = distance() < 66
    assert bared_area(head, right, (3, 3, 3)) < 1
    _, y, z = np.indices(SHAPE)
    erased = y + z > 0.6 * (SHAPE[1] + SHAPE[2])
    cut = np.where(erased, 0, head)
    area = bared_area(cut, right & ~erased, (3, 3, 3))
    assert area > 2 * BARED_CM2
    assert any('erased' in flag for flag in unusual({'bared_cm2': area}))
    assert not any('bared' in flag for flag in unusual({'bared_cm2': float('nan')}))


def test_a_second_method_is_asked_again_before_it_disagrees(
    head: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = carried_outline(fit_of(0.7, 0), SHAPE, GRID)
    monkeypatch.setattr(brain, 'fit_from_mask', lambda *_, **__: fit_of(1.4, 1.0))
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [fit_of(0.7, 0.5)])
    assert brain.compared(head, GRID, right, tmp_path) > 0.98
    shifted = np.roll(right, 10, axis=2)
    assert brain.compared(head, GRID, shifted, tmp_path) < 0.85
    monkeypatch.setattr(brain, 'template_fits', lambda *_, **__: [fit_of(1.4, 0.5)])
    assert np.isnan(brain.compared(head, GRID, right, tmp_path))


def test_a_head_on_zeros_is_no_stripped_brain(
    head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain, 'load_networks', lambda: by_threshold(MEAN + DEVIATION))
    found = find_in_stripped(head, GRID)
    assert found.method == 'network'
    assert found.mask.sum() == pytest.approx((distance() < 66).sum(), rel=0.02)
    sure = find_in_stripped(head, GRID, sure=True)
    assert (sure.method, sure.mask.sum()) == ('background', (distance() < 90).sum())
    assert sure.agreement < 0.85
    only_brain = find_in_stripped(np.where(distance() < 66, head, 0), GRID)
    assert only_brain.method == 'background'
    assert only_brain.agreement > 0.95


def test_given_mask_is_carried_to_the_grid_of_the_image(
    head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = distance() < 66
    monkeypatch.setattr(brain, '_seen_by_networks', lambda *_: right)
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    found = given_brain(head, GRID, 255 * right[::-1].astype(np.uint8), GRID @ flip)
    assert isinstance(found, BrainMask)
    assert (found.method, found.agreement) == ('given', 1.0)
    elsewhere = GRID.copy()
    elsewhere[:3, 3] += 150
    with pytest.raises(InputDataError, match='same space'):
        given_brain(head, GRID, right, elsewhere)
    assert BRAIN_ML[0] < right.sum() * 0.027 < BRAIN_ML[1]


def test_masks_of_other_kinds_are_understood_or_refused_with_the_reason(
    head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = distance() < 66
    monkeypatch.setattr(brain, '_seen_by_networks', lambda *_: right)
    smooth = np.clip(0.5 + (66 - distance()) / 40, 0.001, 0.999)  # nowhere quite without brain
    labels = np.where(right, np.where(distance() < 40, 41, 3), 0)
    for given in (smooth, labels, right[..., None], np.where(right, 1, np.nan)):
        assert given_brain(head, GRID, given, GRID).agreement > 0.99
    with pytest.raises(InputDataError, match='inverted'):
        given_brain(head, GRID, ~right, GRID)
    with pytest.raises(InputDataError, match='one volume'):
        given_brain(head, GRID, np.stack([right, right], axis=-1), GRID)


def test_noise_is_no_brain_whatever_found_one(rng: np.random.Generator) -> None:
    """The networks find 2000 mL in a ball of noise; thick slices are alike within the slice."""
    axis = np.arange(40) - 19.5
    ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < 17**2
    noise = np.where(ball, rng.uniform(400, 600, ball.shape), 5)
    with pytest.raises(InputDataError, match=r'head\.nii: this is noise and no brain'):
        brain.check_coherent(noise, ball, 'head.nii')
    with pytest.raises(InputDataError, match='nan'):
        brain.check_coherent(np.ones_like(noise), ball, 'head.nii')
    slices = np.repeat(np.repeat(rng.normal(size=(14, 14, 40)), 3, 0), 3, 1)[:40, :40]
    brain.check_coherent(slices, ball, 'head.nii')
