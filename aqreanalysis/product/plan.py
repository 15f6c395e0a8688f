"""What a build will do, checked before it starts: every error that input can cause is found here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from aqreanalysis import __version__, files, recipes, schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.grids import Grid, check_inside, parse_grid
from aqreanalysis.models import registry, uncertainty
from aqreanalysis.models.registry import ModelDescription
from aqreanalysis.observations.coverage import Coverage
from aqreanalysis.observations.inventory import Inventory, check_usable, take_inventory
from aqreanalysis.observations.quality import FLAG_REACH_HOURS
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.observations.readers.archive import Inspection, ReadingOptions, none_good
from aqreanalysis.output import FORMATS
from aqreanalysis.output.cf import About, Contact
from aqreanalysis.product.folder import ProductFolder, check_identity
from aqreanalysis.product.model_fields import ModelFields, check_fields_of, choose_fields
from aqreanalysis.product.month import Job, Source
from aqreanalysis.product.versions import installed_versions
from aqreanalysis.time_axis import HOUR, HOURS_PER_DAY, Period

DEFAULT_RECIPE = "northern-china"
BYTES_PER_CELL_HOUR = 7.0  # of a finished product, with room to spare; a truth beside it included


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for; None is the recipe's or the default."""

    year: str | None = None
    start: str | None = None
    end: str | None = None
    grid: str | None = None
    observations: str | None = None
    stations: str | None = None
    recipe: str | None = None
    checkpoint: str | None = None
    neighbours: int | None = None
    out: str | None = None
    workers: int = 1
    scheduler: str | None = None
    minimum_hours: int | None = None
    format: str = "netcdf"
    utc_offset: str | float | None = None   # hours ahead of UTC of stamps without an offset of their own
    calibration: str | None = None          # product or checkpoint: where its factors of errors come from
    fields: str | None = None               # where the model's fields are


@dataclass(frozen=True)
class Plan:
    """A checked request."""

    period: Period
    grid: Grid
    folder: ProductFolder
    about: About
    identity: dict           # what a folder must agree in to be gone on with
    facts: dict              # what is worth knowing besides
    inventory: Inventory     # what of the observations is used, and what is not
    far_share: float         # of the grid, farther from any station than grids.check_inside allows to trust
    job: Job                 # what its months have in common
    calibration: str = recipes.PRODUCT_CALIBRATION  # whose factors of errors


def prepare(request: BuildRequest) -> Plan:
    """Check everything; raises UserError and leaves nothing behind."""
    if request.format not in FORMATS:
        raise UserError(f"--format {request.format} is unknown.", f"Formats are {' and '.join(FORMATS)}.",
                        "Leave it out for NetCDF.")
    recipe = _recipe(request)
    period = time_axis.parse_period(request.year, request.start, request.end)
    grid = parse_grid(recipe.grid)
    model = registry.describe_model(recipe.checkpoint, recipe.neighbours)
    source, archive, passed_over = find_observations(recipe, period)
    parts = tuple(archive.parts()) if source.files else ()
    inspection = inspect(archive, source, period, model)
    inspection.passed_over.extend(passed_over)
    inspection.anomalies.extend(registry.check_covariates(recipe.checkpoint, grid.name, grid.lat, grid.lon))
    fields = _fields(recipe, model, source, archive, period, grid, inspection)
    inventory = take_inventory(archive, period.hours[0], period.hours[-1], inspection, recipe.minimum_hours,
                               measured=source.files is not None)
    check_usable(archive, inventory, source.name, recipe.quality)
    far_share = check_inside(grid, archive.stations.lat.to_numpy(), archive.stations.lon.to_numpy())
    identity = {"product": recipe.name, "period": period.label, "grid": f"{grid.name} {grid.fingerprint}",
                "observations": inspection.fingerprint, "simulated": archive.simulated,
                "checkpoint": model.identity, "neighbours": model.neighbours, "calibration": recipe.calibration,
                "minimum_hours": recipe.minimum_hours, "minimum_station_hours": recipe.minimum_station_hours,
                "quality": recipe.quality.changes,
                "format": request.format, "aqreanalysis": __version__}
    identity |= _chosen(recipe, source, fields)
    folder = ProductFolder(_out(request, recipe, period, grid, archive.simulated), archive.simulated, period,
                           source.files is None, request.format)
    check_identity(folder.path, identity)
    _check_space(folder.path, grid.size * len(period.hours))
    about = describe(recipe, period, grid, archive, model, inventory.coverage, fields)
    job = Job(source, registry.portable_name(recipe.checkpoint), model, grid, folder, about, recipe.neighbours,
              recipe.minimum_hours, recipe.minimum_station_hours, installed_versions(), recipe.quality,
              parts=parts, fields=fields)
    facts = {"recipe": recipe.model_dump(), "observations": source.name,
             **({"fields": fields.choice.name, "fields_hash": fields.fingerprint} if fields else {}),
             "stations_without_coordinates": archive.stations.attrs.get("without_coordinates", []),
             **inventory.facts(), "versions": job.versions}
    return Plan(period, grid, folder, about, identity, facts, inventory, far_share, job, recipe.calibration)


