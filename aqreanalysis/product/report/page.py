"""report.html: the page that states what a product is, how it was made and how far to trust it.

One file that asks for nothing: styles, script, data and pictures are inside it, and its own policy forbids requests and
any other script. Nothing of the clock is on it: the same product in the same folder has the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aqreanalysis import files, schema
from aqreanalysis.output.cf import About
from aqreanalysis.product import observed as observed_days
from aqreanalysis.product.observed import ObservedDays
from aqreanalysis.product.plan import Plan
from aqreanalysis.product.report import html, sections
from aqreanalysis.product.report.explorer import Explorer, explorer_of
from aqreanalysis.product.report.key_figures import key_figures
from aqreanalysis.product.report.outlines import frame_of
from aqreanalysis.product.report.pictures import pictures_of
from aqreanalysis.product.report.validation_charts import hidden_charts
from aqreanalysis.product.report.validation_rows import shown_scores

LIST_TITLES = {"files_skipped": "Files that were skipped", "files_passed_over": "Files that were passed over",
               "oddities": "Odd, but used", "reading": "How the files were read", "warnings": "Warnings"}
TWIN = "SIMULATED: made from the built-in twin, not from observations."
BEIJING = (39.904, 116.407)  # where the map begins, if it has it; degrees north, east


def write_report(plan: Plan, record: Mapping[str, Any], pictures: list[Path]) -> None:
    """Write report.html into the product folder.

    Parameters
    ----------
    record : the content of run.json.
    pictures : files in the product's folder `maps`, in the order of the page.
    """
    files.replace_text(plan.folder.report, render_report(plan, record, pictures))


def render_report(plan: Plan, record: Mapping[str, Any], pictures: Sequence[Path]) -> str:
    """The page as HTML; every value is escaped."""
    observed = observed_days.read_observed([(plan.folder.observed(month), month) for month in plan.period.months()])
    explorer = _explorer(plan, observed)
    charts = hidden_charts(plan.folder, str(record["identity"].get("checkpoint", ""))) if "validation" in record else []
    scripts = [name for name, of in ((html.MAP_SCRIPT, explorer), (html.CHARTS_SCRIPT, charts)) if of]
    return html.render(
        "report.html.j2", scripts, title=_title(plan), simulated=TWIN if plan.folder.simulated else "",
        explorer=explorer, rounding=_rounding(explorer), charts=charts, pictures=_pictures(plan, pictures),
        more_maps=[path.name for path in pictures], completeness=sections.completeness_of(observed, plan.period.first),
        **_content(plan, record, explorer))


def _title(plan: Plan) -> str:
    mark = "SIMULATED " if plan.folder.simulated else ""
    return f"{mark}PM2.5 {plan.about.product} {plan.period.label} {plan.grid.name}"


def _content(plan: Plan, record: Mapping[str, Any], explorer: Explorer | None) -> dict[str, Any]:
    """What stands on the page in words and numbers."""
    facts, about, months = record["facts"], plan.about, dict(sorted(record["months"].items()))
    truth, validation = true_errors(months), validation_of(plan, record)
    table = plan.folder.validation("csv") if validation and plan.folder.validation("csv").exists() else None
    return {
        "validation": validation, "true_errors": truth, "months": months,
        "figures": key_figures(table, explorer, plan.inventory.coverage, truth),
        "lead": (f"Hourly and daily PM2.5 from {plan.period.first} to {plan.period.last} (UTC+8) with standard error, "
                 f"{'bounds ' if about.bounds else ''}and quality flag; {plan.grid.name}, {plan.grid.size:,} "
                 f"{'points' if plan.grid.kind == 'points' else 'cells'}; {about.model}."),
        "facts": {**record["identity"], **dict(plan.inventory.rows()), "reference state": about.reference_state,
                  "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items())},
        "quality": about.quality, "error": _once(about.standard_error, about),
        "about_bounds": _once(about.bounds, about),
        "calibrated_on": about.calibrated_on, "bounds": record.get("bounds", {}),
        "flagged": sections.flagged_rows(months), "left_out": plan.inventory.left_out_by_reason(),
        "lists": {title: facts[key] for key, title in LIST_TITLES.items() if facts[key]},
        "uses": sections.uses_of(plan), "citation": sections.citation_of(plan)}


def _once(text: str, about: About) -> str:
    """Without what it was calibrated on, which stands in every sentence of a file and once on the page."""
    return text.replace(f"Calibrated on: {about.calibrated_on} ", "") if about.calibrated_on else text


def _explorer(plan: Plan, observed: ObservedDays | None) -> Explorer | None:
    """The map, where the daily files are there."""
    from aqreanalysis.figures.basemap import LABELLED_CITIES

    if not all(of.path.exists() for of in plan.folder.daily()):
        return None
    found = explorer_of(plan.grid, plan.folder.daily(), observed)
    west, south, east, north = frame_of(plan.grid)
    start = BEIJING if west < BEIJING[1] < east and south < BEIJING[0] < north else (
        float(plan.grid.lat.mean()), float(plan.grid.lon.mean()))
    found.about.update(start=start, simulated=plan.folder.simulated)
    found.about["cities"] = [(name, lat, lon) for name, (lat, lon) in LABELLED_CITIES.items()
                             if west < lon < east - 0.08 * (east - west) and south < lat < north]
    return found


def _rounding(explorer: Explorer | None) -> str:
    """How exact the numbers of the map are, in sentences."""
    if explorer is None:
        return ""
    half = 50 / explorer.steps
    text = (f"Numbers are those of the product's daily files, rounded: PM2.5 within {half:g} % of (value + 10 µg m⁻³), "
            f"bounds within {2 * half:g} %.")
    if (step := explorer.sample.step) > 1:
        text += (f" The product has more cells than this page can hold: of every {step} rows and columns one is shown, "
                 "with its own values.")
    return text


def _pictures(plan: Plan, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The maps that stand in the page: of the whole period, its error, and of the months of each year."""
    map_of, label = plan.folder.map, plan.period.label
    labels = {map_of(f"mean_{label}").stem: f"Map of mean PM2.5, {label}",
              map_of(f"standard_error_{label}").stem: f"Map of the mean standard error of daily PM2.5, {label}"}
    labels |= {map_of(f"months_{year}").stem: f"Maps of monthly mean PM2.5, {year}"
               for year in sorted({month.first.year for month in plan.period.months()})}
    return pictures_of(paths, labels)


def validation_of(plan: Plan, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of a product's own validation; empty where there was none."""
    if "validation" not in record:
        return {}
    facts, path = record["validation"]["facts"], plan.folder.validation("csv")
    shown = shown_scores(path) if path.exists() else {"designs": {}, "strata": []}
    return {**facts, **shown, "files": [path.name, plan.folder.validation("nc").name]}


def true_errors(months: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of a simulated product, by quality class: cell-hours, mean absolute error, share within the 90 % interval.

    months : by label, what run.json holds of each; empty where no month was compared with a truth.
    """
    totals: dict[str, dict[str, float]] = {}
    for month in months.values():
        for name, sums in month.get("true_error", {}).items():
            into = totals.setdefault(name, dict.fromkeys(sums, 0.0))
            for key, value in sums.items():
                into[key] += value
    found = {}
    for name in (name for name in schema.QUALITY if name in totals and totals[name]["cell_hours"]):
        of, hours = totals[name], totals[name]["cell_hours"]
        found[name] = {"cell_hours": hours, "MAE": of["sum_absolute_error"] / hours,
                       "coverage_90": of["covered_90"] / hours}
    return found
