"""Maps and the page that tells what a product is, how it was made and how far to trust it."""

from __future__ import annotations

import calendar
import html
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import xarray as xr

from aqreanalysis import files, output, schema
from aqreanalysis.figures import maps
from aqreanalysis.figures.layout import save_figure
from aqreanalysis.grids import Grid
from aqreanalysis.product.plan import Plan
from aqreanalysis.time_axis import Period
from aqreanalysis.workers import run_jobs

ANNUAL_LIMITS = {"WHO 2021 annual": 5.0, "GB 3095 grade II annual": 35.0}
FEW = 3  # maps that are drawn sooner than other processes have started


@dataclass(frozen=True)
class Sheet:
    """What all maps of a product have in common; sent to each worker once."""

    daily: list[Path]
    grid: Grid
    subtitle: str
    note: str
    simulated: bool


@dataclass(frozen=True)
class Drawing:
    """One map to be drawn: the mean of a period or its error, or with `panels` the means of some months."""

    path: Path
    period: Period
    variable: str = schema.TARGET
    panels: tuple[Period, ...] = ()
    limits: dict[str, float] | None = None


def draw_maps(plan: Plan, workers: int = 1) -> list[Path]:
    """The mean of the period, its error, and each month, by as many processes; maps that exist are kept."""
    sheet = Sheet([days.path for days in plan.folder.daily()], plan.grid, _subtitle(plan), _note(plan),
                  plan.folder.simulated)
    wanted = drawings(plan)
    missing = [drawing for drawing in wanted if not drawing.path.exists()]
    missing.sort(key=lambda drawing: -len(drawing.panels))  # what takes longest is begun first
    for _ in run_jobs(draw, missing, workers if len(missing) > FEW else 1, shared=sheet):
        pass
    return [drawing.path for drawing in wanted]


def drawings(plan: Plan) -> list[Drawing]:
    """All maps of a product."""
    months, whole = plan.period.months(), plan.period
    limits = ANNUAL_LIMITS if len(whole.label) == 4 else None  # they are of whole years
    found = [Drawing(plan.folder.map(f"mean_{whole.label}"), whole, limits=limits),
             Drawing(plan.folder.map(f"standard_error_{whole.label}"), whole, schema.STANDARD_ERROR)]
    if len(months) > 1:
        found += [Drawing(plan.folder.map(f"mean_{month.first:%Y%m}"), month) for month in months]
        for year in sorted({month.first.year for month in months}):
            of_year = tuple(month for month in months if month.first.year == year)
            found.append(Drawing(plan.folder.map(f"months_{year}"), whole, panels=of_year))
    return found


def draw(sheet: Sheet, drawing: Drawing) -> None:
    """Draw one map into its file."""
    of, common = drawing, {"subtitle": sheet.subtitle, "simulated": sheet.simulated, "note": sheet.note}
    if of.panels:
        figure = maps.panel_map([_field(sheet.daily, month) for month in of.panels], sheet.grid,
                                labels=[said(month) for month in of.panels], columns=min(4, len(of.panels)),
                                title=f"PM2.5, monthly means of {of.panels[0].first.year}",
                                flags=[_flag(sheet.daily, month) for month in of.panels], **common)
    elif of.variable == schema.STANDARD_ERROR:
        figure = maps.mean_map(_field(sheet.daily, of.period, of.variable), sheet.grid, label="standard error",
                               title=f"Standard error of daily PM2.5, mean of {said(of.period)}",
                               flag=_flag(sheet.daily, of.period), **common)
    else:
        figure = maps.mean_map(_field(sheet.daily, of.period), sheet.grid, title=f"PM2.5, mean of {said(of.period)}",
                               flag=_flag(sheet.daily, of.period), limits=of.limits, **common)
    save_figure(figure, of.path)


def _field(daily: list[Path], period: Period, variable: str = schema.TARGET) -> np.ndarray:
    return output.read_mean(daily, variable, period)[variable].values


def _flag(daily: list[Path], period: Period) -> np.ndarray:
    """The class of most days."""
    return output.read_most_frequent(daily, "quality_flag", period)


def _subtitle(plan: Plan) -> str:
    return f"{plan.about.product}, {plan.grid.name}, AQ-Net {plan.identity['checkpoint'].split()[0]}"


def _note(plan: Plan) -> str:
    return f"Observations: {plan.about.observations} Boundaries: Natural Earth."


