"""The constants of the baselines, tuned where a baseline may look: training stations of one year, training weeks.

    python benchmarks/tune_baselines.py --observations PATH [--start 2019-01-01 --end 2019-12-31] [--every-days 9]

Two hold-outs of training stations: each station left out alone, and each city left out whole. The test and tuning
stations of the checkpoint are in nothing here: neither scored nor given. Settings are moved one at a time
as long as the score falls: the mean of both MAEs, each over that of the first setting. Prints every setting tried.
What it ends with are the defaults of the models.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.models import checkpoint
from aqreanalysis.models.baselines.idw import InverseDistance
from aqreanalysis.models.baselines.kriging import Kriging
from aqreanalysis.observations import screening
from aqreanalysis.observations.near_duplicates import NearDuplicates, near_duplicates
from aqreanalysis.observations.readers import open_archive
from aqreanalysis.time_axis import Period, parse_day

STEPS = {
    "kriging": {"k": (12, 16, 20, 24, 32, 40, 56), "nugget": (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4),
                "range_km": (100.0, 150.0, 200.0, 300.0, 500.0, 800.0), "octants": (False, True)},
    "IDW": {"k": (3, 5, 8, 12, 16, 20, 30, 40), "power": (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)},
}
START = {"kriging": {"k": 20, "nugget": 0.06, "range_km": 200.0, "octants": False}, "IDW": {"k": 20, "power": 2.0}}
MAKE = {"kriging": Kriging, "IDW": InverseDistance}


def sample(observations: str, period: Period, card: checkpoint.Card, duplicates: NearDuplicates, every_days: int,
           every_hours: int) -> xr.Dataset:
    """Training stations' PM2.5 in some hours of some days outside the withheld weeks, (time, station)."""
    archive = open_archive(observations)
    held_out = tuple(itertools.chain.from_iterable(card.withheld.values()))
    held_out += duplicates.of(held_out)
    parts = []
    for month in period.months():
        cube = screening.screened(archive, month.hours[0], month.hours[-1], held_out=held_out)[[schema.TARGET]]
        days = time_axis.local_days(cube.time.values)
        asked = (days.astype(int) % every_days == 0) & ~time_axis.withheld_weeks(
            days, card.training["every_nth_week_withheld"])
        hours = np.flatnonzero(asked)[::every_hours]
        parts.append(cube.isel(time=hours, station=~cube.indexes["station"].isin(held_out)).load())
    return xr.concat(parts, schema.TIME)


class LeftOut:
    """Stations and cities of a sample, each estimated without itself and without its near duplicates."""

    def __init__(self, cube: xr.Dataset, cities: np.ndarray, duplicates: NearDuplicates):
        stations = np.arange(cube.sizes[schema.STATION])
        self.cube = cube
        self.designs = {"station": [np.array([number]) for number in stations],
                        "city": [np.flatnonzero(cities == name) for name in np.unique(cities)]}
        self.values = cube[schema.TARGET].values
        self.together = duplicates.matrix(cube[schema.STATION].values)

    def score(self, model) -> dict[str, float]:
        """MAE, ug m-3, of the left-out stations by design."""
        return {name: self._mae(model, groups) for name, groups in self.designs.items()}

    def _mae(self, model, groups) -> float:
        total = count = 0.0
        lat, lon = self.cube.lat.values, self.cube.lon.values
        everyone = np.arange(len(lat))
        for group in groups:
            rest = everyone[~self.together[group].any(axis=0)]
            given = xr.Dataset({schema.TARGET: ((schema.TIME, schema.STATION), self.values[:, rest])},
                               coords={schema.TIME: stamps(len(self.values)), schema.LAT: (schema.STATION, lat[rest]),
                                       schema.LON: (schema.STATION, lon[rest])})
            targets = schema.make_targets(given.time, lat[group], lon[group])
            miss = np.abs(model.predict(given, targets)[schema.TARGET].values - self.values[:, group])
            total, count = total + np.nansum(miss, dtype=np.float64), count + np.isfinite(miss).sum()
        return total / count


def stamps(n: int) -> np.ndarray:
    """A complete axis: these models treat every hour for itself, so that sampled ones may stand in a row."""
    return np.datetime64("2019-01-01T00", "ns") + np.arange(n) * np.timedelta64(1, "h")


def descend(name: str, left_out: LeftOut) -> dict:
    """The best setting of a baseline; prints a row for each that is tried."""
    tried, best = {}, dict(START[name])
    first = left_out.score(MAKE[name](**best))

    def score(setting: dict) -> float:
        key = tuple(setting.items())
        if key not in tried:
            found = left_out.score(MAKE[name](**setting))
            tried[key] = np.mean([found[design] / first[design] for design in found])
            words = ", ".join(f"{word} {value:g}" for word, value in setting.items())
            print(f"| {name} | {words} | {found['station']:.3f} | {found['city']:.3f} | {tried[key]:.4f} |", flush=True)
        return tried[key]

    before = None
    while before != best:
        before = dict(best)
        for word, values in STEPS[name].items():
            place = values.index(best[word])
            for step in (1, -1):
                while 0 <= place + step < len(values) and score(best | {word: values[place + step]}) < score(best):
                    place += step
                    best[word] = values[place]
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--checkpoint")
    parser.add_argument("--start", default="2019-01-01")
    parser.add_argument("--end", default="2019-12-31")
    parser.add_argument("--every-days", type=int, default=9)
    parser.add_argument("--every-hours", type=int, default=5, help="coprime to 24: every hour of the day has its turn")
    parser.add_argument("--baseline", choices=list(STEPS), action="append")
    given = parser.parse_args()
    card = checkpoint.read_card(checkpoint.locate(given.checkpoint))
    period = Period(parse_day(given.start), parse_day(given.end))
    duplicates = near_duplicates(open_archive(given.observations), period.hours[0], period.hours[-1])
    cube = sample(given.observations, period, card, duplicates, given.every_days, given.every_hours)
    table = open_archive(given.observations).stations.set_index("station_id")
    cities = table.loc[cube.station.values, "city"].to_numpy(str)
    print(f"{cube.sizes['station']} stations, {len(np.unique(cities))} cities, {cube.sizes['time']} hours\n")
    print("| baseline | setting | MAE, station left out | city left out | score |\n|---|---|---|---|---|")
    left_out = LeftOut(cube, cities, duplicates)
    for name in given.baseline or STEPS:
        print(f"\nbest {name}: {descend(name, left_out)}", flush=True)


if __name__ == "__main__":
    main()
