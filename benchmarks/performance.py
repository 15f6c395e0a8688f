"""How fast: a build against writing alone, gridding against other packages, cost by size, memory, where time goes.

    python benchmarks/performance.py year --observations PATH [--workers N] [--start DAY --end DAY]
    python benchmarks/performance.py processes --observations PATH [--raw PATH] [--workers N]
    python benchmarks/performance.py peers --observations PATH
    python benchmarks/performance.py sizes --observations PATH
    python benchmarks/performance.py periods --observations PATH
    python benchmarks/performance.py profile --observations PATH
    python benchmarks/performance.py all --observations PATH
    python benchmarks/performance.py report              docs/performance.md and its figure

Each part adds what it measures to docs/performance.json, which `report` reads. Peers are optional packages
(`pip install "aqreanalysis[benchmarks]"`); one that is not there is left out. Run on an idle machine, with a station
archive (`aqreanalysis ingest`) as PATH.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import performance_peers as peers
import performance_report as report
from year import memory_of, tree

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "performance.json"
WEEK = ("2019-01-14", "2019-01-20")
MONTH = ("2019-01-01", "2019-01-31")  # what a product reads and grids at once


def note(part: str, **facts) -> None:
    """Add what a part has measured; a part that is run again replaces what it had."""
    from aqreanalysis import files

    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results["machine"] = {"date": dt.date.today().isoformat(), "network": _network(), "processor": processor(),
                          "cores": len(os.sched_getaffinity(0)),
                          "python": platform.python_version(),
                          **files.package_versions("aqreanalysis", "numpy", "torch", "netCDF4", "zarr")}
    results[part] = facts
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{part}: {json.dumps(facts, indent=1)}", flush=True)


def _network() -> str:
    """The shipped checkpoint and the hash of its weights."""
    from aqreanalysis.models import checkpoint

    card = checkpoint.read_card(checkpoint.SHIPPED / checkpoint.DEFAULT)
    return f"{card.name}, weights {card.weights_sha256[:16]}"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


# --- (a) a build and writing alone -----------------------------------------------------------------

def watched(command: list[str]) -> dict:
    """Wall time, and the highest proportional set size of all its processes together and of one of them."""
    began, together, one = time.monotonic(), 0.0, 0.0
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        sizes = [memory_of(pid) for pid in tree(running.pid)]
        together, one = max(together, sum(sizes)), max(one, *sizes, 0.0)
        time.sleep(0.2)
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
    return {"seconds": time.monotonic() - began, "MiB": together, "MiB_of_one_process": one}


def build(observations: str, period: list[str], grid: str, workers: int, out: Path, form: str = "netcdf") -> dict:
    return watched([sys.executable, "-m", "aqreanalysis", "build", *period, "--grid", grid, "--observations",
                    observations, "--out", str(out), "--workers", str(workers), "--format", form])


def year(options) -> None:
    """The whole build, with maps and report; then the same arrays again, only written, by as many processes."""
    facts = {"workers": options.workers, "grid": options.grid, "days": days(options)}
    period = ["--start", options.start, "--end", options.end]
    for form in ("netcdf", "zarr"):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "product"
            facts[form] = build(options.observations, period, options.grid, options.workers, out, form)
            facts[form]["bytes"] = sum(f.stat().st_size for kind in ("*.nc", "*.zarr") for path in out.glob(kind)
                                       for f in (path.rglob("*") if path.is_dir() else [path]) if f.is_file())
            facts[form]["writing_alone"] = writing_alone(out, options)
            facts[form]["ratio"] = facts[form]["seconds"] / facts[form]["writing_alone"]["seconds"]
            months = json.loads((out / "run.json").read_text())["months"].values()
            facts[form]["seconds_of_months"] = sum(month["seconds"] for month in months)
    note("year", **facts)


def processes(options) -> None:
    """The period by one process, two, and all; and from raw files."""
    period, found = ["--start", options.start, "--end", options.end], {}
    for name, observations, count in [*((str(count), options.observations, count)
                                        for count in sorted({1, 2, options.workers})),
                                      ("raw", options.raw, options.workers)]:
        if observations:
            with tempfile.TemporaryDirectory() as scratch:
                found[name] = build(observations, period, options.grid, count, Path(scratch) / "product")
    note("processes", workers=options.workers, grid=options.grid, days=days(options), builds=found)


def days(options) -> int:
    return int((np.datetime64(options.end) - np.datetime64(options.start)).astype(int)) + 1


def writing_alone(product: Path, options) -> dict:
    """Seconds from the moment at which every process has its months' arrays in memory to the last file's end."""
    import multiprocessing

    from aqreanalysis import output
    from aqreanalysis.output import cf
    from aqreanalysis.product import folder as product_of
    from aqreanalysis.product.plan import BuildRequest, prepare
    from aqreanalysis.workflows import build as building

    form = "zarr" if list(product.glob("*.zarr")) else "netcdf"
    again = product.with_name("again")
    plan = prepare(BuildRequest(start=options.start, end=options.end, grid=options.grid, out=str(again), format=form,
                                observations=options.observations))
    again.mkdir()
    building.create_stores(plan, product_of.Record(plan.folder, {"files": {}}), plan.period.months())
    context = multiprocessing.get_context("spawn")
    barrier, months = context.Barrier(options.workers + 1), plan.period.months()
    processes = [context.Process(target=write_months,
                                 args=(barrier, plan.job, product, months[number::options.workers]))
                 for number in range(options.workers)]
    for process in processes:
        process.start()
    barrier.wait()
    began = time.monotonic()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit("writing alone failed")
    for path in plan.folder.stores:
        plan.folder.file_format.finish(path)
    for of in plan.folder.daily():
        fields = cf.fields_of(cf.DAILY, plan.about)
        parts = (output.read_month_days(plan.folder.days_of(month), fields) for month in of.months)
        output.write_daily(of.path, plan.grid, [day for month in of.months for day in month.days()], parts, plan.about)
    seconds = time.monotonic() - began
    shutil.rmtree(again)
    return {"seconds": seconds}


def write_months(barrier, job, product: Path, months: list) -> None:
    """What a worker of a build writes, from arrays that are there already."""
    from dataclasses import replace

    from aqreanalysis import output
    from aqreanalysis.output import cf
    from aqreanalysis.output.daily import MonthDays

    before = replace(job.folder, path=product)
    held = [arrays_of(before, month, job) for month in months]
    barrier.wait()
    for month, (hourly, daily, distance) in zip(months, held, strict=True):
        with output.open_part(job.folder.hourly(month), job.grid, job.about, cf.HOURLY, distance) as file, \
                MonthDays(job.folder.days_of(month), tuple(daily), month.n_days, job.grid.size) as kept:
            for points in output.tiles(job.grid):
                for first in range(0, len(month.hours), 168):
                    rows = slice(first, first + 168)
                    file.write(first, {name: array[rows, points] for name, array in hourly.items()}, points)
                kept.write(0, points, {name: array[:, points] for name, array in daily.items()})


def arrays_of(folder, month, job) -> tuple[dict, dict, np.ndarray]:
    """A month's hours and days from a finished product, (steps, points) by variable, and the distances."""
    from aqreanalysis import output
    from aqreanalysis.output import cf

    part = folder.hourly(month)
    days_file = next(of for of in folder.daily() if month in of.months)
    first_day = sum(other.n_days for other in days_file.months if other.first < month.first)
    found = []
    for path, frequency, first, steps in ((part.path, cf.HOURLY, part.first, len(month.hours)),
                                          (days_file.path, cf.DAILY, first_day, month.n_days)):
        with output.open_product_file(path) as file:
            found.append({name: file[name][first:first + steps].values.reshape(steps, -1)
                          for name in cf.fields_of(frequency, job.about)})
            if frequency == cf.HOURLY:
                distance = file[cf.DISTANCE].values.reshape(-1, job.grid.size)[part.month]
    return *found, distance


