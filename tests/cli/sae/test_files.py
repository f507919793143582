"""`superposition sae train` on files of activations, and what it says of bad ones."""

import json

import numpy as np
import pytest

from superposition.activations import read
from superposition.errors import ConfigError
from superposition.evaluation import sae_directory
from superposition.storage import formats
from tests.support.sae_commands import ORTHOGONAL, TINY, run

ROWS = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)


def activation_file(tmp_path, kind):
    import ml_dtypes
    import zarr
    from safetensors.numpy import save_file

    path = tmp_path / f"x{kind}"
    if kind == ".npy":
        np.save(path, ROWS)
    elif kind == ".npz":
        np.savez(path, other=ROWS[:1], acts=ROWS)
        return path, "acts"
    elif kind == ".safetensors":
        save_file({"acts": ROWS.astype(ml_dtypes.bfloat16), "other": ROWS[:1]}, path)
        return path, "acts"
    elif kind == ".zarr":
        zarr.save_array(str(path), ROWS)
    else:
        path = tmp_path / "group.zarr"
        zarr.open_group(str(path), mode="w").create_array("acts", data=ROWS)
    return path, None


@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors", ".zarr", "group"])
def test_activation_files(tmp_path, kind):
    path, name = activation_file(tmp_path, kind)
    array = read.read_array(path, name)
    tolerance = 0.01 if kind == ".safetensors" else 0
    np.testing.assert_allclose(np.asarray(array, np.float32), ROWS, rtol=tolerance)
    assert isinstance(array, np.memmap) == (kind in (".npy", ".safetensors"))
    with pytest.raises(ConfigError, match="array"):
        read.read_array(path, "none")


def test_train_on_files_and_transcode(tmp_path, capsys):
    np.save(tmp_path / "x.npy", ROWS)
    np.savez(tmp_path / "y.npz", a=ROWS[:, :4] + 1, b=ROWS[:10])
    files = ["--activations", tmp_path / "x.npy", "--targets", tmp_path / "y.npz", "--targets-array"]
    status, _, errors = run("train", *files, "a", *TINY, "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    assert formats.load(tmp_path / "a" / "seed=0", allow_pt=False).sae.d_out == 4
    status, _, errors = run("train", *files, "b", *TINY, "--out", tmp_path / "b", capsys=capsys)
    assert (status, "one row per example" in errors) == (2, True)
    np.save(tmp_path / "x.npy", ROWS + 1)  # other data under the same name
    status, _, errors = run("train", *files, "a", *TINY, "--out", tmp_path / "a", "--resume", capsys=capsys)
    assert (status, "x_sha256" in errors) == (2, True)


def bad_files(tmp_path):
    np.save(tmp_path / "good.npy", ROWS)
    whole = (tmp_path / "good.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-100])
    np.savez(tmp_path / "two.npz", a=ROWS, b=ROWS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:3000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    np.save(tmp_path / "object.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", a=np.array([{"a": 1}], object))
    for name, array in {
        "nan": np.where(np.arange(6) == 2, np.nan, ROWS),
        "constant": np.ones((50, 6)),
        "empty": np.zeros((0, 6)),
        "flat": ROWS.ravel(),
        "words": np.array([["a", "b"]]),
        "complex": ROWS.astype(complex),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.csv").write_text("1,2")


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("none.npy", "no such file", 2),
        ("cut.npy", "cannot be read", 1),
        ("cut.npz", "cannot be read", 1),
        ("cut.safetensors", "cut.safetensors", 1),
        ("two.npz", "choose one with --array", 2),
        ("object.npy", "never loaded", 2),
        ("object.npz", "never loaded", 2),
        ("nan.npy", "row 0, column 2 is nan", 2),
        ("constant.npy", "constant", 2),
        ("empty.npy", "shape (0, 6)", 2),
        ("flat.npy", "shape (1200,)", 2),
        ("words.npy", "must be numbers", 2),
        ("complex.npy", "must be numbers", 2),
        ("folder", "no Zarr", 2),
        ("text.csv", "are read from", 2),
    ],
)
def test_bad_activations_are_one_line(tmp_path, capsys, name, said, expected):
    bad_files(tmp_path)
    arguments = ["train", "--activations", tmp_path / name, *TINY, "--out", tmp_path / "out"]
    status, printed, errors = run(*arguments, capsys=capsys)
    assert status == expected, errors
    assert said in errors
    assert errors.count("\n") == 0
    assert errors.startswith("superposition: error: ")
    assert printed == ""
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of"),
        ([*ORTHOGONAL, "--activations", "x.npy"], "exactly one of"),
        (["--planted", "orthogonl"], "did you mean orthogonal"),
        ([*ORTHOGONAL, "--architecture", "topkk"], "did you mean topk"),
        ([*ORTHOGONAL, "--architecture", "pca"], "topk"),
        ([*ORTHOGONAL, "--penalty", "3"], "penalty is not a setting of topk"),
        ([*ORTHOGONAL, "--architecture", "relu", "--k", "3"], "k is not a setting of relu"),
        ([*ORTHOGONAL, "--k", "99"], "k must be at most d_sae"),
        (
            [*ORTHOGONAL, "--k", "2", "6", "--width", "4", "8"],
            "k must be at most the width, 4 at the narrowest; got 6",
        ),
        ([*ORTHOGONAL, "--k", "2", "2"], "twice"),
        ([*ORTHOGONAL, "--k", "0"], "k must"),
        ([*ORTHOGONAL, "--k", "nan"], "k must"),
        ([*ORTHOGONAL, "--l0-target", "3"], "set its k"),
        ([*ORTHOGONAL, "--d-sae", "8", "--width", "9"], "width must be an integer in [1, 9); got 9"),
        ([*ORTHOGONAL, "--d-sae", "0"], "d_sae"),
        ([*ORTHOGONAL, "--d-sae", "100000000"], "GB of memory, and this machine has"),
        ([*ORTHOGONAL, "--seed", "-1"], "seed"),
        ([*ORTHOGONAL, "--steps", "0"], "steps"),
        ([*ORTHOGONAL, "--batch-size", "1"], "batch_size"),
        ([*ORTHOGONAL, "--examples", "0"], "examples"),
        ([*ORTHOGONAL, "--learning-rate", "-1"], "learning_rate"),
        ([*ORTHOGONAL, "--skip"], "--targets"),
        ([*ORTHOGONAL, "--density", "0.1"], "goes with --toy"),
        ([*ORTHOGONAL, "--array", "a"], "goes with --activations"),
        ([*ORTHOGONAL, "--n-features", "99"], "d_in"),
        ([*ORTHOGONAL, "--matmul-dtype", "int8"], "matmul_dtype"),
        ([*ORTHOGONAL, "--data-seed", "-1"], "data_seed"),
        (["--toy", "none.zarr"], "not a Zarr store"),
        ([*ORTHOGONAL, "--sedes", "3"], "--sedes"),
    ],
)
def test_bad_settings_are_one_line_and_status_2(tmp_path, capsys, arguments, said):
    own = [] if "--d-sae" in arguments or "--width" in arguments else ["--d-sae", "8"]
    out = tmp_path / "out"
    status, printed, errors = run("train", *own, *arguments, "--out", out, capsys=capsys)
    assert status == 2, errors
    assert said in errors
    assert errors.count("\n") == 0
    assert printed == ""
    assert not list(tmp_path.iterdir())


