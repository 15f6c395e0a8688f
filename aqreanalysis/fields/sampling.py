"""Fields at places: linear between the points of a grid, or those of the nearest site.

What a model is handed as `fields` (schema.check_fields) it reads with `sample_fields`. A value depends on its place
alone, not on the others that are asked with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema
from aqreanalysis.schema import LAT, LON, POINT, SITE, TIME

REACH_KM = 120.0     # a site's weather holds so far, where a file says nothing else
REACH = "reach_km"   # attribute of fields at sites
SITE_DISTANCE = "distance"
_SLACK = 1e-6        # of a grid's step: the rounding of coordinates


def sample_fields(fields: xr.Dataset, hours: np.ndarray, lat, lon, names: Sequence[str] = ()) -> xr.Dataset:
    """Fields (time, point), float32, at hours (hours,) and places in degrees (points,); NaN where nothing is known.

    Of a grid: bilinear, NaN outside its outermost points and where one of the four has none. Of sites: in each hour all
    that the nearest site says that has them all, within the reach of `fields.attrs["reach_km"]`; `distance` (point) is
    then that to the nearest site, km. Hours that `fields` does not have are NaN. `names` are all if none is given.
    """
    lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
    chosen = fields[list(names)] if names else fields
    hours = np.asarray(hours, "datetime64[ns]")
    if not np.array_equal(chosen[TIME].values, hours):
        chosen = chosen.reindex({TIME: hours})
    targets = schema.make_targets(hours, lat, lon)
    values = _of_sites(chosen, lat, lon) if SITE in chosen.dims else _of_grid(chosen, lat, lon)
    found = xr.Dataset({name: ((TIME, POINT), array, chosen[name].attrs) for name, array in values.items()},
                       coords=targets.coords, attrs=fields.attrs)
    if SITE in chosen.dims:
        found = found.assign_coords({SITE_DISTANCE: (POINT, nearest_site(chosen, lat, lon), {"units": "km"})})
    return found


# --- grids -----------------------------------------------------------------------------------------

def positions(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Fractional numbers of values on an ascending axis; NaN outside its ends."""
    if axis.size == 1:
        return np.where(np.abs(values - axis[0]) <= _SLACK, 0.0, np.nan)
    slack = _SLACK * (axis[1] - axis[0])
    inside = (values >= axis[0] - slack) & (values <= axis[-1] + slack)
    return np.where(inside, np.interp(values, axis, np.arange(axis.size)), np.nan)


def wrapped(lon: np.ndarray, west: float) -> np.ndarray:
    """Longitudes as they are counted from `west` eastwards, west included: 359 is -1 from -180 on."""
    ahead = np.mod(np.asarray(lon, float) - west, 360.0)
    return west + np.where(ahead > 360.0 - _SLACK, 0.0, ahead)


def corners(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four points of a grid round each place, as flat numbers (4, points), and their weights; NaN outside."""
    y_axis, x_axis = fields[LAT].values, fields[LON].values
    y, x = positions(y_axis, lat), positions(x_axis, wrapped(lon, x_axis[0]))
    outside = np.isnan(y) | np.isnan(x)
    row, column = (np.minimum(np.where(outside, 0, part).astype(np.int64), max(axis.size - 2, 0))
                   for part, axis in ((y, y_axis), (x, x_axis)))
    y, x = y - row, x - column
    up, right = int(y_axis.size > 1), int(x_axis.size > 1)
    number = np.stack([(row + j * up) * x_axis.size + column + i * right for j in (0, 1) for i in (0, 1)])
    weight = np.stack([(y if j else 1 - y) * (x if i else 1 - x) for j in (0, 1) for i in (0, 1)])
    return number, np.where(outside, np.nan, weight)


def _of_grid(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> dict[str, np.ndarray]:
    number, weight = corners(fields, lat, lon)
    found = {}
    for name, field in fields.data_vars.items():
        flat = field.values.reshape(field.shape[0], -1)
        total = np.zeros((flat.shape[0], lat.size))
        for of, share in zip(number, weight, strict=True):
            total += np.where(share == 0, 0.0, flat[:, of] * share)
        found[str(name)] = total.astype(np.float32)
    return found


# --- sites -----------------------------------------------------------------------------------------

def within_reach(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites by distance from each place (points, sites), and whether they are within reach.

    A site without a place holds everywhere.
    """
    placed = np.isfinite(fields[LAT].values)
    distance = np.zeros((lat.size, placed.size))
    distance[:, placed] = geo.pairwise_distance_km(lat, lon, fields[LAT].values[placed], fields[LON].values[placed])
    order = np.argsort(np.round(distance, 6), axis=1, kind="stable")
    return order, np.take_along_axis(distance, order, axis=1) <= fields.attrs.get(REACH, REACH_KM)


def nearest_site(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Distance in km (points,), float32, to the nearest site; 0 where one holds everywhere, NaN where there is none."""
    if not np.isfinite(fields[LAT].values).all() or not fields.sizes[SITE]:
        return np.full(lat.size, 0.0 if fields.sizes[SITE] else np.nan, np.float32)
    return geo.nearest(fields[LAT].values, fields[LON].values, lat, lon, 1)[1][:, 0].astype(np.float32)


def _of_sites(fields: xr.Dataset, lat: np.ndarray, lon: np.ndarray) -> dict[str, np.ndarray]:
    order, near = within_reach(fields, lat, lon)
    arrays = {str(name): field.values for name, field in fields.data_vars.items()}
    shape = (fields.sizes[TIME], lat.size)
    chosen = np.where(near[:, :1].any(axis=1), order[:, 0] if order.size else 0, -1) if order.shape[1] else -1
    site = np.broadcast_to(np.asarray(chosen), shape).copy()  # the nearest, with its gaps, where none has all
    whole = np.logical_and.reduce([np.isfinite(array) for array in arrays.values()])  # (time, site)
    open_ = np.ones(shape, bool)
    for rank in range(order.shape[1]):
        take = open_ & whole[:, order[:, rank]] & near[:, rank]
        site = np.where(take, order[:, rank], site)
        open_ &= ~take
        if not open_.any():
            break
    nobody, row = site < 0, np.arange(shape[0])[:, None]
    return {name: np.where(nobody, np.nan, array[row, np.maximum(site, 0)] if array.shape[1] else np.nan)
            .astype(np.float32) for name, array in arrays.items()}
