"""Two images at the same places: what moves between the halves has moved between the images."""

from __future__ import annotations

import numpy as np
import pytest

from bids_acc.images.frames import Frame, cut, places_within
from bids_acc.report.figures import save_figure
from bids_acc.report.frame_figures import no_frames, two_frames

SHAPE = (40, 44, 38)


def ball(centre: tuple[float, float, float], radius: float = 9) -> np.ndarray:
    distance = np.linalg.norm(np.indices(SHAPE).T - np.array(centre), axis=-1).T
    return (distance < radius).astype(float)


def halves(path, first: Frame, second: Frame, places) -> tuple[np.ndarray, np.ndarray]:
    from matplotlib.image import imread

    pixels = imread(save_figure(two_frames(first, second, places), path))[..., 0]
    middle = pixels.shape[0] // 2
    titles = int(0.32 * 90) + 1  # the band with the words
    return pixels[titles:middle], pixels[middle + titles :]


def test_both_halves_show_the_same_places(tmp_path) -> None:
    """An image on another grid that is the same in space gives the same picture."""
    image, affine = ball((20, 22, 19)), np.eye(4)
    finer = np.diag([-1.0, 1, 1, 1])
    finer[0, 3] = SHAPE[0] - 1
    places = places_within(image, affine)
    same = halves(tmp_path / 'a.png', Frame('a', image, affine),
                  Frame('b', image[::-1], finer), places)  # fmt: skip
    rows = min(len(half) for half in same)
    assert np.abs(same[0][:rows] - same[1][:rows]).mean() < 0.01
    moved = halves(tmp_path / 'b.png', Frame('a', image, affine),
                   Frame('b', ball((20, 27, 19)), affine), places)  # fmt: skip
    assert np.abs(moved[0][:rows] - moved[1][:rows]).mean() > 0.03


def test_slices_pass_through_the_mask_and_are_of_one_size() -> None:
    mask, affine = ball((25, 15, 20)), np.diag([2.0, 1.0, 1.0, 1.0])
    places = places_within(mask, affine, (0.25, 0.75))
    assert len({points.shape for points in places.points}) == 1
    assert len(places.points) == 6
    for points in places.points:
        assert cut(mask, affine, points).max() > 0.5


def test_beyond_the_image_it_is_dark() -> None:
    points = np.full((3, 3, 3), 1000.0)
    assert (cut(ball((20, 22, 19)), np.eye(4), points) == 0).all()


def test_a_sentence_takes_the_place_of_two_frames(tmp_path) -> None:
    path = save_figure(no_frames('no field'), tmp_path / 'a.svg')
    assert 'no field' in path.read_text()


@pytest.mark.parametrize('field', [0.0, 2.0])
def test_a_field_of_zeros_corrects_nothing(tmp_path, field) -> None:
    """What is shown as before and after differs, or it is said that nothing was done."""
    import nibabel as nb

    from bids_acc.dwi.gradients import Gradients
    from bids_acc.dwi.interfaces.reportlets import PlotAlignment

    image = ball((20, 22, 19)) * np.linspace(1, 2, SHAPE[1])[None, :, None]
    names = {}
    for name, data in {'reference': image, 't1w': image, 'grey': 0.5 * ball((20, 22, 19)),
                       'white': 0.5 * ball((20, 22, 19)), 'csf': 0 * image,
                       'warp': np.full(SHAPE, field)}.items():  # fmt: skip
        nb.Nifti1Image(data.astype(np.float32), np.eye(4)).to_filename(tmp_path / f'{name}.nii')
        names[name] = str(tmp_path / f'{name}.nii')
    np.save(tmp_path / 'identity.npy', np.eye(4))
    gradients = tmp_path / 'gradients.tsv'
    one = np.ones(1)
    Gradients(
        0 * one, np.zeros((1, 3)), np.array([[0.0, 1.0, 0.0]]), np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64), one,
    ).write(gradients)  # fmt: skip
    done = PlotAlignment(
        reference=names['reference'], gradients=str(gradients), t1w=names['t1w'],
        tpms=[names['grey'], names['white'], names['csf']], warp=names['warp'],
        coregistration=str(tmp_path / 'identity.npy'),
        report={'coreg_dice': 0.9, 'coreg_nmi': 1.1},
    ).run(cwd=str(tmp_path)).outputs  # fmt: skip
    from matplotlib.image import imread

    tall = imread(done.distortion).shape[0] > 200
    assert tall == (field != 0)
