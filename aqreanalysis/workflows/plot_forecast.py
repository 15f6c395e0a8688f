"""`aqreanalysis figures RUN`: a week of forecasts, two heads of the attention, attention of target blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from aqreanalysis import recipes, time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.attention import AttentionWeights, attention_weights, sums_of_hours, two_clusters
from aqreanalysis.figures.forecast import HeadProfiles, TimeSlot, blocks_figure, heads_figure, week_figure
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.models import checkpoint
from aqreanalysis.models.forecast.forecaster import Forecaster
from aqreanalysis.models.forecast.series import Series, point_neighbours
from aqreanalysis.training import forecast_data
from aqreanalysis.workflows.evaluate_forecast import TrainedRow, kind_of, recipe_of_run, trained_rows

if TYPE_CHECKING:
    from aqreanalysis.models.aqnet.forecast import AQNetForecast
    from aqreanalysis.models.forecast.window import PointNeighbours

SLOTS = {"9:00 to 12:00": (10, 11, 12), "16:00 to 19:00": (17, 18, 19)}  # END-of-hour stamps, UTC+8
WEEK_HOURS, WEEK_DAYS, DAY_HOURS = 168, 7, 24
ATTENTION_WINDOWS = 200  # of the test slice, evenly spaced
MIDNIGHT = 0
LONG_HISTORY = 48        # hours: from here on the attention is summed over days, else over SHORT_BLOCK hours
SHORT_BLOCK = 3


@dataclass(frozen=True)
class Forecasts:
    """The trained forecasters of a row, the arrays that they read, and the hours of issue of the test slice."""

    recipe: recipes.ForecastRecipe
    models: tuple[Forecaster, ...]
    given: Series
    near: PointNeighbours
    origins: np.ndarray


def draw_figures(run: Path, row: str | None, out: Path) -> list[str]:
    """Write the figures of a row's trained forecasts into a folder; returns what each shows, its name first.

    `row` None is the recipe's first AQ-Net.
    """
    trained = _trained(Path(run), row)
    forecasts = _opened(trained)
    lines = [f"{trained.name}: {trained.seeds.sentence}"] if trained.seeds.missing else []
    lines += _draw_week(forecasts, out)
    attention = _attention(forecasts)
    if attention:
        lines += [_draw_heads(forecasts.recipe, attention, out), _draw_blocks(forecasts.recipe, attention, out)]
    return lines


def _trained(run: Path, row: str | None) -> TrainedRow:
    """The row of a run folder; a UserError where it is no trained AQ-Net."""
    recipe = recipe_of_run(run)
    networks = {name: of for name, of in trained_rows(recipe, run).items() if kind_of(recipe, name) == "aqnet"}
    row = row or next(iter(networks), None)
    if row is None or row not in networks:
        raise UserError(f"{run} holds no trained AQ-Net{f' {row!r}' if row else ''}.",
                        f"Figures are of attention; trained are {', '.join(networks) or 'none'}.",
                        "Name one with --row.")
    return networks[row]


def _opened(row: TrainedRow) -> Forecasts:
    recipe, withheld = row.recipe, row.recipe.models[row.name].withheld
    data = forecast_data.of_recipe(recipe)
    models = tuple(checkpoint.load_forecaster(folder)[0] for folder in row.folders)
    given = data.series(withheld, models[0].scaler, models[0].trend, models[0].weather)
    near = point_neighbours(given.lat, given.lon, given.lat, given.lon, recipe.k)
    return Forecasts(recipe, models, given, near, data.slices.origins("test", recipe.history, recipe.horizon))


def _attention(of: Forecasts) -> list[AttentionWeights]:
    """The attention of each forecaster over windows of the test slice; none of networks without attention."""
    if not cast("AQNetForecast", of.models[0].network).sizes.attention:
        return []
    spaced = of.origins[np.linspace(0, len(of.origins) - 1, min(ATTENTION_WINDOWS, len(of.origins))).astype(int)]
    return [attention_weights(model, of.given, spaced, of.near) for model in of.models]


def _draw_week(of: Forecasts, out: Path) -> list[str]:
    """The week whose error is the median of all test weeks, so that none is picked for its appearance."""
    horizon = of.recipe.horizon
    weeks = _weeks(of)
    if not weeks:
        return [f"no figure of a week: the test slice holds no week of forecasts of {horizon} h"]
    error = np.array([np.nanmean(np.abs(found - truth)) if np.isfinite(truth).any() else np.inf
                      for _, found, truth in weeks])
    start, found, truth = weeks[int(np.argsort(error)[np.isfinite(error).sum() // 2])]
    found = np.where(np.isfinite(truth), found, np.nan)
    ends = (np.arange(1, WEEK_HOURS + 1) - 1) % DAY_HOURS + 1  # issued at midnight
    slots = [TimeSlot(name, *(_daily_means(array[:, np.isin(ends, hours)], len(hours)) for array in (truth, found)))
             for name, hours in SLOTS.items()]
    first = str(time_axis.local_days(of.given.time[start:start + 2])[1])
    issue = "issued once" if horizon >= WEEK_HOURS else f"issued anew every {horizon} h"
    title = f"PM2.5 of Beijing, {len(of.given.station)} stations, week from {first}, {issue}"
    path = save_figure(week_figure(slots, title), out / "figure_3_week.png")
    differences = [f"{slot.name} MAE {np.nanmean(np.abs(slot.observed - slot.forecast)):.1f}" for slot in slots]
    return [f"{path.name}: the week of median error, {first}; {', '.join(differences)}"]


def _weeks(of: Forecasts) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Every seventh week that begins at midnight: its first row, forecast and truth (stations, WEEK_HOURS)."""
    local = (of.given.time[of.origins].astype("datetime64[h]").astype(int) + time_axis.UTC_OFFSET_HOURS) % DAY_HOURS
    starts = of.origins[local == MIDNIGHT]
    hops = np.arange(0, WEEK_HOURS, min(of.recipe.horizon, WEEK_HOURS))
    starts = starts[np.isin(starts + hops[-1], of.origins)]
    weeks = []
    for start in starts[::WEEK_DAYS]:
        found = np.mean([model.at_origins(of.given, start + hops, of.near) for model in of.models], axis=0)
        found = found.transpose(1, 0, 2).reshape(found.shape[1], -1)[:, :WEEK_HOURS]
        weeks.append((int(start), found, of.given.truth[start + 1:start + 1 + WEEK_HOURS].numpy().T))
    return weeks


