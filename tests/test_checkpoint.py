"""Checkpoints: what was saved is what is loaded, and what is damaged is refused, never used."""

import dataclasses
import hashlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from models_fixtures import (
    MIDDLE,
    days,
    lively_calibration,
    lively_network,
    long_cube,
    small_sizes,
    targets_over,
)

from aqreanalysis.errors import UserError
from aqreanalysis.models import checkpoint, registry
from aqreanalysis.models.aqnet.analysis import AQNetAnalysis
from aqreanalysis.models.checkpoint import CHECKSUM, WEIGHTS, AnalysisFacts, Card, with_checksum
from aqreanalysis.models.cross_fitting import NEVER_SEEN, NO_FOLD, training_folds
from aqreanalysis.models.features import Scaler
from aqreanalysis.models.forecast import kinds
from aqreanalysis.models.forecast.trend import Trend
from aqreanalysis.models.geostatistics import Correlation

DESCRIPTION = "checkpoint.json"
WINDOW = {"margin_hours": 12, "context_hours": 372}
CORRELATION = Correlation(range_km=123.0, nugget=0.07)


STATIONS = [["S000", 36.5, 113.5, 0], ["S001", 37.5, 115.5, 1], ["S002", 38.5, 117.5, 1]]


def card_of(**changed) -> Card:
    facts = dict(name="a-test", kind="aqnet-analysis", created="2026-01-31", network=small_sizes().asdict(), scaler={},
                 k=7, variables=["pm25"],
                 analysis=AnalysisFacts(dataclasses.asdict(CORRELATION), WINDOW, 5.5, STATIONS),
                 training={"source": "the mock cube", "every_nth_week_withheld": 6},
                 withheld={"test_single": ["S009"], "test_city": [], "validation_single": [], "validation_city": []},
                 versions={"torch": torch.__version__})
    return Card(**facts | changed)


@pytest.fixture(scope="module")
def cube():
    return long_cube(stations=12)


@pytest.fixture
def folder(tmp_path):
    return checkpoint.save(tmp_path / "a-test", lively_network(), card_of())


def rewrite(folder, **changed):
    """The description with some keys changed, and its checksum that of the new content; None takes a key out."""
    content = json.loads((folder / DESCRIPTION).read_text()) | changed
    content = {name: value for name, value in content.items() if value is not None}
    (folder / DESCRIPTION).write_text(json.dumps(with_checksum(content)))


def error_of(folder) -> UserError:
    with pytest.raises(UserError) as caught:
        checkpoint.load(folder)
    error = caught.value
    assert error.rule and error.fix and str(folder) in error.problem
    return error


def test_round_trip(folder, cube):
    model, card = checkpoint.load(folder)
    network = lively_network()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], value, rtol=0, atol=0)
    assert card == dataclasses.replace(card_of(), weights_sha256=card.weights_sha256)
    assert (model.correlation, model.k, model.covariates, model.calibration) == (CORRELATION, 7, None, None)
    hours = days(MIDDLE)
    before = AQNetAnalysis(network, CORRELATION, 7).predict(cube, targets_over(hours))
    np.testing.assert_array_equal(model.predict(cube, targets_over(hours)).pm25, before.pm25)


def test_it_is_loaded_for_prediction_not_training(folder):
    model, _ = checkpoint.load(folder)
    assert not any(module.training for module in model.network.modules())


def test_the_number_of_neighbours_can_be_chosen(folder):
    assert checkpoint.load(folder, 11)[0].k == 11


def test_saving_again_replaces_and_leaves_nothing_behind(folder):
    checkpoint.save(folder, lively_network(seed=1), card_of(k=9))
    model, card = checkpoint.load(folder)
    assert card.k == 9 and sorted(path.name for path in folder.iterdir()) == [DESCRIPTION, WEIGHTS]
    assert not torch.equal(model.network.head.out.weight, lively_network(seed=0).head.out.weight)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_byte_is_found(folder, place):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[place]] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    assert WEIGHTS in error_of(folder).problem and "hash" in error_of(folder).problem


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_truncated_weights_are_found(folder, size):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:size])
    assert WEIGHTS in error_of(folder).problem


def test_a_card_is_checked_with_its_weights(folder):
    """Without torch: whoever only asks what a checkpoint is need not build its network."""
    assert checkpoint.checked_card(folder) == checkpoint.load(folder)[1]
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-1])
    with pytest.raises(UserError, match="is damaged .its hash"):
        checkpoint.checked_card(folder)


def test_missing_weights(folder):
    (folder / WEIGHTS).unlink()
    assert WEIGHTS in error_of(folder).problem


