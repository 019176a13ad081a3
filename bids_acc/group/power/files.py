"""What a simulation of studies found, as files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from bids_acc import __version__
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.power.figures import power_figure
from bids_acc.group.power.simulation import Assumptions
from bids_acc.group.statistics.tables import table_text
from bids_acc.report.figures import save_for_paper


def write_power(
    table: pd.DataFrame, model: str, given: Assumptions, seed: int, folder: Path
) -> None:
    """Write table, assumptions and curves.

    Parameters
    ----------
    table : DataFrame
        From `bids_acc.group.power.simulation.power_table`.
    model : str
        Name of the model.
    given : Assumptions
        What was assumed.
    seed : int
        Of the random numbers.
    folder : Path
        Receives ``power.tsv``, ``power.json`` and ``power.svg``, which is a PDF and a PNG in the
        folder ``paper`` as well.
    """
    write_bytes(folder / 'power.tsv', table_text(table).encode())
    record = {
        'Description': 'Share of simulated studies in which the declared model finds an assumed '
        'effect, with Wilson intervals (95 %)',
        'Model': model, 'Assumptions': asdict(given), 'Seed': seed, 'Version': __version__,
    }  # fmt: skip
    write_json(folder / 'power.json', record)
    save_for_paper(power_figure(table), folder / 'power.svg')
