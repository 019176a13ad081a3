"""The group level in order: cohort, maps, parcels, measures, statistics, report.

Everything is read from the output folder. What cannot be done for want of data is said in the
report and in the status table, and the rest goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bids_acc import __version__
from bids_acc.clinical.classify import classify_for_model, join_labels, write_groups
from bids_acc.derivatives.status import StatusRow
from bids_acc.exceptions import (
    BidsAccError,
    InputDataError,
    SettingsError,
)
from bids_acc.execution.plugins import joblib_workers
from bids_acc.files.meshes import TEMPLATE_MESH
from bids_acc.files.writing import write_bytes, write_json
from bids_acc.group.cohort.acquisition import data_dictionary
from bids_acc.group.cohort.asked import asked_columns
from bids_acc.group.cohort.exclusions import (
    Verdicts,
    honour,
    read_verdicts,
    refuse_nobody_left,
)
from bids_acc.group.cohort.gates import Gated, apply_gates, has_gates, sessions_left_out
from bids_acc.group.cohort.people import People, join_phenotype
from bids_acc.group.cohort.processing import (
    mixed_function,
    mixed_versions,
    processing_paragraphs,
)
from bids_acc.group.cohort.quality import flagged_sessions, place_column
from bids_acc.group.cohort.reading import (
    Cohort,
    GroupPlanRow,
    has_function,
    load_cohort,
    names_in,
    read_quality,
    sessions_on_disk,
)
from bids_acc.group.cohort.vertexmaps import available_metrics
from bids_acc.group.folders import (
    PAGE,
    atlas_folder,
    model_folder,
    model_folders,
    parcels_folder,
    whole_folder,
    write_index,
)
from bids_acc.group.function.run import function_quality
from bids_acc.group.image_sensitivity import values_left_out, with_gates_of_images
from bids_acc.group.measures.files import columns_written, read_edited
from bids_acc.group.measures.run import (
    TAKEN,
    analysed_session,
    cohort_of,
    descriptions,
    make_measures,
    take_measures,
)
from bids_acc.group.measures.snippets import write_snippets
from bids_acc.group.measures.table import Measures
from bids_acc.group.opnmf.features import VertexMetrics
from bids_acc.group.opnmf.rank import SelectionOptions
from bids_acc.group.origins import inputs_of, tell_model, tell_parcels
from bids_acc.group.page.checklists import write_checklists
from bids_acc.group.page.content import n_findings, page_content, subtitle
from bids_acc.group.page.flow_figures import draw_flow
from bids_acc.group.page.forest_files import write_forests
from bids_acc.group.page.methods import methods_text
from bids_acc.group.page.paper_tables_files import write_paper_tables
from bids_acc.group.page.participant_flow import participant_flow
from bids_acc.group.page.references import write_methods
from bids_acc.group.parcels.atlas import apply_atlas
from bids_acc.group.parcels.figure_files import write_parcel_figures
from bids_acc.group.parcels.files import write_parcellation
from bids_acc.group.parcels.parcellation import (
    ParcellationOptions,
    ParcellationResult,
    run_parcellation,
)
from bids_acc.group.places.run import place_voxels, sessions_of
from bids_acc.group.state import GroupRun, NotPossibleError
from bids_acc.group.statistics.figures.files import write_figures
from bids_acc.group.statistics.model.declaration import Model
from bids_acc.group.statistics.run import run_statistics
from bids_acc.group.statistics.study.flow import flow_notes
from bids_acc.group.statistics.study.joining import response_columns
from bids_acc.group.statistics.study.odd_columns import column_notes
from bids_acc.group.statistics.study.persons import changed_groups, scales_apart
from bids_acc.group.statistics.study.proposal import GUESS, resolve_model
from bids_acc.group.statistics.study.sessions import (
    VisitOrder,
    at_first_visit,
    baseline_first,
    dates_against,
    unshared_sessions,
    visit_order,
)
from bids_acc.group.statistics.study.voxels import choose_voxels, voxel_names
from bids_acc.group.statistics.tables import write_tables
from bids_acc.group.tasks import ProgressCallback
from bids_acc.group.treatment.files import write_timelines
from bids_acc.group.vertexwise.run import compare_vertices, gated_maps, read_vertex_maps
from bids_acc.report.figures import save_for_paper
from bids_acc.report.group_page import render_group_page
from bids_acc.report.reading import explained
from bids_acc.settings import GroupSettings, Settings
from bids_acc.tables.columns import spelt_as_asked
from bids_acc.tables.merging import DATASET_COLUMNS
from bids_acc.tables.people import read_sidecar
from bids_acc.tables.writing import tsv_bytes

LOGGER = logging.getLogger(__name__)


def run_group(
    output_dir: Path,
    settings: Settings,
    plan: Sequence[GroupPlanRow],
    *,
    data_dir: Path | None = None,
    work_dir: Path | None = None,
    progress: ProgressCallback | None = None,
) -> GroupRun:
    """Analyse a cohort.

    Parameters
    ----------
    output_dir : Path
        Root of the derivative data set; read and written.
    settings : Settings
        Of this run.
    plan : sequence of mapping
        From `bids_acc.group.cohort.reading.plan_group`.
    data_dir : Path, optional
        Where results are read (`bids_acc.group.cohort.several`); by default ``output_dir``.
    work_dir : Path, optional
        Where finished factorizations are kept, so that a killed run continues.
    progress : callable, optional
        Told of each finished factorization.

    Returns
    -------
    GroupRun
        With a status row for each part; ``group/model-<name>``, ``group/parcels-<key>``,
        ``group/index.html`` and ``group.html``, the page of this model, are written.

    Raises
    ------
    SettingsError
        If no model was chosen (a proposal was written), or the model file is wrong.
    InputDataError
        If a table of the cohort cannot be read.
    """
    data_dir = data_dir or output_dir
    cohort = load_cohort(data_dir, plan)
    notes = list(cohort.notes)
    given = None
    if settings.group.measures is not None:
        people = {row['participant_id'] for row in plan}
        # before verdicts and gates: the table is what its author wants analysed, and neither is
        # applied to it again
        before = columns_written(model_folders(output_dir))
        given, told = read_edited(Path(settings.group.measures), people, before)
        cohort = cohort_of(given, cohort)
        for text in told:
            LOGGER.warning('%s', text)
        notes += [f'The table {settings.group.measures} is analysed, {TAKEN}', *told]
    verdicts = _verdicts(output_dir, settings, plan, given is None)
    notes += verdicts.notes
    # of the people who are left, so that no group is proposed that raters emptied
    model = _model(output_dir, data_dir, settings, honour(cohort, verdicts), notes)
    cohort, given = _spelt_as_asked(cohort, given, model, notes)
    gated = _gated(cohort, model, data_dir, given is None, notes)
    cohort = honour(gated.cohort, verdicts)
    for text in refuse_nobody_left(gated.cohort.flow, cohort.flow, verdicts.source):
        LOGGER.warning('%s', text)
        notes.append(text)
    place = model_folder(output_dir, None if model is None else model.name)
    with whole_folder(place) as folder:
        run = GroupRun(
            output_dir, data_dir, folder, settings, cohort, model,
            verdicts=verdicts, images=gated.images, measures=given, notes=notes,
            inputs=inputs_of(plan, data_dir, output_dir),
        )  # fmt: skip
        _analyse(run, work_dir, progress)
        files = (uri for uris in run.inputs.values() for uri in uris)
        table = settings.group.measures
        tell_model(folder, place, output_dir, files, run.parcels_name,
                   None if table is None else Path(table))  # fmt: skip
    _move(run, place)
    _page(run, output_dir / 'group.html')
    write_index(output_dir)
    return run


def _verdicts(
    output_dir: Path, settings: Settings, plan: Sequence[GroupPlanRow], fresh: bool
) -> Verdicts:
    """Read what raters left out; a table of measures that is given has been judged already."""
    chosen = settings.group.exclude
    if not fresh:
        if chosen is not None:
            raise SettingsError(
                '--exclude and --measures: remove the rows from the table instead.'
            )
        return Verdicts()
    sessions = {(row['participant_id'], row['session_id']) for row in plan}
    return read_verdicts(None if chosen is None else Path(chosen), output_dir, sessions)


def _gated(
    cohort: Cohort, model: Model | None, data_dir: Path, fresh: bool, notes: list[str]
) -> Gated:
    """Apply the model's gates; a table of measures that is given has its own verdicts."""
    if model is None or fresh:
        found = apply_gates(cohort, model, data_dir)
        notes[: len(cohort.notes)] = found.cohort.notes
        return found
    if has_gates(model):
        notes.append(f'The verdicts of --measures count; the Gate of {model.name} is not applied.')
    return Gated(cohort)


