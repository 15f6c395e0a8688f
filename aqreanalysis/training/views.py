"""Views of the training slice with some stations hidden: what AQ-Net learns from.

A `View` is the whole training slice with some stations hidden: single ones, and all within a random
distance of random places, so that the network learns to bridge gaps as wide as the map's. All that
is read is made from the visible stations only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.clock import HOURS_PER_DAY
from aqreanalysis.features import Scaler
from aqreanalysis.models import filling
from aqreanalysis.models.aqnet import Surroundings
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, neighbourhood
from aqreanalysis.models.station_side import StationSide, station_side, without_gaps


@dataclass(frozen=True)
class Settings:
    """How to train; a training recipe fills these."""

    steps: int = 3000
    samples_per_step: int = 16       # days, each at its own place and in its own view
    targets_per_sample: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    averaging: float = 0.995         # of the weights over steps: what is validated and kept
    k: int = 20
    views: int = 10                  # kept at a time
    renew_every: int = 40            # steps, one view each time
    hidden_single: float = 0.08      # share of stations hidden singly
    hidden_places: int = 12          # places round which all stations are hidden ...
    hidden_radius_km: tuple[float, float] = (5.0, 80.0)  # ... within a distance drawn from this range
    outage: float = 0.03             # share of hours removed at every station, in runs
    gap: float = 0.05                # share of further values removed
    stack_draws: int = 24            # drawings of hidden stations that the stack is fitted at ...
    stack_days: int = 26             # ... on so many days each
    seed: int = 0
    validate_every: int = 250


@dataclass(frozen=True)
class Hidden:
    """A drawing of hidden stations: what is read of the visible ones, and the truth at the others."""

    side: StationSide
    surroundings: Surroundings  # of the hidden stations among the visible ones
    truth: np.ndarray           # float32 (time, hidden)
    lat: np.ndarray             # of the hidden stations
    lon: np.ndarray

    def departures(self, day: np.datetime64):
        """Of stacking.departures at the hidden stations in a calendar day UTC+8."""
        import torch

        from aqreanalysis.models import stacking

        first = self.side.row_of_day(day)
        value, smooth = (torch.from_numpy(np.ascontiguousarray(without_gaps(a[first:first + HOURS_PER_DAY]).T))
                         for a in (self.side.value, self.side.smooth))
        with torch.inference_mode():
            return stacking.departures(self.surroundings.sites, value, smooth, self.surroundings.moved(self.side, day))


@dataclass(frozen=True)
class View:
    """A drawing of hidden stations with the stack at them; inputs in float16 to spare memory."""

    side: StationSide
    hood: Neighbourhood       # of the hidden stations among the visible ones
    truth: np.ndarray         # float32 (time, hidden)
    lat: np.ndarray
    lon: np.ndarray
    stack: np.ndarray         # float32 (time, hidden), NaN outside the days that may be asked for
    kriging: np.ndarray
    told: np.ndarray          # float16 (time, hidden, what the network is told)


def draw(cube: xr.Dataset, scaler: Scaler, correlation: Correlation, settings: Settings,
         rng: np.random.Generator) -> Hidden:
    """Hide stations and hours at random and prepare all that may be read of the others."""
    hidden = draw_hidden(cube.lat.values, cube.lon.values, settings, rng)
    keep = draw_kept_hours((cube.sizes[schema.TIME], int((~hidden).sum())), settings, rng)
    return hide(cube, hidden, scaler, correlation, settings.k, keep)


def hide(cube: xr.Dataset, hidden: np.ndarray, scaler: Scaler, correlation: Correlation, k: int,
         keep: np.ndarray | bool = True) -> Hidden:
    """Hide some stations, bool (station,), and of the others the values that are not kept, bool (time, others)."""
    seen = cube.isel({schema.STATION: np.flatnonzero(~hidden)})
    keep = np.broadcast_to(keep, seen[schema.TARGET].shape)
    seen = seen.where(xr.DataArray(keep, dims=(schema.TIME, schema.STATION)))
    asked = cube.isel({schema.STATION: np.flatnonzero(hidden)})
    lat, lon = seen.lat.values, seen.lon.values
    own = neighbourhood(lat, lon, lat, lon, filling.NEIGHBOURS, correlation, leave_out_self=True)
    side = station_side(seen, scaler, own)
    surroundings = Surroundings.of(lat, lon, asked.lat.values, asked.lon.values, side.nugget, k, correlation)
    return Hidden(side, surroundings, asked[schema.TARGET].values, asked.lat.values, asked.lon.values)


def draw_view(cube: xr.Dataset, scaler: Scaler, correlation: Correlation, settings: Settings,
              rng: np.random.Generator, days: np.ndarray, coefficients) -> View:
    """A view whose stack, of these coefficients, is there on the given days, datetime64[D]."""
    from aqreanalysis.models import stacking

    hidden = draw(cube, scaler, correlation, settings, rng)
    shape = hidden.truth.shape
    stack, kriging = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    told = np.zeros((*shape, len(stacking.TOLD)), np.float16)
    for day in days:
        rows = slice(first := hidden.side.row_of_day(day), first + HOURS_PER_DAY)
        base = stacking.combined(coefficients, hidden.surroundings.sites.variance, *hidden.departures(day))
        stack[rows], kriging[rows] = base.stack.numpy().T, base.kriging.numpy().T
        told[rows] = base.told.numpy().transpose(1, 0, 2)
    side = replace(hidden.side, inputs=hidden.side.inputs.astype(np.float16))
    return View(side, hidden.surroundings.hood, hidden.truth, hidden.lat, hidden.lon, stack, kriging, told)


def draw_hidden(lat, lon, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Which stations (bool) a view hides: single ones, and all round some places."""
    hidden = rng.random(len(lat)) < settings.hidden_single
    for _ in range(settings.hidden_places):
        centre = rng.integers(len(lat))
        hidden |= geo.distance_km(lat, lon, lat[centre], lon[centre]) <= rng.uniform(*settings.hidden_radius_km)
    hidden[rng.integers(len(lat))] = True
    return hidden


def draw_kept_hours(shape: tuple[int, int], settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Which values (time, station) a view keeps: outages of the whole network and scattered gaps."""
    keep = rng.random(shape) >= settings.gap * rng.random()
    for _ in range(round(settings.outage * shape[0] / 10)):
        start = rng.integers(shape[0])
        keep[start:start + rng.integers(1, 20)] = False
    return keep
