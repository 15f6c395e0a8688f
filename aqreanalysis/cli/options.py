"""Options that several commands have, and what is said of one that has no use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from aqreanalysis.errors import UserError

Result = TypeVar("Result")
Product = Annotated[str, typer.Argument(help="Folder of a product, or one of its files.")]
Year = Annotated[str | None, typer.Option(help="A whole year, as 2016.")]
Start = Annotated[str | None, typer.Option(help="First day YYYY-MM-DD, UTC+8, instead of --year.")]
End = Annotated[str | None, typer.Option(help="Last day, included.")]
Observations = Annotated[
    str | None,
    typer.Option(
        help="Folder or file: national or Beijing daily files, UCI, OpenAQ, tidy Parquet/CSV, or a station archive of "
        "`ingest`. Without it: the data folder, else the built-in twin, which is simulated and says so."
    ),
]
Stations = Annotated[str | None, typer.Option(help="Station table (station_id,lon,lat), if not beside the files.")]
UtcOffset = Annotated[
    str | None,
    typer.Option(
        metavar="HOURS", help="Hours ahead of UTC (8, +8, 8:00) of stamps without an offset; UTC if it is not given."
    ),
]
Checkpoint = Annotated[str | None, typer.Option(help="Name or folder of a checkpoint.")]
AnyModel = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", help="Name or folder of a checkpoint; or kriging, regression-kriging, plain-kriging, idw, "
                        "nearest or mean."
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields",
        help="File, folder or pattern of weather, for a model that reads it: ERA5, CAMS, MERRA-2, any CF file, or "
        "tables of sites (docs/fields.md).",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Local processes, each some 0.8 GiB. Default: one for each core, at most 3.")
]
MOST_WORKERS = 3  # that are taken unasked: each has some 0.8 GiB
Scheduler = Annotated[str | None, typer.Option(help="Address of a running Dask scheduler, tcp://HOST:PORT or tls://HOST:PORT.")]


def expanded(command: Callable[..., Result]) -> Callable[..., Result]:
    """A command as Typer needs it: in the place of a parameter that is a dataclass of options are its fields."""
    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    sets = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    parameters = []
    for name, parameter in signature.parameters.items():
        if name in sets:
            of_fields = get_type_hints(sets[name], include_extras=True)
            parameters += [inspect.Parameter(field.name, parameter.kind, default=field.default,
                                             annotation=of_fields[field.name]) for field in fields(sets[name])]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def called(**given: Any) -> Result:
        made = {name: of(**{field.name: given.pop(field.name) for field in fields(of)}) for name, of in sets.items()}
        return command(**given, **made)

    vars(called)["__signature__"] = inspect.Signature(parameters, return_annotation=hints["return"])
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": hints["return"]}
    return called


def worker_count(workers: int | None, scheduler: str | None = None) -> int:
    """How many local processes are to be used, by default one for each core; UserError for both ways at once."""
    if workers is not None and scheduler is not None:
        raise UserError(f"--workers {workers} was given with --scheduler {scheduler}.",
                        "A command runs in local processes or on a Dask cluster, which has its own number of workers.",
                        "Leave one of them out.")
    from aqreanalysis.workers import available_cores

    return workers or min(available_cores(), MOST_WORKERS)


def refuse_empty(arguments: list[str]) -> None:
    """UserError for an argument without a letter, as a shell makes it of a variable that is not set."""
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        before = arguments[number - 1] if number else ""
        if not argument.strip() or (name.startswith("--") and equals and not value.strip()):
            what = name if equals else before if before.startswith("--") else "An argument"
            raise UserError(
                f"{what} is empty.",
                "A value has at least one letter.",
                "Is a variable of the shell not set, or misspelt? Leave the option out for its default.",
            )


def refuse_options(where: str, **given: object) -> None:
    """UserError for options that were given (neither None nor False) and have no use here."""
    names = ["--" + name.replace("_", "-") for name, value in given.items() if value is not None and value is not False]
    if names:
        raise UserError(
            f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} no use with {where}.",
            "An option is honoured or refused.",
            f"Leave {'it' if len(names) == 1 else 'them'} out.",
        )
