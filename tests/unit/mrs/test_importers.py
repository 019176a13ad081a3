"""Tables of LCModel, FSL-MRS and Osprey, with the traps that real files hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bids_acc.exceptions import ComputationError, InputDataError, MissingInputError
from bids_acc.mrs.engines.importers import find_fit_files, fsl_result, import_result, osprey_result
from bids_acc.mrs.engines.importers.lcmodel import (
    lcmodel_result,
    parse_coord,
    parse_csv,
    parse_table,
)
from tests.synthetic.lcmodel import creatine, install_stand_in

TABLE = """\
 LCModel (Version 6.3-1N)
 a title

$$CONC 9 lines in following concentration table = NCONC+1
    Conc.  %SD /Cr+PCr  Metabolite
    4.376   5%   0.530 Cr
    3.882   5%   0.470 PCr
    2.003   5%   0.243+GSH
 9.33E-02 833% 1.1E-02 Lip20
    0.000 999%   0.000 -CrCH2
    1.077  20%   0.130 PCho
    8.258   1%   1.000 Cr+PCr
   11.837  13%   1.434 MM14+Lip13a+Lip13b+MM12

$$MISC  6 lines in following misc. output table
  FWHM = 0.073 ppm    S/N =1286
  Data shift =-0.015 ppm
  Ph:-118 deg     -28.4 deg/ppm
  alphaB,S = 2.6E-02,   3.9E-01
   28 spline knots.   Ns = 9(1)
   1 inflections.     1 extrema

$$DIAG  1 lines in following diagnostic table:
   1 info      RFALSI 12

$$INPU 9 lines in following table of input changes:
 wconc=43300.
 filps='runs/a_long_name
   _goes_on/ps'
 dows=T
 shifmx(2)=0.1
 hzpppm=127.753
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_trap_of_the_table(tmp_path: Path) -> None:
    table = parse_table(write(tmp_path / 'table', TABLE))
    rows = {row.name: row for row in table.rows}
    assert len(rows) == 8
    assert rows['Lip20'].concentration == 0.0933
    assert rows['GSH'].ratio_prior
    assert not rows['Cr'].ratio_prior
    assert (rows['-CrCH2'].concentration, rows['-CrCH2'].sd_pct) == (0.0, 999.0)
    assert (table.fwhm_ppm, table.snr, table.shift_ppm) == (0.073, 1286.0, -0.015)
    assert (table.phase0_deg, table.phase1_deg_per_ppm) == (-118.0, -28.4)
    assert (table.baseline_knots, table.reference) == (28.0, 'Cr+PCr')
    assert table.inputs['filps'] == 'runs/a_long_name_goes_on/ps'
    assert table.inputs['shifmx(2)'] == '0.1'
    assert table.diagnostics == ('1 info      RFALSI 12',)


def test_inputs_in_capitals_with_blanks(tmp_path: Path) -> None:
    text = TABLE.replace(' hzpppm=127.753', ' HZPPPM = 123.226103\n NUNFIL = 1024')
    inputs = parse_table(write(tmp_path / 'table', text)).inputs
    assert (inputs['hzpppm'], inputs['nunfil']) == ('123.226103', '1024')


def test_common_form_of_a_table(tmp_path: Path) -> None:
    result = lcmodel_result(write(tmp_path / 'table', TABLE))
    assert result.names == ('Cr', 'PCr', 'GSH', 'Lip20', '-CrCH2', 'PCh')
    assert result.metabolites() == ['Cr', 'PCr', 'GSH', 'PCh', 'tCr', 'tCho']
    assert result.amount('tCr') == pytest.approx((8.258, 0.08258))
    assert result.crlb_pct('PCh') == 20.0  # exactly: the gate's boundary
    assert result.water_scale == pytest.approx(1 / (43300 * 0.7))
    assert result.extra['original_names'][-1] == 'PCho'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (('Version 6.3-1N', 'Version 7.0'), 'not a file of LCModel 6.2 or 6.3'),
        (('   0.530 Cr', '   Cr'), 'is no concentration line'),
        (('$$CONC', '$$NONE'), 'stopped before the concentrations .*RFALSI'),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, change: tuple, message: str) -> None:
    with pytest.raises(InputDataError, match=message):
        parse_table(write(tmp_path / 'table', TABLE.replace(*change)))


def test_absent_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match='no such file'):
        parse_table(tmp_path / 'table')
    with pytest.raises(InputDataError, match='not a file of LCModel'):
        parse_table(write(tmp_path / 'table', ''))
    with pytest.raises(InputDataError, match='not a spreadsheet'):
        parse_csv(write(tmp_path / 'x.csv', 'a,b\n1,2\n'))


COORD = """\
 LCModel (Version 6.3-1N) Copyright
 3 lines in following concentration table = NCONC+1
   3 points on ppm-axis = NY
   4.0  3.9
   3.8
 NY phased data points follow
   1.0 2.0 3.0E+00
 NY points of the fit to the data follow
   1.1 2.1 3.1
 NY background values follow
   0.1 0.2 0.3
 Glu      Conc. = 6.78E+00
   0.5 0.6 0.7
   1 lines in following diagnostic table:
   1 info      STARTV 24
"""


