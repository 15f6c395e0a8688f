"""The command line. Heavy packages are imported by the command that needs them, so --help is quick."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from aqreanalysis import __version__
from aqreanalysis.cli import figure_verbs, machine, product_verbs, streams
from aqreanalysis.cli.made import Made, of_checkpoint, of_evaluation, of_product, of_table
from aqreanalysis.cli.options import (
    AnyModel,
    Checkpoint,
    End,
    Fields,
    Observations,
    Scheduler,
    Start,
    Stations,
    UtcOffset,
    Workers,
    Year,
    refuse_empty,
    refuse_options,
    worker_count,
)
from aqreanalysis.cli.summary import with_summary
from aqreanalysis.errors import UserError

PROGRAM = "aqreanalysis"
COMPLETION = ("--install-completion", "--show-completion")  # of that program, also where `python -m` called it
app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Gap-free, gridded, quality-marked PM2.5 of northern China from station observations.",
)

@app.command("build")
@with_summary
def build_command(
    year: Year = None,
    start: Start = None,
    end: End = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Resolution (0.1deg), named grid (grids/NAME), CDO grid description, NetCDF with lat and lon, "
            "GeoTIFF, or table of points."
        ),
    ] = None,
    observations: Observations = None,
    stations: Stations = None,
    utc_offset: UtcOffset = None,
    recipe: Annotated[str | None, typer.Option(help="Product recipe, a name or a YAML file.")] = None,
    checkpoint: AnyModel = None,
    neighbours: Annotated[
        int | None, typer.Option(help="Stations that an estimate is made from; default the model's own choice.")
    ] = None,
    minimum_hours: Annotated[
        int | None, typer.Option(help="Hours of 24 that make a valid day; default the recipe's, 20.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the product.")] = None,
    format: Annotated[
        str, typer.Option(help="netcdf: a file a month and year. zarr: one Zarr v3 store of hours, one of days.")
    ] = "netcdf",
    fields: Fields = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Factors of standard errors and bounds. product, the default: fitted to this product's own stations, "
            "hidden on some of its days, with the checkpoint's as a prior. checkpoint: as it came with them."
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """Make hourly and daily cubes, maps and a report. Run it again to go on with an interrupted build."""
    count = worker_count(workers, scheduler)
    from aqreanalysis.workers import warm_up

    warm_up(1 if scheduler else count)
    from aqreanalysis import BuildRequest, build
    from aqreanalysis.cli import console

    request = BuildRequest(year, start, end, grid, observations, stations, recipe, checkpoint, neighbours, out,
                           count, scheduler, minimum_hours, format, utc_offset, calibration, fields)
    return of_product(build(request, console.BuildProgress))


@app.command("ingest")
@with_summary
def ingest_command(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders or files of observations. The first wins where two have the same value."),
    ],
    to: Annotated[str, typer.Option(help="The archive, a .nc file; what is new is added to one that is there.")],
    stations: Stations = None,
    utc_offset: UtcOffset = None,
    start: Start = None,
    end: End = None,
    recipe: Annotated[
        str | None, typer.Option(help="Product recipe: its sections `quality` (thresholds) and `contact` are used.")
    ] = None,
    datum: Annotated[
        str | None,
        typer.Option(help="Of the stations' places, where their table has no column for it: wgs84, gcj02 or bd09."),
    ] = None,
    workers: Workers = None,
) -> Made:
    """Read archives of any layout into one station archive, quality-controlled and with its provenance."""
    from aqreanalysis import recipes, time_axis
    from aqreanalysis.cli import console
    from aqreanalysis.observations import quality
    from aqreanalysis.observations.ingest import ingest_archives

    period = time_axis.parse_period(None, start, end) if start or end else None
    offset = time_axis.parse_utc_offset(utc_offset)
    chosen = recipes.load_recipe(recipe, recipes.ProductRecipe) if recipe else None
    settings, contact = (chosen.quality, chosen.contact) if chosen else (quality.DEFAULT_SETTINGS, None)
    before: list = []

    def tell(found) -> None:
        before.append(found)
        console.inventory(found)

    with console.months() as on_month:
        summary = ingest_archives(sources, to, stations, period, settings, worker_count(workers), datum, on_month,
                                  contact, offset, tell)
    console.ingested(summary, before)
    return Made([summary.path], facts={"stations": len(summary.archive.stations), "written": summary.written})


@app.command("train")
@with_summary
def train_command(
    recipe: Annotated[str, typer.Argument(help="Training, forecast or graph recipe, a name or a YAML file.")],
    out: Annotated[str | None, typer.Option(help="Run folder; default runs/NAME.")] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of a checkpoint of this recipe: do not train, calibrate its errors anew. Default "
            "folder: runs/NAME-calibrated."
        ),
    ] = None,
    fields: Fields = None,
    workers: Annotated[int, typer.Option(min=1, help="Local processes, each of which trains a network.")] = 1,
) -> Made:
    """Train an AQ-Net checkpoint by a recipe, or calibrate one again; or every forecast or graph of a table."""
    from aqreanalysis import files, recipes
    from aqreanalysis.cli import console

    chosen = recipes.with_fields(recipes.load_recipe(recipe, recipes.training_kind(recipe)), fields)
    given = files.folder_named(out) if out else None
    if isinstance(chosen, recipes.ForecastRecipe):
        refuse_options("a forecast recipe", calibrate=calibrate)
        from aqreanalysis.workflows.train_forecast import train_forecasts

        folder = train_forecasts(chosen, given or Path(f"runs/{chosen.name}"), workers, console.say, console.warnings,
                                 console.inventory)
        console.say(f"next: aqreanalysis evaluate {folder}")
        return of_table(folder / "runs.csv", folder)
    if isinstance(chosen, recipes.GraphRecipe):
        refuse_options("a graph recipe", calibrate=calibrate)
        from aqreanalysis.workflows.train_graphs import train_graphs

        folder = train_graphs(chosen, given or Path(f"runs/{chosen.name}"), workers, console.say)
        console.say("the scores are in scores-hidden*.md and .csv")
        return Made([folder])
    if calibrate:
        from aqreanalysis import recalibrate

        place = given or Path(f"runs/{chosen.name}-calibrated")
        folder = recalibrate(chosen, calibrate, place, console.say, console.warnings, console.inventory, workers)
    else:
        from aqreanalysis import train

        folder = train(chosen, given or Path(f"runs/{chosen.name}"), console.say, console.warnings,
                       console.inventory, workers)
    return of_checkpoint(folder)


@app.command("evaluate")
@with_summary
def evaluate_command(
    run_folder: Annotated[
        str | None, typer.Argument(help="Run folder of a forecast recipe; else give --observations and a period.")
    ] = None,
    observations: Annotated[str | None, typer.Option(help="Folder or file of observations.")] = None,
    year: Year = None,
    start: Start = None,
    end: End = None,
    stations: Stations = None,
    utc_offset: UtcOffset = None,
    checkpoint: Checkpoint = None,
    withheld: Annotated[
        bool, typer.Option("--withheld", help="Only stations that the checkpoint's training left aside, as it did.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="No surroundings taken out: single stations and whole cities only.")
    ] = False,
    every_days: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Score one day of every N, drawn: quicker.")
    ] = None,
    boosting: Annotated[
        bool, typer.Option("--boosting", help="With --withheld, also gradient boosting; needs LightGBM.")
    ] = False,
    grid: Annotated[
        str | None,
        typer.Option(help="Product grid whose land cells stations are matched to; 0.1deg if not given."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder for report.html, scores.csv, scores.nc, figures; or a .csv file: the table alone."),
    ] = None,
    fields: Fields = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> Made:
    """Score a checkpoint and the baselines at stations that are left out, of any archive; or a run of forecasts."""
    from aqreanalysis import time_axis
    from aqreanalysis.cli import console, score_tables

    if run_folder is not None:
        refuse_options("a run folder of forecasts, whose recipe names its observations", observations=observations,
                       year=year, start=start, end=end, stations=stations, utc_offset=utc_offset, out=out,
                       checkpoint=checkpoint, withheld=withheld, quick=quick, boosting=boosting, grid=grid,
                       scheduler=scheduler, every_days=every_days, fields=fields)
        return _score_forecasts(Path(run_folder), worker_count(workers))
    count = worker_count(workers, scheduler)
    if observations is None:
        raise UserError(
            "Neither observations nor a run folder were given.",
            "A checkpoint is scored on --observations PATH and a period, forecasts in their run folder.",
            "Example: aqreanalysis evaluate --year 2019 --observations PATH.",
        )
    from aqreanalysis.workflows.evaluate_analysis import DEFAULT_GRID, evaluate
    from aqreanalysis.workflows.evaluation_files import check_out, write_result

    if quick:
        refuse_options("--quick, which takes no surroundings out", grid=grid)
    check_out(out)
    period, offset = time_axis.parse_period(year, start, end), time_axis.parse_utc_offset(utc_offset)
    result = evaluate(observations, period, checkpoint, stations, count, scheduler,
                      lambda label: console.say(f"scored {label}"), quick, boosting, grid or DEFAULT_GRID, offset,
                      console.inventory, withheld, every_days or 1, fields)
    command = shlex.join(["aqreanalysis", *sys.argv[1:]])
    written = write_result(result, out, command) if out else []  # before anything is shown
    score_tables.show_scores(result.table, result.model.label)
    for note in result.notes:
        console.note(note)
    return of_evaluation(result.table, written, result.model.label)


def _score_forecasts(run_folder: Path, workers: int) -> Made:
    from aqreanalysis.cli import console
    from aqreanalysis.workflows.evaluate_forecast import evaluate_run

    evaluate_run(run_folder, workers, lambda row: console.say(f"scored {row}"))
    console.say((run_folder / "tables.md").read_text(encoding="utf-8"))
    return of_table(run_folder / "scores.csv", run_folder / "tables.md")


@app.command("describe")
def describe_command(
    path: Annotated[
        str,
        typer.Argument(help="Observations, station archive, product (folder or cube), checkpoint, or fields."),
    ],
    stations: Stations = None,
    utc_offset: UtcOffset = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file of a product with the hash that its build noted.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same facts as one JSON object on standard output, and nothing else.")
    ] = False,
) -> None:
    """Tell what is in an archive, a product, a checkpoint or fields: period, completeness, gaps, flags, oddities."""
    from aqreanalysis import describe, time_axis
    from aqreanalysis import verify as verified
    from aqreanalysis.cli import console, facts, tables

    if verify:
        refuse_options("--verify, which compares files", stations=stations, utc_offset=utc_offset)
        with tables.reading_bar() as progress:
            count = verified(path, progress)
        if as_json:
            print(facts.as_text("verification", {"path": path, "files_as_written": count}))
        else:
            console.say(f"{path}: {count} files are what was written")
        return
    with tables.reading_bar() as progress:
        found = describe(path, stations, progress, time_axis.parse_utc_offset(utc_offset))
    if as_json:
        print(facts.facts_as_text(found))
    else:
        tables.show_facts(found)


@app.command("simulate")
@with_summary
def simulate_command(
    year: Year = None,
    start: Start = None,
    end: End = None,
    out: Annotated[str, typer.Option(help="Folder for the files.")] = "twin",
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another world.")] = 0,
    fields: Annotated[bool, typer.Option("--fields", help="Its weather and optical depth instead, as NetCDF.")] = False,
    lies: Annotated[bool, typer.Option("--lies", help="With --fields: an optical depth that is turned over.")] = False,
) -> Made:
    """Write the twin's simulated observations as tidy Parquet, one file a month, or its weather, to test with."""
    from aqreanalysis import files, time_axis
    from aqreanalysis.cli import console
    from aqreanalysis.workflows.simulate import write_fields, write_observations

    refuse_options("observations; it is of --fields", lies=lies and not fields)
    period, folder = time_axis.parse_period(year, start, end), files.folder_named(out)
    of = write_fields(period, folder, seed, lies) if fields else write_observations(period, folder, seed)
    return Made(list(console.files(of, len(period.months()), "months")))


