"""aqreanalysis: gap-free, gridded, quality-marked PM2.5 of northern China from station observations.

The names below are for other people's scripts, and are what the command line itself calls; all else may move between
versions. Nothing heavy is imported before it is used.

>>> import aqreanalysis
>>> model = aqreanalysis.load_model("kriging")
>>> model.name, aqreanalysis.describe_model("kriging").kind
('kriging', 'ordinary kriging with octant search')

======================  ======================================================================================
`open_archive`          observations of any known layout: `read(start, end)` gives a station cube
`simulate`              observations of the built-in twin, as tidy files
`open_fields`           weather on a grid or at sites: `check`, `read` for a model, `sample` at places
`load_model`            a model by name or folder: `predict(stations, targets)`
`describe_model`        what a product says of a model, without loading it
`make_targets`          a template of where and when
`BuildRequest, build`   make a product, or resume one
`open_product`          the hours or days of a product as one Dataset
`export`                a product, or some of it, as GeoTIFF, CSV or Parquet
`MapOptions, plot_map`  a map of a product, fit to be printed
`draw_map, draw_cells`  the same as a Figure; numbers of your own at a product's cells
`plot_animation`        an episode as GIF or MP4
`plot_validation`       figures of what a product's own validation found
`summarise`             its months, seasons or years: means, percentiles, days above limits, with their errors
`area_means`            means of a product over areas and their people, with the errors of these means
`exposure`              how the people of areas are distributed over concentration
`compare`               a product beside another gridded PM2.5, and both beside observations
`evaluate`              scores of a checkpoint and the baselines at an archive's stations, each left out
`train, recalibrate`    a checkpoint from a recipe
`load_recipe`           a recipe by name or file; `TrainingRecipe`: one for `train`, of Python values
`ingest_archives`       archives of any layout into one station archive
`describe, verify`      what is in an archive, a product or a checkpoint; whether a product's files are what was written
`Period, parse_period`  calendar days in UTC+8
`UserError`             bad input: what was found, the rule, the fix
======================  ======================================================================================
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

# HDF5 locks each file that it opens, and says "Permission denied" where the file system has no locks (NFS, FUSE). Here
# a folder has one lock (files.held), and a file is written under a hidden name by one process. Read as HDF5 is loaded.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

# The wheels of eccodes (GRIB) bring a PROJ of their own. Loaded first, as xarray does for each file that it opens, it
# breaks pyproj's, and the process ends with "double free or corruption"; loaded after it does no harm.
if importlib.util.find_spec("eckitlib"):
    importlib.import_module("pyproj")

# Where each name stands.
_PUBLIC = {
    "UserError": "errors", "Period": "time_axis", "parse_period": "time_axis", "make_targets": "schema",
    "open_archive": "observations.readers", "ingest_archives": "observations.ingest",
    "open_fields": "fields.opening",
    "load_model": "models.registry", "describe_model": "models.registry",
    "load_recipe": "recipes", "TrainingRecipe": "recipes", "BuildRequest": "product.plan",
    "open_product": "product.reading",
    "build": "workflows.build", "evaluate": "workflows.evaluate_analysis", "train": "workflows.train_analysis",
    "recalibrate": "workflows.train_analysis", "describe": "workflows.describe", "verify": "workflows.describe",
    "export": "workflows.export", "MapOptions": "workflows.plot_map", "plot_map": "workflows.plot_map",
    "draw_map": "workflows.plot_map", "draw_cells": "workflows.plot_map", "simulate": "workflows.simulate",
    "plot_animation": "workflows.plot_animation", "plot_validation": "workflows.plot_validation",
    "area_means": "workflows.areas", "exposure": "workflows.exposure", "compare": "workflows.compare",
    "summarise": "workflows.summarise",
}
__all__ = [
    "BuildRequest", "MapOptions", "Period", "TrainingRecipe", "UserError", "__version__", "area_means", "build",
    "compare", "describe", "describe_model", "draw_cells", "draw_map", "evaluate", "export", "exposure",
    "ingest_archives", "load_model", "load_recipe", "make_targets", "open_archive", "open_fields", "open_product",
    "parse_period", "plot_animation", "plot_map", "plot_validation", "recalibrate", "simulate", "summarise",
    "train", "verify",
]

if TYPE_CHECKING:
    from aqreanalysis.errors import UserError
    from aqreanalysis.fields.opening import open_fields
    from aqreanalysis.models.registry import describe_model, load_model
    from aqreanalysis.observations.ingest import ingest_archives
    from aqreanalysis.observations.readers import open_archive
    from aqreanalysis.product.plan import BuildRequest
    from aqreanalysis.product.reading import open_product
    from aqreanalysis.recipes import TrainingRecipe, load_recipe
    from aqreanalysis.schema import make_targets
    from aqreanalysis.time_axis import Period, parse_period
    from aqreanalysis.workflows.areas import area_means
    from aqreanalysis.workflows.build import build
    from aqreanalysis.workflows.compare import compare
    from aqreanalysis.workflows.describe import describe, verify
    from aqreanalysis.workflows.evaluate_analysis import evaluate
    from aqreanalysis.workflows.export import export
    from aqreanalysis.workflows.exposure import exposure
    from aqreanalysis.workflows.plot_animation import plot_animation
    from aqreanalysis.workflows.plot_map import MapOptions, draw_cells, draw_map, plot_map
    from aqreanalysis.workflows.plot_validation import plot_validation
    from aqreanalysis.workflows.simulate import simulate
    from aqreanalysis.workflows.summarise import summarise
    from aqreanalysis.workflows.train_analysis import recalibrate, train


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"aqreanalysis.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'aqreanalysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