def test_coord(tmp_path: Path) -> None:
    curves, components = parse_coord(write(tmp_path / 'coord', COORD))
    np.testing.assert_allclose(curves.residual, [-0.1, -0.1, -0.1])
    assert components['Glu'].tolist() == [0.5, 0.6, 0.7]
    with pytest.raises(InputDataError, match='fit has 2 of 3 points'):
        parse_coord(write(tmp_path / 'coord', COORD.replace('1.1 2.1 3.1', '1.1 2.1')))


def test_stored_runs_agree_in_table_csv_and_coord(shared_data: Path) -> None:
    folders = sorted((shared_data / 'lcmodel').iterdir())
    assert len(folders) >= 19
    for folder in folders:
        table, sheet = parse_table(folder / 'table'), parse_csv(folder / 'spreadsheet.csv')
        assert len(table.rows) == len(sheet)
        for row, (name, values) in zip(table.rows, sheet.items(), strict=True):
            assert row.name.startswith(name)
            assert values == (row.concentration, row.sd_pct, row.ratio)
        assert math.isfinite(table.fwhm_ppm * table.snr * table.phase1_deg_per_ppm)
        curves, _ = parse_coord(folder / 'coord')
        step = -np.diff(curves.ppm).mean()
        # the width is a whole number of steps of the coordinates, or of two of them
        assert abs(table.fwhm_ppm / step - round(table.fwhm_ppm / step)) < 0.15


FSL = """\
Metab,/Cr+PCr,/Cr+PCr CRLB,mMol/kg,mMol/kg CRLB,%CRLB,SNR,FWHM
Cr,0.55,0.05,4.4,0.4,9.0,21.0,6.1
PCr,0.45,0.05,3.6,0.4,11.0,18.0,6.2
Glu,1.2,0.08,9.6,0.6,6.5,30.0,9.0
Gln,0.3,0.08,2.4,0.6,26.0,8.0,0.0
NAA,1.4,0.02,11.2,0.2,2.0,0.0,0.0
PCho,0.0,0.1,0.0,0.1,999,0.0,0.0
Cr+PCr,1.0,0.03,8.0,0.2,2.5,,
Glu+Gln,1.5,0.1,12.0,0.7,6.0,,
"""


def test_fsl_summary(tmp_path: Path) -> None:
    result = fsl_result(write(tmp_path / 'summary.csv', FSL))
    assert result.ratio('Glx', 'tCr')[0] == pytest.approx(1.5)
    assert (result.crlb_pct('Glx'), result.crlb_pct('Glu')) == (6.0, 6.5)
    assert result.crlb_definition == 'fsl_crlb'
    # no peak of NAA was found (zeros): creatine's quality stands for the spectrum, never zero
    assert result.measures['snr'][0].value == 21.0
    assert result.measures['fwhm'][0].value == 6.1
    assert not result.detected('PCh')
    assert math.isnan(result.water_scale)
    assert result.extra['scale'] == 'mMol/kg'


def test_fsl_quality_file_wins(tmp_path: Path) -> None:
    quality = write(tmp_path / 'qc.csv', 'Metab,SNR,FWHM\nNAA,44.0,5.5\n')
    result = fsl_result(write(tmp_path / 'summary.csv', FSL), quality)
    assert (result.measures['snr'][0].value, result.measures['fwhm'][0].value) == (44.0, 5.5)


def test_foreign_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match='column %CRLB is missing'):
        fsl_result(write(tmp_path / 'summary.csv', 'Metab,Conc\nGlu,1\n'))


def osprey_folder(root: Path, n_subjects: int = 2) -> Path:
    """Tables as Osprey writes them: one row per subject."""

    def table(name: str, rows: list[list[float]], columns: str) -> None:
        lines = [columns.replace(' ', '\t'), *('\t'.join(map(str, row)) for row in rows)]
        write(root / name, '\n'.join(lines[: 1 + n_subjects]) + '\n')

    columns = 'Cr PCr Glu Gln NAA tCr Glx'
    quant = 'QuantifyResults/A_{}_Voxel_1_Basis_1.tsv'
    table(quant.format('amplMets'), [[1, 1, 3, 1, 4, 2, 4], [2, 2, 4, 2, 8, 4, 6]], columns)
    table(quant.format('CRLB'), [[5, 5, 6, 20, 2, 2, 7], [5, 5, 8, 30, 3, 3, 9]], columns)
    table(
        'QM_processed_spectra.tsv',
        [[100.0, 7.5, 8.0], [90.0, 9.5, 9.0]],
        'Cr_SNR Cr_FWHM water_FWHM',
    )
    write(root / 'subject_names_and_excluded.tsv', 'files\nsub-01/ses-01\nsub-02/ses-01\n')
    return root


