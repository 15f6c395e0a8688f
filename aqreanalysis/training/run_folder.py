"""What all run folders have in common: they are empty at first, and hold the recipe as it was read."""

from __future__ import annotations

from pathlib import Path

import yaml

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.recipes import ForecastRecipe, GraphRecipe, TrainingRecipe

RECIPE_FILE = "recipe.yaml"
NEW_FOLDER = "choose another folder with --out."


def refuse_occupied(folder: Path, work: str) -> None:
    """A UserError where a folder holds anything; `work` is what gets a folder of its own."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"The folder {folder} is not empty.", f"A {work} gets a folder of its own.",
                        "Give another one with --out.")


def refuse_other_recipe(recipe: TrainingRecipe | ForecastRecipe | GraphRecipe, folder: Path) -> None:
    """A UserError where a folder holds a run of another recipe, or anything else; one of this recipe is gone on
    with."""
    file = folder / RECIPE_FILE
    if not file.is_file():
        refuse_occupied(folder, "training")
    elif file.read_text(encoding="utf-8") != recipe_text(recipe):
        raise UserError(f"{folder} holds a run of another recipe, or of another version of this one.",
                        "A run that was stopped goes on by the same recipe only.", "Give another folder with --out.")


def recipe_text(recipe: TrainingRecipe | ForecastRecipe | GraphRecipe) -> str:
    """A recipe as YAML, with every default."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def write_recipe(recipe: TrainingRecipe | ForecastRecipe | GraphRecipe, folder: Path,
                 otherwise: str = NEW_FOLDER) -> None:
    """Write a recipe into its run folder, which is made; `otherwise` is what to do where it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    files.replace_text(folder / RECIPE_FILE, recipe_text(recipe), otherwise)