def _recipe(request: BuildRequest) -> recipes.ProductRecipe:
    """The recipe with what the command line says instead."""
    recipe = recipes.load_recipe(request.recipe or DEFAULT_RECIPE, recipes.ProductRecipe)
    told = {name: getattr(request, name) for name in (
        "grid", "observations", "stations", "checkpoint", "neighbours", "minimum_hours", "calibration",
        "fields")}
    told["utc_offset"] = time_axis.parse_utc_offset(request.utc_offset)
    changed = recipe.model_dump() | {name: value for name, value in told.items() if value is not None}
    if changed["neighbours"] is not None and not 4 <= changed["neighbours"] <= 64:
        raise UserError(f"--neighbours {changed['neighbours']} is out of range.",
                        "The neural kNN takes 4 to 64 neighbours.", "Leave it out for the checkpoint's own.")
    if not 1 <= changed["minimum_hours"] <= HOURS_PER_DAY:
        raise UserError(f"--minimum-hours {changed['minimum_hours']} is out of range.",
                        "A valid day has 1 to 24 hours.", "Leave it out for the recipe's, 20 if it says nothing.")
    if changed["calibration"] not in recipes.CALIBRATIONS:
        raise UserError(f"--calibration {changed['calibration']} is unknown.",
                        f"Factors of errors are those of {' or '.join(recipes.CALIBRATIONS)}.",
                        "Leave it out for the product's own.")
    return recipes.ProductRecipe(**changed)


def find_observations(recipe: recipes.ProductRecipe, period: Period):
    """The source and its archive: the recipe's or command line's, else the data folder's, else the twin.

    Third, a sentence for each place in the data folder that can't be used: nobody should get the twin and not know.
    """
    if recipe.observations:
        source = Source(ObservationFiles.of(recipe.observations, recipe.stations, recipe.utc_offset))
        return source, source.open(), []
    passed_over = []
    for path in _candidates(files.data_folder()):
        source = Source(ObservationFiles.of(path, recipe.stations, recipe.utc_offset))
        try:
            archive = source.open()
        except UserError as error:
            passed_over.append(f"{path}: {error}")
            continue
        first, last = archive.period()
        if first <= period.hours[-1] and last >= period.hours[0]:
            return source, archive, passed_over
    ReadingOptions(Path(recipe.stations) if recipe.stations else None, recipe.utc_offset).refuse(
        "the built-in twin, for no observations of the period were found", station_table="It has its own stations.",
        utc_offset="Its stamps are UTC.")
    source = Source(None, recipe.twin_seed)
    return source, source.open(), passed_over


def _candidates(folder: Path) -> list[Path]:
    """Where observations may lie in the data folder: station archives, then folders, then loose files."""
    if not folder.is_dir():
        return []
    return [*sorted(folder.glob("*.nc")), *sorted(p for p in folder.iterdir() if p.is_dir()), folder]


