"""The flat map: every place has the mean of all stations that reported in the hour."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aqreanalysis import schema


class FlatMean:
    """A floor that any map must beat; passes several published yardsticks all the same."""

    name = "flat mean"
    history = future = 0

    def fit(self, stations: xr.Dataset) -> FlatMean:
        return self

    def predict(self, stations: xr.Dataset, targets: xr.Dataset) -> xr.Dataset:
        """Mean of the hour, and the standard deviation of the stations as its standard error."""
        schema.check_station_cube(stations), schema.check_targets(targets)
        observed = stations[schema.TARGET].sel(time=targets.time)
        mean = observed.mean(schema.STATION, skipna=True).values
        spread = observed.std(schema.STATION, skipna=True).values
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        return schema.make_estimate(targets, np.broadcast_to(mean[:, None], shape),
                                    np.broadcast_to(spread[:, None], shape))