def _analyse(run: GroupRun, work_dir: Path | None, progress: ProgressCallback | None) -> None:
    """Do all parts and write everything into the run's folder."""
    if run.model is not None:
        write_bytes(run.folder / 'model_smdl.json', run.model.to_json().encode())
    if run.measures is None:
        _measure(run, work_dir, progress)
    else:
        take_measures(run)
    if has_function(run.data_dir):
        _part(run, 'function', function_quality)
    _part(run, 'statistics', _statistics)
    if run.model is not None and run.model.content['Vertexwise'] is not None:
        _part(run, 'vertexwise', compare_vertices)
    write_tables(
        {'flow': run.cohort.flow, 'flags': flagged_sessions(run.cohort.qc)}, run.folder / 'qc'
    )
    _exclusions(run)
    _acquisition(run)
    write_paper_tables(run)
    _provenance(run)
    run.processing = processing_paragraphs(run.data_dir, set(sessions_of(run.cohort)))
    methods = methods_text(run)
    write_methods(run, methods, run.folder)
    write_checklists(run, methods, run.folder)
    _page(run, run.folder / PAGE)


def _measure(run: GroupRun, work_dir: Path | None, progress: ProgressCallback | None) -> None:
    """Join people and tables, find parcels, and write everything that is measured."""
    run.cohort = _treatment_history(run)
    run.cohort = _phenotype(run)
    run.cohort = _analysed_spectra(run)
    visits = _visits(run)
    if len(visits.order) > 1:
        run.note(visits.reason)
    for text in (
        unshared_sessions(run.cohort.participants, visits),
        dates_against(run.cohort.participants, visits),
    ):
        if text:
            run.note(text)
    for text in mixed_versions(run.data_dir, sessions_of(run.cohort)):
        run.note(text)
    if text := mixed_function(run.data_dir, sessions_of(run.cohort)):
        run.note(text)
    _part(run, 'parcels', partial(_parcels, work_dir=work_dir, progress=progress))
    if run.cohort.mrs is not None:
        _part(run, 'voxels', place_voxels)
    _part(run, 'measures', make_measures)


