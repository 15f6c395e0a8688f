"""Which stations and hours a training sample hides, so that a network learns to do without them.

Stations are hidden singly, and all within a random distance of random places, so that the network learns to bridge
gaps as wide as the map's. Of the others, hours are removed: outages of the whole network and scattered values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, NearDuplicates
from aqreanalysis.recipes import AnalysisTraining

LONGEST_OUTAGE = 19      # hours; an outage lasts 1 to so many
MEAN_OUTAGE = 10         # hours: their mean, by which the number of outages follows from the hours to be removed


@dataclass(frozen=True)
class MaskedSample:
    """One drawing over the whole time of a station cube: what a network may read, and what it is asked for."""

    visible: xr.Dataset    # station cube of the visible stations, removed hours NaN
    hidden: xr.Dataset     # station cube of the hidden stations


def draw_masked_sample(cube: xr.Dataset, settings: AnalysisTraining, rng: np.random.Generator,
                       duplicates: NearDuplicates = NO_DUPLICATES) -> MaskedSample:
    """Hide stations of a cube (time, station) with their duplicates, and remove hours of the others, at random."""
    hidden = draw_hidden(cube.lat.values, cube.lon.values, settings, rng)
    hidden = duplicates.matrix(cube.station.values)[hidden].any(axis=0)
    kept = draw_kept_hours((cube.sizes[schema.TIME], int((~hidden).sum())), settings, rng)
    visible = cube.isel({schema.STATION: np.flatnonzero(~hidden)})
    visible = visible.where(xr.DataArray(kept, dims=(schema.TIME, schema.STATION)))
    return MaskedSample(visible, cube.isel({schema.STATION: np.flatnonzero(hidden)}))


def draw_hidden(lat: np.ndarray, lon: np.ndarray, settings: AnalysisTraining, rng: np.random.Generator) -> np.ndarray:
    """Which stations (n,) bool a sample hides: single ones, and all round some places; one at least."""
    hidden = rng.random(len(lat)) < settings.hidden_single
    for _ in range(settings.hidden_places):
        centre = rng.integers(len(lat))
        hidden |= geo.distance_km(lat, lon, lat[centre], lon[centre]) <= rng.uniform(*settings.hidden_radius_km)
    hidden[rng.integers(len(lat))] = True
    return hidden


def draw_kept_hours(shape: tuple[int, int], settings: AnalysisTraining, rng: np.random.Generator) -> np.ndarray:
    """Which values (time, station) bool of the visible stations a sample keeps.

    Removed are single values, a share of them between 0 and `gap`, and runs of 1 to LONGEST_OUTAGE hours at all
    stations at once, as many as make up the share `outage` of the hours.
    """
    kept = rng.random(shape) >= settings.gap * rng.random()
    for _ in range(round(settings.outage * shape[0] / MEAN_OUTAGE)):
        start = rng.integers(shape[0])
        kept[start:start + rng.integers(1, LONGEST_OUTAGE + 1)] = False
    return kept
