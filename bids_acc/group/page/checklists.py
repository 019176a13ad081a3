"""Reporting checklists of a cohort as tables: COBIDAS, STROBE and MRSinMRS, filled from the run.

Items are named in short, own words and by their numbers. What a run cannot know (why people were
asked, who paid) is ``n/a`` and stays visible, so that it is added by hand.

COBIDAS: Nichols TE, et al. (2017), Nat Neurosci 20:299-303, https://doi.org/10.1038/nn.4500; its
report lists items in seven areas (https://doi.org/10.1101/054262). STROBE: von Elm E, et al.
(2007), Lancet 370:1453-1457, https://doi.org/10.1016/S0140-6736(07)61602-X. MRSinMRS: Lin A, et
al. (2021), NMR Biomed 34:e4484, https://doi.org/10.1002/nbm.4484.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import pandas as pd

from bids_acc import __version__
from bids_acc.exceptions import BidsAccError
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.cohort.acquisition import acquisition_sentences
from bids_acc.group.cohort.quality import place_column
from bids_acc.group.cohort.reading import sessions_on_disk
from bids_acc.group.parcels.places import region_words
from bids_acc.group.state import GroupRun
from bids_acc.group.statistics.study.data import as_text
from bids_acc.group.statistics.study.persons import groups_of
from bids_acc.group.statistics.tables import table_text
from bids_acc.report.wording import metric_words
from bids_acc.tables.reading import read_raw

FOLDER = 'checklists'
Item = tuple[str, str, str, str]
"""Number, what is asked, what is known, where it stands."""
COLUMNS: Mapping[str, str] = {
    'item': 'Number or area of the item in the list',
    'asked': 'What is asked, in short',
    'answer': 'What the run knows; n/a is for the authors to add',
    'where': 'Where it stands in the folder of this model, or from where it was read',
}
TITLES: Mapping[str, str] = {
    'cobidas': 'COBIDAS (Nichols et al. 2017, https://doi.org/10.1038/nn.4500)',
    'strobe': 'STROBE (von Elm et al. 2007, https://doi.org/10.1016/S0140-6736(07)61602-X)',
    'mrsinmrs': 'MRSinMRS (Lin et al. 2021, https://doi.org/10.1002/nbm.4484)',
}
MOST_VALUES = 4
"""Different answers of the spectra that are listed."""


def write_checklists(run: GroupRun, methods: Sequence[str], folder: Path) -> list[Path]:
    """Write the lists that apply to a run as tables with their sidecars.

    Parameters
    ----------
    run : GroupRun
        A finished run.
    methods : sequence of str
        Paragraphs of its methods.
    folder : Path
        Of the model; the tables go into its folder ``checklists``.

    Returns
    -------
    list of Path
    """
    known = _Known(run)
    lists = {'cobidas': list(_cobidas(known, methods)), 'strobe': list(_strobe(known))}
    spectra = list(mrsinmrs(run))
    if spectra:
        lists['mrsinmrs'] = spectra
    written = []
    for name, items in lists.items():
        table = pd.DataFrame(items, columns=list(COLUMNS))
        table['answer'] = table['answer'].replace('', None)
        table['where'] = table['where'].replace('', None)
        path = folder / FOLDER / f'{name}.tsv'
        write_bytes(path, table_text(table).encode())
        described = {column: {'Description': text} for column, text in COLUMNS.items()}
        write_json(path.with_suffix('.json'), {'Description': TITLES[name], **described})
        written.append(path)
    return written


def _cobidas(known: _Known, methods: Sequence[str]) -> Iterator[Item]:
    """Yield the items of COBIDAS that a study of this kind is asked, area by area."""
    told = bool(known.protocols)
    acquired = 'qc/acquisition.tsv' if told else "participants' pages: Summary"
    scanners = 'qc/acquisition.tsv, measures.tsv' if told else 'measures.tsv'
    yield 'Design', 'Number of people, and of each group', known.people, 'qc/participant_flow.tsv'
    yield 'Design', 'Who was left out, and why', known.losses, 'qc/exclusions.tsv'
    yield 'Design', 'Inclusion, exclusion, recruitment', '', ''
    yield 'Design', 'Age, sex and other descriptions', known.described, 'stats/demographics.tsv'
    yield 'Design', 'Ethics and consent', '', ''
    yield 'Design', 'Size of the study and power', '', 'bids_acc-power MODEL'
    yield 'Acquisition', 'Scanners and sites', known.scanners, scanners
    yield 'Acquisition', 'Preparation and instruction of people', '', ''
    yield 'Acquisition', 'Sequences and their parameters', known.protocols, acquired
    yield 'Acquisition', 'Checks of quality of the data', known.quality, 'stats/qc_by_group.tsv'
    yield 'Preprocessing', 'Programs and versions', known.software, 'provenance.json'
    yield (
        'Preprocessing',
        'Steps, in order, with parameters',
        known.modalities,
        "participants' pages; logs/<run>/config.toml",
    )
    yield 'Preprocessing', 'Regions of interest and atlas', known.region, 'methods.md'
    yield 'Statistics', 'Measures that were tested', known.measures, 'measures.json'
    yield 'Statistics', 'Model, covariates and contrasts', known.model_words, 'model_smdl.json'
    yield (
        'Statistics',
        'Kind of inference, correction for multiple tests',
        known.correction,
        'methods.md',
    )
    yield 'Statistics', 'Repeated measures and dependence', known.visits, 'methods.md'
    yield (
        'Statistics',
        'Prediction and validation',
        known.table('prediction'),
        'stats/prediction.tsv',
    )
    yield 'Results', 'Every test that was made, significant or not', known.tests, 'stats'
    yield 'Results', 'Effect sizes with intervals', known.effects, 'stats'
    yield 'Results', 'Analyses that could not be done', known.undone, 'report.html, Checks'
    yield 'Sharing', 'Data and where they are', '', ''
    yield 'Sharing', 'Tables and maps of results', 'all tables with data dictionaries', 'stats'
    yield 'Reproducibility', 'Seed, versions, whole call', known.software, 'provenance.json'
    yield 'Reproducibility', 'Methods as they ran', ' '.join(methods[:1])[:200], 'methods.md'
    yield 'Reproducibility', 'A result computed again from the table', '', 'measures_example.py'


def _strobe(known: _Known) -> Iterator[Item]:
    """Yield the 22 items of STROBE."""
    yield '1', 'Design in title or abstract; balanced summary', '', ''
    yield '2', 'Background and rationale', '', ''
    yield '3', 'Objectives, hypotheses declared beforehand', known.hypotheses, 'model_smdl.json'
    yield '4', 'Study design', known.visits, ''
    yield '5', 'Setting, places, dates', known.sites, 'measures.tsv'
    yield '6', 'Eligibility, sources and selection of people', '', ''
    yield '7', 'Outcomes, exposures, confounders defined', known.model_words, 'measures.json'
    yield '8', 'How each variable was measured', known.modalities, 'codebook.html'
    yield '9', 'What was done against bias', known.bias, 'stats/confounding.tsv, qc_by_group.tsv'
    yield '10', 'How the size of the study was chosen', '', 'bids_acc-power MODEL'
    yield '11', 'How quantitative variables were handled', known.covariates, 'model_smdl.json'
    yield '12', 'Statistical methods; missing data; sensitivity', known.correction, 'methods.md'
    yield (
        '13',
        'People at each stage, with reasons; flow diagram',
        known.losses,
        'qc/participant_flow.tsv, figures/participant_flow.svg',
    )
    yield (
        '14',
        'Characteristics of people; how many lack what',
        known.described,
        'stats/demographics.tsv, codebook.html',
    )
    yield '15', 'Summary of outcomes in each group', known.measures, 'stats/flow.tsv, measures.tsv'
    yield '16', 'Unadjusted and adjusted estimates with intervals', known.effects, 'stats'
    yield '17', 'Other analyses: subgroups, interactions, sensitivity', known.others, 'stats'
    yield '18', 'Key results', known.findings, 'report.html, Findings'
    yield '19', 'Limitations', '', 'report.html: what each figure cannot tell'
    yield '20', 'Interpretation', '', ''
    yield '21', 'Generalisability', '', ''
    yield '22', 'Funding', '', ''


def mrsinmrs(run: GroupRun) -> Iterator[Item]:
    """Yield the items of MRSinMRS, with what the spectra of the cohort say together.

    Parameters
    ----------
    run : GroupRun
        A finished run.

    Yields
    ------
    tuple of str
        As `COLUMNS`; the answers of spectra that differ stand side by side with their number.
    """
    tables = list(_lists_of_spectra(run))
    if not tables:
        return
    every = pd.concat(tables, ignore_index=True).fillna({'value': '', 'source': ''})
    for (item, name), own in every.groupby(['item', 'name'], sort=False):
        counts = own['value'].astype(str).replace('n/a', '').value_counts()
        told = counts.drop('', errors='ignore')
        # one answer only where every spectrum gives it: a field that some sidecars lack is not
        # reported
        if len(told) == 1 and len(told) == len(counts):
            answer = str(told.index[0])
        else:
            shown = [
                f'{value} ({n} of {len(own)} spectra)'
                for value, n in told.head(MOST_VALUES).items()
            ]
            more = f'; {len(told) - MOST_VALUES} others' if len(told) > MOST_VALUES else ''
            answer = '; '.join(shown) + more
        sources = [str(text) for text in dict.fromkeys(own['source']) if text]
        yield str(item), str(name), answer, sources[0] if len(sources) == 1 else 'each page'


def _lists_of_spectra(run: GroupRun) -> Iterator[pd.DataFrame]:
    """Read the lists of the spectra of the cohort's people."""
    wanted = set(run.cohort.participants['participant_id'])
    people = {subject for subject, _ in sessions_on_disk(run.data_dir)} & wanted
    for subject in sorted(people):
        for path in sorted((run.data_dir / subject).rglob('*_desc-mrsinmrs_svs.tsv')):
            try:
                raw = read_raw(path)
                table = pd.DataFrame(raw.rows, columns=list(raw.header))
                yield table[['item', 'name', 'value', 'source']]
            except (BidsAccError, KeyError):  # one broken list never stops the others
                continue