def test_what_is_not_an_sae(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for command in (["eval", tmp_path / "folder", *ORTHOGONAL], ["show", tmp_path / "folder"]):
        status, _, errors = run(*command, capsys=capsys)
        assert status in (1, 2)
        assert "folder" in errors
        assert errors.count("\n") == 0
    for command in (
        ["eval", tmp_path / "none", *ORTHOGONAL],
        ["show", tmp_path / "none"],
        ["eval", *ORTHOGONAL],
    ):
        status, _, errors = run(*command, capsys=capsys)
        assert (status, errors.count("\n")) == (2, 0)
    status, _, errors = run("convert", tmp_path / "none", tmp_path / "b", capsys=capsys)
    assert (status, "no such" in errors) == (2, True)
    status, _, errors = run("convert", tmp_path / "none", tmp_path / "b", "--to", "saelen", capsys=capsys)
    assert (status, "did you mean saelens" in errors) == (2, True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text('{"superposition": 1')
    status, _, errors = run("show", tmp_path / "run", capsys=capsys)
    assert (status, "damaged" in errors) == (1, True)
    status, _, errors = run("train", *ORTHOGONAL, *TINY, capsys=capsys)
    assert (status, "--out" in errors) == (2, True)


def test_an_unwritable_or_full_disk_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    status, _, errors = run("train", *ORTHOGONAL, *TINY, "--out", tmp_path / "file" / "a", capsys=capsys)
    assert (status, errors.count("\n")) == (1, 0)
    out = tmp_path / "a"

    def full(path, array):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(sae_directory.np, "save", full)
        status, _, errors = run("train", *ORTHOGONAL, *TINY, "--out", out, capsys=capsys)
    assert (status, errors.count("\n")) == (1, 0)
    assert "No space left" in errors
    assert not out.exists()
    assert run("train", *ORTHOGONAL, *TINY, "--out", out, "--resume", capsys=capsys)[0] == 0
    assert out.exists()
    assert not out.with_name("a.partial").exists()


def test_one_that_diverges_alone_is_an_error_and_in_a_grid_a_fault(tmp_path, capsys):
    np.save(tmp_path / "x.npy", ROWS * np.float32(1e14))
    options = ["--activations", tmp_path / "x.npy", *TINY, "--architecture", "relu", "--k", "--no-normalize"]
    options += ["--penalty", "1e30"]  # its product with the latents is not finite
    status, _, errors = run("train", *options, "--out", tmp_path / "a", capsys=capsys)
    assert (status, "not finite" in errors, errors.count("\n")) == (1, True, 0)
    assert not (tmp_path / "a").exists()
    status, printed, errors = run(
        "train", *options, "--seed", "0", "1", "--out", tmp_path / "b", capsys=capsys
    )
    assert status == 0, errors
    assert "not finite" in printed
    records = json.loads((tmp_path / "b" / "results.json").read_text())["records"]
    assert all("step 0" in record["fault"] for record in records)
    formats.load(tmp_path / "b" / "seed=0")
