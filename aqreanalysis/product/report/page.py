"""report.html: the page that states what a product is, how it was made and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aqreanalysis import files, schema
from aqreanalysis.product.plan import Plan

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(plan: Plan, record: Mapping[str, Any], maps: list[Path]) -> None:
    """Write report.html into the product folder.

    Parameters
    ----------
    record : the content of run.json.
    maps : pictures in the product's folder `maps`, in the order of the page.
    """
    files.replace_text(plan.folder.report, render_report(plan, record, maps))


def render_report(plan: Plan, record: Mapping[str, Any], maps: list[Path]) -> str:
    """The page as HTML; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE.parent), autoescape=True,
                                     undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    facts = record["facts"]
    return environment.get_template(TEMPLATE.name).render(
        title=f"PM2.5 {plan.about.product} {plan.period.label} {plan.grid.name}",
        simulated=plan.folder.simulated,
        facts={**record["identity"], "stations": facts["stations"], "files of observations": facts["files"],
               "files skipped": len(facts["files_skipped"]), "reference state": plan.about.reference_state},
        quality=plan.about.quality, error=f"{plan.about.standard_error} {plan.about.bounds}",
        true_errors=true_errors(record["months"]), months=dict(sorted(record["months"].items())),
        skipped=facts["files_skipped"], maps=maps)


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