def test_weights_of_another_network(folder):
    rewrite(folder, network=small_sizes().asdict() | {"width": 16})
    assert WEIGHTS in error_of(folder).problem


@pytest.mark.parametrize("changed, message", [
    ({"format": "something else"}, "something else"),
    ({"format": None}, "format"),
    ({"format_version": 1}, "format version is 1"),
    ({"colour": "blue"}, "colour"),
    ({"scaler": None}, "scaler"),
    ({"analysis": {"correlation": {"sill": 1.0}, "window": {}, "error_memory_hours": 5.5, "stations": STATIONS,
                   "folds": [], "covariates": {}}}, "sill"),
    ({"analysis": {"correlation": {}, "window": {}}}, "covariates"),
    ({"analysis": None}, "analysis"),
    ({"calibration": {"hourly": {}}}, "hourly|daily|level"),
    ({"calibration": lively_calibration().asdict() | {"correlation": [1.0]}}, "correlation"),
    ({"calibration": lively_calibration().asdict() | {"colour": "blue"}}, "colour"),
])
def test_a_description_that_is_none(folder, changed, message):
    rewrite(folder, **changed)
    error = error_of(folder)
    assert DESCRIPTION in error.problem and re.search(message, error.problem)


def test_a_description_that_was_changed_by_hand_is_refused(folder):
    """Any number counts, the layout of the file does not."""
    text = (folder / DESCRIPTION).read_text()
    (folder / DESCRIPTION).write_text(json.dumps(json.loads(text), indent=7))
    assert checkpoint.load(folder)[1].analysis.correlation["range_km"] == 123.0
    assert text.count("123.0") == 1
    (folder / DESCRIPTION).write_text(text.replace("123.0", "123.1"))
    error = error_of(folder)
    assert DESCRIPTION in error.problem and "changed" in error.problem and "again" in error.fix


def test_the_hash_of_a_description_is_that_of_its_other_keys(folder):
    content = json.loads((folder / DESCRIPTION).read_text())
    checksum = content.pop(CHECKSUM)
    assert checksum == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def test_an_older_description_without_a_hash_of_its_own_is_read(folder):
    content = json.loads((folder / DESCRIPTION).read_text())
    del content[CHECKSUM]
    (folder / DESCRIPTION).write_text(json.dumps(content | {"k": 8}))
    assert checkpoint.load(folder)[1].k == 8


def as_version_2(folder):
    """The folder's card as version 2 had it: facts of an analysis among the others, validation called tune."""
    content = json.loads((folder / DESCRIPTION).read_text()) | {"format_version": 2}
    facts = content.pop("analysis")
    content |= {name: facts[name] for name in ("correlation", "window", "error_memory_hours")}
    content["withheld"] = {name.replace("validation", "tune"): value for name, value in content["withheld"].items()}
    content["scores"] = {name.replace("validation", "tuning"): value for name, value in content["scores"].items()}
    (folder / DESCRIPTION).write_text(json.dumps(with_checksum(content)))
    return content


def as_version_3(folder):
    """The folder's card as version 3 had it: no stations, no folds and no covariates."""
    facts = json.loads((folder / DESCRIPTION).read_text())["analysis"]
    kept = {name: facts[name] for name in ("correlation", "window", "error_memory_hours")}
    rewrite(folder, format_version=3, analysis=kept)


@pytest.mark.parametrize("as_old", [as_version_2, as_version_3])
def test_an_older_checkpoint_can_be_read_but_not_asked(folder, as_old):
    """Its weights were another network's. What the card says is as it was."""
    card = card_of(calibration=lively_calibration().asdict(), scores={"validation_stations": [{"MAE": 7.0}]},
                   withheld={"test_single": ["S001"], "test_city": [], "validation_single": ["S002"],
                             "validation_city": ["S003"]})
    _, current = checkpoint.load(checkpoint.save(folder, lively_network(), card))
    as_old(folder)
    text = (folder / DESCRIPTION).read_bytes()
    found = checkpoint.read_card(folder)
    assert found == dataclasses.replace(current, analysis=dataclasses.replace(current.analysis, stations=[]))
    assert found.identity == current.identity and checkpoint.checked_card(folder) == found
    assert (folder / DESCRIPTION).read_bytes() == text
    error = error_of(folder)
    assert "version 0.1 or 0.2" in error.problem and "has changed" in error.rule and "Train it again" in error.fix


