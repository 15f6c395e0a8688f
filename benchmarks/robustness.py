"""How a checkpoint does on networks and in years that it was not made for, beside kriging, in folds over all stations.

    python benchmarks/robustness.py --national PATH --beijing PATH [--checkpoint NAME] [--every-days 10] [--cases ...]
                                    [--end 2019-12-31] [--workers N] [--out FILE.csv]

Cases: `beijing`, Beijing's municipal network year by year (2013 to 2018); and of the national network of 2019: `as it
is`; `thinned`, 30 of its stations; `snapshots`, four hours a day; `pm25 alone`; `levels`, everything times 1.5.

Prints a row for each case, design and frequency: MAE of AQ-Net, its skill in % over tuned kriging with the central 95 %
(weeks and cities drawn again) and over regression kriging, bias in %, and the share of the truth in the 90 % bounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Archive, ArchivePart, Inspection, Source, Stamp
from aqreanalysis.time_axis import Period
from aqreanalysis.workflows.evaluate_analysis import Evaluation, Result, evaluate_source

SEED, THINNED = 0, 30
SNAPSHOTS = (2, 8, 14, 20)  # hours UTC that are kept: 10, 16, 22 and 4 h, UTC+8
LEVEL = 1.5
CHANGED = ("as it is", "thinned", "snapshots", "pm25 alone", "levels")
CASES = ("beijing", *CHANGED)


def changed(case: str, cube: xr.Dataset) -> xr.Dataset:
    """A raw cube as a case has it."""
    names = list(schema.POLLUTANTS)
    if case == "snapshots":
        kept = np.isin(cube.time.dt.hour, SNAPSHOTS)
        return cube.assign({name: cube[name].where(kept[:, None]) for name in names})
    if case == "pm25 alone":
        return cube.assign({name: xr.full_like(cube[name], np.nan) for name in names if name != schema.TARGET})
    if case == "levels":
        return cube.assign({name: cube[name] * np.float32(LEVEL) for name in names})
    return cube


@dataclass
class ChangedArchive:
    """An archive whose values, or stations, are those of a case."""

    archive: Archive
    case: str

    def __post_init__(self) -> None:
        self.source, self.simulated, self.stations = self.archive.source, self.archive.simulated, self.archive.stations
        if self.case == "thinned":
            drawn = self.stations.sample(THINNED, random_state=SEED).sort_values("station_id")
            self.stations = drawn.reset_index(drop=True)

    def period(self) -> tuple[np.datetime64, np.datetime64]:
        return self.archive.period()

    def parts(self) -> list[ArchivePart]:
        return self.archive.parts()

    def inspect(self, start: Stamp, end: Stamp) -> Inspection:
        return self.archive.inspect(start, end)

    def read(self, start: Stamp, end: Stamp) -> xr.Dataset:
        return changed(self.case, self.archive.read(start, end)).sel(station=list(self.stations["station_id"]))


@dataclass(frozen=True)
class ChangedFiles:
    """The same, to be opened by each worker."""

    files: ObservationFiles
    case: str

    def open(self) -> Archive:
        return ChangedArchive(self.files.open(), self.case)


def cases(options: argparse.Namespace) -> Iterator[tuple[str, Source, Period]]:
    """Name, observations and period of each case that is asked for."""
    if "beijing" in options.cases and options.beijing:
        files = ObservationFiles.of(options.beijing)
        first, last = (stamp.astype("datetime64[D]").item() for stamp in files.open().period())
        for year in range(first.year, last.year + 1):
            whole = time_axis.parse_period(str(year), None, None)
            yield f"Beijing {year}", files, Period(max(whole.first, first), min(whole.last, last))
    for case in CHANGED:
        if case in options.cases and options.national:
            files = ObservationFiles.of(options.national)
            yield f"2019, {case}", ChangedFiles(files, case), time_axis.parse_period(None, "2019-01-01", options.end)


def rows(case: str, result: Result) -> list[dict]:
    """What is printed of a case."""
    table = result.table
    table = table[(table.by == "all") & (table.hours == "all") & (table.group != "all designs")]
    mae = table.set_index(["group", "frequency", "model"]).MAE
    found = []
    for row in table[table.model == result.model.label].to_dict("records"):
        other = mae.get((row["group"], row["frequency"], "regression kriging"), np.nan)
        found.append({"case": case, "design": row["group"], "frequency": row["frequency"], "stations": row["stations"],
                      "n": row["n"], "MAE": row["MAE"], "skill": row["skill_percent"], "low": row["skill_low"],
                      "high": row["skill_high"], "over RK": 100 * (1 - row["MAE"] / other),
                      "RMSE ratio": row["RMSE_ratio"], "NMB": row["NMB_percent"], "in 90 %": row["coverage_90"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--national", help="Observations of the national network in 2019.")
    parser.add_argument("--beijing", help="Observations of Beijing's municipal network.")
    parser.add_argument("--checkpoint")
    parser.add_argument("--every-days", type=int, default=10)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--end", default="2019-12-31", help="Last day of the national network.")
    parser.add_argument("--quick", action="store_true", help="Single stations and whole cities only.")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", help="A .csv file for all rows.")
    options = parser.parse_args()
    asked = Evaluation(options.checkpoint, quick=options.quick, every_days=options.every_days, workers=options.workers)
    found: list[dict] = []
    show = partial(pd.DataFrame.to_string, index=False, float_format="{:.2f}".format)
    for name, source, period in cases(options):
        result = evaluate_source(source, name, period, asked)
        found += (new := rows(name, result))
        print(f"\n{name}, {period.first} to {period.last}, one day of {options.every_days}")
        print(show(pd.DataFrame(new).drop(columns="case")), flush=True)
        print("\n".join(f"  {note}" for note in result.notes), flush=True)
    if options.out:
        pd.DataFrame(found).to_csv(options.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
