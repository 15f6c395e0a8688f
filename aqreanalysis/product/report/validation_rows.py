"""The rows of a product's own validation as the report shows them: text in cells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

FREQUENCIES = ("hourly", "daily")
SHOWN_STRATA = ("season", "estimated level", "distance", "place")
ALL = "all designs"


def shown_scores(path: Path) -> dict[str, Any]:
    """From validation.csv: `designs` by frequency, and `strata` of all designs; lists of names with cells."""
    table = pd.read_csv(path, dtype={"slice": str})
    if table.empty:
        return {"designs": {}, "strata": []}
    whole, all_designs = table[table["by"] == "all"], table[table["design"] == ALL]
    designs = {frequency: [_design(row) for row in of.to_dict("records")] for frequency in FREQUENCIES
               if len(of := whole[whole["frequency"] == frequency])}
    days = all_designs[all_designs["frequency"] == "daily"].set_index(["by", "slice"])["coverage_90"].to_dict()
    hours = all_designs[(all_designs["frequency"] == "hourly") & all_designs["by"].isin(SHOWN_STRATA)]
    return {"designs": designs, "strata": [_stratum(row, days) for row in hours.to_dict("records")]}


def _design(row: Mapping[Any, Any]) -> dict[str, Any]:
    known = row["skill_low"] == row["skill_low"]
    interval = f"{row['skill_low']:+.1f} to {row['skill_high']:+.1f}" if known else ""
    return {"name": row["design"], "cells": [
        f"{row['stations']:,}", f"{row['n']:,}", number(row["skill_percent"], "+.1f"), interval,
        number(row["MAE"], ".2f"), number(row["MAE_kriging"], ".2f"), number(row["RMSE"], ".2f"),
        number(row["NMB_percent"], "+.1f"), number(row["NMB_percent_kriging"], "+.1f"),
        number(100 * row["coverage_90"], ".1f"), number(row["width_90"], ".1f")]}


def _stratum(row: Mapping[Any, Any], days: Mapping[Any, float]) -> dict[str, Any]:
    in_days = days.get((row["by"], row["slice"]), float("nan"))
    return {"by": row["by"], "name": row["slice"], "cells": [
        f"{row['n']:,}", number(row["skill_percent"], "+.1f"), number(row["MAE"], ".2f"),
        number(row["NMB_percent"], "+.1f"), number(100 * row["coverage_90"], ".1f"), number(100 * in_days, ".1f")]}


def number(value: float, form: str) -> str:
    """A number as text; nothing where it is not known."""
    return format(value, form) if value == value else ""
