"""The page in a real browser, at the width of a desk and of a telephone. Skips where there is no Chromium.

`apt-get install chromium chromium-driver` brings it; PREFREPRO_REQUIRE_CHROMIUM=1 makes its absence an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefrepro.inspect.report.page import render

WIDTHS = (1280, 390)
PAGES = [
    "front",
    "table/rpo/table1",
    "table/rpo/table5",
    "table/swepo/mtbench",
    "training",
    "judging",
    "samples",
    "run",
]
PAGES += ["readings", "audit"]
BINARIES = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
IS_REQUIRED = os.environ.get("PREFREPRO_REQUIRE_CHROMIUM") == "1"
pytestmark = pytest.mark.skipif(
    not IS_REQUIRED and None in BINARIES.values(),
    reason=f"found {BINARIES}: apt-get install chromium chromium-driver",
)
selenium = pytest.importorskip("selenium", reason="pip install selenium") if not IS_REQUIRED else None


class Browser:
    """A window of one width with the page in it."""

    def __init__(self, driver: Any, page: Path, width: int) -> None:
        self.driver, self.page, self.width = driver, page, width
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, place: str = "") -> None:
        self.driver.get("about:blank")  # a new part after # alone would load nothing
        self.driver.get_log("browser")
        self.driver.get(f"{self.page.as_uri()}#{place}")

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        (element,) = self.all(selector)
        return element

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *arguments)

    def address_leaves(self, before: str) -> str:
        """The part after #, once it is not `before`: a dialog says that it was closed a moment later."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 5).until(lambda _: self.js("location.hash") != before)
        return str(self.js("location.hash"))

    def assert_quiet(self) -> None:
        """No error, no blocked request, no script of others."""
        assert self.driver.get_log("browser") == []
        assert "owned" not in self.driver.title


@pytest.fixture(scope="module")
def page(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BINARIES["chromium"])
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(BINARIES["chromedriver"])))
    yield chrome
    chrome.quit()


@pytest.fixture(params=WIDTHS)
def browser(request: pytest.FixtureRequest, driver: Any, page: Path) -> Browser:
    return Browser(driver, page, request.param)


@pytest.mark.parametrize("place", PAGES)
def test_every_page_loads_without_errors_and_fits_the_width(browser: Browser, place: str) -> None:
    browser.open(place)
    assert browser.one("h1").text
    assert browser.js("document.documentElement.scrollWidth") <= browser.width
    assert len(browser.all("#nav a[aria-current]")) == 1
    browser.assert_quiet()


@pytest.mark.parametrize("place", ["table/rpo/table1", "training", "judging", "run"])
def test_charts_are_not_empty_lie_within_their_frame_and_have_a_text(browser: Browser, place: str) -> None:
    browser.open(place)
    charts = browser.all("svg[role=img]")
    assert charts
    for chart in charts:
        assert len(chart.get_attribute("aria-label")) > 20
        box = browser.js("(({x, y, width, height}) => [x, y, width, height])(arguments[0].getBBox())", chart)
        width, height = (float(chart.get_attribute(name)) for name in ("width", "height"))
        assert box[2] > width / 3 and box[3] > height / 3, "almost nothing is drawn"
        assert box[0] > -3 and box[1] > -3 and box[0] + box[2] < width + 3 and box[1] + box[3] < height + 3, (
            place,
            box,
        )
        assert "NaN" not in chart.get_attribute("outerHTML")


def test_cells_say_their_status_by_sign_and_colour(browser: Browser) -> None:
    browser.open()
    cells = browser.all("button.cell")
    looks = {
        (
            cell.get_attribute("class").split()[-1],
            cell.find_element("css selector", ".sign").text,
            cell.value_of_css_property("border-left-color"),
        )
        for cell in cells
    }
    statuses = {status for status, _, _ in looks}
    assert statuses == {"consistent", "differs", "not_comparable"}
    assert {sign for status, sign, _ in looks if status == "consistent"} == {"✓"}
    assert {sign for status, sign, _ in looks if status == "differs"} <= {"▲", "▼"}
    assert len({colour for _, _, colour in looks}) == len(statuses)
    legend = browser.one("main > .legend").text
    assert "✓" in legend and "▲ ▼" in legend


