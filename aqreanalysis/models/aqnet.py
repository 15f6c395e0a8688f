"""AQ-Net for analysis: from a station cube to PM2.5 at any points (the network is in nets.py).

An hour is estimated from what was observed round it: the network reads the day and 12 h on either
side; the running mean of how each station departs from its neighbours needs 15 days more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.clock import HOUR, HOURS_PER_DAY, local_days
from aqreanalysis.features import Scaler
from aqreanalysis.models import filling, station_side
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, neighbourhood
from aqreanalysis.models.station_side import CONTEXT_HOURS, MARGIN_HOURS, StationSide, day_tensors

LAPLACE_TO_STANDARD = np.float32(np.sqrt(2.0))  # standard deviation of a Laplace distribution of scale 1
TARGETS_AT_ONCE = 2048

__all__ = ["CONTEXT_HOURS", "MARGIN_HOURS", "AQNetAnalysis", "Prepared", "Surroundings", "to_tensors"]


@dataclass
class AQNetAnalysis:
    """AQ-Net with its scaler and its kriging; `k` neighbours, settable when it runs.

    `network` is a nets.AQNet in evaluation mode. Reads no file: models/checkpoint.py does.
    """

    network: object
    scaler: Scaler
    correlation: Correlation = field(default_factory=Correlation)
    k: int = 20
    calibration: Calibration | None = None
    name: str = "aqnet"
    history: int = CONTEXT_HOURS
    future: int = CONTEXT_HOURS
    others: int = MARGIN_HOURS  # hours round the targets' days in which pollutants other than PM2.5 are read

    def fit(self, stations: xr.Dataset) -> AQNetAnalysis:
        """Returns itself: training is `aqreanalysis train`, a checkpoint comes fitted."""
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """PM2.5 and its standard error, (time, point) in ug m-3, at the targets' hours; bounds if calibrated.

        `stations` should reach `history` hours before the first target hour and `future` after the
        last, counted from the first and to the last hour of their calendar days UTC+8, whose window the
        network reads; what lies outside counts as missing. NaN where no station reported within 12 h.
        """
        return self.over(stations, targets).at(targets.time.values)

    def over(self, stations: xr.Dataset, targets: xr.Dataset) -> Prepared:
        """Prepared for all of the targets' hours, which can then be asked for in parts.

        How noisy each station is, is judged once, over all hours of the targets and their context.
        """
        schema.check_station_cube(stations), schema.check_targets(targets)
        if stations.sizes[schema.STATION] < 2:
            raise ValueError("AQ-Net needs at least two stations: each is read beside its neighbours")
        stations = station_side.with_margins(stations, targets.time.values)
        lat, lon = stations.lat.values, stations.lon.values
        own = neighbourhood(lat, lon, lat, lon, filling.NEIGHBOURS, self.correlation, leave_out_self=True)
        side = station_side.station_side(stations, self.scaler, own)
        return Prepared(self, side, Surroundings.of(lat, lon, targets.lat.values, targets.lon.values, side.nugget,
                                                    self.k, self.correlation), targets)


@dataclass(frozen=True)
class Surroundings:
    """What is fixed of some targets among some stations: their neighbours, weights, and the air's lattice."""

    hood: Neighbourhood
    sites: object    # stacking.Sites
    judges: object   # advection.Judges

    @classmethod
    def of(cls, lat, lon, to_lat, to_lon, nugget: np.ndarray, k: int, correlation: Correlation) -> Surroundings:
        """Of targets at to_lat, to_lon among stations at lat, lon (degrees) with a nugget each."""
        from aqreanalysis.models import advection, stacking

        hood = neighbourhood(lat, lon, to_lat, to_lon, k, correlation)
        lattice = advection.Lattice.around(to_lat, to_lon)
        return cls(hood, stacking.sites(lat, lon, to_lat, to_lon, hood, nugget, lattice),
                   advection.judges(lat, lon, lattice, correlation))

    def moved(self, side: StationSide, day: np.datetime64):
        """Advected departures (lags, nodes, 24) of a calendar day UTC+8."""
        import torch

        from aqreanalysis.models import advection

        first = side.row_of_day(day)
        rows = slice(first - advection.MARGIN_HOURS, first + HOURS_PER_DAY + advection.MARGIN_HOURS)
        filled, seen = (torch.from_numpy(np.log(series[rows].T + np.float32(advection.SHIFT)))
                        for series in (side.moving, side.seen))
        return advection.departures(self.judges, filled, seen)


