"""MERRA-2 of NASA: collections of instants (`inst1`, `inst3`) and of means (`tavg1`, `tavg3`), one file a day.

Means are stamped in the middle of their interval (00:30), so their end is half a step later. Winds U10M and V10M are
those at 10 m; `avg` of hours are taken as they are, without the mean of two instants.
"""

from __future__ import annotations

import xarray as xr

from aqreanalysis.fields.hours import epoch_seconds, usual_step
from aqreanalysis.fields.readers.grid_layout import Found, GridLayout, by_name, over_time
from aqreanalysis.fields.variables import INSTANT, MEAN


def _collection(dataset: xr.Dataset) -> str:
    return str(dataset.attrs.get("ShortName", "")).upper()


def _is_merra2(dataset: xr.Dataset) -> bool:
    return _collection(dataset).startswith("M2") or "MERRA" in str(dataset.attrs.get("Title", "")).upper()


def _kind(dataset: xr.Dataset) -> str:
    """M2T1NXSLV is a collection of means, M2I1NXASM one of instants."""
    said = f"{dataset.attrs.get('LongName', '')} {dataset.attrs.get('Title', '')}".lower()
    return INSTANT if _collection(dataset)[2:3] == "I" or "instantaneous" in said else MEAN


def _find(dataset: xr.Dataset, where: str) -> tuple[dict[str, Found], list[str]]:
    kind = _kind(dataset)
    return {name: Found(variable, over_time(dataset[variable], kind), dataset[variable].attrs.get("units"))
            for name, variable in by_name(dataset).items()}, []


def _half_a_step(dataset: xr.Dataset, time: str) -> int:
    return 0 if _kind(dataset) == INSTANT else usual_step(epoch_seconds(dataset[time].values), "the file") // 2


MERRA2 = GridLayout("MERRA-2", "MERRA-2 collections, NetCDF", _is_merra2, _find, _half_a_step)
