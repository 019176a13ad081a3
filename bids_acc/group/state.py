"""What one run of the group level knows, handed from part to part."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bids_acc.derivatives.status import StatusRow
from bids_acc.group.cohort.acquisition import acquisition_table
from bids_acc.group.cohort.exclusions import Verdicts, exclusions_table
from bids_acc.group.cohort.quality import place_column
from bids_acc.group.cohort.reading import Cohort
from bids_acc.group.measures.table import Measures
from bids_acc.group.parcels.parcellation import ParcellationResult
from bids_acc.group.places.placement import Places
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.settings import Settings

LOGGER = logging.getLogger(__name__)


class NotPossibleError(Exception):
    """The data do not offer what this part needs."""


@dataclass
class GroupRun:
    """What one run of the group level has found so far."""

    output_dir: Path
    data_dir: Path
    """Where results are read: the same, or several output folders as one."""
    folder: Path
    """Where tables, figures and the page are written before they take their place."""
    settings: Settings
    cohort: Cohort
    model: Model | None = None
    parcellation: ParcellationResult | None = None
    parcels_name: str | None = None
    """Name of the folder of parcels."""
    verdicts: Verdicts = field(default_factory=Verdicts)
    """What raters left out."""
    images: pd.DataFrame | None = None
    """Criteria of the model's gates that images did not meet, one row each."""
    left_out: pd.DataFrame | None = None
    """Parcel values of sessions that the model's gates of images leave out."""
    regions_left_out: pd.DataFrame | None = None
    """Values of regions, in long form, of the sessions that gates of images leave out."""
    places: Places | None = None
    """Where the spectra were measured."""
    measures: Measures | None = None
    """The table that every analysis is computed from."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, list[tuple[Path, str, str]]] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """BIDS URIs of the participant level's files, by modality."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the head of the report."""
    processing: list[str] = field(default_factory=list)
    """How images and spectra were processed, for the methods."""
    status: list[StatusRow] = field(default_factory=list)

    def maps(self) -> list[str]:
        """Return the BIDS URIs of vertex maps that parcels can be found in."""
        known = [uri for modality in ('anat', 'dwi') for uri in self.inputs.get(modality, ())]
        return [uri for uri in known if uri.endswith('.gii')]

    def exclusions(self) -> pd.DataFrame:
        """Return who is left out of what, by which criterion; see `exclusions_table`."""
        maps = None if self.parcellation is None else self.parcellation.excluded
        return exclusions_table(self.cohort, self.verdicts, maps, self.images)

    def acquisition(self) -> pd.DataFrame:
        """Return how each modality was acquired in each cohort; see `acquisition_table`."""
        return acquisition_table(self.cohort.scanners, self.cohort.participants, self.place())

    def place(self) -> str | None:
        """Return the column that tells cohorts or sites; None without one."""
        people = self.cohort.participants
        named = None if self.model is None else self.model.cohort
        if named in people:
            return named
        return place_column(people)

    def note(self, text: str) -> None:
        """Log a warning and put it at the head of the report.

        Parameters
        ----------
        text : str
            One whole sentence.
        """
        LOGGER.warning('%s', text)
        self.notes.append(text)
