"""Recipes: what ships loads, and every mistake is named with its key, its value and what is known."""

import pytest

from aqreanalysis import files, recipes
from aqreanalysis.errors import UserError
from aqreanalysis.fields.covariates import CovariateChoice
from aqreanalysis.fields.own import CovariateFile
from aqreanalysis.recipes import (
    AnalysisTraining,
    ForecastModel,
    ForecastRecipe,
    ForecastTraining,
    GraphRecipe,
    GraphRow,
    GraphTraining,
    ProductRecipe,
    TrainingRecipe,
    Withheld,
)

SHIPPED = sorted(files.shipped_folder("recipes").glob("*.yaml"))
FORECAST = "kind: forecast\nname: x\nobservations: data\nleads: [6]\nmodels:\n  A: {model: ridge}\n"
TRAINING = 'name: x\nobservations: data\nstart: "2019-01-01"\nend: "2019-01-31"\n'


def kind_of(path):
    """A training recipe has days to train on; a product's come from the command line; others say their kind."""
    for kind, of_kind in (("forecast", ForecastRecipe), ("graph", GraphRecipe)):
        if f"\nkind: {kind}" in path.read_text(encoding="utf-8"):
            return of_kind
    return TrainingRecipe if "\nstart:" in path.read_text(encoding="utf-8") else ProductRecipe


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path
    return write


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_by_name_and_by_file_and_has_a_head(path):
    kind = kind_of(path)
    loaded = recipes.load_recipe(path, kind)
    assert type(loaded) is kind
    assert loaded == recipes.load_recipe(path.stem, kind) == recipes.load_recipe(path.name, kind)
    assert loaded.name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")
    with pytest.raises(UserError):
        recipes.load_recipe(path, TrainingRecipe if kind is ProductRecipe else ProductRecipe)


def test_all_kinds_ship_and_training_recipes_are_distinguished():
    assert {kind_of(path) for path in SHIPPED} == {ProductRecipe, TrainingRecipe, ForecastRecipe, GraphRecipe}
    for path in SHIPPED:
        if kind_of(path) is not ProductRecipe:
            assert recipes.training_kind(path) is recipes.training_kind(path.stem) is kind_of(path)


@pytest.mark.parametrize("section", [AnalysisTraining, ForecastTraining, Withheld, TrainingRecipe, ForecastRecipe,
                                     CovariateChoice, CovariateFile, GraphRecipe, GraphRow, GraphTraining])
def test_every_key_of_a_training_has_a_sentence(section):
    texts = {name: field.description for name, field in section.model_fields.items()}
    assert not [name for name, text in texts.items() if not (text and text[0].isupper() and text.endswith("."))]


def test_defaults_of_trainings():
    """What checkpoints were trained with, where their recipes say nothing."""
    assert AnalysisTraining().model_dump() == {
        "steps": 3000, "samples_per_step": 24, "targets_per_sample": 8, "learning_rate": 3e-3, "weight_decay": 0.1,
        "averaging": 0.999, "k": 24, "range_km": 250.0, "nugget": 0.04, "views": 8, "renew_every": 50,
        "snapshots": 0.125, "hidden_city": 0.3, "hidden_round": 0.4, "hidden_radius_km": 80.0, "sparse": 0.1,
        "outage": 0.03, "gap": 0.05, "level_jitter": 0.2, "covariate_noise": 0.2, "mean_noise": 0.15,
        "effects_penalty": 3.0, "effects_dropped": 0.3, "seed": 0, "report_every": 100}
    assert ForecastTraining().model_dump() == {
        "steps": 800, "origins_per_step": 64, "stations_per_step": 8, "learning_rate": 5e-3, "weight_decay": 2e-2,
        "averaging": 0.99, "clip": 1.0, "lead_exponent": 0.5, "hide": 0.0, "season_jitter": 0.8, "level_jitter": 0.1,
        "validate_every": 100, "patience": 4}


def test_given_values_stand_and_the_others_are_defaults(write):
    path = write(TRAINING + "withheld:\n  seed: 5\ntraining:\n  hidden_radius_km: 12\n")
    loaded = recipes.load_recipe(path, TrainingRecipe)
    assert (loaded.withheld.seed, loaded.withheld.every_nth_week) == (5, 6)
    assert loaded.training.hidden_radius_km == 12.0 and loaded.training.steps == 3000


def test_days_need_no_quotes(write):
    bare, quoted = (recipes.load_recipe(write(text), TrainingRecipe) for text in (TRAINING.replace('"', ""), TRAINING))
    assert bare == quoted


