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
