"""The house: floors, no cycles, sizes, late imports. The floors themselves stand in pyproject.toml (import-linter)."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from importlinter import cli

PACKAGE = Path(__file__).resolve().parents[1] / "aqreanalysis"
FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}

MAX_LINES, MAX_BODY = 450, 40
LATE = ("torch", "cartopy", "geopandas", "matplotlib", "scipy.stats")  # slow to import; `--help` is instant
# Networks: torch in, torch out. They may import torch at once, since nothing imports them at once.
NETWORKS = ("models/aqnet/network.py", "models/aqnet/forecast.py", "models/aqnet/knn.py", "models/forecast/dlinear.py",
            "models/forecast/known.py", "models/forecast/linear.py", "models/forecast/lstm.py",
            "models/forecast/patchtst.py", "models/forecast/window.py", "models/graph/ignnk.py",
            "models/graph/links.py", "models/graph/spin.py",
            "models/graph/stgcn.py")


@cache
def trees():
    """The syntax of every file, by name."""
    return {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def test_imports_go_downwards(monkeypatch):
    monkeypatch.chdir(PACKAGE.parent)
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS, "run `lint-imports`: it names each import"


def test_there_is_no_cycle():
    graph = grimp.build_graph("aqreanalysis", cache_dir=None, exclude_type_checking_imports=True)
    assert graph.count_imports() > 300
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError


def body_lines(function):
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_files_and_functions_are_short():
    long = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in FILES.items()}
    long = {name: lines for name, lines in long.items() if lines > MAX_LINES}
    long |= {f"{name}:{node.name}": body_lines(node) for name, tree in trees().items() for node in ast.walk(tree)
             if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_BODY}
    assert not long


def imported_at_once(node):
    """Modules that are imported when this one is: everything outside functions and TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported_at_once(child)


@pytest.mark.parametrize("what, wanted", [
    ("slow packages", lambda module: f"{module}.".startswith(tuple(f"{name}." for name in LATE))),
    ("networks", lambda module: module.startswith(tuple(
        f"aqreanalysis.{name.removesuffix('.py').replace('/', '.')}" for name in NETWORKS)))])
def test_what_is_slow_is_imported_late(what, wanted):
    early = {name: sorted(filter(wanted, imported_at_once(tree))) for name, tree in trees().items()
             if name not in NETWORKS}
    assert not {name: found for name, found in early.items() if found}, what


def test_no_drawer():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert not [name for name in FILES if drawers & set(name.removesuffix(".py").split("/"))]
