"""BOLD series of one visit: networks, and all that stands between them and the image.

Each source of error can be switched off, so that its price can be told (`Effects`). What is drawn
is known: the series of all regions, where the head was in each volume, the displacement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_acc.demo.anatomy import Anatomy
from bids_acc.demo.networks import (
    RegionSeries,
    Shares,
    band_noise,
    draw_series,
    regions,
    shares_at,
)
from bids_acc.demo.structural import blur_to
from bids_acc.demo.templates import FloatMap, Head
from bids_acc.demo.warp import apply_affine, rigid, sample, to_voxels
from bids_acc.typing import BoolArray, FloatArray

DENSITY = {'GM': 0.85, 'WM': 0.72, 'CSF': 1.0}
"""Signal of each tissue without T2* decay, arbitrary units."""
T2STAR_S = {'GM': 0.050, 'WM': 0.048, 'CSF': 0.120}
"""At 3 T: grey and white matter after Peters et al. 2007, Magn Reson Imaging 25:748
(https://doi.org/10.1016/j.mri.2007.02.014), rounded; fluid much longer."""
LEVEL = 6000.0
"""Stored intensity of a signal of one."""

NEURAL = 0.012
"""Standard deviation of grey matter's signal by its region's series, as a share of the signal, at
an echo time of `REFERENCE_TE_S`."""
REFERENCE_TE_S = 0.030
BACKGROUND = 0.012
"""The same of activity that belongs to no region."""
N_BACKGROUND = 600
"""Places of background activity."""

CARDIAC_HZ, RESPIRATION_HZ = 1.05, 0.28
PULSATION = 0.03
"""Amplitude of the heart beat in fluid."""
BREATHING = 0.004
"""Amplitude of breathing in the whole brain."""
SLOW_BREATHING = 0.006
"""Standard deviation of the slow change of the whole brain with depth of breathing."""
DRIFT = 0.015
SPIN_HISTORY = 0.012
"""Loss of signal for each mm of framewise displacement."""

FIELD_CENTRES = (((0.0, 42.0, -24.0), 14.0, 1.0), ((-46.0, -18.0, -30.0), 11.0, -0.6),
                 ((46.0, -18.0, -30.0), 11.0, -0.6))  # fmt: skip
"""Centre (MNI mm), standard deviation (mm) and height of bumps of the field: above the sinuses and
beside the petrous bones."""
DROPOUT_CENTRES = (((0.0, 36.0, -24.0), 10.0), ((-48.0, -20.0, -34.0), 9.0),
                   ((48.0, -20.0, -34.0), 9.0))  # fmt: skip
DROPOUT_R2 = 45.0
"""Additional decay at their centres, 1/s."""

HEAD_BOX_MM = ((-78.0, 78.0), (-112.0, 78.0), (-78.0, 88.0))
HEAD_STEP_MM = 2.0
"""Grid of the head's own frame on which its maps are kept."""


@dataclass(frozen=True)
class Protocol:
    """How a series is acquired."""

    shape: tuple[int, int, int] = (64, 64, 36)
    voxel_mm: float = 3.5
    repetition_time: float = 2.0
    n_volumes: int = 200
    multiband: int = 1
    echo_times: tuple[float, ...] = (0.030,)
    direction: str = 'j-'
    """PhaseEncodingDirection."""
    tilt_deg: float = 8.0
    """Rotation of the slices about the left-right axis."""
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Middle of the field of view in the scanner; the head comes along."""

    @property
    def affine(self) -> FloatArray:
        """Voxel to scanner, mm; stored left-to-right reversed and tilted, as scanners do."""
        matrix = np.eye(4)
        matrix[:3, :3] = rigid([0, 0, 0], [self.tilt_deg, 0, 0])[:3, :3] * self.voxel_mm
        matrix[:3, 0] *= -1
        middle = 0.5 * (np.array(self.shape) - 1)
        matrix[:3, 3] = np.array(self.centre_mm) - matrix[:3, :3] @ middle
        return matrix

    @property
    def slice_times(self) -> list[float]:
        """Time of each slice after the start of its volume: every second slice first."""
        n_shots = self.shape[2] // self.multiband
        order = [*range(0, n_shots, 2), *range(1, n_shots, 2)]
        times = np.empty(n_shots)
        times[order] = np.arange(n_shots) * self.repetition_time / n_shots
        return [round(float(t), 5) for t in np.tile(times, self.multiband)]

    @property
    def phase_axis(self) -> FloatArray:
        """Unit vector of phase encoding in the scanner."""
        axis = self.affine[:3, 'ijk'.index(self.direction[0])] / self.voxel_mm
        return -axis if self.direction.endswith('-') else axis

    def sidecar(self, echo: int = 0) -> dict[str, object]:
        """Return the sidecar of one echo, as a scanner's converter would write it.

        Parameters
        ----------
        echo : int
            Position among ``echo_times``.

        Returns
        -------
        dict
            Times in s.
        """
        return {
            'RepetitionTime': self.repetition_time,
            'EchoTime': self.echo_times[echo],
            'FlipAngle': 75,
            'MagneticFieldStrength': 3,
            'Manufacturer': 'Siemens',
            'PhaseEncodingDirection': self.direction,
            'TotalReadoutTime': 0.03,
            'SliceTiming': self.slice_times,
            'TaskName': 'rest',
        }


@dataclass(frozen=True)
class Effects:
    """Noise, motion, distortion and other disturbances of a simulated series."""

    tsnr: float | None = 60.0
    """Signal of grey matter over the standard deviation of thermal noise; None without noise."""
    background: bool = True
    physiology: bool = True
    drift: bool = True
    motion_mm: float = 0.02
    """Standard deviation of the head's step between volumes (and degrees)."""
    spikes: tuple[float, ...] = ()
    """Size (mm and degrees) of sudden movements, spread over the run."""
    slice_timing: bool = True
    """Whether slices are acquired one after another."""
    distortion_mm: float = 0.0
    """Displacement at the strongest place of the field."""
    dropout: bool = True
    n_dummy: int = 0
    """Volumes before the steady state at the start."""


DEMO = Protocol(shape=(34, 42, 34), voxel_mm=5.0, repetition_time=3.0, n_volumes=104, tilt_deg=7.0)
"""Coarse, and as long as the gate asks for: it is the demo that must be quick."""
DEMO_EFFECTS = Effects(n_dummy=2, distortion_mm=1.5)
RESTLESS_EFFECTS = replace(
    DEMO_EFFECTS, motion_mm=0.12, spikes=(2.0, 3.0, 1.5, 2.5, 3.0, 2.0, 1.5, 3.0)
)
"""Of the participant who moves too much for the gate."""

CLEAN = Effects(
    tsnr=None, background=False, physiology=False, drift=False, motion_mm=0.0, slice_timing=False,
    dropout=False,
)  # fmt: skip
"""Nothing but the networks."""


@dataclass(frozen=True)
class BoldTruth:
    """What is in the images."""

    series: RegionSeries
    motion: FloatArray
    """(n_volumes, 4, 4) movement of the head, scanner coordinates."""
    volume_times: FloatArray
    """(n_volumes,) start of each volume, s."""


@dataclass(frozen=True)
class HeadMaps:
    """What does not change in time, on a grid of the head's own frame."""

    affine: FloatArray
    shape: tuple[int, int, int]
    density: FloatMap
    """Signal without decay."""
    decay: FloatMap
    """R2* times density, 1/s, so that it may be interpolated."""
    grey: FloatMap
    """Share of grey matter in the density, times density."""
    fluid: FloatMap
    field: FloatMap
    """Displacement of one mm at the strongest place."""
    nodes: Shares
    background: Shares
    rows: npt.NDArray[np.int32]
    """Row of `nodes` and `background` of each voxel; 0 where there is no brain."""

    def at(self, name: str, voxels: FloatArray) -> FloatArray:
        """Interpolate a map at voxel coordinates (rows).

        Parameters
        ----------
        name : str
            Of a field that is a map, such as ``density``.
        voxels : (n, 3) ndarray
            Indices on the grid of the maps.

        Returns
        -------
        (n,) ndarray
            Linear; zero outside.
        """
        return sample(getattr(self, name), voxels)

    def rows_at(self, voxels: FloatArray) -> npt.NDArray[np.int32]:
        """Return the row of `nodes` at voxel coordinates.

        Parameters
        ----------
        voxels : (n, 3) ndarray
            Indices on the grid of the maps; the nearest voxel counts.

        Returns
        -------
        (n,) ndarray of int32
            0 where there is no brain.
        """
        nearest = np.rint(voxels).astype(int)
        top = np.array(self.shape) - 1
        flat = np.ravel_multi_index(tuple(np.clip(nearest, 0, top).T), self.shape)
        return np.asarray(self.rows[flat])


def blurred_tissues(head: Head, voxel_mm: float) -> FloatMap:
    """Blur the template's tissues as voxels of this size do.

    Parameters
    ----------
    head : Head
        Template, 1 mm.
    voxel_mm : float
        Edge of the series' voxels, which is the full width at half maximum.

    Returns
    -------
    (3, x, y, z) ndarray of float32
        Grey matter, white matter and CSF.
    """
    return np.stack([blur_to(tissue, voxel_mm) for tissue in head.tissues])


def head_maps(
    head: Head, tissues: FloatMap, anatomy: Anatomy, rng: np.random.Generator, *, dropout: bool
) -> HeadMaps:
    """Map tissues, network regions and field inhomogeneity of the template into one head.

    Parameters
    ----------
    head : Head
    tissues : (3, x, y, z) ndarray of float32
        From `blurred_tissues`.
    anatomy : Anatomy
    rng : numpy.random.Generator
        Draws the places of background activity.
    dropout : bool
        Whether signal is lost above the sinuses.
    """
    low, high = np.array(HEAD_BOX_MM).T
    affine = np.diag([HEAD_STEP_MM] * 3 + [1.0])
    affine[:3, 3] = low
    size = ((high - low) / HEAD_STEP_MM).astype(int) + 1
    shape = (int(size[0]), int(size[1]), int(size[2]))
    points = apply_affine(affine, np.indices(shape, dtype=float).reshape(3, -1).T)
    template = anatomy.head_to_template(points)
    voxels = to_voxels(head.affine, template)
    share = np.stack([sample(tissue, voxels) for tissue in tissues])
    density = share * np.array([DENSITY[t] for t in ('GM', 'WM', 'CSF')])[:, None]
    rates = np.array([1 / T2STAR_S[t] for t in ('GM', 'WM', 'CSF')])
    lost = _bumps(template, [(*c, 1.0) for c in DROPOUT_CENTRES]) * (DROPOUT_R2 if dropout else 0)
    total = density.sum(axis=0)
    brain = np.flatnonzero(total > 0.05)
    rows = np.zeros(len(points), dtype=np.int32)
    rows[brain] = np.arange(1, len(brain) + 1)
    places = template[rng.choice(brain, N_BACKGROUND, replace=False)]

    def as_map(values: FloatArray) -> FloatMap:
        return np.ascontiguousarray(values.reshape(shape), dtype=np.float32)

    return HeadMaps(
        affine, shape,
        density=as_map(total),
        # Rate times density: interpolating rates themselves would mix tissue with the zero of what
        # is no tissue.
        decay=as_map(rates @ density + lost * total),
        grey=as_map(density[0]),
        fluid=as_map(density[2]),
        field=as_map(_bumps(template, FIELD_CENTRES)),
        nodes=_with_nothing(shares_at(template[brain], regions().centres)),
        background=_with_nothing(shares_at(template[brain], places, sd_mm=8.0)),
        rows=rows,
    )  # fmt: skip


def _bumps(
    points: FloatArray, bumps: Sequence[tuple[tuple[float, float, float], float, float]]
) -> FloatArray:
    """Add up Gaussian bumps."""
    total = np.zeros(len(points))
    for centre, sd, height in bumps:
        gap = ((points - np.array(centre)) ** 2).sum(axis=1)
        total += height * np.exp(-0.5 * gap / sd**2)
    return total


def _with_nothing(shares: Shares) -> Shares:
    """Put a first row in which no region has a share."""
    return Shares(
        np.vstack([np.zeros_like(shares.indices[:1]), shares.indices]),
        np.vstack([np.zeros_like(shares.weights[:1]), shares.weights]).astype(np.float32),
    )


def draw_motion(n_volumes: int, effects: Effects, rng: np.random.Generator) -> FloatArray:
    """Draw a slow walk of the head with sudden movements; it begins where the head was put.

    Parameters
    ----------
    n_volumes : int
        Length of the series.
    effects : Effects
        ``motion_mm`` is the SD of a step (mm and degrees), ``spikes`` the sudden movements.
    rng : numpy.random.Generator
        Draws steps and directions.

    Returns
    -------
    (n_volumes, 4, 4) ndarray
        Movement in scanner coordinates, about the scanner's centre.
    """
    steps = effects.motion_mm * rng.standard_normal((n_volumes, 2, 3))
    steps[0] = 0
    path = np.cumsum(steps, axis=0)
    path -= 0.02 * np.cumsum(path, axis=0)  # the head stays about where it was put
    path -= path[0]
    when = np.linspace(0, n_volumes, len(effects.spikes) + 2)[1:-1].astype(int)
    for volume, size in zip(when, effects.spikes, strict=True):
        direction = rng.standard_normal((2, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        path[volume : volume + 2] += size * direction  # there and, after two volumes, back
    return np.stack([rigid(shift, turn) for shift, turn in path])


def simulate(
    protocol: Protocol,
    maps: HeadMaps,
    anatomy: Anatomy,
    effects: Effects,
    coupling: float,
    rng: np.random.Generator,
) -> tuple[list[npt.NDArray[np.int16]], BoldTruth]:
    """Compute all volumes of one run.

    Parameters
    ----------
    protocol : Protocol
    maps : HeadMaps
    anatomy : Anatomy
        With the placement of the head about the scanner's centre; the protocol's ``centre_mm`` is
        added.
    effects : Effects
    coupling : float
        Of the subgenual cingulate with the default-mode network, see `draw_series`.
    rng : numpy.random.Generator

    Returns
    -------
    images : list of (i, j, k, n_volumes) ndarray of int16
        One for each echo.
    truth : BoldTruth
    """
    seconds = protocol.n_volumes * protocol.repetition_time
    series = draw_series(regions(), seconds, coupling, rng)
    away = rigid(protocol.centre_mm, [0, 0, 0])
    motion = draw_motion(protocol.n_volumes, effects, rng)
    motion = away @ motion @ np.linalg.inv(away)
    starts = protocol.repetition_time * np.arange(protocol.n_volumes, dtype=np.float64)
    run = _Run.prepare(protocol, maps, away @ anatomy.placement, effects, series, rng)
    images = [
        np.zeros((protocol.n_volumes, *protocol.shape), dtype=np.int16)
        for _ in protocol.echo_times
    ]
    moved = np.append(0, np.abs(np.diff(motion[:, :3, 3], axis=0)).sum(axis=1))
    for volume, start in enumerate(starts):
        signals = run.volume(motion[volume], start, moved[volume], volume)
        for image, signal in zip(images, signals, strict=True):
            image[volume] = run.stored(signal)
    return [np.moveaxis(image, 0, -1) for image in images], BoldTruth(series, motion, starts)


@dataclass(frozen=True)
class _Run:
    """What is the same in all volumes of a run."""

    protocol: Protocol
    maps: HeadMaps
    placement: FloatArray
    effects: Effects
    series: RegionSeries
    background: RegionSeries
    breath: RegionSeries
    """Two slow series: depth of breathing, and wandering of the heart rate."""
    points: FloatArray
    """(n, 3) scanner coordinates of voxels near the brain."""
    near: BoolArray
    """All voxels: whether they are among `points`."""
    slices: npt.NDArray[np.int64]
    drift: FloatArray
    rng: np.random.Generator

    @classmethod
    def prepare(
        cls, protocol: Protocol, maps: HeadMaps, placement: FloatArray, effects: Effects,
        series: RegionSeries, rng: np.random.Generator,
    ) -> _Run:  # fmt: skip
        """Find the voxels near the brain, and draw what varies slowly.

        Parameters
        ----------
        protocol : Protocol
            How the series is acquired.
        maps : HeadMaps
            Of the head.
        placement : (4, 4) ndarray
            Head to scanner, mm.
        effects : Effects
            What disturbs the series.
        series : RegionSeries
            Of the regions.
        rng : numpy.random.Generator
            Draws background, breathing and drift.
        """
        voxels = np.indices(protocol.shape, dtype=float).reshape(3, -1).T
        points = apply_affine(protocol.affine, voxels)
        size = np.array(maps.shape)
        head = to_voxels(maps.affine, to_voxels(placement, points))
        # the brain, and as far around as it may be moved or displaced
        coarse = replace(maps, density=_spread(maps.density)).at('density', head)
        near = (coarse > 0.01) & ((head > -8) & (head < size + 8)).all(axis=1)
        n_samples = series.values.shape[1]
        slow = [RegionSeries(band_noise((count, n_samples), rng), series.start_s)
                for count in (N_BACKGROUND, 2)]  # fmt: skip
        inside = points[near]
        tilt = rng.standard_normal(3)
        slope = (inside - inside.mean(axis=0)) @ tilt / 60
        return cls(protocol, maps, placement, effects, series, slow[0], slow[1], inside, near,
                   voxels[near, 2].astype(int), slope, rng)  # fmt: skip

    def volume(
        self, motion: FloatArray, start: float, moved: float, number: int
    ) -> list[FloatArray]:
        """Return the signal of each echo at `points`.

        Parameters
        ----------
        motion : (4, 4) ndarray
            Movement of the head in scanner coordinates.
        start : float
            Of the volume, s.
        moved : float
            Path of the head since the volume before, mm.
        number : int
            Of the volume; the first ones are not in the steady state.

        Returns
        -------
        list of (n,) ndarray
            In the unit of `DENSITY`, in which CSF without decay is 1.
        """
        maps, effects = self.maps, self.effects
        times = np.array(self.protocol.slice_times) if effects.slice_timing else np.full(
            self.protocol.shape[2], self.protocol.repetition_time / 2
        )  # fmt: skip
        where, squeeze = self._sources(motion @ self.placement)
        density = maps.at('density', where)
        grey, fluid = maps.at('grey', where), maps.at('fluid', where)
        rate = maps.at('decay', where) / np.maximum(density, 1e-6)
        rows = maps.rows_at(where)
        neural = NEURAL * self._activity(self.series, maps.nodes, rows, start + times)
        if effects.background:
            neural += BACKGROUND * self._activity(
                self.background, maps.background, rows, start + times
            )
        other = self._other(start + times, start, moved, fluid, density)
        # Magnetisation before the steady state: brighter, and less so with every excitation.
        relaxed = 1 + (0.35 * 0.3**number if number < effects.n_dummy else 0.0)
        signals = []
        for echo_time in self.protocol.echo_times:
            decay = np.exp(-echo_time * rate) * squeeze * relaxed
            # The BOLD effect is a change of T2*: it grows with the echo time.
            change = neural * grey * echo_time / REFERENCE_TE_S
            signals.append(decay * (density * (1 + other) + change))
        return signals

    def _sources(self, placement: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Tell whose signal each voxel shows (voxels of the head's maps), and how piled up."""
        field = self.effects.distortion_mm
        first = to_voxels(self.maps.affine, to_voxels(placement, self.points))
        if not field:
            return first, np.ones(len(first))
        # one mm along the phase encoding, in voxels of the head's maps
        turn = np.linalg.inv(placement[:3, :3]) @ self.protocol.phase_axis / HEAD_STEP_MM
        where = first
        # The voxel shows the signal of the place that the field brought there, and the field is
        # known at that place: found by going back and forth.
        for _ in range(4):
            where = first - field * self.maps.at('field', where)[:, None] * turn
        ahead, behind = (self.maps.at('field', where + sign * turn) for sign in (1, -1))
        return where, 1 / np.maximum(1 + field * (ahead - behind) / 2, 0.3)

    def _activity(
        self, series: RegionSeries, shares: Shares, rows: npt.NDArray[np.int32], times: FloatArray
    ) -> FloatArray:
        """Add up the series of the regions that share in each point, at its slice's time."""
        values = series.at(times).astype(np.float32)
        found = values[shares.indices[rows], self.slices[:, None]]
        return np.asarray((shares.weights[rows] * found).sum(axis=1), dtype=float)

    def _other(
        self, times: FloatArray, start: float, moved: float, fluid: FloatArray,
        density: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """Return relative changes that are no activity."""
        total = np.zeros(len(self.points))
        if self.effects.physiology:
            slow = self.breath.at(times)[:, self.slices]
            now = times[self.slices]
            heart = np.cos(2 * np.pi * CARDIAC_HZ * now + 1.5 * slow[1])
            total += PULSATION * fluid / np.maximum(density, 1e-6) * heart
            total += BREATHING * np.cos(2 * np.pi * RESPIRATION_HZ * now + slow[0])
            total += SLOW_BREATHING * slow[0]
        if self.effects.drift:
            seconds = self.protocol.n_volumes * self.protocol.repetition_time
            total += DRIFT * self.drift * (start / seconds - 0.5)
        return total - SPIN_HISTORY * moved

    def stored(self, signal: FloatArray) -> npt.NDArray[np.int16]:
        """Put the signal of a volume among noise, and store it as scanners do.

        Parameters
        ----------
        signal : (n,) ndarray
            From `volume`.

        Returns
        -------
        (x, y, z) ndarray of int16
            Rician noise where the effects have a tSNR.
        """
        image = np.zeros(len(self.near))
        image[self.near] = signal
        if self.effects.tsnr is not None:
            level = DENSITY['GM'] * np.exp(-REFERENCE_TE_S / T2STAR_S['GM'])
            noise = self.rng.standard_normal((2, len(image)), dtype=np.float32)
            noise *= level / self.effects.tsnr
            # Magnitude of a complex signal with noise in both channels: Rician, as scanners store
            # it.
            image = np.hypot(image + noise[0], noise[1])
        return np.rint(LEVEL * image).astype(np.int16).reshape(self.protocol.shape)


def _spread(density: FloatMap) -> FloatMap:
    """Blur the density over some 8 mm around the brain."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(density, 8.0 / HEAD_STEP_MM), dtype=np.float32)