@pytest.mark.parametrize("text, kind, message", [
    ("name: x\ngird: 0.1deg\n", ProductRecipe, "the key gird is unknown"),
    (TRAINING + "withheld:\n  sead: 1\n", TrainingRecipe, "the key withheld.sead is unknown"),
    (TRAINING + "training:\n  epochs: 1\n", TrainingRecipe, "the key training.epochs is unknown"),
    (TRAINING.replace("observations", "observation"), TrainingRecipe, "the key observation is unknown"),
    (FORECAST + "history: 24\nhorizons: 24\n", ForecastRecipe, "the key horizons is unknown"),
    (FORECAST.replace("model: ridge", "modl: ridge"), ForecastRecipe, "the key models.A.modl is unknown"),
])
def test_an_unknown_key_lists_the_known_ones(write, text, kind, message):
    with pytest.raises(UserError, match=message) as error:
        recipes.load_recipe(write(text), kind)
    nested = {"withheld.sead": Withheld, "training.epochs": AnalysisTraining, "models.A.modl": ForecastModel}
    known = next((part for key, part in nested.items() if key in message), kind).model_fields
    listed = error.value.problem.split("Known keys: ")[1].rstrip(".").split(", ")
    assert listed == list(known)
    assert "mine.yaml" in error.value.problem


@pytest.mark.parametrize("text, kind, message", [
    ("name: x\nminimum_hours: many\n", ProductRecipe, "the key minimum_hours is 'many'"),
    ("name: x\nminimum_hours: 25\n", ProductRecipe, "the key minimum_hours is 25"),
    ("name: x\nneighbours: 2\n", ProductRecipe, "the key neighbours is 2"),
    ("name: x\ngrid: [1, 2]\n", ProductRecipe, r"the key grid is \[1, 2\]"),
    ("name: X Y\n", ProductRecipe, "the key name is 'X Y'"),
    ("name: ../x\n", ProductRecipe, "the key name is '../x'"),
    ("grid: 0.1deg\n", ProductRecipe, "the key name is missing"),
    ("name: x\n1: 2\n", ProductRecipe, "the key 1 "),
    (TRAINING + "withheld:\n  share_city: 0.9\n", TrainingRecipe, "the key withheld.share_city is 0.9"),
    (TRAINING + "withheld: 3\n", TrainingRecipe, "the key withheld is 3"),
    (TRAINING.replace("2019-01-31", "x").replace('"x"', "2019-02-30"), TrainingRecipe, "day is out of range"),
    (FORECAST.replace("[6]", "[25]"), ForecastRecipe, "`leads` lie within it"),
    (FORECAST + "mean_hours: 5\n", ForecastRecipe, "multiple of `mean_hours`"),
    (FORECAST + "  B: {like: C}\n", ForecastRecipe, "B is like 'C'"),
    (FORECAST + "  B: {like: A, model: lstm}\n", ForecastRecipe, "either `model` or `like`"),
    (FORECAST + "  B: {}\n", ForecastRecipe, "either `model` or `like`"),
    ("", ProductRecipe, "holds no keys"),
    ("just words", ProductRecipe, "holds no keys"),
    ("- name\n", ProductRecipe, "holds no keys"),
    ("name: [x\n", ProductRecipe, "is not YAML"),
    ("name: !!python/object:os.system x\n", ProductRecipe, "is not YAML"),
])
def test_other_mistakes_are_named(write, text, kind, message):
    with pytest.raises(UserError, match=message):
        recipes.load_recipe(write(text), kind)


@pytest.mark.parametrize("name, kind, words", [
    ("northern-china", TrainingRecipe, "a recipe for `build`, not for `train`"),
    ("aqnet-north-china-2019", ProductRecipe, "a recipe for `train`, not for `build`"),
    ("forecast-beijing-24h", ProductRecipe, r"a recipe for `train` \(forecasts\), not for `build`")])
def test_a_recipe_of_another_kind_is_named_as_such(name, kind, words):
    with pytest.raises(UserError, match=words):
        recipes.load_recipe(name, kind)


def test_a_recipe_that_is_no_text(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(UserError, match="is not YAML"):
        recipes.load_recipe(tmp_path / "mine.yaml", ProductRecipe)


def test_an_unknown_recipe_lists_those_that_ship():
    with pytest.raises(UserError, match="no recipe 'southern-china'") as error:
        recipes.locate_recipe("southern-china")
    assert all(path.stem in error.value.rule for path in SHIPPED)


def test_a_path_that_does_not_exist_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(UserError, match="no recipe"):
        recipes.locate_recipe(tmp_path / SHIPPED[0].name)


def test_recipes_are_frozen():
    with pytest.raises(ValueError):
        ProductRecipe(name="x").grid = "0.25deg"
