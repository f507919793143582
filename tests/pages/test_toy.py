"""A toy model's pages: the truth against closed forms, panels against the arrays they show, and honest gaps."""

import base64
import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import geometry
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.features import Anticorrelated, SparseUniform
from superposition.pages import check, write
from superposition.pages.toy import toy_pages
from superposition.pages.toy.numbers import components
from superposition.sae import ReLU
from superposition.toy import Linear, ReLUOutput
from superposition.typing import ToyParams

KEY = jax.random.key(0)
N, M = 6, 3
ANGLES = 2 * np.pi * np.arange(3) / 3
W = np.zeros((M, N))  # a triangle (0, 1, 2), an antipodal pair (3, 4), and a feature that is hardly there
W[:2, :3] = np.cos(ANGLES), np.sin(ANGLES)
W[2, 3:] = 0.9, -0.9, 0.05
B = np.array([-0.1, -0.1, -0.1, 0.05, 0.0, 0.3])
IMPORTANCE = np.array([1, 0.9, 0.8, 0.7, 0.6, 0.5])
LAW = SparseUniform(density=0.2)
MODEL = ReLUOutput(N, M)
ROWS = np.concatenate(
    [W.T[[4, 3, 2, 1, 0]] * 2, [[1, 1, 1], [-1, 0, 1]]]
)  # 5 and 6 are nobody's, 6 is silent
SAE = ReLU(d_in=M, d_sae=7)
PARAMS = {
    "W_enc": jnp.asarray(ROWS.T, jnp.float32),
    "b_enc": jnp.asarray([0.0] * 6 + [-100]),
    "W_dec": jnp.asarray(ROWS, jnp.float32),
    "b_dec": jnp.zeros(M),
}


@cache
def made(with_sae=True):
    given = (SAE, PARAMS) if with_sae else (None, None)
    pages = toy_pages(MODEL, W, B, LAW, IMPORTANCE, *given, key=KEY, examples=3000, title="Six in three")
    return pages.index, list(pages.features)


def panel(page, title):
    (one,) = [p for p in page["panels"] if p["title"].startswith(title)]
    return one


def stats(page, title):
    return {label: text for label, text, _ in panel(page, title)["rows"]}


def value(text):
    return float(text.replace("−", "-"))


def sample():
    return np.asarray(LAW.sample(jax.random.split(KEY, 3)[0], N, 3000), np.float64)


@pytest.mark.parametrize("with_sae", [True, False], ids=["sae", "truth alone"])
def test_the_pages_keep_to_the_format_and_are_small(with_sae, tmp_path):
    index, features = made(with_sae)
    out = write.write(tmp_path / "pages", index, features)
    assert (out / "index.html").stat().st_size > 10_000
    assert index["columns"]["id"] == [page["id"] for page in features]
    assert [len(json.dumps(page).encode()) < 12_000 for page in features] == [True] * len(features)
    assert {p.get("side") for page in features for p in page["panels"]} == (
        {"truth", "latent"} if with_sae else {None}
    )


def test_the_truth_is_that_of_the_closed_forms():
    index, features = made()
    columns = index["columns"]
    np.testing.assert_allclose(columns["norm"][:N], geometry.norms(W), rtol=1e-3)
    np.testing.assert_allclose(columns["dimensionality"][:N], [2 / 3] * 3 + [0.5] * 2 + [0], atol=5e-3)
    np.testing.assert_allclose(columns["interference"][:N], [0.5] * 3 + [0.81, 0.81, 1.62], atol=5e-3)
    whole = reference_loss(ToyParams(W, B), IMPORTANCE, 0.2, activation="relu")
    for i in range(N):
        less = W.copy()
        less[:, i] = 0
        effect = reference_loss(ToyParams(less, B), IMPORTANCE, 0.2, activation="relu") - whole
        assert columns["loss_effect"][i] == pytest.approx(effect, rel=1e-3, abs=1e-9)
    assert columns["loss_effect"][0] > 0.01
    names = [stats(page, "Feature")["Component"] for page in features[:N]]
    assert names == ["triangle"] * 3 + ["digon"] * 2 + ["not represented"]
    assert columns["label"][5] == "not represented"


def test_error_is_split_into_its_own_and_interference():
    _, features = made(False)
    x = np.random.default_rng(1).random((400_000, N)) * (np.random.default_rng(2).random((400_000, N)) < 0.2)
    y = np.maximum(x @ W.T @ W + B, 0)
    for i, page in enumerate(features):
        rows = panel(page, "Reconstruction error")["rows"]
        own, between, total = (row[1] for row in rows)
        assert [row[2] for row in rows] == pytest.approx([own / total, between / total, 1], abs=2e-3)
        alone = np.maximum((W[:, i] @ W[:, i]) * x[:, i] + B[i], 0)
        assert own == pytest.approx(((x[:, i] - alone) ** 2).mean(), rel=0.02)
        assert total == pytest.approx(((x[:, i] - y[:, i]) ** 2).mean(), rel=0.02)
        assert own + between == pytest.approx(total, abs=1e-6)


