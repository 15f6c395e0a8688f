"""A product validates itself: its own stations are hidden, estimated, scored, and its errors calibrated on them.

    sample.py   which days are looked at, and which stations are hidden on them
    hidden.py   a part of them: what the model and kriging estimate there (the unit of work)
    fit.py      factors of errors fitted to them, with the checkpoint's as a prior
    scores.py   the table of scores
    store.py    validation.csv, validation.nc, calibration.json
    words.py    what is said of it
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aqreanalysis.evaluation.designs import LEAST_STATIONS, archive_designs, land_among
from aqreanalysis.evaluation.holdout import MAP_MATCHED, Fold
from aqreanalysis.evaluation.map_bias import MapBias, map_bias
from aqreanalysis.evaluation.matching import Land, standardised
from aqreanalysis.evaluation.strata import kinds_of_place
from aqreanalysis.models import error_correlation, registry
from aqreanalysis.models.calibration import Calibration
from aqreanalysis.observations.near_duplicates import NearDuplicates, find_duplicates, pieces
from aqreanalysis.observations.stations import city_numbers
from aqreanalysis.product.folder import Record
from aqreanalysis.product.month import check_unchanged
from aqreanalysis.product.plan import Plan
from aqreanalysis.product.validation import fit, scores, store, words
from aqreanalysis.product.validation.hidden import HiddenDays, HidingJob, hide_part
from aqreanalysis.product.validation.sample import Part, parts_of, sampled_days
from aqreanalysis.simulation import TwinArchive
from aqreanalysis.training.calibration import apply_bounds, daily_means
from aqreanalysis.training.error_pairs import errors_of

COMPARED_PIECES = 3  # weeks of the period in which stations are compared for near duplicates
Run = Callable[..., Any]  # run_jobs with the workers that were asked for: function, jobs, shared


class Shown(Protocol):
    """Shows how far a validation is."""

    def validating(self, parts: int) -> None:
        """So many parts are to be done."""

    def part_validated(self) -> None:
        """One is."""

    def validated(self, line: str) -> None:
        """All are; `line` says what was found."""

    def message(self, text: str) -> None:
        """Something else that is worth knowing."""


@dataclass(frozen=True)
class _Setting:
    """What the cross-fits have in common."""

    days: HiddenDays
    prior: Calibration | None
    memory_hours: float


def self_calibrated(plan: Plan, record: Record, run: Run, shown: Shown) -> Plan:
    """The plan with the product's own factors, and what its files say of them: those of the folder where they are as
    noted and no month stands in the way of other versions of packages, else from its hidden stations."""
    files, before = store.paths(plan.folder), record.outdated_validation(plan.job.versions)
    if before:
        shown.message(f"the validation of this folder was made with {before}; no month that follows from it is kept: "
                      "it is made again")
    if before or not record.has(files):
        began = time.monotonic()
        validate(plan, run, shown)
        made, facts = store.read_factors(plan.folder.calibration)
        record.note_validation(files, made.identity if made else "", facts, plan.job.versions,
                               round(time.monotonic() - began, 1))
        shown.validated(facts["headline"])
    made, facts = store.read_factors(plan.folder.calibration)
    about = words.told(plan.about, made, facts)
    return replace(plan, about=about, job=replace(plan.job, about=about, calibration=made))


def validate(plan: Plan, run: Run, shown: Shown) -> None:
    """Hide stations, estimate them, fit and judge factors; writes the three files, the factors last."""
    check_unchanged(plan.job, plan.job.description, plan.period)
    archive = plan.job.source.open()
    prior = registry.calibration_of(plan.job.model)
    table = _reporting(plan, archive)
    duplicates = _duplicates(archive, plan)
    parts, notes = _parts(plan, table, duplicates)
    cities = duplicates.one_label(dict(zip(table.station_id, city_numbers(table).tolist(), strict=True)))
    days = _hidden(HidingJob(plan.job, cities), parts, run, shown)
    setting = _Setting(days, prior, plan.job.description.error_memory_hours)
    made, crossed = _factors(setting, run)
    bias = bias_of_map(plan, days, made, table) if made else None
    made = _with_errors(made, days, prior, bias) if made else None
    pairs = scores.pairs_of(days, crossed, kinds_of_place(table)) if len(days.day) else []
    scored = scores.score_table(pairs) if pairs else pd.DataFrame(columns=list(scores.KEYS))
    facts = _facts(plan, days, made, prior, notes) | _bias_facts(bias)
    facts |= {"headline": words.headline(scored, facts), "calibrated_on": words.calibrated_on(facts)}
    store.write_table(plan.folder.validation("csv"), scored)
    store.write_hours(plan.folder.validation("nc"), days, crossed.get(fit.CITIES), table, plan.about)
    store.write_factors(plan.folder.calibration, replace(made, facts=_short(facts)) if made else None, facts)


def _short(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("stations", "days", "first", "last", "station_days", "independent")}


def _reporting(plan: Plan, archive) -> pd.DataFrame:
    """The archive's stations that have a value in the period."""
    table = archive.stations.reset_index(drop=True)
    cover = plan.inventory.coverage
    if cover is None:
        return table
    reported = set(np.asarray(cover.stations)[cover.station_hours > 0].astype(str))
    return table[table.station_id.astype(str).isin(reported)].reset_index(drop=True)


