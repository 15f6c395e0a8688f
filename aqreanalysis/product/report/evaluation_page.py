"""report.html of `evaluate`: how good a checkpoint is at stations that were left out, and what that rests on.

One file that asks for nothing, in the manner of a product's report. Nothing of the clock is on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from aqreanalysis import __version__, files
from aqreanalysis.evaluation.holdout import DISTANCE_MATCHED, MAP_MATCHED, REGIONS, SINGLE_STATIONS, WHOLE_CITIES
from aqreanalysis.evaluation.metrics import YARDSTICKS
from aqreanalysis.observations.inventory import Inventory
from aqreanalysis.product.report import html
from aqreanalysis.product.report.key_figures import UNIT, KeyFigure
from aqreanalysis.product.report.validation_charts import charts_of
from aqreanalysis.product.report.validation_rows import FREQUENCIES, number

HOURLY, DAILY = FREQUENCIES
IN_WORDS = {HOURLY: "hours", DAILY: "days"}
TWIN = "SIMULATED: the observations are the built-in twin's, not real air."
DESIGNS = (MAP_MATCHED, DISTANCE_MATCHED, WHOLE_CITIES, SINGLE_STATIONS, REGIONS)  # the headline first
DESIGN_WORDS = {MAP_MATCHED: "at places like the map's land",
                DISTANCE_MATCHED: "as far from stations as the map's land",
                WHOLE_CITIES: "at stations of whole cities left out", SINGLE_STATIONS: "at stations left out singly",
                REGIONS: "in regions left out"}
STRATA = ("season", "place", "observed level", "distance third")
LIST_TITLES = {"skipped": "Files that were skipped", "passed over": "Files that were passed over",
               "odd": "Odd, but used", "note": "How the files were read", "warning": "Warnings"}


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found; `table` as evaluation.metrics.score_table returns it, `ours` the model that is judged.

    `facts` are what it was made from, `cite` how the model is cited, `notes` sentences on the designs, `names` the
    files beside the page, `command` the line that made them.
    """

    table: pd.DataFrame
    ours: str
    reference: str
    about: str
    simulated: bool
    notes: Sequence[str]
    facts: Mapping[str, str]
    cite: str
    inventory: Inventory | None = None
    names: Sequence[str] = ()
    command: str = ""


def write_evaluation(path: Path, of: Evaluated, pictures: Mapping[str, Path], otherwise: str) -> Path:
    """Write the page; `pictures` are files of figures, `otherwise` says what to do where it can not be written."""
    files.replace_text(path, render_evaluation(of, pictures), otherwise)
    return path


def render_evaluation(of: Evaluated, pictures: Mapping[str, Path]) -> str:
    """The page as HTML; every value is escaped."""
    whole = of.table[of.table.hours == "all"]
    designs = designs_of(whole)
    charts = charts_of(pictures, of.simulated)
    mark = "SIMULATED " if of.simulated else ""
    inventory = of.inventory
    return html.render(
        "evaluation.html.j2", [html.CHARTS_SCRIPT] if charts else [], lead=of.about,
        title=f"{mark}Scores of {of.ours} at stations left out, {of.facts.get('period', '')}".rstrip(", "),
        simulated=TWIN if of.simulated else "", figures=evaluation_figures(of.table, of.ours, of.reference),
        tables=[beside_reference(whole, designs, of), all_models(whole, designs)],
        strata=by_stratum(whole, designs, of),
        yardsticks=daily_yardsticks(whole, designs), bases=list(YARDSTICKS.values()), reference=of.reference,
        ours=of.ours, charts=charts, notes=of.notes, names=of.names, command=of.command,
        facts={**(dict(inventory.rows()) if inventory else {}), **of.facts},
        left_out=inventory.left_out_by_reason() if inventory else {},
        lists={LIST_TITLES[kind]: texts for kind, texts in inventory.lists.items() if texts} if inventory else {},
        citation=_citation(of, mark))


def designs_of(table: pd.DataFrame) -> list[str]:
    """The designs that a table has scores of, the headline first."""
    found = set(table.group)
    return [name for name in DESIGNS if name in found]


def evaluation_figures(table: pd.DataFrame, ours: str, reference: str) -> list[KeyFigure]:
    """Skill, bias, error and coverage in the design that stands for the map, where there is one."""
    whole = table[(table.hours == "all") & (table.by == "all") & (table.model == ours)]
    design = designs_of(whole)[0]
    rows = whole[whole.group == design].set_index("frequency")
    hours, where = rows.loc[HOURLY], DESIGN_WORDS[design]
    other = table[(table.hours == "all") & (table.by == "all") & (table.model == reference) & (table.group == design)
                  & (table.frequency == HOURLY)]
    beside = [f"95 % interval {hours.NMB_low:+.1f} to {hours.NMB_high:+.1f} %"] * bool(hours.NMB_low == hours.NMB_low)
    beside += [f"{reference} {bias:+.1f} %" for bias in other.NMB_percent]
    found = [
        KeyFigure(f"{abs(hours.skill_percent):.1f} %",
                  f"{'better' if hours.skill_percent >= 0 else 'WORSE'} than {reference} {where}",
                  f"95 % interval {hours.skill_low:+.1f} to {hours.skill_high:+.1f} %, hours"
                  if hours.skill_low == hours.skill_low else "too few cities or weeks for an interval"),
        KeyFigure(f"{hours.NMB_percent:+.1f} %", "bias there", "; ".join(beside)),
        KeyFigure(f"{hours.MAE:.1f} {UNIT}", "mean absolute error of an hour there",
                  f"of a day {rows.loc[DAILY].MAE:.1f}" if DAILY in rows.index else "")]
    held = [(name, share) for name, share in rows.coverage_90.items() if share == share]
    if held:
        found.append(KeyFigure(" · ".join(f"{100 * share:.0f} %" for _, share in held),
                               "inside the 90 % interval there", " and ".join(IN_WORDS[str(name)] for name, _ in held)))
    found.append(KeyFigure(f"{hours.n:,}", "hours of stations compared",
                           f"worth {hours.stations:.0f} stations that count alike"))
    return found


