"""`aqreanalysis figures RUN`: a week of forecasts, two heads of the attention, attention of target blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aqreanalysis import time_axis
from aqreanalysis.errors import UserError
from aqreanalysis.evaluation.attention import AttentionWeights, attention_weights, by_block, two_kinds
from aqreanalysis.figures import forecasts as figures
from aqreanalysis.models.forecast import stored
from aqreanalysis.models.forecast.series import point_neighbours
from aqreanalysis.product.report import save
from aqreanalysis.training import forecast_data as observations
from aqreanalysis.workflows.evaluate_forecast import recipe_of_run, trained_rows

SLOTS = {"9:00 to 12:00": (10, 11, 12), "16:00 to 19:00": (17, 18, 19)}  # END-of-hour stamps, UTC+8
WEEK_HOURS, WINDOWS = 168, 200
MIDNIGHT = 0


def draw(run: Path, row: str, out: Path) -> list[str]:
    """Write the figures of a row's trained forecasts into a folder; returns what was written and what they show."""
    recipe = recipe_of_run(run)
    rows = trained_rows(recipe, run)
    folders = {name: of.folders for name, of in rows.items()}
    if row not in folders or recipe.models[recipe.models[row].like or row].model != "aqnet":
        known = [name for name in folders if recipe.models[recipe.models[name].like or name].model == "aqnet"]
        raise UserError(f"{run} holds no trained AQ-Net {row!r}.",
                        f"Figures are of attention; trained are {', '.join(known) or 'none'}.", "Name one with --row.")
    data = observations.of(recipe)
    withheld = recipe.models[row].withheld
    models = [stored.load(folder)[0] for folder in folders[row]]
    given = data.series(withheld, models[0].scaler, models[0].trend)
    near = point_neighbours(given.lat, given.lon, given.lat, given.lon, recipe.k)
    origins = data.slices.origins("test", recipe.history, recipe.horizon)
    spaced = origins[np.linspace(0, len(origins) - 1, min(WINDOWS, len(origins))).astype(int)]
    lines = _week(recipe, models, given, near, origins, out)
    if not models[0].network.sizes.attention:
        return lines
    seen = [attention_weights(model, given, spaced, near) for model in models]
    return lines + _heads(recipe, seen, out) + _blocks(recipe, seen, out)


def _week(recipe, models, given, near, origins: np.ndarray, out: Path) -> list[str]:
    """The week whose error is the median of all test weeks, so that none is picked for its looks."""
    local = (given.time[origins].astype("datetime64[h]").astype(int) + time_axis.UTC_OFFSET_HOURS) % 24
    starts = origins[local == MIDNIGHT]
    hops = np.arange(0, WEEK_HOURS, min(recipe.horizon, WEEK_HOURS))
    starts = starts[np.isin(starts + hops[-1], origins)]
    if not len(starts):
        return [f"no figure of a week: the test slice holds no week of forecasts of {recipe.horizon} h"]
    weeks = []
    for start in starts[::7]:
        found = np.mean([model.at_origins(given, start + hops, near) for model in models], axis=0)
        found = found.transpose(1, 0, 2).reshape(found.shape[1], -1)[:, :WEEK_HOURS]
        truth = given.truth[start + 1:start + 1 + WEEK_HOURS].numpy().T
        weeks.append((start, found, truth))
    error = np.array([np.nanmean(np.abs(found - truth)) if np.isfinite(truth).any() else np.inf
                      for _, found, truth in weeks])
    start, found, truth = weeks[int(np.argsort(error)[np.isfinite(error).sum() // 2])]
    found = np.where(np.isfinite(truth), found, np.nan)
    ends = (np.arange(1, WEEK_HOURS + 1) - 1) % 24 + 1  # issued at midnight
    slots = [figures.Slot(name, *(_daily(array[:, np.isin(ends, hours)], len(hours)) for array in (truth, found)))
             for name, hours in SLOTS.items()]
    first = str(time_axis.local_days(given.time[start:start + 2])[1])
    issue = "issued once" if recipe.horizon >= WEEK_HOURS else f"issued anew every {recipe.horizon} h"
    save(figures.week(slots, f"PM2.5 of Beijing, {len(given.station)} stations, week from {first}, {issue}"),
         out / "figure_3_week.png")
    differences = [f"{slot.name} MAE {np.nanmean(np.abs(slot.observed - slot.forecast)):.1f}" for slot in slots]
    return [f"written: {out / 'figure_3_week.png'} (the week of median error, {first}; {', '.join(differences)})"]


def _daily(values: np.ndarray, hours: int) -> np.ndarray:
    """Means (days,) over stations and the hours of a slot; NaN where nothing was observed."""
    cut = values.reshape(len(values), -1, hours)
    seen = np.isfinite(cut)
    count = seen.sum(axis=(0, 2))
    return np.where(count > 0, np.where(seen, cut, 0).sum(axis=(0, 2)) / np.maximum(count, 1), np.nan)


def _heads(recipe, seen: list[AttentionWeights], out: Path) -> list[str]:
    profile, spread = (np.concatenate([getattr(look, name) for look in seen]) for name in ("heads", "spread"))
    place, cluster, chosen = two_kinds(profile)
    ages = seen[0].ages
    reach = [float(profile[head] @ ages) for head in chosen]
    save(figures.heads(figures.Heads(profile, spread, place, cluster, chosen, ages),
                       f"Attention of two of {len(profile)} heads, {recipe.history} h read"),
         out / "figure_4_heads.png")
    sizes = np.bincount(cluster, minlength=2)
    return [f"written: {out / 'figure_4_heads.png'} (mean age of what they see: {reach[0]:.1f} and {reach[1]:.1f} h, "
            f"all steps alike would be {ages.mean():.1f} h; {sizes[0]} and {sizes[1]} heads in their clusters)"]


def _blocks(recipe, seen: list[AttentionWeights], out: Path) -> list[str]:
    hours = 24 if recipe.history >= 48 else 3
    weight = by_block(np.mean([look.blocks for look in seen], axis=0), seen[0].ages, hours)
    count, each = weight.shape[1], recipe.horizon // len(weight)
    unit = "d" if hours == 24 else "h"
    past = [f"-{(count - n) * (1 if hours == 24 else hours)}" for n in range(count)]
    coming = [f"+{(n + 1) * each // 24} d" if each % 24 == 0 else f"+{n * each + 1} to +{(n + 1) * each} h"
              for n in range(len(weight))]
    save(figures.blocks(weight, past, coming, f"Attention of target blocks over what is read ({unit})"),
         out / "figure_5_blocks.png")
    differ = 50 * np.abs(weight - weight.mean(axis=0)).sum(axis=1).max()
    return [f"written: {out / 'figure_5_blocks.png'} (the last {hours} h get "
            f"{100 * weight[:, -1].min():.0f} to {100 * weight[:, -1].max():.0f} %; rows differ from their mean by at "
            f"most {differ:.0f} % of the attention)"]
