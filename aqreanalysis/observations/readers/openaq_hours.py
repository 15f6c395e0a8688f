"""OpenAQ's values as sums of UTC hours in our units, and the one value that an hour of a location gets.

Units. Gases in ppm or ppb become mass at 298.15 K and 1013.25 hPa, at which China reports gases since 2018-09-01 and
the US EPA always: M / (R T / p), M in g/mol. Codes for `missing` are passed on as they are.

An hour counts with at least half of the values that the sensor's hours have. Where a location has several sensors of
a pollutant, an hour has the value of the lowest-numbered one that reported: a mean over a changing set would jump, and
the choice depends on that hour only.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aqreanalysis import schema
from aqreanalysis.observations.quality.values import MISSING_CODES

TEMPERATURE_K, PRESSURE_HPA = 298.15, 1013.25
LITRES_PER_MOLE = 8.314462618 * TEMPERATURE_K / PRESSURE_HPA * 10.0
GRAMS_PER_MOLE = {"so2": 64.066, "no2": 46.0055, "co": 28.010, "o3": 47.998}
MICROGRAMS = {"ug/m3": 1.0, "mg/m3": 1000.0}
PARTS = {"ppb": 1.0, "ppm": 1000.0}
HOUR = 3600

# What is odd, by kind; counted under (kind, station, parameter, detail).
SENTENCES = {
    "unit": "{parameter} in {detail!r} has no known conversion; its {n} values are not used",
    "converted": "{parameter} is given in {detail}; {n} values were converted at 298.15 K and 1013.25 hPa",
    "sensors": "{parameter} has several sensors ({detail}) in {n} files; each hour has the value of the first of them",
    "conflict": "{n} values of {parameter} repeat a time with another value; the first is kept and flagged",
    "sparse": "{n} hours of {parameter} have less than half of their usual values and are missing",
    "flagged": "OpenAQ itself flags {n} values of {parameter}; they are kept",
    "off the hour": "{n} hourly values of {parameter} do not end on a full UTC hour; they stand at the next one",
    "moved": "stands at {detail} in {n} files; the place in its first file is used",
}


def sentences(odd: Counter) -> list[str]:
    """One sentence for each thing that was counted."""
    return [f"location {station}: " + SENTENCES[kind].format(parameter=parameter, detail=detail, n=number)
            for (kind, station, parameter, detail), number in sorted(odd.items())]


class Value(NamedTuple):
    """One value as reported: `time` is the END in seconds since 1970, `seconds` its length, 0 where not told."""

    station: str
    sensor: int
    parameter: str
    units: str
    time: int
    value: float
    seconds: int
    flagged: bool


class HourSum(NamedTuple):
    """One sensor's values in the UTC hour that ends `hour` hours after 1970 began."""

    station: str
    pollutant: str
    hour: int
    sensor: int
    total: float     # of `count` values, in schema.UNITS
    count: int
    usual: int       # how many values the sensor's hours have
    code: float      # the first code for `missing` among the values, else NaN
    conflicting: bool


@functools.cache
def to_our_units(parameter: str, units: str) -> float | None:
    """What a value is multiplied by to be in schema.UNITS; None for units that can't be converted.

    >>> round(to_our_units("o3", "ppb"), 2), to_our_units("co", "µg/m³"), to_our_units("pm25", "ppm")
    (1.96, 0.001, None)
    """
    units = _plain(units)
    micrograms = MICROGRAMS.get(units)
    if micrograms is None and units in PARTS and parameter in GRAMS_PER_MOLE:
        micrograms = PARTS[units] * GRAMS_PER_MOLE[parameter] / LITRES_PER_MOLE
    return micrograms if micrograms is None or parameter != "co" else micrograms / 1000.0


@functools.cache
def _plain(units: str) -> str:
    """One spelling of the many: µg/m³ with either mu, ug/m3, ug m-3, ug/m^3."""
    text = units.strip().lower().replace("µ", "u").replace("μ", "u").replace("³", "3").replace(" ", "")
    return text.replace("^", "").replace("**", "").replace("m-3", "/m3")