def beside_reference(whole: pd.DataFrame, designs: Sequence[str], of: Evaluated) -> dict[str, Any]:
    """Hours and days of each design, a row each."""
    part = whole[(whole.by == "all") & (whole.model == of.ours)]
    kept = {(row["group"], row["frequency"]): row for row in whole[
        (whole.by == "all") & (whole.model == of.reference)].to_dict("records")}
    rows = []
    for design in designs:
        for row in part[part.group == design].to_dict("records"):
            other = kept[design, row["frequency"]]
            rows.append([design, IN_WORDS[row["frequency"]], f"{row['n']:,}",
                         number(row["skill_percent"], "+.1f"), _ends(row, "skill"), number(row["RMSE_ratio"], ".3f"),
                         number(row["MAE"], ".2f"), number(other["MAE"], ".2f"), number(row["r"], ".3f"),
                         number(row["NMB_percent"], "+.1f"), _ends(row, "NMB"), number(other["NMB_percent"], "+.1f"),
                         number(100 * row["coverage_90"], ".1f"), number(row["width_90"], ".1f")])
    return {"title": f"{of.ours} beside {of.reference}", "label": "Scores by design", "text_columns": 2, "rows": rows,
            "heads": ["stations left out", "of", "pairs", f"better than {of.reference}, %", "95 % interval",
                      "RMSE over its", f"mean absolute error, {UNIT}", f"{of.reference}'s", "r", "bias, %",
                      "95 % interval", f"{of.reference}'s", "within the 90 % interval, %", "its width"]}


def _ends(row: Mapping[Any, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{low:+.1f} to {high:+.1f}" if low == low else ""


def all_models(whole: pd.DataFrame, designs: Sequence[str]) -> dict[str, Any]:
    """Mean absolute errors of every model, of hours and of days."""
    part = whole[whole.by == "all"]
    cells = {(row["model"], row["group"], row["frequency"]): row["MAE"] for row in part.to_dict("records")}
    heads = [(design, frequency) for design in designs for frequency in FREQUENCIES]
    rows = [[model, *(number(cells.get((model, *head), float("nan")), ".2f") for head in heads)]
            for model in dict.fromkeys(part.model)]
    return {"title": f"Mean absolute error of every model, {UNIT}", "label": "Errors of every model", "text_columns": 1,
            "heads": ["model", *(f"{design}, {'hours' if name == HOURLY else 'days'}" for design, name in heads)],
            "rows": rows}


def by_stratum(whole: pd.DataFrame, designs: Sequence[str], of: Evaluated) -> list[dict[str, Any]]:
    """For each design, hours by season, kind of place, observed level and distance."""
    mine = whole[(whole.model == of.ours) & (whole.frequency == HOURLY) & whole.by.isin(STRATA)]
    found = []
    for design in designs:
        part = mine[mine.group == design]
        rows = [[row["slice"], row["by"], f"{row['n']:,}", number(row["skill_percent"], "+.1f"), _ends(row, "skill"),
                 number(row["MAE"], ".2f"), number(row["NMB_percent"], "+.1f"), number(100 * row["coverage_90"], ".1f")]
                for by in STRATA for row in part[part.by == by].to_dict("records")]
        found.append({"title": f"{design}: {DESIGN_WORDS[design]}", "label": f"Strata, {design}", "text_columns": 2,
                      "rows": rows, "heads": ["stratum", "by", "pairs", f"better than {of.reference}, %",
                                              "95 % interval", f"mean absolute error, {UNIT}", "bias, %",
                                              "within the 90 % interval, %"]})
    return [table for table in found if table["rows"]]


def daily_yardsticks(whole: pd.DataFrame, designs: Sequence[str]) -> dict[str, Any]:
    """Yardsticks of the literature, of daily means in the first design."""
    part = whole[(whole.by == "all") & (whole.frequency == DAILY) & (whole.group == designs[0])]
    rows = [[row["model"], row["boylan_russell"], row["emery_unconfirmed"], number(row["MQI_secondary_source"], ".2f"),
             number(row["class_agreement"], ".2f"), *(number(row[name], ".2f") for name in ("POD", "FAR", "CSI"))]
            for row in part.to_dict("records")]
    return {"title": f"Daily means, {designs[0]}: yardsticks of the literature", "label": "Yardsticks", "rows": rows,
            "text_columns": 3, "heads": ["model", "Boylan and Russell", "Emery, unconfirmed", "MQI, second hand",
                                         "class right", "POD over 75 µg m⁻³", "FAR", "CSI"]}


def _citation(of: Evaluated, mark: str) -> list[str]:
    """Sentences to be cited."""
    said = [f"{mark}Scores of {of.facts.get('checkpoint', of.ours)} at stations that were left out, "
            f"{of.facts.get('period', '')}. Made with aqreanalysis {__version__}.",
            f"Model: {of.cite}"]
    return said + ([f"Observations: {of.inventory.source}"] if of.inventory else [])
