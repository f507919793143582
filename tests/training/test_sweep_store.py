"""A sweep's store cannot lie: whatever is missing, exchanged or altered is said in one line, and mended by --resume."""

import json
import shutil
import warnings

import numpy as np
import pytest
import xarray as xr

from superposition.cli import main
from superposition.errors import ConfigError, CorruptError
from superposition.toy import ReLUOutput
from superposition.training import open_sweep, sweep
from superposition.training.store import records
from superposition.training.toy import ToyRun

RUN = ToyRun(ReLUOutput(4, 2), steps=20, batch_size=32)
AXES = {"density": (0.5, 0.1), "n_hidden": (1, 2), "model": ("linear", "relu-output"), "seed": range(2)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "a.zarr"
    return out, sweep(RUN, AXES, out=out), files_of(out)


@pytest.fixture
def store(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def files_of(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def resumed(out, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*damaged and")
        return sweep(RUN, AXES, out=out, resume=True, **options)


def flip(data, at):
    data = bytearray(data)
    data[at] ^= 1 << (at % 8)
    return bytes(data)


def damages(files):
    """(what, {key: new bytes or None}) for every file: gone, cut, one bit flipped somewhere."""
    for i, (key, data) in enumerate(files.items()):
        yield f"no {key}", {key: None}
        yield f"half of {key}", {key: data[: len(data) // 2]}
        at = 37 * i % len(data)
        yield f"bit of byte {at} of {key}", {key: flip(data, at)}


def apply(out, changes):
    for key, data in changes.items():
        if data is None:
            (out / key).unlink()
        else:
            (out / key).write_bytes(data)


def test_the_store_is_a_plain_zarr_store_without_warnings(whole):
    out, expected, files = whole
    assert expected["n_hidden"].values.tolist() == [1, 2]
    assert list(expected["model"].values) == ["linear", "relu-output"]
    for options in ({}, {"consolidated": False}):
        xr.testing.assert_identical(xr.open_zarr(out, **options).load(), expected)
    xr.testing.assert_identical(xr.open_datatree(out, engine="zarr").to_dataset().load(), expected)
    xr.testing.assert_identical(open_sweep(out), expected)
    xr.testing.assert_identical(resumed(out), expected)
    assert files_of(out) == files
    assert not [key for key in files if key.endswith(".partial")]


def test_damage_to_any_file_is_found_and_mended(whole, store):
    _, expected, files = whole
    for what, changes in damages(files):
        apply(store, changes)
        if what.startswith("no status/c/"):  # a kill may come before status alone: its record holds it too
            xr.testing.assert_identical(open_sweep(store), expected)
        else:
            with pytest.raises(CorruptError, match=r"^.*--resume.*$") as error:
                open_sweep(store)
            assert "\n" not in str(error.value), what
        xr.testing.assert_identical(resumed(store), expected)
        assert files_of(store) == files, what


def test_exchanged_files_are_found_and_mended(whole, store):
    _, expected, files = whole
    pairs = [
        (a, b)
        for a in files
        for b in files
        if a < b and a.split("/")[0] == b.split("/")[0] and files[a] != files[b]
    ]
    kinds = {(a.split("/")[0], b.count("/")): (a, b) for a, b in pairs}
    assert {"W", "b", "loss", "density", "records"} <= {name for name, _ in kinds}
    for a, b in kinds.values():
        apply(store, {a: files[b], b: files[a]})
        with pytest.raises(CorruptError, match=r"a\.zarr: .*--resume"):
            open_sweep(store)
        xr.testing.assert_identical(resumed(store), expected)
        assert files_of(store) == files


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("loss/zarr.json", "little", "big"),
        ("loss/zarr.json", '"NaN"', "0.0"),
        ("W/zarr.json", '"density"', '"dense"'),
        ("density/zarr.json", "float64", "int64"),
        ("zarr.json", r"\"steps\": 20", r"\"steps\": 30"),
        ("zarr.json", r"\"n_features\": 4", r"\"n_features\": 3"),
        ("zarr.json", '"shared_draw": false', '"shared_draw": true'),
    ],
)
def test_altered_metadata_are_found_and_mended(whole, store, key, old, new):
    _, expected, files = whole
    assert old.encode() in files[key]
    apply(store, {key: files[key].replace(old.encode(), new.encode())})
    with pytest.raises(CorruptError, match=f"{key} is damaged: it is not what was written; .*--resume"):
        open_sweep(store)
    xr.testing.assert_identical(resumed(store), expected)
    assert files_of(store) == files


def test_folders_that_are_gone_are_found_and_mended(whole, store):
    _, expected, files = whole
    for name in ("records", "W", "b/c", "density", "status", "loss/c/0"):
        shutil.rmtree(store / name)
        if not name.startswith("status"):
            with pytest.raises(CorruptError, match=r"is missing; .*--resume"):
                open_sweep(store)
        xr.testing.assert_identical(resumed(store), expected)
        assert files_of(store) == files


def test_what_no_record_names_is_not_there(whole, store):
    _, expected, files = whole
    shutil.copytree(store / "loss", store / "extra")
    (store / "loss" / "c" / "9" / "0" / "0").mkdir(parents=True)
    (store / "loss" / "c" / "9" / "0" / "0" / "0").write_bytes(b"1")
    xr.testing.assert_identical(open_sweep(store), expected)
    shutil.copy(store / "status/c/0/0/0/0", store / "status/c/0/0/0/7")
    shutil.copy(store / "records/block-0-0.json", store / "records/block-7-7.json")
    with pytest.raises(CorruptError, match=r"block-7-7\.json is the record of another block"):
        open_sweep(store)
    xr.testing.assert_identical(resumed(store), expected)
    assert {*files} == {k for k in files_of(store) if not k.startswith(("extra", "loss/c/9"))}


def test_a_block_of_another_sweep_is_found(whole, store, tmp_path):
    _, expected, files = whole
    other = sweep(RUN, AXES | {"density": (0.5, 0.2)}, out=tmp_path / "other.zarr")
    assert set(files_of(tmp_path / "other.zarr")) == set(files)
    for key, data in files_of(tmp_path / "other.zarr").items():
        if "/c/" in key or key.startswith("records/block"):
            (store / key).write_bytes(data)
    with pytest.raises(CorruptError, match="record of another block"):
        open_sweep(store)
    assert not np.array_equal(other["loss"], expected["loss"])
    xr.testing.assert_identical(resumed(store), expected)


def test_a_block_without_record_and_status_is_pending_and_its_bytes_are_not_read(whole, store):
    _, expected, files = whole
    block = records.read_block(store, "block-0-0", records.read_store(store)[0])
    apply(store, {"records/block-0-0.json": None, **dict.fromkeys(block.status)})
    results = open_sweep(store)
    pending = results["status"].values == 0
    assert 0 < pending.sum() < pending.size
    assert np.isnan(results["loss"].values[pending]).all()
    np.testing.assert_array_equal(results["loss"].values[~pending], expected["loss"].values[~pending])
    xr.testing.assert_identical(resumed(store), expected)
    assert files_of(store) == files


def test_a_recipe_that_is_damaged_in_both_places_is_refused(whole, store):
    _, _, files = whole
    apply(store, {"records/store.json": None, "zarr.json": flip(files["zarr.json"], 900)})
    for _ in range(2):
        with pytest.raises((CorruptError, ConfigError), match="--out") as error:
            resumed(store)
        assert "\n" not in str(error.value)
    apply(store, {"zarr.json": b"{}"})
    with pytest.raises(CorruptError, match=r"the metadata of .* is damaged: .*another --out"):
        resumed(store)


def unrecorded(out):
    """The store as the version before wrote it."""
    shutil.rmtree(out / "records")
    root = json.loads((out / "zarr.json").read_bytes())
    root["attributes"]["superposition"] = 1
    root["attributes"]["provenance"] = json.dumps({"superposition": "0.1.0", **jax_of_today()})
    del root["consolidated_metadata"]["metadata"]["records"]
    (out / "zarr.json").write_text(json.dumps(root))


def jax_of_today():
    from superposition.storage.provenance import environment

    return {name: environment()[name] for name in ("jax", "device")}


def test_a_store_of_the_version_before_opens_and_continues_with_a_note(whole, store):
    _, expected, files = whole
    unrecorded(store)
    with pytest.warns(UserWarning, match="was written before stores had checksums"):
        results = open_sweep(store)
    for name in expected.data_vars:
        assert results[name].values.tobytes() == expected[name].values.tobytes()
    apply(store, {"W/c/0/0/0/0/0/0": None})
    with (
        pytest.raises(CorruptError, match="finished models are missing"),
        pytest.warns(UserWarning, match="before stores had checksums"),
    ):
        open_sweep(store)
    with pytest.warns(UserWarning, match="before stores had checksums"):
        again = resumed(store)
    for name in expected.data_vars:
        assert again[name].values.tobytes() == expected[name].values.tobytes()
    assert not (store / "records").exists()
    assert (store / "W/c/0/0/0/0/0/0").read_bytes() == files["W/c/0/0/0/0/0/0"]


def test_what_is_no_store_of_a_sweep_is_a_usage_error(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    xr.Dataset({"a": ("x", np.arange(3))}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    for name, said in (
        ("none", "is not a Zarr store"),
        ("empty", "is not a Zarr store"),
        ("other", "not one of"),
    ):
        with pytest.raises(ConfigError, match=said):
            open_sweep(tmp_path / f"{name}.zarr")


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["sae", "train", "--architecture", "topk", "--k", "1", "--steps", "2", "--out", "OUT", "--toy"],
        ["page", "--out", "OUT", "--toy"],
    ],
)
@pytest.mark.parametrize("key", ["loss/c/0/0/0/0", "loss/zarr.json", "records/store.json", "density/c/0"])
def test_commands_say_damage_in_one_line(store, tmp_path, capsys, arguments, key):
    (store / key).write_bytes(flip((store / key).read_bytes(), 9))
    line = [str(tmp_path / "out") if word == "OUT" else word for word in arguments]
    assert main.main([*line, str(store)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [text for text in said if "a.zarr" in text] == said[-1:]
    assert said[-1].startswith(f"superposition: error: {store}: {key} is damaged")
    assert not (tmp_path / "out").exists()
