"""Every lesson runs as a plain script, with small settings, without a network and with nothing on standard error."""

import socket

import jax
import numpy as np
import pytest

from notebooks import build
from superposition import geometry

LESSONS = build.lessons()


def run(path, *, fast):
    """The names a lesson leaves behind; it broadcasts as a student does, which no setting of the tests forbids."""
    names = {"__name__": "__main__"}
    with jax.numpy_rank_promotion("allow"):
        exec(compile(build.source(path, fast=fast), str(path), "exec"), names)
    return names


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a lesson opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.syspath_prepend(str(build.HERE))  # what stands beside a lesson, as when it is run as a script


def lessons(quick):
    """Every lesson as a test; those that are not quick are slow tests."""
    return [
        pytest.param(path, id=path.stem, marks=() if path.stem in quick else pytest.mark.slow)
        for path in LESSONS
    ]


@pytest.mark.parametrize("path", lessons(quick=("01_features", "06_sae")))
def test_a_lesson_runs_as_a_script_without_a_network(path, no_network, capfd):
    run(path, fast=True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_setting_that_takes_long_has_a_value_for_the_tests(path):
    """`steps = 5_000  # in the tests: 100`: else the fast run would be a slow one."""
    settings = [line for line in build.source(path).splitlines() if "# in the tests:" in line]
    assert settings
    for line in settings:
        name, long, short = line.split(" = ")[0], *(int(part.replace("_", "")) for part in numbers(line))
        assert short < long, name


def numbers(line):
    value, _, small = line.partition("# in the tests: ")
    return value.split(" = ")[1].strip(), small.strip()


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_at_full_size_shows_what_its_text_says(path, no_network):
    check = CLAIMS[path.stem]
    check(run(path, fast=False))


def _features(names):
    assert names["shapes"] == ["2 dedicated", "2 digons", "pentagon"]


def _linear_and_relu(names):
    """The counts of the experiment `lecture_figure` within one: 5, 8, 9, 10, 11, 12, 14."""
    counts = names["counts"]
    assert all(abs(a - b) <= 2 for a, b in zip(counts, (5, 8, 9, 10, 11, 12, 14), strict=True))
    assert counts == sorted(counts)


def _phase_change(names):
    assert names["reached"].max() < 0.01
    assert names["reached"].min() > -1e-4
    assert 0.05 < names["gain"].max() < 0.14


def _geometry(names):
    assert geometry.recognise(names["toy"].W).name == "square antiprism"
    assert abs(names["loss"][100] / names["levels"][9] - 1) < 0.005
    assert abs(names["loss"][-1] / names["levels"][10] - 1) < 0.005


def _larger_network(names):
    assert names["seen"].min() >= 3
    assert names["score"]["found"] > 0.9
    assert (names["error"][names["active"] == 1] > 0.3).mean() < 0.02


def _tour(names):
    assert names["toy"].loss < 0.002


def _sae(names):
    scores = names["scores"]
    assert scores[0.0][1] < 0.01
    assert scores[0.0][2] < 0.2
    assert max(found for _, _, found in scores.values()) > 0.9
    assert scores[3.2][2] < scores[0.8][2]


def _zoo(names):
    """Columns: L0 of 2, 3, 4 (the true one) and 6."""
    mcc = {name: [score["mcc"] for score in values] for name, values in names["scores"].items()}
    explained = {name: [s["explained_variance"] for s in values] for name, values in names["scores"].items()}
    length = {name: values[0]["relative_norm"] for name, values in names["scores"].items()}
    assert all(values[0] < 0.85 for values in mcc.values())
    assert mcc["ReLU, L1"][2] > 0.95
    assert mcc["BatchTopK"][2] > mcc["BatchTopK"][3] + 0.03
    assert explained["BatchTopK"][3] > 0.98
    assert explained["TopK"][2] < explained["BatchTopK"][2] - 0.05
    assert length["ReLU, L1"] < min(length["TopK"], length["BatchTopK"]) - 0.2
    assert names["hedged"] == sorted(names["hedged"], reverse=True)
    assert names["rates"][2].mean() > names["rates"][4].mean() > 0


def _language_model(names):
    """All neurons together read a script; how well a single one does depends on how rare it is in the model's text."""
    for script, curves in names["panels"].items():
        together = list(curves["neurons"].values())[-1]
        assert together > 0.95
        assert curves["neurons"][1] < together - 0.1
        assert curves["latents"][16] > 0.9
        some, without, _ = names["hidden"][script.lower()]
        assert 0 < without < some


def _feature_pages(names):
    assert names["f1"] > 0.8
    assert 0.1 < (names["quality"] >= 0.7).mean() < 0.6


def _four_questions(names):
    assert names["purity"]["1,024 latents"] > 1.3 * names["purity"]["neurons"]
    assert names["again"]["another seed"] > names["again"]["another model"] > max(names["chance"])
    assert names["again"]["another model"] > names["again"]["neurons, another model"]
    assert all(tree.split_fraction > 0 for tree in names["trees"].values())
    assert np.median(names["agreement"][:, 1]) > 0.9 > 0.3 > np.median(names["wrong"])
    assert names["monotone"] == len(names["chosen"])


def _steering(names):
    assert names["rises"] == len(names["own"])
    assert names["selective"] == len(names["moved"])
    assert names["hits"] == len(names["rise"])


def _sae_lens(names):
    assert names["score"]["ce_recovered"] > 0.95
    assert names["far"] == sorted(names["far"][:3], reverse=True) + sorted(names["far"][3:])


def _attribution(names):
    """Exact where the model is linear, close behind a norm, worse by token; the weights tell when latents fire."""
    assert np.abs(names["straight"] - names["truth"]).max() < 1e-4
    assert all(correlation > 0.9 for correlation, _ in names["agreement"].values())
    assert max(names["token_agreement"]) < 0.9
    assert abs(names["path_of_token"].sum() - names["rest"]) < 0.02 * abs(names["rest"])
    assert names["score"]["ce_recovered"] > 0.85
    areas = {name: np.median(values) for name, values in names["areas"].items()}
    assert areas["embedding and heads"] > 0.85 > 0.75 > areas["embedding"]
    assert abs(areas["another latent's"] - 0.5) < 0.1
    assert names["into"].sum() == pytest.approx(names["f"][names["best"]], rel=1e-3)
    assert names["before"] > names["after"]


CLAIMS = {
    "00_tour": _tour,
    "01_features": _features,
    "02_linear_and_relu": _linear_and_relu,
    "03_phase_change": _phase_change,
    "04_geometry": _geometry,
    "05_larger_network": _larger_network,
    "06_sae": _sae,
    "07_zoo": _zoo,
    "08_language_model": _language_model,
    "09_feature_pages": _feature_pages,
    "10_four_questions": _four_questions,
    "11_steering_and_ablation": _steering,
    "12_sae_lens": _sae_lens,
    "13_attribution": _attribution,
}
