"""The preprocessed run: what fMRIPrep leaves and what the built-in line makes, in one shape.

This is the border between preparing a BOLD series and measuring in it. A run consists of files
and facts:

``bold``
    One 4D NIfTI image whose header places it in ``space``, head motion corrected; or two
    ``func.gii``, left and right, one data array per volume. Any intensity scale, not demeaned, not
    filtered, not denoised, no confound regressed. Where there is no signal, values are 0 or NaN.
``mask``
    Brain on the grid of ``bold`` (3D NIfTI, > 0); none for ``func.gii``. Only what is outside the
    head is kept out by it: coverage is judged by the signal.
``confounds``
    Table with **one row for each volume of ``bold``** and the column names of fMRIPrep's
    ``desc-confounds_timeseries.tsv``: ``trans_x, trans_y, trans_z`` (mm), ``rot_x, rot_y, rot_z``
    (radians) with ``_derivative1``, ``_power2`` and ``_derivative1_power2``;
    ``framewise_displacement`` (mm, Power 2012, 50 mm), ``dvars``, ``std_dvars``;
    ``white_matter``, ``csf``, ``global_signal`` with the same three; ``a_comp_cor_00`` ...;
    ``cosine00`` ...; ``non_steady_state_outlier00`` ... What a derivative of the first volume
    cannot have is ``n/a``.
``sidecar``
    JSON beside it: for each ``a_comp_cor_*`` the fields ``Mask`` (``WM``, ``CSF`` or
    ``combined``), ``Method``, ``Retained``, ``SingularValue``, ``VarianceExplained``, as fMRIPrep
    writes them.
``facts``
    See `RunFacts`.

``n_dummy`` volumes at the start of ``bold`` **and** of the table are not of the steady state and
are dropped before anything is filtered; both sources leave them in, so that times of events hold.

In a graph a session's runs travel as five lists of equal length, one item for each run
(`RUN_FIELDS`): a builder that prepares runs has them on its ``outputnode``, the builder that
measures has them on its ``inputnode``. ``bold_files`` holds a list of one or two paths for each
run, ``mask_files`` and ``confounds_sidecars`` hold ``''`` where there is none, ``run_facts`` holds
``RunFacts.as_dict()``.

The built-in line gives ``space`` ``T1w`` (or ``bold`` where there is no T1w image: then the series
is on its own grid, and no vertex or region is measured) and ``source`` ``built-in``; its grid
keeps about the acquired voxel size, since ReHo counts neighbours on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

RUN_FIELDS = ('bold_files', 'mask_files', 'confounds_files', 'confounds_sidecars', 'run_facts')
"""Names under which the runs of a session travel through a graph."""

BUILTIN = 'built-in'
"""``source`` of a run that the built-in line prepared."""


@dataclass(frozen=True)
class RunFacts:
    """What is known of a preprocessed run besides its files."""

    name: str
    """Entities that tell it from other runs of the session, such as ``task-rest_run-1``."""
    task: str
    """Label of the task."""
    repetition_time: float
    """From the sidecar, in s; never from the header."""
    start_time: float
    """Time within the TR to which slices were interpolated, in s; half a TR when they were not."""
    space: str
    """``T1w``, ``MNI152NLin2009cAsym``, ``MNI152NLin6Asym``, ``fsaverage`` or ``bold``."""
    source: str
    """``fMRIPrep 23.2.1``, or `BUILTIN`."""
    n_dummy: int = 0
    """Volumes at the start that are still in the files and are to be dropped."""
    entities: Mapping[str, str] = field(default_factory=dict)
    """BIDS entities of the raw series, as PyBIDS names them."""
    events: str = ''
    """Path of the table of events; empty without one."""
    notes: tuple[str, ...] = ()
    """What was assumed, translated or could not be done, as sentences."""
    overlap: float | None = None
    """Dice of the brains of series and T1w image, where the run was aligned here: the mask of its
    series is then the T1w image's own, which tells nothing."""

    def as_dict(self) -> dict[str, object]:
        """Return what a graph can carry."""
        return {**asdict(self), 'entities': dict(self.entities), 'notes': list(self.notes)}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> RunFacts:
        """Return the facts that `as_dict` described.

        Parameters
        ----------
        facts : mapping
            ``notes`` may be a list, as JSON has it, or absent.

        Examples
        --------
        >>> facts = RunFacts('task-rest', 'rest', 2.0, 1.0, 'T1w', BUILTIN, notes=('a.',))
        >>> RunFacts.from_dict(facts.as_dict()) == facts
        True
        """
        return cls(**{**facts, 'notes': tuple(facts.get('notes', ()))})
