"""A driven Chromium, folders of made-up pages, and the page that a test opens."""

import json

import pytest

from superposition.pages.write import write
from tests.oracles.pages import pages


@pytest.fixture(scope="module")
def driver():
    from selenium import webdriver

    from tests.support.browser import BROWSER, DRIVER

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """12 features in one file, 150 and 1,000 in siblings."""
    root = tmp_path_factory.mktemp("pages")
    return {n: write(root / str(n), *pages(n)) for n in (12, 150, 1000)}


@pytest.fixture
def page(driver, folders):
    """A page, and after the test: no error in the console, no script of a token run, no request but of our files."""
    from tests.support.browser import Page

    page = Page(driver, folders)
    page.media(prefers_color_scheme="light")
    page.size(1280)
    driver.get_log("performance"), driver.get_log("browser")
    yield page
    assert page.js("return window.__pwned") is None
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [
        u for u in urls if not u.startswith((folders[12].parent.as_uri(), "data:,", "http://127.0.0.1:"))
    ] == []
    assert urls
