"""Tables of tracts that other tools measured: one contract, a reader for each layout.

A reader takes the path of a file and returns what it says of bundles, as long rows; what all
layouts need (sides in names, units, ranges, missing bundles) is done once for all of them.
Layouts as their tools write them: ``scalarstats.tsv`` and ``bundlestats.csv`` of QSIRecon, tract
profiles of pyAFQ, tractometry of TractSeg, ``stat.txt`` of DSI Studio, ``pathstats.overall.txt``
of TRACULA.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc.exceptions import InputDataError
from bids_acc.tables.reading import INVISIBLE, THEIRS, read_text
from bids_acc.typing import FloatArray

WORDS: Mapping[str, tuple[str, ...]] = {
    'fa': ('dti_fa', 'fa', 'dki_fa', 'fa_avg_weight'),
    'md': ('dti_md', 'md', 'dki_md', 'md_avg_weight'),
    'ad': ('dti_ad', 'ad', 'dki_ad', 'ad_avg_weight'),
    'rd': ('dti_rd', 'rd', 'dki_rd', 'rd_avg_weight'),
    'mk': ('dki_mk', 'mk'),
    'icvf': ('icvf', 'ndi'),
    'isovf': ('isovf', 'fwf'),
    'od': ('od', 'odi'),
    'volume_mm3': ('total_volume_mm3', 'volume_mm3'),
    'n_streamlines': ('number_of_tracts', 'number_of_streamlines'),
}
"""Column of ours, and the words that tools have for it, in small letters, the first wanted most:
of a tensor fitted alone and one with kurtosis the former."""
SHARES = ('fa', 'icvf', 'isovf', 'od')
"""Measures that lie between 0 and 1."""
DIFFUSIVITIES = ('md', 'ad', 'rd')
UNIT_FACTORS = ((5e-5, 5e-3, 1.0), (0.05, 5.0, 1e-3), (50.0, 5000.0, 1e-6))
"""Least and largest median of a diffusivity in mm2/s, um2/ms and um2/s, and what makes mm2/s of
it: water at body temperature diffuses at 3e-3 mm2/s, and no tract below a fiftieth of it (own
convention)."""
KEY = ('atlas', 'region', 'hemisphere')
COLUMNS = (*KEY, 'source', *WORDS)
_STAT_END = re.compile(r'(?:\.(?:tt|trk|tck)(?:\.gz)?)?\.stat\.txt$')


@dataclass(frozen=True)
class Readings:
    """What one file says of bundles."""

    atlas: str
    """Whose bundles they are."""
    rows: pd.DataFrame
    """``bundle, word, value``; NaN where the file has no value."""


@dataclass(frozen=True)
class Layout:
    """Files of one kind."""

    tool: str
    """Tool that writes them, where the data set does not tell."""
    pattern: re.Pattern[str]
    """What the file's name fits."""
    read: Callable[[Path], Readings]


def read_scalarstats(path: Path) -> Readings:
    """Read QSIRecon's statistics of scalar maps in bundles.

    Of each bundle's mean the one over voxels with a value is taken (``masked_mean``), as zeros are
    no measurement.

    Parameters
    ----------
    path : Path
        ``*_scalarstats.tsv``, with columns ``bundle`` and ``variable_name``.

    Raises
    ------
    InputDataError
        If a column is missing or holds no numbers.
    """
    table = _table(path, '\t', ('bundle', 'variable_name'))
    mean = next((name for name in ('masked_mean', 'mean') if name in table), None)
    if mean is None:
        raise InputDataError(f'{path}: neither masked_mean nor mean is there; write it again.')
    known = [text for text in table.get('bundle_source', []) if text.strip(INVISIBLE)]
    found = re.search(r'_bundles-([A-Za-z0-9]+)_', path.name)
    bundles = known[0] if known else (found[1] if found else '')
    return Readings(
        f'QSIRecon{bundles}',
        pd.DataFrame({
            'bundle': table['bundle'], 'word': table['variable_name'].str.lower(),
            'value': _numbers(path, table, mean),
        }),
    )  # fmt: skip


