"""Tissue fractions, water scaling and relaxation."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_acc.exceptions import InputDataError, SettingsError
from bids_acc.mrs.levels.constants import RelaxationSet, load_relaxation
from bids_acc.mrs.levels.tissue import concentration_factor, volume_fractions, water_mole_fractions
from bids_acc.mrs.levels.voxel import overlap_fraction, voxel_coverage

FRACTIONS = [0.6, 0.3, 0.1]


def constants(name: str = 'fsl') -> RelaxationSet:
    found = load_relaxation(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ('name', 'metabolite', 'unit', 'wanted'),
    [
        ('fsl', 'Glu', 'molal', 47261.3),
        ('fsl', 'NAA', 'molar', 34815.8),
        ('wyss-mlynarik', 'Glu', 'molal', 56972.4),
        ('wyss-mlynarik', 'Glu', 'molar', 41969.7),
        ('wyss-mlynarik', 'Cr', 'molal', 56359.9),
        ('wyss-mlynarik', 'PCr', 'molar', 41518.5),
    ],
)
def test_anchors(name: str, metabolite: str, unit: str, wanted: float) -> None:
    """Values computed elsewhere for TE 35 ms and TR 2 s."""
    value = concentration_factor(metabolite, FRACTIONS, constants(name), 0.035, 2.0, unit)
    assert value == pytest.approx(wanted, rel=1e-5)


def test_molal_divides_by_the_share_of_water_not_of_volume() -> None:
    """A known mistake: 1 - f_CSF in place of 1 - x_CSF gives 3 % less at f_CSF 0.1."""
    shares = water_mole_fractions(FRACTIONS, constants().water_content)
    np.testing.assert_allclose(shares, [0.615789, 0.256579, 0.127632], atol=1e-6)
    value = concentration_factor('Glu', FRACTIONS, constants(), 0.035, 2.0)
    assert value * (1 - shares[2]) / (1 - 0.1) == pytest.approx(value * 0.9693, rel=1e-4)


def test_limits() -> None:
    """Without relaxation and CSF the molal factor is pure water, the molar one its content."""
    args = ('Glu', [1.0, 0.0, 0.0], constants())
    assert concentration_factor(*args, 0.0, 1e9) == pytest.approx(55510)
    assert concentration_factor(*args, 0.0, 1e9, 'molar') == pytest.approx(55510 * 0.78)


@pytest.mark.parametrize(
    ('fractions', 'te', 'tr'),
    [
        ([0.0, 0.0, 1.0], 0.03, 2.0),
        ([np.nan] * 3, 0.03, 2.0),
        (FRACTIONS, np.nan, 2.0),
        (FRACTIONS, 0.03, np.nan),
    ],
)
def test_what_cannot_be_told_is_nan(fractions: list, te: float, tr: float) -> None:
    assert np.isnan(concentration_factor('Glu', fractions, constants(), te, tr))


@given(
    hnp.arrays(float, 3, elements=st.floats(0.01, 1)),
    st.floats(0.1, 10),
)
def test_fractions_sum_to_one_and_the_unit_of_water_is_irrelevant(
    parts: np.ndarray, unit: float
) -> None:
    fractions = parts / parts.sum()
    content = np.array([0.78, 0.65, 0.97])
    shares = water_mole_fractions(fractions, content)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(water_mole_fractions(fractions, unit * content), shares)
    np.testing.assert_allclose(water_mole_fractions(fractions, [1, 1, 1]), fractions)


@pytest.mark.parametrize('bad', [[0.5, 0.2, 0.1], [1.2, -0.2, 0.0], [np.nan, 0.5, 0.5]])
def test_bad_fractions_are_refused(bad: list) -> None:
    with pytest.raises(InputDataError, match='sum to 1'):
        water_mole_fractions(bad, [0.78, 0.65, 0.97])


def test_voxel_outside_the_brain_has_no_fractions() -> None:
    fractions, inside = volume_fractions(np.zeros((3, 4)), np.ones(4))
    assert np.isnan(fractions).all()
    assert inside == 0


def test_sets_of_constants() -> None:
    assert load_relaxation('wyss-mlynarik', 7.0) is None
    with pytest.raises(
        SettingsError, match='choose auto, wyss-mlynarik, fsl, xin-marjanska, gasparovic or FILE'
    ):
        load_relaxation('nobody')
    described = constants('wyss-mlynarik').describe()
    assert all('doi' in source for source in described['Sources'].values())
    assert constants('wyss-mlynarik').metabolite('Unheard') == pytest.approx((1.265, 0.1545))


@pytest.mark.parametrize(
    ('tesla', 'name', 'metabolite'),
    [(3.0, 'wyss-mlynarik', (1.22, 0.12625)), (7.0, 'xin-marjanska', (1.68, 0.112)),
     (1.5, 'gasparovic', (1.15, 0.3)), (2.89, 'wyss-mlynarik', (1.22, 0.12625))],
)  # fmt: skip
def test_constants_by_field(tesla: float, name: str, metabolite: tuple) -> None:
    found = load_relaxation('auto', tesla)
    assert found is not None
    assert (found.name, found.metabolite('Glu')) == (name, pytest.approx(metabolite))
    assert all('doi' in source for source in found.describe()['Sources'].values())


@pytest.mark.parametrize('tesla', [0.5, 4.0, 9.4])
def test_no_constants_where_none_are_published(tesla: float) -> None:
    assert load_relaxation('auto', tesla) is None
    assert load_relaxation('fsl', tesla) is None
    assert load_relaxation('fsl', 7.0).metabolite('Glu') == (1.43, 0.131)  # type: ignore[union-attr]


def test_own_file_of_constants(tmp_path: Path) -> None:
    shipped = resources.files('bids_acc').joinpath('data/mrs/relaxation-3T.json').read_text()
    document = json.loads(shipped)
    document['sets']['fsl']['water_t1_s']['GM'] = 9.0
    path = tmp_path / 'own.json'
    path.write_text(json.dumps(document))
    assert load_relaxation(f'{path}:fsl').water_t1[0] == 9.0  # type: ignore[union-attr]
    path.write_text('{}')
    with pytest.raises(SettingsError, match='not a file of relaxation constants'):
        load_relaxation(str(path))


def rotated(angle: float, size: tuple, centre: tuple) -> np.ndarray:
    """Affine of a turned voxel."""
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(size)
    affine[:3, 3] = centre
    return affine


@pytest.mark.parametrize('angle', [0.0, 0.3, 0.7])
def test_coverage_keeps_volume_and_centre(angle: float) -> None:
    image = np.diag([0.9375, 0.9375, 1.0, 1.0])
    coverage = voxel_coverage(rotated(angle, (12, 14, 9), (25, 24, 20)), image, (54, 54, 40))
    volume = coverage.sum() * 0.9375**2
    assert volume == pytest.approx(12 * 14 * 9, rel=1e-3)
    where = np.array(
        [(coverage * axis).sum() / coverage.sum() for axis in np.indices(coverage.shape)]
    )
    np.testing.assert_allclose(where * [0.9375, 0.9375, 1.0], [25, 24, 20], atol=0.05)


def test_partial_coverage_at_the_faces_and_outside_the_image() -> None:
    coverage = voxel_coverage(np.diag([2.0, 1, 1, 1]), np.eye(4), (3, 3, 3))
    assert coverage[0, 0, 0] == 1
    assert coverage[1, 0, 0] == pytest.approx(0.5)
    far = voxel_coverage(rotated(0, (5, 5, 5), (100, 100, 100)), np.eye(4), (4, 4, 4))
    assert far.sum() == 0
    assert np.isnan(overlap_fraction(far, np.ones((4, 4, 4))))


def test_overlap() -> None:
    coverage = np.zeros((4, 4, 4))
    coverage[1:3] = 0.5
    mask = np.zeros((4, 4, 4))
    mask[1] = 1
    assert overlap_fraction(coverage, mask) == pytest.approx(0.5)
