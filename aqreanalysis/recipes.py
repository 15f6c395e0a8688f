"""Recipes: strict YAML of products and trainings. An unknown key is an error that lists the known ones.

A recipe is a file or the name of one that ships with the package (recipes/).
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import CovariateChoice
from aqreanalysis.observations.quality import DEFAULT_SETTINGS, QualitySettings
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.output.cf import Contact
from aqreanalysis.time_axis import HIGHEST_OFFSET, LOWEST_OFFSET, MINIMUM_HOURS

MOST_ENTRIES = 10_000  # of a recipe; a forecast's tables have some hundred
OFFSET_TEXT = "Hours ahead of UTC of stamps that have no offset; UTC where it is not given."

PRODUCT_CALIBRATION = "product"
CALIBRATIONS = (PRODUCT_CALIBRATION, "checkpoint")

# YAML reads a day without quotes as a date
Day = Annotated[str, BeforeValidator(lambda day: day.isoformat() if isinstance(day, dt.date) else day)]


class Strict(BaseModel):
    """A section of a recipe: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Recipe = TypeVar("Recipe", bound=Strict)


class ProductRecipe(Strict):
    """How to build a product; the command line has the last word."""

    name: str = Field(description="Name of the product; part of the folder's name.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    grid: str = Field("0.1deg", description="Resolution, named grid, or a file (CDO, NetCDF, CSV of points).")
    observations: str | None = Field(None, description="Folder or file of observations.")
    stations: str | None = Field(None, description="Station table, where it does not lie beside the observations.")
    utc_offset: float | None = Field(None, ge=LOWEST_OFFSET, le=HIGHEST_OFFSET, description=OFFSET_TEXT)
    checkpoint: str | None = Field(None, description="Name or folder of an AQ-Net checkpoint.")
    fields: str | None = Field(None, description="File, folder or pattern of the fields that the checkpoint reads.")
    neighbours: int | None = Field(None, ge=4, le=64, description="k of the neural kNN; default the checkpoint's.")
    calibration: Literal["product", "checkpoint"] = Field(
        "product", description="Factors of errors: fitted to the product's own stations, or the checkpoint's.")
    minimum_hours: int = Field(MINIMUM_HOURS, ge=1, le=24, description="Hours that make a valid day.")
    minimum_station_hours: int = Field(1, ge=1, description="PM2.5 hours that a station needs round a month.")
    twin_seed: int = Field(0, ge=0, description="Seed of the simulated twin, where there are no observations.")
    quality: QualitySettings = Field(DEFAULT_SETTINGS, description="Thresholds of quality control.")
    contact: Contact = Field(Contact(), description="Who answers for the product; written into each of its files.")


class AnalysisTraining(Strict):
    """How a network for analysis is trained: section `training` of a training recipe."""

    steps: int = Field(3000, ge=1, description="Steps of gradient descent.")
    samples_per_step: int = Field(24, ge=1, description="Days and places in a step.")
    targets_per_sample: int = Field(8, ge=1, description="Stations that are estimated on each of these days.")
    learning_rate: float = Field(3e-3, gt=0, description="Highest learning rate of the cycle.")
    weight_decay: float = Field(1e-1, ge=0, description="Weight decay of AdamW.")
    averaging: float = Field(0.999, ge=0, lt=1, description="Share of the averaged weights that a step keeps, at most.")
    k: int = Field(24, ge=4, le=64, description="Neighbours of the neural kNN.")
    range_km: float = Field(250.0, gt=0, description="Range of the kriging that the network starts from, km.")
    nugget: float = Field(0.04, ge=0, lt=1, description="Its nugget, as a share of the sill.")
    views: int = Field(8, ge=1, description="Masked series that are held at a time.")
    renew_every: int = Field(50, ge=1, description="Steps after which one of them is drawn again.")
    snapshots: float = Field(0.125, ge=0, le=1, description="Share of these with but a few hours a day.")
    hidden_city: float = Field(0.3, ge=0, le=1, description="Share of targets whose city, and 15 km, is hidden.")
    hidden_round: float = Field(0.4, ge=0, le=1, description="Share from whom all within a radius is hidden.")
    hidden_radius_km: float = Field(80.0, ge=0, description="Largest such radius, km.")
    sparse: float = Field(0.1, ge=0, le=1, description="Share of targets from whom half or more of all is dropped.")
    outage: float = Field(0.03, ge=0, lt=0.5, description="Share of hours removed at all stations at once, in runs.")
    gap: float = Field(0.05, ge=0, lt=1, description="Largest share of single values removed besides.")
    level_jitter: float = Field(0.2, ge=0, description="Standard deviation of the logarithm of levels' factors.")
    covariate_noise: float = Field(0.2, ge=0, description="Noise on covariates, in standard deviations of theirs.")
    mean_noise: float = Field(0.15, ge=0, description="Noise on the logarithms of long means.")
    effects_penalty: float = Field(3.0, ge=0, description="Penalty on the squares of station effects.")
    effects_dropped: float = Field(0.3, ge=0, le=1, description="Share of targets without their station's effect.")
    seed: int = Field(0, description="Seed of the weights and of every draw.")
    report_every: int = Field(100, ge=1, description="Steps between two rows of the log.")


class Withheld(Strict):
    """What training never sees: stations for testing and for validation, and every nth week to test.

    With shares of 0 all stations are trained on: then scores and calibration are those of the networks of folds.
    """

    seed: int = Field(2019, description="Seed of the draw of stations.")
    share_single: float = Field(0.08, ge=0, lt=0.4, description="Share of stations withheld singly, for each use.")
    share_city: float = Field(0.08, ge=0, lt=0.4, description="Share of stations in withheld cities, likewise.")
    every_nth_week: int = Field(6, ge=2, description="One week in so many is withheld in time.")


class TrainingRecipe(Strict):
    """How to train a checkpoint."""

    name: str = Field(description="Name of the checkpoint.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    observations: str = Field(description="Folder or file of observations.")
    stations: str | None = Field(None, description="Station table, where it does not lie beside the observations.")
    utc_offset: float | None = Field(None, ge=LOWEST_OFFSET, le=HIGHEST_OFFSET, description=OFFSET_TEXT)
    start: Day = Field(description="First day, UTC+8.")
    end: Day = Field(description="Last day, UTC+8.")
    network: dict[str, float | int] = Field(default_factory=dict, description="Fields of aqnet.network.AnalysisSizes.")
    withheld: Withheld = Field(Withheld(), description="Stations and weeks that are withheld.")
    folds: int = Field(5, ge=0, le=20, description="Networks besides, each without the cities of a fold; 0 for none.")
    covariates: CovariateChoice = Field(CovariateChoice(), description="Static covariates of stations and targets.")
    training: AnalysisTraining = Field(AnalysisTraining(), description="How the network is trained.")
    quality: QualitySettings = Field(DEFAULT_SETTINGS, description="Thresholds of quality control.")

    @property
    def files(self) -> ObservationFiles:
        """Where its observations come from."""
        return ObservationFiles(self.observations, self.stations, self.utc_offset)


def with_fields(recipe: Recipe, path: str | None) -> Recipe:
    """The recipe of a training with other fields than it names; as it is where `path` is None.

    UserError where it has no use for any.
    """
    if path is None:
        return recipe
    if "fields" not in type(recipe).model_fields:
        raise UserError(f"--fields {path} was given, and what this recipe trains reads none.",
                        "Fields are for recipes with the key `fields`.", "Leave --fields out.")
    return recipe.model_copy(update={"fields": path})


class ForecastTraining(Strict):
    """How forecasting networks are trained: section `training` of a forecast recipe.

    The same for every model but for what its own configuration names.
    """

    steps: int = Field(800, ge=1, description="Steps of gradient descent, at most.")
    origins_per_step: int = Field(64, ge=1, description="Hours of issue drawn for a step.")
    stations_per_step: int = Field(8, ge=1, description="Stations drawn for a step; the network sees no others in it.")
    learning_rate: float = Field(5e-3, gt=0, description="Highest learning rate of the cycle.")
    weight_decay: float = Field(2e-2, ge=0, description="Weight decay of AdamW.")
    averaging: float = Field(0.99, ge=0, lt=1, description="Share of the averaged weights that a step keeps, at most.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    lead_exponent: float = Field(0.5, ge=0, description="Errors are weighted by lead to the power of minus this.")
    hide: float = Field(0.0, ge=0, lt=1, description="Share of points whose own station is hidden (neural kNN only).")
    season_jitter: float = Field(
        0.8, ge=0, description="Largest turn of the time of year in training, radians; 0.8 is seven weeks.")
    level_jitter: float = Field(
        0.1, ge=0, description="Standard deviation, in log1p, by which a window and its forecast are raised together.")
    validate_every: int = Field(100, ge=1, description="Steps between two validations.")
    patience: int = Field(4, ge=1, description="Validations in a row without a gain that end the training.")


class ForecastModel(Strict):
    """A row of a forecast's tables: a model and the configurations that are tried, or another row with a change."""

    model: str | None = Field(None, description="Kind of the model: models.forecast.FORECAST_KINDS.")
    configurations: tuple[dict[str, bool | int | float | str], ...] = Field(
        ({},), min_length=1, description="Options of the model and fields of `training`; validation chooses.")
    weather: bool = Field(True, description="Whether it reads the recipe's weather, where the model can.")
    like: str | None = Field(None, description="A row whose chosen configuration is taken, instead of `model`.")
    change: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="What differs from that row's configuration.")
    withheld: bool = Field(False, description="Trained without the withheld stations, and scored there alone.")

    @model_validator(mode="after")
    def _one_of_two(self):
        if (self.model is None) == (self.like is None):
            raise ValueError("a row has either `model` or `like`")
        return self


class ForecastRecipe(Strict):
    """How to train and score forecasts at the stations of a city: every model of a table, all seeds."""

    kind: Literal["forecast"] = Field(description="By this key a forecast recipe is recognised.")
    name: str = Field(description="Name of the run folder.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    observations: str = Field(description="Folder or file of observations.")
    stations: str | None = Field(None, description="Station table, where it does not lie beside the observations.")
    utc_offset: float | None = Field(None, ge=LOWEST_OFFSET, le=HIGHEST_OFFSET, description=OFFSET_TEXT)
    start: Day | None = Field(None, description="First day, UTC+8; that of the archive unless given.")
    end: Day | None = Field(None, description="Last day, UTC+8; that of the archive unless given.")
    fields: str | None = Field(None, description="Fields whose weather is known of the target hours: file or folder.")
    weather: tuple[str, ...] = Field((), description="Variables of the fields that are read.")
    history: int = Field(24, ge=2, description="Hours that a forecast reads.")
    horizon: int = Field(24, ge=1, description="Hours that it gives.")
    mean_hours: int = Field(1, ge=1, description="Errors are of means over so many hours; 24: of days.")
    minimum_hours: int = Field(1, ge=1, description="Observed hours that such a mean needs.")
    leads: tuple[int, ...] = Field(description="Leads of the table, in hours or in means of hours.")
    train_share: float = Field(0.7, gt=0, lt=1, description="Share of the period that trains, from its beginning.")
    validate_share: float = Field(0.1, gt=0, lt=1, description="Share after it, for choices; the rest is the test.")
    validate_every: int = Field(7, ge=1, description="Hours between hours of issue in validation.")
    test_every: int = Field(5, ge=1, description="Hours between hours of issue in the test.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="The first chooses among configurations.")
    k: int = Field(35, ge=1, description="Stations round a point that the neural kNN reads.")
    trend: bool = Field(True, description="Whether the training slice's trend of PM2.5 is carried on, for every model.")
    withheld_share: float = Field(0.0, ge=0, lt=0.5, description="Share of stations for rows with `withheld`.")
    withheld_seed: int = Field(0, description="Seed of their draw.")
    models: dict[str, ForecastModel] = Field(description="The rows of the table.")
    training: ForecastTraining = Field(ForecastTraining(), description="How the models are trained.")

    @property
    def files(self) -> ObservationFiles:
        """Where its observations come from."""
        return ObservationFiles(self.observations, self.stations, self.utc_offset)

    @model_validator(mode="after")
    def _fits(self):
        if self.horizon % self.mean_hours or not all(1 <= n <= self.horizon // self.mean_hours for n in self.leads):
            raise ValueError("`horizon` is a multiple of `mean_hours`, and `leads` lie within it")
        if bool(self.weather) != bool(self.fields):
            raise ValueError("`fields` and `weather`, their variables, are given together")
        for name, row in self.models.items():
            if not re.match(r"\w", name) or not name.isprintable() or "|" in name:  # a formula in scores.csv, a column
                raise ValueError(f"a row's name begins with a letter or number and has no |, unlike {name!r:.60}")
            if row.like and (row.like not in self.models or self.models[row.like].like):
                raise ValueError(f"{name} is like {row.like!r}, which is no row with a `model`")
        return self


class GraphTraining(Strict):
    """How a graph network is trained: section `training` of a graph recipe, for every row but for what it changes."""

    steps: int = Field(800, ge=1, description="Steps of gradient descent, at most.")
    days_per_step: int = Field(8, ge=1, description="Days drawn for a step, each with its own hidden stations.")
    stations_per_step: int = Field(96, ge=4, description="Of a larger network, the stations round a random one.")
    learning_rate: float = Field(3e-3, gt=0, description="Highest learning rate of the cycle.")
    fields_dropped: float = Field(0.1, ge=0, lt=1, description="Share of days whose fields are missing in training.")
    aod_share: float = Field(0.1, ge=0, description="Weight of the loss of gradients of optical depth.")
    validate_every: int = Field(100, ge=1, description="Steps between two validations.")
    validation_days: int = Field(48, ge=1, description="Days that are validated.")
    patience: int = Field(20, ge=1, description="Validations in a row without a gain that end the training.")


class GraphRow(Strict):
    """A row of a graph recipe's tables."""

    model: str = Field(description="Of models.graph (spin, ignnk, stgcn), a baseline, boosting, or a checkpoint.")
    options: dict[str, bool | int | float | str] = Field(default_factory=dict, description="Of the network.")
    sigma_km: float | None = Field(None, gt=0, description="Of the distance kernel; none for the published one.")
    wind: Literal["real", "permuted", "none"] = Field("real", description="Permuted: that of another day, at random.")
    weather: bool = Field(True, description="Whether other weather is read.")
    aod: Literal["none", "real", "permuted", "turned"] = Field(
        "none", description="AOD in the loss; permuted: that of another day; turned: 1/AOD, high where it is low.")
    training: dict[str, int | float] = Field(default_factory=dict, description="What differs from `training`.")


class GraphCheckpoint(Strict):
    """The network of a graph recipe that becomes a checkpoint: of a row, and of the first draw."""

    name: str = Field(description="Of the checkpoint.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    row: str = Field(description="Whose network it is.")


class GraphRecipe(Strict):
    """How to train and score inference at hidden stations: every row of a table, all draws and shares."""

    kind: Literal["graph"] = Field(description="By this key a graph recipe is recognised.")
    name: str = Field(description="Name of the run folder.", pattern=r"^[a-z0-9][a-z0-9-]*$")
    observations: str = Field(description="Folder or file of observations; twin: the built-in one.")
    stations: str | None = Field(None, description="Station table, where it does not lie beside the observations.")
    utc_offset: float | None = Field(None, ge=LOWEST_OFFSET, le=HIGHEST_OFFSET, description=OFFSET_TEXT)
    start: Day = Field(description="First day, UTC+8.")
    end: Day = Field(description="Last day, UTC+8.")
    fields: str | None = Field(None, description="Weather: a file or folder; none for the clock alone.")
    weather: tuple[str, ...] = Field((), description="Variables of the fields that are read.")
    near_km: float | None = Field(None, gt=0, description="Only stations so near to a site of the fields.")
    windy: float = Field(3.0, ge=0, description="Wind speed in m s-1 above which hours are scored by themselves.")
    hidden: tuple[float, ...] = Field((0.3, 0.5), min_length=1, description="Shares of the stations hidden for tests.")
    draws: int = Field(3, ge=1, description="Draws of hidden stations, each with a seed of its own.")
    test_every_nth_week: int = Field(5, ge=3, description="One week in so many is the test, the one before validates.")
    rows: dict[str, GraphRow] = Field(min_length=1, description="The rows of the table.")
    training: GraphTraining = Field(GraphTraining(), description="How networks are trained.")
    checkpoint: GraphCheckpoint | None = Field(None, description="Which network is calibrated as a checkpoint, if any.")
    quality: QualitySettings = Field(DEFAULT_SETTINGS, description="Thresholds of quality control.")

    @property
    def files(self) -> ObservationFiles:
        """Where its observations come from."""
        return ObservationFiles(self.observations, self.stations, self.utc_offset)


VERBS: dict[type[Strict], str] = {ProductRecipe: "`build`", TrainingRecipe: "`train`",
                                  ForecastRecipe: "`train` (forecasts)", GraphRecipe: "`train` (graphs)"}


def training_kind(text: str | Path) -> type[TrainingRecipe] | type[ForecastRecipe] | type[GraphRecipe]:
    """ForecastRecipe for a recipe with `kind: forecast`, GraphRecipe for `kind: graph`, else TrainingRecipe."""
    kind = _read_mapping(locate_recipe(text)).get("kind")
    return ForecastRecipe if kind == "forecast" else GraphRecipe if kind == "graph" else TrainingRecipe


def load_recipe(text: str | Path, kind: type[Recipe]) -> Recipe:
    """A recipe of a kind (ProductRecipe, TrainingRecipe or ForecastRecipe) by file or name."""
    path = locate_recipe(text)
    content = _read_mapping(path)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        other = next((verb for other, verb in VERBS.items() if other is not kind and _is_of(content, other)), None)
        if other:
            raise UserError(f"{path} is a recipe for {other}, not for {VERBS[kind]}.", "Each has keys of its own.",
                            "Give it to that command, or another one here: see recipes/ for examples.") from error
        raise UserError(f"{path}: {first_problem(error, kind)}", "", "See recipes/ for examples.") from error


def _is_of(content: dict, kind: type[Strict]) -> bool:
    try:
        kind.model_validate(content)
    except ValidationError:
        return False
    return True


def _read_mapping(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        _check_extent(content)
    except RecursionError:
        raise UserError(f"{path} is nested too deeply.", "A recipe is a YAML file of a few levels.",
                        "See recipes/ for examples.") from None
    except (yaml.YAMLError, ValueError, OSError) as error:  # ValueError: no UTF-8, or a day like 2019-02-30
        raise UserError(f"{path} is not YAML ({str(error).splitlines()[0]}).", "A recipe is a YAML file.",
                        "See recipes/ for examples.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no keys.", "A recipe is a YAML mapping.", "See recipes/ for examples.")
    return content


def _check_extent(content: object, left: int = MOST_ENTRIES) -> int:
    """How many entries are left of the most that a recipe has; ValueError for more.

    Aliases of YAML (`&a`, `*a`) make a text of ten lines a tree that no memory holds.
    """
    if left <= 0:
        raise ValueError(f"it holds more than {MOST_ENTRIES:,} entries")
    for part in [*content, *content.values()] if isinstance(content, dict) else content if isinstance(
            content, list) else ():
        left = _check_extent(part, left - 1)
    return left


def locate_recipe(text: str | Path) -> Path:
    """The file of a recipe that is given by its path or by the name of one that ships with the package."""
    path = Path(text).expanduser()
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    shipped = files.shipped_folder("recipes")
    for candidate in (shipped / path.name, shipped / f"{path.name}.yaml"):
        if len(path.parts) == 1 and candidate.is_file():  # a path that does not exist is no name
            return candidate
    known = ", ".join(sorted(f.stem for f in shipped.glob("*.yaml")))
    raise UserError(f"There is no recipe {str(text)!r}.", f"A recipe is a .yaml file or one of: {known}.", "")


def first_problem(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first problem of a recipe, or of a section, in a sentence; unknown keys first, which explain missing ones."""
    first = min(error.errors(), key=lambda found: found["type"] not in ("extra_forbidden", "invalid_key"))
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"the key {key} is missing."
    if first["type"] != "extra_forbidden":
        return f"the key {key} is {first.get('input')!r}: {first['msg']}."
    known = ", ".join(_section(kind, first["loc"][:-1]).model_fields)
    return f"the key {key} is unknown. Known keys: {known}."


def _section(kind: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model of the section at some keys; mappings of names to sections, and lists of them, have no fields."""
    section: Any = kind
    for part in location:
        kind_of_it = get_origin(section)
        section = (get_args(section)[1] if kind_of_it is dict else get_args(section)[0] if kind_of_it is tuple
                   else section.model_fields[part].annotation)
    return section