# --- (b), (c) gridding -----------------------------------------------------------------------------

def real(observations: str, days: tuple[str, str] = WEEK):
    """Screened observations around some days, and the model."""
    from aqreanalysis import time_axis
    from aqreanalysis.models import checkpoint
    from aqreanalysis.observations import screening
    from aqreanalysis.observations.readers import open_archive

    model, _ = checkpoint.load(checkpoint.locate(None))
    period = time_axis.parse_period(None, *days)
    return model, screening.observations_around(open_archive(observations, None), model, period), period


def gridded(model, cube, week, grid, hours: int | None = None, k: int = 20) -> dict:
    """Seconds of a block of hours, features and neighbourhoods included, on one thread; memory is a build's."""
    from dataclasses import replace

    from aqreanalysis import output, workers
    from aqreanalysis.models import base, neighbours

    neighbours._KEPT.clear()  # a product computes them once a station set
    model = replace(model, k=k)
    chosen = week.hours[:hours]

    def block():
        over = base.read(model, cube, chosen)
        for points in output.tiles(grid):
            over(grid.lat[points], grid.lon[points])(chosen)

    began = time.process_time()
    workers.single_threaded(block)
    seconds = time.process_time() - began
    return {"seconds": seconds, "cell_hours": grid.size * len(chosen),
            "nanoseconds_a_cell_hour": 1e9 * seconds / grid.size / len(chosen)}


