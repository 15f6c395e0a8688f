"""What every verb that writes files has: `--quiet`, `--json`, and a summary at its end.

A verb returns what it `Made`; `with_summary` gives it the options and shows what it returned. With --json all else
that the verb says goes to standard error, with --quiet it is not said.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from aqreanalysis import __version__
from aqreanalysis.cli.made import Made

LISTED = 40  # files that are named one by one; of more the number is shown
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings and errors, on standard error.")]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="At the end one JSON object on standard output: files, sizes, own scores, warnings, "
                                "seconds. All else goes to standard error."),
]


def with_summary(verb: Callable[..., Made]) -> Callable[..., None]:
    """The verb with the options --quiet and --json, and with a summary of what it made."""

    @functools.wraps(verb)
    def run(*, quiet: bool, as_json: bool, **given: Any) -> None:
        began = time.monotonic()
        with _saying(quiet, as_json):
            made = verb(**given)
            show(made, time.monotonic() - began)
        if as_json:
            name = verb.__name__.removesuffix("_command")
            print(as_text(name, made, time.monotonic() - began), file=sys.stdout)

    whole = inspect.signature(verb, eval_str=True)
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=of)
            for name, of in (("quiet", Quiet), ("as_json", AsJson))]
    parameters = [*whole.parameters.values(), *more]
    vars(run)["__signature__"] = whole.replace(parameters=parameters)
    run.__annotations__ = {of.name: of.annotation for of in parameters}
    return run


@contextlib.contextmanager
def _saying(quiet: bool, as_json: bool) -> Iterator[None]:
    """Where the console leads to in the block, and that nothing was told before it."""
    from aqreanalysis.cli import console

    before = console.OUT.quiet, console.OUT.stderr
    console.OUT.quiet, console.OUT.stderr = quiet, as_json
    console.TOLD.clear()
    try:
        yield
    finally:
        console.OUT.quiet, console.OUT.stderr = before


def show(made: Made, seconds: float) -> None:
    """The end of a verb: own scores, warnings, files, sizes."""
    from aqreanalysis.cli import console

    if console.OUT.quiet:  # the warnings were told
        return
    sizes = made.files()
    alone = [path for path in made.paths if path in sizes]
    for path in alone if len(alone) <= LISTED else []:
        console.say(f"written: {path} ({size_in_words(sizes[path])})")
    if made.scores_in_words:
        console.line("scores", made.scores_in_words)
    console.repeat_warnings(seconds)
    folders = sorted({str(path.parent) if path in sizes else str(path) for path in made.paths})
    console.say(f"done in {seconds:.0f} s: {console.counted(len(sizes), 'file')}, "
                f"{size_in_words(sum(sizes.values()))}" + (f" in {', '.join(folders)}" if sizes else "")
                + (f"; open {made.open_first}" if made.open_first else ""))


def as_text(verb: str, made: Made, seconds: float) -> str:
    """The JSON object of --json, in ASCII: what a locale lacks can't break it. A number that is not known is null."""
    from aqreanalysis.cli import console

    sizes = made.files()
    return json.dumps({
        "verb": verb, "version": __version__, "seconds": round(seconds, 1),
        "files": [{"path": str(path), "bytes": size} for path, size in sizes.items()], "bytes": sum(sizes.values()),
        "open_first": str(made.open_first) if made.open_first else None,
        "scores": [_known(row) for row in made.scores], **_known(made.facts),
        "warnings": console.TOLD.warnings, "notes": console.TOLD.notes}, indent=1, allow_nan=False)


def _known(row: Any) -> dict[str, Any]:
    values = {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
    return {name: value if value == value else None for name, value in values.items()}


def size_in_words(size: int) -> str:
    """`1.2 MB`; below 1 kB in bytes."""
    for unit, name in SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
