"""Cross-fitting: which of a checkpoint's networks never saw a station.

The main network is trained on all stations. So that each of them has an estimate from a network that never saw it,
networks of folds are trained besides, each without the cities of its fold (Chernozhukov et al. 2018,
10.1111/ectj.12097; the idea is cross-validation's). The main network's errors are taken to be no larger than theirs: it
has learned from more stations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aqreanalysis import geo
from aqreanalysis.models.checkpoint import Card

NEVER_SEEN = -1  # training saw no such station: the main network may be asked
NO_FOLD = -2     # it did, or may have, and there is no network that did not
SAME_PLACE_KM = 0.5  # what stands nearer to a training station observes the same air


def training_folds(card: Card, lat: np.ndarray, lon: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """For stations of any archive, the fold of the checkpoint whose network never saw them, int (stations,).

    `lat`, `lon` in degrees. A station is one of training's by its id or by standing within SAME_PLACE_KM of one;
    NEVER_SEEN where it is none, NO_FOLD where no fold left it out. A card from before version 4 does not list its
    training stations: all that it did not withhold are NO_FOLD.
    """
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    if not card.analysis.stations:
        withheld = {station for stations in card.withheld.values() for station in stations}
        return np.array([NEVER_SEEN if station in withheld else NO_FOLD for station in ids], int)
    names, at_lat, at_lon, folds = zip(*card.analysis.stations, strict=True)
    by_name = dict(zip(names, folds, strict=True))
    index, distance = geo.nearest(np.array(at_lat), np.array(at_lon), lat, lon, 1)
    near = np.where(distance[:, 0] <= SAME_PLACE_KM, np.array(folds)[index[:, 0]], NEVER_SEEN)
    return np.array([by_name.get(station, fold) for station, fold in zip(ids, near, strict=True)], int)
