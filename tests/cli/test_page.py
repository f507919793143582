"""`superposition page` and `serve`: what they write and serve, what they refuse, and that nothing is left half-written."""

import http.client
import json
import os
import re
import shutil
import signal

import jax
import numpy as np
import pytest

from superposition.activations.cache import Cache
from superposition.cli import main
from superposition.cli.features import page
from superposition.cli.features.config import SMALL_LM_SAE, PageConfig
from superposition.cli.features.on_sae import open_sae
from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.text import read_tokens
from superposition.interventions import Attached, firing
from superposition.llm import LanguageModel
from superposition.pages import llm as page_llm
from superposition.pages.server import Limits, Server
from superposition.pages.server.live import answers
from superposition.pages.server.served import read_index
from superposition.sae import TopK
from superposition.storage import formats
from superposition.toy import ReLUOutput
from superposition.training import open_sweep, sweep
from superposition.training.toy import ToyRun
from superposition.training.toy_results import toy_sweep
from tests.oracles import tiny_lm
from tests.support.processes import output, python, started
from tests.support.server import serving

POST = "blocks.0.mlp.hook_post"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


def write_sae(folder, seed=0, d_in=24, hook=POST):
    sae = TopK(d_in=d_in, d_sae=12, k=3)
    formats.save(
        folder, sae, sae.init_params(jax.random.key(seed)), {} if hook is None else {"hook_name": hook}
    )
    return folder


@pytest.fixture(scope="module")
def sae(tmp_path_factory):
    return write_sae(tmp_path_factory.mktemp("saes") / "sae")


@pytest.fixture(scope="module")
def own(sae, model):
    return [sae, "--model", model]