def inspect(archive, source: Source, period: Period, model: ModelDescription) -> Inspection:
    """A look into every file that the product will read; an error if the period has no PM2.5 value.

    The margins before and after the period are read too, so their files are part of the fingerprint.
    """
    hours = period.hours
    found = archive.inspect(hours[0], hours[-1])
    if not found.values:
        raise none_good(found, source.name, f"{period.first} to {period.last}")
    before, after = ((reach + FLAG_REACH_HOURS) * HOUR for reach in (model.history, model.future))
    for first, last in ((hours[0] - before, hours[0] - HOUR), (hours[-1] + HOUR, hours[-1] + after)):
        found.take_in(archive.inspect(first, last))
    return found


def _out(request: BuildRequest, recipe, period: Period, grid: Grid, simulated: bool) -> Path:
    if request.out:
        return files.folder_named(request.out).absolute()  # workers may stand in another folder
    return Path("products").absolute() / f"{recipe.name}_{period.label}_{grid.name}{'_simulated' if simulated else ''}"


def _check_space(path: Path, cell_hours: int) -> None:
    existing = next(p for p in (path, *path.absolute().parents) if p.exists())
    need, free = cell_hours * BYTES_PER_CELL_HOUR, shutil.disk_usage(existing).free
    have = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else 0
    if need - have > free:
        files.check_takes_files(path)
        raise UserError(f"{existing} has {free / 1e9:.2f} GB free; the product takes up to {need / 1e9:.2f} GB.",
                        "A product is not started that can't be finished.",
                        "Free some space or give another folder with --out.")


def describe(recipe: recipes.ProductRecipe, period: Period, grid: Grid, archive, model: ModelDescription,
             coverage: Coverage | None, fields: ModelFields | None = None) -> About:
    """What the files will say of themselves; nothing from the clock, so that bytes can be compared."""
    trained = " trained on SIMULATED observations" if model.simulated else ""
    neighbours = f"{model.neighbours} neighbours" if model.neighbours else "all stations"
    state = (schema.NO_REFERENCE_STATE if archive.simulated
             else schema.reference_state(period.first, period.last))
    return About(
        product=recipe.name, grid_name=grid.name, period=period.label, simulated=archive.simulated,
        observations=f"{archive.source}.", model=f"{model.name} ({model.kind}{trained}), {neighbours}",
        model_reference=model.reference, reference_state=state, created=model.created,
        software_version=__version__,
        history=f"aqreanalysis {__version__} build: {recipe.name}, {period.label}, {grid.name}",
        quality=f"{uncertainty.CLASSES}.", daily_quality=uncertainty.DAILY_CLASSES,
        standard_error=model.standard_error, bounds=model.bounds,
        calibrated_on=registry.calibrated_on(recipe.checkpoint), errors=registry.correlated_errors(recipe.checkpoint),
        neighbours=model.neighbours, minimum_hours=recipe.minimum_hours, contact=recipe.contact,
        hours=(coverage.hours_observed, coverage.hours) if coverage else None,
        fields=fields.in_words if fields else "", fields_flag=bool(fields and fields.optional))


def _chosen(recipe: recipes.ProductRecipe, source: Source, fields: ModelFields | None) -> dict:
    """Of the identity, what only products have for which it was chosen."""
    found: dict = {}
    if recipe.contact != Contact():  # its words stand in files that are finished
        found["contact"] = recipe.contact.model_dump_json(exclude_none=True)
    if fields:
        found["fields"] = fields.fingerprint
    if source.files and source.files.utc_offset is not None:
        found["utc_offset"] = source.files.utc_offset
    return found


def _fields(recipe: recipes.ProductRecipe, model: ModelDescription, source: Source, archive, period: Period, grid: Grid,
            inspection: Inspection) -> ModelFields | None:
    """The fields that the model reads, checked; what is to be told of them goes into `inspection`."""
    choice = choose_fields(recipe.fields, model, None if source.files else source.twin_seed)
    if choice is None:
        inspection.notes.extend([f"{model.name} goes on without the fields that it can read"] * bool(model.fields))
        return None
    made, notes = check_fields_of(choice, model, period, (grid.lat, grid.lon),
                                  (archive.stations.lat.to_numpy(), archive.stations.lon.to_numpy()), archive.simulated)
    inspection.notes.extend(notes)
    return made

