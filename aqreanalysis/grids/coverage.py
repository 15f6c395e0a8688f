"""Which share of each cell lies in an area: exact partial cells, and the sizes of cells and areas on the sphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy import sparse

from aqreanalysis.errors import UserError, first_few
from aqreanalysis.geo import EARTH_RADIUS_KM
from aqreanalysis.grids import Grid
from aqreanalysis.grids.areas import Areas

UNIFORM = 1e-6       # of a step, by which an axis may miss equal steps
EDGE_DEGREES = 0.05  # of an outline, that is straight in degrees, between points where its size is taken
LEAST_SHARE = 1e-9   # of a cell
WHOLE = 0.99         # share of an area from which on it counts as inside the grid


@dataclass(frozen=True, eq=False)
class Coverage:
    """Areas on the cells of a grid."""

    share: sparse.csr_array   # (areas, cells): the part of each cell that lies in an area, 0 to 1
    cell_km2: np.ndarray      # (cells,)
    area_km2: np.ndarray      # (areas,), also of what lies outside the grid

    @property
    def weights(self) -> sparse.csr_array:
        """km2 of each cell in each area (areas, cells)."""
        return sparse.csr_array(self.share.multiply(self.cell_km2[None, :]))

    @property
    def inside(self) -> np.ndarray:
        """The share of each area that lies on the grid (areas,)."""
        return np.minimum(np.asarray(self.weights.sum(axis=1)).ravel() / np.maximum(self.area_km2, 1e-12), 1.0)

    def notes(self, areas: Areas) -> list[str]:
        """Sentences on areas that lie outside the grid, partly or wholly, or are smaller than a cell."""
        inside = self.inside
        cells = np.diff(self.share.indptr)
        least = np.array([self.cell_km2[self.share.indices[a:b]].min() if b > a else 0.0
                          for a, b in zip(self.share.indptr[:-1], self.share.indptr[1:], strict=True)])
        outside, partly = cells == 0, (cells > 0) & (inside < WHOLE)
        small = (cells > 0) & (self.area_km2 < least)
        names = np.array(areas.names, object)
        by = np.array([f"{name} ({share:.0%})" for name, share in zip(names, inside, strict=True)], object)
        found = []
        if outside.any():
            found.append(f"Left out, for they lie outside the grid: {int(outside.sum())} of {len(cells)} areas, "
                         f"{first_few(names[outside])}.")
        if partly.any():
            found.append(f"Partly outside the grid, means are of the part inside: {int(partly.sum())} of {len(cells)} "
                         f"areas, {first_few(by[partly])}.")
        if small.any():
            found.append(f"Smaller than a cell, with the values of the cells that they lie in: {int(small.sum())} of "
                         f"{len(cells)} areas, {first_few(names[small])}.")
        return found


def cover(areas: Areas, grid: Grid) -> Coverage:
    """The areas on a grid.

    Raises
    ------
    UserError : where the product is of points, or no area lies on the grid.
    """
    if grid.kind == "points":
        raise UserError("The product is of points.", "Areas are means over cells.",
                        "Make a product on a grid: aqreanalysis build --grid 0.1deg.")
    corners = grid.corners()
    if corners is None:
        raise UserError(f"The cells of the grid {grid.name} have no corners.", "Areas are means over cells.",
                        "Make a product on a grid of at least 2 x 2 cells.")
    edges = (corners[0][:, 0], corners[1][0]) if grid.kind == "regular" else None
    if edges and all(np.ptp(np.diff(edge)) <= UNIFORM * abs(np.diff(edge).mean()) for edge in edges):
        share = _of_regular(areas, *edges)
    else:
        share = _of_polygons(areas, cell_polygons(grid))
    if not share.nnz:
        west, south, east, north = shapely.total_bounds(areas.shapes)
        there = f"{grid.lon.min():g} to {grid.lon.max():g} E, {grid.lat.min():g} to {grid.lat.max():g} N"
        raise UserError(f"No area of {areas.source} ({west:g} to {east:g} E, {south:g} to {north:g} N) lies on the "
                        f"grid ({there}).",
                        "Areas lie on the product's grid.",
                        "Check the coordinate reference system of the areas, and that latitude and longitude are not "
                        "swapped.")
    return Coverage(share, cell_km2(grid), sphere_km2(areas.shapes))


def _of_regular(areas: Areas, lat: np.ndarray, lon: np.ndarray) -> sparse.csr_array:
    """By exactextract, whose rows run from north to south."""
    import exactextract
    from exactextract.raster import NumPyRasterSource

    rows, columns = len(lat) - 1, len(lon) - 1
    raster = NumPyRasterSource(np.zeros((rows, columns), np.float32), float(lon[0]), float(lat[0]), float(lon[-1]),
                               float(lat[-1]))
    found = exactextract.exact_extract(raster, areas.frame()[["area", "geometry"]], ["cell_id", "coverage"],
                                       output="pandas")
    number = np.repeat(np.arange(len(areas.names)), [len(of) for of in found["cell_id"]])
    cell = np.concatenate([np.asarray(of, np.int64) for of in found["cell_id"]])
    share = np.concatenate([np.asarray(of, np.float64) for of in found["coverage"]])
    cell = (rows - 1 - cell // columns) * columns + cell % columns
    return _matrix(share, number, cell, (len(areas.names), rows * columns))


def _of_polygons(areas: Areas, cells: np.ndarray) -> sparse.csr_array:
    """By intersecting polygons, for axes of unequal steps and curvilinear cells."""
    number, cell = shapely.STRtree(cells).query(areas.shapes, predicate="intersects")
    share = shapely.area(shapely.intersection(areas.shapes[number], cells[cell])) / shapely.area(cells[cell])
    return _matrix(np.minimum(share, 1.0), number, cell, (len(areas.names), len(cells)))


def _matrix(share: np.ndarray, number: np.ndarray, cell: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    kept = share > LEAST_SHARE
    made = sparse.csr_array((share[kept], (number[kept], cell[kept])), shape=shape)
    made.sort_indices()
    return made


def cell_polygons(grid: Grid) -> np.ndarray:
    """The cells (cells,) as polygons in degrees (lon, lat); ValueError of points."""
    corners = grid.corners()
    if corners is None:
        raise ValueError("points have no cells")
    lat, lon = corners
    rings = np.stack([np.stack([a[:-1, :-1], a[:-1, 1:], a[1:, 1:], a[1:, :-1]], axis=-1).reshape(-1, 4)
                      for a in (lon, lat)], axis=-1)
    return shapely.polygons(rings)


def cell_km2(grid: Grid) -> np.ndarray:
    """The size of each cell on the sphere (cells,), km2."""
    if grid.kind != "regular":
        return sphere_km2(cell_polygons(grid))
    corners = grid.corners()
    assert corners is not None  # a regular grid has them
    lat, lon = np.radians(corners[0][:, 0]), np.radians(corners[1][0])
    return (EARTH_RADIUS_KM**2 * np.diff(np.sin(lat))[:, None] * np.diff(lon)[None, :]).ravel()


def sphere_km2(shapes: np.ndarray) -> np.ndarray:
    """The size of polygons on the sphere, km2, whose edges are straight in degrees.

    In the plane of longitude and the sine of latitude (Lambert's cylindrical one) sizes are true.
    """
    dense = shapely.segmentize(np.asarray(shapes, object), EDGE_DEGREES)
    plane = shapely.transform(dense, lambda xy: np.stack([np.radians(xy[:, 0]), np.sin(np.radians(xy[:, 1]))], axis=1))
    return EARTH_RADIUS_KM**2 * shapely.area(plane)
