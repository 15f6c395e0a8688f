"""Training of AQ-Net for analysis at stations that are hidden from it.

A step draws days and places, and on each day some stations near a place as targets. Each target has a neighbourhood of
its own, from which stations are hidden at random (masking.py): the network reads every station by itself, so nothing of
what is hidden reaches what is read of the others. Three things keep it from learning the stations by heart: noise on
the covariates and on the long means, directions turned and mirrored, and an effect of each target station (constant,
daily, yearly; as the random effects of a mixed model) that takes up what is its own and is dropped afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis import schema, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.models.aqnet.analysis import (
    MARGIN_HOURS,
    AQNetAnalysis,
    StaticCovariates,
    to_tensors,
)
from aqreanalysis.models.aqnet.station_inputs import assemble, without_gaps
from aqreanalysis.models.features import cyclic_time
from aqreanalysis.models.geostatistics import Correlation
from aqreanalysis.models.neighbours import Neighbourhood
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, NearDuplicates
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.loop import Descent, DescentSettings, growing_average
from aqreanalysis.training.losses import analysis_loss
from aqreanalysis.training.masking import MaskedSeries, Places, draw_masked_series, draw_visible, neighbourhood_of

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.network import AnalysisSizes, AQNet

ANALYSIS_WARM_UP = 0.08  # share of the steps in which the learning rate rises
ANALYSIS_CLIP = 1.0      # largest norm of the gradient
WINDOW_HOURS = HOURS_PER_DAY + 2 * MARGIN_HOURS
NEAR_STATIONS = 30       # the targets of a day and place are drawn from so many stations round it
MOST_EMPTY = 1_000       # draws in a row without any target before a step gives up
LONG_MEANS = (1, 2, 3)   # inputs that are long means, and the series of them
SERIES_OF_MEANS = (5, 6, 7)
EFFECT_CLOCK = [0, 1, 4, 5]  # of cyclic time: hour and month, in which a station's effect changes
EFFECT_PENALTIES = (1.0, 4.0, 4.0, 2.0, 2.0)  # of its parts: constant, daily, yearly


@dataclass(frozen=True)
class AnalysisBatch:
    """Days of several places side by side: stations and targets of all of them in one axis each.

    `window` (stations, WINDOW_HOURS, inputs); `series` (stations, 24, SERIES); `clock` (targets, 24, 6);
    `neighbourhood` of the targets among the stations; `truth` (targets, 24) in ug m-3, NaN where not observed, and
    `level` (targets,) what it was multiplied by; `target` (targets,) and `station` (stations,) their numbers.
    """

    window: np.ndarray
    series: np.ndarray
    clock: np.ndarray
    neighbourhood: Neighbourhood
    truth: np.ndarray
    level: np.ndarray
    target: np.ndarray
    station: np.ndarray


class MaskedDays:
    """Masked series of one station cube, and batches drawn from them; only the days in `allowed` are asked for.

    The cube holds whole days in UTC+8.
    """

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, settings: AnalysisTraining, k: int,
                 correlation: Correlation, duplicates: NearDuplicates = NO_DUPLICATES, city: np.ndarray | None = None):
        self.cube = whole_days(cube)
        self.settings, self.k, self.correlation = settings, k, correlation
        stations = cube.sizes[schema.STATION]
        self.places = Places(cube.lat.values, cube.lon.values, np.arange(stations) if city is None else city,
                             duplicates.matrix(cube.station.values))
        self.values = self.cube[schema.TARGET].values
        self.clock = cyclic_time(self.cube.time.values)
        days = time_axis.local_days(self.cube.time.values[::HOURS_PER_DAY])
        number = np.flatnonzero(np.isin(days, allowed))
        self.days = number[(number > 0) & (number < len(days) - 1)]
        self._rng = np.random.default_rng(settings.seed)
        self.samples = [self._drawn(number) for number in range(settings.views)]

    def _drawn(self, number: int) -> MaskedSeries:
        """Samples of snapshots come first, so that they are a fixed share of the samples."""
        snapshots = number < round(self.settings.snapshots * self.settings.views)
        return draw_masked_series(self.values, self.settings, self._rng, snapshots)

    def batches(self):
        """Endless batches; after every `renew_every` of them a sample is drawn again."""
        number = 0
        while True:
            yield self.batch()
            number += 1
            if number % self.settings.renew_every == 0:
                which = number // self.settings.renew_every % len(self.samples)
                self.samples[which] = self._drawn(which)

    def batch(self) -> AnalysisBatch:
        """As many days and places as a step takes."""
        parts: list[AnalysisBatch] = []
        empty = 0
        while len(parts) < self.settings.samples_per_step:
            part = self.draw_day(self.samples[self._rng.integers(len(self.samples))])
            if part is not None:
                parts.append(part)
                continue
            empty += 1
            if empty > MOST_EMPTY:
                raise ValueError(f"{MOST_EMPTY} days and places in a row have no observation to learn from")
        return joined(parts)

    def draw_day(self, sample: MaskedSeries) -> AnalysisBatch | None:
        """A day of a sample at some targets near a place; None where none has a truth and neighbours."""
        rng, settings = self._rng, self.settings
        day, centre = rng.choice(self.days), rng.integers(len(self.places.lat))
        near = np.append(centre, self.places.order[centre, :NEAR_STATIONS])
        targets = rng.permutation(near)[:settings.targets_per_sample]
        rows = slice(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)
        targets = targets[np.isfinite(self.values[rows, targets]).any(axis=0)]
        if not targets.size:
            return None
        visible = draw_visible(self.places, targets, settings, rng) & sample.readable[day][self.places.order[targets]]
        found, enough = neighbourhood_of(self.places, targets, visible, self.k, self.correlation)
        if not enough.size:
            return None
        return self._assembled(sample, day, targets[enough], found)

    def _assembled(self, sample: MaskedSeries, day: int, targets: np.ndarray, found: Neighbourhood) -> AnalysisBatch:
        rng, settings = self._rng, self.settings
        first = day * HOURS_PER_DAY - MARGIN_HOURS
        window = slice(first, first + WINDOW_HOURS)
        inner = slice(MARGIN_HOURS, MARGIN_HOURS + HOURS_PER_DAY)
        stations, index = np.unique(found.index, return_inverse=True)
        level = np.float32(np.exp(rng.normal(0.0, settings.level_jitter)))
        inputs, series = assemble(sample.means[window, stations].times(level))
        series = without_gaps(series[inner])
        noise = settings.mean_noise * rng.standard_normal((len(stations), len(LONG_MEANS))).astype(np.float32)
        inputs[..., LONG_MEANS] += noise
        series[..., SERIES_OF_MEANS] += noise
        clock = np.broadcast_to(self.clock[window][:, None], (WINDOW_HOURS, len(stations), self.clock.shape[1]))
        inputs = np.concatenate([inputs, clock], axis=-1).transpose(1, 0, 2)
        bearing = turned_bearing(found.bearing, rng)
        neighbourhood = Neighbourhood(index.reshape(found.index.shape), found.distance, bearing, found.weight,
                                      found.variance)
        truth = self.values[window][inner][:, targets].T * level
        clock = np.broadcast_to(self.clock[window][inner], (len(targets), HOURS_PER_DAY, self.clock.shape[1]))
        return AnalysisBatch(inputs, series.transpose(1, 0, 2), clock, neighbourhood, truth,
                             np.full(len(targets), level), targets, stations)


def whole_days(cube: xr.Dataset) -> xr.Dataset:
    """The whole days in UTC+8 of a station cube."""
    days = time_axis.local_days(cube.time.values)
    first = np.flatnonzero(cube.time.values == time_axis.first_hours(days))
    start = first[0]
    return cube.isel(time=slice(start, start + (len(days) - start) // HOURS_PER_DAY * HOURS_PER_DAY))


def joined(parts: list[AnalysisBatch]) -> AnalysisBatch:
    """The parts one after the other; the numbers of the neighbours go on from part to part."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts])
              for name in ("window", "series", "clock", "truth", "level", "target", "station")}
    first = np.cumsum([0] + [len(part.station) for part in parts[:-1]])
    near = {name: np.concatenate([getattr(part.neighbourhood, name) for part in parts])
            for name in ("distance", "bearing", "weight", "variance")}
    index = np.concatenate([part.neighbourhood.index + start for part, start in zip(parts, first, strict=True)])
    return AnalysisBatch(neighbourhood=Neighbourhood(index, **near), **arrays)


