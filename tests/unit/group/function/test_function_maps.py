"""ReHo and fALFF among the metrics that are factorized, through the group command."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nb
import numpy as np
import pandas as pd
import pytest

from bids_acc.cli.run import main
from bids_acc.derivatives.outputs import find_outputs, output_path
from bids_acc.surfaces.gifti import write_map
from tests.synthetic.derivatives import write_cohort

SOURCES = {'reho': ('anat_thickness', 0.25, 0.05), 'falff': ('anat_area', 0.5, 0.08)}
"""Where the shape of each functional map is taken from, its mean and standard deviation."""
FAST = ('--opnmf-k-range', '2', '3', '--opnmf-splits', '2', '--opnmf-bootstraps', '2')


def add_function(root: Path, rng: np.random.Generator, *, lost: str = '') -> None:
    """Write maps of function that have the parcels of structure; one person lost some signal."""
    for metric, (key, mean, sd) in SOURCES.items():
        for found in find_outputs(key, root):
            side, density = re.findall(r'hemi-([LR]).*den-([0-9]+k?)', found.path.name)[0]
            values = np.asarray(nb.load(found.path).agg_data(), dtype=float)
            values = mean + sd * (values - np.nanmean(values)) / np.nanstd(values)
            values += 0.3 * sd * rng.standard_normal(len(values))
            if found.entities['subject'] == lost:
                values[np.flatnonzero(np.isfinite(values))[:5]] = np.nan
            who = {'subject': found.entities['subject'], 'task': 'rest'}
            path = output_path(f'func_vertex_{metric}', root, who, hemisphere=side,
                               density=density)  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            write_map(path, values, side, metric)


@pytest.fixture(scope='module')
def analysed(tmp_path_factory) -> Path:
    """Return the folder of a model with parcels of three metrics."""
    root = tmp_path_factory.mktemp('function') / 'out'
    write_cohort(root, n_per_group=4)
    add_function(root, np.random.default_rng(1), lost='002')
    code = main([str(root), str(root), 'group', '--model', 'auto', '-w', str(root.parent / 'w'),
                 '--opnmf-components', '3', *FAST,
                 '--opnmf-metrics', 'thickness', 'reho', 'falff'])  # fmt: skip
    assert code == 0
    return root


@pytest.mark.slow
def test_parcels_of_function_and_structure(analysed):
    (folder,) = (p for p in (analysed / 'group').glob('model-*') if p.is_dir())
    measures = pd.read_csv(folder / 'measures.tsv', sep='\t').set_index('participant_id')
    for metric in ('thickness', 'reho', 'falff'):
        own = [c for c in measures if re.fullmatch(f'{metric}_c[0-9]_[LR]', c)]
        assert len(own) >= 3
        assert measures[own].notna().to_numpy().mean() > 0.9
    # a person who lost signal at a few vertices has parcels, of those that are left
    assert measures.loc['sub-002'].filter(regex='^reho_c').notna().all()
    reho = measures[[c for c in measures if c.startswith('reho_c')]]
    assert reho.mean().mean() == pytest.approx(0.25, abs=0.03)