@pytest.fixture(scope="module")
def pages(own, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "all"
    assert main.main([str(a) for a in ("page", *own, "--text", texts, "--out", out)]) == 0
    return out


@pytest.mark.parametrize("command", ["page", "serve"])
def test_help_does_not_import_jax(command):
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        f"try:\n    cli.main(['{command}', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'jax', 'flax', 'transformers', 'xarray', 'matplotlib', 'optax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert SMALL_LM_SAE in done.stdout


def test_the_default_sae_is_the_one_that_ships_and_an_unknown_name_lists_it():
    assert formats.SHIPPED.keys() == {SMALL_LM_SAE}
    loaded = formats.load(PageConfig().sae)
    assert loaded.metadata["hook_name"] == POST
    assert loaded.sae.d_in == LanguageModel.from_hf().width(POST)
    with pytest.raises(formats.StoreError, match=SMALL_LM_SAE):
        formats.load("superposition/small-lm-sea")
    with pytest.raises(formats.StoreError) as said:
        formats.load("elsewhere/small-lm-sea")
    assert SMALL_LM_SAE not in str(said.value)


# --- page


def test_pages_of_every_latent_with_the_numbers_of_the_text(pages, model, texts, sae):
    index = read_index(pages)
    lm, loaded = LanguageModel.from_hf(model), formats.load(sae)
    tokens = read_tokens(TextConfig(text=(texts,)), lm)
    seen = firing(Attached(lm, POST, loaded.sae, loaded.params), tokens)
    assert index["columns"]["id"] == list(range(12))
    np.testing.assert_allclose(index["columns"]["max"], seen.largest, rtol=1e-3)
    np.testing.assert_allclose(index["columns"]["density"], seen.density, rtol=1e-3)
    assert index["of"]["hook"] == POST


def titles(folder, latent):
    html = (folder / "index.html").read_text()
    feature = json.loads(re.search(rf'id="features/{latent}">(.*?)</script>', html)[1])
    return [panel["title"] for panel in feature["panels"]]


def test_it_says_where_pages_are_and_looks_for_latents_in_another_sae(
    own, pages, model, texts, tmp_path, capsys
):
    other = write_sae(tmp_path / "other", seed=5, hook=None)
    out = tmp_path / "some pages"
    words = ["page", *own, "--text", texts, "--latents", 7, 2, "--other"]
    status, said, err = run(*words, other, "--out", out, capsys=capsys)
    assert status == 0, err
    assert f"2 pages in {out}" in said
    assert str(out / "index.html") in said
    assert f"superposition serve {own[0]} --model {model} --pages '{out}'" in said
    assert "writing" in err
    assert read_index(out)["columns"]["id"] == [7, 2]
    assert sorted(os.listdir(tmp_path)) == ["other", "some pages"]
    extra = set(titles(out, 7)) - set(titles(pages, 7))
    assert any("other" in title.lower() for title in extra), extra
    elsewhere = write_sae(tmp_path / "elsewhere", d_in=16, hook="blocks.0.hook_resid_post")
    status, _, err = run(*words, elsewhere, "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "blocks.0.hook_resid_post" in err
    assert not (tmp_path / "x").exists()


def test_a_cache_gives_the_pages_of_its_text(pages, own, model, texts, tmp_path, capsys):
    cache, out = tmp_path / "cache", tmp_path / "pages"
    assert run("llm", "activations", "--model", model, "--text", texts, "--out", cache, capsys=capsys)[0] == 0
    status, _, err = run("page", *own, "--cache", cache, "--out", out, capsys=capsys)
    assert status == 0, err
    columns, expected = read_index(out)["columns"], read_index(pages)["columns"]
    for name in ("id", "density", "max", "label", "quality"):
        assert columns[name] == expected[name], name
    lm = LanguageModel.from_hf(model)
    tokens = read_tokens(TextConfig(text=(texts,)), lm)
    held = page.cached_tokens(Cache(cache), lm)
    np.testing.assert_array_equal(held.tokens, tokens.tokens)
    np.testing.assert_array_equal(held.usable, tokens.usable)
    another = tiny_lm.write_model(tmp_path / "another", seed=1)
    status, _, err = run(
        "page", own[0], "--model", another, "--cache", cache, "--out", tmp_path / "x", capsys=capsys
    )
    assert status == 2
    assert f"was written with {model}" in err


def test_pages_are_replaced_only_if_asked_and_only_pages(pages, own, texts, tmp_path, capsys, monkeypatch):
    out = tmp_path / "pages"
    shutil.copytree(pages, out)
    common = ["page", *own, "--text", texts, "--out", out, "--latents"]
    assert run(*common, 2, "--overwrite", capsys=capsys)[0] == 0
    assert read_index(out)["columns"]["id"] == [2]
    assert os.listdir(tmp_path) == ["pages"]
    monkeypatch.setattr(page, "open_sae", lambda config: pytest.fail("read a model first"))
    status, _, err = run(*common, 3, capsys=capsys)
    assert status == 2
    assert "--overwrite" in err
    (out / "mine.txt").write_text("a diary")
    status, _, err = run(*common, 3, "--overwrite", capsys=capsys)
    assert status == 1
    assert "mine.txt" in err
    assert (out / "mine.txt").read_text() == "a diary"


def test_settings_that_contradict_each_other_are_refused_before_a_model_is_read(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(page, "open_sae", lambda config: pytest.fail("read a model first"))
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    out = ["--out", tmp_path / "p"]
    for words, said in (
        ([], "--out"),
        (["--out", tmp_path / "file"], "exists"),
        (["--out", tmp_path / "link"], "exists"),
        (["--out", tmp_path / "link", "--overwrite"], "something else"),
        (["--out", tmp_path / "file" / "pages"], "cannot write"),
        ([*out, "--cell", "seed=1"], "--cell"),
        ([*out, "--density", 0.1], "--density"),
        ([*out, "--cache", tmp_path, "--text", tmp_path], "--text"),
        ([*out, "--cache", tmp_path, "--ctx", 16], "--ctx"),
        ([*out, "--text", tmp_path, "--tokens", tmp_path / "file"], "one of"),
        ([*out, "--latents", 1, 2, 1], "twice"),
        ([*out, "--toy", tmp_path, "--text", tmp_path], "--text"),
        ([*out, "--toy", tmp_path, "--model", "gpt2"], "--model"),
        ([*out, "--toy", tmp_path, "--latents", 1], "--latents"),
        ([*out, "--toy", tmp_path, "--other", "x"], "--other"),
        ([*out, "--toy", tmp_path, "--cache", tmp_path], "--cache"),
    ):
        status, printed, err = run("page", *words, capsys=capsys)
        assert status in (1, 2), words
        assert said in err, (words, err)
        assert not printed
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_what_does_not_fit_is_refused(own, sae, model, texts, tmp_path, capsys):
    wide = write_sae(tmp_path / "wide", d_in=16)
    for words, said in (
        ([*own, "--latents", 12], "0 to 11"),
        ([*own, "--latents", -1], "0 to 11"),
        ([wide, "--model", model], "16"),
        ([tmp_path / "nothing", "--model", model], "nothing"),
        ([*own, "--text", tmp_path / "nothing.txt"], "nothing.txt"),
    ):
        status, _, err = run(
            "page",
            *words,
            *([] if "--text" in words else ["--text", texts]),
            "--out",
            tmp_path / "p",
            capsys=capsys,
        )
        assert status in (1, 2), words
        assert said in err, err
        assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(own, texts, tmp_path, monkeypatch, capsys, signum, code):
    made = page_llm.feature_pages

    def interrupted(*arguments, **options):
        pages = made(*arguments, **options)

        def features():
            yield next(pages.features)
            signal.raise_signal(signum)  # seen before the next line, as os.kill's is not
            yield next(pages.features)

        return pages._replace(features=features())

    monkeypatch.setattr(page_llm, "feature_pages", interrupted)
    old = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    status, printed, err = run("page", *own, "--text", texts, "--out", tmp_path / "pages", capsys=capsys)
    assert status == code
    assert f"stopped by {signum.name}; nothing was written" in err
    assert not printed
    assert os.listdir(tmp_path) == []
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old


# --- toy models

CELL = ("--cell", "density=0.05", "seed=1")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy") / "toy.zarr"
    words = ["sweep", "--n-features", "6", "--n-hidden", "3", "--densities", "0.5", "0.05", "--seeds", "2"]
    assert (
        main.main(
            [
                *words,
                "--importance-base",
                "0.8",
                "--steps",
                "300",
                "--learning-rate",
                "0.01",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    return out


def test_pages_of_a_toy_model(store, tmp_path, capsys):
    out = tmp_path / "toy"
    status, said, err = run("page", "--toy", store, *CELL, "--out", out, capsys=capsys)
    assert status == 0, err
    assert "6 pages" in said
    assert "serve" not in said
    index = read_index(out)
    W = open_sweep(store).sel(density=0.05, seed=1)["W"].values
    columns = index["columns"]
    assert index["kind"] == "toy"
    assert "0.05" in index["title"]
    np.testing.assert_allclose(columns["norm"], np.linalg.norm(W, axis=0), rtol=1e-3)
    np.testing.assert_allclose(columns["importance"], 0.8 ** np.arange(6), rtol=1e-3)
    np.testing.assert_allclose(columns["density"], 0.05, rtol=1e-3)
    denser = tmp_path / "denser"
    assert run("page", "--toy", store, *CELL, "--density", 0.2, "--out", denser, capsys=capsys)[0] == 0
    np.testing.assert_allclose(read_index(denser)["columns"]["density"], 0.2, rtol=1e-3)


def test_pages_of_a_toy_model_beside_an_sae(store, tmp_path, capsys):
    folder = write_sae(tmp_path / "sae", d_in=3, hook=None)
    status, _, err = run("page", folder, "--toy", store, *CELL, "--out", tmp_path / "p", capsys=capsys)
    assert status == 0, err
    names = read_index(tmp_path / "p")["columns"]["name"]
    assert names[:6] == [f"feature {i}" for i in range(6)]
    assert any(name.startswith("latent") for name in names[6:])
    wide = write_sae(tmp_path / "wide", d_in=4, hook=None)
    status, _, err = run("page", wide, "--toy", store, *CELL, "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "4" in err
    assert "3 hidden" in err
    status, _, err = run("page", "--toy", store, "--cell", "seed=9", "--out", tmp_path / "x", capsys=capsys)
    assert status == 2
    assert "seed=9" in err


def test_importance_is_that_of_the_cell():
    small = ToyRun(model=ReLUOutput(n_features=3, n_hidden=2), steps=2, batch_size=8, importance=2.0)
    axes = {"importance": [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)], "importance_base": [1.0, 0.5]}
    one = toy_sweep(sweep(small, axes)).at(importance=(4.0, 5.0, 6.0), importance_base=0.5)
    np.testing.assert_allclose(one.recipe.importance_vector(), [4, 2.5, 1.5])


# --- serve


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
