"""The mean of the network: every place has the mean of all stations that reported in the hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis import schema
from aqreanalysis.models import geostatistics
from aqreanalysis.models.base import PointwiseModel, observed_at


@dataclass
class FlatMean(PointwiseModel):
    """A floor that any map must beat; it passes several published yardsticks all the same."""

    name: str = "flat mean"

    def predict(self, stations: xr.Dataset, targets: xr.Dataset, fields: xr.Dataset | None = None) -> xr.Dataset:
        """Mean of the hour, and the standard deviation of the stations as its standard error.

        Of a single station that is not known: then it is that of two places far from each other.
        """
        observed = observed_at(stations, schema.check_targets(targets).time.values)
        known = np.isfinite(observed)
        count = known.sum(axis=1)
        values = xr.DataArray(observed, dims=(schema.TIME, schema.STATION))
        mean, spread = (statistic(schema.STATION, skipna=True).values for statistic in (values.mean, values.std))
        alone = np.sqrt(2.0) * geostatistics.assumed_spread(mean)
        error = np.where(count > 1, spread, np.where(count == 1, alone, np.nan))
        shape = (targets.sizes[schema.TIME], targets.sizes[schema.POINT])
        return schema.make_estimate(targets, np.broadcast_to(mean[:, None], shape),
                                    np.broadcast_to(error[:, None], shape))
