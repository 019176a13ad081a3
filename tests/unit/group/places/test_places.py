"""Where the voxels of a cohort lie: planted places come back, and what is broken is left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import output_path
from bids_acc.group.measures.table import build_measures, meaning_of
from bids_acc.group.opnmf.choice import RankChoice
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.parcels.measures import Parcellation
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.places.placement import cortex_measures, find_places, write_voxel_maps
from bids_acc.group.places.run import overlap_words
from bids_acc.mrs.levels.voxel import (
    TEMPLATE_AFFINE,
    TEMPLATE_SHAPE,
    columns_inside,
    inside_voxel,
    template_coverage,
)
from bids_acc.surfaces.gifti import write_map

N_VERTICES = 40


def put(key: str, out: Path, entities: dict[str, str], **fields: str) -> Path:
    path = output_path(key, out, entities, **fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def plant(out: Path, subject: str, voi: str, centre: tuple[int, int, int], inside: slice) -> None:
    """Write one person's voxel of 20 mm around a place, and columns that it holds."""
    entities = {'subject': subject, 'voi': voi}
    image = np.zeros(TEMPLATE_SHAPE, dtype=np.float32)
    image[tuple(slice(c - 5, c + 5) for c in centre)] = 1
    path = put('mrs_template_voxel', out, entities)
    nb.Nifti1Image(image, TEMPLATE_AFFINE).to_filename(path)
    quality = put('mrs_quality', out, entities)
    quality.write_text('engine\tvoxel_volume_ml\nbuiltin\t8\n')
    for side in 'LR':
        fields = {'hemisphere': side, 'density': '10k'}
        share = np.zeros(N_VERTICES)
        share[inside] = 1 if side == 'L' else 0
        write_map(put('mrs_vertex_voxel', out, entities, **fields), share, side, 'voxel')
        person = {'subject': subject}
        ramp = np.where(np.arange(N_VERTICES) < 20, 2.0, 3.0)
        for key, values in (
            ('anat_thickness', ramp), ('anat_area', np.full(N_VERTICES, 100.0)),
            ('dwi_vertex_md', ramp * 1e-3), ('dwi_vertex_fa', ramp / 10),
        ):  # fmt: skip
            write_map(put(key, out, person, **fields), values, side, key)


def two_parcels() -> ParcellationResult:
    """Vertices 0 to 19 of the left side are parcel 1, the next ten parcel 2."""
    columns = pd.DataFrame({'hemisphere': 'L', 'vertex': np.arange(30)})
    labels = np.repeat([0, 0, 1], 10)
    one = Parcellation('', np.eye(2)[labels], labels, columns, {})
    data = VertexMetrics(
        np.ones((1, 1, 30)), ('thickness',), pd.DataFrame(), columns, (N_VERTICES, N_VERTICES),
        '10k',
    )  # fmt: skip
    empty = pd.DataFrame()
    return ParcellationResult({'': one}, RankChoice(2, 'asked', False, False, ()), {}, {},
                              empty, empty, data, empty)  # fmt: skip


@pytest.fixture
def cohort(tmp_path: Path) -> tuple[Path, list[tuple[str, str | None]]]:
    for number in range(1, 10):
        shift = 12 if number == 9 else number % 5
        plant(tmp_path, f'0{number}', 'ACC', (50, 80 + shift, 45), slice(10, 30))
        plant(tmp_path, f'0{number}', 'PCC', (50, 40, 50), slice(35, 40))
    return tmp_path, [(f'sub-0{n}', None) for n in range(1, 10)]


NAMES = {'voi-ACC': 'ACC', 'voi-PCC': 'PCC'}


def test_parcels_and_cortex_of_each_voxel(cohort: tuple) -> None:
    out, sessions = cohort
    values = find_places(out, sessions, NAMES, two_parcels()).values
    acc = values[(values['participant_id'] == 'sub-01') & (values['voxel'] == 'voi-ACC')]
    found = dict(zip(acc['measure'], acc['value'], strict=True))
    # ten columns of 200 mm3 in parcel 1 and ten of 300 in parcel 2, in 8 mL
    assert found['share_c1'] == pytest.approx(10 * 200 / 8000)
    assert found['share_c2'] == pytest.approx(10 * 300 / 8000)
    assert found['share_cortex'] == pytest.approx(5000 / 8000)
    assert found['thickness'] == pytest.approx(2.5)  # volume over area
    assert found['md'] == pytest.approx((2000 * 2e-3 + 3000 * 3e-3) / 5000)
    pcc = values[(values['participant_id'] == 'sub-01') & (values['voxel'] == 'voi-PCC')]
    found = dict(zip(pcc['measure'], pcc['value'], strict=True))
    assert (found['share_c1'], found['share_c2'], found['thickness']) == (0, 0, 3)


