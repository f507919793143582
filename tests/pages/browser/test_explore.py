"""The live page in a real Chromium: its numbers are the library's, sliders, keys, accessibility, full screen."""

import json

import numpy as np
import pytest

import superposition as sp
from superposition.pages.explorer import Explorer
from tests.support.browser import ActionChains, Keys, faults
from tests.support.explored import LivePage

SLIDES = ("Linear model, 20", "1 − S = 0.01")
# theory.exact_minimum("relu", [0.9 ** np.arange(5)], [0.1], 2, key=jax.random.key(0)).loss[0], which compiles for 20 s
LEAST = 0.02140393691798


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return Explorer(density=0.8).save(tmp_path_factory.mktemp("live") / "live.html")


@pytest.fixture
def live(driver, file):
    """The page, and after the test: no error in the console, and no request but for the file and the worker's text."""
    page = LivePage(driver, {})
    page.media(prefers_color_scheme="light")
    page.size(1440, 810)
    driver.get_log("performance"), driver.get_log("browser")
    page.start(file)
    yield page
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith((file.as_uri(), "data:,", "blob:"))] == []
    assert urls


def agrees(shown):
    """The page's loss is the reference's, and its name of W the library's."""
    W = np.array(shown["W"])
    loss = sp.reference_loss(
        sp.ToyParams(W, np.array(shown["b"])),
        shown["base"] ** np.arange(shown["n"]),
        shown["density"],
        activation="relu" if shown["relu"] else "linear",
    )
    assert shown["loss"] == pytest.approx(loss, rel=1e-6)
    assert shown["name"] == sp.geometry.recognise(W).name


def test_dragging_the_density_finds_the_pentagon(live):
    assert live.result()["name"] == "2 dedicated"
    for _ in range(5):
        live.drag("density", -22)
        shown = live.result()
        if shown["name"] == "pentagon":
            break
    assert shown["name"] == "pentagon"
    assert shown["density"] < 0.3
    assert "Pentagon" in live.texts("h2")[0]
    agrees(shown)
    spoken = live.slider("density").get_attribute("aria-valuetext")
    assert spoken.startswith("density 0.")
    assert "sparsity" in spoken


def test_losses_and_names_are_the_librarys(live):
    for slide in SLIDES:
        agrees(live.choose(slide))


def test_the_least_loss_is_the_exact_minimum(live):
    shown = live.choose("Five features, 90 %")
    assert shown["least"] == pytest.approx(LEAST, rel=1e-6)
    assert shown["least"] <= shown["loss"]
    linear = live.choose("Linear model, 20")
    assert linear["least"] == pytest.approx(sp.theory.linear_optimum(0.7 ** np.arange(20), 0.1, 5), rel=1e-12)


def test_pointing_at_the_phase_diagram_trains_the_model_of_the_cell(live):
    live.press("2")
    assert live.wait("return document.querySelector('canvas')")
    canvas = live.all("canvas")[0]
    width, height = live.js("return [arguments[0].clientWidth, arguments[0].clientHeight]", canvas)
    for across, up, words in ((0.4, 0.45, "to itself"), (-0.3, 0.45, "dropped"), (0, -0.2, "superposition")):
        live.point(canvas, round(width * across), -round(height * up))
        ActionChains(live.driver).click().perform()
        shown = live.result()
        assert words in live.texts("h2")[0]
        loss = sp.reference_loss(
            sp.ToyParams(np.array(shown["W"]), np.array(shown["b"])),
            [1.0, shown["r"]],
            shown["density"],
            activation="relu",
        )
        assert shown["loss"] == pytest.approx(loss, rel=1e-6)
        assert shown["least"] <= shown["loss"] * (1 + 1e-9)
    before = shown["density"]
    live.press(Keys.ARROW_UP)
    assert live.result()["density"] > before


def test_an_autoencoder_finds_features_with_a_penalty_and_copies_without(live):
    copied, found = live.choose("without a penalty")["sae"], live.choose("with a penalty")["sae"]
    assert copied["fvu"] < 1e-3
    assert copied["found"] <= 2
    assert copied["l0"] > 4 * found["l0"]
    assert found["found"] == found["stored"] == 8
    shown = live.result()
    W, decoder = np.array(shown["W"]), np.array(found["decoder"])
    for match in found["matches"]:
        w, d = W[:, match["feature"]], decoder[match["latent"]]
        assert match["cosine"] == pytest.approx(w @ d / np.linalg.norm(w) / np.linalg.norm(d), abs=1e-9)


def test_keys_and_full_screen(live):
    live.press("]")
    assert live.result()["density"] == 1
    live.press("l")
    assert live.result()["relu"] is False
    live.press("?")
    assert len(live.all("dialog kbd")) == 7
    live.press(Keys.ESCAPE)
    live.size(1920, 1080)
    live.press("f")
    assert live.wait("return document.querySelector('.projector')")
    parts = ["h2", ".said", "label", "button", ".legend"]
    sizes = live.js(
        """return arguments[0].map((part) =>
            parseFloat(getComputedStyle(document.querySelector(`.projector ${part}`)).fontSize))""",
        parts,
    )
    assert min(sizes) >= 24  # 18 pt
    overflow = """const { scrollWidth, clientWidth, scrollHeight, clientHeight } = document.querySelector('.projector');
        return [scrollWidth - clientWidth, scrollHeight - clientHeight]"""
    assert live.js(overflow) == [0, 0]
    live.press("f")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(live, scheme):
    live.media(prefers_color_scheme=scheme)
    for view in "123":
        live.press(view)
        live.result()
        assert faults(live) == [], view
    live.size(400)
    assert live.js("return document.documentElement.scrollWidth") <= 400