def test_a_law_with_dependence_is_sampled_and_says_so():
    law = Anticorrelated(density=0.3)
    pages = toy_pages(MODEL, W, B, law, IMPORTANCE, key=KEY, examples=4000)
    x = np.asarray(law.sample(jax.random.split(KEY, 3)[0], N, 4000), np.float64)

    def loss(weights):
        return ((x - np.maximum(x @ weights.T @ weights + B, 0)) ** 2).mean(0) @ IMPORTANCE

    for i in range(N):
        less = W.copy()
        less[:, i] = 0
        effect = pages.index["columns"]["loss_effect"][i]
        assert effect == pytest.approx(loss(less) - loss(W), rel=1e-3, abs=1e-9)
    np.testing.assert_allclose(pages.index["columns"]["density"], (x != 0).mean(0), rtol=1e-3)
    assert "over 4000 examples" in panel(next(pages.features), "Reconstruction error")["note"]


def test_the_response_is_the_models():
    for i, page in enumerate(made(False)[1]):
        curve = panel(page, "Response")
        at = np.array(curve["x"]["values"])
        alone, mean, perfect = (np.array(s["values"]) for s in curve["series"])
        np.testing.assert_allclose(alone, np.maximum((W[:, i] @ W[:, i]) * at + B[i], 0), atol=1e-3)
        np.testing.assert_array_equal(perfect, at)
        x = sample()
        x[:, i] = 0.5
        expected = np.maximum(x @ W.T @ W + B, 0)[:, i].mean()
        assert mean[10] == pytest.approx(expected, abs=1e-3)
    signed = toy_pages(MODEL, W, B, Anticorrelated(density=0.2, signed=True), key=KEY, examples=50)
    assert panel(next(signed.features), "Response")["x"]["values"][0] == -1


def test_hidden_projections_are_counted_apart_where_the_feature_is_on_and_off():
    x = sample()
    along = x @ W.T @ W[:, 1]
    on = x[:, 1] != 0
    for where, chosen in (("on", on), ("off", ~on)):
        shown = panel(made(False)[1][1], f"Hidden projection where it is {where}")
        counts, _ = np.histogram(along[chosen], len(shown["counts"]), (shown["from"], shown["to"]))
        assert sum(shown["counts"]) == chosen.sum()
        assert np.abs(counts - shown["counts"]).sum() <= 6  # edges are shown to four digits
        assert shown["diverging"]


def test_every_latent_is_on_its_features_page_or_one_of_its_own():
    index, features = made()
    assert [stats(page, "Its latent")["Latent"] for page in features[:5]] == ["4", "3", "2", "1", "0"]
    assert panel(features[5], "No latent")["note"].startswith("Feature 5 is not represented")
    assert index["columns"]["name"][N:] == ["latent 5", "latent 6"]
    assert [page["dead"] for page in features[N:]] == [False, True]
    assert panel(features[N + 1], "Examples")["type"] == "empty"
    assert index["columns"]["label"][N + 1] == "silent"
    assert stats(features[3], "Its latent")["Cosine"] == "1"
    links = [row[0] for row in panel(features[0], "Correlated latents")["rows"]]
    numbers = [row[1] for row in panel(features[0], "Correlated latents")["rows"]]
    page_of = {4: 0, 3: 1, 2: 2, 1: 3, 0: 4, 5: N, 6: N + 1}
    assert [link["f"] for link in links] == [page_of[k] for k in numbers]
    assert 4 not in numbers


def test_scores_and_interventions_are_those_of_the_arrays():
    index, features = made()
    x = sample()
    f = np.maximum(x @ W.T @ np.asarray(ROWS).T + np.array([0.0] * 6 + [-100]), 0)
    fires, on = f[:, 4] > 1e-6, x[:, 0] != 0
    precision, recall = (fires & on).sum() / fires.sum(), (fires & on).sum() / on.sum()
    shown = stats(features[0], "Its latent")
    assert value(shown["F1"]) == pytest.approx(2 * precision * recall / (precision + recall), abs=6e-3)
    assert index["columns"]["quality"][0] == pytest.approx(value(shown["F1"]), abs=6e-3)
    assert index["columns"]["quality"][5] is None
    assert value(shown["Density"]) == pytest.approx(fires.mean(), abs=6e-3)
    assert value(shown["Steering error"]) < 1e-6  # the decoder row is the feature's own direction
    moves = panel(features[0], "Steering the latent")
    rows = {row[0]["f"]: row[1:] for row in moves["rows"]}
    assert moves["title"].endswith("by 0.25")  # rows are twice as long as the columns of W
    assert rows[0][0] == pytest.approx(0.5)
    assert rows[1][0] == pytest.approx(-0.25, abs=1e-3)
    assert abs(rows[1][1]) < abs(rows[1][0]) / 2
    assert rows[1][1:2] == rows[1][2:]


