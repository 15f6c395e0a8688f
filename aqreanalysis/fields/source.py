"""What every source of time-dependent fields has, gridded or at sites, of files or simulated.

`read` gives the fields of some hours round some places, as a model is handed them; `sample` gives them at the places;
`check` says before a run what of a period and of places is not covered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.sampling import corners, sample_fields, within_reach
from aqreanalysis.fields.variables import FIELDS, FieldVariable, derivation, with_derived
from aqreanalysis.schema import SITE, TIME, check_fields
from aqreanalysis.time_axis import HOUR, complete_hours

READ_HOURS = 744   # that are read at a time: memory does not grow with the period
_NAMED = 3          # runs of hours, by name


@dataclass(frozen=True)
class Area:
    """Edges in degrees; `east` may be more than 180."""

    west: float
    east: float
    south: float
    north: float

    def __str__(self) -> str:
        return f"{self.west:g} to {self.east:g} E, {self.south:g} to {self.north:g} N"


@dataclass(frozen=True)
class FieldCheck:
    """What of some hours and places a source covers.

    `used` are those of its sites or grid points that a place that lies inside may take values of; `silent` counts their
    hours without a field.
    """

    names: tuple[str, ...]
    hours: np.ndarray       # END-of-hour stamps that were asked for
    missing: np.ndarray     # bool (hours,): a field is unknown at a place that lies inside
    everywhere: np.ndarray  # bool (hours,): ... and at all that are used
    outside: np.ndarray     # bool (points,): places that no hour covers
    used: int = 0
    silent: int = 0
    of_sites: bool = False
    notes: list[str] = field(default_factory=list)

    def missing_hours(self) -> str:
        """The hours in which a place has no fields, as runs, in words: all places, or some; empty where there is none.

        Not counted are hours in which a site is silent and another one within reach stands in: `silent_points`.
        """
        parts = ((self.everywhere, "everywhere"), (self.missing & ~self.everywhere, "at some places"))
        return " and ".join(f"{in_runs(self.hours[rows])} {where}" for rows, where in parts if rows.any())

    def silent_points(self) -> str:
        """How many hours of single sites or grid points are missing, in words; empty where none is."""
        if not self.silent:
            return ""
        name, rule = (("site", ", where the next site within reach that has them stands in") if self.of_sites
                      else ("grid point", ""))
        each = f"1 {name}" if self.used == 1 else f"{self.used:,} {name}s"
        missing = f"{self.silent:,} {'is' if self.silent == 1 else 'are'} missing"
        return f"of the {self.used * len(self.hours):,} hours of {each}, {missing}" + rule * (self.used > 1)


class NoFields(UserError):
    """There is nothing at a path that is known as a field."""


class FieldSource(ABC):
    """Fields of one origin.

    Attributes
    ----------
    source : what they are and where they come from, in words.
    simulated : whether they are the twin's.
    """

    source: str = ""
    simulated: bool = False

    @property
    @abstractmethod
    def stored(self) -> tuple[str, ...]:
        """Names of the fields that it has itself."""

    @property
    @abstractmethod
    def area(self) -> Area | None:
        """Where a grid has values; None where it is of sites, or everywhere."""

    @abstractmethod
    def period(self) -> tuple[np.datetime64, np.datetime64]:
        """The first and last hour, END-of-hour stamps, UTC."""

    @abstractmethod
    def fingerprint(self, start, end) -> str:
        """A hash of all that hours from `start` to `end` are read from: of contents, not of names and places."""

    def paths_of(self, start, end) -> list[Path]:
        """The files that hours from `start` to `end` are read from; none where they are simulated."""
        return []

    def state(self, start, end) -> tuple[tuple[str, int, int], ...]:
        """Path, size and time of change (ns) of these: whether they are the files that were looked at."""
        found = ((path, path.stat()) for path in self.paths_of(start, end))
        return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)

    @abstractmethod
    def _read_stored(self, hours: np.ndarray, names: tuple[str, ...], lat: np.ndarray, lon: np.ndarray) -> xr.Dataset:
        """As `read`, of stored names and consecutive hours."""

    @property
    def variables(self) -> dict[str, FieldVariable]:
        """All fields that it has, with what follows from them, by name."""
        return {name: FIELDS[name] for name in with_derived(self.stored)}

    def require(self, names: Sequence[str], purpose: str = "the model") -> None:
        """UserError where a field is not there."""
        if lacking := [name for name in names if name not in self.variables]:
            raise UserError(f"{self.source} has no {', '.join(lacking)}; it has {', '.join(self.variables) or 'none'}.",
                            f"{purpose[:1].upper()}{purpose[1:]} reads {', '.join(names)}.",
                            "docs/fields.md says what each is and how files call it.")

    def read(self, hours: np.ndarray, names: Sequence[str], lat, lon) -> xr.Dataset:
        """Fields as a model is handed them (schema.check_fields), of consecutive hours and an area round places.

        Parameters
        ----------
        hours : END-of-hour stamps, UTC (hours,); those that are not covered are NaN.
        names : of `variables`.
        lat, lon : degrees (points,): a grid is cut to the points that are needed to sample there.
        """
        self.require(names)
        hours = np.asarray(hours, "datetime64[ns]")
        lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
        needed: list[str] = []
        for name in names:
            way = None if name in self.stored else derivation(name, self.stored)
            needed += [name] if way is None else way.needs
        found = self._read_stored(hours, tuple(dict.fromkeys(needed)), lat, lon)
        arrays: dict[str, Any] = {}
        for name in names:
            if name in self.stored:
                arrays[name] = found[name]
            elif way := derivation(name, self.stored):
                values = way.of(*(found[need].values for need in way.needs)).astype(np.float32)
                arrays[name] = (found[way.needs[0]].dims, values, FIELDS[name].attributes)
        return check_fields(xr.Dataset(arrays, coords=found.coords, attrs=found.attrs), names)

    def sample(self, hours: np.ndarray, lat, lon, names: Sequence[str] = ()) -> xr.Dataset:
        """Fields (time, point), float32, of any hours at places in degrees; see `sampling.sample_fields`.

        A month is read at a time.
        """
        names, hours = tuple(names or self.variables), np.asarray(hours, "datetime64[ns]")
        parts = [sample_fields(self.read(piece, names, lat, lon), np.intersect1d(hours, piece), lat, lon)
                 for piece in hour_runs(hours)]
        found = xr.concat(parts, TIME, coords="minimal", compat="override", join="override",
                          combine_attrs="override") if len(parts) != 1 else parts[0]
        return found if np.array_equal(found[TIME].values, hours) else found.sel({TIME: hours})

    def check(self, start, end, lat, lon, names: Sequence[str] = ()) -> FieldCheck:
        """Which hours from `start` to `end` and which places are not covered; all that is needed is read, a month at a
        time.

        Raises UserError where there is no such field, or units or values are wrong.
        """
        names = tuple(names or self.variables)
        self.require(names)
        lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
        hours, missing, everywhere = complete_hours(start, end), [], []
        outside, used, silent, of_sites = np.ones(lat.size, bool), 0, 0, False
        for piece in hour_runs(hours):
            fields = self.read(piece, names, lat, lon)
            known, outside, points = _known(fields, lat, lon)
            missing.append(~known)
            everywhere.append(~known & ~points.any(axis=1))
            used, silent, of_sites = points.shape[1], silent + int((~points).sum()), SITE in fields.dims
        return FieldCheck(names, hours, np.concatenate(missing), np.concatenate(everywhere), outside, used, silent,
                          of_sites, self.notes())

    def notes(self) -> list[str]:
        """Sentences on what is worth knowing of how it is read."""
        return []


def hour_runs(hours: np.ndarray) -> Iterator[np.ndarray]:
    """Hours, in any order, as runs of consecutive ones of at most READ_HOURS that have them all; gaps of less than
    two days are filled."""
    ordered = np.unique(hours)
    for run in np.split(ordered, np.flatnonzero(np.diff(ordered) > 48 * HOUR) + 1):
        if run.size:
            whole = complete_hours(run[0], run[-1])
            yield from (whole[first:first + READ_HOURS] for first in range(0, whole.size, READ_HOURS))


def in_runs(hours: np.ndarray) -> str:
    """Stamps in words: the number, and the first runs.

    >>> in_runs(complete_hours("2019-01-01T05", "2019-01-01T07"))
    '3 hours (2019-01-01 05:00 to 2019-01-01 07:00 UTC)'
    """
    if not hours.size:
        return ""
    runs = np.split(hours, np.flatnonzero(np.diff(hours) > HOUR) + 1)
    said = [" to ".join(str(of.astype("datetime64[m]")).replace("T", " ") for of in
                        ((run[0], run[-1]) if run.size > 1 else (run[0],))) for run in runs[:_NAMED]]
    more = f" and {len(runs) - _NAMED} more runs" if len(runs) > _NAMED else ""
    return f"{hours.size:,} hour{'s' * (hours.size > 1)} ({', '.join(said)}{more} UTC)"


def _known(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> tuple[Any, Any, Any]:
    """Whether every field is known in each hour at all places inside (hours,), which places lie outside, and whether
    all is known at each of the sites or grid points that those inside may use (hours, used)."""
    whole: np.ndarray = np.logical_and.reduce([np.isfinite(of.values) for of in fields.data_vars.values()])
    if SITE in fields.dims:
        order, near = within_reach(fields, lat, lon)
        reach = np.zeros(near.shape, np.float32)
        np.put_along_axis(reach, order, near.astype(np.float32), axis=1)
        outside = ~(reach > 0).any(axis=1)
        kinds = np.unique(reach[~outside], axis=0)
        used = (kinds > 0).any(axis=0)
        return np.all(whole.astype(np.float32) @ kinds.T > 0, axis=1), outside, whole[:, used]
    number, weight = corners(fields, lat, lon)
    outside = np.isnan(weight).any(axis=0)
    used = np.unique(number[:, ~outside][weight[:, ~outside] > 0])
    points = whole.reshape(len(whole), -1)[:, used]
    return np.all(points, axis=1), outside, points
