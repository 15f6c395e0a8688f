"""Training of a graph network for inference at stations that are hidden from it.

A step draws days and, for each of them, which of the stations are hidden: a share of 30 % or 50 %, anew each time.
Hidden stations send nothing and are estimated; the network that is asked later has one more place without a station in
the same way (models/graph/links.py). Of a large network a step takes the stations nearest to a random one.

Losses, in multiples of the mean level (of STGCN, of the spread):

- SPIN: L1 at hidden stations + GUESS_SHARE x L1 of the first guess, from weather alone, at those that are seen
  + AOD_SHARE x the gradients' loss (`gradient_loss`) where there is an optical depth; it is in no input;
- IGNNK: squared error over all stations, hidden and seen, as released;
- STGCN: squared error at hidden stations (its source forecasts).

What the source of SPIN leaves open: the window (here whole days, whose hours are estimates of their own) and how the
optical depth is normalised (here like PM2.5, over its own mean). Chosen otherwise than published for the sake of time:
the loop of all networks here (AdamW without decay, one cycle of the learning rate, averaged weights) for Adam with a
cosine, and steps for epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis import geo
from aqreanalysis.models.graph.graph import edges_between
from aqreanalysis.models.graph.inductive import GraphModel
from aqreanalysis.models.graph.kinds import KINDS, GraphSettings, Kind, PlaceInputs, make_network
from aqreanalysis.models.graph.weather import WeatherInputs
from aqreanalysis.recipes import GraphTraining
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.loop import Descent, DescentSettings, Trained, Validation, growing_average

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.graph.links import Among, Links

GUESS_SHARE, AOD_SHARE = 0.5, 0.1
WARM_UP, CLIP, AVERAGING = 0.1, 1.0, 0.99
AT_ONCE = 16       # days that are validated together
HIDDEN = (0.3, 0.5)  # shares of the stations


@dataclass(frozen=True)
class GraphSeries:
    """What is trained on: stations' series, whole local days from the first row on.

    `pm25` (time, station) ug m-3 with NaN; `weather` (time, station, names) raw, with NaN; `aod` (time, station) or
    None; `train` and `validate` numbers of days.
    """

    time: np.ndarray
    lat: np.ndarray
    lon: np.ndarray
    pm25: np.ndarray
    weather: np.ndarray
    names: tuple[str, ...]
    train: np.ndarray
    validate: np.ndarray
    aod: np.ndarray | None = None

    def rows(self, days: np.ndarray) -> np.ndarray:
        """Numbers of the hours of days."""
        return (days[:, None] * HOURS_PER_DAY + np.arange(HOURS_PER_DAY)).ravel()


@dataclass(frozen=True)
class GraphBatch:
    """Some days with their hidden stations: tensors of samples (batch, station, hours).

    `value` and `inputs` as kinds.Kind.run takes them, `truth` in ug m-3 with NaN, `hidden` (batch, station) bool, `aod`
    (batch, station, 24) or None; `among` carries messages, `links` is the graph of the stations.
    """

    value: torch.Tensor
    inputs: PlaceInputs
    truth: torch.Tensor
    hidden: torch.Tensor
    among: Among
    links: Links
    aod: torch.Tensor | None


class HiddenStations:
    """Batches of a series for a kind of network."""

    def __init__(self, data: GraphSeries, kind: Kind, settings: GraphSettings, weather: WeatherInputs,
                 training: GraphTraining, seed: int):
        self.data, self.kind, self.settings, self.weather, self.training = data, kind, settings, weather, training
        self._rng = np.random.default_rng(seed)
        places = slice(None) if weather.names else slice(1)
        self.inputs = weather.as_inputs(data.weather[:, places], data.time)
        self.wind = weather.wind_of(data.weather)
        self._whole = self._links(np.arange(len(data.lat))) if len(data.lat) <= training.stations_per_step else None

    def _links(self, stations: np.ndarray) -> Links:
        lat, lon = self.data.lat[stations], self.data.lon[stations]
        edges = edges_between(lat, lon, lat, lon, self.kind.reach_km(self.settings), among=True)
        return self.kind.links(edges, self.settings, dense=True)

    def draw(self) -> GraphBatch:
        """Random days of training."""
        reach = self._inside(self.data.train)
        days = self._rng.choice(reach, self.training.days_per_step)
        return self.batch(days, self._rng, self.training.fields_dropped)

    def _inside(self, days: np.ndarray) -> np.ndarray:
        """Days whose windows are in the series."""
        last = len(self.data.time) // HOURS_PER_DAY - 1
        return days[(days > 0) & (days < last)]

    def validation(self) -> list[GraphBatch]:
        """The same days and hidden stations each time."""
        rng, days = np.random.default_rng(0), self._inside(self.data.validate)
        days = days[::max(len(days) // self.training.validation_days, 1)]
        return [self.batch(days[start:start + AT_ONCE], rng, 0.0) for start in range(0, len(days), AT_ONCE)]

    def batch(self, days: np.ndarray, rng: np.random.Generator, fields_dropped: float) -> GraphBatch:
        """Some days with hidden stations drawn by `rng`; of a share of them the fields are missing."""
        import torch

        stations, links = self._stations(rng)
        count = len(stations)
        shares = rng.choice(HIDDEN, len(days))
        order = rng.random((len(days), count)).argsort(axis=1).argsort(axis=1)
        hidden = order < np.maximum(np.round(shares * count), 1)[:, None]
        observed = _cut(self.data.pm25, stations, days, self.kind.before, self.kind.after)
        seen = np.where(hidden[..., None], np.nan, observed)
        inner = slice(self.kind.before, self.kind.before + HOURS_PER_DAY)
        inputs = _cut(self.inputs, stations if self.weather.names else np.zeros(1, int), days, self.kind.fields_before)
        wind = None if self.wind is None else _cut(self.wind, stations, days).swapaxes(1, 2).copy()
        dropped = rng.random(len(days)) < fields_dropped
        inputs[dropped, :, :, :len(self.weather.names)] = 0.0
        if wind is not None:
            wind[dropped] = 0.0
        aod = None if self.data.aod is None else torch.from_numpy(_cut(self.data.aod, stations, days))
        among = self.kind.exchange(links, torch.from_numpy(np.isfinite(seen)),
                                   None if wind is None else torch.from_numpy(wind))
        return GraphBatch(torch.from_numpy(self.kind.value(seen, self.settings)), PlaceInputs.of(inputs, count),
                          torch.from_numpy(observed[:, :, inner]), torch.from_numpy(hidden), among, links, aod)

    def _stations(self, rng: np.random.Generator) -> tuple[np.ndarray, Links]:
        if self._whole is not None:
            return np.arange(len(self.data.lat)), self._whole
        lat, lon, centre = self.data.lat, self.data.lon, rng.integers(len(self.data.lat))
        near = np.argsort(geo.distance_km(lat[centre], lon[centre], lat, lon), kind="stable")
        stations = np.sort(near[:self.training.stations_per_step])
        return stations, self._links(stations)


def _cut(series: np.ndarray, places: np.ndarray, days: np.ndarray, before: int = 0, after: int = 0) -> np.ndarray:
    """Of a series (time, place, ...) those of some places and days, (days, places, hours, ...)."""
    rows = days[:, None] * HOURS_PER_DAY + np.arange(-before, HOURS_PER_DAY + after)
    return series[rows[:, None, :], places[None, :, None]]


def loss_of(kind: Kind, network: torch.nn.Module, batch: GraphBatch, settings: GraphSettings,
            aod_share: float) -> torch.Tensor:
    """The loss of a batch, a scalar; see the head of this file."""
    import torch

    output = kind.run(network, batch.inputs, batch.value, batch.among)
    estimate = kind.concentration(output, settings) / settings.level
    truth, known = batch.truth / settings.level, torch.isfinite(batch.truth)
    asked = known & batch.hidden[..., None]
    if kind.name == "ignnk":
        return ((estimate - truth)[known] ** 2).mean()
    if kind.name == "stgcn":
        return ((estimate - truth)[asked] ** 2).mean()
    loss = (estimate - truth)[asked].abs().mean()
    guess = network.first_guess(batch.inputs.encoded(network)).unflatten(0, (len(truth), -1)).transpose(1, 2)
    seen = known & ~batch.hidden[..., None]
    loss = loss + GUESS_SHARE * (guess - truth)[seen].abs().mean() if seen.any() else loss
    return loss if batch.aod is None else loss + aod_share * gradient_loss(estimate, batch.aod, batch.links)


def gradient_loss(estimate: torch.Tensor, aod: torch.Tensor, links: Links) -> torch.Tensor:
    """Mean of | d(estimate) - d(AOD) | over edges and hours with an optical depth at both ends; 0 without any.

    Both (batch, station, hours), each over its mean; NaN where there is no optical depth.
    """
    import torch

    if not torch.isfinite(aod).any():
        return estimate.new_zeros(())
    scaled = aod / torch.nanmean(aod)
    once = links.source < links.target
    i, j = links.target[once], links.source[once]
    along_aod, along = scaled[:, i] - scaled[:, j], estimate[:, i] - estimate[:, j]
    both = torch.isfinite(along_aod)
    return (along - along_aod)[both].abs().mean() if both.any() else estimate.new_zeros(())


def settings_of(kind: Kind, data: GraphSeries, sigma_km: float | None = None) -> GraphSettings:
    """Level and spread of the training days; sigma of the kernel is given, or the kind's own."""
    known = data.pm25[data.rows(data.train)]
    settings = GraphSettings(level=round(float(np.nanmean(known)), 3), spread=round(float(np.nanstd(known)), 3))
    if sigma_km is None and kind.name == "ignnk":
        sigma_km = round(float(geo.pairwise_distance_km(data.lat, data.lon, data.lat, data.lon).std()), 3)
    return settings if sigma_km is None else replace(settings, sigma_km=sigma_km)