def _page(run: GroupRun, path: Path) -> None:
    """Write the model's page; its links start where it lies."""
    page = render_group_page(page_content(run, path.parent), subtitle(run))
    write_bytes(path, page.encode())


def _move(run: GroupRun, place: Path) -> None:
    """Name figures and tables as they lie after the folder took its place."""
    run.figures = {
        section: [
            (place / path.relative_to(run.folder) if path.is_relative_to(run.folder) else path,
             title, caption)
            for path, title, caption in entries
        ]
        for section, entries in run.figures.items()
    }  # fmt: skip
    run.folder = place


def _model(
    output_dir: Path, data_dir: Path, settings: Settings, cohort: Cohort, notes: list[str]
) -> Model | None:
    """Read, propose or refuse the model; without participants.tsv there is none."""
    participants = cohort.participants
    chosen = settings.group.model
    if set(participants.columns) <= {'participant_id', 'session_id'}:
        if chosen not in (None, 'auto'):
            raise SettingsError(
                f'--model {chosen}: there is no participants.tsv in {data_dir}, so there '
                'are no groups to compare; add it to the data set and run participant again.'
            )
        return None
    sidecar = _participants_sidecar(data_dir)
    proposal = output_dir / 'code' / 'model-proposed_smdl.json'
    try:
        model = resolve_model(
            chosen, participants, sidecar, proposal, cohort.mrs, function=has_function(data_dir)
        )
    except InputDataError as error:
        if chosen not in (None, 'auto'):
            raise
        LOGGER.warning('Nothing is compared: %s', error)
        notes.append(f'Nothing is compared: {error}')
        return None
    write_bytes(output_dir / 'code' / f'model-{model.name}_smdl.json', model.to_json().encode())
    if chosen == 'auto':
        notes += [reason for reason in model.content['Proposal'] if GUESS in reason]
    return model