def _daily_means(values: np.ndarray, hours: int) -> np.ndarray:
    """Means (days,) over stations and the hours of a slot; NaN where nothing was observed."""
    by_day = values.reshape(len(values), -1, hours)
    seen = np.isfinite(by_day)
    count = seen.sum(axis=(0, 2))
    return np.where(count > 0, np.where(seen, by_day, 0).sum(axis=(0, 2)) / np.maximum(count, 1), np.nan)


def _draw_heads(recipe: recipes.ForecastRecipe, attention: Sequence[AttentionWeights], out: Path) -> str:
    profile, spread = np.concatenate([of.heads for of in attention]), np.concatenate([of.spread for of in attention])
    place, cluster, chosen = two_clusters(profile)
    ages = attention[0].ages
    first, second = (float(profile[head] @ ages) for head in chosen)
    figure = heads_figure(HeadProfiles(profile, spread, place, cluster, chosen, ages),
                          f"Attention of two of {len(profile)} heads, {recipe.history} h read")
    sizes = np.bincount(cluster, minlength=2)
    return (f"{save_figure(figure, out / 'figure_4_heads.png').name}: mean age of what they see: {first:.1f} and "
            f"{second:.1f} h, all steps alike would be {ages.mean():.1f} h; {sizes[0]} and {sizes[1]} heads in their "
            "clusters")


def _draw_blocks(recipe: recipes.ForecastRecipe, attention: Sequence[AttentionWeights], out: Path) -> str:
    by_day = recipe.history >= LONG_HISTORY
    hours = DAY_HOURS if by_day else SHORT_BLOCK
    weight = sums_of_hours(np.mean([of.blocks for of in attention], axis=0), attention[0].ages, hours)
    count, each = weight.shape[1], recipe.horizon // len(weight)
    past = [f"-{(count - n) * (1 if by_day else hours)}" for n in range(count)]
    in_days = each % DAY_HOURS == 0
    coming = [f"+{(n + 1) * each // DAY_HOURS} d" if in_days else f"+{n * each + 1} to +{(n + 1) * each} h"
              for n in range(len(weight))]
    figure = blocks_figure(weight, past, coming,
                           f"Attention of target blocks over what is read ({'d' if by_day else 'h'})")
    differ = 50 * np.abs(weight - weight.mean(axis=0)).sum(axis=1).max()
    return (f"{save_figure(figure, out / 'figure_5_blocks.png').name}: the last {hours} h get "
            f"{100 * weight[:, -1].min():.0f} to {100 * weight[:, -1].max():.0f} %; rows differ from their mean by at "
            f"most {differ:.0f} % of the attention")
