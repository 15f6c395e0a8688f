"""OpenAQ's values as values of UTC hours in our units.

Stamps. OpenAQ's are "exclusive time-ending": 03:00 is the hour from 02:00 to 02:59
(docs.openaq.org/using-the-api/dates-datetimes); so is the archive's `datetime`, which carries its offset, and
`period.datetimeTo` of the API. A value belongs to the UTC hour that ends at its stamp or next after it: values that
come more often than once an hour are averaged to our END stamps.

Units. Gases in ppm or ppb are converted to mass at 298.15 K and 1013.25 hPa, at which China reports gases since
2018-09-01 and the US EPA always: M / (R T / p), M in g/mol. Codes for `missing` are passed on as they are.

An hour counts if it has at least half of the values that the sensor's hours have. Where a location has several sensors
of a pollutant, an hour has the value of the lowest-numbered one that reported: a mean over a changing set would jump,
and the choice depends on that hour only.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aqreanalysis import schema
from aqreanalysis.observations.quality.values import MISSING_CODES

SECONDS_PER_HOUR = 3600
TEMPERATURE_K, PRESSURE_HPA = 298.15, 1013.25
LITRES_PER_MOLE = 8.314462618 * TEMPERATURE_K / PRESSURE_HPA * 10.0
GRAMS_PER_MOLE = {"so2": 64.066, "no2": 46.0055, "co": 28.010, "o3": 47.998}
MASS_CONCENTRATIONS = {"ug/m3": 1.0, "mg/m3": 1000.0}   # in ug m-3
VOLUME_RATIOS = {"ppb": 1.0, "ppm": 1000.0}               # in ppb

SensorKey = tuple[str, str, int]                              # station, pollutant, sensor
HourValues = dict[tuple[str, str, int], tuple[float, bool]]   # (station, pollutant, hour) -> value, conflicting
Anomaly = tuple[str, str, str, str]                           # kind, station, parameter, detail
AnomalyCounts = Counter[Anomaly]
ANOMALY_SENTENCES = {
    "unit": "{parameter} in {detail!r} has no known conversion; its {n} values are not used",
    "converted": "{parameter} is given in {detail}; {n} values were converted at 298.15 K and 1013.25 hPa",
    "sensors": "{parameter} has several sensors ({detail}) in {n} files; each hour has the value of the first of them",
    "conflict": "{n} values of {parameter} repeat a time with another value; the first is kept and flagged",
    "sparse": "{n} hours of {parameter} have less than half of their usual values and are missing",
    "flagged": "OpenAQ itself flags {n} values of {parameter}; they are kept",
    "off the hour": "{n} hourly values of {parameter} do not end on a full UTC hour; each belongs to the next one",
    "text": "{n} values of {parameter} not understood and taken as missing ({detail!r})",
    "row": "{n} rows {detail} not read",
    "entry": "{n} entries {detail} not read",
    "long": "{n} means of {parameter} over {detail} h not read: hourly or shorter ones are needed",
    "cut": "{n} files end in a last value that may be cut off and is taken as missing",
    "moved": "stands at {detail} in {n} files; the place in its first file is used",
}


class Place(NamedTuple):
    """Where a location stands, degrees; NaN where the file does not say."""

    name: str
    lat: float
    lon: float


class Value(NamedTuple):
    """One value as reported: `time` is the END in seconds since 1970, `seconds` its length, 0 where not given."""

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
    total: float     # of `n` values, in schema.UNITS
    n: int
    usual: int       # how many values the sensor's hours have
    code: float      # the first code for `missing` among the values, else NaN
    conflicting: bool


@dataclass
class Content:
    """One file: places, hours and counts of anomalies."""

    places: dict[str, Place]
    hours: list[HourSum]
    anomalies: AnomalyCounts = field(default_factory=Counter)
    first: dict[Anomaly, str] = field(default_factory=dict)   # where the first of some stands


def anomaly_sentences(counts: AnomalyCounts, first: dict[Anomaly, str]) -> list[str]:
    """One sentence for each anomaly that was counted, with the place of the first where that is known."""
    found = []
    for key, number in sorted(counts.items()):
        kind, station, parameter, detail = key
        text = ANOMALY_SENTENCES[kind].format(parameter=parameter or "what it measures", detail=detail, n=number)
        if number == 1 and kind in ("text", "row", "entry"):
            text = re.sub("^1 (value|row|entr)(ie)?s", lambda one: f"1 {one[1]}{'y' * (one[1] == 'entr')}", text)
        found.append(f"location {station}: {text}" + (f" (first in {first[key]})" if key in first else ""))
    return found


# --- from values to hours --------------------------------------------------------------------------

def end_of_hour(time: int) -> int:
    """The END-of-hour stamp, hours since 1970, of the hour that a time in seconds belongs to."""
    return -(-time // SECONDS_PER_HOUR)


@functools.cache
def to_our_units(parameter: str, units: str) -> float | None:
    """What a value is multiplied by to be in schema.UNITS; None for units that can't be converted.

    >>> round(to_our_units("o3", "ppb"), 2), to_our_units("co", "µg/m³"), to_our_units("pm25", "ppm")
    (1.96, 0.001, None)
    """
    unit = _plain_units(units)
    micrograms = MASS_CONCENTRATIONS.get(unit)
    if micrograms is None and unit in VOLUME_RATIOS and parameter in GRAMS_PER_MOLE:
        micrograms = VOLUME_RATIOS[unit] * GRAMS_PER_MOLE[parameter] / LITRES_PER_MOLE
    return micrograms if micrograms is None or parameter != "co" else micrograms / 1000.0


@functools.cache
def _plain_units(units: str) -> str:
    """One spelling of the many: µg/m³ with either mu, ug/m3, ug m-3, ug/m^3."""
    text = units.strip().lower().replace("µ", "u").replace("μ", "u").replace("³", "3").replace(" ", "")
    return text.replace("^", "").replace("**", "").replace("m-3", "/m3")


def hour_sums(values: Iterable[Value]) -> tuple[list[HourSum], AnomalyCounts]:
    """Sums of hours of the six pollutants, and counts of anomalies; other parameters are left out."""
    by_sensor: dict[SensorKey, list[tuple[int, float, int]]] = defaultdict(list)
    counts: AnomalyCounts = Counter()
    for value in values:
        if value.parameter not in schema.POLLUTANTS or not math.isfinite(value.value):
            continue
        factor = to_our_units(value.parameter, value.units)
        if factor is None:
            counts["unit", value.station, value.parameter, value.units] += 1
            continue
        if _plain_units(value.units) in VOLUME_RATIOS:
            counts["converted", value.station, value.parameter, value.units] += 1
        if value.flagged:
            counts["flagged", value.station, value.parameter, ""] += 1
        ours = value.value if value.value in MISSING_CODES else value.value * factor
        by_sensor[value.station, value.parameter, value.sensor].append((value.time, ours, value.seconds))
    return [entry for key in sorted(by_sensor) for entry in _sums_of_sensor(key, by_sensor[key], counts)], counts


def _sums_of_sensor(key: SensorKey, values: list[tuple[int, float, int]], counts: AnomalyCounts) -> Iterator[HourSum]:
    """One sensor's values (time, in our units, seconds) by UTC hour; of several at one stamp the first counts."""
    station, pollutant, sensor = key
    first: dict[int, float] = {}
    disagreeing: set[int] = set()
    for time, value, _ in values:
        if first.setdefault(time, value) != value:
            disagreeing.add(end_of_hour(time))
            counts["conflict", station, pollutant, ""] += 1
    usual = _usual_number(sorted(first), Counter(seconds for _, _, seconds in values if seconds))
    if usual == 1 and any(time % SECONDS_PER_HOUR for time in first):
        counts["off the hour", station, pollutant, ""] += sum(time % SECONDS_PER_HOUR > 0 for time in first)
    by_hour = defaultdict(list)
    for time in sorted(first):
        by_hour[end_of_hour(time)].append(first[time])
    for hour, found in by_hour.items():
        good = [value for value in found if value not in MISSING_CODES]
        code = next((value for value in found if value in MISSING_CODES), math.nan)
        yield HourSum(station, pollutant, hour, sensor, math.fsum(good), len(good), usual, code, hour in disagreeing)


