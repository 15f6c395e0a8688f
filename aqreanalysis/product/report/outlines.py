"""Coast, borders and provinces of the part of the world that a grid covers, as paths of an SVG in degrees."""

from __future__ import annotations

import shapely

from aqreanalysis.grids import Grid, boundaries

PAD_SHARE, LEAST_PAD = 0.02, 0.1   # round the cells: of the larger side, and degrees
DETAIL = 1 / 800                   # of the larger side: finer bends are left out
DECIMALS = 3


def frame_of(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east and north of what the map shows, degrees."""
    corners = grid.corners()
    lat, lon = corners if corners is not None else (grid.lat, grid.lon)
    west, south, east, north = float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())
    pad = max(LEAST_PAD, PAD_SHARE * max(east - west, north - south)) if corners is None else 0.0
    return west - pad, south - pad, east + pad, north + pad


def outlines(grid: Grid) -> dict[str, object]:
    """`frame` (west, south, east, north), and by kind of line the paths: x is the longitude, y minus the latitude."""
    frame = frame_of(grid)
    detail = DETAIL * max(frame[2] - frame[0], frame[3] - frame[1])
    box = shapely.box(*frame)
    lines = {name: _path(shapely.intersection(shapely.simplify(shape, detail), box))
             for name, shape in boundaries.lines().items()}
    return {"frame": [round(edge, DECIMALS + 2) for edge in frame], **lines,
            "land": _rings(shapely.intersection(shapely.simplify(boundaries.land(), detail), box))}


def _path(shape: shapely.Geometry) -> str:
    return "".join(_polyline(part) for part in shapely.get_parts(shape) if part.geom_type == "LineString")


def _rings(shape: shapely.Geometry) -> str:
    return "".join(_polyline(ring) + "Z" for part in shapely.get_parts(shape) if part.geom_type == "Polygon"
                   for ring in (part.exterior, *part.interiors))


def _polyline(line: shapely.Geometry) -> str:
    x, y = shapely.get_coordinates(line).round(DECIMALS).T
    return "" if not len(x) else "M" + "L".join(f"{a:g} {-b:g}" for a, b in zip(x, y, strict=True))
