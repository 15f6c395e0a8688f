"""The scores of a run as tables to be read, with the paper's figures beside them."""

from __future__ import annotations

import pandas as pd

from aqreanalysis.evaluation import published
from aqreanalysis.evaluation.strata import SEASONS
from aqreanalysis.recipes import ForecastRecipe

DIGITS = {"R2": 3, "MAE": 2, "RMSE": 2}


def markdown(recipe: ForecastRecipe, table: pd.DataFrame) -> str:
    """tables.md: scores at and up to each lead, skill, seasons; for seen and for withheld stations."""
    parts = [f"# {recipe.name}", _head(recipe)]
    for stations in ("seen", "withheld"):
        of = table[table.stations == stations]
        if len(of):
            parts += [_errors(recipe, of, stations, how) for how in ("at", "up to")]
            parts += [_skill(recipe, of, stations), _seasons(recipe, of, stations)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _unit(recipe: ForecastRecipe) -> str:
    return "h" if recipe.mean_hours == 1 else "days" if recipe.mean_hours == 24 else f"x {recipe.mean_hours} h"


def _head(recipe: ForecastRecipe) -> str:
    of = "hourly values" if recipe.mean_hours == 1 else f"means over {recipe.mean_hours} h"
    return (f"{recipe.history} h are read, {recipe.horizon} h forecast; errors of {of} in µg m⁻³ on the last "
            f"{1 - recipe.train_share - recipe.validate_share:.0%} of the period, all stations pooled, hours of issue "
            f"every {recipe.test_every} h. Mean of {len(recipe.seeds)} seeds ± their standard deviation; \"together\": "
            "the mean of their forecasts. Paper: as printed, of another, unstated test period.")


def _errors(recipe: ForecastRecipe, table: pd.DataFrame, stations: str, how: str) -> str:
    """One line a row: every score at every lead, spread over seeds; the paper's where it has any."""
    names = list(DIGITS)
    columns = [f"{name} {lead} {_unit(recipe)}" for lead in recipe.leads for name in names]
    printed = published.table(recipe.history, recipe.horizon, recipe.leads) if stations == "seen" else {}
    lines = []
    table = table[(table.season == "all") & (table.how == how)]
    for row, of in table.groupby("row", sort=False):
        seeds, together = of[of.seed != "mean"], of[of.seed == "mean"]
        lines.append([row, *(_spread(seeds[seeds.lead == lead][name], DIGITS[name])
                             for lead in recipe.leads for name in names)])
        if len(together):
            lines.append([f"{row}, together", *(f"{together[together.lead == lead][name].iloc[0]:.{DIGITS[name]}f}"
                                                for lead in recipe.leads for name in names)])
    for row in dict.fromkeys(name for name, _ in printed):
        lines.append([f"*paper: {row}*", *(_number(printed[row, lead].get(name), DIGITS[name])
                                           for lead in recipe.leads for name in names)])
    title = {"at": "Errors at the lead", "up to": "Errors averaged over the leads up to it"}[how]
    return f"## {title}, {stations} stations\n\n" + _table(["", *columns], lines)


def _spread(values: pd.Series, digits: int) -> str:
    text = f"{values.mean():.{digits}f}"
    return f"{text} ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else text


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _skill(recipe: ForecastRecipe, table: pd.DataFrame, stations: str) -> str:
    """Skill in MAE of each row over the best baseline, and over persistence."""
    if "skill_percent" not in table:
        return ""
    lines = []
    for row, of in table[table.skill_percent.notna()].groupby("row", sort=False):
        if not row.startswith("AQ-Net"):
            continue
        cells = []
        for how in ("at", "up to"):
            for line in of[of.how == how].itertuples():
                still = _number(getattr(line, "skill_persistence", None), 1)
                cells.append(f"{line.skill_percent:+.1f} ({line.skill_low:+.1f} to {line.skill_high:+.1f}) over "
                             f"{line.best}; {still} over persistence")
        lines.append([row, *cells])
    columns = [f"{how} {lead} {_unit(recipe)}" for how in ("at", "up to") for lead in recipe.leads]
    return (f"## Skill in MAE, {stations} stations, %\n\nOver the best baseline of that lead, with 95 % of weeks drawn "
            "again.\n\n" + _table(["", *columns], lines))


def _seasons(recipe: ForecastRecipe, table: pd.DataFrame, stations: str) -> str:
    """MAE at each lead by season of the hour of issue."""
    of = table[(table.how == "at") & (table.season != "all")]
    lines = []
    for row, part in of.groupby("row", sort=False):
        part = part[part.seed == ("mean" if (part.seed == "mean").any() else part.seed.iloc[0])]
        part = part.set_index(["season", "lead"]).MAE
        lines.append([row, *(_number(part.get((season, lead)), 1) for season in SEASONS for lead in recipe.leads)])
    columns = [f"{season} {lead} {_unit(recipe)}" for season in SEASONS for lead in recipe.leads]
    return f"## MAE by season, {stations} stations\n\n" + _table(["", *columns], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