def _usual_number(times: list[int], lengths: Counter[int]) -> int:
    """How many values an hour of this sensor has: by their lengths where given, else by the commonest step."""
    lengths = lengths or Counter(later - earlier for earlier, later in itertools.pairwise(times))
    step = lengths.most_common(1)[0][0] if lengths else SECONDS_PER_HOUR
    return max(1, round(SECONDS_PER_HOUR / step))


def value_of_each_hour(sums: Iterable[HourSum]) -> tuple[HourValues, AnomalyCounts]:
    """The value of each hour of a station, and counts of anomalies.

    The value is the mean of the lowest-numbered sensor with at least half of its usual number of values; a code for
    `missing` where no sensor reported anything else.
    """
    merged: dict[tuple[str, str, int, int], HourSum] = {}
    for entry in sums:
        merged[entry[:4]] = _merged(merged[entry[:4]], entry) if entry[:4] in merged else entry
    found: HourValues = {}
    codes: HourValues = {}
    counts: AnomalyCounts = Counter()
    sensors: dict[tuple[str, str], set[int]] = {}
    for entry in sorted(merged.values()):
        key = entry[:3]
        sensors.setdefault(key[:2], set()).add(entry.sensor)
        if entry.n and 2 * entry.n >= entry.usual:
            found.setdefault(key, (entry.total / entry.n, entry.conflicting))
        elif entry.n:
            counts["sparse", entry.station, entry.pollutant, ""] += 1
        else:
            codes.setdefault(key, (entry.code, entry.conflicting))
    counts.update(("sensors", *key, ", ".join(map(str, sorted(numbers)))) for key, numbers in sensors.items()
                  if len(numbers) > 1)
    return codes | found, counts


def _merged(one: HourSum, other: HourSum) -> HourSum:
    """An hour that is in two files: both have it whole (pages overlap), or they share it (zones of half hours)."""
    if one.usual == other.usual == 1 and one.n and other.n:
        return one._replace(conflicting=one.conflicting or other.conflicting or one.total != other.total)
    return one._replace(total=one.total + other.total, n=one.n + other.n, usual=max(one.usual, other.usual),
                        code=other.code if math.isnan(one.code) else one.code,
                        conflicting=one.conflicting or other.conflicting)