class _Known:
    """What a run knows, in the words of a list; empty where it knows nothing."""

    def __init__(self, run: GroupRun) -> None:
        """Take a finished run."""
        self.run, self.model = run, run.model

    def table(self, name: str) -> str:
        """Say how many rows a table has.

        Parameters
        ----------
        name : str
            Key of a table of statistics.

        Returns
        -------
        str
            Empty for a table that is not there or has no rows.
        """
        table = self.run.tables.get(name)
        return '' if table is None or table.empty else f'{len(table)} rows'

    @property
    def people(self) -> str:
        """Count people by group."""
        frame = self.run.cohort.participants
        n = frame['participant_id'].nunique()
        if self.model is None or self.model.group.column not in frame:
            return f'{n} people'
        named = groups_of(frame, self.model)
        counts = named[~frame['participant_id'].duplicated()].value_counts()
        parts = [f'{level} {counts.get(level, 0)}' for level in self.model.group.levels]
        return f'{n} people: {", ".join(parts)}'

    @cached_property
    def losses(self) -> str:
        """Count the people of whom something was left out, by modality."""
        table = self.run.exclusions()
        if table.empty:
            return 'nobody was left out of anything'
        counts = table.fillna({'modality': 'all'}).groupby('modality')['participant_id'].nunique()
        return ', '.join(f'{name}: something of {n} left out' for name, n in counts.items())

    @property
    def described(self) -> str:
        """Name what describes the people."""
        table = self.run.tables.get('demographics')
        return '' if table is None else ', '.join(dict.fromkeys(table['response'].dropna()))

    @property
    def sites(self) -> str:
        """Count people by cohort or site."""
        frame = self.run.cohort.participants.drop_duplicates('participant_id')
        name = place_column(frame)
        if name is None:
            return ''
        counts = as_text(frame[name]).value_counts(sort=False)
        return ', '.join(f'{place} {n}' for place, n in counts.items())

    @property
    def scanners(self) -> str:
        """Name scanners with the number of sessions, after the sites."""
        table = self.acquisition
        kept = [name for name in ('manufacturer', 'scanner_model', 'field_strength')
                if name in table]  # fmt: skip
        if not kept:
            return self.sites
        told = table.drop_duplicates(['cohort', *kept])[kept].fillna('')
        names = [' '.join(part for part in row if part) for row in told.to_numpy()]
        return '; '.join(filter(None, [self.sites, *dict.fromkeys(names)]))

    @cached_property
    def acquisition(self) -> pd.DataFrame:
        """Return how each modality was acquired."""
        return self.run.acquisition()

    @cached_property
    def protocols(self) -> str:
        """Return what sidecars and headers tell of the sequences."""
        return ' '.join(acquisition_sentences(self.acquisition))

    @property
    def quality(self) -> str:
        """Name what was compared between groups of the quality."""
        gate = self.model.spectra_gate if self.model is not None else None
        said = f'spectra: gate {gate.name}' if gate is not None else ''
        return '; '.join(filter(None, [said, self.table('qc_by_group')]))

    @property
    def software(self) -> str:
        """Name program and seed."""
        return f'bids_acc {__version__}, seed {self.run.settings.random_seed}'

    @property
    def modalities(self) -> str:
        """Name the modalities with results."""
        flow = self.run.cohort.flow
        return ', '.join(sorted(set(flow.loc[flow['status'] == 'run', 'modality'])))

    @property
    def region(self) -> str:
        """Name region and parcels."""
        found = self.run.parcellation
        parcels = '' if found is None else f'; {found.choice.k} parcels ({found.choice.source})'
        return ', '.join(map(region_words, self.run.settings.anat.region)) + parcels

    @property
    def measures(self) -> str:
        """Name what was measured."""
        found = self.run.parcellation
        metrics = [] if found is None else [metric_words(name) for name in found.data.metrics]
        levels = [] if self.model is None else list(self.model.content['Mrs']['Primary'])
        return ', '.join([*metrics, *(levels if self.run.cohort.mrs is not None else [])])

    @property
    def covariates(self) -> str:
        """Name the covariates."""
        return '' if self.model is None else ', '.join(c.name for c in self.model.covariates)

    @property
    def model_words(self) -> str:
        """Name groups, reference and covariates."""
        if self.model is None:
            return ''
        group = self.model.group
        given = f'; covariates {self.covariates}' if self.covariates else ''
        return f'{", ".join(group.levels)}; reference {group.reference}{given}'

    @property
    def hypotheses(self) -> str:
        """Return the description of the model file."""
        return '' if self.model is None else str(self.model.content['Description'] or '')

    @property
    def correction(self) -> str:
        """Name level and correction."""
        if self.model is None:
            return ''
        return f'level {self.model.alpha:g}; correction {self.model.correction.method}'

    @property
    def visits(self) -> str:
        """Say whether people came once or more often."""
        frame = self.run.cohort.participants
        most = int(frame.groupby('participant_id').size().max()) if len(frame) else 0
        return 'cross-sectional' if most < 2 else f'up to {most} sessions for each person'

    @property
    def tests(self) -> str:
        """Count the tests."""
        counted = [table['p_unc'].notna().sum() for table in self.run.tables.values()
                   if 'p_unc' in table]  # fmt: skip
        return f'{int(sum(counted))} tests in {len(counted)} tables' if counted else ''

    @property
    def effects(self) -> str:
        """Name the effect sizes."""
        named = [table['effect_name'].dropna() for table in self.run.tables.values()
                 if 'effect_name' in table]  # fmt: skip
        names = dict.fromkeys(pd.concat(named)) if named else {}
        return ', '.join(filter(None, names))

    @property
    def undone(self) -> str:
        """Count the analyses without a test."""
        n = sum(
            table['note'].astype(str).str.startswith('not done').sum()
            for table in self.run.tables.values() if 'note' in table
        )  # fmt: skip
        return f'{int(n)} rows say why' if n else 'none'

    @property
    def bias(self) -> str:
        """Say what was compared that could mislead."""
        names = {'confounding': 'group with site and scanner', 'qc_by_group': 'quality by group',
                 'sensitivity': 'with and without the gate'}  # fmt: skip
        return ', '.join(words for name, words in names.items() if self.table(name))

    @property
    def others(self) -> str:
        """Name the further analyses."""
        wanted = (
            'interactions',
            'sensitivity',
            'diagnostics',
            'evidence',
            'mixture',
            'prediction',
        )
        return ', '.join(name for name in wanted if self.table(name))

    @property
    def findings(self) -> str:
        """Point to what was found; the words are the authors'."""
        return '' if not self.run.tables else 'see the table of findings'
