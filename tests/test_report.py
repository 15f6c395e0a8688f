"""report.html: what stands on the page, in which order, and that nothing from outside becomes markup."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from aqreanalysis.product import report
from aqreanalysis.product.plan import BuildRequest, prepare
from aqreanalysis.product.report.maps import in_words, requested_maps
from aqreanalysis.time_axis import parse_period

SUMS = {"cell_hours": 100, "sum_absolute_error": 850.0, "covered_90": 91}
HOSTILE = 'a <script>alert("1")</script> & b.csv is no table'


class Page(HTMLParser):
    """Tags, the cells of each row, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.text, self._open = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        self._open = tag

    def handle_data(self, data):
        self.text += data
        if self._open in ("td", "th") and data.strip():
            self.rows[-1].append(data.strip())


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQREANALYSIS_DATA", str(tmp_path_factory.mktemp("nothing")))
        return prepare(BuildRequest(start="2016-01-30", end="2016-02-02", grid="1deg",
                               out=str(tmp_path_factory.mktemp("product") / "x")))


@pytest.fixture
def record(plan):
    """What run.json holds after a build, months out of order."""
    month = {"stations": 640, "hours": 48, "hours_without_observations": 3, "files": {"b.nc": {}, "t.nc": {}},
             "true_error": {"sea": SUMS, "supported": SUMS, "extrapolated": SUMS | {"cell_hours": 0}}}
    return {"identity": plan.identity, "facts": plan.facts | {"files_skipped": [HOSTILE]},
            "months": {"2016-02": month | {"files": {"c.nc": {}}}, "2016-01": month}}


def test_the_page_holds_what_the_product_was_made_from(plan, record):
    page = Page(report.render_report(plan, record, []))
    assert {tuple(row) for row in page.rows} >= {
        ("product", "northern-china"), ("period", "20160130-20160202"), ("minimum_hours", "20"),
        ("stations", "640 used")}
    months = [row for row in page.rows if row and row[0].startswith("2016-")]
    assert months == [["2016-01", "640", "48", "3", "b.nc, t.nc"], ["2016-02", "640", "48", "3", "c.nc"]]
    calibrated = f"Calibrated on: {plan.about.calibrated_on} "
    assert all(text.replace(calibrated, "") in page.text
               for text in (plan.about.quality, plan.about.standard_error, plan.about.bounds, plan.about.calibrated_on))


def test_errors_against_the_truth_are_those_of_all_months_by_class(plan, record):
    page = Page(report.render_report(plan, record, []))
    of_classes = [row for row in page.rows if row and row[0] in ("supported", "sea", "extrapolated")]
    assert of_classes == [["supported", "200", "8.50", "0.910"], ["sea", "200", "8.50", "0.910"]]
    assert report.true_errors(record["months"])["sea"] == {"cell_hours": 200, "MAE": 8.5, "coverage_90": 0.91}


def test_a_name_from_outside_is_text_and_no_markup(plan, record):
    text = report.render_report(plan, record, [])
    assert not [tag for tag, _ in Page(text).tags if tag == "script"] and HOSTILE in Page(text).text


def test_only_a_simulated_product_is_marked_and_has_a_truth(plan, record):
    assert "SIMULATED: made from the built-in twin" in Page(report.render_report(plan, record, [])).text
    months = {label: {name: value for name, value in month.items() if name != "true_error"}
              for label, month in record["months"].items()}
    real = replace(plan, folder=replace(plan.folder, simulated=False), about=replace(plan.about, simulated=False))
    text = report.render_report(real, record | {"months": months}, [])
    assert "SIMULATED" not in text and "truth" not in Page(text).text


def test_nothing_is_skipped_without_a_word(plan, record):
    empty = record | {"facts": record["facts"] | {"files_skipped": []}}
    assert "Files that were skipped" in report.render_report(plan, record, [])
    assert "Files that were skipped" not in report.render_report(plan, empty, [])


@pytest.mark.parametrize("days, words", [
    (("2016", None, None), "2016"), ((None, "2016-02-01", "2016-02-29"), "February 2016"),
    ((None, "2016-02-01", "2016-02-28"), "2016-02-01 to 2016-02-28"),
    ((None, "2015-01-01", "2016-12-31"), "2015-01-01 to 2016-12-31")])
def test_a_period_in_words(days, words):
    assert in_words(parse_period(*days)) == words


def test_limits_of_a_year_are_drawn_for_a_year(plan):
    """The period, its error, two months and their page; the annual limits only where the period is a year."""
    names = [request.path.name for request in requested_maps(plan)]
    assert names == [f"simulated_pm25_{name}.png" for name in (
        "mean_20160130-20160202", "standard_error_20160130-20160202", "mean_201601", "mean_201602", "months_2016")]
    assert not any(request.limits for request in requested_maps(plan))
    year = parse_period("2016", None, None)
    whole = requested_maps(replace(plan, period=year, folder=replace(plan.folder, period=year)))
    assert whole[0].limits and len(whole) == 2 + 12 + 1