def hour_sums(values: Iterable[Value]) -> tuple[list[HourSum], Counter]:
    """Sums of hours of the six pollutants, and what is odd; other parameters are left out."""
    by_sensor, odd = defaultdict(list), Counter()
    for value in values:
        if value.parameter not in schema.POLLUTANTS or not math.isfinite(value.value):
            continue
        factor = to_our_units(value.parameter, value.units)
        if factor is None:
            odd["unit", value.station, value.parameter, value.units] += 1
            continue
        if _plain(value.units) in PARTS:
            odd["converted", value.station, value.parameter, value.units] += 1
        if value.flagged:
            odd["flagged", value.station, value.parameter, ""] += 1
        ours = value.value if value.value in MISSING_CODES else value.value * factor
        by_sensor[value.station, value.parameter, value.sensor].append((value.time, ours, value.seconds))
    return [entry for key in sorted(by_sensor) for entry in _of_sensor(key, by_sensor[key], odd)], odd


def _of_sensor(key: tuple[str, str, int], values: list[tuple[int, float, int]], odd: Counter) -> Iterator[HourSum]:
    """One sensor's values (time, in our units, seconds) by UTC hour; of several at one stamp the first counts."""
    first, disagreeing = {}, set()
    for time, value, _ in values:
        if first.setdefault(time, value) != value:
            disagreeing.add(-(-time // HOUR))
            odd["conflict", key[0], key[1], ""] += 1
    usual = _usual_number(sorted(first), Counter(seconds for _, _, seconds in values if seconds))
    if usual == 1 and any(time % HOUR for time in first):
        odd["off the hour", key[0], key[1], ""] += sum(time % HOUR > 0 for time in first)
    by_hour = defaultdict(list)
    for time in sorted(first):
        by_hour[-(-time // HOUR)].append(first[time])
    for hour, found in by_hour.items():
        good = [value for value in found if value not in MISSING_CODES]
        code = next((value for value in found if value in MISSING_CODES), math.nan)
        yield HourSum(key[0], key[1], hour, key[2], math.fsum(good), len(good), usual, code, hour in disagreeing)


def _usual_number(times: list[int], lengths: Counter) -> int:
    """How many values an hour of this sensor has: by their lengths where told, else by the commonest step."""
    lengths = lengths or Counter(later - earlier for earlier, later in itertools.pairwise(times))
    step = lengths.most_common(1)[0][0] if lengths else HOUR
    return max(1, round(HOUR / step))


def chosen(sums: Iterable[HourSum]) -> tuple[dict[tuple[str, str, int], tuple[float, bool]], Counter]:
    """(station, pollutant, hour) -> value and whether its rows disagree; and what is odd about it.

    The value is the mean of the lowest-numbered sensor with at least half of its usual number of values; a code for
    `missing` where no sensor gave anything else.
    """
    merged: dict[tuple, HourSum] = {}
    for entry in sums:
        merged[entry[:4]] = _merged(merged[entry[:4]], entry) if entry[:4] in merged else entry
    found: dict[tuple[str, str, int], tuple[float, bool]] = {}
    codes: dict[tuple[str, str, int], tuple[float, bool]] = {}
    odd, sensors = Counter(), {}
    for entry in sorted(merged.values()):
        key = entry[:3]
        sensors.setdefault(key[:2], set()).add(entry.sensor)
        if entry.count and 2 * entry.count >= entry.usual:
            found.setdefault(key, (entry.total / entry.count, entry.conflicting))
        elif entry.count:
            odd["sparse", entry.station, entry.pollutant, ""] += 1
        else:
            codes.setdefault(key, (entry.code, entry.conflicting))
    odd.update(("sensors", *key, ", ".join(map(str, sorted(numbers)))) for key, numbers in sensors.items()
               if len(numbers) > 1)
    return codes | found, odd


def _merged(one: HourSum, other: HourSum) -> HourSum:
    """An hour that two files tell of: both have it whole (pages overlap), or they share it (zones of half hours)."""
    if one.usual == other.usual == 1 and one.count and other.count:
        return one._replace(conflicting=one.conflicting or other.conflicting or one.total != other.total)
    return one._replace(total=one.total + other.total, count=one.count + other.count, usual=max(one.usual, other.usual),
                        code=other.code if math.isnan(one.code) else one.code,
                        conflicting=one.conflicting or other.conflicting)