def said(period: Period) -> str:
    """A period in words: 2016, January 2016, or its first and last day."""
    first, last = period.first, period.last
    if first.month == last.month and first.year == last.year:
        if (first.day, last.day) == (1, calendar.monthrange(first.year, first.month)[1]):
            return f"{calendar.month_name[first.month]} {first.year}"
    return period.label if len(period.label) == 4 else f"{first} to {last}"


def day_map(path: Path, grid: Grid, file: xr.Dataset, period: Period, note: str):
    """A map of some days of a product's daily files (`aqreanalysis map`)."""
    simulated = file.attrs.get("simulated") == "true"
    title = f"PM2.5, mean of {said(period)}" if period.n_days > 1 else f"PM2.5 on {period.first} (UTC+8)"
    return maps.mean_map(_field([path], period), grid, title=title, subtitle=file.attrs.get("title", ""),
                         flag=_flag([path], period), simulated=simulated, note=note)


def write_report(plan: Plan, record: dict, pictures: list[Path]) -> None:
    """report.html: what it is, what it was made from, the maps, and what to watch."""
    rows = "".join(f"<tr><th>{html.escape(label)}</th><td>{facts['stations']}</td><td>{facts['hours']}</td>"
                   f"<td>{facts['hours_without_observations']}</td><td>{html.escape(', '.join(facts['files']))}</td>"
                   "</tr>"
                   for label, facts in sorted(record["months"].items()))
    facts = {**{key: str(value) for key, value in record["identity"].items()},
             "stations": record["facts"]["stations"], "files of observations": record["facts"]["files"],
             "files skipped": len(record["facts"]["files_skipped"]), "reference state": plan.about.reference_state}
    table = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in facts.items())
    images = "".join(f'<figure><img src="maps/{p.name}" alt="{p.stem}" loading="lazy"></figure>' for p in pictures)
    skipped = "".join(f"<li>{html.escape(text)}</li>" for text in record["facts"]["files_skipped"])
    page = PAGE.substitute(
        title=html.escape(f"PM2.5 {plan.about.product} {plan.period.label} {plan.grid.name}"),
        banner='<p class="simulated">SIMULATED: made from the built-in twin, not from observations.</p>'
        if plan.folder.simulated else "",
        facts=table, months=rows, images=images, quality=html.escape(plan.about.quality),
        error=html.escape(f"{plan.about.standard_error} {plan.about.bounds}"), truth=_truth_table(record),
        skipped=f"<h2>Files that were skipped</h2><ul>{skipped}</ul>" if skipped else "")
    files.replace_text(plan.folder.report, page)


def true_errors(record: dict) -> dict[str, dict[str, float]]:
    """Of a simulated product, by quality class: cell-hours, mean absolute error, coverage of 90 %."""
    totals: dict[str, dict[str, float]] = {}
    for facts in record["months"].values():
        for name, sums in facts.get("true_error", {}).items():
            into = totals.setdefault(name, dict.fromkeys(sums, 0.0))
            for key, value in sums.items():
                into[key] += value
    return {name: {"cell_hours": s["cell_hours"], "MAE": s["sum_absolute_error"] / s["cell_hours"],
                   "coverage_90": s["covered_90"] / s["cell_hours"]} for name, s in totals.items() if s["cell_hours"]}


def _truth_table(record: dict) -> str:
    rows = "".join(f"<tr><th>{name}</th><td>{s['cell_hours']:,.0f}</td><td>{s['MAE']:.2f}</td>"
                   f"<td>{s['coverage_90']:.3f}</td></tr>" for name, s in true_errors(record).items())
    if not rows:
        return ""
    return ("<h2>Error against the twin's truth, in every cell and hour</h2><table>"
            "<tr><th>class</th><th>cell-hours</th>"
            f"<th>mean absolute error, µg m⁻³</th><th>within the central 90 % interval</th></tr>{rows}</table>")


PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}th,td{border-bottom:1px solid #ddd;padding:.25rem .75rem;text-align:left}
img{max-width:100%}figure{margin:1rem 0}.simulated{background:#b00020;color:#fff;padding:.75rem;font-weight:700}
</style></head><body><h1>$title</h1>$banner
<p>Hourly and daily PM2.5, standard error and quality flag. Hours are marked by their END in UTC; days are calendar
days in UTC+8.</p>
<h2>Made from</h2><table>$facts</table>
<h2>How far to trust it</h2><p>$quality</p><p>$error</p>$truth
<h2>Months</h2><table>
<tr><th>month</th><th>stations</th><th>hours</th><th>hours without observations</th><th>file</th></tr>
$months</table>$skipped<h2>Maps</h2>$images</body></html>
""")
