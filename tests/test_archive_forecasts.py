"""Forecasts on the real archive: the linear regression of the paper's protocol against an independent calculation."""

import numpy as np
import pytest

from aqreanalysis.evaluation.forecast import lead_scores, lead_sums
from aqreanalysis.models.forecast.series import NO_TREND, point_neighbours
from aqreanalysis.observations.readers import ObservationFiles
from aqreanalysis.recipes import ForecastTraining
from aqreanalysis.training import forecast_data
from aqreanalysis.training.forecast import fit_forecaster
from aqreanalysis.training.slices import ForecastTask

pytestmark = pytest.mark.archive


def test_ridge_of_24_h_has_the_scores_that_another_calculation_found(archive_path):
    """R2 0.58, 0.31, 0.07 at 6, 12, 24 h and 0.75, 0.58, 0.37 up to them, on values that were not screened and the
    last fifth of the same archive."""
    files = ObservationFiles(str(archive_path / "beijing-2013-2018"))
    data = forecast_data.load_forecast_data(files, 0.7, 0.1, 0.15, 0)
    assert data.cube.sizes["station"] == 35 and len(data.withheld) == 5
    scaler = data.scaler(False)
    given = data.series(False, scaler, NO_TREND)
    task = ForecastTask(24, 24, validate_every=31)
    found = fit_forecaster("ridge", {"space": "value"}, given, scaler, NO_TREND, data.slices, task,
                           ForecastTraining(), 0, 35)
    origins = data.slices.origins("test", 24, 24, 5)
    near = point_neighbours(given.lat, given.lon, given.lat, given.lon, 35)
    forecast = found.forecaster.at_origins(given, origins, near)
    table = lead_scores(lead_sums(forecast, data.truth(data.cube)(origins, 24), given.time[origins]), (6, 12, 24))
    expected = [0.58, 0.31, 0.07, 0.75, 0.58, 0.37]
    np.testing.assert_allclose(table.R2, expected, atol=0.06)
    assert table.n.min() > 40_000
