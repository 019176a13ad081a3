"""Which rows each figure of the group level shows, so that a page can lead to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

POINTS = ('measures.tsv', 'its points')

FIGURE_ROWS: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({
    'forest_': (
        ('stats/posthoc.tsv', 'post hoc comparisons'), ('stats/mrs_group.tsv', 'metabolites'),
        ('stats/meta.tsv', 'cohorts together'),
    ),
    'groups_': (POINTS,),
    'relation_': (POINTS, ('stats/relation.tsv', 'the test')),
    'change_': (POINTS, ('stats/change.tsv', 'the tests')),
    'interaction_': (POINTS, ('stats/interactions.tsv', 'the tests')),
    'roc_': (('stats/prediction_participants.tsv', 'its rows'),),
    'calibration_': (('stats/prediction_participants.tsv', 'its rows'),),
    'decision_': (('stats/prediction_participants.tsv', 'its rows'),),
    'participant_flow': (
        ('qc/participant_flow.tsv', 'its rows'), ('qc/exclusions.tsv', 'who was left out'),
    ),
    'trials_': (('../clinical/timeline.tsv', 'its rows'),),
    'voxel_': (('voxels/*_overlap.tsv', 'its rows'),),
    'func_qcfc': (('qc/func_qcfc.tsv', 'its rows'), POINTS),
    'vertexwise_': (
        ('stats/vertexwise.tsv', 'the tests'),
        ('stats/vertexwise_clusters.tsv', 'what is significant'),
    ),
    # of a parcellation
    'desc-rank': (('opnmf/*rankcurves.tsv', 'its rows'),),
    'desc-confidence': (('opnmf/*vertexindex.tsv', 'its rows'),),
    'desc-parcels': (('opnmf/*vertexindex.tsv', 'its rows'),),
})  # fmt: skip
"""How the name of a figure begins, after its entities, and files with what they are to it."""


def rows_of(figure: Path) -> Iterator[tuple[Path, str]]:
    """Yield the tables that a figure was drawn from, as far as they are there.

    Parameters
    ----------
    figure : Path
        In a folder ``figures``; the tables lie beside that folder.

    Yields
    ------
    (Path, str)
        File, and what it is to the figure, with its cohort where there are several files.
    """
    root, own = figure.parent.parent, figure.name.partition('_desc-')[0]
    cohort = own if own.startswith('cohort-') else ''
    for start, files in FIGURE_ROWS.items():
        if not figure.name.removeprefix(f'{cohort}_' if cohort else '').startswith(start):
            continue
        for pattern, words in files:
            found = sorted(root.glob(pattern))
            named = [path for path in found if path.name.startswith(f'{cohort}_')]
            kept = named if cohort and named else found
            for path in kept:
                which = path.name.partition('_')[0].removeprefix('cohort-')
                yield path, f'{words} ({which})' if len(kept) > 1 else words
