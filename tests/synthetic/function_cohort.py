"""Cohorts with functional results at the level of tables, with planted differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.derivatives.outputs import output_path
from bids_acc.func.regions import seitzman_regions
from tests.synthetic.bids_folder import write_dataset

GROUPS = ('HC', 'responder', 'resistant')
MARKERS = ('sgACC_DMN', 'sgACC_DLPFC', 'sgACC_control', 'sgACC_amygdala', 'amygdala_salience',
           'within_DMN', 'within_salience', 'DMN_control')  # fmt: skip


def write_cohort(
    root: Path,
    rng: np.random.Generator,
    *,
    n_per_group: int = 12,
    effect: float = 0.0,
    motion_effect: float = 0.0,
    n_regions: int = 30,
    sessions: tuple[str | None, ...] = (None,),
) -> pd.DataFrame:
    """Write an output folder of the participant level; return who is in it.

    The resistant have ``effect`` more sgACC-DMN connectivity (SD 1 within groups);
    ``motion_effect`` is how much Fisher's z of every edge rises with 1 mm of motion. At each later
    session the resistant have ``effect`` less of it than at the one before; the first marker is
    otherwise the same at all of them up to half a standard deviation.
    """
    write_dataset(root, DatasetType='derivative', GeneratedBy=[{'Name': 'bids_acc'}])
    people = []
    regions = [r for r in seitzman_regions() if r.network in ('DefaultMode', 'FrontoParietal')]
    regions = regions[:: max(1, len(regions) // n_regions)][:n_regions]
    for number in range(3 * n_per_group):
        label, group = f'{number + 1:03d}', GROUPS[number % 3]
        motion = float(rng.gamma(4, 0.05))
        who = {'participant_id': f'sub-{label}', 'group': group, 'fd': motion,
               'age': float(rng.normal(35, 8)), 'sex': 'FM'[int(rng.integers(2))]}  # fmt: skip
        people.append(who)
        own = float(rng.standard_normal())
        for visit, session in enumerate(sessions):
            entities = {'subject': label, 'task': 'rest'}
            if session is not None:
                entities['session'] = session
            spread = own if visit == 0 else own + 0.5 * float(rng.standard_normal())
            marker = spread + effect * (1 - visit) * (group == 'resistant')
            _write_person(root, entities, who, rng, regions, marker, motion_effect)
    table = pd.DataFrame(people)
    shown = table.drop(columns='fd')
    shown.to_csv(root / 'participants.tsv', sep='\t', index=False)
    return table


def _write_person(root, entities, who, rng, regions, marker, motion_effect) -> None:
    """Write the tables of one person at one session."""

    def keep(key: str, frame: pd.DataFrame) -> None:
        path = output_path(key, root, entities)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, sep='\t', index=False, na_rep='n/a')

    z = rng.standard_normal(len(MARKERS))
    z[0] = marker
    keep('func_markers', pd.DataFrame({'marker': MARKERS, 'z': z, 'sd': 0.15, 'dof': 44.0,
                                       'n_pairs': 60, 'reason': np.nan}))  # fmt: skip
    names = [f'{part}anteriorcingulate' for part in ('rostral', 'caudal')]
    rows = [
        {'hemisphere': side, 'atlas': 'Desikan', 'region': name, 'n_vertices': 100,
         'coverage': 1.0, 'tsnr': 60.0, 'reho': 0.15 + 0.02 * rng.standard_normal(),
         'alff': 1 + 0.1 * rng.standard_normal(), 'alffz': 0.0,
         'falff': 0.5 + 0.02 * rng.standard_normal()}
        for side in 'LR' for name in names
    ]  # fmt: skip
    keep('func_parcels', pd.DataFrame(rows))
    keep('func_qc', pd.DataFrame([{
        'n_runs': 1, 'n_volumes': 200, 'n_kept': 200, 'minutes_left': 6.7, 'fd_mean': who['fd'],
        'dof': 44.0, 'tsnr_median': 60.0, 'acc_coverage_L': 1.0, 'acc_coverage_R': 1.0,
        'gate': 'pass', 'gate_reason': np.nan,
    }]))  # fmt: skip
    keep('func_regions', pd.DataFrame([
        {'region': r.name, 'kind': 'seitzman', 'network': r.network,
         **dict(zip('xyz', r.spheres[0][:3], strict=True)), 'radius_mm': r.spheres[0][3]}
        for r in regions
    ]))  # fmt: skip
    edges = 0.2 + 0.15 * rng.standard_normal((len(regions),) * 2) + motion_effect * who['fd']
    r = np.tanh((edges + edges.T) / 2)
    np.fill_diagonal(r, 1.0)
    matrix = pd.DataFrame(r, columns=[region.name for region in regions])
    matrix.insert(0, 'Node', list(matrix.columns))
    keep('func_matrix', matrix)
