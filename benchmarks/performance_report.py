"""docs/performance.md and its figure from what benchmarks/performance.py has measured."""

from __future__ import annotations

from pathlib import Path

# What is done -> in which functions; those of different stages do not call each other, but for the features of
# stations, which the network asks for.
STAGES = {
    "reading": ["readers/daily_files.py read", "readers/station_archive.py read_screened"],
    "quality control": ["quality/__init__.py screen"],
    "features of stations": ["models/aqnet/station_inputs.py station_inputs"],
    "neural network and neighbours": ["models/aqnet/analysis.py prepare", "models/aqnet/analysis.py at"],
    "quality flags": ["models/uncertainty.py __init__", "models/uncertainty.py of_hours"],
    "daily means": ["models/uncertainty.py daily"],
    "encoding and writing": [f"output/writer.py {name}" for name in ("__enter__", "write", "__exit__")],
    "hashes": ["output/formats.py fingerprint"],
}


def write(results: dict, folder: Path) -> list[Path]:
    """Write the page and the figure of what has been measured so far; returns their paths."""
    sections = [SECTIONS[name](results[name]) for name in SECTIONS if name in results]
    machine = results["machine"]
    head = (f"# Performance\n\nMeasured by `benchmarks/performance.py` on {machine['cores']} cores of "
            f"{machine['processor']} (Python {machine['python']}, numpy {machine['numpy']}, torch {machine['torch']}, "
            f"netCDF4 {machine['netCDF4']}, zarr {machine['zarr']}). CPU, float32, one thread a process. "
            f"{machine['date']}, network {machine['network']}.\n\n"
            "![cost of gridding, by method, grid, stations and period](performance.png)\n")
    page, picture = folder / "performance.md", folder / "performance.png"
    page.write_text("\n".join([head, *sections]), encoding="utf-8")
    draw(results, picture)
    return [page, picture]


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def _year(facts: dict) -> str:
    rows = [[form, f"{of['seconds']:.0f}", f"{of['writing_alone']['seconds']:.0f}", f"**{of['ratio']:.2f}**",
             f"{of['MiB']:.0f}", f"{of['MiB_of_one_process']:.0f}", f"{of['bytes'] / 1e6:.0f}"]
            for form in ("netcdf", "zarr") if (of := facts.get(form))]
    text = (f"## A build and writing alone\n\n`aqreanalysis build` of {facts['days']} days at {facts['grid']} with "
            f"{facts['workers']} processes, from a station archive to maps and report, against only writing the same "
            "arrays with the same writers and as many processes.\n\n"
            + table(["format", "build, s", "writing alone, s", "ratio", "peak MiB", "of one process", "MB written"],
                    rows))
    return text


def _processes(facts: dict) -> str:
    seconds = {name: of["seconds"] for name, of in facts["builds"].items()}
    counts = sorted(int(name) for name in seconds if name != "raw")
    text = (f"## Processes\n\n{facts['days']} days at {facts['grid']}, from start to maps and report.\n\n"
            + table(["processes", "build, s", "speed-up", "peak MiB"],
                    [[count, f"{seconds[str(count)]:.0f}", f"{seconds['1'] / seconds[str(count)]:.2f}",
                      f"{facts['builds'][str(count)]['MiB']:.0f}"] for count in counts]))
    if raw := seconds.get("raw"):
        text += ("\nFrom raw files, of which every month reads and screens 15 days on either side too, with "
                 f"{facts['workers']} processes: {raw:.0f} s.\n")
    return text


def _peers(facts: dict) -> str:
    rows = [[name, f"{1e3 * of['seconds_an_hour']:.3g}", f"{of['ratio']:.3g}" if "ratio" in of else "1",
             f"{of['hours']}" + (f", {of['cells']:,} cells" if "cells" in of else "")]
            for name, of in sorted(facts["methods"].items(), key=lambda item: item[1]["seconds_an_hour"])]
    return (f"## Gridding\n\nHourly fields at {facts['grid']} from {facts['stations']} stations, k = {facts['k']}; CPU "
            "time of one thread. AQ-Net's time includes gap filling, the stations' features, the search for "
            "neighbours, and a standard error. Slow methods were timed on fewer hours or cells.\n\n"
            + table(["method", "ms an hour", "ratio to AQ-Net", "hours timed"], rows))


def _sizes(facts: dict) -> str:
    groups = (("grid", "grids"), ("stations, at 0.25deg", "stations"), ("k, at 0.25deg", "neighbours"))
    tables = [table([head, "ns a cell-hour", "s a week"],
                    [[name, f"{of['nanoseconds_a_cell_hour']:.0f}", f"{of['seconds']:.2f}"]
                     for name, of in sorted(facts[key].items(), key=lambda item: item[1]["seconds"])])
              for head, key in groups]
    return "## Cost by size\n\n" + "\n".join(tables)


def _periods(facts: dict) -> str:
    rows = [[months, f"{of['seconds']:.0f}", f"{of['seconds_a_month']:.1f}", f"{of['MiB_of_one_process']:.0f}"]
            for months, of in sorted(facts["months"].items(), key=lambda item: int(item[0]))]
    return (f"## Length of the period\n\nOne process, {facts['grid']}.\n\n"
            + table(["months", "build, s", "s a month's hours", "peak MiB"], rows))


def _profile(facts: dict) -> str:
    rows = [[name, f"{seconds:.2f}", f"{seconds / facts['seconds']:.0%}"]
            for name, seconds in sorted(facts["parts"].items(), key=lambda item: -item[1])]
    return (f"## Where the time goes\n\nA month at {facts['grid']} on one thread, {facts['seconds']:.1f} s of CPU "
            f"under cProfile; checks before it {facts['checks_before']:.1f} s.\n\n" + table(["", "s", "share"], rows))


SECTIONS = {"year": _year, "processes": _processes, "peers": _peers, "sizes": _sizes, "periods": _periods,
            "profile": _profile}


def draw(results: dict, path: Path) -> None:
    """Four panels: methods, grid size, number of stations, length of the period."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    if "peers" in results:
        methods = sorted(results["peers"]["methods"].items(), key=lambda item: -item[1]["seconds_an_hour"])
        colours = ["#b04020" if name == "AQ-Net" else "#8090a0" for name, _ in methods]
        axes[0, 0].barh([name for name, _ in methods], [of["seconds_an_hour"] for _, of in methods], color=colours)
        axes[0, 0].set(xscale="log", xlabel="seconds an hourly field (log scale)", title="Gridding, one thread")
    if "sizes" in results:
        for axis, key, label in ((axes[0, 1], "grids", "cells"), (axes[1, 0], "stations", "stations")):
            points = sorted((of["cell_hours"] / 168 if key == "grids" else int(name), of["nanoseconds_a_cell_hour"])
                            for name, of in results["sizes"][key].items())
            axis.plot(*zip(*points, strict=True), "o-", color="#b04020")
            axis.set(xscale="log", yscale="log", xlabel=label, ylabel="ns a cell-hour (log scale)",
                     title=f"Cost by {label}")
    if "periods" in results:
        months = sorted((int(name), of) for name, of in results["periods"]["months"].items())
        axes[1, 1].plot([name for name, _ in months], [of["MiB_of_one_process"] for _, of in months], "o-",
                        color="#b04020")
        axes[1, 1].set(ylim=(0, None), xlabel="months", ylabel="peak MiB of a process", title="Memory by period")
    for axis in axes.ravel():
        axis.set_visible(axis.has_data())  # a part may not have been measured yet
    figure.savefig(path, dpi=120)
    plt.close(figure)
