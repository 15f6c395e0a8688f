"""Small networks, models and cubes that the tests of the models share."""

from __future__ import annotations

import datetime as dt

import numpy as np

from aqreanalysis import schema, time_axis

MIDDLE = dt.date(2019, 1, 20)  # its window and context lie inside long_cube()


def days(first: dt.date, last: dt.date | None = None) -> np.ndarray:
    """The hours of calendar days UTC+8, both included."""
    return time_axis.hours_of_days(first, last or first)


def long_cube(stations: int = 25, seed: int = 0, missing: float = 0.1):
    """A mock cube that holds the whole context of some days round `MIDDLE`."""
    return schema.mock_station_cube(hours=960, stations=stations, seed=seed, missing=missing)


def small_sizes(covariates: int = 0):
    """A network of about two thousand parameters."""
    from aqreanalysis.models.aqnet.network import AnalysisSizes

    return AnalysisSizes(width=8, attention_heads=2, pooled=4, knn_hidden=6, channels=3, hidden=8, hidden_out=6,
                         covariates=covariates, modes=3)


def lively_network(seed: int = 0, sizes=None):
    """A network in evaluation mode whose every part moves the estimate: none of its weights is 0."""
    import torch

    from aqreanalysis.models.aqnet.network import AQNet

    generator = torch.Generator().manual_seed(seed)
    network = AQNet(sizes or small_sizes())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def lively_model(cube=None, seed: int = 0, k: int = 8):
    """AQ-Net for analysis with a lively network, whatever the cube."""
    from aqreanalysis.models.aqnet.analysis import AQNetAnalysis

    return AQNetAnalysis(lively_network(seed), k=k)


def lively_graph_model(kind: str, seed: int = 0, weather=None, **options):
    """A graph network whose weights are random, with estimates of some tens of ug m-3."""
    import torch

    from aqreanalysis.models.graph.inductive import GraphModel
    from aqreanalysis.models.graph.kinds import GraphSettings, make_network
    from aqreanalysis.models.graph.weather import WeatherInputs

    torch.manual_seed(seed)
    weather = weather or WeatherInputs()
    if kind == "spin":
        options = {"inputs": weather.inputs, "width": 16} | options
    network = make_network(kind, options)
    if kind == "spin":
        torch.nn.init.uniform_(network.read_out.weight, 0.0, 0.1)
    return GraphModel(network.eval(), kind, GraphSettings(60.0, 25.0), weather)


def small_checkpoint(folder, **changed):
    """A lively network's checkpoint with a card as `aqreanalysis train` writes it; returns the folder."""
    from aqreanalysis.models import checkpoint

    facts = checkpoint.AnalysisFacts({}, {"margin_hours": 12, "context_hours": 372}, 5.5, [["S000", 36.5, 113.5, 0]],
                                     [])
    card = dict(name="small", kind="aqnet-analysis", created="2026-01-31", network=small_sizes().asdict(), scaler={},
                k=8, variables=["pm25"], analysis=facts, versions={"torch": "2"},
                withheld={"test_single": ["T1", "T2"], "test_city": [], "validation_single": [], "validation_city": []},
                training={"source": "the mock cube", "start": "2019-01-01", "end": "2019-02-09", "stations": 1,
                          "every_nth_week_withheld": 6, "steps": 1500, "seconds": 120},
                scores={"held_out_stations": [{"design": "whole cities", "frequency": "daily", "n": 1234, "MAE": 9.876,
                                               "RMSE": 12.5, "skill_percent": 8.25, "NMB_percent": -1.5}]})
    return checkpoint.save(folder, lively_network(), checkpoint.Card(**card | changed))


def lively_calibration(seed: int = 0):
    """A calibration whose every factor moves with level, distance, season and people."""
    from aqreanalysis.models import calibration
    from aqreanalysis.models.calibration import Bounds, Calibration

    rng = np.random.default_rng(seed)
    hourly, daily = (Bounds(calibration.LEVEL_KNOTS, calibration.DISTANCE_KNOTS, calibration.SEASON_KNOTS,
                            *rng.normal(0.3, 0.3, (3, sum(calibration.KNOTS))), calibration.POPULATION_KNOTS)
                     for _ in range(2))
    return Calibration(hourly, daily, np.linspace(1.0, 0.3, 24), {"stations": 5, "first": "2019-01-01",
                                                                  "last": "2019-12-31"})


def targets_over(time, points: int = 30, seed: int = 1):
    """Targets at random places among the stations of the mock cubes."""
    rng = np.random.default_rng(seed)
    return schema.make_targets(time, rng.uniform(36, 40, points), rng.uniform(113, 119, points))
