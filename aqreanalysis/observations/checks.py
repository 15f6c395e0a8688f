"""Faults of a whole archive: wrong time zone, wrong units, missing stations, doubtful places. Sentences, not flags.

No quality test of single values finds these faults: every hour of an archive in the wrong time zone is plausible. Some
weeks are enough to see them, so that a build starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.observations.quality.values import missing_code
from aqreanalysis.observations.readers.archive import Archive, Stamp, as_hour
from aqreanalysis.observations.station_table import datum_remark, far_remark
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY

SAMPLE_DAYS, SAMPLE_WINDOWS = 8, 3   # of a period: its beginning, middle and end

# Solar time at which the first harmonic of the network's ozone peaks, END stamps. The 832 stations of 2019 have
# 14.7 (December) to 15.9 h (March), parts of 8 days 14.4 to 16.4 h: a larger difference has no natural cause.
OZONE_PEAK_H, SHIFT_H = 15.4, 2.5
OZONE_DAYS, OZONE_HOURS, OZONE_STATIONS = 10, 18, 5   # needed for a statement: days of so many hours, stations
OZONE_AMPLITUDE = 0.1   # relative to the mean; below it there is no clear cycle
HALVES_AGREE_H = 1.5    # hours that the peaks of odd and even days may differ

# Limits of the median of a network in the right unit: clean air has more than the lower, and no month of any city
# more than the upper. A factor of 1000 always crosses one of them.
MEDIAN_LIMITS = {"pm25": (1.0, 1000.0), "pm10": (1.0, 2000.0), "so2": (0.2, 1000.0), "no2": (0.2, 500.0),
                 "co": (0.05, 50.0), "o3": (1.0, 500.0)}
MEDIAN_VALUES = 100
SHARE_OF_ZEROS = 0.01   # of PM2.5 values; of 2.8 million in 2019 none is 0
LEAST_HOURS = 24        # values of a station that a statement on it needs
SHARE_CUT, HOURS_CUT = 0.5, 3   # of the usual stations; missing at the end of a day
SHARED_KM = 0.01        # nearer stations share one place


def of_archive(archive: Archive, start: Stamp, end: Stamp) -> list[str]:
    """Sentences on what is wrong with an archive between two stamps, from some weeks of it; none on a twin.

    Raises UserError where a unit can't be right.
    """
    if archive.simulated:
        return []
    cubes = sample(archive, start, end)
    if error := wrong_unit(cubes):
        raise error
    return (place_remarks(archive.stations) + time_zone(cubes) + cut(cubes) + zeros(cubes)
            + other_units(cubes) + list(filter(None, [far_remark(archive.stations)])))


def sample(archive: Archive, start: Stamp, end: Stamp) -> list[xr.Dataset]:
    """Raw station cubes of some weeks between two stamps."""
    return [archive.read(first, last) for first, last in windows(archive, start, end)]


def windows(archive: Archive, start: Stamp, end: Stamp) -> list[tuple[np.datetime64, np.datetime64]]:
    """First and last stamps of the hours to read: all of a short period, else parts of it, without overlap."""
    first, last = (as_hour(stamp) for stamp in archive.period())
    first, last = max(as_hour(start), first), min(as_hour(end), last)
    hours, width = int((last - first) / HOUR) + 1, SAMPLE_DAYS * HOURS_PER_DAY
    if hours <= 0:
        return []
    if hours <= SAMPLE_WINDOWS * width:
        return [(first, last)]
    starts = [first + n * ((hours - width) // (SAMPLE_WINDOWS - 1)) * HOUR for n in range(SAMPLE_WINDOWS)]
    return [(begin, begin + (width - 1) * HOUR) for begin in starts]


def time_zone(cubes: list[xr.Dataset]) -> list[str]:
    """A sentence if ozone shows that the stamps are hours off; none if they are right or there are too few values.

    Ozone forms in sunlight: it is lowest at dawn and highest in the afternoon. The phase of the first harmonic of
    the network's median is compared with solar time at the network's median longitude.
    """
    values = np.concatenate([cube["o3"].values for cube in cubes]) if cubes else np.empty((0, 0))
    present = values >= 0   # neither missing nor a code
    if present.any(axis=0).sum() < OZONE_STATIONS:
        return []
    rows = present.any(axis=1)
    level = np.nanmedian(np.where(present, values, np.nan)[rows], axis=1)
    stamps = np.concatenate([cube[schema.TIME].values for cube in cubes])[rows].astype("datetime64[h]")
    day = time_axis.local_days(stamps)
    days, count = np.unique(day, return_counts=True)
    whole = days[count >= OZONE_HOURS]
    if len(whole) < OZONE_DAYS:
        return []
    phase, amplitude = _first_harmonic(stamps, level)
    halves = [_first_harmonic(stamps[on], level[on])[0] for on in (np.isin(day, whole[::2]), np.isin(day, whole[1::2]))]
    if amplitude < OZONE_AMPLITUDE or abs(_hours_apart(*halves)) > HALVES_AGREE_H:
        return []
    shift = _hours_apart(phase + float(cubes[0][schema.LON].median()) / 15.0, OZONE_PEAK_H)
    return [_shift_remark(phase, shift)] if abs(shift) >= SHIFT_H else []


def _first_harmonic(stamps: np.ndarray, level: np.ndarray) -> tuple[float, float]:
    """Hour (UTC) of the peak of the daily cycle's first harmonic, and its amplitude relative to the mean."""
    hour = stamps.astype(int) % HOURS_PER_DAY
    cycle = np.array([level[hour == number].mean() if (hour == number).any() else np.nan
                      for number in range(HOURS_PER_DAY)])
    turn = 2.0 * np.pi * np.arange(HOURS_PER_DAY) / HOURS_PER_DAY
    wave = 2.0 * np.nanmean(cycle * np.exp(1j * turn))
    return float(np.angle(wave) / (2.0 * np.pi) * HOURS_PER_DAY), float(abs(wave) / max(np.nanmean(cycle), 1e-9))