@app.command("fetch")
@with_summary
def fetch_command(
    source: Annotated[str, typer.Argument(help="cnemc (the national network) or openaq.")],
    year: Year = None,
    start: Start = None,
    end: End = None,
    locations: Annotated[str | None, typer.Option(help="OpenAQ's numbers of locations: 1,2,3.")] = None,
    to: Annotated[
        str | None, typer.Option(help="Folder for the files. Default: one for the source in the data folder.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Address with {date}, {year}, {month}, {day} and, for openaq, {location}; "
            "{date:%Y-%m-%d} for another form of date. cnemc may have zips of several days.",
        ),
    ] = None,
    station_table: Annotated[
        str | None, typer.Option(help="Address of a table of the stations' places, to be kept as stations.csv.")
    ] = None,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two files.")] = 1.0,
    attempts: Annotated[int, typer.Option(min=1, help="At one file, with growing waits between.")] = 5,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without a byte.")] = 60.0,
) -> Made:
    """Fetch an archive of observations. Run it again to go on, and to ask again for what was missing."""
    from aqreanalysis import time_axis
    from aqreanalysis.cli import console
    from aqreanalysis.observations.download import fetch_files as run
    from aqreanalysis.observations.download.transfer import RetryPolicy
    from aqreanalysis.observations.download.wanted import FetchRequest

    request = FetchRequest(source, time_axis.parse_period(year, start, end), locations, template, station_table, to)
    summary = run(request, RetryPolicy(pause, attempts, timeout=timeout), console.files)
    for line in summary.lines():
        console.say(line)
    summary.check(shlex.join(["aqreanalysis", *sys.argv[1:]]))
    if summary.missing:
        console.warn(f"{console.counted(len(summary.missing), 'file')} missing at the server")
    return Made(summary.files, facts={"fetched": summary.fetched, "present": summary.present,
                                      "missing": len(summary.missing)})


