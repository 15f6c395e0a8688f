"""What a map shows of a file of `aqreanalysis summarise`: means of months, seasons or years, with their own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import output
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid, grid_of
from aqreanalysis.output.cf import QUALITY_FLAG
from aqreanalysis.product.map_fields import (
    DAYS_ABOVE,
    ERROR,
    FLAG,
    LEAST_LEVEL,
    MEAN,
    PERCENT,
    RELATIVE_ERROR,
    SHOWN_ATTRIBUTES,
    WIDTH,
    field_dataset,
)
from aqreanalysis.schema import LOWER, STANDARD_ERROR, TARGET, UPPER
from aqreanalysis.summaries.limits import name_of

PERIOD_NAME = "period_name"
NEEDS = {MEAN: (TARGET,), ERROR: (STANDARD_ERROR,), RELATIVE_ERROR: (TARGET, STANDARD_ERROR), WIDTH: (LOWER, UPPER),
         FLAG: (QUALITY_FLAG,)}
KEPT = ("source_product", "source_product_sha256", "source_checkpoint", "source_observations")


def is_summary(path: Path) -> bool:
    """Whether a file or store is one of `summarise`."""
    if not path.is_file():
        return False
    try:
        with output.open_product_file(path) as file:
            return PERIOD_NAME in file.variables
    except (OSError, ValueError, RuntimeError):
        return False  # whoever opens it says why


@contextmanager
def opened_summary(path: Path) -> Iterator[xr.Dataset]:
    """A file of `summarise`."""
    with output.open_product_file(path) as file:
        yield file


def summary_periods(file: xr.Dataset) -> list[str]:
    """Labels of its periods."""
    return [str(name) for name in np.atleast_1d(file[PERIOD_NAME].values).astype(str)]


def summary_field(file: xr.Dataset, path: Path, label: str, words: str, kind: str = MEAN,
                  above: float = 75.0) -> tuple[xr.Dataset, Grid]:
    """One kind of one period, and the grid; `words` for the period of the label.

    Errors and widths are of the period's mean, from errors that are correlated in time.

    Raises
    ------
    UserError : for a period, or a variable, that the file does not have.
    """
    labels = summary_periods(file)
    if label not in labels:
        raise UserError(f"{path} has no {label}.", f"It has {', '.join(labels)}.", "Choose one with --period.")
    step = file.isel(time=labels.index(label))
    needed = (f"days_above_{name_of(above)}",) if kind == DAYS_ABOVE else NEEDS[kind]
    if missing := [name for name in needed if name not in file]:
        raise UserError(f"{path} has no {missing[0]}.", f"--show {kind} needs it.", "Show something else, or summarise "
                        "with that limit (--days-above).")
    one, *more = (step[name].values.astype(float) for name in needed)
    value = {RELATIVE_ERROR: lambda: PERCENT * more[0] / np.where(one > LEAST_LEVEL, one, np.nan),
             WIDTH: lambda: more[0] - one}.get(kind, lambda: one)()
    flag, count = step[QUALITY_FLAG].values, step["number_of_days"].values
    value = np.where(np.isfinite(step[TARGET].values) | (kind == FLAG), value, np.nan)
    grid = grid_of(file, str(path))
    used = count[np.isfinite(step[TARGET].values)]
    about: dict[str, Any] = {name: file.attrs[name] for name in (*SHOWN_ATTRIBUTES, *KEPT) if name in file.attrs}
    days = int((np.diff(file["time_bnds"].values[labels.index(label)].astype("datetime64[h]")).astype(int) // 24)[0])
    about |= {"kind": kind, "words": words, "label": label, "above": above, "steps": days, "step": "days",
              "fewest": int(used.min(initial=days)), "most": int(used.max(initial=0)), "of_the_mean": "true"}
    field = field_dataset(grid, value.ravel().astype(np.float32), flag.ravel().astype(np.int8), count.ravel(), about)
    return field, grid