def test_the_voxel_that_lies_elsewhere_is_found(cohort: tuple) -> None:
    out, sessions = cohort
    places = find_places(out, sessions, NAMES, None)
    table = places.overlap.set_index(['voxel', 'participant_id'])
    acc = table.loc['ACC']
    assert acc['outlier'].tolist() == [False] * 8 + [True]
    assert acc.loc['sub-09', 'distance_mm'] > 15
    assert 'sub-09' in overlap_words(places.overlap[places.overlap['voxel'] == 'ACC'])
    assert table.loc['PCC', 'dice'].tolist() == [1.0] * 9
    assert table.loc[('PCC', 'sub-01'), ['x', 'y', 'z']].tolist() == [1.0, -55.0, 27.0]
    maps = {one.name: one for one in places.maps}
    assert maps['PCC'].mean.max() == 1
    assert maps['ACC'].mean[50, 82, 45] == pytest.approx(8 / 9)
    first, again = write_voxel_maps(places, out / 'a'), write_voxel_maps(places, out / 'b')
    assert [p.name for p in first] == [p.name for p in again]
    assert first[0].read_bytes() == again[0].read_bytes()
    assert gzip.decompress(first[0].read_bytes())[:4]


def test_one_broken_voxel_costs_its_own_row(
    cohort: tuple, caplog: pytest.LogCaptureFixture
) -> None:
    out, sessions = cohort
    broken = next((out / 'sub-03').rglob('*voi-ACC*space-MNI*_mask.nii.gz'))
    broken.write_bytes(b'nothing')
    overlap = find_places(out, sessions, NAMES, None).overlap
    assert len(overlap) == 17
    assert broken.name in caplog.text


def test_people_with_other_meshes_or_without_maps_have_no_value(cohort: tuple) -> None:
    out, sessions = cohort
    for path in (out / 'sub-02').rglob('*param-md*'):
        path.unlink()
    values = find_places(out, sessions, NAMES, None).values
    wide = values[values['voxel'] == 'voi-ACC'].pivot_table(
        index='participant_id', columns='measure', values='value', dropna=False
    )
    assert np.isnan(wide.loc['sub-02', 'md'])
    assert np.isfinite(wide.drop(index='sub-02')['md']).all()
    assert np.isfinite(wide.loc['sub-02', 'thickness'])


def test_nothing_inside_is_missing_and_not_zero() -> None:
    maps = {'area': np.ones(3), 'thickness': np.full(3, 2.5)}
    found = cortex_measures(np.zeros(3), maps, 8000.0)
    assert found['share_cortex'] == 0
    assert np.isnan(found['thickness'])


def test_places_are_columns_that_say_what_they_hold(cohort: tuple) -> None:
    out, sessions = cohort
    people = pd.DataFrame(sessions, columns=['participant_id', 'session_id'])
    values = find_places(out, sessions, NAMES, two_parcels()).values
    measures = build_measures(people, None, None, None, places=values)
    name = 'voi_ACC__voxel__share_c1'
    assert measures.meanings[name].component == 1
    assert meaning_of(name).kind == 'voxel'
    assert name not in measures.participants
    assert measures.people_with([name])[name].iloc[0] == pytest.approx(0.25)  # for covariates
    assert measures.mrs is None


def test_template_coverage_undoes_the_transform() -> None:
    """A voxel of 20 mm that the transform moves, turns and bends keeps its volume and place."""
    affine = np.diag([20.0, 24, 28, 1])
    affine[:3, 3] = [4, 30, 10]
    linear = np.eye(4)
    linear[:3, 3] = [6, -10, 8]

    def to_template(points: np.ndarray) -> np.ndarray:
        return points + linear[:3, 3] + 2 * np.sin(points / 15)

    coverage = template_coverage(affine, to_template, linear, 3)
    grid = np.stack(np.nonzero(coverage > 0.99), axis=1) @ TEMPLATE_AFFINE[:3, :3]
    places = grid + TEMPLATE_AFFINE[:3, 3]
    centre = to_template(affine[:3, 3][None])[0]
    assert np.abs((places.max(axis=0) + places.min(axis=0)) / 2 - centre).max() < 1.5
    corners = to_template(
        np.array([[x, y, z] for x in (-6, 14) for y in (18, 42) for z in (-4, 24)])
    )
    assert np.abs(places.max(axis=0) - corners.max(axis=0)).max() < 2.5
    unmoved = template_coverage(affine, lambda x: x, np.eye(4), 4)
    assert unmoved.sum() * 8 == pytest.approx(20 * 24 * 28, rel=0.01)


def test_columns_of_undefined_surfaces_are_missing() -> None:
    affine = np.diag([20.0, 20, 20, 1])
    white = np.array([[0.0, 0, 0], [0, 0, 9], [np.nan, 0, 0]])
    pial = white + np.array([0.0, 0, 2])
    assert columns_inside(affine, white, pial)[:2].tolist() == [1.0, 0.5]
    assert np.isnan(columns_inside(affine, white, pial)[2])
    assert not inside_voxel([0, 0, 10.1], affine)
