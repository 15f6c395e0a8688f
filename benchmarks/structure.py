"""Rooms, imports, lengths, docstrings and names of a checkout's package.

    python benchmarks/structure.py [ROOT]

ROOT is a checkout (default: the one of this file). A room is a direct child of the package, a module or a sub-package;
an import between rooms is an ordered pair of rooms, the first of which imports from the second anywhere, late imports
and those for type checking included. Lines of a body are counted from its first statement after the docstring to its
last. A name is a function, class or constant of a module's top level, private ones too; names that begin with two
underscores are left out. Standard library only; the same checkout gives the same text.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

PACKAGE = "aqreanalysis"
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
Module = tuple[Path, ast.Module]


def modules(root: Path) -> list[Module]:
    """Path within the package and syntax tree of every module, in the order of their names."""
    folder = root / PACKAGE
    paths = sorted(folder.rglob("*.py"))
    if not paths:
        raise SystemExit(f"{folder} holds no modules: ROOT is a checkout of {PACKAGE}.")
    return [(path.relative_to(folder), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def room_of(path: Path) -> str:
    """The room of a module; the package's own `__init__` is none and gives its name."""
    return path.parts[0].removesuffix(".py")


def imports(path: Path, tree: ast.Module, rooms: set[str]) -> Iterator[str]:
    """Rooms that a module names in its imports, absolute or relative."""
    own = (PACKAGE, *path.parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(own[:len(own) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            found = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from (parts[1] for parts in found if parts[0] == PACKAGE and len(parts) > 1 and parts[1] in rooms)


def body_lines(function: ast.AST) -> int:
    """Lines of a function's body without its docstring; 0 where there is nothing else."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTION))


def public(tree: ast.AST) -> Iterator[ast.AST]:
    """Public functions and classes of a module, and public methods of the latter."""
    for node in tree.body:
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def names(tree: ast.Module) -> dict[str, bool]:
    """What a module defines at its top level; True for a function or class, False for a constant."""
    found = {}
    for node in tree.body:
        if isinstance(node, (*FUNCTION, ast.ClassDef)):
            found[node.name] = True
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {part.id: False for target in targets for part in ast.walk(target)
                      if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return {name: callable_ for name, callable_ in found.items() if not name.startswith("__")}


def shared(package: list[Module], every: bool) -> tuple[int, int, float]:
    """Distinct names, how many are of several modules, and in %; of all, or of public functions and classes."""
    count = Counter(name for _, tree in package for name, callable_ in names(tree).items()
                    if every or (callable_ and not name.startswith("_")))
    several = sum(number > 1 for number in count.values())
    return len(count), several, 100 * several / max(len(count), 1)


def report(root: Path) -> Iterator[str]:
    """The lines that are printed."""
    package = modules(root)
    rooms = {room_of(path) for path, _ in package} - {"__init__"}
    arrows = {(room_of(path), to) for path, tree in package for to in imports(path, tree, rooms)}
    between = {(one, other) for one, other in arrows if one != other and one != "__init__"}
    lengths = sorted((body_lines(node), f"{path}:{node.name}") for path, tree in package for node in functions(tree))
    files = sorted((len((root / PACKAGE / path).read_text(encoding="utf-8").splitlines()), str(path))
                   for path, _ in package)
    documented = [ast.get_docstring(node) is not None for _, tree in package for node in public(tree)]
    yield f"rooms {len(rooms)}, imports between rooms {len(between)}, modules {len(package)}"
    yield (f"functions {len(lengths)}: lines of body, median {median(lines for lines, _ in lengths):g}, "
           f"90th percentile {lengths[max(-(-9 * len(lengths) // 10) - 1, 0)][0]}")
    yield (f"public functions, classes and methods {len(documented)}, "
           f"with docstring {100 * sum(documented) / max(len(documented), 1):.1f} %")
    for what, every in (("names, private ones and constants too", True), ("public functions and classes", False)):
        yield "{}: {} distinct, defined in more than one module {}, {:.1f} %".format(what, *shared(package, every))
    yield f"longest file {files[-1][1]}, {files[-1][0]} lines"
    yield f"longest function {lengths[-1][1]}, {lengths[-1][0]} lines"


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)))
