"""What the months of test_build.py have in common: the weeks of the twin round the end of January 2016, and covariates.
The server of workers imports this, so that every process that is forked from it has them."""

from aqreanalysis.fields.static import static_covariates
from aqreanalysis.grids import parse_grid
from aqreanalysis.simulation import TwinArchive

TWIN = TwinArchive()
TWIN.read("2016-01-07T00", "2016-02-25T23")
for places in (TWIN.stations, parse_grid("1deg")):
    static_covariates(places.lat, places.lon)
