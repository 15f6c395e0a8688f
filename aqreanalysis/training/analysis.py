"""Training of AQ-Net for analysis at stations that are hidden from it.

A masked sample (masking.py) spans the whole training period; all that the network reads of it is made from the visible
stations. A step draws days, each from one of a pool of samples, and on each day the hidden stations nearest to a random
one of them; a sample of the pool is drawn again after some steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

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
from aqreanalysis.observations.near_duplicates import NO_DUPLICATES, NearDuplicates
from aqreanalysis.recipes import AnalysisTraining
from aqreanalysis.time_axis import HOURS_PER_DAY
from aqreanalysis.training.loop import Descent, DescentSettings, Trained, Validation, steady_average
from aqreanalysis.training.losses import analysis_loss
from aqreanalysis.training.masking import MaskedSample, draw_masked_sample

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.aqnet.network import AQNet

MOST_EMPTY = 10_000      # draws in a row without any truth before a step gives up
ANALYSIS_WARM_UP = 0.05  # share of the steps in which the learning rate rises
ANALYSIS_CLIP = 1.0      # largest norm of the gradient
DAY = slice(MARGIN_HOURS, MARGIN_HOURS + HOURS_PER_DAY)  # the target day's hours in its window
WINDOW_HOURS = HOURS_PER_DAY + 2 * MARGIN_HOURS
SHIFT_BATCHES = 60       # that the mean level is taken over
SHIFT_RENEW_EVERY = 12   # of these batches, one masked sample is drawn again


@dataclass(frozen=True)
class PreparedSample:
    """A masked sample as the network reads it, over the whole period."""

    station_inputs: StationInputs  # of the visible stations; inputs in float16 to spare memory
    neighbourhood: Neighbourhood   # of the hidden stations among the visible ones
    truth: np.ndarray              # float32 (time, hidden), ug m-3
    lat: np.ndarray                # of the hidden stations, degrees
    lon: np.ndarray


def prepare_sample(masked: MaskedSample, scaler: Scaler, correlation: Correlation, k: int) -> PreparedSample:
    """Fill the gaps of the visible stations, scale what they observed and find the hidden stations' k neighbours."""
    visible, hidden = masked.visible, masked.hidden
    own = find_neighbourhood(visible.lat.values, visible.lon.values, visible.lat.values, visible.lon.values,
                             gap_filling.FILLING_NEIGHBOURS, correlation, leave_out_self=True)
    inputs = station_inputs(visible, scaler, own)
    inputs = replace(inputs, inputs=inputs.inputs.astype(np.float16))
    neighbourhood = find_neighbourhood(visible.lat.values, visible.lon.values, hidden.lat.values, hidden.lon.values, k,
                                       correlation)
    return PreparedSample(inputs, neighbourhood, hidden[schema.TARGET].values, hidden.lat.values, hidden.lon.values)


@dataclass(frozen=True)
class AnalysisBatch:
    """Days of several samples side by side: stations and targets of all of them in one axis each.

    `window` (stations, WINDOW_HOURS, inputs); `value`, `smooth`, `observed` (stations, 24); `clock` (targets, 24, 6);
    `neighbourhood` of the targets among the stations; `truth` (targets, 24) in ug m-3, NaN where not observed.
    """

    window: np.ndarray
    value: np.ndarray
    smooth: np.ndarray
    observed: np.ndarray
    clock: np.ndarray
    neighbourhood: Neighbourhood
    truth: np.ndarray

    @staticmethod
    def joined(parts: list[AnalysisBatch]) -> AnalysisBatch:
        """The parts one after the other; the numbers of the neighbours go on from part to part."""
        arrays = {of.name: np.concatenate([getattr(part, of.name) for part in parts])
                  for of in fields(AnalysisBatch) if of.name != "neighbourhood"}
        first = np.cumsum([0] + [len(part.value) for part in parts[:-1]])
        near = {of.name: np.concatenate([getattr(part.neighbourhood, of.name) for part in parts])
                for of in fields(Neighbourhood)}
        near["index"] = np.concatenate([part.neighbourhood.index + start
                                        for part, start in zip(parts, first, strict=True)])
        return AnalysisBatch(neighbourhood=Neighbourhood(**near), **arrays)


