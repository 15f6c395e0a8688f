"""What quality control finds: on the twin, where every fault is known, and on a real archive.

    python benchmarks/quality.py [--seed 7]
    python benchmarks/quality.py --observations PATH              # shares, run time, memory, dust and haze
    python benchmarks/quality.py --observations PATH --withheld   # and whether kriging gains at withheld stations

Thresholds were tuned on the twin of seed 0 and on 2019; the tables are of another twin. Withheld stations are the
validation stations of the training recipe; its test stations are left out of everything.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import time

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import evaluation, geo, recipes, schema, time_axis
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.observations import quality
from aqreanalysis.observations.near_duplicates import near_duplicates
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.observations.stations import reporting, split_stations
from aqreanalysis.simulation import FAULTS, TwinArchive
from aqreanalysis.time_axis import HOUR, Period

BITS = schema.OBSERVATION_FLAGS
SINGLE = BITS["missing"] | BITS["missing_code"] | BITS["out_of_range"]  # what no truth may have
FOUND = (*quality.TESTS, "pm25_above_pm10")
OWN_FLAG = {"spike": "temporally_inconsistent", "periodic": "periodic", "stuck": "low_variance",
            "biased": "spatially_inconsistent", "drifting": "spatially_inconsistent",
            "noisy": "spatially_inconsistent", "missing_code": "missing_code", "pm25_above_pm10": "pm25_above_pm10"}
TWIN_MONTHS = [Period(dt.date(2016, month, 1), dt.date(2016, month, 28)) for month in (1, 4, 7, 10)]
EPISODES = {"dust": ("pm10", 1000.0, 600.0, 8), "haze": ("pm25", 250.0, 250.0, 8)}  # of a day, of a value, days


def screened(archive, period: Period, settings=quality.DEFAULT_SETTINGS, held_out=()) -> tuple[xr.Dataset, float]:
    """A screened period and the seconds of screening it, its margins included."""
    hours, margin = period.hours, quality.FLAG_REACH_HOURS * HOUR
    raw = archive.read(hours[0] - margin, hours[-1] + margin)
    began = time.process_time()
    cube = quality.screen(raw, settings, held_out)
    return cube.sel(time=slice(hours[0], hours[-1])), time.process_time() - began


def twin_tables(seed: int) -> None:
    """Detection by kind of fault, and false alarms."""
    archive, rows = TwinArchive(seed), []
    for period in TWIN_MONTHS:
        cube, _ = screened(archive, period)
        flags, planted = cube.pm25_flag.values, archive.twin.faults(period.hours)
        there = np.isfinite(cube.pm25.values)
        for kind, code in FAULTS.items():
            of_kind = flags[(planted == code) & there]
            rows.append({"kind": kind, "hours": of_kind.size, "any flag": (of_kind > 0).sum(),
                         "own flag": (of_kind & BITS.get(OWN_FLAG.get(kind), 0) > 0).sum(),
                         **{flag: (of_kind & BITS[flag] > 0).sum() for flag in FOUND}})
    table = pd.DataFrame(rows).groupby("kind", sort=False).sum()
    table = table[table["hours"] > 0]
    found = table.loc[[kind for kind in table.index if kind in OWN_FLAG]]
    print(f"Twin, seed {seed}, PM2.5 of {len(TWIN_MONTHS)} months: planted hours and share found, %")
    print(pd.DataFrame({"planted": found["hours"], "own flag": [OWN_FLAG[kind] for kind in found.index],
                        "by own flag": 100 * found["own flag"] / found["hours"],
                        "by any": 100 * found["any flag"] / found["hours"]}).round(1).to_string())
    good = table.loc["none"]
    print(f"\nFalse alarms among {int(good['hours'])} good values, %")
    print((100 * good[[*FOUND, "any flag"]] / good["hours"]).astype(float).round(3).to_string())


class Shares:
    """Flags by pollutant and kind, and by day for the episodes."""

    def __init__(self):
        self.counts, self.values = {}, {}
        self.days: list[dict] = []

    def add(self, cube: xr.Dataset) -> None:
        for name in schema.POLLUTANTS:
            flags = cube[f"{name}_flag"].values
            known = (flags & BITS["missing"]) == 0
            self.values[name] = self.values.get(name, 0) + known.sum()
            for flag, bit in (BITS | {"any": 0xFFFF ^ BITS["missing"]}).items():
                key = name, flag
                self.counts[key] = self.counts.get(key, 0) + ((flags & bit > 0) & known).sum()
        for episode, (name, of_day, of_value, _) in EPISODES.items():
            self._add_days(episode, cube, name, of_day, of_value)

    def _add_days(self, episode: str, cube: xr.Dataset, name: str, of_day: float, of_value: float) -> None:
        values, day = cube[name].values, time_axis.local_days(cube.time.values)
        bad = cube[f"{name}_flag"].values & sum(BITS[test] for test in quality.TESTS) > 0
        agreed = agreeing(values, cube.lat.values, cube.lon.values)
        for today in np.unique(day):
            rows = day == today
            known, high = np.isfinite(values[rows]), values[rows] > of_value
            self.days.append({"episode": episode, "day": str(today), "hours of the day": (values[rows] > of_day).sum(),
                              "values": known.sum(), "flagged": (bad[rows] & known).sum(),
                              "high": high.sum(), "high flagged": (bad[rows] & high).sum(),
                              "agreed": (high & agreed[rows]).sum(),
                              "agreed flagged": (bad[rows] & high & agreed[rows]).sum()})

    def show(self) -> None:
        table = pd.Series(self.counts).unstack().loc[list(schema.POLLUTANTS)]
        share = 100 * table.div(pd.Series(self.values), axis=0)
        print("\nShare flagged, % of values (Wu et al. 2018, 2014-16, 1436 stations: 0.65-5.68)")
        print(share[[*FOUND, "missing_code", "out_of_range", "any"]].round(3).to_string())
        print(f"all pollutants: {100 * table['any'].sum() / sum(self.values.values()):.2f} %")
        days = pd.DataFrame(self.days)
        for episode, (name, of_day, of_value, count) in EPISODES.items():
            of = days[days["episode"] == episode]
            worst = of.nlargest(count, "hours of the day").sort_values("day")
            normal = of.drop(worst.index)
            print(f"\n{episode}: days with the most {schema.LONG_NAMES[name]} values above {of_day:g}; high is above "
                  f"{of_value:g}; agreed: another station within 100 km has half as much within 2 h; flagged, %")
            for label, rows in [*((row["day"], of.loc[[i]]) for i, row in worst.iterrows()), ("other days", normal)]:
                sums = rows.drop(columns=["episode", "day"]).sum()
                print(f"{label:12} values above {of_day:g} {int(sums['hours of the day']):6d}   "
                      f"all {percent(sums['flagged'], sums['values'])}   "
                      f"high {percent(sums['high flagged'], sums['high'])} of {int(sums['high']):6d}   "
                      f"high and agreed {percent(sums['agreed flagged'], sums['agreed'])} of {int(sums['agreed']):6d}")


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:6.2f}" if whole else "     -"


def agreeing(values: np.ndarray, lat, lon, lag: int = 2) -> np.ndarray:
    """Whether another station within 100 km has half the value or more within some hours."""
    index, distance = geo.nearest(lat, lon, lat, lon, 11)
    highest = np.full(values.shape, -np.inf, np.float32)
    for column in range(1, index.shape[1]):
        near = np.where(distance[:, column] <= 100, values[:, index[:, column]], -np.inf)
        for shift in range(-lag, lag + 1):
            length = len(values) - abs(shift)
            here, there = max(-shift, 0), max(shift, 0)
            highest[here:here + length] = np.fmax(highest[here:here + length], near[there:there + length])
    return highest >= values / 2


class Seeing:
    """Kriging from observations of its own choice, so that variants are scored on the same pairs."""

    history = future = 0

    def __init__(self, seen: xr.Dataset):
        self.seen = seen

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """As models.kriging.Kriging; `stations` is not looked at."""
        return Kriging().predict(self.seen, targets)


def withheld_table(observations: str, every_days: int) -> None:
    """Kriging at validation stations with the first quality control only, and with all tests."""
    archive = open_archive(observations)
    settings = recipes.load_recipe("aqnet-north-china-2019", recipes.TrainingRecipe)
    period = time_axis.parse_period(None, settings.start, settings.end)
    raw = archive.read(*period.hours[[0, -1]])
    year = reporting(quality.usable(quality.screen(raw, quality.SINGLE_VALUE_SETTINGS)))
    table = archive.stations[archive.stations["station_id"].isin(year.station.values)]  # as in train.load
    split = split_stations(table, settings.withheld.seed, settings.withheld.share_single, settings.withheld.share_city)
    split = split.keeping_together(near_duplicates(archive, period.hours[0], period.hours[-1]).groups())
    groups = {"single stations": list(split.validation_single), "whole cities": list(split.validation_city)}
    parts = {"codes and range": [], "all tests": []}
    for month in period.months():
        cube, _ = screened(archive, month, held_out=split.validation + split.test)
        cube = cube.drop_sel(station=[s for s in split.test if s in cube.station.values])
        models = {name: Seeing(seen.drop_sel(station=list(split.validation))) for name, seen in variants(cube).items()}
        for truth, bits in (("codes and range", SINGLE), ("all tests", 0xFFFF)):
            asked = cube.assign(pm25=cube.pm25.where(cube.pm25_flag & bits == 0))
            for day in month.days()[2::every_days]:
                parts[truth].append(evaluation.month_statistics(models, asked, list(split.validation),
                                                                time_axis.hours_of_days(day, day)))
    for truth, sums in parts.items():
        scores = evaluation.group_scores(evaluation.add(sums), groups, reference="first tests")
        print(f"\nKriging at validation stations, one day in {every_days}; truth: values that pass {truth}")
        print(scores[["group", "frequency", "model", "n", "MAE", "RMSE", "R2", "NMB_percent", "skill_percent"]]
              .round(3).to_string(index=False))


def variants(cube: xr.Dataset) -> dict[str, xr.Dataset]:
    """What kriging may see: after the first tests, after all, and with PM2.5 of impossible pairs kept."""
    flag = cube.pm25_flag
    first, pair = SINGLE | BITS["pm25_above_pm10"], BITS["pm25_above_pm10"]
    return {"first tests": cube.assign(pm25=cube.pm25.where(flag & first == 0)),
            "all tests": cube.assign(pm25=cube.pm25.where(flag == 0)),
            "all, pairs kept": cube.assign(pm25=cube.pm25.where(flag & (0xFFFF ^ pair) == 0))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", help="a real archive of 2019")
    parser.add_argument("--withheld", action="store_true", help="score kriging at validation stations as well")
    parser.add_argument("--every-days", type=int, default=6, help="of these scores: one day in so many")
    parser.add_argument("--seed", type=int, default=7, help="of the twin")
    options = parser.parse_args()
    if not options.observations:
        twin_tables(options.seed)
        return
    if options.withheld:
        withheld_table(options.observations, options.every_days)
        return
    archive, shares, seconds = open_archive(options.observations), Shares(), 0.0
    for month in time_axis.parse_period("2019", None, None).months():
        cube, spent = screened(archive, month)
        seconds += spent
        shares.add(cube)
    shares.show()
    print(f"\nscreening, margins included: {seconds:.1f} s of one core; peak memory, reading included: "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
