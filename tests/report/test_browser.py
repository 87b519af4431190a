"""The page in a real browser, opened from disk as a reader opens it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import open_browser, requested
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    opened = open_browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    """The page, freshly loaded."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(page.as_uri())
    return browser


def colours(browser: webdriver.Chrome, css: str) -> bytes:
    return base64.b64decode(browser.find_element(By.CSS_SELECTOR, css).screenshot_as_base64)


def unfold(browser: webdriver.Chrome) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach((one) => one.open = true)")


def wait_for(browser: webdriver.Chrome, condition: Any) -> None:
    WebDriverWait(browser, 10, poll_frequency=0.05).until(condition)


def test_it_opens_from_disk_and_asks_for_nothing_else(opened: webdriver.Chrome, page: Path) -> None:
    # All of it is used, so that what loads late would load.
    unfold(opened)
    opened.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    opened.find_element(By.CSS_SELECTOR, "#compare-errors").send_keys(Keys.SPACE)
    opened.find_element(By.CSS_SELECTOR, "button.enlarge").send_keys(Keys.ENTER)
    wait_for(opened, lambda one: one.execute_script("return document.querySelector('#large-image').complete"))
    assert opened.get_log("browser") == []
    urls = requested(opened)
    assert page.as_uri() in urls
    assert [url[:80] for url in urls if not url.startswith(("data:", "blob:")) and url != page.as_uri()] == []
    broken = "return [...document.images].filter((one) => one.src && !(one.complete && one.naturalWidth)).length"
    assert opened.execute_script(broken) == 0


def test_the_slider_moves_by_keyboard_and_by_drag(opened: webdriver.Chrome) -> None:
    host = opened.find_element(By.TAG_NAME, "image-compare")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", host)
    handle = host.shadow_root.find_element(By.CSS_SELECTOR, "input")

    def exposed() -> str:
        return str(opened.execute_script("return arguments[0].style.getPropertyValue('--exposure')", host))

    before = colours(opened, "image-compare")
    handle.send_keys(Keys.HOME)
    wait_for(opened, lambda _: exposed() == "0%")
    at_left = colours(opened, "image-compare")
    assert at_left != before

    handle.send_keys(Keys.END)
    wait_for(opened, lambda _: exposed() == "100%")
    assert colours(opened, "image-compare") not in (at_left, before)

    width = host.size["width"]
    drag = ActionChains(opened).move_to_element_with_offset(host, width // 2 - 2, 0).click_and_hold()
    drag.move_by_offset(-width // 2, 0).release().perform()
    wait_for(opened, lambda _: 30 < float(exposed().rstrip("%")) < 70)


def test_the_chosen_two_are_shown_with_their_scores(opened: webdriver.Chrome) -> None:
    def source(side: str) -> str:
        return opened.find_element(By.ID, f"compare-{side}").get_attribute("src") or ""

    first = source("first")
    assert opened.find_element(By.ID, "compare-left-score").text.split("\n") == ["Undersampled", "25.00 dB, 80.00 %"]
    Select(opened.find_element(By.ID, "compare-left")).select_by_visible_text("Truth")
    assert source("first") != first
    assert opened.find_element(By.ID, "compare-left-score").text.strip() == "Truth"
    assert opened.find_element(By.ID, "compare-right-score").text.split("\n") == ["Proposed", "28.00 dB, 83.00 %"]

    truth, proposed = source("first"), source("second")
    opened.find_element(By.ID, "compare-errors").click()
    assert (source("first"), source("second") == proposed) == (truth, False)
    assert "one scale for all" in opened.find_element(By.ID, "compare-note").text

    Select(opened.find_element(By.ID, "compare-slice")).select_by_index(1)
    assert Select(opened.find_element(By.ID, "compare-left")).first_selected_option.text == "Truth"
    assert source("second") != proposed


def test_pixels_are_not_smoothed(opened: webdriver.Chrome) -> None:
    image = opened.find_element(By.ID, "compare-first")
    assert image.value_of_css_property("image-rendering") == "pixelated"
    assert image.size["width"] > 300


def test_a_figure_opens_large_and_closes(opened: webdriver.Chrome) -> None:
    unfold(opened)
    dialog = opened.find_element(By.ID, "large")
    assert not dialog.is_displayed()
    button = opened.find_elements(By.CSS_SELECTOR, "button.enlarge")[1]
    picture = button.find_element(By.TAG_NAME, "img")
    button.click()
    assert dialog.is_displayed()
    large = opened.find_element(By.ID, "large-image")
    assert large.get_attribute("src") == picture.get_attribute("src")
    assert large.size["width"] > picture.size["width"]
    opened.find_element(By.ID, "large-close").click()
    assert not dialog.is_displayed()

    button.send_keys(Keys.ENTER)
    assert dialog.is_displayed()
    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()


def column(browser: webdriver.Chrome, css: str, number: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"{css} tbody tr > :nth-child({number})")
    return [cell.get_attribute("textContent").strip() for cell in cells]


def test_a_table_sorts_by_number_and_keeps_its_total_below(opened: webdriver.Chrome) -> None:
    unfold(opened)
    heading = opened.find_elements(By.CSS_SELECTOR, "#cost th button")[4]
    heading.click()
    wait_for(opened, lambda one: column(one, "#cost", 5) == ["512", "310", "–"])
    heading.send_keys(Keys.ENTER)
    # By text, 310 would not stand before 512 and the dash not last.
    wait_for(opened, lambda one: column(one, "#cost", 5) == ["310", "512", "–"])
    assert heading.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    assert opened.find_element(By.CSS_SELECTOR, "#cost tfoot th").text == "all"


def test_table1_sorts_by_values_and_not_by_what_stands_below_them(opened: webdriver.Chrome) -> None:
    table = "#table-table1 table"
    first = opened.find_element(By.CSS_SELECTOR, table)
    values = opened.execute_script(
        "return [...arguments[0].tBodies[0].rows].map((row) => [+row.cells[1].dataset.sort, row.cells[0].innerText])",
        first,
    )
    first.find_elements(By.CSS_SELECTOR, "th button")[1].click()
    expected = [name for _, name in sorted(values, reverse=True)]
    names = "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[0].innerText)"
    wait_for(opened, lambda one: one.execute_script(names, first) == expected)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_does_not_scroll_sideways(opened: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened.refresh()
    unfold(opened)
    assert opened.execute_script("return window.innerWidth") == width
    overflow = "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
    assert opened.execute_script(overflow) == 0
    # Wide tables scroll in their own box instead.
    if width == 360:
        wide = (
            "return [...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"
        )
        assert opened.execute_script(wide) > 0


def test_it_prints(opened: webdriver.Chrome) -> None:
    printed = opened.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/Type /Page\n") >= 5
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not opened.find_element(By.ID, "compare").is_displayed()
        assert opened.find_element(By.CSS_SELECTOR, "#table-table1 table").is_displayed()
        # What was folded is unfolded on paper.
        assert opened.execute_script("return [...document.querySelectorAll('details')].every((one) => one.open)")
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_controls_can_be_reached_by_keyboard(opened: webdriver.Chrome) -> None:
    reached: set[str] = set()
    for _ in range(60):
        ActionChains(opened).send_keys(Keys.TAB).perform()
        reached.add(opened.switch_to.active_element.tag_name)
    assert reached >= {"a", "button", "div"}
    opened.execute_script("document.querySelector('#compare-errors').focus()")
    ActionChains(opened).send_keys(Keys.TAB).perform()
    assert opened.switch_to.active_element.tag_name == "image-compare"