def read_bundlestats(path: Path) -> Readings:
    """Read what QSIRecon gathers of DSI Studio's bundles: one row for each.

    Parameters
    ----------
    path : Path
        ``*_bundlestats.csv``, with a column ``bundle_name``; a folder ``qsirecon-<suffix>`` above
        it tells the atlas.

    Raises
    ------
    InputDataError
        If a column is missing or holds no numbers.
    """
    table = _table(path, ',', ('bundle_name',))
    suffix = next((p.name for p in path.parents if p.name.startswith('qsirecon-')), '-DSIStudio')
    return Readings(f'QSIRecon{suffix.partition("-")[2]}', _wide(path, table, 'bundle_name'))


def read_profiles(path: Path) -> Readings:
    """Read pyAFQ's profiles: the mean over the nodes of each tract.

    Parameters
    ----------
    path : Path
        CSV with columns ``tractID`` and ``nodeID``; all nodes of a tract count the same.

    Raises
    ------
    InputDataError
        If a column is missing or holds no numbers, or the table is that of a group.
    """
    table = _table(path, ',', ('tractID', 'nodeID'))
    for column in ('subjectID', 'sessionID'):
        there = list(dict.fromkeys(text.strip(INVISIBLE) for text in table.get(column, [])))
        if len(there) > 1:
            raise InputDataError(
                f'{path} holds profiles of several people or sessions ({column} {there[0][:20]}, '
                f'{there[1][:20]} ...); give one file for each, in its folder.'
            )
    long = _wide(path, table.drop(columns='nodeID'), 'tractID')
    means = long.groupby(['bundle', 'word'], sort=False)['value'].mean().reset_index()
    return Readings('pyAFQ', means)


def read_tractometry(path: Path) -> Readings:
    """Read TractSeg's tractometry: a column for each tract, a row for each point along it.

    The file does not say which map was measured, so that its name has to. Tracts without
    streamlines are written as zeros.

    Parameters
    ----------
    path : Path
        Semicolon-separated, with ``FA``, ``MD``, ``AD`` or ``RD`` in its name.

    Raises
    ------
    InputDataError
        If its name tells no map or several, or it holds no numbers.
    """
    table = _table(path, ';', ())
    known = {word: metric for metric in (*SHARES, *DIFFUSIVITIES) for word in WORDS[metric]}
    words = [w for w in re.split(r'[^a-z0-9]+', path.name.lower()) if w in known]
    if len(set(words)) != 1:
        raise InputDataError(
            f'{path} does not tell which map was measured; put one of FA, MD, AD and RD into its '
            'name, as in Tractometry_FA.csv.'
        )
    values = np.array([_mean(_numbers(path, table, str(name))) for name in table])
    return Readings(
        'TractSeg', pd.DataFrame({'bundle': list(table), 'word': words[0], 'value': values})
    )


