"""The address that `serve` prints, in a real Chromium: pages, their links, a reload, and what they ask."""

import pytest

import tests.support.browser  # noqa: F401 - skips the module where there is no browser
from tests.support.server import serving


def top(request):
    return {"tokens": request["text"].split(), "top": [[[7, 1.0, 0.5]] for _ in request["text"].split()]}


@pytest.fixture
def served(folders):
    with serving(folders[150], {"/api/activations": top}) as server:
        yield server


def ask(page, text):
    page.wait("return document.querySelector('[name=text]')").send_keys(text)
    page.js("document.querySelector('[name=text]').form.querySelector('button').click()")
    page.wait(
        "return [...document.querySelectorAll('bdi > span')].some((s) => s.textContent === arguments[0])",
        text,
    )


def test_pages_and_what_they_ask_go_on_after_a_link_and_a_reload(page, served):
    page.driver.get(f"{served.url}#f=120")  # a feature that is in a file of its own
    page.heading("latent 120")
    assert page.js("return location.href") == f"{served.address}{served.token}/#f=120"
    page.driver.refresh()
    page.heading("latent 120")
    page.js("document.querySelector('#to-live').click()")
    ask(page, "once")
    page.driver.refresh()
    ask(page, "again")
    page.js("document.querySelector('#to-overview').click()")
    page.wait("return document.querySelector('main a[href=\"#f=7\"]')").click()
    page.heading("latent 7")
    page.driver.back()
    page.hash("")
    assert page.js("return document.cookie") == ""


def test_the_bare_address_shows_words_and_no_page(page, served):
    page.driver.get(f"{served.url}#f=7")
    page.heading("latent 7")
    page.driver.get(served.address)  # the browser that had the secret does not bring it along
    shown = page.js("return document.body.textContent")
    assert "open the address with ?token= that `superposition serve` printed" in shown
    assert served.token not in page.js("return document.documentElement.outerHTML")
    page.driver.get_log("browser")  # Chromium logs the 403
