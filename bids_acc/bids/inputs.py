"""What one session offers: checked paths and metadata, and why something is not there."""

from __future__ import annotations

import functools
import gzip
import logging
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import nibabel as nb
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import ImageOpener

from bids_acc.dwi.volumes import MRTRIX
from bids_acc.exceptions import ExitCode, InputDataError, MissingInputError
from bids_acc.files.reading import check_regular, number_table, read_whole, reading
from bids_acc.func.finished import FinishedRun
from bids_acc.func.raw import RawRun
from bids_acc.images.files import NIFTI2_SIZES
from bids_acc.images.phase import FieldMap
from bids_acc.typing import FloatArray

B0_MAX = 50.0
"""b-values up to this one, in s/mm2, count as b = 0."""

PlanStatus = Literal['run', 'reuse', 'skip', 'fail']


@dataclass(frozen=True)
class AnatInputs:
    """The T1w image of a session."""

    t1w: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    also_there: tuple[Path, ...] = ()
    """Further T1w images, which are not used."""
    averaged: tuple[Path, ...] = ()
    """Further runs that are averaged with the first."""
    notes: tuple[str, ...] = ()
    """Why this image, and why not the others."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        return (self.t1w, *self.averaged)


@dataclass(frozen=True)
class DwiRun:
    """One diffusion series with its gradient table."""

    image: Path
    bval: Path
    bvec: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    imaginary: Path | None = None
    """Imaginary part, where `image` is the real one."""
    n_base: int = 0
    """Volumes that count as b = 0."""
    n_weighted: int = 0
    """Volumes with a direction that can be used."""

    @property
    def metadata_of_image(self) -> Mapping[str, Any]:
        """Sidecar."""
        return self.metadata

    @property
    def direction(self) -> str:
        """PhaseEncodingDirection, or nothing."""
        return str(self.metadata.get('PhaseEncodingDirection') or '')

    @property
    def label(self) -> str:
        """What ``dir-`` says of the phase encoding, or nothing."""
        return str(self.entities.get('direction') or '')

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        parts = () if self.imaginary is None else (self.imaginary,)
        return (self.image, *parts, self.bval, self.bvec)


@dataclass(frozen=True)
class DwiInputs:
    """Diffusion series of one session that are analysed together."""

    runs: tuple[DwiRun, ...]
    entities: Mapping[str, str]
    source: str = ''
    """Tool that corrected the series already; empty for raw data."""
    mask: Path | None = None
    """Brain, where a derivative has one."""
    reversed_pe: tuple[tuple[Path, Mapping[str, Any]], ...] = ()
    """Further images of reversed phase encoding, b = 0, with their metadata."""
    field_map: FieldMap | None = None
    """Field map that was measured by gradient echoes."""
    noddi: Mapping[str, Path] = field(default_factory=dict)
    """``icvf``, ``isovf`` and ``od`` of a derivative, or nothing."""
    noddi_source: str = ''
    """Tool that made those."""
    tract_tables: tuple[Path, ...] = ()
    """Tables of tracts that other tools measured."""
    tract_sources: tuple[str, ...] = ()
    """Tool that made each of those."""
    notes: tuple[str, ...] = ()
    """What had to be translated, assumed or converted before the series could be read."""
    left_out: tuple[str, ...] = ()
    """Images that are there and not used, each with the reason."""
    no_opposite: tuple[str, ...] = ()
    """Of those, the ones that might have served as images of reversed phase encoding."""

    @property
    def has_reversed_pe(self) -> bool:
        """Whether b = 0 images were acquired with the phase encoding of a run reversed."""
        given = {run.direction for run in self.runs if run.n_base} - {''}
        return bool(self.reversed_pe) or any(f'{direction}-' in given for direction in given)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        series = [path for run in self.runs for path in run.files]
        more = [*(() if self.mask is None else (self.mask,)),
                *(path for path, _ in self.reversed_pe), *self.noddi.values(),
                *(() if self.field_map is None else self.field_map.files),
                *self.tract_tables]  # fmt: skip
        return (*series, *more)


@dataclass(frozen=True)
class BoldRun:
    """One BOLD series that another tool has prepared, with its table of confounds."""

    bold: tuple[Path, ...]
    """A 4D image, or the left and the right ``func.gii``."""
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    space: str
    source: str
    """Tool that prepared it."""
    mask: Path | None = None
    confounds: Path | None = None
    confounds_sidecar: Path | None = None
    events: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        more = (self.mask, self.confounds, self.confounds_sidecar, self.events)
        return (*self.bold, *(path for path in more if path is not None))


@dataclass(frozen=True)
class FuncInputs:
    """BOLD series of one session."""

    runs: tuple[BoldRun, ...] = ()
    """Prepared series; none where the built-in line prepares raw ones."""
    raw: tuple[RawRun, ...] = ()
    """Raw series, for the built-in line."""
    source: str = ''
    """Tool that prepared them."""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Images that are there and not used, each with the reason."""
    finished: tuple[FinishedRun, ...] = ()
    """Runs whose measures another tool has made, instead of series."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        runs: list[BoldRun | RawRun | FinishedRun] = [*self.runs, *self.raw, *self.finished]
        return tuple(path for run in runs for path in run.files)


@dataclass(frozen=True)
class MtrInputs:
    """What the magnetization transfer ratio of a session is made from."""

    images: tuple[Path, ...]
    """With and without saturation, in this order; or one ready map."""
    entities: Mapping[str, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Sidecar of the image with saturation, or of the map."""
    factor: float = 1.0
    """What makes per cent of a ready map."""
    source: str = ''
    """Tool that made the map; empty for images of the scanner."""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Images that are there and not used, each with the reason."""

    @property
    def is_map(self) -> bool:
        """Whether it is a ready map."""
        return len(self.images) == 1

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        return self.images


@dataclass(frozen=True)
class MrsInputs:
    """One single-voxel spectrum and its water reference."""

    svs: Path
    entities: Mapping[str, str]
    metadata: Mapping[str, Any]
    reference: Path | None = None
    reference_metadata: Mapping[str, Any] = field(default_factory=dict)
    anatomical: Path | None = None
    """T1w image that ``AnatomicalImage`` of the sidecar names, where it exists."""
    events: Path | None = None
    """Table of events of the series, its own or inherited."""
    notes: tuple[str, ...] = ()
    problem: str = ''
    """Why the spectrum cannot be used; empty when it can."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the result depends on."""
        return tuple(p for p in (self.svs, self.reference, self.events) if p is not None)


