"""`aqreanalysis compare`: a product beside another gridded PM2.5, on common cells and times; both beside stations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import files, time_axis
from aqreanalysis.errors import UserError, first_few
from aqreanalysis.figures import comparison as figures
from aqreanalysis.figures import diagrams
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import grid_of_axes
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.product.comparison import page, pairs, scores, stations
from aqreanalysis.product.comparison.jobs import AllPairs, PairSetting, pairs_of_job, put_together
from aqreanalysis.product.comparison.other import OtherOptions, OtherProduct, open_other
from aqreanalysis.product.comparison.pairs import CommonGrid, CommonTimes
from aqreanalysis.product.comparison.scores import OTHER, OURS, StationSet
from aqreanalysis.product.comparison.times import TimeOptions
from aqreanalysis.product.derived import Arrays, KeptJobs, OnJob, identity_of, kept_jobs, unobserved
from aqreanalysis.product.in_memory import DatasetProduct, dataset_product
from aqreanalysis.product.reading import DAYS, HOURS, FinishedProduct, open_finished

HASHED_BYTES = 2 << 30  # of the other product's files, up to which they are hashed
OUR_NAME = "the product"
FEW_PAIRS = "no cell has values in both at the same time"


@dataclass(frozen=True)
class Compared:
    """What a comparison found: scores of all pairs, and beside stations (empty without any); maps; files; sentences."""

    pairs: pd.DataFrame
    stations: pd.DataFrame
    maps: xr.Dataset
    files: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Setting:
    """Both products and what they have in common."""

    product: FinishedProduct | DatasetProduct
    other: OtherProduct
    grid: CommonGrid
    common: CommonTimes
    names: diagrams.Names
    notes: tuple[str, ...]


def compare(product: str | Path | xr.Dataset, others: Any, to: str | Path | None = None, *,
            observations: str | Path | None = None, station_table: str | Path | None = None,
            variable: str | None = None, units: str | None = None, level: int | None = None, stamp: str | None = None,
            days: str | None = None, step: str | None = None, start: str | None = None, end: str | None = None,
            name: str | None = None, say: Callable[[str], None] = lambda text: None,
            progress: OnJob = unobserved, workers: int = 1, scheduler: str | None = None) -> Compared:
    """Compare a product with another gridded PM2.5.

    Parameters
    ----------
    product : folder of a product, or a Dataset as open_product gives it.
    others : file, store, folder or Dataset, or several of them: another PM2.5, or another product of ours.
    to : folder for tables, maps, pictures and the page; None: nothing is written.
    observations, station_table : an archive, to put both beside.
    variable, units, level, stamp, days, step : what the other's files are, where they do not say it or say it wrongly.
    start, end : days UTC+8, both included, that are compared.
    name : what the other is called in figures.
    workers, scheduler : processes, or a Dask scheduler, of files that are compared into a folder. There, a run that was
        killed goes on with what is missing.

    Raises
    ------
    UserError : for files that can't be understood, and for products without a cell or a time in common.
    """
    folder = files.folder_named(str(to), "--to") if to is not None else None
    period = time_axis.parse_period(None, start, end) if start or end else None
    given = [others] if isinstance(others, str | Path | xr.Dataset) else list(others)
    options = OtherOptions(variable, units, level, TimeOptions(stamp, days, step))
    setting = _opened(product, given, options, period, name)
    for text in setting.notes:
        say(text)
    archive = open_archive(observations, station_table) if observations is not None else None
    hidden = stations.hidden_rows(setting.product) if isinstance(setting.product, FinishedProduct) else None
    table = archive.stations if archive is not None else None
    watch = stations.watched(table, hidden, setting.product, setting.other)
    if table is not None:
        stations.check_stations(table, watch, Path(str(observations)))
    of_pairs = PairSetting(setting.product, setting.other, setting.grid, setting.common, watch.cells)
    with _kept(folder, of_pairs, options) as kept:
        pairs_ = _gone_through(of_pairs, kept, workers, scheduler, progress, say)
        sums = pairs_.sums
        sets, how = _station_sets(setting, watch, archive, observations, pairs_.ours, pairs_.other, hidden)
        found = _scored(setting, sums, sets)
        notes = [*setting.notes, *([how] if how else []), *_odd(pairs_.odd)]
        for text in notes[len(setting.notes):]:
            say(text)
        written = _written(folder, setting, sums, sets, found, notes, how) if folder is not None else []
    return Compared(found["statistics"], found.get("stations", pd.DataFrame()), scores.pair_maps(sums), tuple(written),
                    tuple(notes))


def _opened(product: Any, others: Sequence[Any], options: OtherOptions, period: time_axis.Period | None,
            name: str | None) -> _Setting:
    first = dataset_product(product) if isinstance(product, xr.Dataset) else open_finished(product, (DAYS,))
    axes = pairs.our_axes(first.grid, str(first.path))
    region = (float(axes.lon[0, 0]), float(axes.lon[-1, 1]), float(axes.lat[0, 0]), float(axes.lat[-1, 1]))
    other = open_other(others, region, options, str(first.path))
    frequency = first.frequency if isinstance(first, DatasetProduct) else DAYS
    common = pairs.common_times(other.times, first.days(frequency), period, (str(first.path), other.name))
    if isinstance(first, FinishedProduct) and common.frequency == HOURS:
        first = open_finished(product, (HOURS,))
    grid = pairs.common_grid(axes, other.axes)
    simulated = first.simulated or other.simulated
    names = diagrams.Names(_our_name(first), name or other.name, simulated)
    notes = [*first.notes, *other.notes, *common.notes, grid.words,
             f"{len(common.intervals)} {common.kind}s in common, {common.days[0]} to {common.days[-1]}"]
    if first.simulated != other.simulated:
        notes.append("one of both is SIMULATED and the other is not: their difference says nothing of real air")
    return _Setting(first, other, grid, common, names, tuple(notes))


def _our_name(product: FinishedProduct | DatasetProduct) -> str:
    identity = getattr(product, "identity", {})
    return f"aqreanalysis, {identity['grid'].split()[0]}" if "grid" in identity else "aqreanalysis"


def _kept(folder: Path | None, setting: PairSetting,
          options: OtherOptions) -> contextlib.AbstractContextManager[KeptJobs | None]:
    """Where jobs are kept; nowhere without a folder, and of Datasets."""
    in_memory = isinstance(setting.product, DatasetProduct) or any(of.dataset is not None for of in setting.other.files)
    if folder is None or in_memory:
        return contextlib.nullcontext()
    return kept_jobs(folder / "comparison", _identity(setting, options))


def _identity(setting: PairSetting, options: OtherOptions) -> dict[str, Any]:
    """What the sums of pairs depend on."""
    assert isinstance(setting.product, FinishedProduct)  # jobs are kept of files
    stats = [one.path.stat() for one in setting.other.files]
    others = [[str(one.path.absolute()), of.st_size, of.st_mtime_ns]
              for one, of in zip(setting.other.files, stats, strict=True)]
    common = setting.common
    return identity_of(setting.product, others=others, options=repr(options), frequency=common.frequency,
                       intervals=[str(common.intervals[0, 0]), str(common.intervals[-1, 1]), len(common.intervals)],
                       watched=[cells.tolist() for cells in setting.watched])


def _gone_through(setting: PairSetting, kept: KeptJobs | None, workers: int, scheduler: str | None, progress: OnJob,
                  say: Callable[[str], None]) -> AllPairs:
    """Sums of all periods, from jobs that are kept or, of Datasets, one after the other here."""
    jobs = setting.jobs
    if kept is not None:
        kept.run(pairs_of_job, jobs, setting, workers, scheduler, progress, say)
        found = put_together(setting, jobs, kept.load)
    else:
        def load(name: str) -> Arrays:
            made = pairs_of_job(setting, jobs[name])
            progress(list(jobs).index(name) + 1, len(jobs))
            return made

        found = put_together(setting, jobs, load)
    if not found.sums.count.any():
        raise UserError(f"{setting.product.path} and {setting.other.name}: {FEW_PAIRS}.",
                        "They are compared where both have values.", "Look at both with ncview or Panoply.")
    return found


def _station_sets(setting: _Setting, watch: stations.Watched, archive: Any, observations: str | Path | None,
                  ours: np.ndarray, theirs: np.ndarray, hidden: Any) -> tuple[list[StationSet], str]:
    how, use, observed = "", np.full(len(watch.station_id), stations.NOT_KNOWN), None
    if archive is not None:
        place = Path(str(observations))
        same = isinstance(setting.product, FinishedProduct) and stations.is_same_archive(setting.product, place)
        use, how = stations.use_of(archive.stations, watch, setting.product, place, same)
        observed = stations.observed_means(archive, setting.common, watch)
        if archive.simulated != setting.product.simulated:
            how += "; one of product and observations is SIMULATED and the other is not"
    sets = stations.station_sets(watch, use, observed, ours, theirs, hidden, setting.common)
    if hidden is not None and not setting.common.is_daily:
        how = "; ".join(part for part in (how, "stations that the build hid are known by days of UTC+8 alone, and are "
                                          "left out here") if part)
    return sets, how


def _odd(count: int) -> list[str]:
    return [f"{count:,} values of the other below {-0.5:g} or above 10,000 ug m-3 are taken for missing"] * (
        count > 0)


def _scored(setting: _Setting, sums: pairs.PairSums, sets: Sequence[StationSet]) -> dict[str, pd.DataFrame]:
    found = {"statistics": scores.pair_table(sums, setting.common.kind)}
    table = scores.station_table(sets, setting.common.kind)
    return found | ({"stations": table} if len(table) else {})


def _written(folder: Path, setting: _Setting, sums: pairs.PairSums, sets: Sequence[StationSet],
             found: dict[str, pd.DataFrame], notes: Sequence[str], how: str) -> list[Path]:
    """Tables, maps, pictures and the page."""
    prefix = "simulated_" if setting.names.simulated else ""
    maps = scores.pair_maps(sums)
    period = f"{setting.common.days[0]} to {setting.common.days[-1]}"
    facts = _facts(setting)
    series = pd.DataFrame(sums.rows)
    series = pd.DataFrame({"begin": series.begin, "end": series.end, "pairs": series.n,
                           "product": series.ours / series.weight, "other": series.other / series.weight})
    written = page.write_tables(folder, prefix, found | {"series": series})
    written.append(page.write_maps(folder / f"{prefix}difference.nc", maps, facts))
    drawn = {name: save_figure(figure, folder / f"{prefix}{name}.png")
             for name, figure in _figures(setting, sums, sets, found, maps, series, period).items()}
    tables = [page.pair_rows(found["statistics"])]
    if "stations" in found:
        tables.append(page.station_rows(found["stations"], (setting.names.ours, setting.names.other), how))
    simulated = ("made from the built-in twin, not from observations." if setting.product.simulated else
                 "the other product says that it is.") if setting.names.simulated else ""
    title = f"{setting.names.other} beside {setting.names.ours}, {period}"
    written += drawn.values()
    key = page.key_figures(found["statistics"], found.get("stations"), setting.names.other, setting.common.kind)
    return [*written, page.write_page(
        folder / f"{prefix}comparison.html", title=title, headline=_headline(found, setting), simulated=simulated,
        figures=key, tables=tables, drawn=drawn, notes=notes, facts=facts, names=[path.name for path in written])]


def _headline(found: dict[str, pd.DataFrame], setting: _Setting) -> str:
    row = found["statistics"].iloc[0]
    held = (f" The product's 90 % bounds hold {row.held_percent:.0f} % of the other's values."
            if np.isfinite(row.held_percent) else "")
    return (f"Over {row.pairs:,} pairs of cells and {setting.common.kind}s, {setting.names.other} is {row.bias:+.1f} "
            f"µg m⁻³ ({row.NMB_percent:+.0f} %) beside {setting.names.ours}; root mean square difference "
            f"{row.RMSE:.1f}, r {row.r:.2f}.{held}")


def _facts(setting: _Setting) -> dict[str, str]:
    """What both are made from."""
    product, other = setting.product, setting.other
    sizes = sum(one.path.stat().st_size for one in other.files if one.path.is_file())
    told = [one.path.name + (f" (sha256 {files.sha256_of(one.path)[:16]})" if one.path.is_file()
                             and sizes <= HASHED_BYTES else "") for one in other.files]
    mark = "SIMULATED " if setting.names.simulated else ""
    return {"title": f"{mark}{setting.names.other} beside {setting.names.ours}",
            "source": f"{mark}product: {product.attributes.get('source', product.path.name)}",
            "simulated": "true" if setting.names.simulated else "false",
            "other_title": str(other.attributes.get("title", other.name)),
            "other_source": str(other.attributes.get("source", "")),
            "other_files": first_few(told, 5),
            "other_variable": f"{other.variable} ({other.units})", **product.provenance(f"compare with {other.name}")}


def _figures(setting: _Setting, sums: pairs.PairSums, sets: Sequence[StationSet], found: dict[str, pd.DataFrame],
             maps: xr.Dataset, series: pd.DataFrame, period: str) -> dict[str, Any]:
    names = setting.names
    grid = grid_of_axes(sums.axes, "common")
    drawn: dict[str, Any] = figures.comparison_maps(maps, grid, names, period, "Boundaries: Natural Earth.")
    edges = pairs.DENSITY_EDGES[:-1]
    density = xr.DataArray(sums.density, {"product": edges, "other": edges}, ("product", "other"))
    row = found["statistics"].iloc[0]
    drawn["density"] = diagrams.density_figure(density, names, f"{period}: {row.pairs:,} pairs, bias {row.bias:+.1f}, "
                                              f"RMSE {row.RMSE:.1f}, r {row.r:.2f}")
    if len(series) > 1:
        drawn["series"] = figures.series_figure(xr.Dataset(
            {name: ("time", series[name].to_numpy()) for name in ("product", "other")},
            {"time": series.end.to_numpy().astype("datetime64[ns]")}), names, period)
    drawn["taylor"] = _taylor(found, names, period)
    if setting.common.kind == "day" and (chosen := _of_targets(sets)):
        drawn["target"] = _target(chosen, names, period)
    return drawn


def _taylor(found: dict[str, pd.DataFrame], names: diagrams.Names, period: str) -> Any:
    """Of both beside observations; without any, of the other beside the product, by season."""
    if "stations" in found:
        table = found["stations"].dropna(subset=["r"])
        labels = [f"{names.ours if one == OURS else names.other}: {where}"
                  for one, where in zip(table.estimate, table.stations_are, strict=True)]
        points = (table.sd_estimate / table.sd_observed, table.r, labels, table.estimate == OURS)
        reference = "observations"
    else:
        table = found["statistics"]
        seasons = table[(table.by == "season") & table.r.notna()]
        table = pd.concat([table[table.by == "all"], seasons]) if len(seasons) > 1 else table[table.by == "all"]
        labels = [f"{names.other}: {one}" for one in table.slice]
        points = (table.sd_other / table.sd_product, table.r, labels, table.by == OTHER)
        reference = names.ours
    ratio, r, labels, ours = points
    data = xr.Dataset({"ratio": ("point", ratio.to_numpy()), "correlation": ("point", r.to_numpy())},
                      {"label": ("point", labels), "is_ours": ("point", ours.to_numpy())})
    return diagrams.taylor_figure(data, names, reference, period)


def _of_targets(sets: Sequence[StationSet]) -> StationSet | None:
    """The set whose stations stand in the target diagram: one that the product was not given, the largest."""
    enough = [one for one in sets if (np.isfinite(one.pairs()[0]).sum(axis=0) >= scores.LEAST_PERIODS).any()]
    return max(enough, key=lambda one: (one.independent, one.observed.shape[1]), default=None)


def _target(of: StationSet, names: diagrams.Names, period: str) -> Any:
    observed, ours, other = of.pairs()
    found = [scores.target_of(observed, values) for values in (ours, other)]
    points = xr.Dataset({axis: ("point", np.concatenate([one[axis] for one in found])) for axis in "xy"},
                        {"is_ours": ("point", np.repeat([True, False], [len(one["x"]) for one in found]))})
    return diagrams.target_figure(points, names, f"{period}, days at stations {of.name}")
