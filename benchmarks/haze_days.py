"""The ten haziest days of a product on two pages, to look for what should not be on a map: seams, blobs, slabs.

    python benchmarks/haze_days.py PRODUCT --observations PATH --out FOLDER [--days 10]

PRODUCT is a folder that `aqreanalysis build` wrote. Haziest by the mean PM2.5 of all stations of the archive, among the
days of the product's daily files; of each day also the haziest hour. Writes haze_days.png and haze_hours.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.figures.maps import panel_map
from aqreanalysis.grids import Grid, parse_grid
from aqreanalysis.observations import screening
from aqreanalysis.observations.readers import open_archive

COLUMNS = 4


def files_of(product: Path, kind: str) -> list[Path]:
    """The product's files of a kind, daily or hourly, of real or simulated observations."""
    found = sorted(product.glob(f"*pm25_{kind}_*.nc"))
    if not found:
        raise UserError(f"{product} holds no {kind} files.", "A product's folder is needed, with its NetCDF files.",
                        "Make one with `aqreanalysis build`.")
    return found


def network_mean(archive, days: np.ndarray) -> pd.Series:
    """Mean of all stations' screened PM2.5 of each hour of some days (datetime64[D]); the month is read at once."""
    parts = []
    for month in np.unique(days.astype("datetime64[M]")):
        of = days[days.astype("datetime64[M]") == month]
        hours = time_axis.Period(of.min().item(), of.max().item()).hours
        cube = screening.screened(archive, hours[0], hours[-1])
        parts.append(cube[schema.TARGET].mean(schema.STATION).to_series())
    return pd.concat(parts)


def haziest(hourly: pd.Series, days: np.ndarray, number: int) -> pd.DataFrame:
    """Table of the haziest days, in their order in time: `mean`, and its haziest `hour` (end-of-hour stamp, UTC)."""
    of_day = hourly.groupby(time_axis.local_days(hourly.index.to_numpy()).astype("datetime64[ns]"))
    table = pd.DataFrame({"mean": of_day.mean(), "hour": of_day.idxmax()})
    table = table[table.index.isin(days.astype("datetime64[ns]"))]
    return table.nlargest(number, "mean").sort_index()


def stamps_of(files: list[Path]) -> pd.DatetimeIndex:
    """All stamps of a product's files."""
    found = []
    for path in files:
        with xr.open_dataset(path) as file:
            found.append(file.indexes["time"])
    return pd.DatetimeIndex(np.concatenate(found))


def fields(files: list[Path], stamps: pd.DatetimeIndex) -> list[np.ndarray]:
    """PM2.5 at some stamps of a product's files."""
    values = {}
    for path in files:
        with xr.open_dataset(path) as file:
            for stamp in stamps.intersection(file.indexes["time"]):
                values[stamp] = file[schema.TARGET].sel(time=stamp).values
    return [values[stamp] for stamp in stamps]


def page(files: list[Path], stamps: pd.DatetimeIndex, labels: list[str], grid: Grid, title: str):
    """One page of maps, without the veils over what is not sure: they would hide what is looked for."""
    with xr.open_dataset(files[0]) as file:
        said, simulated = file.attrs.get("title", ""), file.attrs.get("simulated") == "true"
    return panel_map(fields(files, stamps), grid, labels=labels, title=title, subtitle=said, simulated=simulated,
                     columns=COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product", type=Path)
    parser.add_argument("--observations", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--days", type=int, default=10)
    given = parser.parse_args()
    daily, hourly = (files_of(given.product, kind) for kind in ("daily", "hourly"))
    stamps = stamps_of(daily)
    day_of = pd.Series(stamps, index=time_axis.local_days(stamps.to_numpy()).astype("datetime64[ns]"))
    table = haziest(network_mean(open_archive(given.observations), day_of.index.to_numpy("datetime64[D]")),
                    day_of.index.to_numpy("datetime64[D]"), given.days)
    grid = parse_grid(daily[0])
    days = page(daily, pd.DatetimeIndex(day_of[table.index]), [f"{day:%Y-%m-%d}" for day in table.index], grid,
                f"The {len(table)} haziest days")
    local = table.hour + pd.Timedelta(hours=time_axis.UTC_OFFSET_HOURS)
    hours = page(hourly, pd.DatetimeIndex(table.hour), [f"{stamp:%Y-%m-%d %H}:00 UTC+8" for stamp in local], grid,
                 f"The haziest hour of each of the {len(table)} haziest days")
    for name, figure in (("haze_days", days), ("haze_hours", hours)):
        save_figure(figure, given.out / f"{name}.png")
    print(table.assign(mean=table["mean"].round(1)).to_string())


if __name__ == "__main__":
    main()
