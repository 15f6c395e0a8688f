"""Any CF file: fields are found by their standard name and height, else by a usual name.

Of a wind at several heights the one nearest to 10 m is taken, if it lies between 2 and 100 m, and told. Values are of
instants where no `cell_methods` says otherwise. Bounds of time give the ends of means; without them a stamp is the end
of its interval, or its middle where all stamps are half hours.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis.errors import UserError
from aqreanalysis.fields.readers.grid_layout import Found, GridLayout, by_name, over_time, to_the_end
from aqreanalysis.fields.variables import FIELDS, INSTANT, FieldVariable

LOWEST_M, HIGHEST_M = 2.0, 100.0  # of a wind that stands for the one at 10 m
_HEIGHTS = ("height", "height_above_mean_sea_level")


def _find(dataset: xr.Dataset, where: str) -> tuple[dict[str, Found], list[str]]:
    found, notes = {}, []
    named = by_name(dataset)
    for name, field in FIELDS.items():
        options = [str(key) for key, of in dataset.data_vars.items()
                   if of.attrs.get("standard_name") in (field.standard_name, *field.also)]
        if name in named:  # u10 is u10, whatever else has its standard name
            options = [named[name]]
        chosen, note = _at_height(dataset, options, field, where)
        if chosen is not None:
            found[name] = chosen
            notes += [note] if note else []
    return found, notes


def _at_height(dataset: xr.Dataset, options: list[str], field: FieldVariable,
               where: str) -> tuple[Found | None, str]:
    """The variable, or the level of one, that is nearest to the height of a field; a sentence where there was a choice.

    UserError where several could be it and nothing tells them apart.
    """
    levels = [(option, dim, place, height) for option in options
              for dim, place, height in _heights(dataset[option])]
    if not levels:
        return None, ""
    unsaid = all(height is None for *_, height in levels)
    if not unsaid and (len(levels) > 1 or levels[0][1] or field.height is not None):
        known = [level for level in levels if LOWEST_M <= (level[3] or 0.0) <= HIGHEST_M]
        levels = sorted(known, key=lambda level: abs((level[3] or 0.0) - (field.height or 0.0)))[:1]
        if not levels:
            return None, (f"{where}: {field.standard_name} has no height between {LOWEST_M:g} and {HIGHEST_M:g} m and "
                          "is not read")
    elif len(levels) > 1:
        raise UserError(f"{where} has several variables of {field.standard_name}: "
                        f"{', '.join(option for option, *_ in levels)}.", f"One is {field.name}.",
                        f"`ncrename -v NAME,{field.name} FILE.nc` says which.")
    option, dim, place, height = levels[0]
    of = dataset[option]
    other = height is not None and field.height is not None and abs(height - field.height) > 0.5
    note = f"{where}: {option} at {height:g} m stands for {field.name}" if other else ""
    return Found(option, over_time(of, INSTANT), of.attrs.get("units"), None, ((dim, place),) if dim else ()), note


def _heights(of: xr.DataArray) -> list[tuple[str, int, float | None]]:
    """Dimension ("" for none), position and height in m of each level of a variable; None where it is not given."""
    for name, axis in of.coords.items():
        named = str(name).lower() in _HEIGHTS or axis.attrs.get("standard_name") in _HEIGHTS
        if named and axis.ndim <= 1 and str(axis.attrs.get("units", "m")).lower() in ("m", "metre", "meter", "metres"):
            values = np.atleast_1d(axis.values).astype(float)
            return [(str(axis.dims[0]) if axis.ndim else "", place, float(value)) for place, value in enumerate(values)]
    return [("", 0, None)]


def _anything(dataset: xr.Dataset) -> bool:
    return True


CF = GridLayout("CF", "any CF file on latitudes and longitudes, NetCDF or Zarr", _anything, _find, to_the_end)
