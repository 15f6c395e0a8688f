"""Means over areas as Datasets (area, time) and tables, and what each variable is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.grids.areas import Areas
from aqreanalysis.product.area_means import MEAN, NORMAL, PEOPLE, AreaMeans
from aqreanalysis.schema import STANDARD_NAMES, TARGET, TIME, UNITS

AREA, PERIOD = "area", "period"
PREFIXES = {MEAN: TARGET, PEOPLE: f"{TARGET}_population_weighted"}
WORDS = {MEAN: "mean over the area", PEOPLE: "mean over the people of the area"}
ENDS = ("", "_standard_error", "_lower", "_upper")


@dataclass(frozen=True, eq=False)
class AreaFacts:
    """What is known of the areas, (areas,): whole size in km2, the share of it on the grid, people there or None."""

    areas: Areas
    km2: np.ndarray
    inside: np.ndarray
    people: np.ndarray | None


def dataset_of(means: AreaMeans, facts: AreaFacts, limits: Sequence[float], every: str,
               attributes: Mapping[str, Any]) -> xr.Dataset:
    """A part of the result as a Dataset (area, time); stamps are the END of each period, in UTC."""
    made: dict[str, tuple] = {}
    for kind, prefix in PREFIXES.items():
        if f"{kind}.mean" not in means.arrays:
            continue
        mean = means.arrays[f"{kind}.mean"]
        error = np.sqrt(np.maximum(means.arrays[f"{kind}.variance"], 0.0))
        values = (mean, error, np.maximum(mean - NORMAL * error, 0.0), mean + NORMAL * error)
        for end, array in zip(ENDS, values, strict=True):
            made[prefix + end] = ((AREA, TIME), array.T.astype(np.float32), _attributes(kind, end))
    made |= _counts(means, limits, every)
    coords = coordinates(facts)
    coords |= {TIME: (TIME, means.bounds[:, 1].astype("datetime64[ns]"), {"standard_name": "time", "axis": "T"}),
               f"{TIME}_bnds": ((TIME, "nv"), means.bounds.astype("datetime64[ns]")),
               PERIOD: (TIME, np.array(means.labels, object),
                        {"long_name": "calendar period in UTC+8" if every != "hour" else "end of the hour, in UTC"})}
    return xr.Dataset(made, coords, dict(attributes))


def coordinates(facts: AreaFacts) -> dict[str, Any]:
    """What does not change with time."""
    import shapely

    places = shapely.get_coordinates(shapely.point_on_surface(facts.areas.shapes))
    found: dict[str, Any] = {
        AREA: (AREA, np.array(facts.areas.names, object),
               {"long_name": "name of the area", "cf_role": "timeseries_id"}),
        "lat": (AREA, places[:, 1], {"standard_name": "latitude", "units": "degrees_north",
                                     "long_name": "latitude of a place inside the area"}),
        "lon": (AREA, places[:, 0], {"standard_name": "longitude", "units": "degrees_east",
                                     "long_name": "longitude of a place inside the area"}),
        "area_km2": (AREA, facts.km2, {"long_name": "size of the area on the sphere", "units": "km2"}),
        "share_on_grid": (AREA, facts.inside.astype(np.float32), {
            "long_name": "part of the area that lies on the product's grid", "units": "1"})}
    if facts.areas.other_names:
        found["area_zh"] = (AREA, np.array(facts.areas.other_names, object), {"long_name": "name in Chinese"})
    if facts.people is not None:
        found["people"] = (AREA, facts.people, {"long_name": "people in the part of the area on the grid",
                                                "units": "1"})
    return found


def _counts(means: AreaMeans, limits: Sequence[float], every: str) -> dict[str, tuple]:
    found: dict[str, tuple] = {"share_with_values": ((AREA, TIME), means.arrays[f"{MEAN}.share"].T.astype(np.float32), {
        "units": "1", "long_name": "part of the area on the grid with a value, in the mean of the period"})}
    if f"{MEAN}.days" in means.arrays:
        found["number_of_days"] = ((AREA, TIME), means.arrays[f"{MEAN}.days"].T.astype(np.int32), {
            "units": "1", "long_name": "days with a value"})
    for number, limit in enumerate(limits):
        if f"{MEAN}.days_above" in means.arrays:
            found[f"days_above_{limit:g}"] = (
                (AREA, TIME), means.arrays[f"{MEAN}.days_above"][number].T.astype(np.float32), {
                    "units": "1", "long_name": f"days on which the mean over the area is above {limit:g} ug m-3"})
        if "above" in means.arrays:
            found[f"people_above_{limit:g}"] = (
                (AREA, TIME), (100.0 * means.arrays["above"][number]).T.astype(np.float32), {
                    "units": "percent", "long_name": ("share of the area's people in cells whose mean "
                                                      f"{'of the ' + every} is above {limit:g} ug m-3")})
    return found


def _attributes(kind: str, end: str) -> dict[str, Any]:
    words = {"": WORDS[kind], "_standard_error": f"standard error of the {WORDS[kind]}",
             "_lower": f"lower 90 % bound of the {WORDS[kind]}", "_upper": f"upper 90 % bound of the {WORDS[kind]}"}
    found = {"units": UNITS[TARGET], "long_name": f"PM2.5, {words[end]}"}
    if end in ("", "_standard_error"):
        found["standard_name"] = STANDARD_NAMES[TARGET] + (" standard_error" if end else "")
    if not end:
        found["cell_methods"] = f"time: mean {AREA}: mean" if kind == MEAN else "time: mean"
        found["ancillary_variables"] = " ".join(PREFIXES[kind] + other for other in ENDS[1:])
    return found