def _hours_apart(hour: float, other: float) -> float:
    """How much later an hour of the day is than another, -12 to 12."""
    return (hour - other + 12.0) % HOURS_PER_DAY - 12.0


def _shift_remark(phase_utc: float, shift: float) -> str:
    found = round(phase_utc + time_axis.UTC_OFFSET_HOURS) % HOURS_PER_DAY
    like = ""
    if round(abs(shift)) in (7, 8, 9):
        like = (", like those of UTC data that were read as UTC+8" if shift < 0
                else ", like those of local time (UTC+8) that was read as UTC")
    return (f"time zone: the network's ozone peaks at about {found:02d}:00 (UTC+8) and not in the afternoon; the time "
            f"stamps look {abs(shift):.0f} h too {'late' if shift > 0 else 'early'}{like}")


def wrong_unit(cubes: list[xr.Dataset]) -> UserError | None:
    """The error for the first pollutant whose median can't be in its unit; None where all can."""
    for name, (low, high) in MEDIAN_LIMITS.items():
        values = np.concatenate([cube[name].values.ravel() for cube in cubes]) if cubes else np.empty(0)
        values = values[(values > 0) & ~missing_code(values)]
        if values.size < MEDIAN_VALUES:
            continue
        median, unit = float(np.median(values)), schema.UNITS[name]
        if not low <= median <= high:
            other = {"ug m-3": "mg m-3", "mg m-3": "ug m-3"}[unit] if (median > high) == (unit == "mg m-3") else None
            likely = f" They look like {other}." if other else ""
            factor = "divided by 1000" if median > high else "multiplied by 1000"
            return UserError(
                f"The median of {schema.LONG_NAMES[name]} is {median:.4g}, which can't be {unit}.{likely}",
                f"{schema.LONG_NAMES[name]} is given in {unit}; medians of a network lie between {low:g} and {high:g}.",
                f"Give values in {unit}, perhaps {factor}, or leave the column out.")
    return None


def zeros(cubes: list[xr.Dataset]) -> list[str]:
    """A sentence where many PM2.5 values are exactly 0: some archives write it for missing."""
    values = [cube[schema.TARGET].values for cube in cubes]
    count, every = (sum(int(np.count_nonzero(mask)) for mask in masks)
                    for masks in ((array == 0 for array in values), (array >= 0 for array in values)))
    if count <= SHARE_OF_ZEROS * every:
        return []
    return [f"zeros: {count:,} of {every:,} PM2.5 values ({count / every:.1%}) are exactly 0 and are used as such; "
            "where 0 stands for missing, leave these cells empty"]


