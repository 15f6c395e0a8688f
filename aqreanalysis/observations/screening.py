"""What a model may see of an archive: values that passed quality control, on a complete hourly axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.observations import quality, stations
from aqreanalysis.observations.readers.archive import Archive
from aqreanalysis.observations.readers.station_archive import StationArchive
from aqreanalysis.time_axis import HOUR, Period


class ReadsAround(Protocol):
    """Which hours a model reads: the part of models.base.Model that screening needs."""

    @property
    def history(self) -> int:
        """Hours before the first target hour."""

    @property
    def future(self) -> int:
        """And after the last."""

    @property
    def co_pollutants(self) -> int | None:
        """Hours around the targets in which pollutants other than PM2.5 are read; None where they never are."""


def observations_around(archive: Archive, model: ReadsAround, period: Period, minimum_station_hours: int = 1,
                        settings: quality.QualitySettings = quality.DEFAULT_SETTINGS,
                        held_out: Sequence[str] = ()) -> xr.Dataset:
    """The station cube that a model may see for a period: screened, flagged values NaN.

    It begins `history` hours before the period and ends `future` hours after it, and has the stations that reported
    PM2.5 in these hours. Stations that are `held_out` have no part in the flags of others.
    """
    return stations.reporting(screened_around(archive, model, period, settings, held_out), minimum_station_hours)


def screened_around(archive: Archive, model: ReadsAround, period: Period,
                    settings: quality.QualitySettings = quality.DEFAULT_SETTINGS,
                    held_out: Sequence[str] = ()) -> xr.Dataset:
    """The same of all stations, also of those without a usable value, with the flags."""
    hours = period.hours
    return screened(archive, hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR, settings,
                    held_out, _co_pollutant_hours(model, hours))


@dataclass(frozen=True)
class RawObservations:
    """Raw values of some hours, with the margins that quality control reads, to be screened more than once."""

    cube: xr.Dataset
    start: np.datetime64
    end: np.datetime64
    settings: quality.QualitySettings = quality.DEFAULT_SETTINGS
    co_pollutants: tuple[np.datetime64, np.datetime64] | None = None

    @classmethod
    def around(cls, archive: Archive, model: ReadsAround, period: Period) -> RawObservations:
        """Of the hours that a model reads for a period."""
        hours = period.hours
        return cls.of(archive, hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR,
                      co_pollutants=_co_pollutant_hours(model, hours))

    @classmethod
    def of(cls, archive: Archive, start: np.datetime64, end: np.datetime64,
           settings: quality.QualitySettings = quality.DEFAULT_SETTINGS,
           co_pollutants: tuple[np.datetime64, np.datetime64] | None = None) -> RawObservations:
        """Of an archive, from `start` to `end`, both included."""
        margin = quality.FLAG_REACH_HOURS * HOUR
        return cls(archive.read(start - margin, end + margin), start, end, settings, co_pollutants)

    def screened(self, held_out: Sequence[str] = ()) -> xr.Dataset:
        """The usable values from `start` to `end`, as :func:`screened` gives them."""
        rows = slice(None)
        if self.co_pollutants:
            margin, (first, last) = quality.FLAG_REACH_HOURS * HOUR, self.co_pollutants
            rows = slice(*np.searchsorted(self.cube.time.values, [first - margin, last + margin + HOUR]))
            rows = rows if first <= last else slice(0, 0)
        marked = quality.screen(self.cube, self.settings, held_out, rows)
        return _only_around(quality.usable(marked.sel(time=slice(self.start, self.end))), self.co_pollutants)


def _co_pollutant_hours(model: ReadsAround, hours: np.ndarray) -> tuple[np.datetime64, np.datetime64]:
    """First and last hour of which a model reads pollutants other than PM2.5; first after last where it reads none."""
    reach = model.co_pollutants
    return (hours[0], hours[0] - HOUR) if reach is None else (hours[0] - reach * HOUR, hours[-1] + reach * HOUR)


def _only_around(cube: xr.Dataset, hours: tuple[np.datetime64, np.datetime64] | None) -> xr.Dataset:
    """The cube with pollutants other than PM2.5 NaN outside two hours."""
    if not hours:
        return cube
    seen = (cube.time >= hours[0]) & (cube.time <= hours[1])
    return cube.assign({name: cube[name].where(seen) for name in schema.POLLUTANTS if name != schema.TARGET})


def screened(archive: Archive, start: np.datetime64, end: np.datetime64,
             settings: quality.QualitySettings = quality.DEFAULT_SETTINGS, held_out: Sequence[str] = (),
             co_pollutants: tuple[np.datetime64, np.datetime64] | None = None) -> xr.Dataset:
    """The usable values of an archive from `start` to `end`, both included; flagged ones are NaN.

    Quality control reads quality.FLAG_REACH_HOURS more on either side, so that an hour has the same flags whichever
    month it is read for. With `co_pollutants`, pollutants other than PM2.5 are NaN outside these two hours: they take
    most of the time, and a model that reads them for a few hours around a target needs no flags of whole weeks.
    """
    if not held_out and isinstance(archive, StationArchive) and archive.screened_with(settings):
        return _only_around(quality.usable(archive.read_screened(start, end)), co_pollutants)  # the file has the flags
    return RawObservations.of(archive, start, end, settings, co_pollutants).screened(held_out)
