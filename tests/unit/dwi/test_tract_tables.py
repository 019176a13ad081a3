"""Tables of tracts of other tools: layouts as their sources write them, and damaged ones.

Columns of QSIRecon's tables are those of its ``scalar_mapping.calculate_mask_stats`` and
``dsi_studio.stat_txt_to_df``; of pyAFQ those of ``tasks.segmentation.tract_profiles``; TractSeg's
are what ``bin/Tractometry`` saves; DSI Studio's lines those that ``stat_txt_to_df`` reads. Values
are made up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_acc.dwi.interfaces.tracts import ImportTracts
from bids_acc.dwi.tract_tables import bundle_side, combine, layout_of, read_tracts
from bids_acc.exceptions import InputDataError

SCALARS = (
    'bundle\tvariable_name\tqsirecon_suffix\tsource_file\tzero_proportion\tmean\tstdev\tmedian\t'
    'masked_mean\tmasked_median\tmasked_stdev\tweighted_mean\tmasked_weighted_mean\tbundle_source'
    '\tbundle_params_id\n'
    'Association_ArcuateFasciculusL\tdti_fa\tDSIStudio\ta.nii.gz\t.1\t.36\t.1\t.4\t.4\t.4\t.1\t.41'
    '\t.42\tDSIStudio\tautotrack\n'
    'Association_ArcuateFasciculusL\tmd\tDSIStudio\ta.nii.gz\t.1\t.7\t.1\t.7\t.8\t.7\t.1\t.7\t.7'
    '\tDSIStudio\tautotrack\n'
    'Association_ArcuateFasciculusR\tdti_fa\tDSIStudio\ta.nii.gz\t.1\t.3\t.1\t.4\t.5\t.4\t.1\t.41'
    '\t.42\tDSIStudio\tautotrack\n'
    'Association_ArcuateFasciculusR\tgfa\tDSIStudio\ta.nii.gz\t.1\t.3\t.1\t.4\t.1\t.4\t.1\t.41'
    '\t.42\tDSIStudio\tautotrack\n'
)
BUNDLES = (
    'bundle_name,number_of_tracts,mean_length_mm,total_volume_mm3,dti_fa,md,subject_id,source_file\n'
    'Association_ArcuateFasciculusL,900,80.5,12000,.45,.75,sub-01,a.nii.gz\n'
    'Association_ArcuateFasciculusR,800,79,11000,.44,.76,sub-01,a.nii.gz\n'
    'Commissure_CorpusCallosum_Body,,,,,,sub-01,a.nii.gz\n'
)
PROFILES = (
    ',tractID,nodeID,dki_fa,dti_fa,dki_md\n'
    '0,Left Arcuate,0,.9,.3,.0007\n1,Left Arcuate,1,.9,.5,.0009\n2,CST_R,0,.9,.6,.0008\n'
    '3,CST_R,1,.9,,.0008\n'
)
TRACTOMETRY = 'AF_left;AF_right;CC_1\n4.0e-01;5.0e-01;0.0e+00\n6.0e-01;7.0e-01;0.0e+00\n'
STAT = (
    'number of tracts\t1000\nmean length(mm)\t75.2\nspan(mm)\t60\ntotal volume(mm^3)\t9000\n'
    'dti_fa\t0.41\nmd\t0.8\n'
)
PATHSTATS = (
    '# Title Pathway Statistics\n#\n# subjectname sub-01\n# pathwayname lh.cst\n#\n'
    'Count 1500\nVolume 345\nLen_Min 30\nAD_Avg 0.0012\nAD_Avg_Weight 0.00121\n'
    'MD_Avg_Weight 0.00079\nFA_Avg 0.46\nFA_Avg_Weight 0.49\nFA_Avg_Center 0.5\n'
)
NAMES = {
    'pathstats': ('dpath/lh.cst_AS_avg33_mni_bbr/pathstats.overall.txt', PATHSTATS),
    'scalarstats': ('sub-01_space-ACPC_bundles-DSIStudio_scalarstats.tsv', SCALARS),
    'bundlestats': ('sub-01_space-ACPC_model-gqi_bundlestats.csv', BUNDLES),
    'profiles': ('sub-01_desc-profiles_tractography.csv', PROFILES),
    'tractometry': ('Tractometry_FA.csv', TRACTOMETRY),
    'stat': ('Fornix_R/sub-01.fib.gz.Fornix_R.stat.txt', STAT),
}


def write(folder: Path, kind: str, text: str | None = None, name: str = '') -> Path:
    """Write a table."""
    path = folder / (name or NAMES[kind][0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NAMES[kind][1] if text is None else text)
    return path


def cells(table: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return values by region, side and measure."""
    return {(r.region, r.hemisphere, r.metric): r.value for r in table.itertuples()}


