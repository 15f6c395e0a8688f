"""Reference pages made from the code: command line, recipes, grids and checkpoints, Python interface.

    python docs/make_reference.py [FOLDER]

Called by docs/conf.py before each build of the documentation. The pages are not kept in the repository.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import aqreanalysis
from aqreanalysis import files, recipes
from aqreanalysis.models import checkpoint, registry

FOLDER = Path(__file__).parent / "reference"
RECIPES = {recipes.ProductRecipe: "`aqreanalysis build --recipe FILE`",
           recipes.TrainingRecipe: "`aqreanalysis train FILE`",
           recipes.ForecastRecipe: "`aqreanalysis train FILE`, with `kind: forecast`",
           recipes.GraphRecipe: "`aqreanalysis train FILE`, with `kind: graph`"}


def write(folder: Path = FOLDER) -> None:
    """Write all pages; a file that would be the same is left as it is, so that Sphinx reads only what has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in PAGES.items():
        text = "\n".join(lines()) + "\n"
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def cell(text: object) -> str:
    """Text in a cell of a table."""
    return re.sub(r"\s+", " ", str(text)).replace("|", r"\|").replace("<", "&lt;")


def commands() -> Iterator[str]:
    """Every verb with its arguments and options, as `--help` has them."""
    import typer

    from aqreanalysis.cli.app import app

    yield from ("# Command line", "",
                "What `aqreanalysis VERB --help` prints. Exit codes: 0 done, 1 a fault of ours, 2 bad input, 130 "
                "interrupted. `--quiet` and `--json` are explained in [the terminal](../terminal.md).", "")
    for name, verb in sorted(typer.main.get_command(app).commands.items()):
        yield from (f"## {name}", "", inspect.cleandoc(verb.help or ""), "", "| | | default |", "|---|---|---|")
        for of in verb.params:
            label = of.name.upper() if of.param_type_name == "argument" else ", ".join(of.opts)
            default = "" if of.default in (None, False, ()) or callable(of.default) else of.default
            text = getattr(of, "help", None) or ""
            yield f"| `{label}` | {cell(text)} | {cell('required' if of.required else default)} |"
        yield ""


def all_recipes() -> Iterator[str]:
    """Every key of every kind of recipe."""
    yield from ("# Recipes", "", "Recipes are YAML. An unknown key is an error that lists the known ones; every key "
                "that is left out has the default of the table. Recipes that ship:", "")
    for path in sorted(files.shipped_folder("recipes").glob("*.yaml")):
        head = [line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        yield f"- `{path.stem}`: {head[0]}"
    yield ""
    for kind, command in RECIPES.items():
        text = inspect.cleandoc(kind.__doc__ or "").replace("\n", " ")
        yield from (f"## {kind.__name__}", "", f"{command}. {text}", "", "| key | default | |", "|---|---|---|")
        yield from keys(kind)
        yield ""


def keys(kind, before: str = "") -> Iterator[str]:
    """Rows of a table: the keys of a section, and of the sections in it."""
    for name, field in kind.model_fields.items():
        section = field.annotation if hasattr(field.annotation, "model_fields") else None
        if section is not None and section is not kind:
            yield f"| **`{before}{name}:`** | | {cell(field.description or '')} |"
            yield from keys(section, f"{before}{name}.")
            continue
        value = field.get_default(call_default_factory=True)
        default = "required" if field.is_required() else "" if value is None else f"`{value}`"
        yield f"| `{before}{name}` | {cell(default)} | {cell(field.description or '')} |"


def grids() -> Iterator[str]:
    """Named grids, and models that `--checkpoint` takes."""
    from aqreanalysis.grids import named_grids

    yield from ("# Grids and checkpoints", "", "## Grids", "", "`--grid` takes a resolution (`0.1deg`), one of these "
                "names, or a file: a CDO grid description, a NetCDF file with latitudes and longitudes, a GeoTIFF, or "
                "a table of points.", "", "| name | |", "|---|---|")
    for path in named_grids().values():
        comments = [line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        yield f"| `{path.stem}` | {cell(' '.join(comments))} |"
    yield from ("", "## Checkpoints", "", "`--checkpoint` takes a name, or a folder of `aqreanalysis train`. "
                "`aqreanalysis describe NAME` prints all that is known of one.", "", "| name | kind |", "|---|---|")
    for name in [*checkpoint.names(), *registry.BASELINES]:
        yield f"| `{name}` | {cell(aqreanalysis.describe_model(name).kind)} |"


def python() -> Iterator[str]:
    """The public names of the package."""
    yield from ("# Python", "", "```{eval-rst}", ".. automodule:: aqreanalysis", "   :no-members:", "```", "")
    for name in aqreanalysis.__all__:
        if name.startswith("__"):
            continue
        found = getattr(aqreanalysis, name)
        kind = "autoclass" if inspect.isclass(found) else "autofunction"
        yield from ("```{eval-rst}", f".. {kind}:: aqreanalysis.{name}", "```", "")


PAGES = {"commands.md": commands, "recipes.md": all_recipes, "grids.md": grids, "python.md": python}

if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
