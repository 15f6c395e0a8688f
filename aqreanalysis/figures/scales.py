"""Scales of colour: steps of a palette between two numbers, round zero for differences, or named classes.

Palettes are even to the eye, in grey and for the colour blind too: `magma`, `viridis` and `cividis` of matplotlib,
reversed (light where there is little) and without their darkest part, on which lines could not be seen; for differences
blue to red through white (ColorBrewer RdBu). The colours of China's classes of a day (`aqi`) are the standard's, HJ
633-2012, and safe for nobody who can't tell red from green: an option, and never the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.statistics import DAY_CLASSES

TOP_SHARE, MOST_LEVELS = 0.995, 16  # of a colour scale: the share of values below its end, and its steps
DARKEST = 0.72  # of magma, where lines are still visible
STEPS = [1, 2, 2.5, 5, 10]
SEQUENTIAL = {"magma": ("magma_r", 0.0, DARKEST), "viridis": ("viridis_r", 0.0, 0.85),
              "cividis": ("cividis_r", 0.0, 0.85)}
DIVERGING, AQI = "RdBu_r", "aqi"
PALETTES = (*SEQUENTIAL, AQI)
# Classes of the individual index of a day's PM2.5: words and colours of HJ 633-2012, table 2
AQI_CLASSES = (("Excellent", "#00e400"), ("Good", "#ffff00"), ("Lightly polluted", "#ff7e00"),
               ("Moderately polluted", "#ff0000"), ("Heavily polluted", "#99004c"), ("Severely polluted", "#7e0023"))
AQI_TOP = 500.0  # ug m-3, where the index ends
FLAG_CLASSES = (("Supported", "#e9f2fa"), ("Few stations nearby", "#a6cee3"),
                ("Extrapolated, far from stations", "#4a90c2"), ("No observations", "#08306b"))


@dataclass(frozen=True)
class Scale:
    """Steps of colour: `levels` and what maps values to colours; `classes` (words, colour) where the steps have names.
    """

    levels: np.ndarray
    norm: Any
    cmap: Any
    classes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, values: Sequence[np.ndarray], vmax: float | None = None, palette: str = "magma",
           whole: bool = False) -> Scale:
        """One scale from 0 for all fields; its end is `vmax` or their 99.5th percentile, rounded up to a step.

        `whole` : steps are whole numbers, as of counts.
        """
        from matplotlib.colors import BoundaryNorm
        from matplotlib.ticker import MaxNLocator

        if palette == AQI:
            return cls.of_day_classes(values)
        shown = _finite(values)
        highest = shown.max(initial=0.0)
        if vmax is None:
            vmax = float(np.quantile(shown, TOP_SHARE)) if highest > 0 else 1.0
        ticks = MaxNLocator(MOST_LEVELS, steps=STEPS, integer=whole).tick_values(0, vmax)
        levels = np.asarray(ticks)[np.asarray(ticks) >= 0]
        cmap = _sequential(palette)
        extend: Literal["max", "neither"] = "max" if highest > levels[-1] else "neither"
        return cls(levels, BoundaryNorm(levels.tolist(), cmap.N, extend=extend), cmap)

    @classmethod
    def of_differences(cls, values: Sequence[np.ndarray], vmax: float | None = None) -> Scale:
        """As far below zero as above: to `vmax` or the 99.5th percentile of absolute values."""
        from matplotlib import colormaps
        from matplotlib.colors import BoundaryNorm
        from matplotlib.ticker import MaxNLocator

        shown = np.abs(_finite(values))
        highest = shown.max(initial=0.0)
        if vmax is None:
            vmax = float(np.quantile(shown, TOP_SHARE)) if highest > 0 else 1.0
        above = np.asarray(MaxNLocator(MOST_LEVELS // 2, steps=STEPS).tick_values(0, vmax))
        levels = np.concatenate([-above[:0:-1], above])
        cmap = colormaps[DIVERGING]
        extend: Literal["both", "neither"] = "both" if highest > levels[-1] else "neither"
        return cls(levels, BoundaryNorm(levels.tolist(), cmap.N, extend=extend), cmap)

    @classmethod
    def of_day_classes(cls, values: Sequence[np.ndarray]) -> Scale:
        """China's classes of a day's PM2.5 (HJ 633-2012), from 0 to AQI_TOP."""
        from matplotlib.colors import BoundaryNorm, ListedColormap

        levels = np.array([0.0, *DAY_CLASSES, AQI_TOP])
        cmap = ListedColormap([colour for _, colour in AQI_CLASSES])  # what is above its end has its last colour
        edges = [f"{low:g} to {high:g}" for low, high in zip(levels[:-1], levels[1:], strict=True)]
        classes = tuple((f"{words}, {edge}", colour) for (words, colour), edge in zip(AQI_CLASSES, edges, strict=True))
        # a class ends with its limit: 35 is excellent, as the standard has it
        return cls(levels, BoundaryNorm(np.nextafter(levels, np.inf).tolist(), cmap.N), cmap, classes)

    @classmethod
    def of_flags(cls) -> Scale:
        """Quality classes of schema.QUALITY but for the sea."""
        from matplotlib.colors import BoundaryNorm, ListedColormap

        levels = np.arange(len(FLAG_CLASSES) + 1) - 0.5
        cmap = ListedColormap([colour for _, colour in FLAG_CLASSES])
        return cls(levels, BoundaryNorm(levels.tolist(), cmap.N), cmap, FLAG_CLASSES)

    @property
    def style(self) -> dict[str, Any]:
        """Keywords of matplotlib's functions that colour by value."""
        return {"cmap": self.cmap, "norm": self.norm}

    @property
    def is_named(self) -> bool:
        """Whether its colours are told by words alone, without a bar."""
        return self.classes == FLAG_CLASSES


def check_palette(name: str) -> str:
    """The name itself; UserError where there is no such palette."""
    if name not in PALETTES:
        raise UserError(f"--palette {name} is unknown.", f"Palettes are {', '.join(PALETTES)}.",
                        "Leave it out for one that fits what is shown.")
    return name


def _finite(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.asarray(of, float)[np.isfinite(of)] for of in values])


def _sequential(palette: str) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    name, first, last = SEQUENTIAL[palette]
    return ListedColormap(colormaps[name](np.linspace(first, last, 256)))
