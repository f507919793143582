"""A real Chromium and the open page, by what a reader does with it.

A test module that imports this is skipped where there is no browser, unless SUPERPOSITION_REQUIRE_BROWSER=1.
"""

import os
import shutil
from importlib.util import find_spec

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
DRIVER = shutil.which("chromedriver")
if os.environ.get("SUPERPOSITION_REQUIRE_BROWSER") != "1":
    if not (BROWSER and DRIVER):
        pytest.skip("no chromium with its chromedriver on this machine", allow_module_level=True)
    if not (find_spec("selenium") and find_spec("axe_core_python")):
        pytest.skip("selenium or axe-core-python is not installed", allow_module_level=True)

from axe_core_python.base import AXE_SCRIPT  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys as Keys  # noqa: E402
from selenium.webdriver.support.ui import Select as Select  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402


class Page:
    """The open page, by what a reader does with it."""

    def __init__(self, driver, folders):
        self.driver, self.folders = driver, folders

    def open(self, view="", n=12, base=None):
        self.driver.get("about:blank")
        self.driver.get((base or self.folders[n].as_uri()) + "/index.html" + view)
        self.wait("return document.querySelector('main h1')")

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def wait(self, code, *arguments):
        return WebDriverWait(self.driver, 8, 0.02).until(
            lambda driver: driver.execute_script(code, *arguments), code
        )

    def hash(self, wanted):
        self.wait("return location.hash === arguments[0]", wanted)

    def heading(self, wanted):
        self.wait("return document.querySelector('main h1').textContent === arguments[0]", wanted)

    def all(self, selector):
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())", selector
        )

    def texts(self, selector):
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.toWellFormed())",
            selector,
        )

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def point(self, element, x=None, y=None):
        self.js("arguments[0].scrollIntoView({ block: 'center' })", element)
        chain = ActionChains(self.driver)
        chain.move_to_element(element) if x is None else chain.move_to_element_with_offset(element, x, y)
        chain.perform()

    def focused(self):
        return self.js("return document.activeElement")

    def media(self, kind="", **features):
        features = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})

    def size(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def names(self):
        """Names of the listed features."""
        return self.texts(".features tbody th a")


def faults(page):
    """What axe-core finds serious or critical; more than 15 rules must have had something to look at."""
    page.js(AXE_SCRIPT)
    found = page.driver.execute_async_script("""const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(({ passes, violations }) => done({ passes: passes.length,
            violations: violations.map((v) => [v.impact, v.id, v.nodes[0].html.toWellFormed(), v.nodes[0].failureSummary]) }))""")
    assert found["passes"] > 15
    return [v for v in found["violations"] if v[0] in ("serious", "critical")]