def test_a_damaged_checkpoint_of_version_2_is_refused(folder):
    content = as_version_2(folder)
    (folder / DESCRIPTION).write_text(json.dumps(with_checksum(content) | {"k": 8}))
    assert "changed after it was written" in error_of(folder).problem
    (folder / DESCRIPTION).write_text(json.dumps(with_checksum(content | {"colour": "blue"})))
    assert "colour" in error_of(folder).problem
    del content["window"]
    (folder / DESCRIPTION).write_text(json.dumps(with_checksum(content)))
    assert "window" in error_of(folder).problem


# --- networks of folds, and covariates


def test_the_network_of_a_fold(folder, cube):
    """It lies within, is another network, and is found by its number; one that is missing is named."""
    checkpoint.save(checkpoint.fold_folder(folder, 1), lively_network(seed=1), card_of(name="of-fold", k=6))
    main, one = checkpoint.load(folder), checkpoint.load(folder, fold=1)
    assert (main[1].name, one[1].name, one[0].k) == ("a-test", "of-fold", 6)
    assert torch.equal(one[0].network.head.out.weight, lively_network(seed=1).head.out.weight)
    assert not torch.equal(main[0].network.head.out.weight, one[0].network.head.out.weight)
    assert checkpoint.load(folder, 5, 1)[0].k == 5
    with pytest.raises(UserError, match="fold-2") as caught:
        checkpoint.load(folder, fold=2)
    assert caught.value.rule and caught.value.fix


def test_the_network_of_a_fold_has_the_calibration_of_its_checkpoint(folder):
    """A fold's own description has none: what it is asked for would be scored with raw errors."""
    checkpoint.save(folder, lively_network(), card_of(calibration=lively_calibration().asdict()))
    checkpoint.save(checkpoint.fold_folder(folder, 1), lively_network(seed=1), card_of(name="of-fold"))
    one = registry.load_model(folder, fold=1)
    assert one.calibration == lively_calibration() == registry.load_model(folder).calibration
    assert torch.equal(one.network.head.out.weight, lively_network(seed=1).head.out.weight)


def test_covariates_come_back_with_the_sources_and_scales_that_they_were_trained_with(folder):
    from aqreanalysis.fields.covariates import CovariateChoice, Standardisation

    choice, scale = CovariateChoice(static=("elevation", "population_5km")), Standardisation(
        ("elevation", "population_5km"), ("none", "log"), (300.0, 5.0), (400.0, 2.0))
    facts = dataclasses.replace(card_of().analysis, covariates=scale.asdict() | {
        "sources": choice.model_dump(mode="json")})
    sizes = small_sizes(covariates=2)
    checkpoint.save(folder, lively_network(sizes=sizes), card_of(network=sizes.asdict(), analysis=facts))
    model, card = checkpoint.load(folder)
    assert model.covariates.standardisation == scale and card.analysis.covariates == facts.covariates
    lat, lon = np.array([39.9, 36.0]), np.array([116.4, 113.5])
    elevation = model.covariates.sources.at(lat, lon).elevation.values
    np.testing.assert_allclose(model.covariates.at(lat, lon)[:, 0], (elevation - 300.0) / 400.0, rtol=1e-5)


def test_covariates_are_bounded_and_at_stations_have_no_gaps():
    """Ten deviations count as four; a station without a value has the nearest one's, or the mean where none has one."""
    from aqreanalysis.fields.covariates import Standardisation
    from aqreanalysis.models.aqnet.analysis import StaticCovariates

    values = xr.Dataset({"x": ("point", np.float32([10.0, np.nan, -1.0])), "y": ("point", np.full(3, np.nan, "f4"))})
    sources = SimpleNamespace(at=lambda lat, lon: values)
    found = StaticCovariates(sources, Standardisation(("x", "y"), ("none", "none"), (0.0, 0.0), (1.0, 1.0)))
    lat, lon = np.array([36.0, 36.9, 37.0]), np.full(3, 115.0)
    np.testing.assert_array_equal(found.at(lat, lon), [[4, np.nan], [np.nan, np.nan], [-1, np.nan]])
    np.testing.assert_array_equal(found.at_stations(lat, lon), [[4, 0], [-1, 0], [-1, 0]])


def as_forecast_1(folder):
    """The folder's card as a forecast of version 1, in forecast.json."""
    content = json.loads((folder / DESCRIPTION).read_text())
    content |= {"format": "aqreanalysis-forecast", "format_version": 1, "row": content.pop("name"),
                "model": content.pop("kind").removesuffix("-forecast"), "options": content.pop("network"),
                "withheld": content["withheld"]["test_single"]} | content.pop("forecast")
    training = content["training"]
    content |= {name: training.pop(name) for name in ("settings", "steps", "seconds", "log")}
    for name in ("created", "scores", "calibration"):
        del content[name]
    (folder / DESCRIPTION).unlink()
    (folder / "forecast.json").write_text(json.dumps(with_checksum(content)))


