"""Extent of a file in space and time, as ACDD-1.3 global attributes."""

from __future__ import annotations

import numpy as np

from aqreanalysis.schema import LAT, LON

# Nominal; HJ 664-2013 wants the inlets of automatic stations 3 to 20 m above the ground.
INLET_HEIGHT_M = 10.0


def extent(grid, stamps: np.ndarray, frequency) -> dict:
    """Extent in space and time; ACDD wants the coordinate values themselves, not the edges.

    `frequency` has hours and resolution of a step.
    """
    def iso(stamp):
        return f"{np.datetime64(stamp, 's')}Z"
    hours = len(stamps) * frequency.hours
    attributes = {
        "time_coverage_start": iso(stamps[0]), "time_coverage_end": iso(stamps[-1]),
        "time_coverage_duration": f"P{hours // 24}D" if hours % 24 == 0 else f"PT{hours}H",
        "time_coverage_resolution": frequency.resolution,
        "geospatial_bounds": _outline(grid), "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_bounds_vertical_crs": "height above the ground",
        "geospatial_vertical_min": INLET_HEIGHT_M, "geospatial_vertical_max": INLET_HEIGHT_M,
        "geospatial_vertical_units": "m", "geospatial_vertical_positive": "up",
        "geospatial_vertical_resolution": "one level",
    }
    for name, values, units in ((LAT, grid.lat, "degrees_north"), (LON, grid.lon, "degrees_east")):
        attributes |= {f"geospatial_{name}_min": float(values.min()),
                       f"geospatial_{name}_max": float(values.max()),
                       f"geospatial_{name}_units": units,
                       f"geospatial_{name}_resolution": _resolution(grid, name)}
    return attributes


def _outline(grid) -> str:
    """WKT of the rectangle of all positions, in the axis order of EPSG:4326 (latitude first)."""
    import shapely

    corners = shapely.MultiPoint([(float(grid.lat.min()), float(grid.lon.min())),
                                  (float(grid.lat.max()), float(grid.lon.max()))])
    return shapely.to_wkt(corners.envelope, rounding_precision=6)


def _resolution(grid, name: str) -> str:
    if grid.kind != "regular":
        return "not uniform"
    steps = np.diff(grid.axis_lat if name == LAT else grid.axis_lon)
    if steps.size == 0 or np.ptp(steps) > 1e-6:
        return "not uniform"
    return f"{steps.mean():.6g} degree"
