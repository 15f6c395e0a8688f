"""Small cubes, windows and recipes that the tests of forecasts share."""

from __future__ import annotations

import numpy as np

from aqreanalysis import schema
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast.series import point_neighbours, station_series

LEVEL = (4.0, 0.8)


def cube(hours: int = 24 * 20, stations: int = 6, seed: int = 0, missing: float = 0.1):
    """A mock network that begins in January."""
    return schema.mock_station_cube(hours=hours, stations=stations, seed=seed, missing=missing)


def windows(of, history: int = 24, horizon: int = 12, k: int = 6, origins=None):
    """A batch of windows of a cube, its truth, and the series that they are cut from."""
    data = station_series(of, Scaler.fit(of), more_hours=horizon)
    near = point_neighbours(data.lat, data.lon, data.lat, data.lon, k)
    origins = np.arange(history - 1, len(data.time) - horizon, 7) if origins is None else np.asarray(origins)
    return data.window(origins, history, horizon, near), data.truth_after(origins, horizon), data


def lively(network, seed: int = 0):
    """The network with no weight at its start, in evaluation mode: every part moves the forecast."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        for name, solved in network.named_buffers():  # coefficients of closed forms
            if name.endswith("weight"):
                solved.copy_(0.1 * torch.randn(solved.shape, generator=generator))
    return network.eval()


RECIPE = """kind: forecast
name: small
observations: {observations}
history: 24
horizon: 12
leads: [6, 12]
seeds: [0, 1]
k: 6
test_every: 7
withheld_share: 0.2
training: {{steps: 6, validate_every: 3, origins_per_step: 8, stations_per_step: 4}}
models:
  persistence: {{model: persistence}}
  ridge: {{model: ridge, configurations: [{{penalty: 0.001}}, {{penalty: 10.0}}]}}
  AQ-Net: {{model: aqnet, configurations: [{{width: 8, heads: 2, hidden: 8}}]}}
  AQ-Net without cyclic encoding: {{like: AQ-Net, change: {{cyclic: false}}}}
  AQ-Net where nothing is measured: {{like: AQ-Net, change: {{hide: 0.3}}, withheld: true}}
"""


def write_archive(folder, hours: int = 24 * 45, stations: int = 10, seed: int = 0, change=None):
    """A tidy CSV of a mock network; `change` may alter its cube first. Returns the folder."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    of = cube(hours, stations, seed, missing=0.05)
    of = of if change is None else change(of)
    frame = of[list(schema.POLLUTANTS)].to_dataframe().reset_index().dropna(subset=["pm25"])
    frame = frame.rename(columns={"station": "station_id"})[
        ["time", "station_id", "lat", "lon", *schema.POLLUTANTS]]
    frame["pm10"] = frame.pm10.clip(lower=frame.pm25)
    frame["time"] = pd.to_datetime(frame.time).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame.to_csv(folder / "observations.csv", index=False)
    return folder
