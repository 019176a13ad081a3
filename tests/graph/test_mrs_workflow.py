"""Which nodes and edges the graph has; one small run from raw files to tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.derivatives.outputs import find_outputs, load_table, read_sidecar
from bids_acc.exceptions import SettingsError
from bids_acc.mrs.basis.simulate import basis as simulate_basis
from bids_acc.mrs.basis.simulate import synthetic_fid
from bids_acc.mrs.scan.io import MrsData, write_nifti_mrs
from bids_acc.mrs.workflow.spectrum import init_mrs_wf
from bids_acc.settings import MrsSettings
from tests.synthetic.acquisition import residual_water, simulate_acquisition

ENTITIES = {'subject': '01', 'session': '1', 'acquisition': 'press', 'voi': 'ACC', 'suffix': 'svs'}


def build(tmp_path: Path, has_anat: bool = False, **settings: object) -> object:
    return init_mrs_wf(
        output_dir=tmp_path / 'out',
        entities=ENTITIES,
        settings=MrsSettings(**settings),
        has_anat=has_anat,
    )


def names(workflow: object) -> set[str]:
    return set(workflow.list_node_names())


@pytest.mark.parametrize('has_anat', [True, False])
@pytest.mark.parametrize('second', ['none', 'import'])
def test_nodes_follow_the_inputs(tmp_path: Path, has_anat: bool, second: str) -> None:
    workflow = build(
        tmp_path, has_anat, engine='builtin', second_engine=second, fits=str(tmp_path)
    )
    nodes = names(workflow)
    for node in ('voxel', 'ds_template', 'ds_cortex_L', 'ds_cortex_R'):
        assert (f'mrs_tissue_wf.{node}' in nodes) is has_anat
    assert ('second_fit' in nodes) is (second == 'import')
    assert ('mrs_report_wf.ds_concordance' in nodes) is (second == 'import')
    for sink in ('ds_quantities', 'ds_quality', 'ds_fit', 'ds_checklist', 'ds_plot'):
        assert f'mrs_report_wf.{sink}' in nodes


@pytest.mark.parametrize(
    ('settings', 'engine'),
    [({}, 'builtin'), ({'fits': 'x'}, 'import'), ({'fits': 'x', 'engine': 'builtin'}, 'builtin')],
)
def test_settings_reach_the_nodes(tmp_path: Path, settings: dict, engine: str) -> None:
    workflow = build(
        tmp_path, te1=0.0124, gate='acc-glutamate', ratios=('Glx/tNAA',), relaxation='fsl',
        sequence='steam', eddy_current='off', edit_index=1, basis='b.BASIS', tm=0.02,
        macromolecules='none', baseline_ed=4.0, ppm_max=4.0, **settings,
    )  # fmt: skip
    fit, tabulate = workflow.get_node('fit').inputs, workflow.get_node('mrs_report_wf.tabulate')
    assert (fit.engine, fit.te1, fit.sequence, fit.basis) == (engine, 0.0124, 'steam', 'b.BASIS')
    assert (fit.tm, fit.macromolecules, fit.baseline_ed_per_ppm) == (0.02, 'none', 4.0)
    assert fit.ppm_max == 4.0
    inputs = tabulate.inputs
    assert (inputs.gate, inputs.ratios, inputs.relaxation) == (
        'acc-glutamate',
        ['Glx/tNAA'],
        'fsl',
    )
    preproc = workflow.get_node('preproc').inputs
    assert (preproc.eddy_current, preproc.edit_index) == ('off', 1)


def test_missing_engine_is_refused_while_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', '')
    with pytest.raises(SettingsError, match='no program "lcmodel"'):
        build(tmp_path, engine='lcmodel')


DWELL, MHZ, N = 5e-4, 127.75, 1024
TRUTH = {
    'NAA': 10.0, 'NAAG': 1.5, 'Cr': 4.5, 'PCr': 4.0, 'GPC': 1.0, 'PCh': 0.6, 'Glu': 9.5,
    'Gln': 2.8, 'Ins': 6.0, 'GSH': 1.6,
}  # fmt: skip


def raw_session(folder: Path) -> tuple[Path, Path, dict]:
    """Four coils, 16 drifting transients and a water reference."""
    basis = simulate_basis(
        spectrometer_frequency=MHZ, dwell_time=DWELL, n_points=N, echo_time=0.035,
        sequence='press', te1=0.0124, metabolites=list(TRUTH),
    )  # fmt: skip
    fid = synthetic_fid(basis, TRUTH) + residual_water(N, DWELL, 20.0)
    rng = np.random.default_rng(11)
    svs = simulate_acquisition(fid, DWELL, 0.15, rng, n_coils=4, n_transients=16)
    water = 2 * 40000 * np.exp(-np.arange(N) * DWELL / 0.06)
    metadata = {
        'SpectrometerFrequency': [MHZ], 'ResonantNucleus': ['1H'], 'EchoTime': 0.035,
        'RepetitionTime': 2.0, 'PulseSequenceType': 'PRESS',
    }  # fmt: skip
    data = MrsData(
        np.zeros((1, 1, 1, 1)), DWELL, MHZ, 0.035, 2.0, np.diag([20.0] * 3 + [1]), metadata
    )
    paths = []
    for name, fids in (('svs', svs.fids), ('mrsref', svs.sensitivities[:, None, None] * water)):
        path = folder / f'sub-01_ses-1_acq-press_voi-ACC_{name}.nii.gz'
        paths.append(write_nifti_mrs(data.with_fids(fids[:, :, None]), path))
    return paths[0], paths[1], metadata


@pytest.mark.parametrize('with_reference', [True, False])
def test_raw_to_tables(tmp_path: Path, with_reference: bool) -> None:
    svs, ref, metadata = raw_session(tmp_path)
    workflow = build(tmp_path, engine='builtin', te1=0.0124, ratios=('Glx/tNAA',))
    workflow.base_dir = str(tmp_path / 'work')
    workflow.config['execution'] = {'crashdump_dir': str(tmp_path)}
    inputs = workflow.get_node('inputnode').inputs
    inputs.svs_file, inputs.svs_metadata = str(svs), metadata
    if with_reference:
        inputs.ref_file, inputs.ref_metadata = str(ref), metadata
    workflow.run(plugin='Linear')

    out = tmp_path / 'out'
    written = {key for key in load_table() if key.startswith('mrs_') and find_outputs(key, out)}
    assert written == {
        'mrs_preproc', 'mrs_quantities', 'mrs_quality', 'mrs_fit', 'mrs_steps', 'mrs_checklist',
        'mrs_components', 'mrs_correlation', 'mrs_figure_fit', 'mrs_figure_levels',
        'mrs_figure_components', 'mrs_figure_correlation', 'mrs_figure_water',
    }  # fmt: skip
    found = find_outputs('mrs_quantities', out)[0]
    assert found.path.name == 'sub-01_ses-1_acq-press_voi-ACC_desc-quantities_svs.tsv'
    rows = pd.read_csv(found.path, sep='\t').set_index(['metabolite', 'unit_scheme'])
    truth = (TRUTH['NAA'] + TRUTH['NAAG']) / (TRUTH['Cr'] + TRUTH['PCr'])
    value, sd, low, high = rows.loc[
        ('tNAA', 'ratio_tcr'), ['value', 'value_sd', 'ci_low', 'ci_high']
    ]
    assert 0 < low < value < high
    assert (rows['ci_low'].dropna() >= 0).all()
    assert (rows['ci_high'] >= rows['ci_low']).sum() == rows['value'].notna().sum()
    assert value == pytest.approx(truth, abs=max(4 * sd, 0.05 * truth))
    assert ('Glx', 'ratio_tnaa') in rows.index
    scaled = rows.loc[('tCr', 'water_raw')]
    assert pd.notna(scaled['value']) == with_reference
    assert ('no usable water reference' in str(scaled['gate_reason'])) is not with_reference
    if with_reference:
        level = rows.loc[('tCr', 'water_raw'), 'value'] / 55510 * 40000
        assert level == pytest.approx(8.5, rel=0.15)
    quality = pd.read_csv(find_outputs('mrs_quality', out)[0].path, sep='\t').iloc[0]
    assert (quality['n_coils'], quality['n_transients']) == (4, 16)
    assert quality['te1_s'] == pytest.approx(0.0124)
    for key in ('mrs_quantities', 'mrs_quality', 'mrs_fit'):
        sidecar = read_sidecar(find_outputs(key, out)[0].path)
        assert sidecar['BasisTE1'] == pytest.approx(0.0124)
        assert sidecar['BasisTESplitAssumed'] is False
        said = any('no water reference' in note for note in sidecar['Notes'])
        assert said is not with_reference
        json.dumps(sidecar, allow_nan=False)


def run(workflow: object, tmp_path: Path, svs: Path, metadata: dict) -> Path:
    workflow.base_dir = str(tmp_path / 'work')
    workflow.config['execution'] = {'crashdump_dir': str(tmp_path)}
    inputs = workflow.get_node('inputnode').inputs
    inputs.svs_file, inputs.svs_metadata = str(svs), metadata
    workflow.run(plugin='Linear')
    return tmp_path / 'out'


def test_two_engines_keep_their_values_apart(tmp_path: Path) -> None:
    """LCModel's printed values beside the built-in engine's, and a table that compares them."""
    svs, _, metadata = raw_session(tmp_path)
    fits = tmp_path / 'fits' / svs.name.split('.')[0]
    fits.mkdir(parents=True)
    rows = '    5.000   5%   0.500 Cr\n    5.000   5%   0.500 PCr\n   20.000  10%   2.000 Glu\n'
    (fits / 'table').write_text(
        ' LCModel (Version 6.3-1N)\n title\n\n$$CONC 4 lines in following table = NCONC+1\n'
        f'    Conc.  %SD /Cr+PCr  Metabolite\n{rows}\n$$MISC  6 lines in following misc. output\n'
        '  FWHM = 0.073 ppm    S/N = 12\n'
    )
    workflow = init_mrs_wf(
        output_dir=tmp_path / 'out',
        entities=ENTITIES,
        settings=MrsSettings(
            engine='builtin', second_engine='import', fits=str(tmp_path / 'fits'), te1=0.0124
        ),
        has_anat=False,
        cache_dir=tmp_path / 'basis',
    )
    out = run(workflow, tmp_path, svs, metadata)
    table = pd.read_csv(find_outputs('mrs_concordance', out)[0].path, sep='\t')
    row = table.set_index('metabolite').loc['Glu']
    assert (row['engine_1'], row['engine_2'], row['ratio_tcr_2']) == ('builtin', 'lcmodel', 2.0)
    assert row['difference_pct'] == pytest.approx(100 * (2 / row['ratio_tcr_1'] - 1), rel=1e-3)
    assert find_outputs('mrs_figure_concordance', out)
    quality = pd.read_csv(find_outputs('mrs_quality', out)[0].path, sep='\t').iloc[0]
    assert np.isfinite(quality['snr_lcm'])
    assert np.isnan(quality['snr_lcmodel'])
    kept = list((tmp_path / 'basis').glob('basis-*.npy'))
    assert len(kept) == 1  # the simulation is there for the next spectrum


def test_columns_are_described(tmp_path: Path) -> None:
    """What tables.py writes and what the table of outputs describes are the same columns."""
    svs, ref, metadata = raw_session(tmp_path)
    workflow = build(tmp_path, engine='builtin', te1=0.0124)
    workflow.base_dir = str(tmp_path / 'work')
    inputs = workflow.get_node('inputnode').inputs
    inputs.svs_file, inputs.svs_metadata = str(svs), metadata
    inputs.ref_file, inputs.ref_metadata = str(ref), metadata
    workflow.run(plugin='Linear')
    for key in ('mrs_quantities', 'mrs_quality', 'mrs_fit', 'mrs_steps', 'mrs_checklist'):
        table = pd.read_csv(find_outputs(key, tmp_path / 'out')[0].path, sep='\t')
        assert list(table.columns) == list(load_table()[key].columns), key