def _duplicates(archive, plan: Plan) -> NearDuplicates:
    """Near duplicates by place, and by some weeks of the period; the twin's are by place alone."""
    hours = plan.period.hours
    found = [] if isinstance(archive, TwinArchive) else list(pieces(archive, hours[0], hours[-1]))
    chosen = [found[number] for number in sorted({int(place) for place in np.linspace(
        0, len(found) - 1, min(COMPARED_PIECES, len(found)))})] if found else []
    return find_duplicates(archive.stations, (archive.read(*piece) for piece in chosen))


def _parts(plan: Plan, table: pd.DataFrame, duplicates: NearDuplicates) -> tuple[list[Part], list[str]]:
    """The parts to be done, none where stations are too few; and sentences on the designs."""
    if len(table) < LEAST_STATIONS:
        return [], []
    networks: np.ndarray | None = None
    seen: set[str] = set()
    notes: list[str] = []
    if not plan.folder.simulated:
        networks, seen = registry.hiding_networks(plan.job.model, table)
    designs = archive_designs(table, plan.grid, networks, duplicates)
    folds = [one for fold in designs.folds if (one := _without_scored(fold, seen)).asked]
    if seen:
        notes = [f"{len(seen)} of {len(table)} stations are not scored: the checkpoint's training saw them, or may "
                 "have, and it has no network that did not"]
    return parts_of(sampled_days(plan.period), folds) if folds else [], designs.notes + notes


def _without_scored(fold: Fold, stations: Collection[str]) -> Fold:
    """The fold with some stations scored in no design; they are hidden all the same."""
    return replace(fold, scored={name: tuple(s for s in of if s not in stations) for name, of in fold.scored.items()})


def _hidden(hiding: HidingJob, parts: list[Part], run: Run, shown: Shown) -> HiddenDays:
    """The rows of all parts in their order, whatever order they were done in."""
    shown.validating(len(parts))
    found: dict[int, HiddenDays] = {}
    with contextlib.closing(run(hide_part, parts, shared=hiding)) as results:
        for number, rows in results:
            shown.part_validated()
            if rows is not None:
                found[number] = rows
    return HiddenDays.joined([found[number] for number in sorted(found)]) if found else HiddenDays.empty()


