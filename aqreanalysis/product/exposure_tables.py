"""Exposure of people as Datasets (area, time[, class]), as rows of a table, and as curves that a figure shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy import sparse

from aqreanalysis.output.long_table import BOOL, FLOAT32, FLOAT64, TEXT, TIME, TableColumn
from aqreanalysis.product.area_means import PEOPLE
from aqreanalysis.product.area_tables import AREA, PERIOD, PREFIXES
from aqreanalysis.product.exposure import (
    CellMeans,
    ShareBounds,
    living_with_values,
    percentiles_of_people,
    shares_above,
)
from aqreanalysis.schema import TARGET, UNITS
from aqreanalysis.schema import TIME as TIME_DIM
from aqreanalysis.summaries.limits import name_of

CLASS = "class"
PERCENT = "percent"
KEPT = ("number_of_days",)  # of what `areas` says, besides means over people
CURVE_STEP = 1.0            # ug m-3
SHARE_ENDS = (("", ""), ("_expected", ", expected from the errors of the means"), ("_lower", ", its lower 90 % bound"),
              ("_upper", ", its upper 90 % bound"))  # of the names of shares, and in words
TAIL = 3.0                  # standard errors beyond the highest mean, where a curve ends


@dataclass(frozen=True)
class ExposureNumbers:
    """Limits, percentiles in percent, and edges of classes, all ascending; classes begin at 0 and have no end."""

    limits: tuple[float, ...]
    percentiles: tuple[float, ...]
    edges: tuple[float, ...]

    @property
    def lower(self) -> tuple[float, ...]:
        """The lower edge of each class."""
        return (0.0, *(edge for edge in self.edges if edge > 0))


def with_exposure(part: xr.Dataset, people: sparse.csr_array, cells: Sequence[CellMeans], numbers: ExposureNumbers,
                  bounds: ShareBounds, meaning: str) -> xr.Dataset:
    """Means over people of areas (area, time), with what is known of their exposure.

    part : as `area_tables.dataset_of` makes it. people : (areas, n) in cells. cells : means of each of its periods.
    bounds : of shares, of the same cells.
    """
    _check_periods(part, cells)
    prefix = PREFIXES[PEOPLE]
    others = [name for name in part.data_vars if not str(name).startswith(prefix) and name not in KEPT]
    living = np.stack([living_with_values(people, one) for one in cells], axis=1)
    everybody = np.asarray(people.sum(axis=1)).ravel()[:, None]
    made = {"share_of_people_with_values": _variable(
        living / np.where(everybody > 0, everybody, np.nan), "1", "part of the area's people in cells with a mean")}
    shares = np.stack([percentiles_of_people(people, one, numbers.percentiles) for one in cells], axis=2)
    made |= {f"{TARGET}_people_percentile_{name_of(share)}": _variable(
        shares[number], UNITS[TARGET], f"mean PM2.5 of their cell that {share:g} % of the area's people do not exceed")
        for number, share in enumerate(numbers.percentiles)}
    plain, expected = _shares(people, cells, numbers.limits)
    ends = _percent_bounds(bounds, cells, numbers.limits)
    for number, limit in enumerate(numbers.limits):
        words = f"share of the area's people in cells whose mean of the period is above {limit:g} ug m-3"
        named = zip(SHARE_ENDS, (plain[number], expected[number], *ends[:, number]), strict=True)
        made |= {f"people_above_{limit:g}{end}": _variable(values, PERCENT, words + more)
                 for (end, more), values in named}
    classes, coords = _classes(people, cells, numbers, living)
    comment = f"{part.attrs.get('comment', '')} {meaning}".strip()
    title = str(part.attrs.get("title", "")).replace("PM2.5 of areas", "Exposure of people to PM2.5", 1)
    whole = part.drop_vars(others).assign(made | classes).assign_coords(coords)
    return whole.assign_attrs(title=title, comment=comment)


def with_share_bounds(part: xr.Dataset, cells: Sequence[CellMeans], limits: Sequence[float],
                      bounds: ShareBounds) -> xr.Dataset:
    """Means of areas (area, time) with the 90 % bounds of `people_above_X` beside it, for each limit X in ug m-3.

    part, cells, bounds : as of `with_exposure`.
    """
    _check_periods(part, cells)
    ends = _percent_bounds(bounds, cells, limits)
    made: dict[Any, Any] = {}
    for name in part.data_vars:
        made[name] = part[name].variable
        for number, limit in enumerate(limits):
            if name == (above := f"people_above_{limit:g}"):
                made |= {f"{above}{end}": _variable(values, PERCENT, f"{part[name].attrs['long_name']}{words}")
                         for (end, words), values in zip(SHARE_ENDS[2:], ends[:, number], strict=True)}
    return xr.Dataset(made, part.coords, part.attrs)


def _check_periods(part: xr.Dataset, cells: Sequence[CellMeans]) -> None:
    labels = [str(label) for label in part[PERIOD].values]
    if labels != [one.period.label for one in cells]:
        raise ValueError(f"periods of areas and of cells differ: {labels[:3]}")


def _percent_bounds(bounds: ShareBounds, cells: Sequence[CellMeans], limits: Sequence[float]) -> np.ndarray:
    """Percent (2, limits, areas, periods): lower and upper bounds."""
    return 100.0 * np.stack([bounds.of(one, limits) for one in cells], axis=3)


def _variable(values: np.ndarray, units: str, words: str) -> tuple:
    return (AREA, TIME_DIM), values.astype(np.float32), {"units": units, "long_name": words}


def _shares(people: sparse.csr_array, cells: Sequence[CellMeans],
            limits: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Percent (limits, areas, periods) of people above limits: of best estimates, expected."""
    found = [shares_above(people, one, limits) for one in cells]
    plain, expected = (100.0 * np.stack([one[which] for one in found], axis=2) for which in (0, 1))
    return plain, expected