def _spelt_as_asked(
    cohort: Cohort, given: Measures | None, model: Model | None, notes: list[str]
) -> tuple[Cohort, Measures | None]:
    """Give columns of people the names by which the model asks for them."""
    if model is None:
        return cohort, given
    people = cohort.participants
    where = 'participants.tsv' if given is None else '--measures'
    renamed, told = spelt_as_asked(people.columns, asked_columns(model), where)
    notes += told
    cohort = replace(cohort, participants=people.rename(columns=renamed))
    return cohort, None if given is None else given.renamed(renamed)


def _treatment_history(run: GroupRun) -> Cohort:
    """Add response groups from the treatment history, where the model asks for them."""
    if run.model is None:
        return run.cohort
    groups = classify_for_model(run.model.content['TreatmentHistory'], run.data_dir)
    if groups is None:
        return run.cohort
    for text in groups.notes:
        run.note(text)
    write_groups(groups, run.output_dir)
    return replace(run.cohort, participants=join_labels(run.cohort.participants, groups))


def _visits(run: GroupRun) -> VisitOrder:
    """Tell the order of the visits, by the model where one was chosen."""
    wanted = None if run.model is None else run.model.sessions
    return visit_order(run.cohort.participants, wanted)


def _phenotype(run: GroupRun) -> Cohort:
    """Add the columns of phenotype tables that the model names."""
    if run.model is None:
        return run.cohort
    known = {subject for subject, _ in sessions_on_disk(run.data_dir)}
    asked = {part: value for part, value in run.model.content.items() if part != 'Gate'}
    people = join_phenotype(
        People(run.cohort.participants), run.data_dir / 'phenotype',
        names_in(asked), known, partial(visit_order, wanted=run.model.sessions),
        asked_columns(run.model),
    )  # fmt: skip
    for text in people.notes:
        run.note(text)
    return replace(
        run.cohort, participants=people.frame,
        not_joined={**run.cohort.not_joined, **people.not_joined},
    )  # fmt: skip


def _analysed_spectra(run: GroupRun) -> Cohort:
    """Say which of several spectra are analysed, and read the quality of all, these first."""
    mrs = run.cohort.mrs
    if mrs is None:
        return run.cohort
    try:
        names = voxel_names(mrs, run.model)
        reason = '' if run.model is None else choose_voxels(mrs, run.model).reason
    except InputDataError as error:
        run.note(str(error))
        return run.cohort
    if reason:
        run.note(reason)
    if len(names) < 2:
        return run.cohort
    return replace(run.cohort, qc=read_quality(
        run.data_dir, sessions_of(run.cohort), names, run.cohort.judged, run.cohort.scanners
    ))  # fmt: skip


def _participants_sidecar(output_dir: Path) -> dict[str, object]:
    """Read participants.json, if there is one."""
    return read_sidecar(output_dir / 'participants.json')