@pytest.fixture
def forecast_folder(tmp_path, cube):
    torch.manual_seed(0)
    network = kinds.make("lstm", 24, 12, (4.0, 0.8), {"width": 8})
    facts = checkpoint.ForecastFacts(24, 12, {"slope": -0.05, "zero": 45.0}, [float(n) for n in range(12)], 1, 3, 20.5)
    return checkpoint.save(tmp_path / "lstm-c1-s3", network, Card(
        name="LSTM", kind="lstm-forecast", created="2026-01-31", network={"width": 8},
        scaler=dataclasses.asdict(Scaler.fit(cube)), k=7, withheld={"test_single": ["S001"]}, forecast=facts,
        training={"source": "the mock cube", "fingerprint": "ab", "stations": 11, "settings": {"steps": 9}, "steps": 9,
                  "seconds": 1.5, "log": [[3, 21.0]]}, versions={"torch": torch.__version__}))


def test_a_forecast_needs_its_scaler(forecast_folder):
    rewrite(forecast_folder, scaler={"mean": {}})
    with pytest.raises(UserError, match="std"):
        checkpoint.load_forecaster(forecast_folder)


def test_a_forecaster_round_trip(forecast_folder):
    model, card = checkpoint.load_forecaster(forecast_folder)
    assert (model.name, model.history, model.horizon, model.k) == ("LSTM", 24, 12, 7)
    assert model.trend == Trend(-0.05, 45.0) and model.error.tolist() == list(range(12))
    assert (card.model, card.task, card.forecast.seed) == ("lstm", "forecast", 3)
    assert "analysis" not in json.loads((forecast_folder / DESCRIPTION).read_text())
    assert checkpoint.checked_card(forecast_folder, task=None) == card


def test_a_forecast_of_version_1_opens_and_is_the_same(forecast_folder):
    before, current = checkpoint.load_forecaster(forecast_folder)
    as_forecast_1(forecast_folder)
    assert sorted(path.name for path in forecast_folder.iterdir()) == ["forecast.json", WEIGHTS]
    assert checkpoint.has_card(forecast_folder) and checkpoint.locate(forecast_folder) == forecast_folder
    assert checkpoint.locate(forecast_folder / "forecast.json") == forecast_folder
    model, card = checkpoint.load_forecaster(forecast_folder)
    assert card == dataclasses.replace(current, created="")  # version 1 had no date
    for name, value in before.network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], value, rtol=0, atol=0)


def test_a_forecast_where_an_analysis_is_needed_and_the_other_way_round(folder, forecast_folder):
    with pytest.raises(UserError, match="lstm-forecast.*need one of the kind 'aqnet-analysis or spin-analysis"):
        checkpoint.load(forecast_folder)
    with pytest.raises(UserError, match="aqnet-analysis.*lstm-forecast"):
        checkpoint.load_forecaster(folder)
    rewrite(forecast_folder, kind="oracle-forecast")
    with pytest.raises(UserError, match="oracle-forecast.*Update aqreanalysis"):
        checkpoint.load_forecaster(forecast_folder)


def test_a_checkpoint_of_a_newer_version_is_refused_with_what_to_do(folder):
    rewrite(folder, format_version=5)
    error = error_of(folder)
    assert "newer version" in error.problem and "5" in error.problem and "Update aqreanalysis" in error.fix


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00\x01", '"format"'])
def test_a_description_that_is_no_json_object(folder, text):
    (folder / DESCRIPTION).write_text(text)
    assert DESCRIPTION in error_of(folder).problem


def test_a_description_that_is_not_text(folder):
    (folder / DESCRIPTION).write_bytes(b"\xff\xfe\x00{")
    assert DESCRIPTION in error_of(folder).problem


def test_a_calibration_comes_back_and_is_part_of_what_a_product_is_made_from(folder):
    plain = checkpoint.load(folder)
    made = lively_calibration()
    card = card_of(calibration=made.asdict())
    model, card = checkpoint.load(checkpoint.save(folder, lively_network(), card))
    assert plain[0].calibration is None and model.calibration == made
    assert plain[1].identity == f"a-test {card.weights_sha256[:16]}" and card.identity.startswith(plain[1].identity)
    described = dataclasses.replace(card, calibration=card.calibration | {"facts": {"stations": 9}})
    other = dataclasses.replace(card, calibration=lively_calibration(1).asdict())
    assert described.identity == card.identity and len({plain[1].identity, card.identity, other.identity}) == 3


