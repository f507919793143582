"""`superposition sae convert`, show, toy activations, and every architecture."""

import json
import re

import numpy as np
import pytest

from superposition.cli import main
from superposition.sae import JumpReLU, TopK
from superposition.storage import formats
from tests.support.sae_commands import ORTHOGONAL, TINY, run


@pytest.mark.parametrize("to", list(formats.FORMATS))
def test_convert_there_and_back_is_lossless(tmp_path, capsys, to):
    import jax

    saes = [TopK(d_in=5, d_sae=7, k=2), JumpReLU(d_in=5, d_sae=7, apply_b_dec_to_input=False)]
    done = 0
    for i, sae in enumerate(saes):
        params = {k: v + 0.125 for k, v in sae.init_params(jax.random.key(i)).items()}
        source, there, back = (tmp_path / f"{i}-{name}" for name in ("source", "there", "back"))
        formats.save(source, sae, params)
        forth = ["convert", source, there, "--to", to]
        status, _, errors = run(*forth, capsys=capsys)
        if status and "--drop-metadata" in errors:
            status, _, errors = run(*forth, "--drop-metadata", capsys=capsys)
        if status == 2:
            assert f"{to} holds" in errors
            assert not there.exists()
            continue
        assert status == 0, errors
        arguments = ["convert", there, back, "--from", to, "--allow-pt"]
        status, _, errors = run(*arguments, capsys=capsys)
        assert status == 0, errors
        loaded = formats.load(back)
        assert type(loaded.sae) is type(sae)
        for name, array in params.items():
            np.testing.assert_array_equal(array, loaded.params[name])
        status, _, errors = run(*arguments, capsys=capsys)
        assert (status, "exists" in errors) == (2, True)
        done += 1
    assert done


def test_show_draws(trained, tmp_path, capsys):
    out, _ = trained
    status, printed, errors = run("show", out, "--figures", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    assert {"history.png", "decoder_cosines.png", "matched_cosines,k=1,seed=0.png"} <= {
        p.name for p in (tmp_path / "a").iterdir()
    }
    status, printed, errors = run("show", out / "k=2,seed=1", "--figures", tmp_path / "b", capsys=capsys)
    assert status == 0, errors
    assert "TopK" in printed
    pictures = re.findall(r"\S+\.png", printed)
    assert len(pictures) == 3
    from PIL import Image

    for picture in pictures:
        with Image.open(picture) as image:
            assert len(image.text["Description"]) > 40
    assert "matched ones on the diagonal" in image.text["Description"]


def test_toy_activations_and_a_transcoder(tmp_path, capsys):
    toy = tmp_path / "a.zarr"
    sweep = ["sweep", "--n-features", "6", "--n-hidden", "3", "--density", "1", "0.05", "--seed", "0", "1"]
    assert main.main([*sweep, "--steps", "800", "--learning-rate", "0.01", "--out", str(toy)]) == 0
    capsys.readouterr()
    cell = ["--toy", toy, "--cell", "density=0.05", "seed=1"]
    status, _, errors = run("train", *cell, *TINY[2:], "--out", tmp_path / "b", capsys=capsys)
    assert status == 0, errors
    results = json.loads((tmp_path / "b" / "results.json").read_text())
    assert results["data"]["cell"] == {"density": pytest.approx(0.05), "seed": 1}
    assert results["data"]["features"]["density"] == pytest.approx(0.05)
    from superposition.training import open_sweep

    W = open_sweep(toy).sel(density=0.05, seed=1)["W"].values
    represented = W.T[np.linalg.norm(W, axis=0) > 0.5]
    assert len(represented) > 3  # superposition: more than there are dimensions
    np.testing.assert_array_equal(np.load(tmp_path / "b" / "dictionary.npy"), represented)
    assert formats.load(tmp_path / "b" / "seed=0").sae.d_sae == len(represented)

    transcoder = ["train", *cell, *TINY, "--target", "output", "--skip", "--out", tmp_path / "c"]
    status, _, errors = run(*transcoder, "--architecture", "relu", "--k", capsys=capsys)
    assert status == 0, errors
    sae = formats.load(tmp_path / "c" / "seed=0").sae
    assert (sae.d_in, sae.d_out, sae.skip) == (3, 6, True)
    status, _, errors = run(
        "eval", tmp_path / "c", *cell, "--target", "output", "--examples", "100", capsys=capsys
    )
    assert status == 0, errors
    status, _, errors = run("eval", tmp_path / "c", *cell, capsys=capsys)
    assert (status, "targets" in errors) == (2, True)
    for wrong, said in (("density=0.3", "1, 0.05"), ("colour=1", "density, seed"), ("density", "NAME=VALUE")):
        status, _, errors = run(
            "train", "--toy", toy, "--cell", wrong, "--out", tmp_path / "d", capsys=capsys
        )
        assert (status, said in errors) == (2, True), errors


@pytest.mark.parametrize(
    "options",
    [
        ["--architecture", "jumprelu", "--l0-target", "2", "3"],
        ["--architecture", "matryoshka", "--k", "1.5", "2", "--prefixes", "4", "8"],
        ["--learning-rate", "0.001", "0.01", "--warmup", "0.1", "--decay", "0", "--memory-gb", "0.0001"],
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                [
                    "--architecture",
                    "topk",
                    "--k",
                    "2",
                    "4",
                    "--width",
                    "4",
                    "8",
                    "--matmul-dtype",
                    "bfloat16",
                ],
                ["--architecture", "relu", "--penalty", "0.1", "1"],
                ["--architecture", "gated", "--width", "4", "8"],
                ["--architecture", "batch-topk", "--k", "1.5", "2"],
                ["--architecture", "matching-pursuit", "--max-iterations", "2"],
                ["--architecture", "bricken", "--dead-after", "32", "--resample-every", "5"],
                [
                    "--architecture",
                    "jumprelu",
                    "--sparsity-loss",
                    "quadratic",
                    "--l0-target",
                    "2",
                    "--no-normalize",
                ],
            )
        ),
    ],
)
def test_architectures_train_and_load(tmp_path, capsys, options):
    tiny = ["--d-sae", "8", "--steps", "12", "--batch-size", "16", "--examples", "64"]
    status, _, errors = run("train", *ORTHOGONAL, *tiny, *options, "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    records = json.loads((tmp_path / "a" / "results.json").read_text())["records"]
    for record in records:
        sae = formats.load(tmp_path / "a" / record["name"]).sae
        assert sae.d_sae == record["settings"].get("width", 8)
        assert np.isfinite(record["metrics"]["fvu"])
    assert len({record["metrics"]["fvu"] for record in records}) == len(records)