def _part(run: GroupRun, name: str, function: Callable[[GroupRun], str]) -> None:
    """Do one part; what it cannot do becomes a status row, and the rest goes on."""
    row = StatusRow('n/a', None, 'group', 'done', reason_code=name)
    try:
        row = replace(row, reason_text=function(run))
    except NotPossibleError as reason:
        row = replace(row, status='skipped', reason_text=f'{name}: {reason}')
        run.note(f'{name.capitalize()}: {reason}')
    except SettingsError:
        raise
    except BidsAccError as error:
        # what one part cannot do costs that part: a broken map must not take the metabolites with
        # it
        text = f'{name}: {error}'
        row = replace(row, status='failed', reason_text=text, exit_code=error.exit_code)
        run.notes.append(f'{name.capitalize()} failed: {error}')
    run.status.append(row)


NAMING_COLUMNS = ('Covariates', 'OwnCovariates', 'Responses', 'Clinical')
"""Parts of a model file that may name regions and figures of quality as columns."""


def parcellation_options(
    group: GroupSettings, seed: int, model: Model | None, visits: VisitOrder
) -> ParcellationOptions:
    """Translate the settings into the options of the parcellation.

    Parameters
    ----------
    group : GroupSettings
        As asked for.
    seed : int
        The run's seed.
    model : Model, optional
        Tells the cohorts and the strata of the halves.
    visits : VisitOrder
        Tells which session is factorized.
    """
    low, high = group.k_range
    strata = group.strata
    if model is not None and not strata:
        # halves that differ in group or age would differ in their maps, and look unstable
        ages = [c.name for c in model.covariates if c.name.lower() == 'age']
        strata = (model.group.column, *ages)
    return ParcellationOptions(
        selection=SelectionOptions(
            ks=tuple(range(low, high + 1)),
            n_splits=group.n_splits,
            n_init=group.n_init,
            seed=seed,
            label_rule=group.labels,
        ),
        n_components=group.n_components,
        rule=group.rule,
        stratify=strata,
        cohort=None if model is None else model.cohort,
        hemispheres=group.hemispheres,
        max_missing=group.max_missing,
        n_init=group.n_init,
        n_bootstrap=group.n_bootstrap,
        visits=baseline_first(visits),
    )


def _parcels(run: GroupRun, work_dir: Path | None, progress: ProgressCallback | None) -> str:
    """Find the parcels and measure everybody in them."""
    group = run.settings.group
    there = available_metrics(run.data_dir, run.settings.anat.mesh)
    metrics = tuple(name for name in group.metrics if name in there)
    if not metrics:
        raise NotPossibleError('no vertex maps; parcels and structure are left out.')
    if absent := [name for name in group.metrics if name not in there]:
        run.note(f'No vertex maps of {", ".join(absent)}: left out of the parcellation.')
    ungated = read_vertex_maps(run, metrics, run.settings.anat.region)
    data = gated_maps(run, ungated)
    # part of the folder's name: parcels of another gate are other parcels, and must not be taken
    # for these
    left_out = sessions_left_out(run.images)
    if group.atlas is not None:
        result, place = _atlas_parcels(run, Path(group.atlas), data, left_out)
    else:
        result, place = _own_parcels(run, data, metrics, left_out, work_dir, progress)
    run.parcellation, run.parcels_name = result, place.name
    run.left_out = values_left_out(run.images, ungated, result)
    return f'k = {result.choice.k} ({result.choice.source})'


def _atlas_parcels(
    run: GroupRun, atlas: Path, data: VertexMetrics, left_out: list[tuple[str, str, str]]
) -> tuple[ParcellationResult, Path]:
    """Measure everybody in the parcels of an atlas; return also the folder that has them."""
    run.notes += data.notes
    mesh = run.settings.anat.mesh
    place = atlas_folder(run.output_dir, atlas, left_out, run.settings.group.smooth_mm, mesh)
    with whole_folder(place) as folder:
        result = apply_atlas(atlas, data, folder)
        tell_parcels(folder, place, run.output_dir, run.maps())
        run.figures['Parcels'] = _placed(result, folder, place)
    return result, place