def test_a_click_on_a_cell_opens_its_chain(browser: Browser) -> None:
    browser.open()
    cell = browser.one('button.cell[data-cell="rpo/table1/rpo-paired/win-rate"]')
    assert "printed 78.52" in cell.get_attribute("aria-label")
    cell.click()
    dialog = browser.one("dialog[open]")
    kinds = [step.text.split()[0] for step in dialog.find_elements("css selector", "details[open] > ol > li > b")]
    assert kinds[:3] == ["Verdicts", "Samples", "Training"] and kinds[-1] == "Data", kinds
    assert "rpo/table1: RPO, embedding reweighting, paired" in dialog.text
    assert "0123abc" in dialog.text and "gpt-4-0613" in dialog.text and "d" * 64 in dialog.text
    dialog.find_element("css selector", "ol a").click()
    assert not browser.all("dialog[open]")
    chosen = browser.one("#set").get_attribute("value")
    assert chosen.startswith("rpo-paired_")
    assert {one.text for one in browser.all("article button")} == {chosen}
    browser.assert_quiet()


def test_the_chain_opens_and_closes_by_keyboard(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open()
    cell = browser.all("button.cell")[0]
    cell.send_keys(Keys.ENTER)
    assert browser.all("dialog[open]")
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not browser.all("dialog[open]")
    assert browser.js("document.activeElement === arguments[0]", cell), "the focus comes back to the cell"


def test_a_box_of_the_graph_opens_what_it_was_made_of(browser: Browser) -> None:
    browser.open("run")
    assert len(browser.all("details button")) == len(browser.all("details tbody tr")), "by keyboard as well"
    (box,) = browser.all("main .scroll svg g.node")[:1]
    browser.js("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", box)
    assert browser.one("dialog[open] h2").text.count("_")


def test_samples_are_filtered_by_verdict_set_and_text(browser: Browser) -> None:
    browser.open("samples")

    def found() -> int:
        return int(browser.one("#count").text.split()[0].replace(",", ""))

    def choose(selector: str, value: str) -> None:
        script = "(arguments[0].value = arguments[1], arguments[0].dispatchEvent(new Event('input')))"
        browser.js(script, browser.one(selector), value)

    everything = found()
    choose("#verdict", "invalid")
    assert {heading.text for heading in browser.all("article h2")} == {"? invalid"}
    invalid = found()
    assert 0 < invalid < everything
    a_set = browser.all("#set option[value^=rpo-diagonal]")[0]
    choose("#set", a_set.get_attribute("value"))
    assert found() == 1
    choose("#verdict", "")
    choose("#search", "QUESTION 7?")
    assert found() == 1
    assert "Question 7?" in browser.one("article").text
    choose("#search", "nobody wrote this")
    assert found() == 0 and not browser.all("article")


def test_more_samples_are_shown_when_asked_for(browser: Browser) -> None:
    browser.open("samples")
    before = len(browser.all("article"))
    browser.one("#samples + button").click()
    assert len(browser.all("article")) == 2 * before


def test_hostile_text_stays_text(browser: Browser) -> None:
    browser.open("samples")
    a_set = browser.all("#set option[value^=dpo_mistral-7b_hh]")[0].get_attribute("value")
    browser.open(f"samples/{a_set}")
    browser.one("#samples + button").click()
    said = "\n".join(element.get_attribute("textContent") for element in browser.all(".said"))
    assert "</script><script>document.title='owned'</script>" in said
    assert "<img src=x onerror=" in said
    assert "&lt;b&gt;" in said and "\u2028" in said
    assert not browser.all("main img, main script, main b")
    browser.open("judging")
    assert "<img src=x onerror=" in browser.one("main").text, "a name that the judge gave itself"
    browser.open("audit")
    assert browser.one("main li").text.startswith("<img src=x onerror=")
    browser.assert_quiet()


def test_a_method_has_one_colour_on_every_page_and_can_be_hidden(browser: Browser) -> None:
    browser.open("training")
    button = browser.one('[data-method="rpo_paired"]')
    colour = button.find_element("css selector", "path").get_attribute("stroke")
    drawn = f'main figure path[stroke="{colour}"]'
    assert browser.all(drawn)
    button.click()
    assert not browser.all(drawn)
    assert browser.one('[data-method="rpo_paired"]').get_attribute("aria-pressed") == "false"
    browser.open("table/rpo/table1")
    assert browser.all(f'main figure path[stroke="{colour}"]')


def test_without_a_network_nothing_is_missing(browser: Browser) -> None:
    """Every request that the browser makes is for the file itself."""
    browser.open()
    assert browser.js("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize(
    ("address", "heading", "dialog"),
    [
        ("table/rpo/table1", "RPO Table 1", None),
        ("table/table1", "RPO Table 1", None),
        ("rpo_table1", "RPO Table 1", None),
        ("cell/rpo/table1/dpo/win-rate", "RPO Table 1", "rpo/table1: DPO"),
        ("node/{run}", "Training", "{run}"),
        ("node/{verdict}", "The run", "{verdict}"),
    ],
)
def test_an_address_opens_what_it_names(
    browser: Browser, content: dict[str, Any], address: str, heading: str, dialog: str | None
) -> None:
    """Also as a link within an open page; what the address bar shows while a dialog is open leads there again."""
    ids = {node["kind"]: key for key, node in content["nodes"].items()}
    address = address.format(**ids)
    for from_page in (False, True):
        if from_page:
            browser.open("judging")
            browser.driver.execute_script("location.hash = arguments[0]", f"#{address}")
        else:
            browser.open(address)
        assert browser.one("h1").text.startswith(heading)
        titles = [title.text for title in browser.all("dialog[open] h2")]
        assert len(titles) == (dialog is not None)
        if dialog is not None:
            assert titles[0].startswith(dialog.format(**ids))
            assert browser.js("location.hash") == f"#{address}"
            browser.one("dialog .bar button").click()
            assert browser.address_leaves(f"#{address}") in ("#table/rpo/table1", "#training", "#run")
    browser.assert_quiet()


def test_a_chosen_cell_has_an_address_until_it_is_closed(browser: Browser) -> None:
    browser.open("front")
    browser.all("button.cell")[0].click()
    address = browser.js("location.hash")
    assert address.startswith("#cell/rpo/")
    browser.one("dialog .bar button").click()
    assert browser.address_leaves(address) == "#front"
    assert browser.one("h1").text.startswith("What was reproduced"), "the page stays where it was"


@pytest.mark.parametrize(
    "address", ["table/rpo/table99", "cell/rpo/table1/dpo/nowhere", "node/none", "samples/none", "%", "x"]
)
def test_an_address_of_nothing_says_so(browser: Browser, address: str) -> None:
    browser.open(address)
    assert "no " in browser.one("[role=status], h1:first-child").text.lower()
    browser.assert_quiet()


def test_curves_are_smoothed_averaged_over_seeds_and_can_be_taken_apart(
    browser: Browser, content: dict[str, Any]
) -> None:
    """Two seeds a method: one line with a band, the logged mean faintly behind it."""
    browser.open("training")
    groups = {run["group"] for run in content["runs"]}
    assert len(groups) < len(content["runs"])

    def drawn(selector: str) -> int:
        return len(browser.all(f"main section figure:first-child svg {selector}"))

    lines = drawn("path[stroke-width='2']")
    assert lines == len(groups)
    assert drawn("path.faint") == lines
    assert 0 < drawn("path.band") <= lines
    smooth = browser.all("main figure path[stroke-width='2']")[0].get_attribute("d")
    browser.js("(arguments[0].value = 0, arguments[0].dispatchEvent(new Event('input')))", browser.one("#smoothing"))
    assert drawn("path.faint") == 0
    assert browser.all("main figure path[stroke-width='2']")[0].get_attribute("d") != smooth
    browser.one("#each-seed").click()
    assert drawn("path[stroke-width='2']") == len(content["runs"]) and drawn("path.band") == 0


def test_the_average_has_no_bias_towards_the_start_and_its_band_holds_every_seed(browser: Browser) -> None:
    browser.open("training")
    assert browser.js("smoothed([[1, 4], [2, 0]], 0.5)") == [[1, 4], [2, pytest.approx(4 / 3, rel=1e-5)]]
    assert browser.js("averaged([[[1, 2], [2, 3]], [[1, 4]]])") == [[1, 3, 2, 4]]


def test_all_pairs_stand_under_a_table(browser: Browser, content: dict[str, Any]) -> None:
    browser.open("table/rpo/table1")
    pairs = next(table["pairs"] for table in content["tables"] if table["id"] == "rpo/table1")
    text = browser.one("main").text
    assert "All pairs" in text and f"{len(pairs)} pairs" in text and "Ranks: " in text


def test_alarms_stand_under_their_table(driver: Any, content: dict[str, Any], tmp_path: Path) -> None:
    alarms = {"rpo/table1": ["HH: <b>odd</b>"]}
    tables = [table | {"alarms": alarms.get(table["id"], [])} for table in content["tables"]]
    (tmp_path / "report.html").write_text(render(content | {"tables": tables}), encoding="utf-8")
    for place in ("front", "table/rpo/table1"):
        browser = Browser(driver, tmp_path / "report.html", WIDTHS[0])
        browser.open(place)
        alarm = browser.one(".alarm")
        assert alarm.text == "Alarm. HH: <b>odd</b>"
        assert browser.js("arguments[0].previousElementSibling.querySelector('.matrix') !== null", alarm)