def _mean(values: FloatArray) -> float:
    """Return the mean of what is known; NaN of nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float('nan')


def read_stat(path: Path) -> Readings:
    """Read DSI Studio's statistics of one bundle: a name and a number in each line.

    Parameters
    ----------
    path : Path
        ``<bundle>.tt.gz.stat.txt`` or alike; the name tells the bundle.

    Raises
    ------
    InputDataError
        If it is empty, or a line is no name and number.
    """
    text, _ = read_text(path)
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip(INVISIBLE):
            continue
        name, tab, value = line.rstrip(INVISIBLE).partition('\t')
        if not tab:
            raise InputDataError(f'{path}, line {number}: no tab between a name and a number.')
        word = re.sub(r'[ (]+', '_', name.strip().lower()).replace('^', '').rstrip(')')
        rows.append((_bundle_of(path), word, _number(path, f'line {number}', value)))
    if not rows:
        raise InputDataError(f'{path} is empty.')
    return Readings('DSIStudio', pd.DataFrame(rows, columns=['bundle', 'word', 'value']))


def _bundle_of(path: Path) -> str:
    """Return the bundle of DSI Studio's file: its folder, or the last part of its name.

    Examples
    --------
    >>> _bundle_of(Path('sub-01/Arcuate_Fasciculus_L/sub-01.Arcuate_Fasciculus_L.stat.txt'))
    'Arcuate_Fasciculus_L'
    >>> _bundle_of(Path('sub-01/dwi/sub-01.fib.gz.Fornix_R.tt.gz.stat.txt'))
    'Fornix_R'
    """
    stem = _STAT_END.sub('', path.name)
    return path.parent.name if path.parent.name in stem else stem.rpartition('.')[2]


def read_pathstats(path: Path) -> Readings:
    """Read TRACULA's statistics of one pathway: a name and a number in each line.

    Of its three means the one weighted by the probability of the pathway is taken
    (``FA_Avg_Weight``). Its volume counts voxels and its streamlines are samples of a posterior:
    neither is taken.

    Parameters
    ----------
    path : Path
        ``dpath/<pathway>_.../pathstats.overall.txt``; a line ``# pathwayname``, or the folder's
        name up to the first underscore, tells the pathway.

    Raises
    ------
    InputDataError
        If it is empty, or a line is no name and number.
    """
    text, _ = read_text(path)
    bundle, rows = path.parent.name.partition('_')[0], []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if words[:2] == ['#', 'pathwayname'] and len(words) > 2:
            bundle = words[2]
        if not words or words[0].startswith('#'):
            continue
        if len(words) != 2:
            raise InputDataError(f'{path}, line {number}: no name and number.')
        rows.append((words[0].lower(), _number(path, f'line {number}', words[1])))
    if not rows:
        raise InputDataError(f'{path} is empty.')
    frame = pd.DataFrame(rows, columns=['word', 'value'])
    return Readings('TRACULA', frame.assign(bundle=bundle))


LAYOUTS: tuple[Layout, ...] = (
    Layout('QSIRecon', re.compile(r'_scalarstats\.tsv$'), read_scalarstats),
    Layout('QSIRecon', re.compile(r'_bundlestats\.csv$'), read_bundlestats),
    Layout('pyAFQ', re.compile(r'_desc-profiles_[a-z]+\.csv$'), read_profiles),
    Layout('TractSeg', re.compile(r'tractometry.*\.csv$', re.IGNORECASE), read_tractometry),
    Layout('DSI Studio', re.compile(r'\.stat\.txt$'), read_stat),
    Layout('TRACULA', re.compile(r'^pathstats\.overall\.txt$'), read_pathstats),
)
"""All layouts; where two have the same measure of the same bundle, the first counts."""


def layout_of(name: str) -> Layout | None:
    """Return the layout of a file by its name.

    Parameters
    ----------
    name : str
        Of the file, without folders.

    Returns
    -------
    Layout or None
        None of a file that is no table of tracts.

    Examples
    --------
    >>> layout_of('sub-01_space-ACPC_bundles-DSIStudio_scalarstats.tsv').tool
    'QSIRecon'
    >>> layout_of('sub-01_desc-preproc_dwi.nii.gz') is None
    True
    """
    return next((layout for layout in LAYOUTS if layout.pattern.search(name)), None)


def read_tracts(path: Path) -> pd.DataFrame:
    """Read a table of tracts of any layout, in our names and units.

    Parameters
    ----------
    path : Path
        Whose name fits one of `LAYOUTS`.

    Returns
    -------
    DataFrame
        Long: ``atlas, region, hemisphere, metric, value, word`` (the tool's own word), ``layout``
        (number in `LAYOUTS`); diffusivity in mm2/s; without bundles that have no value.

    Raises
    ------
    InputDataError
        If the file is damaged, has none of the measures in `WORDS`, values that cannot be, or two
        of one measure of one bundle.
    """
    layout = layout_of(path.name)
    if layout is None:
        raise InputDataError(f'{path} is none of the tables of tracts that are known.')
    readings = layout.read(path)
    parts = []
    for metric, words in WORDS.items():
        word = next((w for w in words if (readings.rows['word'] == w).any()), None)
        if word is not None:
            own = readings.rows[readings.rows['word'] == word]
            parts.append(_measured(path, metric, own))
    if not parts:
        raise InputDataError(
            f'{path} has none of the measures {", ".join(WORDS)}, only '
            f'{", ".join(sorted(set(readings.rows["word"].astype(str)))[:6]) or "nothing"}.'
        )
    found = pd.concat(parts, ignore_index=True)
    if found.empty:
        raise InputDataError(f'{path} has no value of any bundle.')
    sides = [bundle_side(str(name)) for name in found['bundle']]
    return found.assign(
        atlas=readings.atlas, layout=LAYOUTS.index(layout), region=[region for region, _ in sides],
        hemisphere=[side or 'both' for _, side in sides],
    ).drop(columns='bundle')  # fmt: skip


def _measured(path: Path, metric: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Check the values of one measure, and bring them into our unit."""
    if twice := rows.loc[rows['bundle'].duplicated(), 'bundle'].tolist():
        raise InputDataError(
            f'{path}: {twice[0]} has more than one value of {rows["word"].iloc[0]}; leave one.'
        )
    values = rows['value'].to_numpy(dtype=float)
    # a bundle that was not found is written as zero
    values = np.where(np.isfinite(values) & (values != 0), values, np.nan)
    known = values[np.isfinite(values)]
    word = rows['word'].iloc[0]
    if len(known):
        if metric in DIFFUSIVITIES:
            values = values * diffusivity_factor(known, f'{path}: {word}')
        low, high = _range(metric)
        wrong = known[(known < low) | (known > high)]
        if len(wrong):
            raise InputDataError(
                f'{path}: {word} of {wrong[0]:.4g} cannot be (it lies between {low:g} and '
                f'{high:g}); see that the table holds plain values.'
            )
    return rows.assign(metric=metric, value=values)[np.isfinite(values)]


def _range(metric: str) -> tuple[float, float]:
    """Return the least and the largest value that a measure can have.

    The excess kurtosis of any distribution is -2 or more.
    """
    if metric in SHARES:
        return 0.0, 1.0
    return (-2.0, np.inf) if metric == 'mk' else (0.0, np.inf)


def diffusivity_factor(values: FloatArray, where: str) -> float:
    """Return what makes mm2/s of diffusivities, whose unit no layout tells.

    Parameters
    ----------
    values : (n,) ndarray
        Finite; one or more.
    where : str
        For the message.

    Raises
    ------
    InputDataError
        If their median goes with no unit.

    Examples
    --------
    >>> import numpy as np
    >>> diffusivity_factor(np.array([7e-4, 8e-4]), ''), diffusivity_factor(np.array([0.8]), '')
    (1.0, 0.001)
    """
    middle = float(np.median(values))
    for low, high, factor in UNIT_FACTORS:
        if low <= middle <= high:
            return factor
    raise InputDataError(
        f'{where} has a median of {middle:.4g}, which is no diffusivity in mm2/s, um2/ms or um2/s.'
    )


_LETTER = re.compile(r'(?<=[a-z0-9])([LR])(?=$|[_A-Z ])')
_WORD = re.compile(r'(?:^|[_\- .])(left|right|lh|rh|l|r)(?=$|[_\- .])', re.IGNORECASE)
_FRONT = re.compile(r'^(Left|Right)(?=[A-Z])')


def bundle_side(name: str) -> tuple[str, str]:
    """Return the name of a bundle without its side, in small letters, and the side.

    Parameters
    ----------
    name : str
        As DSI Studio, TractSeg, pyAFQ, QSIRecon or TRACULA write it.

    Examples
    --------
    >>> bundle_side('Association_ArcuateFasciculusL'), bundle_side('AF_left'), bundle_side('MCP')
    (('associationarcuatefasciculus', 'L'), ('af', 'L'), ('mcp', ''))
    >>> bundle_side('Right Corticospinal'), bundle_side('LeftArcuate'), bundle_side('CGC_R')
    (('corticospinal', 'R'), ('arcuate', 'L'), ('cgc', 'R'))
    >>> bundle_side('Association_CingulumR_FrontalParietal'), bundle_side('Thalamic_Radiation_L')
    (('associationcingulumfrontalparietal', 'R'), ('thalamicradiation', 'L'))
    """
    for pattern in (_WORD, _FRONT, _LETTER):
        found = pattern.search(name)
        if found:
            rest = name[: found.start()] + ' ' + name[found.end() :]
            return re.sub(r'[^a-z0-9]+', '', rest.lower()), found[1][0].upper()
    return re.sub(r'[^a-z0-9]+', '', name.lower()), ''


def combine(tables: Iterable[tuple[str, pd.DataFrame]]) -> tuple[pd.DataFrame, list[list[str]]]:
    """Put tables of several files side by side; the first that has a measure of a tract counts.

    Two layouts define a measure in two ways, so that all tracts of an atlas have it from one.

    Parameters
    ----------
    tables : iterable of (str, DataFrame)
        Tool and its version, and what `read_tracts` returned.

    Returns
    -------
    wide : DataFrame
        One row for each tract, with `COLUMNS`; ``source`` names all tools that it is from.
    taken : list of list of str
        Of each table the measures that were taken from it.
    """
    cells: dict[tuple[str, str, str], dict[str, float]] = {}
    sources: dict[tuple[str, str, str], list[str]] = {}
    owner: dict[tuple[str, str], int] = {}
    taken = []
    for source, table in tables:
        used = set()
        for row in table.to_dict('records'):
            key = (row['atlas'], row['region'], row['hemisphere'])
            metric = str(row['metric'])
            own = owner.setdefault((row['atlas'], metric), row['layout']) == row['layout']
            if own and metric not in cells.get(key, {}):
                cells.setdefault(key, {})[metric] = float(row['value'])
                used.add(metric)
                sources.setdefault(key, []).append(source)
        taken.append([name for name in WORDS if name in used])
    rows = [
        {**dict(zip(KEY, key, strict=True)), **cell,
         'source': ', '.join(dict.fromkeys(sources[key]))}
        for key, cell in sorted(cells.items())
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)), taken