_PRODUCT_VERBS: dict[str, Callable[..., Made]] = {**product_verbs.COMMANDS, **figure_verbs.COMMANDS}
for _name, _command in _PRODUCT_VERBS.items():
    app.command(_name)(with_summary(_command))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"aqreanalysis {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    machine.check_working_folder()
    machine.check_address_space(context.invoked_subcommand)


def main() -> None:
    """Entry point: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted, by Ctrl-C or by SIGTERM."""
    streams.make_tolerant()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell has us ignore it
        signal.signal(signal.SIGINT, _interrupt)
    try:
        refuse_empty(sys.argv[1:])
        app(prog_name=PROGRAM if any(text.startswith(COMPLETION) for text in sys.argv[1:]) else None)
    except UserError as error:
        _refuse(error)
    except SystemExit as end:  # typer makes it of Ctrl-C, without a word
        if end.code == 130:
            typer.echo("Interrupted. Run the same command again to go on.", err=True)
            sys.stdout.flush()
            os._exit(130)  # all is closed; while Python ends, threads of libraries and a second Ctrl-C can kill it
        lost = streams.output_error()
        if lost and not end.code:
            _refuse(lost)
        raise
    except (MemoryError, OSError, RuntimeError, ImportError, UnicodeEncodeError) as error:
        known = machine.machine_error(error)
        if known is None:
            raise
        _refuse(known)


def _refuse(error: UserError) -> NoReturn:
    from aqreanalysis.cli import console

    console.error(str(error))
    sys.exit(2)


def _interrupt(*_) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the end has begun
    if stop := getattr(sys.modules.get("aqreanalysis.workers"), "stop_running", None):  # else nothing runs
        stop()
    raise KeyboardInterrupt
