"""The files of a comparison: tables (CSV), maps (NetCDF), pictures, and a page that holds all of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import files
from aqreanalysis.product.comparison.scores import OURS
from aqreanalysis.product.report.html import HERE

TEMPLATE = "comparison.html.j2"
OTHERWISE = "choose another folder with --to."
DIGITS = "%.6g"
CAPTIONS = {
    "means": "Mean PM2.5 of both on the same colours.",
    "difference": "The other less the product.", "seasons": "The other less the product, season by season.",
    "correlation": "Correlation over the periods, cell by cell.",
    "density": "Pairs of cells and periods by both concentrations; the line is 1:1, dotted 1:2 and 2:1.",
    "taylor": "Taylor diagram: spread over that of the reference, correlation, centred error.",
    "target": "FAIRMODE's target diagram of stations: inside the circle the error of days is within twice the "
              "measurement uncertainty (parameters from a secondary source).",
    "series": "Mean of the common cells, period by period."}
PAIR_HEADS = {"by": "by", "slice": "", "periods": "periods", "pairs": "pairs", "mean_product": "product, µg m⁻³",
              "mean_other": "other", "bias": "bias", "NMB_percent": "bias, %", "MAE": "MAE", "RMSE": "RMSE", "r": "r",
              "held_percent": "within the product's 90 % bounds, %"}
STATION_HEADS = {"stations_are": "stations", "estimate": "estimate of", "independent": "independent of them",
                 "stations": "stations", "pairs": "pairs", "mean_observed": "observed, µg m⁻³", "bias": "bias",
                 "NMB_percent": "bias, %", "MAE": "MAE", "RMSE": "RMSE", "r": "r", "MQI": "MQI"}
PAIR_WORDS = ("Bias is the other less the product. All cells and periods that both have, weighted by the cells' areas; "
              "no product is the truth.")
STATION_WORDS = ("Bias is the estimate less what was observed. A product is not independent of stations that it used: "
                 "there its numbers say how well it repeats them, not how good it is. Of stations that the product's "
                 "build hid, its numbers are those of its model without them (validation.nc). Whether the other used a "
                 "station is not known here.")


def write_tables(folder: Path, prefix: str, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """Tables as CSV under their names."""
    found = []
    for name, table in tables.items():
        path = folder / f"{prefix}{name}.csv"
        with files.whole(path, OTHERWISE) as part:
            table.to_csv(part, index=False, float_format=DIGITS)
        found.append(path)
    return found


def write_maps(path: Path, found: xr.Dataset, attributes: Mapping[str, str]) -> Path:
    """Means, differences and correlation as NetCDF."""
    encoding: dict[str, dict[str, Any]] = {str(name): {"_FillValue": None} for name in found.coords}
    encoding |= {str(name): {"zlib": True, "complevel": 1, "shuffle": True} | (
        {"dtype": "float32", "_FillValue": np.float32(9.96921e36)} if found[name].dtype.kind == "f" else {})
        for name in found.data_vars}
    encoding["season"] = {"dtype": str}
    with files.whole(path, OTHERWISE) as part:
        told = found.assign_attrs({"Conventions": "CF-1.11", **attributes})
        told.to_netcdf(part, engine="netcdf4", encoding=encoding)
    return path


def write_page(path: Path, *, title: str, headline: str, simulated: str, tables: Sequence[Mapping[str, Any]],
               pictures: Sequence[Path], notes: Sequence[str], facts: Mapping[str, str]) -> Path:
    """The page, with its pictures in it; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True,
                                     undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    shown = [{"content": base64.b64encode(picture.read_bytes()).decode(), "words": CAPTIONS[_key(picture)]}
             for picture in pictures]
    files.replace_text(path, environment.get_template(TEMPLATE).render(
        title=title, headline=headline, simulated=simulated, tables=tables, pictures=shown, notes=notes, facts=facts),
        OTHERWISE)
    return path


def _key(picture: Path) -> str:
    return picture.stem.removeprefix("simulated_")


def pair_rows(table: pd.DataFrame) -> dict[str, Any]:
    """The table of both products, as the page shows it."""
    return _shown(table.replace({"slice": {"all": ""}}), PAIR_HEADS, 2, "Both products", PAIR_WORDS)


def station_rows(table: pd.DataFrame, names: tuple[str, str], how: str) -> dict[str, Any]:
    """The table of both beside observations, as the page shows it."""
    shown = table.assign(estimate=np.where(table.estimate == OURS, *names),
                         independent=table.independent.map({True: "yes", False: "no"}).fillna("not known"))
    return _shown(shown, STATION_HEADS, 3, "Both beside stations", f"{STATION_WORDS} {how}")


def _shown(table: pd.DataFrame, heads: Mapping[str, str], text_columns: int, title: str, words: str) -> dict[str, Any]:
    kept = {name: head for name, head in heads.items() if name in table and table[name].notna().any()}
    return {"title": title, "words": words, "heads": list(kept.values()), "text_columns": text_columns,
            "rows": [[_cell(row[name]) for name in kept] for row in table.to_dict("records")]}


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or not np.isfinite(value):
        return ""
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
