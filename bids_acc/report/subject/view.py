"""What the sections of a subject's page are made of, and how they look things up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bids_acc.derivatives.outputs import (
    ENTITIES,
    FoundOutput,
    find_outputs,
    output_spec,
    read_sidecar,
)
from bids_acc.derivatives.status import StatusRow
from bids_acc.tables.labels import sessions_in_order


@dataclass(frozen=True)
class SubjectView:
    """A subject of the output folder, and what the run that writes the page knows besides."""

    output_dir: Path
    """Root of the derivative data set."""
    subject: str
    """Label without prefix."""
    status: Sequence[StatusRow]
    """What became of each modality of each session."""
    inputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row for each file that was read; ``session`` is its label with prefix, or empty."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Facts of the run: command, versions, date, seed, time."""

    @property
    def visits(self) -> list[str | None]:
        """Labels of the sessions without prefix, as people count them; None alone without any."""
        found = sessions_in_order(row.session_id for row in self.status if row.session_id)
        return [label.removeprefix('ses-') for label in found] or [None]

    def outputs(self, key: str, session: str | None) -> list[FoundOutput]:
        """Return the files of one output key.

        Parameters
        ----------
        key : str
            Row of the table of outputs, such as ``anat_thickness``.
        session : str or None
            Label without prefix; None where there are no sessions.
        """
        return find_outputs(key, self.output_dir, subject=self.subject, session=session)

    def tables(self, key: str, session: str | None) -> Iterator[tuple[FoundOutput, pd.DataFrame]]:
        """Yield each table of one output key, as read back.

        Parameters
        ----------
        key : str
            Row of the table of outputs that is a TSV.
        session : str or None
            Label without prefix; None where there are no sessions.
        """
        for found in self.outputs(key, session):
            table = read_table(found.path)
            if len(table):  # of a header alone there is no row to show
                yield found, table

    def sidecar(self, found: FoundOutput) -> dict[str, object]:
        """Return the metadata beside an output.

        Parameters
        ----------
        found : FoundOutput
            From `outputs`.

        Returns
        -------
        dict
            Empty without a sidecar.
        """
        return read_sidecar(found.path)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of the output folder; only ``n/a`` is missing.

    Parameters
    ----------
    path : Path
        Tab-separated.
    """
    return pd.read_csv(path, sep='\t', na_values='n/a', keep_default_na=False)


def what_differs(found: FoundOutput) -> str:
    """Name the acquisition, voxel or run, where a session has more than one.

    Parameters
    ----------
    found : FoundOutput
        One of several outputs of the same key.

    Returns
    -------
    str
        To stand behind a heading; empty where the name holds nothing else.

    Examples
    --------
    >>> from bids_acc.derivatives.outputs import parse_entities
    >>> name = 'sub-01_voi-acc_desc-mrsfit_svs.svg'
    >>> what_differs(FoundOutput('mrs_figure_fit', Path(name), parse_entities(name)))
    ' (voi-acc)'
    """
    hidden = {'subject', 'session', 'suffix', 'extension', *output_spec(found.key).entities}
    parts = [f'{ENTITIES[k]}-{v}' for k, v in found.entities.items() if k not in hidden]
    return f' ({" ".join(parts)})' if parts else ''