def _table(path: Path, mark: str, needed: Sequence[str]) -> pd.DataFrame:
    """Read the cells of a table as text; its header must have some columns."""
    text, _ = read_text(path)
    rows = [row for row in csv.reader(StringIO(text), delimiter=mark)
            if any(cell.strip(INVISIBLE) for cell in row)]  # fmt: skip
    if len(rows) < 2:
        raise InputDataError(f'{path} has no row below its header; copy it again.')
    header = [cell.strip(INVISIBLE) for cell in rows[0]]
    if absent := [name for name in needed if name not in header]:
        raise InputDataError(f'{path}: the column {absent[0]} is missing.')
    if len(set(header)) < len(header):
        raise InputDataError(f'{path}: a column stands twice in line 1; leave one.')
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputDataError(
                f'{path}, row {number}: {len(row)} cells where the header has {len(header)}; the '
                'file was cut short or changed: copy it again.'
            )
    frame = pd.DataFrame(rows[1:], columns=header, dtype='str')
    for name in needed:
        if (frame[name].str.strip(INVISIBLE) == '').any():
            raise InputDataError(f'{path}: a cell of {name} is empty.')
    return frame.drop(columns=[name for name in header if not name])


def _wide(path: Path, table: pd.DataFrame, bundle: str) -> pd.DataFrame:
    """Return long rows of a table with a column for each measure; others are left out."""
    wanted = {word for words in WORDS.values() for word in words}
    columns = {name: name.lower() for name in map(str, table) if name.lower() in wanted}
    parts = [
        pd.DataFrame({
            'bundle': table[bundle], 'word': word, 'value': _numbers(path, table, name),
        })
        for name, word in columns.items()
    ]  # fmt: skip
    if not parts:
        others = [name for name in map(str, table) if name != bundle]
        raise InputDataError(
            f'{path} has none of the measures {", ".join(WORDS)}, only {", ".join(others[:6])}.'
        )
    return pd.concat(parts, ignore_index=True)


def _numbers(path: Path, table: pd.DataFrame, column: str) -> FloatArray:
    """Return a column as numbers; NaN where a cell is missing."""
    return np.array([_number(path, column, cell) for cell in table[column]], dtype=float)


def _number(path: Path, where: str, cell: str) -> float:
    """Return a cell as a number."""
    text = cell.strip(INVISIBLE)
    if text in THEIRS:
        return float('nan')
    try:
        return float(text)
    except ValueError as error:
        raise InputDataError(f'{path}, {where}: {text[:40]!r} is no number.') from error
