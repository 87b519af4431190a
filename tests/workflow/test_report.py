"""What a whole run leaves for people to look at: its page, and Snakemake's own report."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from browser import open_browser, requested
from conftest import ROOT, snakemake

pytestmark = pytest.mark.slow

SECTIONS = {
    "Summary",
    "Results",
    "Reconstructions",
    "Studies",
    "Training curves",
    "Data",
    "Masks",
    "Cost",
    "Provenance",
    "How to rerun",
}


def test_the_page_of_a_run_has_every_section_and_opens_without_a_fault(finished: Path, tmp_path: Path) -> None:
    browser = open_browser(tmp_path / "profile")
    try:
        page = (finished / "report.html").as_uri()
        browser.get(page)
        browser.execute_script("document.querySelectorAll('details').forEach((one) => one.open = true)")
        browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
        headings = "return [...document.querySelectorAll('h2')].map((one) => one.textContent.trim())"
        assert set(browser.execute_script(headings)) >= SECTIONS
        broken = "return [...document.images].filter((one) => one.src && !(one.complete && one.naturalWidth)).length"
        assert browser.execute_script(broken) == 0
        assert browser.get_log("browser") == []
        assert {url for url in requested(browser) if not url.startswith(("data:", "blob:"))} == {page}
        assert "simulated" in browser.execute_script("return document.body.innerText").lower()
    finally:
        browser.quit()


def test_snakemakes_own_report_has_captions_and_categories_and_needs_no_network(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "snakemake.html"
    if shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0:
        run = snakemake(finished, "--report", str(output), prefix=("unshare", "-n"))
    else:
        run = snakemake(finished, "--report", str(output))
    assert run.returncode == 0, run.stderr[-3000:]
    text = output.read_text(encoding="utf-8")
    for caption in sorted((ROOT / "workflow/report").glob("*.rst")):
        # What no file fills in; Snakemake wraps words, and writes them as HTML.
        words = caption.read_text(encoding="utf-8").split("{")[0].split(".")[0].split()[:5]
        assert not words or " ".join(words) in " ".join(text.replace("\\n", " ").split()), caption.name
    for category in ("The whole on one page", "Tables"):
        assert category in text
    # The page, and the table that the page only counts; nothing of the page a second time.
    assert set(re.findall(r'"filename": "([^"]+)"', text)) == {"report.html", "orderings.csv"}
