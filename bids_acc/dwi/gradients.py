"""The gradient table that goes with a series from node to node."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bids_acc.typing import FloatArray, IntArray


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
        """Return the table of some volumes.

        Parameters
        ----------
        volumes : (n,) array_like of int, or (n_volumes,) of bool
            Indices, or a mask, of the wanted volumes.

        Returns
        -------
        Gradients
            In that order; numbers of runs and groups stay.
        """
        chosen = np.asarray(volumes)
        return Gradients(*(getattr(self, entry.name)[chosen] for entry in fields(self)))

    def write(self, path: Path) -> Path:
        """Write a table that `read` understands.

        Parameters
        ----------
        path : Path
            Tab-separated, ten significant digits; for steps of the graph, no output.

        Returns
        -------
        Path
            ``path``.
        """
        parts = (self.bvals, self.directions, self.phase_axes, self.runs, self.groups, self.ratios)
        table = np.column_stack(parts)
        frame = pd.DataFrame(table, columns=list(self._COLUMNS))
        # Ten digits: a direction that is written and read again turns by less than any scanner's
        # precision.
        frame.to_csv(path, sep='\t', index=False, float_format='%.10g')
        return path

    @classmethod
    def read(cls, path: str | Path) -> Gradients:
        """Read what `write` wrote.

        Parameters
        ----------
        path : Path
            Of `write`.
        """
        table = pd.read_csv(path, sep='\t').to_numpy(dtype=float)
        runs, groups = table[:, 7:9].astype(np.int64).T
        return cls(table[:, 0], table[:, 1:4], table[:, 4:7], runs, groups, table[:, 9])