class SamplePool:
    """Masked samples of one station cube, and batches drawn from them; only the days in `allowed` are asked for."""

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, scaler: Scaler, correlation: Correlation,
                 settings: AnalysisTraining, duplicates: NearDuplicates = NO_DUPLICATES):
        self.cube, self.scaler, self.correlation, self.settings = cube, scaler, correlation, settings
        self.duplicates = duplicates
        self.starts = window_starts(cube.time.values, allowed)
        self._rng = np.random.default_rng(settings.seed)
        self.samples = [self._drawn() for _ in range(settings.views)]

    def _drawn(self) -> PreparedSample:
        masked = draw_masked_sample(self.cube, self.settings, self._rng, self.duplicates)
        return prepare_sample(masked, self.scaler, self.correlation, self.settings.k)

    def renew(self, number: int | None = None) -> None:
        """Draw a sample anew, in place of the one of this number, or of any."""
        sample = self._drawn()
        self.samples[self._rng.integers(len(self.samples)) if number is None else number] = sample

    def batch(self) -> AnalysisBatch:
        """Days of randomly drawn samples, as many as a step takes."""
        parts: list[AnalysisBatch] = []
        empty = 0
        while len(parts) < self.settings.samples_per_step:
            sample = self.samples[self._rng.integers(len(self.samples))]
            part = draw_day(sample, self._rng.choice(self.starts), self.settings.targets_per_sample, self._rng)
            if part is not None:
                parts.append(part)
                continue
            empty += 1
            if empty > MOST_EMPTY:
                raise ValueError(f"{MOST_EMPTY} days and places in a row have no observation to learn from")
        return AnalysisBatch.joined(parts)

    def batches(self) -> Iterator[AnalysisBatch]:
        """Endless batches; after every `renew_every` of them a sample is drawn again."""
        number = 0
        while True:
            batch = self.batch()
            number += 1
            if number % self.settings.renew_every == 0:
                self.renew()
            yield batch