@dataclass(frozen=True)
class PlanRow:
    """What will be done with one modality of one session, and why."""

    participant_id: str
    session_id: str | None
    modality: str
    status: PlanStatus
    reason: str = ''
    reason_code: str = ''
    inputs: tuple[str, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    """What a ``fail`` contributes to the exit code of the run."""

    def as_dict(self) -> dict[str, object]:
        """Return the row as ``--dry-run json`` prints it."""
        return {
            'participant_id': self.participant_id,
            'session_id': self.session_id,
            'modality': self.modality,
            'status': self.status,
            'reason': self.reason,
            'inputs': list(self.inputs),
        }


@dataclass(frozen=True)
class Session:
    """One subject at one visit."""

    subject: str
    session: str | None
    anat: AnatInputs | None
    dwi: DwiInputs | None
    mrs: tuple[MrsInputs, ...]
    plan: tuple[PlanRow, ...]
    """One row for each modality; for those of `IF_ANY` only in a data set that has any."""
    broken_mrs: tuple[MrsInputs, ...] = ()
    """Spectra that are there and cannot be used, each with its ``problem``."""
    func: FuncInputs | None = None
    mtr: MtrInputs | None = None

    @property
    def participant_id(self) -> str:
        """Label with its prefix."""
        return f'sub-{self.subject}'

    @property
    def session_id(self) -> str | None:
        """Label with its prefix, or None in a data set without sessions."""
        return None if self.session is None else f'ses-{self.session}'

    @property
    def label(self) -> str:
        """Subject and session as file names begin."""
        return '_'.join(part for part in (self.participant_id, self.session_id) if part)

    def row(self, modality: str) -> PlanRow:
        """Return the plan of one modality.

        Parameters
        ----------
        modality : str
            ``anat``, ``dwi``, ``mtr``, ``func`` or ``mrs``; one that was asked for.
        """
        return next(row for row in self.plan if row.modality == modality)


def check_labels(path: Path) -> None:
    """Refuse a file of one person or visit that lies in the folder of another.

    Parameters
    ----------
    path : Path
        Any input file. A label that the name does not have is that of the folder.

    Raises
    ------
    InputDataError
        If the name and the nearest folder of that kind have different labels.
    """
    for entity in ('sub', 'ses'):
        named = re.search(rf'(?:^|_){entity}-([a-zA-Z0-9+]+)', path.name)
        folders = [part[4:] for part in path.parent.parts if part.startswith(f'{entity}-')]
        if named and folders and named[1] != folders[-1]:
            raise InputDataError(
                f'{path} is {entity}-{named[1]} by its name and lies in the folder of '
                f'{entity}-{folders[-1]}: rename it, or move it to where it belongs.'
            )


def check_readable(path: Path) -> None:
    """Refuse a file that is absent, not fetched, empty or not readable.

    Parameters
    ----------
    path : Path
        Any input file.

    Raises
    ------
    MissingInputError
        If the file is absent, or a link into a git-annex whose content was not fetched.
    InputDataError
        If it is empty or cannot be read.
    """
    if path.is_symlink() and not path.exists():
        target = str(path.readlink())
        # a DataLad data set whose content was not fetched
        if 'annex' in target:
            raise MissingInputError(f'{path}: not fetched: `datalad get {path}`')
        raise MissingInputError(f'{path} is a link to {target}, which does not exist.')
    if not path.exists():
        raise MissingInputError(f'{path} does not exist.')
    check_regular(path)
    if path.stat().st_size == 0:
        raise InputDataError(f'{path} is empty (0 bytes); copy or fetch it again.')
    try:
        with path.open('rb') as stream:
            start = stream.read(64)
    except OSError as error:
        raise InputDataError(f'{path} cannot be read: {error.strerror}.') from error
    # unlocked files of git-annex hold the object's name until they are fetched
    if start.startswith(b'/annex/objects/') or b'git-annex' in start:
        raise MissingInputError(f'{path}: not fetched: `datalad get {path}`')
    _check_packed(path, start)


def _check_packed(path: Path, start: bytes) -> None:
    """Refuse an image that is packed though its name does not say so, or the reverse."""
    packed = start.startswith(b'\x1f\x8b')
    if path.name.endswith('.nii') and packed:
        raise InputDataError(f'{path} is packed by gzip: rename it to {path.name}.gz.')
    if path.name.endswith('.nii.gz') and not packed and _begins_as_nifti(start):
        raise InputDataError(f'{path} is not packed by gzip: rename it to {path.stem}.')


def check_image(path: Path, n_dims: Iterable[int], minimum_size: int = 1) -> tuple[int, ...]:
    """Refuse an image whose header cannot be read or whose data end too early.

    Parameters
    ----------
    path : Path
        NIfTI file.
    n_dims : iterable of int
        Numbers of dimensions that are welcome.
    minimum_size : int
        Least extent of each of the first three dimensions.

    Returns
    -------
    tuple of int
        Shape of the image.

    Raises
    ------
    MissingInputError, InputDataError
        With the reason; a file of another person or visit, too, see `check_labels`.
    """
    check_readable(path)
    check_labels(path)
    with reading(path, 'NIfTI image', 'copy or convert it again'):
        image = open_image(path)
        shape = tuple(int(n) for n in image.shape)
        _check_data_complete(path, image)
        if minimum_size > 1:
            _check_grid(path, image)
    # converters write a fourth dimension of one for a single volume
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if min(shape) < 1:
        raise InputDataError(
            f'{path}: {" x ".join(map(str, shape))} voxels by its header, which is damaged; copy '
            'or convert it again.'
        )
    welcome = tuple(n_dims)
    if len(shape) not in welcome:
        raise InputDataError(
            f'{path} has {len(shape)} dimensions {shape}, '
            f'expected {" or ".join(map(str, welcome))}{_single(shape)}.'
        )
    if min(shape[:3]) < minimum_size:
        raise InputDataError(
            f'{path} has only {shape} voxels; this is no whole image{_single(shape)}.'
        )
    return shape


def _single(shape: tuple[int, ...]) -> str:
    """Tell what to do about a dimension of one that stands before others."""
    return ': write it again without the dimension of one' if 1 in shape else ''


@dataclass(frozen=True)
class ImageOnDisk:
    """An image of which the header was read."""

    header: Any
    """NIfTI header of nibabel."""
    affine: FloatArray
    """(4, 4) voxel indices to scanner RAS, mm."""
    dataobj: ArrayProxy
    """Voxels, read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extent of each dimension."""
        return tuple(self.dataobj.shape)

    def get_data_dtype(self) -> np.dtype[Any]:
        """Return the type of the numbers in the file."""
        return cast('np.dtype[Any]', self.header.get_data_dtype())


def open_image(path: Path) -> ImageOnDisk:
    """Open a NIfTI file; voxels are not read.

    Several questions are asked of one image, one after the other: its header is read once, as long
    as size and time of the file stay what they were.

    Parameters
    ----------
    path : Path
        Packed or not.

    Returns
    -------
    ImageOnDisk
        Header at hand, voxels on disk.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    found = path.stat()
    return _opened(path, found.st_size, found.st_mtime_ns)


_SILENT = logging.getLogger(f'{__name__}.silent')
_SILENT.setLevel(logging.CRITICAL + 1)


@functools.lru_cache(maxsize=16)
def _opened(path: Path, size: int, mtime_ns: int) -> ImageOnDisk:
    """Read the header of a file in this state.

    nibabel's images copy and check it three times, which matters where there are thousands.
    """
    # in the key of the cache only: a file that was replaced while the run went on is read anew
    del size, mtime_ns
    with ImageOpener(str(path), 'rb') as stream:
        kind = nb.Nifti1Image if _begins_as_nifti1(stream.read(4)) else nb.Nifti2Image
        stream.seek(0)
        header = kind.header_class.from_fileobj(stream, check=False)
    header.check_fix(logger=_SILENT)  # what it repairs is judged by `check_header`, with a name
    return ImageOnDisk(
        header, np.asarray(header.get_best_affine(), dtype=float), ArrayProxy(str(path), header)
    )


def is_nifti1(path: Path) -> bool:
    """Tell NIfTI-1 from NIfTI-2 by the header's size field.

    Parameters
    ----------
    path : Path
        NIfTI file of either byte order; ``.gz`` is unpacked as far as needed.

    Returns
    -------
    bool
        True if the first field is 348; NIfTI-2 has 540 there (nifti2.h).
    """
    opener = gzip.open if path.suffix == '.gz' else open
    with opener(path, 'rb') as stream:
        return _begins_as_nifti1(stream.read(4))


def _begins_as_nifti(start: bytes) -> bool:
    """Tell whether a file begins with the header's size of NIfTI-1 or NIfTI-2."""
    size = start[:4]
    return _begins_as_nifti1(size) or size in NIFTI2_SIZES


def _begins_as_nifti1(size: bytes) -> bool:
    """Tell whether the size of the header, in whichever byte order, is that of NIfTI-1."""
    return size in (b'\x5c\x01\x00\x00', b'\x00\x00\x01\x5c')


LARGEST_RATIO = 1100
"""gzip never packs tighter than 1032 to 1 (https://zlib.net/zlib_tech.html)."""


def _check_data_complete(path: Path, image: ImageOnDisk) -> None:
    """Refuse a file that ends before its last voxel, before hours are spent on others.

    The length of what is packed stands at the end of a gzip file, so that a sound one need not be
    unpacked to be believed; where that does not fit, it is, up to the last voxel.
    """
    if image.dataobj.offset < image.header.sizeof_hdr:
        raise InputDataError(
            f'{path}: vox_offset in its header is {image.dataobj.offset}, so that the header '
            f'would be read as voxels; set it to {image.header.single_vox_offset}, or convert the '
            'image again.'
        )
    values = math.prod(int(n) for n in image.shape)
    end = int(image.dataobj.offset) + values * image.get_data_dtype().itemsize
    size = path.stat().st_size
    if path.suffix == '.gz' and end <= size * LARGEST_RATIO:
        # unpacking takes seconds a file; the length at the end is right but for files joined from
        # several
        size = end if _packed_size(path) == end % 2**32 else _unpacked_size(path, end)
    if size < end:
        raise InputDataError(
            f'{path} holds {size} bytes of the {end} that its header announces; fetch it again.'
        )


def _packed_size(path: Path) -> int:
    """Return the length, modulo 2^32, that a gzip file gives at its end (RFC 1952)."""
    with path.open('rb') as stream:
        stream.seek(-4, 2)
        return int.from_bytes(stream.read(4), 'little')


def _unpacked_size(path: Path, enough: int) -> int:
    """Unpack until there is enough, and return how much there was."""
    size = 0
    try:
        with gzip.open(path, 'rb') as stream:
            while size < enough and (chunk := stream.read(1 << 22)):
                size += len(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise InputDataError(f'{path} is damaged ({error}); copy or fetch it again.') from error
    return size


LEAST_VOXEL_MM = 0.05
"""Edge of a voxel below which the grid is not in millimetres; no scanner of people has it."""

MOST_VOXEL_MM = 100.0
"""Least edge of a voxel above which the grid is not in millimetres; a head has two such voxels."""


def _check_grid(path: Path, image: ImageOnDisk) -> None:
    """Refuse a grid that lies nowhere."""
    affine = np.asarray(image.affine, dtype=float)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) == 0:
        raise InputDataError(
            f'{path}: the affine in its header is no grid (voxels of {edges.tolist()} mm); '
            'convert the images again.'
        )
    if edges.min() > MOST_VOXEL_MM:
        raise InputDataError(
            f'{path}: voxels of {edges.max():g} mm, so that its grid seems to be in micrometres; '
            'write it in mm.'
        )
    if edges.max() < LEAST_VOXEL_MM:
        unit = 'metres' if edges.max() >= 1e-4 else 'another unit'
        raise InputDataError(
            f'{path}: voxels of {edges.max():g} mm, so that its grid seems to be in {unit}; '
            'write it in mm.'
        )


def read_gradients(bval: Path, bvec: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read FSL gradient files in whichever orientation they are.

    Parameters
    ----------
    bval, bvec : Path
        Text files; directions may be in MRtrix3's rows x, y, z, b (``.b``).

    Returns
    -------
    bvals : (n_volumes,) ndarray
        In s/mm2.
    bvecs : (n_volumes, 3) ndarray
        As written in the file.

    Raises
    ------
    InputDataError
        If they are no numbers or do not fit each other.
    """
    tables = []
    for path in (bval, bvec):
        check_readable(path)
        try:
            tables.append(number_table(read_whole(path)))
        except InputDataError:
            raise
        except (ValueError, OverflowError, MemoryError) as error:
            raise InputDataError(
                f'{path} does not hold numbers separated by spaces ({_short(error)}); convert the '
                'images again, or write the table by hand.'
            ) from error
    bvals = tables[0].ravel()
    # MRtrix3's table has the b-value behind the direction
    bvecs = tables[1][:, :3] if bvec.suffix == MRTRIX else tables[1]
    # FSL writes three rows; tables of three columns are met with, too
    if bvecs.shape[0] == 3 and bvecs.shape[1] == bvals.size:
        bvecs = bvecs.T
    if bvecs.shape != (bvals.size, 3):
        raise InputDataError(
            f'{bvec} has shape {tables[1].shape}, but {bval.name} has {bvals.size} b-values; '
            'expected 3 rows with one column each: fetch both again, or convert the images again.'
            + _table_hint(bvecs.shape, bvals.size)
        )
    return bvals, bvecs


def _table_hint(shape: tuple[int, ...], n_volumes: int) -> str:
    """Name the program whose tables have four columns."""
    if shape not in ((n_volumes, 4), (4, n_volumes)):
        return ''
    return (
        ' Four numbers a volume make a table of MRtrix3, in the frame of the scanner: export it '
        'by mrconvert -export_grad_fsl.'
    )


def _short(error: Exception, limit: int = 60) -> str:
    """Cut a message that quotes a whole line of a file."""
    text = str(error)
    return text if len(text) <= limit else f'{text[:limit]} ...'


def check_dwi_run(run: DwiRun) -> tuple[np.ndarray, np.ndarray]:
    """Refuse a diffusion series that does not fit its gradient table, and return the table.

    Parameters
    ----------
    run : DwiRun
        Image, b-values and directions that BIDS' inheritance has put together.

    Returns
    -------
    bvals : (n_volumes,) ndarray
        In s/mm2.
    bvecs : (n_volumes, 3) ndarray
        As written in the file.

    Raises
    ------
    MissingInputError, InputDataError
        With the reason.
    """
    shape = check_image(run.image, (3, 4), minimum_size=2)
    n_volumes = shape[3] if len(shape) == 4 else 1
    bvals, bvecs = read_gradients(run.bval, run.bvec)
    if bvals.size != n_volumes:
        raise InputDataError(
            f'{run.image} has {n_volumes} volume{"s" * (n_volumes > 1)}, but {run.bval} has '
            f'{bvals.size} b-value{"s" * (bvals.size > 1)}; one is needed for each volume: fetch '
            'both again, or convert the images again.'
        )
    return bvals, bvecs
