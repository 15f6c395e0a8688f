"""Annual means of cities in a daily cube beside the means of their stations' own observations.

    python benchmarks/city_means.py PRODUCT OBSERVATIONS

The cube is read at each station of the city (the cell it lies in); a city's mean is the mean over its stations.
Observations are the raw values of every station, nothing screened, as a reader of the archive would average them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.observations.readers import open_archive

CITIES = ("Beijing", "Tianjin", "Shijiazhuang", "Handan", "Anyang", "Zhengzhou", "Taiyuan", "Xi'an", "Shanghai")


def main() -> None:
    product, observations = Path(sys.argv[1]), sys.argv[2]
    archive = open_archive(observations)
    table = archive.stations
    english = pd.read_csv(Path(observations) / "stations.csv").set_index("station_id").city_en
    cities = english.reindex(table["station_id"]).to_numpy()
    with xr.open_mfdataset(sorted(product.glob("*daily*.nc")), decode_coords="all", data_vars="minimal",
                           coords="minimal", compat="override") as cube:
        annual = cube.pm25.mean("time").load()
    total, count = np.zeros(len(table)), np.zeros(len(table))
    first, last = archive.period()
    for month in pd.date_range(first, last, freq="MS").union([pd.Timestamp(first)]):
        end = min(month + pd.offsets.MonthEnd(0) + pd.Timedelta(hours=23), pd.Timestamp(last))
        values = archive.read(month.to_datetime64(), end.to_datetime64()).pm25.values
        total += np.nansum(values, axis=0, dtype=np.float64)
        count += np.isfinite(values).sum(axis=0)
    print(f"{'city':14}{'stations':>9}{'observed':>10}{'cube':>8}{'difference':>12}")
    for city in CITIES:
        of_city = (cities == city) & (count > 0)
        places = table[of_city]
        ours = annual.sel(lat=xr.DataArray(places.lat.to_numpy()), lon=xr.DataArray(places.lon.to_numpy()),
                          method="nearest").mean().item()
        observed = total[of_city].sum() / count[of_city].sum()
        print(f"{city:14}{of_city.sum():9d}{observed:10.1f}{ours:8.1f}{100 * (ours / observed - 1):+11.1f} %")


if __name__ == "__main__":
    main()