def compare(options) -> None:
    """On the product's grid: ours as a product does it, a month, and every peer that is installed, hours of it."""
    from aqreanalysis.grids import parse_grid

    model, cube, month = real(options.observations, MONTH)
    grid = parse_grid(options.grid)
    gridded(model, cube, month, grid, 24)  # libraries are loaded, threads are there
    ours = gridded(model, cube, month, grid)
    found = {"AQ-Net": ours | {"hours": len(month.hours), "seconds_an_hour": ours["seconds"] / len(month.hours)}}
    for name, measure in peers.PEERS.items():
        try:
            found[name] = measure(cube.sel(time=month.hours), grid, model.k)
        except ImportError as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        found[name]["ratio"] = found[name]["seconds_an_hour"] / found["AQ-Net"]["seconds_an_hour"]
        print(name, found[name], flush=True)
    note("peers", grid=options.grid, stations=int(cube.sizes["station"]), k=model.k, methods=found)


def sizes(options) -> None:
    """Cost against grid size, number of stations and k."""
    from aqreanalysis import schema
    from aqreanalysis.grids import parse_grid

    model, cube, week = real(options.observations)
    gridded(model, cube, week, parse_grid("1deg"), 24)
    grids = {name: gridded(model, cube, week, parse_grid(name)) for name in ("1deg", "0.25deg", "0.1deg", "0.05deg")}
    grid = parse_grid("0.25deg")
    neighbours = {k: gridded(model, cube, week, grid, k=k) for k in (8, 20, 40)}
    stations = {}
    for count in (100, 500, 1000, 2000):
        mock = schema.mock_station_cube(hours=cube.sizes["time"], stations=count)
        rng = np.random.default_rng(count)
        places = {"time": cube.time.values, "lat": ("station", rng.uniform(29, 43, count)),
                  "lon": ("station", rng.uniform(106, 125, count))}
        stations[count] = gridded(model, mock.assign_coords(places), week, grid)
    note("sizes", grids=grids, neighbours=neighbours, stations=stations)


def periods(options) -> None:
    """Wall time and memory of builds of some months from January 2019 on, on one worker."""
    found = {}
    for months in map(int, options.months.split(",")):
        end = str((np.datetime64("2019-01", "M") + months).astype("datetime64[D]") - 1)
        with tempfile.TemporaryDirectory() as scratch:
            facts = build(options.observations, ["--start", "2019-01-01", "--end", end], options.period_grid, 1,
                          Path(scratch) / "product")
            parts = json.loads((Path(scratch) / "product" / "run.json").read_text())["months"].values()
        found[months] = facts | {"seconds_a_month": sum(part["seconds"] for part in parts) / months}
    note("periods", grid=options.period_grid, months=found)


# --- (e) where the time goes -----------------------------------------------------------------------

def profile(options) -> None:
    """CPU seconds of a month by what is done, under cProfile, on one thread."""
    import cProfile
    import pstats

    from aqreanalysis import workers
    from aqreanalysis.product.month import analyse_month
    from aqreanalysis.product.plan import BuildRequest, prepare

    with tempfile.TemporaryDirectory() as scratch:
        began = time.process_time()
        plan = prepare(BuildRequest(start="2019-01-01", end="2019-01-31", grid=options.grid,
                                    observations=options.observations, out=f"{scratch}/product"))
        before = time.process_time() - began
        plan.folder.path.mkdir()
        month, profiler = plan.period.months()[0], cProfile.Profile(time.process_time)
        profiler.enable()
        workers.single_threaded(analyse_month, plan.job, month)
        profiler.disable()
    stats = pstats.Stats(profiler)
    whole = stats.total_tt
    parts = {name: sum(facts[3] for (file, _, function), facts in stats.stats.items()
                       if any(f"{file} {function}".endswith(f"/{of}") for of in functions))
             for name, functions in report.STAGES.items()}
    parts["neural network and neighbours"] -= parts["features of stations"]
    parts["everything else"] = whole - sum(parts.values())
    note("profile", grid=options.grid, seconds=whole, checks_before=before, parts=parts)


PARTS = {"year": [year], "processes": [processes], "peers": [compare], "sizes": [sizes], "periods": [periods],
         "profile": [profile],
         "all": [compare, sizes, profile, periods, processes, year]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "report"])
    parser.add_argument("--observations")
    parser.add_argument("--raw", help="the same observations as raw files, for the part `processes`")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--grid", default="0.1deg")
    parser.add_argument("--period-grid", default="0.1deg", help="grid of the part `periods`")
    parser.add_argument("--months", default="1,3,12", help="lengths of the part `periods`")
    parser.add_argument("--start", default="2019-01-01")
    parser.add_argument("--end", default="2019-12-31")
    options = parser.parse_args()
    if options.part == "report":
        for path in report.write(json.loads(RESULTS.read_text(encoding="utf-8")), RESULTS.parent):
            print(f"written: {path}")
        return
    if not options.observations:
        parser.error("--observations is needed")
    for part in PARTS[options.part]:
        part(options)


if __name__ == "__main__":
    main()
