"""Steps of a product as GeoTIFFs, a band a step: a file for each variable, and a year of days or a month of hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aqreanalysis import periods
from aqreanalysis.output.cf import HOURS_USED, OBSERVATIONS, QUALITY_FLAG
from aqreanalysis.output.encoding import tiles
from aqreanalysis.output.raster import CLASSES, PACKED, Band, BandStyle, Pixels, RasterWriter, pixels_of, says_the_same
from aqreanalysis.schema import QUALITY, UNITS
from aqreanalysis.workflows.export.cells import Chosen
from aqreanalysis.workflows.export.means import DAYS_USED
from aqreanalysis.workflows.export.steps import Steps, in_words, read_steps

COUNTS = (OBSERVATIONS, HOURS_USED, DAYS_USED)
NAMES = {"pm25": "PM2.5", "pm25_standard_error": "standard error of PM2.5", "pm25_lower": "lower bound of PM2.5",
         "pm25_upper": "upper bound of PM2.5"}


@dataclass(frozen=True, eq=False)
class RasterFile:
    """Files of some of the steps: a path for the variables whose bands it has, one after the other in each step."""

    paths: dict[tuple[str, ...], Path]
    steps: Steps


@dataclass(frozen=True, eq=False)
class RasterJob:
    """What all files have in common."""

    chosen: Chosen
    tags: dict[str, str]
    scale: float | None
    layout: str


def raster_files(steps: Steps, variables: Sequence[tuple[str, ...]], to: Path) -> list[RasterFile]:
    """The files that steps make: hours are cut at months and days at years, where there are several of them.

    `variables` : those of each file.
    """
    unit = {periods.HOURLY_PERIOD: "M", "day": "Y"}.get(steps.every)
    groups = steps.days.astype(f"datetime64[{unit}]") if unit else np.zeros(len(steps.ends), int)
    firsts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1), len(groups)]
    found = []
    for first, stop in zip(firsts[:-1], firsts[1:], strict=True):
        label = f"_{groups[first]}".replace("-", "") if len(firsts) > 2 else ""
        paths = {names: to.with_name(f"{to.stem}{f'_{names[0]}' if len(variables) > 1 else ''}{label}{to.suffix}")
                 for names in variables}
        found.append(RasterFile(paths, steps.of(int(first), int(stop))))
    return found


def write_rasters(job: RasterJob, wanted: RasterFile) -> list[tuple[Path, bool]]:
    """Write the files of some steps; those that are there with the same tags and bands are kept.

    Returns paths, and whether each was written.
    """
    steps, chosen = wanted.steps, job.chosen
    pixels = cropped(pixels_of(steps.grid, str(steps.product.path)), chosen)
    bands = {names: [band for each in zip(*(bands_of(steps, name) for name in names), strict=True) for band in each]
             for names in wanted.paths}
    tags = {names: job.tags | {"period": in_words(steps)} | variable_tags(steps, names) for names in wanted.paths}
    styles = {names: style_of(steps, names[0], job.scale) for names in wanted.paths}
    kept = {names for names, path in wanted.paths.items()
            if says_the_same(path, pixels, bands[names], styles[names], tags[names], job.layout)}
    if left := [names for names in wanted.paths if names not in kept]:
        with ExitStack() as stack:
            writers = {names: stack.enter_context(RasterWriter(
                wanted.paths[names], pixels, bands[names], styles[names], tags[names], job.layout)) for names in left}
            _fill(writers, steps, chosen)
    return [(path, names not in kept) for names, path in wanted.paths.items()]


def _fill(writers: dict[tuple[str, ...], RasterWriter], steps: Steps, chosen: Chosen) -> None:
    height, width = steps.grid.shape
    south, north, _ = chosen.rows.indices(height)
    points = [slice(max(tile.start, south * width), min(tile.stop, north * width)) for tile in tiles(steps.grid)]
    wanted = list(dict.fromkeys(name for names in writers for name in names))
    for block in read_steps(steps, wanted, [some for some in points if some.start < some.stop]):
        rows = slice(block.points.start // width - south, block.points.stop // width - south)
        for names, writer in writers.items():
            values = np.stack([block.arrays[name] for name in names], axis=1)
            values = values.reshape(values.shape[0] * len(names), -1, width)
            writer.write(block.first * len(names), rows, values[:, :, chosen.columns])


def cropped(pixels: Pixels, chosen: Chosen) -> Pixels:
    """The pixels of a block of rows, from the south, and columns."""
    south, north, _ = chosen.rows.indices(pixels.shape[0])
    west, east, _ = chosen.columns.indices(pixels.shape[1])
    return Pixels(round(pixels.west + west * pixels.width, 12),
                  round(pixels.north - (pixels.shape[0] - north) * pixels.height, 12), pixels.width, pixels.height,
                  (north - south, east - west))


def style_of(steps: Steps, name: str, scale: float | None) -> BandStyle:
    """Classes as bytes, counts as whole numbers, estimates as float32 or, with a scale, as whole numbers."""
    if name == QUALITY_FLAG:
        return BandStyle(CLASSES, "1")
    if name in COUNTS:
        return BandStyle(PACKED, "1")
    units = str(steps.attributes[name].get("units", UNITS["pm25"]))
    return BandStyle(np.dtype(np.float32), units) if scale is None else BandStyle(PACKED, units, scale)


def bands_of(steps: Steps, name: str) -> Iterator[Band]:
    """A band for each step: its variable and period in words; when it begins and ends."""
    words = NAMES.get(name, name.replace("_", " "))
    mark = "SIMULATED " if steps.product.simulated else ""
    what = "hour to " if steps.every == periods.HOURLY_PERIOD else ""
    for label, begin, end in zip(steps.labels, steps.begins, steps.ends, strict=True):
        yield Band(f"{mark}{words} {what}{label}", {"time_begin": f"{begin}:00Z", "time_end": f"{end}:00Z"})


def variable_tags(steps: Steps, names: Sequence[str]) -> dict[str, str]:
    """What the cube says of the first variable of a file, and which there are."""
    name = names[0]
    found = {key: str(steps.attributes[name][key]) for key in ("long_name", "standard_name", "units", "comment")
             if key in steps.attributes[name]}
    if name == QUALITY_FLAG:
        found["classes"] = ", ".join(f"{number}: {word}" for number, word in enumerate(QUALITY))
    return found | {"variable": " ".join(names)}
