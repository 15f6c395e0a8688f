"""The scores of a run of forecasts as tables to be read, with the paper's figures beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from aqreanalysis.evaluation import published
from aqreanalysis.evaluation.forecast import ALL_YEAR, MEAN_OF_SEEDS, Seeds
from aqreanalysis.evaluation.strata import SEASONS
from aqreanalysis.recipes import ForecastRecipe

SCORE_DIGITS = {"R2": 3, "MAE": 2, "RMSE": 2}
SKILL_DIGITS = SEASON_DIGITS = 1


def markdown(recipe: ForecastRecipe, table: pd.DataFrame, seeds: dict[str, Seeds], command: str) -> str:
    """tables.md: scores at and up to each lead, skill, seasons; for seen and for withheld stations.

    `seeds` by row: which of them `table` has; `command` trains what is missing.
    """
    parts = [f"# {recipe.name}", _introduction(recipe), *_missing(recipe, seeds, command)]
    for stations in ("seen", "withheld"):
        of = table[table["stations"] == stations]
        if len(of):
            parts += [_error_table(recipe, of, seeds, stations, how) for how in ("at", "up to")]
            parts += [_skill_table(recipe, of, seeds, stations), _season_table(recipe, of, seeds, stations)]
    return "\n\n".join(part for part in parts if part) + "\n"


def lead_unit(recipe: ForecastRecipe) -> str:
    """The unit in which a recipe counts its leads."""
    return "h" if recipe.mean_hours == 1 else "days" if recipe.mean_hours == 24 else f"x {recipe.mean_hours} h"


def _introduction(recipe: ForecastRecipe) -> str:
    of = "hourly values" if recipe.mean_hours == 1 else f"means over {recipe.mean_hours} h"
    return (f"{recipe.history} h are read, {recipe.horizon} h forecast; errors of {of} in µg m⁻³ on the last "
            f"{1 - recipe.train_share - recipe.validate_share:.0%} of the period, all stations pooled, hours of issue "
            f"every {recipe.test_every} h. Mean of a row's seeds ± their standard deviation; \"seeds\": how many were "
            "scored; \"together\": the mean of their forecasts. Paper: as printed, of another, unstated test period.")


def _missing(recipe: ForecastRecipe, seeds: dict[str, Seeds], command: str) -> list[str]:
    """A paragraph that names the rows whose seeds are not all trained; nothing where all are."""
    lines = [f"- {row}: {seeds[row].sentence if row in seeds else 'not scored, since its training is not finished'}"
             for row in recipe.models if row not in seeds or seeds[row].missing]
    if not lines:
        return []
    return ["**Trainings are missing from these scores.**", "\n".join(lines),
            f"Give `{command}` again, then evaluate again."]


def _error_table(recipe: ForecastRecipe, table: pd.DataFrame, seeds: dict[str, Seeds], stations: str,
                 how: str) -> str:
    """One line a row: every score at every lead, spread over seeds; the paper's where it has any."""
    cells = [(lead, name) for lead in recipe.leads for name in SCORE_DIGITS]
    printed = published.paper_scores(recipe.history, recipe.horizon, recipe.leads) if stations == "seen" else {}
    lines: list[list[str]] = []
    table = table[(table["season"] == ALL_YEAR) & (table["how"] == how)]
    for row, of in _by_row(table):
        single, together = of[of["seed"] != MEAN_OF_SEEDS], of[of["seed"] == MEAN_OF_SEEDS]
        lines.append([row, str(seeds[row]), *(_mean_and_spread(single[single["lead"] == lead][name], SCORE_DIGITS[name])
                                              for lead, name in cells)])
        if len(together):
            values = together.set_index("lead")[list(SCORE_DIGITS)].to_dict("index")
            lines.append([f"{row}, together", str(seeds[row]),
                          *(_rounded(values[lead][name], SCORE_DIGITS[name]) for lead, name in cells)])
    for row in dict.fromkeys(name for name, _ in printed):
        lines.append([f"*paper: {row}*", "", *(_rounded(printed[row, lead].get(name), SCORE_DIGITS[name])
                                               for lead, name in cells)])
    title = {"at": "Errors at the lead", "up to": "Errors averaged over the leads up to it"}[how]
    columns = [f"{name} {lead} {lead_unit(recipe)}" for lead, name in cells]
    return f"## {title}, {stations} stations\n\n" + _markdown_table(["", "seeds", *columns], lines)


def _skill_table(recipe: ForecastRecipe, table: pd.DataFrame, seeds: dict[str, Seeds], stations: str) -> str:
    """Skill in MAE of each AQ-Net over the best baseline, and over persistence."""
    lines = []
    for row, of in _by_row(table[table["skill_percent"].notna()]):
        if recipe.models[recipe.models[row].like or row].model == "aqnet":
            lines.append([row, str(seeds[row]), *(_skill_cell(line, seeds) for how in ("at", "up to")
                                                  for line in of[of["how"] == how].to_dict("records"))])
    if not lines:
        return ""
    columns = [f"{how} {lead} {lead_unit(recipe)}" for how in ("at", "up to") for lead in recipe.leads]
    return (f"## Skill in MAE, {stations} stations, %\n\nOver the best baseline of that lead; in brackets the central "
            "95 %, weeks resampled.\n\n" + _markdown_table(["", "seeds", *columns], lines))


def _skill_cell(line: dict, seeds: dict[str, Seeds]) -> str:
    """`+3.1 (+1.9 to +4.2) over ridge; 20.4 over persistence`, the baseline with its seeds where some are missing."""
    best = line["best"]
    baseline = f"{best} ({seeds[best]} seeds)" if seeds[best].missing else best
    return (f"{line['skill_percent']:+.1f} ({line['skill_low']:+.1f} to {line['skill_high']:+.1f}) over {baseline}; "
            f"{_rounded(line['skill_persistence'], SKILL_DIGITS)} over persistence")


def _season_table(recipe: ForecastRecipe, table: pd.DataFrame, seeds: dict[str, Seeds], stations: str) -> str:
    """MAE at each lead by season of the hour of issue."""
    of = table[(table["how"] == "at") & (table["season"] != ALL_YEAR)]
    lines = []
    for row, part in _by_row(of):
        is_mean = part["seed"] == MEAN_OF_SEEDS
        part = part[is_mean if is_mean.any() else part["seed"] == part["seed"].iloc[0]]
        mae = {(season, lead): value for season, lead, value in
               part[["season", "lead", "MAE"]].itertuples(index=False, name=None)}
        lines.append([row, str(seeds[row]), *(_rounded(mae.get((season, lead)), SEASON_DIGITS)
                                              for season in SEASONS for lead in recipe.leads)])
    columns = [f"{season} {lead} {lead_unit(recipe)}" for season in SEASONS for lead in recipe.leads]
    return f"## MAE by season, {stations} stations\n\n" + _markdown_table(["", "seeds", *columns], lines)


def _by_row(table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The lines of each row, in the order of the recipe."""
    return ((str(row), of) for row, of in table.groupby("row", sort=False))


def _mean_and_spread(values: pd.Series, digits: int) -> str:
    text = f"{values.mean():.{digits}f}"
    return f"{text} ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else text


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
