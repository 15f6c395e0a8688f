"""Recipes: strict YAML of products and trainings. An unknown key is an error that lists the known ones.

A recipe is a file or the name of one that ships with the package (recipes/).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aqreanalysis import resources
from aqreanalysis.errors import UserError
from aqreanalysis.quality import DEFAULT
from aqreanalysis.quality import Settings as QualitySettings

# YAML reads a day without quotes as a date
Day = Annotated[str, BeforeValidator(lambda day: day.isoformat() if isinstance(day, dt.date) else day)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProductRecipe(Strict):
    """How to build a product; the command line has the last word."""

    name: str = Field(description="Name of the product; part of the folder's name.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    grid: str = Field("0.1deg", description="Resolution, named grid, or a file (CDO, NetCDF, CSV of points).")
    observations: str | None = Field(None, description="Folder or file of observations.")
    stations: str | None = Field(None, description="Station table, where it does not lie beside the observations.")
    checkpoint: str | None = Field(None, description="Name or folder of an AQ-Net checkpoint.")
    neighbours: int | None = Field(None, ge=4, le=64, description="k of the neural kNN; default the checkpoint's.")
    minimum_hours: int = Field(20, ge=1, le=24, description="Hours that make a valid day.")
    minimum_station_hours: int = Field(1, ge=1, description="PM2.5 hours that a station needs round a month.")
    twin_seed: int = Field(0, ge=0, description="Seed of the simulated twin, where there are no observations.")
    quality: QualitySettings = Field(DEFAULT, description="Thresholds of quality control.")


class TrainingSettings(Strict):
    """Fields of training.Settings; see there."""

    steps: int = Field(3000, ge=1)
    samples_per_step: int = Field(16, ge=1)
    targets_per_sample: int = Field(24, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    averaging: float = Field(0.995, ge=0, lt=1)
    k: int = Field(20, ge=4, le=64)
    views: int = Field(10, ge=1)
    renew_every: int = Field(40, ge=1)
    hidden_single: float = Field(0.08, ge=0, lt=1)
    hidden_places: int = Field(12, ge=0)
    hidden_radius_km: tuple[float, float] = (5.0, 80.0)
    outage: float = Field(0.03, ge=0, lt=0.5)
    gap: float = Field(0.05, ge=0, lt=1)
    stack_draws: int = Field(24, ge=1)
    stack_days: int = Field(26, ge=1)
    seed: int = 0
    validate_every: int = Field(250, ge=1)


class Withheld(Strict):
    """What training never sees: stations to test and to tune, and every nth week to test."""

    seed: int = Field(2019, description="Seed of the draw of stations.")
    share_single: float = Field(0.08, ge=0, lt=0.4, description="Share of stations withheld singly, for each use.")
    share_city: float = Field(0.08, ge=0, lt=0.4, description="Share of stations in withheld cities, likewise.")
    every_nth_week: int = Field(6, ge=2, description="One week in so many is withheld in time.")


class TrainingRecipe(Strict):
    """How to train a checkpoint."""

    name: str = Field(description="Name of the checkpoint.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    observations: str = Field(description="Folder or file of observations.")
    stations: str | None = None
    start: Day = Field(description="First day, UTC+8.")
    end: Day = Field(description="Last day, UTC+8.")
    network: dict[str, float | int] = Field(default_factory=dict, description="Fields of models.nets.Sizes.")
    withheld: Withheld = Withheld()
    training: TrainingSettings = TrainingSettings()
    quality: QualitySettings = Field(DEFAULT, description="Thresholds of quality control.")


def load(text: str | Path, kind: type[Strict]):
    """A recipe of a kind (ProductRecipe or TrainingRecipe) by file or name."""
    path = locate(text)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: no UTF-8, or a day like 2019-02-30
        raise UserError(f"{path} is not YAML ({str(error).splitlines()[0]}).", "A recipe is a YAML file.",
                        "See recipes/ for examples.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no keys.", "A recipe is a YAML mapping.", "See recipes/ for examples.")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_told(error, kind)}", "", "See recipes/ for examples.") from error


def locate(text: str | Path) -> Path:
    """The file of a recipe."""
    path = Path(text).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    shipped = resources.folder("recipes")
    for candidate in (shipped / path.name, shipped / f"{path.name}.yaml"):
        if len(path.parts) == 1 and candidate.is_file():  # a path that does not exist is no name
            return candidate
    known = ", ".join(sorted(f.stem for f in shipped.glob("*.yaml")))
    raise UserError(f"There is no recipe {str(text)!r}.", f"A recipe is a .yaml file or one of: {known}.", "")


def _told(error: ValidationError, kind: type[Strict]) -> str:
    """The first thing wrong with a recipe, in a sentence; unknown keys first, which explain missing ones."""
    first = min(error.errors(), key=lambda found: found["type"] not in ("extra_forbidden", "invalid_key"))
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"the key {key} is missing."
    if first["type"] != "extra_forbidden":
        return f"the key {key} is {first.get('input')!r}: {first['msg']}."
    for part in first["loc"][:-1]:
        kind = kind.model_fields[part].annotation
    return f"the key {key} is unknown. Known keys: {', '.join(kind.model_fields)}."
