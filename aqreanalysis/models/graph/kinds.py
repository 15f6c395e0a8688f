"""The kinds of graph networks: what each reads, how its numbers are scaled, and what it is asked for a sample of hours.

A sample is a stretch of hours with its own hidden stations; in use it is a local day. Tensors of samples are (batch,
places, hours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.models.graph.graph import REACH_KM, SIGMA_KM, Edges, closeness

if TYPE_CHECKING:
    import torch

    from aqreanalysis.models.graph.links import Among, Links

WANG = ("Wang et al. (2025): Spatiotemporal Physics-Guided Inference Network (SPIN), arXiv:2511.16013; re-implemented "
        "from its equations.")
WU = ("Wu, Y., Zhuang, D., Labbe, A., Sun, L. (2021): Inductive Graph Neural Networks for Spatiotemporal Kriging. AAAI "
      "35(5), 4478-4485, 10.1609/aaai.v35i5.16575.")
YU = ("Yu, B., Yin, H., Zhu, Z. (2018): Spatio-Temporal Graph Convolutional Networks. IJCAI, 3634-3640, "
      "10.24963/ijcai.2018/505.")
EVERYWHERE_KM = 1e5
FIELDS_BEFORE = 15  # hours of weather that SPIN reads before an estimate: spin.HISTORY, which needs torch


@dataclass(frozen=True)
class GraphSettings:
    """Numbers of a graph and of its normalisation, in the card of a checkpoint.

    `level` is the mean and `spread` the standard deviation of PM2.5 in training, ug m-3. A_ij is of `sigma_km` and
    edges are shorter than `reach_km`; `per_distance` as in graph.advection_factor.
    """

    level: float = 50.0
    spread: float = 50.0
    sigma_km: float = SIGMA_KM
    reach_km: float = REACH_KM
    per_distance: bool = True


@dataclass
class PlaceInputs:
    """What is read of the fields, of places with the same weather once.

    `inputs` (batch, sites, fields_before + hours, inputs) and `site` (places,), whose of them each place has.
    """

    inputs: torch.Tensor
    site: torch.Tensor
    _encoded: torch.Tensor | None = None

    @classmethod
    def of(cls, inputs: np.ndarray, places: int) -> PlaceInputs:
        """Of inputs (batch, places, hours, inputs), or of one place that stands for all."""
        import torch

        if inputs.shape[1] == 1:
            return cls(torch.from_numpy(np.ascontiguousarray(inputs)), torch.zeros(places, dtype=torch.long))
        rows = np.ascontiguousarray(inputs.swapaxes(0, 1)).reshape(places, -1)
        _, first, site = np.unique(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel(),
                                   return_index=True, return_inverse=True)
        return cls(torch.from_numpy(np.ascontiguousarray(inputs[:, first])), torch.from_numpy(site.ravel()))

    def encoded(self, network: torch.nn.Module) -> torch.Tensor:
        """h_temp of SPIN, (batch x hours, places, width); computed once."""
        if self._encoded is None:
            self._encoded = network.encode(self.inputs)[:, self.site]
        return self._encoded


@dataclass(frozen=True)
class Kind:
    """A kind whose estimates are over the level, of an hour each from values of that hour, or of whole days."""

    name: str
    reference: str           # how to cite it
    before: int = 0          # hours of values before a sample's hours
    after: int = 0
    fields_before: int = 0   # hours of fields
    whole_days: bool = False  # the hours of a day are estimated from all of them

    @property
    def history(self) -> int:
        """Hours that a model reads before the first target hour."""
        return max(self.before, self.fields_before, 23 if self.whole_days else 0)

    @property
    def future(self) -> int:
        """And after the last."""
        return max(self.after, 23 if self.whole_days else 0)

    def value(self, observed: np.ndarray, settings: GraphSettings) -> np.ndarray:
        """Observations in ug m-3, of any shape, as the network's values; 0 where missing or masked."""
        return np.nan_to_num(observed / settings.level).astype(np.float32)

    def concentration(self, output: torch.Tensor, settings: GraphSettings) -> torch.Tensor:
        """The network's output in ug m-3."""
        return output * settings.level

    def links(self, edges: Edges, settings: GraphSettings, dense: bool | None = None) -> Links:
        """A graph with this kind's distance kernel."""
        from aqreanalysis.models.graph.links import Links

        return Links.of(edges, closeness(edges.distance, settings.sigma_km), settings.per_distance, dense)

    def reach_km(self, settings: GraphSettings) -> float:
        """Length of the longest edge."""
        return settings.reach_km

    def exchange(self, links: Links, known: torch.Tensor, wind: torch.Tensor | None = None) -> Among:
        """Messages of samples: a station sends where it reported in the sample's hours, `known` (batch, stations,
        before + hours + after) bool. `wind` (batch, hours, stations, 2) m s-1."""
        from aqreanalysis.models.graph.links import Among

        return Among(links, known.any(dim=2).float())

    def run(self, network: torch.nn.Module, inputs: PlaceInputs, value: torch.Tensor,
            exchange: Callable[[str, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """The output (batch, places, hours) from values (batch, places, before + hours + after)."""
        return network(value, exchange)


class HourlyKind(Kind):
    """SPIN: each hour is by itself, and a station sends in an hour where it reported in it."""

    def exchange(self, links, known, wind=None):
        from aqreanalysis.models.graph.links import Among

        return Among(links, known.transpose(1, 2).flatten(0, 1).float(), None if wind is None else wind.flatten(0, 1))

    def run(self, network, inputs, value, exchange):
        batch, places, hours = value.shape
        h_temp = inputs.encoded(network)
        found = network.propagate(h_temp, value.transpose(1, 2).reshape(batch * hours, places), exchange)
        return found.unflatten(0, (batch, hours)).transpose(1, 2)


class EverywhereKind(Kind):
    """IGNNK: all pairs have an edge, exp(-d^2 / sigma^2)."""

    def links(self, edges, settings, dense=None):
        from aqreanalysis.models.graph.links import Links

        return Links.of(edges, closeness(edges.distance, settings.sigma_km / 2**0.5), settings.per_distance, dense)

    def reach_km(self, settings):
        return EVERYWHERE_KM


class StandardisedKind(Kind):
    """STGCN: values and estimates are z-scores."""

    def value(self, observed, settings):
        return np.nan_to_num((observed - settings.level) / settings.spread).astype(np.float32)

    def concentration(self, output, settings):
        return output * settings.spread + settings.level


KINDS: dict[str, Kind] = {kind.name: kind for kind in (
    HourlyKind("spin", WANG, fields_before=FIELDS_BEFORE), EverywhereKind("ignnk", WU, whole_days=True),
    StandardisedKind("stgcn", YU, before=6, after=5))}


def make_network(kind: str, options: dict) -> torch.nn.Module:
    """An untrained network of one of KINDS, with options as in a recipe; UserError for an option that it has not."""
    from aqreanalysis.models.graph.ignnk import Ignnk, IgnnkSizes
    from aqreanalysis.models.graph.spin import Spin, SpinSizes
    from aqreanalysis.models.graph.stgcn import Stgcn, StgcnSizes

    network, sizes = {"spin": (Spin, SpinSizes), "ignnk": (Ignnk, IgnnkSizes), "stgcn": (Stgcn, StgcnSizes)}[kind]
    known = [field.name for field in dataclass_fields(sizes)]
    if unknown := sorted(set(options) - set(known)):
        raise UserError(f"The model {kind} has no option {', '.join(unknown)}.", f"Its options are {', '.join(known)}.",
                        "Correct the recipe.")
    return network(sizes(**options))