def test_osprey_row_of_a_subject(tmp_path: Path) -> None:
    result = osprey_result(osprey_folder(tmp_path), 'sub-02')
    assert result.ratio('Glx', 'tCr')[0] == pytest.approx(1.5)
    assert result.crlb_pct('Glx') == 9.0
    assert (result.measures['snr'][0].value, result.measures['snr'][0].definition) == (
        90.0,
        'osprey_snr',
    )
    assert result.measures['fwhm'][0].value == 9.5
    assert result.names == ('Cr', 'PCr', 'Glu', 'Gln', 'NAA')


def test_osprey_subject_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match='no single row for sub-03'):
        osprey_result(osprey_folder(tmp_path), 'sub-03')
    with pytest.raises(MissingInputError, match='no table'):
        osprey_result(tmp_path / 'nowhere', 'sub-01')


def test_files_are_found_by_the_name_of_the_spectrum_only(tmp_path: Path) -> None:
    write(tmp_path / 'sub-01_acq-a' / 'table', TABLE)
    write(tmp_path / 'sub-01_acq-b_svs.table', TABLE)
    assert set(find_fit_files(tmp_path, 'sub-01_acq-a_svs')) == {'table'}
    assert find_fit_files(tmp_path, 'sub-01_acq-b_svs')['table'].name == 'sub-01_acq-b_svs.table'
    write(tmp_path / 'sub-02_svs.TABLE', TABLE)
    assert set(find_fit_files(tmp_path, 'sub-02_svs')) == {'table'}
    with pytest.raises(MissingInputError, match='no fit of sub-01_acq-c_svs'):
        import_result(tmp_path, 'sub-01_acq-c_svs')


def test_a_spreadsheet_alone_is_read_and_excludes_for_want_of_quality(tmp_path: Path) -> None:
    from bids_acc.quality.gate import judge_spectrum, load_gate

    names = ('Cr', 'PCr', 'Cr+PCr')
    text = 'Row, Col, ' + ', '.join(f'{n}, {n} %SD, {n}/Cr+PCr' for n in names) + '\n'
    text += '1, 1, 4.376, 5, .53, 3.882, 5, .47, 8.258, 1, 1.0\n'
    write(tmp_path / 'sub-01' / 'spreadsheet.csv', text)
    result, files = import_result(tmp_path, 'sub-01_svs')
    assert files == {'sheet': 'spreadsheet.csv'}
    assert result.engine == 'lcmodel'
    assert (result.amount('tCr')[0], result.crlb_pct('tCr')) == (8.258, 1.0)
    verdict = judge_spectrum(load_gate('acc-glutamate'), result.measures, 127.75)
    assert not verdict.passed
    assert verdict.reasons == 'snr >= 8: unknown; fwhm < 0.1 ppm: unknown'


def test_adapters_are_chosen_by_the_files(tmp_path: Path) -> None:
    write(tmp_path / 'sub-01' / 'summary.csv', FSL)
    assert import_result(tmp_path, 'sub-01_svs')[0].engine == 'fsl_mrs'
    assert import_result(osprey_folder(tmp_path / 'o'), 'sub-01_svs')[0].engine == 'osprey'
    write(tmp_path / 'sub-01' / 'table', TABLE)
    assert import_result(tmp_path, 'sub-01_svs')[0].engine == 'lcmodel'


def test_lcmodel_is_judged_by_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the binary: ends well in both cases, writes a table in one."""
    from bids_acc.mrs.engines.lcmodel import run_lcmodel

    source = write(tmp_path / 'source', TABLE)
    coord = write(tmp_path / 'source_coord', COORD)
    fatal = write(tmp_path / 'fatal', TABLE.split('$$CONC')[0] + '$$DIAG\n 1 FATAL MYDATA 3\n')
    install_stand_in(
        'cat > read_control\n'
        f'if [ -n "$FATAL" ]; then cp {fatal} table\n'
        f'else cp {source} table; cp {coord} coord; fi\nexit 0\n',
        tmp_path,
        monkeypatch,
    )
    spectrum, basis = creatine()
    work = tmp_path / 'work'
    work.mkdir()
    result = run_lcmodel(spectrum, basis, 100 * basis.fids[0], work)
    assert result.extra['snr_lcmodel'] == 1286
    assert result.basis_sha256 == basis.sha256
    control = (work / 'read_control').read_text()
    assert all(part in control for part in (' $LCMODL', 'dows=T', "filh2o='water.raw'", ' $END'))
    raw = (work / 'data.raw').read_text().splitlines()
    first = np.array(raw[10].split(), dtype=float)
    np.testing.assert_allclose(first, [basis.fids[0, 0].real, basis.fids[0, 0].imag], rtol=1e-6)
    assert len(raw) == 10 + 256
    monkeypatch.setenv('FATAL', '1')
    empty = tmp_path / 'empty'
    empty.mkdir()
    with pytest.raises(ComputationError, match=r'gave no concentrations .*FATAL'):
        run_lcmodel(spectrum, basis, None, empty)