def _own_parcels(
    run: GroupRun, data: VertexMetrics, metrics: tuple[str, ...],
    left_out: list[tuple[str, str, str]], work_dir: Path | None,
    progress: ProgressCallback | None,
) -> tuple[ParcellationResult, Path]:  # fmt: skip
    """Find parcels in the maps of the cohort; return also the folder that has them."""
    group, visits = run.settings.group, _visits(run)
    options = parcellation_options(group, run.settings.random_seed, run.model, visits)
    people = at_first_visit(run.cohort.participants, visits)
    # refused before the factorization, which takes hours
    if unknown := [name for name in group.strata if name not in people]:
        raise SettingsError(
            f'--opnmf-strata {" ".join(unknown)}: participants.tsv has no such column; there '
            f'are {", ".join(people.columns)}.'
        )
    with joblib_workers(run.settings.resources) as (backend, n_jobs):
        result = run_parcellation(
            data,
            people,
            options,
            work_dir=None if work_dir is None else work_dir / 'opnmf',
            n_jobs=n_jobs,
            backend=backend,
            progress=progress,
        )
    region = (*run.settings.anat.region, *run.settings.anat.atlas, *_of_mesh(run))
    place = parcels_folder(run.output_dir, options, metrics, region, left_out, group.smooth_mm)
    with whole_folder(place) as folder:
        about = read_sidecar(run.data_dir / 'dataset_description.json')
        write_parcellation(result, options, folder, about)
        tell_parcels(folder, place, run.output_dir, run.maps())
        run.figures['Parcels'] = _placed(result, folder, place)
    return result, place


def _of_mesh(run: GroupRun) -> tuple[str, ...]:
    """Name the mesh of a derivative, on which other parcels are found."""
    mesh = run.settings.anat.mesh
    return () if mesh == TEMPLATE_MESH else (f'mesh:{mesh}',)


def _placed(result: ParcellationResult, folder: Path, place: Path) -> list[tuple[Path, str, str]]:
    """Draw the parcels into a folder and name the figures as they will be found."""
    entries = write_parcel_figures(result, folder)
    return [(place / path.relative_to(folder), title, caption) for path, title, caption in entries]


def _statistics(run: GroupRun) -> str:
    """Run every analysis of the model."""
    if run.model is None:
        raise NotPossibleError('no groups are known, so nothing is compared.')
    if run.measures is None:
        raise NotPossibleError('there is no table of measures.')
    asked = {part: value for part, value in run.model.content.items() if part in NAMING_COLUMNS}
    people = run.measures.people_with(names_in(asked))
    _refuse_no_measures(run.measures, run.model, people, run.settings.group.measures)
    parcels, mrs = run.measures.parcels, run.measures.mrs
    # a stream of its own: more bootstraps of the parcels must not move p values of the statistics
    seed = np.random.SeedSequence(run.settings.random_seed, spawn_key=(1,))
    run.tables = run_statistics(
        run.model,
        parcels,
        mrs,
        people,
        run.measures.qc,
        np.random.default_rng(seed),
        not_joined=run.cohort.not_joined,
    )
    with_gates_of_images(run, people)
    if 'confounding' in run.tables:
        for text in run.tables['confounding']['note']:
            LOGGER.warning('%s', text)
    for text in (*flow_notes(run.tables['flow'], run.model.group.levels), *_people_notes(run)):
        run.note(text)
    write_tables(run.tables, run.folder / 'stats')
    session = analysed_session(run.model, people)
    write_snippets(run.folder, run.model, run.tables, session)
    _flow(run, run.measures, run.model, session)
    folder = run.folder / 'figures'
    figures = write_figures(run.model, parcels, mrs, people, run.tables, folder)
    forests = write_forests(run.tables, folder)
    figures['People'] = write_timelines(run, parcels, mrs, people)
    for section, entries in [*forests.items(), *figures.items()]:
        run.figures.setdefault(section, []).extend(entries)
    return f'{len(run.tables)} tables'


