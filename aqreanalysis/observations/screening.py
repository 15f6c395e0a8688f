"""What a model may see of an archive: values that passed quality control, on a complete hourly axis."""

from __future__ import annotations

from collections.abc import Sequence
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
    hours = period.hours
    cube = screened(archive, hours[0] - model.history * HOUR, hours[-1] + model.future * HOUR, settings,
                    held_out, _co_pollutant_hours(model, hours))
    return stations.reporting(cube, minimum_station_hours)


def _co_pollutant_hours(model: ReadsAround, hours: np.ndarray) -> tuple[np.datetime64, np.datetime64]:
    """First and last hour of which a model reads pollutants other than PM2.5; first after last where it reads none."""
    reach = model.co_pollutants
    return (hours[0], hours[0] - HOUR) if reach is None else (hours[0] - reach * HOUR, hours[-1] + reach * HOUR)


def screened(archive: Archive, start: np.datetime64, end: np.datetime64,
             settings: quality.QualitySettings = quality.DEFAULT_SETTINGS, held_out: Sequence[str] = (),
             co_pollutants: tuple[np.datetime64, np.datetime64] | None = None) -> xr.Dataset:
    """The usable values of an archive from `start` to `end`, both included; flagged ones are NaN.

    Quality control reads quality.FLAG_REACH_HOURS more on either side, so that an hour has the same flags whichever
    month it is read for. With `co_pollutants`, pollutants other than PM2.5 are NaN outside these two hours: they take
    most of the time, and a model that reads them for a few hours around a target needs no flags of whole weeks.
    """
    if not held_out and isinstance(archive, StationArchive) and archive.screened_with(settings):
        cube = quality.usable(archive.read_screened(start, end))  # the flags are in the file
    else:
        margin = quality.FLAG_REACH_HOURS * HOUR
        raw = archive.read(start - margin, end + margin)
        rows = slice(None)
        if co_pollutants:
            first, last = co_pollutants
            rows = slice(*np.searchsorted(raw.time.values, [first - margin, last + margin + HOUR]))
            rows = rows if first <= last else slice(0, 0)
        marked = quality.screen(raw, settings, held_out, rows)
        cube = quality.usable(marked.sel(time=slice(start, end)))
    if co_pollutants:
        seen = (cube.time >= co_pollutants[0]) & (cube.time <= co_pollutants[1])
        cube = cube.assign({name: cube[name].where(seen) for name in schema.POLLUTANTS if name != schema.TARGET})
    return cube