@pytest.mark.parametrize(
    ('kind', 'atlas', 'expected'),
    [
        ('scalarstats', 'QSIReconDSIStudio', {
            ('associationarcuatefasciculus', 'L', 'fa'): 0.4,
            ('associationarcuatefasciculus', 'R', 'fa'): 0.5,
            ('associationarcuatefasciculus', 'L', 'md'): 8e-4,
        }),
        ('bundlestats', 'QSIReconDSIStudio', {
            ('associationarcuatefasciculus', 'L', 'fa'): 0.45,
            ('associationarcuatefasciculus', 'R', 'fa'): 0.44,
            ('associationarcuatefasciculus', 'L', 'md'): 7.5e-4,
            ('associationarcuatefasciculus', 'R', 'md'): 7.6e-4,
            ('associationarcuatefasciculus', 'L', 'volume_mm3'): 12000,
            ('associationarcuatefasciculus', 'R', 'volume_mm3'): 11000,
            ('associationarcuatefasciculus', 'L', 'n_streamlines'): 900,
            ('associationarcuatefasciculus', 'R', 'n_streamlines'): 800,
        }),
        ('profiles', 'pyAFQ', {
            ('arcuate', 'L', 'fa'): 0.4, ('cst', 'R', 'fa'): 0.6,
            ('arcuate', 'L', 'md'): 8e-4, ('cst', 'R', 'md'): 8e-4,
        }),
        ('tractometry', 'TractSeg', {('af', 'L', 'fa'): 0.5, ('af', 'R', 'fa'): 0.6}),
        ('stat', 'DSIStudio', {
            ('fornix', 'R', 'fa'): 0.41, ('fornix', 'R', 'md'): 8e-4,
            ('fornix', 'R', 'volume_mm3'): 9000, ('fornix', 'R', 'n_streamlines'): 1000,
        }),
        ('pathstats', 'TRACULA', {
            ('cst', 'L', 'fa'): 0.49, ('cst', 'L', 'md'): 7.9e-4, ('cst', 'L', 'ad'): 1.21e-3,
        }),
    ],
)  # fmt: skip
def test_each_layout_in_our_names_and_units(tmp_path, kind, atlas, expected):
    table = read_tracts(write(tmp_path, kind))
    assert set(table['atlas']) == {atlas}
    assert cells(table) == pytest.approx(expected)


