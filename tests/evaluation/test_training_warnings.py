"""A training that missed its L0, or left most latents dead or dense, says so: in the table, the JSON and from fit."""

import json

import jax
import numpy as np
import pytest

from superposition import Adam, JumpReLU, ReLU, SAERun, fit, sweep
from superposition.activations import planted_stream
from superposition.cli import main
from superposition.evaluation.sae import shortcomings
from superposition.features import PLANTED

WORLD = ["--planted", "orthogonal", "--n-features", "8", "--d-in", "8"]
SHORT = ["--steps", "3", "--batch-size", "16", "--examples", "256", "--d-sae", "16"]
GOOD = {"l0": 16.0, "dead_fraction": 0.2, "dense_fraction": 0.2, "examples": 1000.0}


@pytest.mark.parametrize(
    ("changed", "target", "said"),
    [
        ({}, 16.0, []),
        ({}, None, []),
        ({"l0": 17.6}, 16.0, []),
        ({"l0": 17.7}, 16.0, ["L0 ended at 17.7, 11 % over l0_target=16"]),
        ({"l0": 490.0}, 16.0, ["L0 ended at 490, 2962 % over l0_target=16"]),
        ({"l0": 14.4}, 16.0, []),
        ({"l0": 14.3}, 16.0, ["L0 ended at 14.3, 11 % under l0_target=16"]),
        ({"l0": 490.0}, None, []),
        ({"dead_fraction": 0.5, "dense_fraction": 0.0}, None, []),
        ({"dead_fraction": 0.51, "dense_fraction": 0.0}, None, ["51 % of latents are dead"]),
        (
            {"dead_fraction": 0.0, "dense_fraction": 0.82},
            None,
            ["82 % of latents are dense (fired on over 10 %"],
        ),
        ({"dead_fraction": 0.3, "dense_fraction": 0.3}, None, ["30 % of latents are dead"]),
        (
            {"l0": 1.0, "dead_fraction": 1.0, "dense_fraction": 0.0},
            8.0,
            ["L0 ended at 1", "100 % of latents"],
        ),
    ],
)
def test_what_is_said_of_which_numbers(changed, target, said):
    got = shortcomings(GOOD | changed, target)
    assert len(got) == len(said)
    for line, words in zip(got, said, strict=True):
        assert line.startswith(words)


def train(out, *options):
    assert main.main(["sae", "train", *WORLD, *SHORT, *options, "--out", str(out)]) == 0
    return json.loads((out / "results.json").read_text())["records"]


def test_table_and_json_say_it_of_every_sae_of_a_grid(tmp_path, capsys):
    out = tmp_path / "o"
    records = train(out, "--architecture", "relu", "--l0-target", "0.5", "1")
    printed = capsys.readouterr().out
    for record in records:
        l0, target = record["metrics"]["l0"], record["settings"]["l0_target"]
        assert abs(l0 - target) > 0.1 * target
        assert record["warnings"][0].startswith(f"L0 ended at {l0:.3g}, ")
        assert f"l0_target={target:g}" in record["warnings"][0]
        for warning in record["warnings"]:
            assert f"warning: {record['name']}: {warning}" in printed
    assert main.main(["sae", "show", str(out), "--figures", str(tmp_path / "f")]) == 0
    shown = capsys.readouterr().out
    assert records[0]["warnings"][0] in shown
    about = json.loads((out / records[0]["name"] / "cfg.json").read_text())
    assert records[0]["warnings"][0] in json.dumps(about)


def test_a_quadratic_penalty_has_a_target_too(tmp_path, capsys):
    options = (
        "--architecture",
        "jumprelu",
        "--sparsity-loss",
        "quadratic",
        "--l0-target",
        "1",
        "--penalty",
        "0",
    )
    (record,) = train(tmp_path / "o", *options)
    assert "l0_target=1" in record["warnings"][0]


@pytest.mark.parametrize(
    "sae", [ReLU(8, 16, penalty=0.0), pytest.param(JumpReLU(8, 16, penalty=0.0), marks=pytest.mark.slow)]
)
def test_fit_says_it_in_its_result(sae):
    stream = planted_stream(jax.random.key(0), PLANTED["orthogonal"].scaled(8, 8))
    run = SAERun(sae, Adam(), steps=3, batch_size=16, l0_target=0.5)
    for one in sweep(run, {"seed": (0, 1)}, stream):
        assert isinstance(one.warnings, tuple)
        x = stream.sample(256, batch=16).x
        l0 = float(np.asarray(one.sae.encode(one.params, x) > 0).sum(1).mean())
        assert (
            one.warnings[0]
            == f"L0 ended at {l0:.3g}, {100 * (l0 / 0.5 - 1):.0f} % over l0_target=0.5; more steps bring it nearer"
        )
    one = fit(SAERun(sae, Adam(), steps=3, batch_size=16), stream)
    assert not any("L0" in warning for warning in one.warnings)
