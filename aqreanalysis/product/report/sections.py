"""What the page says of observations, quality control, use and citation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aqreanalysis import schema
from aqreanalysis.product.observed import ObservedDays
from aqreanalysis.product.plan import Plan
from aqreanalysis.time_axis import HOURS_PER_DAY

CHART_WIDTH, CHART_HEIGHT, CHART_TOP, MOST_BARS = 720, 90, 6, 366
STATION_SHARES = ((0.9, "at least 90 %"), (0.75, "75 to 90 %"), (0.5, "50 to 75 %"), (0.0, "less than half"))
KINDS = {
    "missing_code": "a code for missing, as -999", "out_of_range": "not what an instrument can report",
    "pm25_above_pm10": "more PM2.5 than PM10", "conflicting": "rows of the hour disagree",
    "temporally_inconsistent": "a spike that no neighbour shares",
    "spatially_inconsistent": "far from its neighbours, and from how it usually differs",
    "low_variance": "a sensor that is stuck, or hardly moves", "periodic": "at the same hour of several days"}


def completeness_of(observed: ObservedDays | None, first: Any) -> dict[str, Any]:
    """A chart of how complete the observations are by day, and stations by their share of hours; `first` day."""
    if observed is None:
        return {}
    days, stations = observed.hours.shape
    share = observed.hours.sum(axis=1, dtype=np.int64) / (stations * HOURS_PER_DAY)
    length = -(-days // MOST_BARS)
    bars, width = [], CHART_WIDTH / -(-days // length)
    date = np.datetime64(first, "D") + np.arange(days)
    for number, begin in enumerate(range(0, days, length)):
        value, day = float(share[begin:begin + length].mean()), date[begin]
        bars.append({"x": round(number * width, 2), "width": round(width * (0.85 if days < 120 else 1), 2),
                     "y": round(CHART_TOP + CHART_HEIGHT * (1 - value), 1), "height": round(CHART_HEIGHT * value, 1),
                     "words": f"{day}: {100 * value:.1f} %"})
    worst = int(share.argmin())
    of_station = observed.hours.sum(axis=0, dtype=np.int64) / (days * HOURS_PER_DAY)
    lower, upper = np.array([low for low, _ in STATION_SHARES]), np.inf
    counts = []
    for low, (_, words) in zip(lower, STATION_SHARES, strict=True):
        counts.append({"words": words, "stations": int(((of_station >= low) & (of_station < upper)).sum())})
        upper = low
    sentence = (f"{100 * share.mean():.1f} % of the hours of {stations:,} stations have a value that passed quality "
                f"control; fewest on {date[worst]}, {100 * share[worst]:.1f} %.")
    return {"bars": bars, "width": CHART_WIDTH, "first": str(date[0]), "last": str(date[-1]), "sentence": sentence,
            "stations": counts, "grouped": f", {length} days a bar" if length > 1 else ""}


def flagged_rows(months: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of what quality control found in all months, by kind; nothing where a month has no counts."""
    if not months or not all("flagged" in month for month in months.values()):
        return []
    totals = {name: sum(month["flagged"][name] for month in months.values()) for name in next(
        iter(months.values()))["flagged"]}
    reported = totals["reported"]

    def row(name: str, values: int, words: str) -> dict[str, Any]:
        share = f"{100 * values / reported:.2f}" if reported else ""
        return {"name": name, "count": values, "share": share, "words": words}

    kinds = [name for name in schema.OBSERVATION_FLAGS if name in totals]
    return [row("reported", reported, "PM2.5 of an hour at a station"),
            *(row(name.replace("_", " "), totals[name], KINDS[name]) for name in kinds),
            row("usable", totals["usable"], "what the product is made from")]


def uses_of(plan: Plan) -> list[dict[str, str]]:
    """How other people's tools open the product, with the names of its own files."""
    folder, grid = plan.folder, plan.grid
    daily, hourly = folder.daily()[0].path.name, folder.hourly(plan.period.months()[0]).path.name
    middle = (grid.size + grid.shape[-1]) // 2 % grid.size
    lat, lon = float(grid.lat[middle]), float(grid.lon[middle])
    zarr = folder.file_format.shares_stores
    opened = f'xr.open_{"zarr" if zarr else "dataset"}("{daily}", decode_coords="all")'
    place = {"regular": f'days.pm25.sel(lat={lat:g}, lon={lon:g}, method="nearest")',
             "curvilinear": "days.pm25.isel(y=0, x=0)", "points": "days.pm25.isel(station=0)"}[grid.kind]
    found = [{"tool": "xarray (Python)", "words": "", "code": (
        f"import xarray as xr\ndays = {opened}\n{place}.to_series()\n"
        "days.pm25.where(days.quality_flag <= 1).mean(\"time\")   # where stations support it")},
        {"tool": "aqreanalysis", "words": "", "code": (
            f"import aqreanalysis\nhours = aqreanalysis.open_product(\"{folder.path.name}\")   # all months as one\n\n"
            f"# aqreanalysis map {folder.path.name}\n# aqreanalysis describe --verify {folder.path.name}")}]
    if zarr:
        return found
    found.append({"tool": "Panoply", "words": f"File > Open {hourly}, then double-click pm25: lon-lat plot for a map, "
                                              "or a line plot along time for one place.", "code": ""})
    remap = f"\ncdo outputtab,date,value -remapnn,lon={lon:g}_lat={lat:g} -selname,pm25 {daily}" \
        if grid.kind == "regular" else ""
    if grid.kind != "points":
        found.append({"tool": "cdo", "words": "", "code": f"cdo sinfon {daily}\n"
                                                          f"cdo timmean -selname,pm25 {daily} mean.nc{remap}"})
    return found


def citation_of(plan: Plan) -> list[str]:
    """Sentences to be cited, from what the product's files say of themselves."""
    about, contact = plan.about, plan.about.contact
    maker = f"{contact.name or contact.institution}: " if contact.name or contact.institution else ""
    mark = "SIMULATED " if about.simulated else ""
    at = f", {contact.url}" if contact.url else ""
    product = (f"{maker}{mark}PM2.5 {about.product}, {about.period}, {about.grid_name}. Made with "
               f"aqreanalysis {about.software_version}, model {about.model}{at}.")
    return [product, f"Model: {about.model_reference}", f"Observations: {about.observations}",
            f"Licence: {about.license}"]