def _factors(setting: _Setting, run: Run) -> tuple[Calibration | None, dict[str, fit.Fitted]]:
    """The factors of all rows, None where these are too few, and bounds of factors that were fitted without the own
    cities and without the own weeks; where nothing can be fitted, of the prior."""
    days, prior = setting.days, setting.prior
    if not len(days.day):
        return None, {}
    if not fit.is_enough(days):
        return None, {fit.CITIES: fit.fitted(days, prior), fit.WEEKS: fit.fitted(days, prior)} if prior else {}
    masks = fit.cross_fits(days)
    jobs = [(("all", 0), np.zeros(len(days.day), bool)), *masks.items()]
    with contextlib.closing(run(_fit_without, jobs, shared=setting)) as results:
        made = dict(results)
    crossed: dict[str, fit.Fitted] = {}
    for (kind, number), mask in masks.items():
        if (one := made[kind, number]) is not None:
            crossed.setdefault(kind, fit.Fitted.unknown(len(days.day))).fill(mask, fit.fitted(days[mask], one))
    return made["all", 0], crossed


def bias_of_map(plan: Plan, days: HiddenDays, made: Calibration, table: pd.DataFrame) -> MapBias | None:
    """The bias of the map's land, from stations weighted to be like it; None where there are too few, or no land."""
    mine = days[days.design == MAP_MATCHED]
    land = land_among(table["lat"].to_numpy(float), table["lon"].to_numpy(float), plan.grid)
    if not len(mine.day) or land is None:
        return None
    error, _, _ = apply_bounds(made.hourly, mine)
    mean, _, truth, _, day = daily_means(mine, error, made.correlation)
    features, _ = standardised(Land(mine.lat, mine.lon, mine.distance), land)
    columns = np.stack(list(features.values()), axis=1) if features else np.zeros((len(mean), 0))
    return map_bias(mean - truth, mean, mine.weight, columns, day, mine.city, mine.station.astype(str))


def _bias_facts(bias: MapBias | None) -> dict[str, Any]:
    """What is known of a bias of all cells, as plain values; relative, positive where the map is too high."""
    return {"bias_of_map": {name: round(value, 4) for name, value in asdict(bias).items()}} if bias else {}


def _with_errors(made: Calibration, days: HiddenDays, prior: Calibration | None, bias: MapBias | None) -> Calibration:
    """With the correlation of errors of different places and days: of the rows, with the checkpoint's, or the package's
    own, as a prior."""
    before = prior.errors if prior and prior.errors else error_correlation.DEFAULT
    measured = (f"at {len(np.unique(days.station.astype(str)))} of the product's own stations, hidden with their city "
                f"or their surroundings, on {len(np.unique(days.day))} days from {days.day.min()} to {days.day.max()}")
    weight = np.where(days.design == MAP_MATCHED, days.weight, 0.0)
    return replace(made, errors=errors_of(days, made, before, fit.independent_number(days), fit.PRIOR_WORTH, measured,
                                          weight, bias))


def _fit_without(setting: _Setting, job: tuple[tuple[str, int], np.ndarray]) -> tuple[tuple[str, int],
                                                                                     Calibration | None]:
    """The factors of all rows but those of a mask; the prior where too few are left."""
    key, left_out = job
    days = setting.days[~left_out]
    return key, fit.fit_product(days, setting.prior, setting.memory_hours) if fit.is_enough(days) else setting.prior


def _facts(plan: Plan, days: HiddenDays, made: Calibration | None, prior: Calibration | None,
           notes: list[str]) -> dict[str, Any]:
    """What is known of a validation, as plain values."""
    whole = days if made else days[days.whole]
    station_days = len(set(zip(days.station.astype(str), days.day.astype(str), strict=True)))
    return {"fitted": made is not None, "simulated": plan.folder.simulated,
            "stations": len(np.unique(whole.station.astype(str))), "days": len(np.unique(whole.day)),
            "first": str(days.day.min()) if len(days.day) else "", "last": str(days.day.max()) if len(days.day) else "",
            "designs": list(dict.fromkeys(days.design.tolist())), "station_days": station_days,
            "independent": round(fit.independent_number(days), 1), "prior_worth": fit.PRIOR_WORTH if prior else 0.0,
            "prior": registry.calibrated_on(plan.job.model), "notes": notes}
