"""Files that pass between the nodes: images, gradient tables, transforms, vertex maps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import nibabel as nb
import numpy as np
import numpy.typing as npt
import pandas as pd
from nibabel.gifti.gifti import GiftiDataArray, GiftiMetaData

from bids_acc.exceptions import GridMismatchError, InputDataError
from bids_acc.typing import FloatArray, IntArray

_STRUCTURES = {'L': 'CortexLeft', 'R': 'CortexRight'}


@dataclass(frozen=True)
class Gradients:
    """The gradient table of a series, in scanner coordinates."""

    bvals: FloatArray
    """(n_volumes,) s/mm2."""
    directions: FloatArray
    """(n_volumes, 3) RAS+."""
    phase_axes: FloatArray
    """(n_volumes, 3) unit vector of phase encoding, RAS+."""
    runs: IntArray
    """(n_volumes,) number of the run that a volume comes from."""
    groups: IntArray
    """(n_volumes,) number of the acquisition that it shares with all volumes that are distorted
    alike; that of the reference is 0."""
    ratios: FloatArray
    """(n_volumes,) displacement by susceptibility along `phase_axes`, relative to group 0's."""

    _COLUMNS = ('bval', 'gx', 'gy', 'gz', 'px', 'py', 'pz', 'run', 'group', 'ratio')

    def of(self, volumes: npt.ArrayLike) -> Gradients:
        """Return the table of some volumes."""
        chosen = np.asarray(volumes)
        return Gradients(*(getattr(self, entry.name)[chosen] for entry in fields(self)))

    def write(self, path: Path) -> Path:
        """Write a table that `read` understands."""
        parts = (self.bvals, self.directions, self.phase_axes, self.runs, self.groups, self.ratios)
        table = np.column_stack(parts)
        frame = pd.DataFrame(table, columns=list(self._COLUMNS))
        frame.to_csv(path, sep='\t', index=False, float_format='%.10g')
        return path

    @classmethod
    def read(cls, path: str | Path) -> Gradients:
        """Read what `write` wrote."""
        table = pd.read_csv(path, sep='\t').to_numpy(dtype=float)
        runs, groups = table[:, 7:9].astype(np.int64).T
        return cls(table[:, 0], table[:, 1:4], table[:, 4:7], runs, groups, table[:, 9])


def read_image(path: str | Path) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Read an image's values and its affine.

    Raises
    ------
    InputDataError
        If it is no readable NIfTI image.
    """
    try:
        image = nb.load(Path(path))
        values = image.get_fdata(dtype=np.float32)  # type: ignore[attr-defined]
    except (nb.filebasedimages.ImageFileError, OSError, EOFError) as error:
        raise InputDataError(f'{path} is no readable image ({error}); fetch it again.') from error
    return values, np.asarray(image.affine, dtype=np.float64)  # type: ignore[attr-defined]


def write_image(values: npt.ArrayLike, affine: npt.ArrayLike, path: Path) -> Path:
    """Write an image; masks as bytes, everything else as float32."""
    array = np.asarray(values)
    array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    image = nb.Nifti1Image(array, np.asarray(affine, dtype=float))
    image.header.set_xyzt_units('mm', 'sec')
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    image.to_filename(path)
    return path


def check_same_grid(
    first: tuple[tuple[int, ...], FloatArray], other: tuple[tuple[int, ...], FloatArray], name: str
) -> None:
    """Refuse images whose voxels do not lie at the same places.

    Raises
    ------
    GridMismatchError
        If shapes or affines (by more than 0.01 mm) differ.
    """
    same = first[0][:3] == other[0][:3] and np.allclose(first[1], other[1], atol=1e-2)
    if not same:
        raise GridMismatchError(
            f'{name} has another grid ({other[0][:3]}) than the first run ({first[0][:3]}); '
            'runs that are analysed together must have been acquired with the same geometry. '
            'Select one of them with --bids-filter-file.'
        )


def read_points(path: str | Path) -> FloatArray:
    """Read the vertices of a surface, scanner coordinates in mm.

    Raises
    ------
    InputDataError
        If the file holds no points.
    """
    image = nb.GiftiImage.from_filename(path)
    arrays = image.get_arrays_from_intent('NIFTI_INTENT_POINTSET')
    if not arrays:
        raise InputDataError(f'{path} holds no surface points; a .surf.gii is needed.')
    return np.asarray(arrays[0].data, dtype=float)


def read_labels(path: str | Path) -> tuple[IntArray, dict[int, str]]:
    """Read the region of each vertex and the name of each region.

    Raises
    ------
    InputDataError
        If the file holds no labels.
    """
    image = nb.GiftiImage.from_filename(path)
    if not image.darrays:
        raise InputDataError(f'{path} holds no labels; a .label.gii is needed.')
    keys = np.asarray(image.darrays[0].data, dtype=np.int64).ravel()
    return keys, {int(label.key): str(label.label) for label in image.labeltable.labels}


def write_vertex_map(values: npt.ArrayLike, hemisphere: str, name: str, path: Path) -> Path:
    """Write one value for each vertex; NaN where nothing was measured."""
    array = GiftiDataArray(
        np.asarray(values, dtype=np.float32),
        intent='NIFTI_INTENT_SHAPE',
        datatype='NIFTI_TYPE_FLOAT32',
        meta=GiftiMetaData(Name=name),
    )
    meta = GiftiMetaData(AnatomicalStructurePrimary=_STRUCTURES[hemisphere])
    nb.GiftiImage(darrays=[array], meta=meta).to_filename(path)
    return path


def format_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as BIDS wants it: tabs, ``n/a``, six significant digits."""
    frame.to_csv(path, sep='\t', index=False, na_rep='n/a', float_format='%.6g')
    return path