def other_units(cubes: list[xr.Dataset]) -> list[str]:
    """A sentence for each pollutant of which some stations have medians that its unit can't give."""
    found = []
    for name, (low, high) in MEDIAN_LIMITS.items():
        medians = {str(station): float(np.median(series[series > 0])) for station, series in _by_station(cubes, name)
                   if (series > 0).any()}
        odd = {station: median for station, median in medians.items() if not low <= median <= high}
        if odd:
            station, median = next(iter(odd.items()))
            found.append(f"units: {_stations(odd)} a median of {schema.LONG_NAMES[name]} outside {low:g} to {high:g} "
                         f"{schema.UNITS[name]}, {median:.3g} at {station}; are they in another unit?")
    return found


def _by_station(cubes: list[xr.Dataset], name: str) -> Iterator[tuple[str, np.ndarray]]:
    """Stations with enough values of a pollutant, and these; no codes for missing."""
    if not cubes:
        return
    values = np.concatenate([cube[name].values for cube in cubes])
    there = values >= 0
    for column in np.flatnonzero(there.sum(axis=0) >= LEAST_HOURS):
        yield cubes[0][schema.STATION].values[column], values[there[:, column], column]


def _stations(found: dict[str, float]) -> str:
    shown = ", ".join(list(found)[:3]) + " ..." * (len(found) > 3)
    return f"{len(found)} station{'s' * (len(found) > 1)} ({shown}) {'have' if len(found) > 1 else 'has'}"


def cut(cubes: list[xr.Dataset]) -> list[str]:
    """A sentence for each day on which most of the network is absent, or whose file seems to end too early.

    A download that was cut off leaves the first rows, or the first stations, of a day. The files of a day have the
    local stamps 00:00 to 23:00.
    """
    days, stations, last = [], [], []
    for cube in cubes:
        present = np.isfinite(cube[schema.TARGET].values)
        local = cube[schema.TIME].values.astype("datetime64[h]") + time_axis.UTC_OFFSET_HOURS * HOUR
        for day in np.unique(local.astype("datetime64[D]")):
            rows = present[local.astype("datetime64[D]") == day]
            if len(rows) == HOURS_PER_DAY and rows.any():
                days.append(day)
                stations.append(int(rows.any(axis=0).sum()))
                last.append(int(np.flatnonzero(rows.any(axis=1))[-1]))
    usual = float(np.median(stations)) if stations else 0.0
    few = [f"cut: {n} of usually {usual:.0f} stations report PM2.5 on {day}"
           for day, n in zip(days, stations, strict=True) if n < SHARE_CUT * usual]
    return few + [f"cut: no station reports after {hour:02d}:00 (UTC+8) on {day}"
                  for day, hour in zip(days, last, strict=True) if hour < HOURS_PER_DAY - HOURS_CUT]


def _shared(table: pd.DataFrame) -> list[str]:
    """A sentence for each place that several stations share."""
    pairs = cKDTree(geo.unit_vectors(table.lat, table.lon)).query_pairs(SHARED_KM / geo.EARTH_RADIUS_KM)
    with_others: dict[int, list[int]] = {}
    for one, other in sorted(pairs):
        if not any(one in group for group in with_others.values()):
            with_others[one] = [one]
        if one in with_others:
            with_others[one].append(other)
    found = []
    for first, group in with_others.items():
        ids = list(table["station_id"].iloc[group])
        names = " and ".join(ids) if len(ids) == 2 else f"{', '.join(ids[:3])}" + (
            f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        found.append(f"stations {names} share one place ({table.lon.iloc[first]:.4f}, {table.lat.iloc[first]:.4f})")
    return found


def place_remarks(table: pd.DataFrame) -> list[str]:
    """Sentences on the places of a station table: moved stations, shared, missing and converted places."""
    remarks = list(table.attrs.get("moved", []))
    remarks += _shared(table)
    if without := table.attrs.get("without_coordinates"):
        remarks.append(f"{len(without)} station{'s have' if len(without) > 1 else ' has'} no coordinates: "
                       f"{', '.join(without[:5])}{' ...' if len(without) > 5 else ''}")
    remarks += [f"station {station} is left out, {why}; correct its place"
                for station, why in table.attrs.get("left_out", {}).items()]
    if datum := datum_remark(table):
        remarks.append(datum)
    if "converted_from" in table:
        for given, rows in table[table.converted_from != ""].groupby("converted_from"):
            remarks.append(f"{len(rows)} places were converted from {given} to WGS-84")
    return remarks
