"""`superposition serve`: what it serves, until it is stopped, and what it refuses."""

import http.client
import json
import re
import shutil
import signal

import jax
import pytest

from superposition.cli.features.config import PageConfig
from superposition.cli.llm.needs import open_sae
from superposition.pages.server import Limits, Server
from superposition.pages.server.live import answers
from superposition.pages.server.served import read_index
from superposition.sae import TopK
from superposition.storage import formats
from tests.support.page_commands import CELL, POST, run, write_sae
from tests.support.processes import output, started
from tests.support.server import serving

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def test_serving_is_refused_without_pages_of_this_sae(
    pages, own, sae, model, store, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Server, "serve_forever", lambda self: None)  # what is not refused shall end at once
    toy, other = tmp_path / "toy", write_sae(tmp_path / "other", seed=3)
    assert run("page", "--toy", store, *CELL, "--out", toy, capsys=capsys)[0] == 0
    small = tmp_path / "small"
    formats.save(
        small,
        TopK(d_in=24, d_sae=4, k=1),
        TopK(d_in=24, d_sae=4, k=1).init_params(jax.random.key(0)),
        {"hook_name": POST},
    )
    unsaid = tmp_path / "unsaid"
    shutil.copytree(pages, unsaid)
    html = (unsaid / "index.html").read_text()
    (unsaid / "index.html").write_text(re.sub(r',"of":\{[^}]*\}', "", html))
    assert "of" not in read_index(unsaid)
    for words, said in (
        (own, "superposition page"),
        ([*own, "--pages", tmp_path / "nothing"], "superposition page"),
        ([*own, "--pages", tmp_path], "superposition page"),
        ([*own, "--pages", toy], "toy model"),
        ([other, "--model", model, "--pages", pages], "another SAE"),
        ([small, "--model", model, "--pages", unsaid], "latent 11"),
        ([*own, "--pages", pages, "--port", 70000], "port"),
    ):
        status, printed, err = run("serve", *words, capsys=capsys)
        assert status == 2, words
        assert said in err, err
        assert not printed


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_serve_serves_until_it_is_stopped(pages, own, signum):
    with started("-m", "superposition", "serve", *own, "--pages", pages, "--port", 0) as process:
        line = process.stdout.readline()
        found = re.search(r"12 pages of \S+ at http://127\.0\.0\.1:(\d+)/\?token=(\S+) ", line)
        assert found, line
        port = int(found[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().status == 403
        connection.request("GET", f"/{found[2]}/")
        html = connection.getresponse().read().decode()
        token = re.search(r'name="superposition-token" content="([^"]+)"', html)[1]
        head = {"Content-Type": "application/json", "X-Superposition-Token": token}
        connection.request("POST", "/api/activations", json.dumps({"text": "the waves"}), head)
        answer = connection.getresponse()
        assert answer.status == 200
        assert "".join(json.loads(answer.read())["tokens"]) == "the waves"
        process.send_signal(signum)
        out, err = output(process)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not here")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    quiet = "headless=new no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
    for flag in (
        *quiet.split(),
        "disable-sync",
        "window-size=1200,900",
        f"user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(60)
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser's own first tab asked for
    yield driver
    driver.quit()


def test_a_browser_reads_and_steers_on_served_pages_of_the_shipped_model(browser, tmp_path, capsys):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    out = tmp_path / "pages"
    words = ["page", "--latents", *range(8), "--max-tokens", 2560, "--out", out]
    status, _, err = run(*words, capsys=capsys)
    assert status == 0, err
    index = read_index(out)
    alive = next(id for id, most in zip(index["columns"]["id"], index["columns"]["max"], strict=True) if most)
    attached = open_sae(PageConfig())
    maxima = dict(zip(index["columns"]["id"], index["columns"]["max"], strict=True))
    own = answers(attached, maxima)
    wait = WebDriverWait(browser, 120)

    def field(form, name):
        return form.find_element(By.NAME, name)

    def fill(element, value):
        element.clear()
        element.send_keys(str(value))

    with serving(out, own, Limits(turn=120)) as server:
        browser.get(f"{server.url}#f={alive}")
        wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "section.panel"))
        browser.get(f"{server.url}#live")
        reading, steering = (
            wait.until(lambda b, n=name: b.find_element(By.NAME, n)).find_element(
                By.XPATH, "ancestor::section[1]"
            )
            for name in ("text", "prompt")
        )
        fill(field(reading, "text"), "Once upon a time\nthere was")
        reading.find_element(By.TAG_NAME, "button").click()
        tokens = wait.until(lambda b: [s.text for s in reading.find_elements(By.CSS_SELECTOR, "bdi > span")])
        assert "Once" in tokens[0]
        assert "time" in " ".join(tokens)
        fill(field(steering, "prompt"), "Once upon a time")
        for name, value in (
            ("id", alive),
            ("strengths", "-3 0 3"),
            ("n", 5),
            ("temperature", 0),
            ("seed", 0),
        ):
            fill(field(steering, name), value)
        steering.find_element(By.TAG_NAME, "button").click()
        rows = wait.until(lambda b: steering.find_elements(By.CSS_SELECTOR, "tbody tr"))
        asked = {
            "prompt": "Once upon a time",
            "id": alive,
            "strengths": [-3, 0, 3],
            "n": 5,
            "temperature": 0,
            "seed": 0,
        }
        expected = own["/api/steer"](asked)["rows"]
        assert len(rows) == 3
        for row, one in zip(rows, expected, strict=True):
            shown = row.find_element(By.CSS_SELECTOR, "td bdi").get_attribute("textContent")
            assert shown == "".join(one["tokens"])
        fill(field(steering, "n"), 199)
        steering.find_element(By.TAG_NAME, "button").click()
        wait.until(lambda b: "n must be at most" in steering.text)
        asked_for = [
            message["params"]["request"]["url"]
            for message in (
                json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
            )
            if message["method"] == "Network.requestWillBeSent"
        ]
        assert any("/api/steer" in url for url in asked_for)
        assert [url for url in asked_for if not url.startswith((server.address, "data:"))] == []
        loud = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert [
            entry for entry in loud if "/api/steer" not in entry["message"]
        ] == []  # the refusal, which Chromium logs
        assert len(loud) <= 1
    browser.get((out / "index.html").as_uri() + "#live")
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "main *"))
    assert not browser.find_elements(By.NAME, "prompt")
