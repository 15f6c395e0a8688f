"""Training of AQ-Net for analysis by leaving stations out.

A `MaskedSample` is the whole training slice with some stations hidden: single ones, and all within a random
distance of random places, so that the network learns to bridge gaps as wide as the map's. All that
the network reads is made from the visible stations only. A step draws days and places from a pool of
views and asks for the hidden stations there; views are renewed as training goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from aqreanalysis import geo, schema, time_axis
from aqreanalysis.models import gap_filling
from aqreanalysis.models.aqnet.analysis import (
    MARGIN_HOURS,
    AQNetAnalysis,
    StationInputs,
    station_inputs,
    to_tensors,
)
from aqreanalysis.models.features import LEVEL, Scaler
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood, find_neighbourhood
from aqreanalysis.time_axis import HOURS_PER_DAY

MOST_EMPTY = 10_000  # draws without any truth before a step gives up


@dataclass(frozen=True)
class Settings:
    """How to train; a training recipe fills these."""

    steps: int = 3000
    samples_per_step: int = 16       # days, each at its own place and in its own view
    targets_per_sample: int = 24
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    averaging: float = 0.995         # of the weights over steps: what is validated and kept
    k: int = 20
    views: int = 10                  # kept at a time
    renew_every: int = 40            # steps, one view each time
    hidden_single: float = 0.08      # share of stations hidden singly
    hidden_places: int = 12          # places round which all stations are hidden ...
    hidden_radius_km: tuple[float, float] = (5.0, 80.0)  # ... within a distance drawn from this range
    outage: float = 0.03             # share of hours removed at every station, in runs
    gap: float = 0.05                # share of further values removed
    seed: int = 0
    validate_every: int = 250


@dataclass(frozen=True)
class MaskedSample:
    """One drawing of hidden stations over the whole slice of time."""

    side: StationInputs         # of the visible stations; inputs in float16 to spare memory
    neighbourhood: Neighbourhood       # of the hidden stations among the visible ones
    truth: np.ndarray         # float32 (time, hidden)
    lat: np.ndarray           # of the hidden stations
    lon: np.ndarray


def draw_masked_sample(cube: xr.Dataset, scaler: Scaler, correlation: Correlation, settings: Settings,
                       rng: np.random.Generator) -> MaskedSample:
    """Hide stations and hours at random and prepare all that the network may read."""
    lat, lon = cube.lat.values, cube.lon.values
    hidden = draw_hidden(lat, lon, settings, rng)
    keep = draw_kept_hours((cube.sizes[schema.TIME], int((~hidden).sum())), settings, rng)
    seen = cube.isel({schema.STATION: np.flatnonzero(~hidden)})
    seen = seen.where(xr.DataArray(keep, dims=(schema.TIME, schema.STATION)))
    asked = cube.isel({schema.STATION: np.flatnonzero(hidden)})
    own = find_neighbourhood(seen.lat.values, seen.lon.values, seen.lat.values, seen.lon.values,
                             gap_filling.FILLING_NEIGHBOURS, correlation, leave_out_self=True)
    side = station_inputs(seen, scaler, own)
    side = replace(side, inputs=side.inputs.astype(np.float16))
    neighbourhood = find_neighbourhood(seen.lat.values, seen.lon.values, asked.lat.values, asked.lon.values,
                                       settings.k, correlation)
    return MaskedSample(side, neighbourhood, asked[schema.TARGET].values, asked.lat.values, asked.lon.values)


def draw_hidden(lat, lon, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Which stations (bool) a view hides: single ones, and all round some places."""
    hidden = rng.random(len(lat)) < settings.hidden_single
    for _ in range(settings.hidden_places):
        centre = rng.integers(len(lat))
        hidden |= geo.distance_km(lat, lon, lat[centre], lon[centre]) <= rng.uniform(*settings.hidden_radius_km)
    hidden[rng.integers(len(lat))] = True
    return hidden


