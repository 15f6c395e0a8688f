"""The static covariates that a recipe chooses, their values at places, and what makes one scale of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aqreanalysis.errors import UserError
from aqreanalysis.fields.own import CovariateFile, Layer, open_layer, sample
from aqreanalysis.fields.static import STATIC_COVARIATES, Transform, static_covariates
from aqreanalysis.schema import LAT, LON, POINT

LEAST_KNOWN = 0.5  # share of the training stations that have a value
_NAMED = 5         # places without a value, by name


class CovariateChoice(BaseModel):
    """Section `covariates` of a recipe: some that ship, by name, and a user's own, by file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    static: tuple[str, ...] = Field((), description="Names of static covariates that ship.")
    files: tuple[CovariateFile, ...] = Field((), description="Static covariates of your own.")

    @field_validator("static")
    @classmethod
    def _are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in STATIC_COVARIATES]:
            raise ValueError(f"{unknown[0]!r:.60} is not one of {', '.join(STATIC_COVARIATES)}")
        return names

    @model_validator(mode="after")
    def _have_names_of_their_own(self):
        if twice := [name for i, name in enumerate(self.names) if name in self.names[:i]]:
            raise ValueError(f"{twice[0]} is named twice")
        if taken := [own.name for own in self.files if own.name in STATIC_COVARIATES]:
            raise ValueError(f"{taken[0]} is the name of a covariate that ships; give yours another one")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return (*self.static, *(own.name for own in self.files))

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What is taken of each before standardising."""
        return (*(STATIC_COVARIATES[name].transform for name in self.static), *(own.transform for own in self.files))


class CovariateSources:
    """Chosen covariates, with their files opened and checked: `at` gives their values."""

    def __init__(self, chosen: CovariateChoice):
        """UserError where a file can't be used: open_layer."""
        self.chosen = chosen
        self._layers: list[Layer] = [open_layer(own) for own in chosen.files]

    def at(self, lat, lon) -> xr.Dataset:
        """Dataset (point) of float32 variables, in the order of `chosen.names`, at places in degrees (points,).

        NaN where a place lies outside a source or has no value there.
        """
        lat, lon = np.asarray(lat, float), np.asarray(lon, float)
        found = (static_covariates(lat, lon)[list(self.chosen.static)] if self.chosen.static
                 else xr.Dataset(coords={LAT: (POINT, lat), LON: (POINT, lon)}))
        own = {of.name: (POINT, sample(layer, lat, lon, of.interpolation), layer.attributes | {"source": of.file})
               for of, layer in zip(self.chosen.files, self._layers, strict=True)}
        return found.assign(own)


def missing_values(covariates: xr.Dataset, places: list[str]) -> list[str]:
    """A sentence for each covariate that is missing at some of the named places (points,)."""
    sentences = []
    for name, values in covariates.data_vars.items():
        missing = np.flatnonzero(~np.isfinite(values.values))
        if missing.size:
            named = ", ".join(places[i] for i in missing[:_NAMED])
            more = f" and {missing.size - _NAMED} more" if missing.size > _NAMED else ""
            sentences.append(f"The covariate {name} has no value at {missing.size:,} of {values.size:,} places: "
                             f"{named}{more}.")
    return sentences


@dataclass(frozen=True)
class Standardisation:
    """What makes covariates comparable: a transform of each, then its mean and standard deviation at training stations.

    Plain values, which go into a checkpoint: a network reads at any place what it would have read in training.
    """

    names: tuple[str, ...]
    transforms: tuple[Transform, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @classmethod
    def fit(cls, covariates: xr.Dataset, transforms: tuple[Transform, ...]) -> Standardisation:
        """From covariates at the training stations (point); those without a value do not count.

        Raises
        ------
        UserError : where a covariate is the same at all stations, is known at less than half of them, or is negative
            where its logarithm is taken.
        """
        means, deviations = [], []
        for (name, values), transform in zip(covariates.data_vars.items(), transforms, strict=True):
            transformed = _transformed(str(name), values.values, transform)
            known = transformed[np.isfinite(transformed)]
            if known.size < max(2, LEAST_KNOWN * transformed.size):
                raise UserError(f"The covariate {name} has a value at {known.size} of {transformed.size} training "
                                "stations.", "At least half of them need one.",
                                "Choose a file that covers the stations, or take the covariate out of the recipe.")
            mean, deviation = float(known.mean()), float(known.std())
            if deviation <= 1e-6 * max(1.0, abs(mean)):
                one = values.values[np.isfinite(values.values)][0]
                raise UserError(f"The covariate {name} is {one:g} at all training stations.",
                                "One that tells places apart differs between them.",
                                "Take it out of the recipe, or check its file.")
            means.append(mean)
            deviations.append(deviation)
        return cls(tuple(map(str, covariates.data_vars)), tuple(transforms), tuple(means), tuple(deviations))

    def apply(self, covariates: xr.Dataset) -> np.ndarray:
        """Standardised values, float32 (points, covariates); NaN where a covariate has no value.

        UserError where one that was trained with is not there.
        """
        if absent := [name for name in self.names if name not in covariates]:
            raise UserError(f"There is no covariate {absent[0]}.",
                            f"The model was trained with {', '.join(self.names)}.")
        columns = [(_transformed(name, covariates[name].values, transform) - mean) / deviation
                   for name, transform, mean, deviation in zip(self.names, self.transforms, self.means,
                                                               self.deviations, strict=True)]
        return np.stack(columns, axis=1).astype(np.float32)

    def asdict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {key: list(values) for key, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Standardisation:
        """What `asdict` gave."""
        return cls(**{key: tuple(values) for key, values in stored.items()})


def _transformed(name: str, values: np.ndarray, transform: Transform) -> np.ndarray:
    values = np.asarray(values, float)
    if transform == "log":
        if negative := int(np.sum(values < 0)):
            raise UserError(f"The covariate {name} is negative at {negative:,} places (the lowest is "
                            f"{np.nanmin(values):g}).", "`transform: log` is the logarithm of 1 + x, of amounts.",
                            "Choose `transform: sqrt`, which keeps the sign, or `none`.")
        return np.log1p(values)
    return np.sign(values) * np.sqrt(np.abs(values)) if transform == "sqrt" else values