def turned_bearing(bearing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bearings of a day turned by one random angle, and mirrored or not.

    Otherwise the network would recognise its stations by the directions of their neighbours.
    """
    return (rng.choice((-1.0, 1.0)) * bearing + rng.uniform(0.0, 2 * np.pi)).astype(np.float32)


def with_station_effects(network: AQNet, stations: int) -> torch.nn.Module:
    """A module of a network and of the effects (stations, 5) of its target stations, 0 at first."""
    import torch

    class WithStationEffects(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.effects = torch.nn.Parameter(torch.zeros(stations, 5))

    return WithStationEffects()


class AnalysisTrainer:
    """One network on the training stations' cube; `allowed` are the days that it may be asked for.

    No station that is held out is in the cube, so training sees none. `duplicates` are hidden together, `city`
    (stations,) numbers what belongs together. The weights are drawn by the settings' seed.
    """

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, settings: AnalysisTraining,
                 make: Callable[[AnalysisSizes], AQNet], sizes: AnalysisSizes,
                 covariates: StaticCovariates | None = None, duplicates: NearDuplicates = NO_DUPLICATES,
                 city: np.ndarray | None = None):
        import torch

        torch.manual_seed(settings.seed)
        self.settings, self.covariates, self.network = settings, covariates, make(sizes)
        self.correlation = Correlation(settings.range_km, settings.nugget)
        self.days = MaskedDays(cube, allowed, settings, settings.k, self.correlation, duplicates, city)
        lat, lon = cube.lat.values, cube.lon.values
        self._covariates = None if covariates is None else torch.from_numpy(covariates.at_stations(lat, lon))
        self._batches = self.days.batches()
        self._noise = torch.Generator().manual_seed(settings.seed)
        self.descent = Descent(with_station_effects(self.network, len(lat)), self.loss, DescentSettings(
            settings.steps, settings.learning_rate, settings.weight_decay, ANALYSIS_WARM_UP, ANALYSIS_CLIP,
            growing_average(settings.averaging), settings.report_every))

    def run(self, report: Callable[[int, float], None] = lambda step, loss: None) -> AQNet:
        """Train to the last step; the averaged network. `report` gets the step and the mean loss now and then."""
        losses = []
        while self.descent.steps_done < self.settings.steps:
            losses.append(self.descent.step())
            if not np.isfinite(losses[-1]):
                raise UserError(f"The loss of step {self.descent.steps_done} is not finite.",
                                "A network is kept as it is after the last step.",
                                "Lower the learning_rate of the recipe.")
            if self.descent.steps_done % self.settings.report_every == 0:
                report(self.descent.steps_done, float(np.mean(losses)))
                losses.clear()
        return self.descent.average.network.eval()

    def loss(self, trained: torch.nn.Module) -> torch.Tensor:
        """The loss of a network with station effects on the next batch."""
        import torch

        batch = next(self._batches)
        estimate, scale = self.estimate_of(trained.network, batch)
        own = trained.effects[torch.from_numpy(batch.target)]
        clock = torch.from_numpy(np.ascontiguousarray(batch.clock[..., EFFECT_CLOCK]))
        effect = own[:, :1] + (own[:, None, 1:] * clock).sum(-1)
        kept = (torch.rand(len(own), 1, generator=self._noise) >= self.settings.effects_dropped).float()
        penalty = (own**2 * torch.tensor(EFFECT_PENALTIES)).sum(1).mean()
        loss = analysis_loss(estimate * torch.exp(effect * kept), scale, torch.from_numpy(batch.truth),
                             torch.from_numpy(batch.level))
        return loss + self.settings.effects_penalty * penalty

    def estimate_of(self, network: AQNet, batch: AnalysisBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """PM2.5 and its scale (targets, 24) in ug m-3 at a batch's targets, with noise on the covariates."""
        return network(*_tensors(batch), self._covariates_of(batch))

    def _covariates_of(self, batch: AnalysisBatch):
        import torch

        from aqreanalysis.models.aqnet.network import TargetCovariates

        if self._covariates is None:
            return None
        noisy = [values + self.settings.covariate_noise * torch.randn(values.shape, generator=self._noise)
                 for values in (self._covariates[batch.station], self._covariates[batch.target])]
        return TargetCovariates(*noisy)

    def model_of(self, network: AQNet) -> AQNetAnalysis:
        """A network behind the model interface, with this training's kriging and covariates."""
        return AQNetAnalysis(network.eval(), self.correlation, self.settings.k, covariates=self.covariates)


def _tensors(batch: AnalysisBatch):
    """The arguments of a network but for the covariates."""
    import torch

    inner = torch.arange(MARGIN_HOURS, MARGIN_HOURS + HOURS_PER_DAY)
    return (torch.from_numpy(batch.window), inner, torch.from_numpy(batch.series), torch.from_numpy(batch.clock),
            to_tensors(batch.neighbourhood))
