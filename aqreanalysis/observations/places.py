"""Which places of stations are possible, and why the others are left out. Stations without a place are not among them.

What is bad loses only itself: a station at (0, 0), or far from every other, is left out and told. A whole table is an
error only where no place of it is left, or where most of its rows have longitude and latitude exchanged.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from aqreanalysis import geo
from aqreanalysis.errors import UserError

NULL_ISLAND_DEG = 0.05    # so near to (0, 0) no station stands: the place is a default for missing ones
MISSING_CODES = (-9999.0, -999.9, -999.0, -99.9, -99.0, 999.0, 999.9, 9999.0, 99999.0)
# The places of the region if longitude and latitude are exchanged: no network stands there, north of 73 degrees.
EXCHANGED_LON, EXCHANGED_LAT = (17.0, 54.0), (73.0, 136.0)
LINKED_KM = 1000.0        # the most isolated of 931 stations is 120 km from the next; a network of few is sparser
LINK_CELL_DEG = 0.5       # stations in one cell of so many degrees belong together
NETWORK_SHARE, FAR_SHARE = 0.5, 0.1   # a network has more than the one, a group far from it at most the other, or one


def possible(table: pd.DataFrame, where: str) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The rows of a table (station_id, lon, lat in degrees, none of them NaN) that can be places of stations.

    Returns them, station_id -> why ("kind: detail") for each station that has no such row, and a sentence for each
    that has others too.

    Raises
    ------
    UserError : where no row is left, or most have longitude and latitude exchanged.
    """
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    null = (np.abs(lon) < NULL_ISLAND_DEG) & (np.abs(lat) < NULL_ISLAND_DEG)
    coded = np.isin(lon, MISSING_CODES) | np.isin(lat, MISSING_CODES)
    outside = ~((np.abs(lat) <= 90.0) & (lon >= -180.0) & (lon <= 360.0))
    exchanged = (_within(lon, EXCHANGED_LON) & _within(lat, EXCHANGED_LAT)) | ((np.abs(lat) > 90) & (np.abs(lon) <= 90)
                                                                              & (np.abs(lat) <= 180))
    exchanged &= ~coded
    bad = null | coded | outside | exchanged
    if exchanged.sum() > 0.5 * (~(null | coded)).sum():
        row = table[exchanged].iloc[0]
        raise UserError(f"{int(exchanged.sum())} of {len(table)} places of {where} have longitude and latitude "
                        f"exchanged, as station {row.station_id} with lon {row.lon:g}, lat {row.lat:g}.",
                        "Longitudes lie in -180..360 and latitudes in -90..90 degrees; in China they are "
                        "73 to 136 E and 17 to 54 N.", "Exchange the names of the columns lon and lat.")
    reasons = np.select([null, coded, exchanged, outside],
                        ["0 in place of missing coordinates", "a code for missing as coordinates",
                         "longitude and latitude exchanged", "outside the globe"], "")
    if bad.all():
        row = table.iloc[0]
        raise UserError(f"None of the {len(table)} places of {where} is possible: station {row.station_id} at lon "
                        f"{row.lon:g}, lat {row.lat:g} ({reasons[0]}).",
                        "Longitudes lie in -180..360 and latitudes in -90..90 degrees.",
                        "Correct the columns lon and lat, in degrees.")
    kept = table[~bad]
    found = {str(row.station_id): f"{reason}: lon {row.lon:g}, lat {row.lat:g}"
             for row, reason in zip(table[bad].itertuples(), reasons[bad], strict=True)}
    sound = set(kept["station_id"])
    told = [f"a place of station {station} is not used ({why}); another one is"
            for station, why in found.items() if station in sound]
    return kept, {station: why for station, why in found.items() if station not in sound}, told


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values >= limits[0]) & (values <= limits[1])


def near_the_network(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The stations (station_id, lon, lat; one row each) without those that lie far from all others.

    Stations within LINKED_KM of each other are one group, over any number of steps. Where the largest holds most of
    them, others of a single station or of at most a tenth of all are left out: a digit was lost. Returns the others,
    and station_id -> why.
    """
    if len(table) < 2:
        return table, {}
    group = _groups(table)
    _, number = np.unique(group, return_inverse=True)
    size = np.bincount(number)
    main = size.argmax()
    if size[main] <= NETWORK_SHARE * len(table):
        return table, {}
    far = (number != main) & ((size[number] == 1) | (size[number] <= FAR_SHARE * len(table)))
    if not far.any():
        return table, {}
    kept = table[~far]
    tree = cKDTree(geo.unit_vectors(kept.lat, kept.lon))
    left_out = {}
    for row in table[far].itertuples():
        away, turned = (float(geo.chord_to_km(tree.query(geo.unit_vectors([lat], [lon]))[0])[0])
                        for lat, lon in ((row.lat, row.lon), (row.lon, row.lat)))
        likely = ", longitude and latitude exchanged?" if turned < LINKED_KM and abs(row.lon) <= 90 else ""
        left_out[str(row.station_id)] = (f"far from the network: {away:,.0f} km, at lon {row.lon:g}, lat {row.lat:g}"
                                         f"{likely}")
    return kept, left_out


def _groups(table: pd.DataFrame) -> np.ndarray:
    """A number for each station's group (stations,); stations of one cell of LINK_CELL_DEG count as one place."""
    cell = np.round(table[["lat", "lon"]].to_numpy(float) / LINK_CELL_DEG).astype(int)
    _, first, of = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    at = table.iloc[first]
    tree = cKDTree(geo.unit_vectors(at.lat, at.lon))
    pairs = tree.query_pairs(2.0 * np.sin(LINKED_KM / geo.EARTH_RADIUS_KM / 2.0), output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(at), len(at)))
    return connected_components(graph, directed=False)[1][of.ravel()]
