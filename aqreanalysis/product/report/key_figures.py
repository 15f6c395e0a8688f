"""The first thing on the page: a few figures that say what the product is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aqreanalysis import schema
from aqreanalysis.observations.coverage import Coverage
from aqreanalysis.product.report.explorer import Explorer
from aqreanalysis.product.report.validation_rows import FREQUENCIES
from aqreanalysis.product.validation.words import SHOWN_DESIGNS

HOURLY, DAILY = FREQUENCIES
UNIT = "µg m⁻³"


@dataclass(frozen=True)
class KeyFigure:
    """A figure with what it is; `note` says against what, or how sure."""

    value: str
    label: str
    note: str = ""


def key_figures(validation: Path | None, explorer: Explorer | None, coverage: Coverage | None,
                true_errors: Mapping[str, Mapping[str, float]]) -> list[KeyFigure]:
    """Of a product: from its validation.csv, where there is one, its map, its observations, and a twin's truth."""
    found = _of_validation(validation) if validation else [
        KeyFigure("not validated", "no stations were hidden",
                  "the error of this product is that of its model elsewhere, and not measured here")]
    if "supported" in true_errors:
        of = true_errors["supported"]
        found.append(KeyFigure(f"{of['MAE']:.1f} {UNIT}", "mean absolute error against the twin's truth",
                               f"hours of cells with stations nearby; {100 * of['coverage_90']:.0f} % are in the 90 % "
                               "interval"))
    if explorer:
        found += _of_days(explorer)
    if coverage:
        found.append(KeyFigure(f"{100 * coverage.share:.0f} %", f"of the hours of {coverage.used:,} stations observed",
                               f"{coverage.hours_observed:,} of {coverage.hours:,} hours have an observation"))
    return found


def _of_days(explorer: Explorer) -> list[KeyFigure]:
    what = "points" if explorer.about["grid"]["kind"] == "points" else "cells on land"
    mean = [KeyFigure(f"{explorer.mean:.1f} {UNIT}", f"mean PM2.5 of {what}",
                      "all days with a value, each cell the same weight")] if explorer.mean == explorer.mean else []
    shares = [(explorer.share(number), words) for number, words in (
        (schema.WEAK_SUPPORT, "have few stations nearby"), (schema.EXTRAPOLATED, "are extrapolated"),
        (schema.NO_OBSERVATIONS, "have no observations"))]
    note = ", ".join(f"{100 * share:.0f} % {words}" for share, words in shares if share >= 0.005)
    return [*mean, KeyFigure(f"{100 * explorer.share(schema.SUPPORTED):.0f} %",
                             f"of the days of {what} supported by stations", note)]


def _of_validation(path: Path) -> list[KeyFigure]:
    table = pd.read_csv(path, dtype={"slice": str})
    if table.empty:
        return [KeyFigure("not validated", "stations are too few to hide some")]
    whole = table[table["by"] == "all"].set_index(["design", "frequency"])
    design = next((name for name in SHOWN_DESIGNS if (name, HOURLY) in whole.index), whole.index[0][0])
    where = {"map-matched": "at places like the map's land"}.get(design, f"at stations hidden as {design}")
    rows: dict[str, Any] = {name: whole.loc[(design, name)] for name in FREQUENCIES if (design, name) in whole.index}
    hours = rows[HOURLY]
    sure = hours.skill_low == hours.skill_low
    found = [
        KeyFigure(f"{abs(hours.skill_percent):.1f} %",
                  f"{'better' if hours.skill_percent >= 0 else 'WORSE'} than kriging {where}",
                  f"95 % interval {hours.skill_low:+.1f} to {hours.skill_high:+.1f} %, hours" if sure else
                  "too few cities or weeks for an interval"),
        KeyFigure(f"{hours.NMB_percent:+.1f} %", "bias there", f"kriging {hours.NMB_percent_kriging:+.1f} %"),
        KeyFigure(f"{hours.MAE:.1f} {UNIT}", "mean absolute error of an hour there",
                  f"of a day {rows[DAILY].MAE:.1f}" if DAILY in rows else "")]
    held = [(name, row.coverage_90) for name, row in rows.items() if row.coverage_90 == row.coverage_90]
    if held:
        found.append(KeyFigure(" · ".join(f"{100 * share:.0f} %" for _, share in held), "inside the 90 % bounds there",
                               f"{' and '.join({HOURLY: 'hours', DAILY: 'days'}[name] for name, _ in held)} at "
                               "stations of cities that the bounds were not fitted to"))
    return found