def draw_kept_hours(shape: tuple[int, int], settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Which values (time, station) a view keeps: outages of the whole network and scattered gaps."""
    keep = rng.random(shape) >= settings.gap * rng.random()
    for _ in range(round(settings.outage * shape[0] / 10)):
        start = rng.integers(shape[0])
        keep[start:start + rng.integers(1, 20)] = False
    return keep


@dataclass
class Batch:
    """Samples side by side: stations and targets of all of them in one axis each."""

    window: np.ndarray
    value: np.ndarray
    smooth: np.ndarray
    observed: np.ndarray
    clock: np.ndarray
    neighbourhood: Neighbourhood
    truth: np.ndarray


class Trainer:
    """One network on one station cube; only the days in `allowed` are asked for."""

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, scaler: Scaler, settings: Settings,
                 network=None, correlation: Correlation | None = None):
        import torch
        import torch.optim.swa_utils

        from aqreanalysis.models.aqnet.network import AQNet

        torch.manual_seed(settings.seed)
        self.cube, self.scaler, self.settings = cube, scaler, settings
        self.correlation = correlation or Correlation()
        self.network = network or AQNet()
        self.averaged = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.averaging))
        self.rng = np.random.default_rng(settings.seed)
        self.starts = _window_starts(cube.time.values, allowed)
        self.views = [self._view() for _ in range(settings.views)]
        self.steps_done = 0
        self.optimizer = torch.optim.AdamW(self.network.parameters(), settings.learning_rate,
                                           weight_decay=settings.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.05)

    def model(self) -> AQNetAnalysis:
        """The averaged network as it is now, behind the model interface."""
        return self.model_of(self.averaged.module)

    def model_of(self, network) -> AQNetAnalysis:
        """A network behind the model interface, with this training's scaler and kriging."""
        return AQNetAnalysis(network.eval(), self.scaler, self.correlation, self.settings.k)

    def step(self) -> float:
        """One step; returns its loss."""
        import torch

        self.network.train()
        batch = self._batch()
        estimate, scale = estimate_of(self.network, batch)
        value = loss(estimate, scale, torch.from_numpy(batch.truth))
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)
        self.steps_done += 1
        if self.steps_done % self.settings.renew_every == 0:
            self.views[self.rng.integers(len(self.views))] = self._view()
        return float(value.detach())

    def _view(self) -> MaskedSample:
        return draw_masked_sample(self.cube, self.scaler, self.correlation, self.settings, self.rng)

    def _batch(self) -> Batch:
        samples, offset, empty = [], 0, 0
        while len(samples) < self.settings.samples_per_step:
            view = self.views[self.rng.integers(len(self.views))]
            sample = _sample(view, self.rng.choice(self.starts), self.settings.targets_per_sample, self.rng)
            if sample is None:
                empty += 1
                if empty > MOST_EMPTY:
                    raise ValueError(f"{MOST_EMPTY} days and places in a row have no observation to learn from")
                continue
            sample.neighbourhood.index[:] += offset
            offset += len(sample.value)
            samples.append(sample)
        arrays = {name: np.concatenate([getattr(s, name) for s in samples])
                  for name in ("window", "value", "smooth", "observed", "clock", "truth")}
        neighbourhoods = [s.neighbourhood for s in samples]
        neighbourhood = Neighbourhood(**{name: np.concatenate([getattr(h, name) for h in neighbourhoods])
                                         for name in Neighbourhood.__dataclass_fields__})
        return Batch(neighbourhood=neighbourhood, **arrays)