def test_another_kind(folder):
    rewrite(folder, kind="aqnet-forecast")
    with pytest.raises(UserError, match="aqnet-forecast") as caught:
        checkpoint.load(folder)
    assert "aqnet-analysis" in caught.value.rule and caught.value.fix


@pytest.mark.parametrize("how", ["folder", WEIGHTS, DESCRIPTION])
def test_located_by_folder_or_by_either_file(folder, how):
    assert checkpoint.locate(str(folder) if how == "folder" else folder / how) == folder


def test_nothing_there(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(checkpoint, "SHIPPED", folder.parent)
    with pytest.raises(UserError) as caught:
        checkpoint.locate(tmp_path / "nowhere")
    assert "nowhere" in caught.value.problem and "a-test" in caught.value.rule and "train" in caught.value.fix


def test_located_by_name(monkeypatch, folder):
    monkeypatch.setattr(checkpoint, "SHIPPED", folder.parent)
    assert checkpoint.names() == ["a-test"] and checkpoint.locate("a-test") == folder
    monkeypatch.setattr(checkpoint, "DEFAULT", "a-test")
    assert checkpoint.locate(None) == folder


@pytest.mark.parametrize("name", checkpoint.names())
def test_shipped_checkpoints_load_and_are_small(name):
    folder = checkpoint.locate(name)
    model, card = checkpoint.load(folder)
    assert card.name == name and card.variables == ["pm25"]
    assert all(torch.isfinite(value).all() for value in model.network.state_dict().values())
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 5e6
    taken = [station for group in card.withheld.values() for station in group]
    taken += [station for station, *_ in card.analysis.stations]
    assert len(taken) == len(set(taken))  # no station plays two parts
    for fold, identity in enumerate(card.analysis.folds):
        of_fold, described = checkpoint.load(folder, fold=fold)
        assert described.identity == identity and of_fold.network.sizes == model.network.sizes
        trained = {station for station, *_ in described.analysis.stations}
        assert trained == {station for station, *_, left_out in card.analysis.stations if left_out != fold}
    result = model.predict(long_cube(), targets_over(days(MIDDLE)))
    assert np.isfinite(result.pm25).all() and (result.pm25_standard_error > 0).all()


def test_the_shipped_checkpoint_is_the_one_that_products_name():
    """Its identity is in run.json and in every file: a product begun before can be resumed, with the same bytes."""
    card = checkpoint.read_card(checkpoint.locate("aqnet-north-china-2019"))
    assert card.identity == "aqnet-north-china-2019 088c16075ea78bea calibrated 3a0e387d6becf340"
    assert card.created == "2026-11-28"


@pytest.mark.parametrize("name", checkpoint.names())
def test_shipped_checkpoints_say_what_they_were_trained_on(name):
    """As `aqreanalysis train` writes it: nobody ships a stand-in."""
    card = checkpoint.read_card(checkpoint.locate(name))
    assert {"source", "fingerprint", "start", "end", "stations", "settings", "steps"} <= set(card.training)
    assert set(card.withheld) == {"test_single", "test_city", "validation_single", "validation_city"}
    assert card.scores and card.calibration and card.analysis.window and card.versions
    folds = set(range(len(card.analysis.folds))) or {NO_FOLD}  # a graph network has none
    assert {fold for *_, fold in card.analysis.stations} == folds


def test_a_fold_that_never_saw_a_station_is_found_by_id_or_by_place():
    facts = AnalysisFacts(stations=[["1001A", 39.9, 116.4, 0], ["1002A", 39.9, 116.5, 1]], folds=["a", "b"])
    card = dataclasses.replace(Card("n", "aqnet-analysis", "", {}, {}, 20, {}, {}, {}), analysis=facts)
    # by id, wherever it stands; 0.003 degree north of the second (334 m); 0.006 degree (667 m); elsewhere
    found = training_folds(card, [10.0, 39.903, 39.906, 30.0], [100.0, 116.5, 116.5, 110.0], ["1001A", "x", "y", "z"])
    assert found.tolist() == [0, 1, NEVER_SEEN, NEVER_SEEN]
    old = dataclasses.replace(card, analysis=AnalysisFacts(), withheld={"test_single": ["1001A"]})
    assert training_folds(old, [39.9, 39.9], [116.4, 116.5], ["1001A", "1002A"]).tolist() == [NEVER_SEEN, NO_FOLD]
