"""Rows of the table ``treatment``: groups of the model against those of the treatment history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bids_acc.group.statistics.rows.kinds import Effect
from bids_acc.group.statistics.rows.row import Row, counts_text
from bids_acc.group.statistics.study.data import Study


def treatment_groups(
    study: Study, earlier: Mapping[str, pd.DataFrame], rng: np.random.Generator
) -> list[Row]:
    """Count for each group of the model which label the treatment history gave.

    Parameters
    ----------
    study : Study
        Data and model (``TreatmentHistory``).
    earlier : mapping of str to DataFrame
        Not used: this step looks at no other.
    rng : Generator
        Not used: nothing here is random.

    Returns
    -------
    list of Row
        One row a group and cohort, with the share of undetermined histories.
    """
    del earlier, rng
    name = study.model.content['TreatmentHistory']['Definition']
    if name is None or name not in study.baseline:
        return []
    rows = []
    if study.not_in_groups:
        number = sum(study.not_in_groups.values())
        rows.append(
            Row(
                analysis='treatment', response=name, term='in no group of the model', n=number,
                method='labels from the treatment history, rule by rule (see the trace)',
                note=counts_text(study.not_in_groups),
            )
        )  # fmt: skip
    for cohort, frame in study.cohorts():
        for group in study.group_levels(frame):
            # no label is no evidence against one: it is counted as what it is
            labels = frame.loc[frame['group'] == group, name].fillna('undetermined').astype(str)
            counts = {str(k): int(v) for k, v in labels.value_counts().sort_index().items()}
            rows.append(
                Row(
                    analysis='treatment', cohort=cohort, response=name, term=group,
                    n=len(labels), n_per_group={group: len(labels)},
                    effect=Effect('share_undetermined',
                                  counts.get('undetermined', 0) / len(labels)),
                    method='labels from the treatment history, rule by rule (see the trace)',
                    note=counts_text(counts),
                )
            )  # fmt: skip
    return rows