def test_examples_are_the_strongest_and_a_sample_of_every_interval_with_its_mass():
    x = sample()
    page = made()[1][0]
    shown = panel(page, "Examples")
    f = np.maximum(2 * x @ W.T @ W[:, 0], 0).astype(np.float32)
    rows = [place[0] for place in shown["place"]]
    top = shown["groups"][0]["rows"]
    np.testing.assert_allclose(f[[rows[r] for r in top]], np.sort(f)[::-1][: len(top)], rtol=1e-5)
    total = 0.0
    for group in shown["groups"][1:]:
        low, high = (float(edge) for edge in group["title"].split(" to "))
        inside = (f > low * 0.998) & (f <= high * 1.002)
        share = float(group["note"].split(" %")[0])
        assert share == pytest.approx(100 * inside.sum() / (f > 1e-6).sum(), abs=1.0)
        total += share
        assert inside[[rows[r] for r in group["rows"]]].all()
    assert total == pytest.approx(100, abs=0.5)
    act = np.frombuffer(base64.b64decode(shown["act"]), np.uint8) * shown["scale_act"] / 255
    words = [page["dictionary"][ref] for ref in np.frombuffer(base64.b64decode(shown["tokens"]), "<u2")]
    start = 0
    for row, length in zip(rows, shown["length"], strict=True):
        assert act[start] == pytest.approx(f[row], abs=shown["scale_act"] / 255)
        assert not act[start + 1 : start + length].any()
        said = {w.split("\u00a0")[0]: value(w.split("\u00a0")[1]) for w in words[start + 1 : start + length]}
        np.testing.assert_allclose(
            [said.get(f"x{k}", 0) for k in range(N)], np.where(x[row] != 0, x[row], 0), atol=5.1e-3
        )
        if x[row, 0]:
            assert words[start + 1].startswith("x0")
        start += length


def test_the_map_is_the_directions_themselves_where_there_are_two():
    law = Anticorrelated(density=0.2)
    plane = np.array([[1.0, 0.9, 0.2, 0.6], [0.3, -0.5, 0.8, 0.1]])
    pages = toy_pages(ReLUOutput(4, 2), plane, np.zeros(4), law, key=KEY, examples=50)
    np.testing.assert_allclose([pages.index["columns"][c] for c in "xy"], plane)
    index, _ = made()
    assert np.isfinite([index["columns"]["x"], index["columns"]["y"]]).all()
    one = toy_pages(ReLUOutput(4, 1), [[1.0, -1.0, 0.5, 0]], np.zeros(4), law, key=KEY, examples=50)
    assert one.index["columns"]["x"] == [1, -1, 0.5, 0]
    assert one.index["columns"]["y"] == [0] * 4


def test_components_are_named_after_their_polytopes():
    angles = 2 * np.pi * np.arange(5) / 5
    names, groups = components(np.stack([np.cos(angles), np.sin(angles)]))
    assert names == ["pentagon"] * 5
    assert groups[3].tolist() == [0, 1, 2, 3, 4]
    assert components(np.eye(2))[0] == ["dedicated", "dedicated"]
    assert components(np.array([[1, 0.6], [0, 0.8]]))[0] == ["2 in 2"] * 2
    assert components(np.zeros((2, 2)))[0] == ["not represented"] * 2


def test_more_than_a_hundred_features_and_a_model_without_any_are_pages_too(tmp_path):
    n = 120
    weights = np.random.default_rng(0).normal(size=(20, n)) / 5
    pages = toy_pages(Linear(n, 20), weights, np.zeros(n), SparseUniform(density=0.05), key=KEY, examples=100)
    out = write.write(tmp_path / "many", *pages)
    assert len(list((out / "features").iterdir())) == n
    none = toy_pages(MODEL, 0 * W, 0 * B, LAW, IMPORTANCE, SAE, PARAMS, key=KEY, examples=100)
    index, features = none.index, list(none.features)
    assert len(features) == N + 7
    check.index(index)
    for page in features:
        check.feature(page, page["id"], frozenset(index["columns"]["id"]))
    json.dumps([index, features], allow_nan=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"W": W[:, :4]}, r"W must be \(3, 6\)"),
        ({"b": B[:4]}, r"W must be \(3, 6\)"),
        ({"W": W * np.nan}, "must be finite"),
        ({"importance": [1, 2]}, "importance must be"),
        ({"importance": -1.0}, "importance must be"),
        ({"sae": SAE}, "sae and params belong together"),
        ({"sae": ReLU(d_in=4, d_sae=7), "params": PARAMS}, "read and write the 3 hidden numbers"),
        ({"examples": 1}, "examples must be an integer >= 2"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    given = {"model": MODEL, "W": W, "b": B, "features": LAW, "key": KEY, "examples": 50} | change
    with pytest.raises(ConfigError, match=words):
        toy_pages(**given)
