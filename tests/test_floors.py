"""The house: floors, sizes, late imports. A module imports only from floors below its own."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aqreanalysis

PACKAGE = Path(aqreanalysis.__file__).parent
ROOT = "aqreanalysis"

# From the ground up. A name with "/" is a sub-package: its modules may import each other, without cycles;
# modules that stand beside each other on a floor may not. "aqreanalysis" is the package's own __init__.
FLOORS = [
    ("ground: words and numbers", ("aqreanalysis", "errors", "schema", "geo", "resources", "cuts")),
    ("ground: hours, lines, files", ("clock", "boundaries", "reference_state", "disk")),
    ("data: one table, one cube", ("stations", "quality/", "features")),
    ("data: archives, grids", ("readers/", "grids/")),
    ("data: the twin, a look at archives", ("simulation/", "checks")),
    ("models", ("models/",)),
    ("work: support, training", ("uncertainty", "training", "forecasting/")),
    ("work: analysis", ("analysis",)),
    ("results: files, scores, figures", ("output/", "evaluation/", "figures/")),
    ("product: recipe, folder, workers, screen", ("recipe", "product", "execution", "console")),
    ("product: one month", ("month",)),
    ("product: the plan, calibration of a network", ("plan", "calibrate")),
    ("product: report, a training run", ("report", "train")),
    ("product: one module or package a verb",
     ("build", "describe/", "draw", "evaluate", "fetch/", "forecasts/", "ingest/", "simulate")),
    ("product: the command line", ("cli",)),
    ("product: python -m aqreanalysis", ("__main__",)),
]
FLOOR = {unit: number for number, (_, units) in enumerate(FLOORS) for unit in units}

MAX_LINES, MAX_BODY = 300, 45
LATE = {"torch", "cartopy", "geopandas", "matplotlib"}  # slow to import; `--help` is instant
# Torch in, torch out; they are themselves imported late.
NETS = ("models.nets", "models.forecast.nets")


def name_of(file):
    """`models.nets` for aqreanalysis/models/nets.py; a package's __init__ has the package's name."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or ROOT


FILES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in FILES.items()}


def unit_of(name):
    """The name's entry in FLOORS: its sub-package, if it is in one."""
    return f"{name.split('.')[0]}/" if f"{name.split('.')[0]}/" in FLOOR else name


def imported_modules(tree):
    """Modules of the package that a tree imports anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [f if f.removeprefix(f"{ROOT}.") in FILES else node.module for f in found]
        else:
            continue
        yield from (f.removeprefix(f"{ROOT}.") for f in found if f == ROOT or f.startswith(f"{ROOT}."))


IMPORTS = {name: sorted(set(imported_modules(tree)) - {name}) for name, tree in TREES.items()}


def test_the_walk_sees_imports_at_the_top_and_inside_functions():
    tree = ast.parse("import aqreanalysis.geo\nfrom aqreanalysis import clock, __version__\nimport numpy\n"
                     "def f():\n    from aqreanalysis.readers import cnemc, READERS\n")
    assert set(imported_modules(tree)) == {"geo", "clock", ROOT, "readers.cnemc", "readers"}
    assert sum(map(len, IMPORTS.values())) > 50


def test_every_module_stands_on_one_floor():
    listed = [unit for _, units in FLOORS for unit in units]
    assert len(listed) == len(set(listed))
    assert {unit_of(name) for name in FILES} == set(listed)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down(name):
    own = unit_of(name)
    wrong = [other for other in IMPORTS[name]
             if unit_of(other) != own and FLOOR[unit_of(other)] >= FLOOR[own]]
    assert not wrong, f"{name}, floor {FLOORS[FLOOR[own]][0]!r}, imports {', '.join(wrong)} of its own floor or above"


def test_there_is_no_cycle():
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError


def test_imports_are_absolute():
    relative = [name for name, tree in TREES.items() for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.level]
    assert not relative


def test_no_drawer():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert not [name for name in FILES if drawers & set(name.split("."))]


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_too_long(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def body_lines(function):
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("name", FILES)
def test_no_function_is_too_long(name):
    long = {node.name: body_lines(node) for node in ast.walk(TREES[name])
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_BODY}
    assert not long


def imported_at_once(node):
    """Top names that are imported when the module is: everything outside functions and TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield (child.module or "").split(".")[0]
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imported_at_once(child)


def test_slow_packages_are_imported_late():
    early = {name: sorted(LATE & set(imported_at_once(tree))) for name, tree in TREES.items()
             if not name.startswith(NETS)}
    assert not {name: found for name, found in early.items() if found}


def top_level_modules(tree):
    outer = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imported_modules(ast.Module(outer, [])))


def test_nothing_imports_the_networks_at_once():
    assert not [name for name, tree in TREES.items() if not name.startswith(NETS)
                and any(module.startswith(NETS) for module in top_level_modules(tree))]