def _refuse_no_measures(measures: Measures, model: Model, people: pd.DataFrame, file: str | None
                        ) -> None:  # fmt: skip
    """Refuse a table in which there is nothing to compare: a file that was given is named."""
    own = response_columns(model, people.columns)
    here = measures.parcels is not None or measures.mrs is not None
    if here or own or measures.columns('region'):
        return
    if file is not None:
        raise InputDataError(
            f'--measures {file}: none of its columns is a measure; a metabolite '
            'level is called like voi_ACC__ratio_tcr__Glu, a parcel like thickness_c1; name '
            'columns of your own in Responses/Columns of the model file.'
        )
    raise NotPossibleError('neither parcels nor regions nor spectra.')


def _people_notes(run: GroupRun) -> list[str]:
    """Say who changes group, and which numbers may have another unit in another cohort."""
    if run.model is None or run.measures is None:
        return []
    people, content = run.measures.participants, run.model.content
    names = [c.column for c in run.model.covariates if c.kind != 'categorical']
    names += [*content['Clinical']['Scores'], *content['Demographics']['Continuous']]
    places = (run.model.cohort, run.model.content['Sites'].get('Column'),
              place_column(people), *DATASET_COLUMNS)  # fmt: skip
    place = next((name for name in places if name in people), None)
    changed = changed_groups(people, run.model)
    mrs = run.measures.mrs
    levels = [] if mrs is None else mrs['metabolite'].unique().tolist()
    return [
        *([changed] if changed else []), *scales_apart(people, names, place),
        *column_notes(people, run.model, descriptions(run.data_dir), levels),
    ]  # fmt: skip


def _flow(run: GroupRun, measures: Measures, model: Model, session: str | None) -> None:
    """Count who is left at each step, and draw it."""
    table = participant_flow(measures, model, session)
    if table.empty:
        return
    write_tables({'participant_flow': table}, run.folder / 'qc')
    path = save_for_paper(draw_flow(table), run.folder / 'figures' / 'participant_flow.svg')
    caption = (
        'From everybody listed to everybody analysed, for each modality: numbers of each cohort '
        'and group, and why the others are not there (qc/participant_flow.tsv; qc/exclusions.tsv '
        'names each one).'
    )
    run.figures.setdefault('People', []).insert(
        0, (path, 'Participant flow', explained('flow', caption))
    )


def _acquisition(run: GroupRun) -> None:
    """Write how each modality was acquired, where the sidecars tell."""
    if (table := run.acquisition()).empty:
        return
    path = run.folder / 'qc' / 'acquisition.tsv'
    write_bytes(path, tsv_bytes(table))
    write_json(path.with_suffix('.json'), data_dictionary(table))


def _exclusions(run: GroupRun) -> None:
    """Write who was left out of what, by which criterion."""
    write_tables({'exclusions': run.exclusions()}, run.folder / 'qc')


def _provenance(run: GroupRun) -> None:
    """Write down what was used."""
    result = run.parcellation
    write_json(
        run.folder / 'provenance.json',
        {
            'Version': __version__,
            'RandomSeed': run.settings.random_seed,
            'Model': None if run.model is None else run.model.name,
            'Description': None if run.model is None else run.model.content['Description'],
            'Groups': [] if run.model is None else list(run.model.group.levels),
            'Findings': n_findings(run),
            'ParcelsFolder': run.parcels_name,
            'Participants': int(run.cohort.participants['participant_id'].nunique()),
            'Sessions': len(run.cohort.participants),
            'Components': None if result is None else result.choice.k,
            'ComponentsSource': None if result is None else result.choice.source,
            'ComponentsRule': None if result is None else list(result.choice.trace),
            'Vertices': None if result is None else int(result.data.values.shape[2]),
            'Metrics': None if result is None else list(result.data.metrics),
        },
    )