def train_graph(kind_name: str, options: dict, data: GraphSeries, training: GraphTraining, seed: int,
                report: Callable[[Validation], None] = lambda validation: None,
                sigma_km: float | None = None) -> tuple[GraphModel, Trained]:
    """Train a network of a kind on a series; the model, and how the training went.

    Every random choice comes from the seed. `sigma_km` is of the distance kernel, None for the kind's own.
    """
    import torch

    torch.manual_seed(seed)
    kind = KINDS[kind_name]
    weather = WeatherInputs.fit(data.names, data.weather[data.rows(data.train)]) if data.names else WeatherInputs()
    settings = settings_of(kind, data, sigma_km)
    sizes = {"inputs": weather.inputs} if kind_name == "spin" else {}
    network = make_network(kind_name, sizes | options)
    drawn = HiddenStations(data, kind, settings, weather, training, seed)
    fixed = drawn.validation()

    def loss(network: torch.nn.Module) -> torch.Tensor:
        return loss_of(kind, network, drawn.draw(), settings, training.aod_share)

    def validate(average: torch.nn.Module) -> float:
        with torch.inference_mode():
            return _error(kind, average, fixed, settings)

    trained = Descent(network, loss, DescentSettings(
        training.steps, training.learning_rate, 0.0, WARM_UP, CLIP, growing_average(AVERAGING),
        training.validate_every, training.patience)).run(validate, report)
    model = GraphModel(trained.network, kind_name, settings, weather, fields_optional=training.fields_dropped > 0)
    return model, trained


def _error(kind: Kind, network: torch.nn.Module, batches: list[GraphBatch], settings: GraphSettings) -> float:
    """Mean absolute error in ug m-3 at hidden stations."""
    import torch

    total, count = 0.0, 0
    for batch in batches:
        estimate = kind.concentration(kind.run(network, batch.inputs, batch.value, batch.among), settings)
        asked = torch.isfinite(batch.truth) & batch.hidden[..., None]
        total += float((estimate.clamp(min=0.0) - batch.truth)[asked].abs().sum())
        count += int(asked.sum())
    return total / max(count, 1)