def _window_starts(stamps: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Rows of the first hour of the window of each allowed day that the axis holds whole."""
    first = [time_axis.hours_of_days(day.item(), day.item())[0] for day in allowed]
    row = ((np.array(first) - stamps[0]) / time_axis.HOUR).astype(int) - MARGIN_HOURS
    return row[(row >= 0) & (row + HOURS_PER_DAY + 2 * MARGIN_HOURS <= len(stamps))]


def _sample(view: MaskedSample, start: int, count: int, rng: np.random.Generator) -> Batch | None:
    """One day of one view at the hidden stations nearest to a random one; None without any truth."""
    window = slice(start, start + HOURS_PER_DAY + 2 * MARGIN_HOURS)
    day = slice(start + MARGIN_HOURS, start + MARGIN_HOURS + HOURS_PER_DAY)
    centre = rng.integers(len(view.lat))
    order = np.argsort(geo.distance_km(view.lat, view.lon, view.lat[centre], view.lon[centre]), kind="stable")
    targets = order[:count]
    truth = view.truth[day, targets].T
    stations, index = np.unique(view.neighbourhood.index[targets], return_inverse=True)
    value = view.side.value[day, stations].T
    if not np.isfinite(truth).any() or not np.isfinite(value).all():
        return None
    neighbourhood = Neighbourhood(index.reshape(len(targets), -1), *(
        getattr(view.neighbourhood, name)[targets] for name in ("distance", "bearing", "weight", "variance")))
    neighbourhood = replace(neighbourhood, bearing=_turned(neighbourhood.bearing, rng))
    clock_features = np.broadcast_to(view.side.clock[day], (len(targets), HOURS_PER_DAY, 6))
    return Batch(view.side.inputs[window][:, stations].transpose(1, 0, 2).astype(np.float32), value,
                 view.side.smooth[day, stations].T, view.side.observed[day, stations].T.astype(np.float32),
                 clock_features, neighbourhood, truth)


def _turned(bearing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole sample turned by some angle, or mirrored: else the network knows its stations by how they lie."""
    return (rng.choice((-1.0, 1.0)) * bearing + rng.uniform(0.0, 2 * np.pi)).astype(np.float32)


def estimate_of(network, batch: Batch):
    """PM2.5 and its scale, tensors (targets, hours) in ug m-3, of a network at a batch's targets."""
    import torch

    tensor, inner = torch.from_numpy, slice(MARGIN_HOURS, MARGIN_HOURS + HOURS_PER_DAY)
    return network(tensor(batch.window), inner, tensor(batch.value), tensor(batch.smooth), tensor(batch.observed),
                   tensor(batch.clock), to_tensors(batch.neighbourhood))


def loss(estimate, scale, truth):
    """Absolute and squared error, and the Laplace likelihood of the scale; over hours with truth.

    The absolute error makes the median good, the squared error the mean and the haze hours; the scale's
    own term does not pull the estimate (it sees the error detached). The distribution is skewed, so what
    this leaves low is put right by `mean_shift`.
    """
    import torch

    known = torch.isfinite(truth)
    error = (estimate - torch.nan_to_num(truth))[known]
    scale = scale[known]
    fit = error.abs().mean() / 10.0 + (error**2).clamp_max(4e4).mean() / 1500.0
    likelihood = (torch.log(scale) + error.detach().abs() / scale).mean()
    return fit + 0.2 * likelihood


def mean_shift(trainer: Trainer, network, batches: int = 60) -> float:
    """The constant shift (network.recentre) after which the network's mean is kriging's, at hidden training stations.

    Kriging is unbiased by construction; a network trained for absolute errors of a skewed quantity is not.
    """
    import torch

    from aqreanalysis.models.aqnet.network import kriged

    departure, unit = 0.0, 0.0
    with torch.inference_mode():
        for number in range(batches):
            if number % 12 == 0:
                trainer.views[number // 12 % len(trainer.views)] = trainer._view()
            batch = trainer._batch()
            near = to_tensors(batch.neighbourhood)
            estimate, _ = estimate_of(network.eval(), batch)
            known = torch.isfinite(torch.from_numpy(batch.truth))
            base = kriged(torch.from_numpy(batch.value), near)
            departure += float((estimate - base)[known].sum())
            unit += float((torch.sqrt(near.variance)[:, None] * (base + LEVEL))[known].sum())
    return -departure / unit


def run(trainer: Trainer, validate: Callable[[AQNetAnalysis], float],
        report: Callable[[dict], None]) -> dict:
    """Train to the end and keep the best network by `validate`; `report` gets every validation.

    Returns the state of the best network. Sees no test station: none is in the trainer's cube.
    """
    best, best_state, losses, began = np.inf, None, [], time.monotonic()
    for number in range(1, trainer.settings.steps + 1):
        losses.append(trainer.step())
        if number % trainer.settings.validate_every and number != trainer.settings.steps:
            continue
        score = validate(trainer.model())
        if score < best:
            best = score
            best_state = {name: value.clone() for name, value in trainer.averaged.module.state_dict().items()}
        report({"step": number, "loss": float(np.mean(losses)), "validation": score, "best": best,
                "seconds": time.monotonic() - began})
        losses.clear()
    return best_state