def _classes(people: sparse.csr_array, cells: Sequence[CellMeans], numbers: ExposureNumbers,
             living: np.ndarray) -> tuple[dict, dict]:
    """Variables (area, time, class), and the classes' edges."""
    above = list(_shares(people, cells, numbers.lower[1:]))
    below = np.where(living > 0, 100.0, np.nan)[None]
    above = [np.concatenate([below, one]) for one in above]
    within = [one - np.concatenate([one[1:], np.zeros_like(below)]) for one in above]
    named = {"people_in_class": (within[0] / 100.0 * living, "1", "people in cells whose mean lies in the class"),
             "share_in_class": (within[0], PERCENT, "share of them"),
             "share_in_class_expected": (within[1], PERCENT, "share of them, expected from standard errors"),
             "share_above": (above[0], PERCENT, "share of people above the lower edge of the class"),
             "share_above_expected": (above[1], PERCENT, "share of people above it, expected from standard errors")}
    made = {name: ((AREA, TIME_DIM, CLASS), np.moveaxis(values, 0, 2).astype(np.float32 if units != "1" else float),
                   {"units": units, "long_name": words}) for name, (values, units, words) in named.items()}
    attributes = {"units": UNITS[TARGET]}
    return made, {"class_from": (CLASS, np.array(numbers.lower), attributes | {"long_name": "values above this"}),
                  "class_to": (CLASS, np.array([*numbers.lower[1:], np.inf]),
                               attributes | {"long_name": "and up to this"})}


def class_columns(data: xr.Dataset) -> list[TableColumn]:
    """The columns of the table of classes."""
    names = [TableColumn("area_zh", TEXT, "", "name in Chinese")] if "area_zh" in data.coords else []
    return [TableColumn(AREA, TEXT, "", "name of the area"), *names,
            TableColumn(PERIOD, TEXT, "", str(data[PERIOD].attrs["long_name"])),
            TableColumn("begin", TIME, "", "begin of the period, UTC"),
            TableColumn("end", TIME, "", "end of the period, UTC"),
            TableColumn("class_from", FLOAT64, UNITS[TARGET], "the class has values above this"),
            TableColumn("class_to", FLOAT64, UNITS[TARGET], "and up to this; none of the last class"),
            *(TableColumn(str(name), FLOAT64 if of.attrs["units"] == "1" else FLOAT32, of.attrs["units"],
                          of.attrs["long_name"]) for name, of in data.data_vars.items() if CLASS in of.dims),
            TableColumn("simulated", BOOL, "", "whether the observations were simulated")]


def class_rows(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Rows of that table: classes of areas of periods, the last slowest."""
    areas, steps, classes = data.sizes[AREA], data.sizes[TIME_DIM], data.sizes[CLASS]
    bounds = data[f"{TIME_DIM}_bnds"].values
    found = {name: np.tile(np.repeat(data[name].values, classes), steps) for name in (AREA, "area_zh")
             if name in data.coords}
    upper = np.where(np.isfinite(data["class_to"].values), data["class_to"].values, np.nan)
    found |= {PERIOD: np.repeat(data[PERIOD].values, areas * classes),
              "begin": np.repeat(bounds[:, 0], areas * classes), "end": np.repeat(bounds[:, 1], areas * classes),
              "class_from": np.tile(data["class_from"].values, areas * steps),
              "class_to": np.tile(upper, areas * steps),
              "simulated": np.full(areas * steps * classes, data.attrs.get("simulated") == "true")}
    return found | {str(name): of.transpose(TIME_DIM, AREA, CLASS).values.ravel()
                    for name, of in data.data_vars.items() if CLASS in of.dims}


def curves_of(people: sparse.csr_array, cells: CellMeans) -> xr.Dataset:
    """Percent of people above each concentration, `above` and `above_expected` (period, area, concentration)."""
    lived_in = np.unique(people.indices)
    high = cells.mean[lived_in] + TAIL * np.nan_to_num(cells.error[lived_in])
    top = float(np.nanmax(high)) if np.isfinite(high).any() else 0.0
    places = np.arange(0.0, np.ceil(top / CURVE_STEP) + 1.0) * CURVE_STEP
    mine = CellMeans(cells.period, cells.mean[lived_in], cells.error[lived_in])
    plain, expected = shares_above(sparse.csr_array(people[:, lived_in]), mine, places.tolist())
    return xr.Dataset({name: (("period", AREA, "concentration"), 100.0 * values.T[None])
                       for name, values in (("above", plain), ("above_expected", expected))},
                      {"period": [cells.period.label], "concentration": places})