@pytest.mark.parametrize(
    ('kind', 'old', 'new', 'words'),
    [
        ('scalarstats', 'variable_name', 'variable', 'variable_name is missing'),
        ('scalarstats', '\t.5\t', '\t1.5\t', '1.5 cannot be'),
        ('scalarstats', 'ArcuateFasciculusR\tdti_fa', 'ArcuateFasciculusL\tdti_fa', 'more than'),
        ('scalarstats', '\t.42\tDSIStudio\tautotrack\n', '\n', 'cells where the header has'),
        ('bundlestats', ',.75,', ',x,', "'x' is no number"),
        ('bundlestats', ',.75,', ',"0,75",', "'0,75' is no number"),
        ('bundlestats', ',12000,', ',-12000,', 'cannot be'),
        ('bundlestats', 'dti_fa,md', 'nqa,iso', ''),
        ('profiles', 'nodeID', 'node', 'nodeID is missing'),
        ('profiles', '.0007', '20', 'no diffusivity'),
        ('profiles', 'CST_R,0', ',0', 'tractID is empty'),
        ('tractometry', ';5.0e-01', '', 'cells where the header has'),
        ('stat', 'md\t0.8', 'md 0.8', 'no tab'),
        ('pathstats', 'FA_Avg_Weight 0.49', 'FA_Avg_Weight', 'no name and number'),
        ('stat', 'dti_fa\t0.41', 'dti_fa\t-0.41', 'cannot be'),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused_in_a_sentence(tmp_path, kind, old, new, words):
    text = NAMES[kind][1].replace(old, new, -1 if kind == 'profiles' else 1)
    if kind == 'profiles' and old == '.0007':
        text = text.replace('.0008', '20').replace('.0009', '20')
    path = write(tmp_path, kind, text)
    if not words:  # volumes are left
        assert set(read_tracts(path)['metric']) == {'volume_mm3', 'n_streamlines'}
        return
    with pytest.raises(InputDataError, match=words) as told:
        read_tracts(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize('kind', NAMES)
def test_empty_or_headless_files_are_refused(tmp_path, kind):
    first = NAMES[kind][1].split('\n')[0] + '\n'
    for text in ('', '\n\n', *([first] if kind != 'stat' else [])):
        with pytest.raises(InputDataError):
            read_tracts(write(tmp_path, kind, text))


def test_none_of_our_measures_or_no_value(tmp_path):
    with pytest.raises(InputDataError, match='none of the measures'):
        read_tracts(write(tmp_path, 'profiles', 'tractID,nodeID,t1w\nCST_L,0,3\n'))
    with pytest.raises(InputDataError, match='no value of any bundle'):
        read_tracts(write(tmp_path, 'tractometry', 'AF_left;AF_right\n0;0\n0;0\n'))


def test_the_name_tells_the_map_of_tractseg(tmp_path):
    with pytest.raises(InputDataError, match='which map was measured'):
        read_tracts(write(tmp_path, 'tractometry', name='Tractometry_subject1.csv'))
    text = TRACTOMETRY.replace('e-01', 'e-04')
    table = read_tracts(write(tmp_path, 'tractometry', text, 'sub-01_MD_tractometry.csv'))
    assert cells(table) == pytest.approx({('af', 'L', 'md'): 5e-4, ('af', 'R', 'md'): 6e-4})


def test_excel_made_it(tmp_path):
    path = tmp_path / NAMES['bundlestats'][0]
    path.write_bytes(b'\xef\xbb\xbf' + BUNDLES.replace('\n', '\r\n').encode())
    assert len(read_tracts(path)) == 8


def test_names_and_sides():
    assert bundle_side('SuperiorLongitudinalFasciculus1L')[1] == 'L'
    assert bundle_side('SLF_I_left') == ('slfi', 'L')
    assert bundle_side('Callosum Anterior Frontal') == ('callosumanteriorfrontal', '')
    for name in ('MCP', 'CC_1', 'FA', 'Commissure_AnteriorCommissure', 'SuperiorLongitudinal'):
        assert bundle_side(name)[1] == '', name
    assert layout_of('sub-01_bundles-DSIStudio_tdistats.tsv') is None


def test_a_measure_is_of_one_layout_and_another_adds_what_it_lacks(tmp_path):
    tables = [read_tracts(write(tmp_path, kind)) for kind in ('scalarstats', 'bundlestats')]
    wide, taken = combine([('QSIRecon 1', tables[0]), ('QSIRecon 2', tables[1])])
    assert taken == [['fa', 'md'], ['volume_mm3', 'n_streamlines']]
    left, right = wide.set_index('hemisphere').loc['L'], wide.set_index('hemisphere').loc['R']
    assert (left['fa'], left['md'], left['volume_mm3']) == pytest.approx((0.4, 8e-4, 12000))
    assert np.isnan(right['md'])  # the other table has it by another definition
    assert left['source'] == 'QSIRecon 1, QSIRecon 2'
    assert np.isnan(left['icvf'])


def test_a_tract_of_which_nothing_is_taken_has_no_row(tmp_path):
    more = 'bundle_name,md\nFornix_L,.7\n'
    tables = [('a', read_tracts(write(tmp_path, 'scalarstats'))),
              ('b', read_tracts(write(tmp_path, 'bundlestats', more)))]  # fmt: skip
    wide, taken = combine(tables)
    assert set(wide['region']) == {'associationarcuatefasciculus'}
    assert taken == [['fa', 'md'], []]


def test_the_shell_writes_a_table_and_where_it_is_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [write(tmp_path, kind) for kind in ('scalarstats', 'profiles')]
    found = ImportTracts(files=paths, sources=['QSIRecon 1.0', 'pyAFQ 1.3']).run().outputs
    table = pd.read_csv(found.out_file, sep='\t', na_values='n/a')
    assert len(table) == 4
    assert found.metadata['TractTables'][1] == {
        'File': 'sub-01_desc-profiles_tractography.csv', 'Tool': 'pyAFQ 1.3',
        'Measures': {'fa': 'dti_fa', 'md': 'dki_md'},
    }  # fmt: skip


@pytest.mark.parametrize('column', ['subjectID', 'sessionID'])
def test_profiles_of_a_group_are_not_averaged(tmp_path, column):
    path = tmp_path / 'sub-01_desc-profiles_dwi.csv'
    path.write_text(f'{column},tractID,nodeID,dti_fa\n1,ARC_L,0,0.4\n2,ARC_L,0,0.6\n')
    with pytest.raises(InputDataError, match=f'several people or sessions .{column} 1, 2'):
        read_tracts(path)
    path.write_text(f'{column},tractID,nodeID,dti_fa\n1,ARC_L,0,0.4\n1,ARC_L,1,0.6\n')
    assert read_tracts(path)['value'].tolist() == [0.5]