def window_starts(stamps: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Rows of the first hour of the window of each allowed day whose window is whole within the time axis."""
    first = [time_axis.hours_of_days(day.item(), day.item())[0] for day in allowed]
    row = ((np.array(first) - stamps[0]) / time_axis.HOUR).astype(int) - MARGIN_HOURS
    return row[(row >= 0) & (row + WINDOW_HOURS <= len(stamps))]


def draw_day(sample: PreparedSample, start: int, count: int, rng: np.random.Generator) -> AnalysisBatch | None:
    """One day of a sample, from row `start`, at the `count` hidden stations nearest to a random one of them.

    None where nothing was observed there, or where a neighbour has no value.
    """
    window, day = slice(start, start + WINDOW_HOURS), slice(start + DAY.start, start + DAY.stop)
    centre = rng.integers(len(sample.lat))
    order = np.argsort(geo.distance_km(sample.lat, sample.lon, sample.lat[centre], sample.lon[centre]), kind="stable")
    targets = order[:count]
    truth = sample.truth[day, targets].T
    stations, index = np.unique(sample.neighbourhood.index[targets], return_inverse=True)
    inputs = sample.station_inputs
    value = inputs.value[day, stations].T
    if not np.isfinite(truth).any() or not np.isfinite(value).all():
        return None
    neighbourhood = Neighbourhood(index.reshape(len(targets), -1), *(
        getattr(sample.neighbourhood, name)[targets] for name in ("distance", "bearing", "weight", "variance")))
    neighbourhood = replace(neighbourhood, bearing=turned_bearing(neighbourhood.bearing, rng))
    clock = np.broadcast_to(inputs.clock[day], (len(targets), HOURS_PER_DAY, inputs.clock.shape[1]))
    return AnalysisBatch(inputs.inputs[window][:, stations].transpose(1, 0, 2).astype(np.float32), value,
                         inputs.smooth[day, stations].T, inputs.observed[day, stations].T.astype(np.float32),
                         clock, neighbourhood, truth)


def turned_bearing(bearing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bearings of a day turned by one random angle, and mirrored or not.

    Otherwise the network would recognise its stations by the directions of their neighbours.
    """
    return (rng.choice((-1.0, 1.0)) * bearing + rng.uniform(0.0, 2 * np.pi)).astype(np.float32)


def estimate_of(network: AQNet, batch: AnalysisBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """PM2.5 and its scale (targets, 24) in ug m-3 at a batch's targets."""
    import torch

    tensor = torch.from_numpy
    return network(tensor(batch.window), DAY, tensor(batch.value), tensor(batch.smooth), tensor(batch.observed),
                   tensor(batch.clock), to_tensors(batch.neighbourhood))


class AnalysisTrainer:
    """One network on the training stations' cube; `allowed` are the days that it may be asked for.

    No test or validation station is in the cube, so training sees none. `duplicates` are hidden together.
    """

    def __init__(self, cube: xr.Dataset, allowed: np.ndarray, scaler: Scaler, settings: AnalysisTraining,
                 network: AQNet, correlation: Correlation | None = None, duplicates: NearDuplicates = NO_DUPLICATES):
        import torch

        torch.manual_seed(settings.seed)
        self.scaler, self.settings = scaler, settings
        self.correlation = correlation or Correlation()
        self.pool = SamplePool(cube, allowed, scaler, self.correlation, settings, duplicates)
        self._batches = self.pool.batches()
        self.descent = Descent(network, self.loss, DescentSettings(
            settings.steps, settings.learning_rate, settings.weight_decay, ANALYSIS_WARM_UP, ANALYSIS_CLIP,
            steady_average(settings.averaging), settings.validate_every))

    def loss(self, network: AQNet) -> torch.Tensor:
        """The loss of a network on the next batch."""
        import torch

        batch = next(self._batches)
        return analysis_loss(*estimate_of(network, batch), torch.from_numpy(batch.truth))

    def run(self, validate: Callable[[AQNet], float],
            report: Callable[[Validation], None] = lambda validation: None) -> Trained[AQNet]:
        """Train to the last step; see loop.Descent.run."""
        return self.descent.run(validate, report)

    def model_of(self, network: AQNet) -> AQNetAnalysis:
        """A network behind the model interface, with this training's scaler and kriging."""
        return AQNetAnalysis(network.eval(), self.scaler, self.correlation, self.settings.k)


def mean_shift(pool: SamplePool, network: AQNet, batches: int = SHIFT_BATCHES) -> float:
    """The constant shift (network.recentre) after which the network's mean is kriging's, at hidden training stations.

        shift = -sum(estimate - kriging) / sum(sqrt(kriging variance) (kriging + LEVEL))

    over the observed hours of some batches. Kriging is unbiased by construction; a network that is trained for
    absolute errors of a skewed quantity is not.
    """
    import torch

    from aqreanalysis.models.aqnet.network import kriged

    departure, unit = 0.0, 0.0
    with torch.inference_mode():
        for number in range(batches):
            if number % SHIFT_RENEW_EVERY == 0:
                pool.renew(number // SHIFT_RENEW_EVERY % len(pool.samples))
            batch = pool.batch()
            near = to_tensors(batch.neighbourhood)
            estimate, _ = estimate_of(network.eval(), batch)
            known = torch.isfinite(torch.from_numpy(batch.truth))
            base = kriged(torch.from_numpy(batch.value), near)
            departure += float((estimate - base)[known].sum())
            unit += float((torch.sqrt(near.variance)[:, None] * (base + LEVEL))[known].sum())
    return -departure / unit
