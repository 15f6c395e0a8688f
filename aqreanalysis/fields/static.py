"""Static covariates that ship: elevation, relief and population potential at any place of China.

Kriging of towns' stations is too high where nobody lives and above the plains; these say where that is. Their sources
ship as lists and rasters (`data/places.npz`, `data/elevation.npz`, made by `docs/make_covariates.py`):

- places with their populations: GeoNames (https://www.geonames.org), CC BY 4.0, changed;
- elevation: pvlib (BSD-3-Clause), from SRTM and GMTED2010 (U.S. Geological Survey) and ETOPO1 (NOAA).

>>> beijing = static_covariates([39.9], [116.4])
>>> round(float(beijing.elevation[0])), beijing.population_15km.attrs["units"]
(46, '1')
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.population import PopulationPotential
from aqreanalysis.fields.terrain import bilinear, disc_statistics
from aqreanalysis.schema import LAT, LON, POINT

Transform = Literal["none", "sqrt", "log"]
DATA = Path(__file__).parents[1] / "data"
# West, east, south, north, degrees: all of China's mainland, Hainan and Taiwan.
COVERED = (73.0, 136.0, 17.0, 54.5)
ELEVATION_AREA = (71.0, 138.0, 16.0, 56.0)  # what ships: discs of 75 km round any covered place are whole
PLACES_AREA = (66.0, 143.0, 10.0, 61.0)     # at least 450 km beyond what is covered
STEP = 1 / 12                               # degree, of the raster of elevation
SCALES = (5.0, 15.0, 40.0, 100.0)           # km, of population potential
RADII = (15.0, 30.0, 75.0)                  # km, of relief
PLACES_SOURCE = "GeoNames (https://www.geonames.org), CC BY 4.0, changed"
ELEVATION_SOURCE = ("pvlib Altitude.h5 (BSD-3-Clause), from SRTM and GMTED2010, courtesy of the U.S. Geological "
                    "Survey, and ETOPO1, U.S. National Oceanic and Atmospheric Administration")


@dataclass(frozen=True)
class StaticCovariate:
    """One covariate: what it is, and the transform after which it is nearest to what pollution follows."""

    long_name: str
    units: str
    source: str
    transform: Transform
    standard_name: str | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """CF attributes of its variable."""
        named = {"standard_name": self.standard_name} if self.standard_name else {}
        return {"long_name": self.long_name, "units": self.units, **named, "source": self.source}


STATIC_COVARIATES = {
    "elevation": StaticCovariate("elevation", "m", ELEVATION_SOURCE, "sqrt", "surface_altitude"),
    **{f"relief_{radius:g}km": StaticCovariate(
        f"elevation above the mean within {radius:g} km", "m", ELEVATION_SOURCE, "sqrt") for radius in RADII},
    "above_lowest_75km": StaticCovariate("elevation above the lowest within 75 km", "m", ELEVATION_SOURCE, "sqrt"),
    "below_highest_75km": StaticCovariate("elevation below the highest within 75 km", "m", ELEVATION_SOURCE, "sqrt"),
    **{f"population_{scale:g}km": StaticCovariate(
        f"population potential: people times exp(-distance / {scale:g} km), summed over places", "1", PLACES_SOURCE,
        "log") for scale in SCALES},
}


def static_covariates(lat, lon) -> xr.Dataset:
    """The covariates that ship, at any places.

    Parameters
    ----------
    lat, lon : degrees, (points,); longitudes of any turn.

    Returns
    -------
    Dataset (point) with a float32 variable for each of `STATIC_COVARIATES`, and lat and lon as given. Elevation and
    relief are bilinear between the centres of cells of 5 arc minutes. NaN at places outside `COVERED` and at
    coordinates that are not finite. A value does not depend on which other places are asked for.
    """
    lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
    if lat.shape != lon.shape or lat.ndim != 1:
        raise ValueError(f"lat {lat.shape} and lon {lon.shape} are one list of places")
    covered = is_covered(lat, lon)
    values = np.full((len(STATIC_COVARIATES), lat.size), np.nan, np.float32)
    y, x = lat[covered], lon[covered] % 360
    west, _, south, _ = ELEVATION_AREA
    row, column = (y - south) / STEP - 0.5, (x - west) / STEP - 0.5
    rasters, people = _rasters(), _potential().at(y, x)
    for of, name in zip(values, STATIC_COVARIATES, strict=True):
        if name in rasters:
            of[covered] = bilinear(rasters[name], row, column)
    values[-len(SCALES):, covered] = people.T
    variables = {name: (POINT, of, covariate.attributes)
                 for (name, covariate), of in zip(STATIC_COVARIATES.items(), values, strict=True)}
    return xr.Dataset(variables, coords={LAT: (POINT, lat), LON: (POINT, lon)})


def population_potential(lat, lon, scale: float) -> np.ndarray:
    """People times exp(-distance / `scale` km), summed over places: one potential alone, at a quarter of the cost of
    all, float32 (points,), of places in degrees (points,). NaN where `static_covariates` has it.
    """
    lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
    found, covered = np.full(lat.shape, np.nan, np.float32), is_covered(lat, lon)
    found[covered] = _potential((scale,)).at(lat[covered], lon[covered] % 360)[:, 0]
    return found


def is_covered(lat, lon) -> np.ndarray:
    """Whether places, degrees, lie where the shipped covariates are known; False where a coordinate is not finite."""
    west, east, south, north = COVERED
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    finite = np.isfinite(lat) & np.isfinite(lon)
    lon = np.where(finite, lon, np.nan) % 360
    return (lat >= south) & (lat <= north) & (lon >= west) & (lon <= east)


def check_covered(lat, lon, of: str) -> None:
    """A UserError where places, degrees, lie outside; `of` names them: "the grid 0.1deg"."""
    outside = np.flatnonzero(~is_covered(lat, lon))
    if outside.size:
        west, east, south, north = COVERED
        first = f"{np.asarray(lon, float)[outside[0]]:g} E, {np.asarray(lat, float)[outside[0]]:g} N"
        raise UserError(f"{outside.size:,} of {np.size(lat):,} places of {of} (the first at {first}) lie outside what "
                        "the static covariates cover.", f"They cover {west:g} to {east:g} E, {south:g} to {north:g} N.",
                        "Choose a smaller grid, or a model without static covariates: `--checkpoint kriging`.")


@cache
def _potential(scales: tuple[float, ...] = SCALES) -> PopulationPotential:
    with np.load(DATA / "places.npz") as places:
        return PopulationPotential(places[LAT] / 1000, places[LON] / 1000, places["population"], scales)


@cache
def _rasters() -> dict[str, np.ndarray]:
    """Elevation and what is derived from it, float64 (lat, lon) from south to north."""
    with np.load(DATA / "elevation.npz") as stored:
        elevation = stored["elevation"].astype(float)
    lat = ELEVATION_AREA[2] + (np.arange(len(elevation)) + 0.5) * STEP
    around = {radius: disc_statistics(elevation, lat, STEP, radius) for radius in RADII}
    relief = {f"relief_{radius:g}km": elevation - found["mean"] for radius, found in around.items()}
    widest = around[RADII[-1]]
    return {"elevation": elevation, **relief, "above_lowest_75km": elevation - widest["lowest"],
            "below_highest_75km": widest["highest"] - elevation}