@dataclass(frozen=True)
class Prepared:
    """A model over stations and targets: what does not depend on the hour is done."""

    model: AQNetAnalysis
    side: StationSide
    surroundings: Surroundings
    targets: xr.Dataset

    def at(self, hours: np.ndarray) -> xr.Dataset:
        """The estimate at some of the hours it was prepared for; see AQNetAnalysis.predict."""
        import torch

        shape = (len(hours), self.targets.sizes[schema.POINT])
        found = np.empty((2 if self.model.calibration is None else 4, *shape), np.float32)
        days = local_days(hours)
        with torch.inference_mode():
            parts = list(self._parts())
            for day in np.unique(days):
                self._one_day(day, hours, np.flatnonzero(days == day), parts, found)
        asked = schema.make_targets(hours, self.targets.lat.values, self.targets.lon.values)
        return schema.make_estimate(asked, *found)

    def _one_day(self, day, hours, rows: np.ndarray, parts, found) -> None:
        """Fill rows of estimate, standard error and bounds (2 or 4, time, point): hours of one calendar day UTC+8."""
        from aqreanalysis.models import stacking

        network, calibration, side = self.model.network, self.model.calibration, self.side
        first = side.row_of_day(day)
        offset = ((hours[rows] - side.time[first]) / HOUR).astype(np.int64)
        inputs, value, smooth, observed, clock, wanted = day_tensors(side, day, offset)
        moved = self.surroundings.moved(side, day)[..., offset]
        pooled, learned = self._encoded(inputs, wanted)
        for points, sites, near, features in parts:
            base = stacking.stacked(network.stack, sites, value, smooth, moved)
            pm25, scale = network.at_targets(pooled, learned, base, value, observed, clock, near, features)
            estimate, error = pm25.numpy().T, scale.numpy().T * LAPLACE_TO_STANDARD
            found[0, rows, points], found[1, rows, points] = estimate, error
            if calibration is not None:
                found[1:, rows, points] = calibration.hourly.apply(estimate, error, near.distance[:, 0].numpy(), day)
        dead = rows[~np.isfinite(side.value[first + offset]).any(axis=1)]
        found[:, dead] = np.nan

    def _encoded(self, inputs, wanted):
        """What the encoder says of the stations that some target leans on; 0 of the others."""
        import torch

        asked = torch.from_numpy(np.unique(self.surroundings.hood.index))
        if len(asked) == len(inputs):
            return self.model.network.encoder(inputs, wanted)
        said = self.model.network.encoder(inputs[asked], wanted)
        return tuple(one.new_zeros(len(inputs), *one.shape[1:]).index_copy(0, asked, one) for one in said)

    def _parts(self):
        """Targets a few thousand at a time, so that what the head computes fits into the cache.

        Yields (points, sites, neighbours, their features).
        """
        hood = self.surroundings.hood
        for start in range(0, len(hood.index), TARGETS_AT_ONCE):
            points = slice(start, start + TARGETS_AT_ONCE)
            part = Neighbourhood(*(getattr(hood, name)[points] for name in Neighbourhood.__dataclass_fields__))
            near = to_tensors(part)
            yield points, self.surroundings.sites[points], near, near.features


def to_tensors(hood: Neighbourhood):
    """A neighbourhood as the tensors that the network takes."""
    import torch

    from aqreanalysis.models.nets import Neighbours

    return Neighbours(*(torch.from_numpy(np.ascontiguousarray(a)) for a in
                        (hood.index, hood.weight, hood.variance, hood.distance, hood.bearing)))
