"""The store of a sweep of SAEs: it holds all that memory holds, and cannot lie; what it lacks is made again."""

import shutil
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import superposition as sp
from superposition.errors import ConfigError, CorruptError, Interrupted
from superposition.sae import ARCHITECTURES
from superposition.training import DIVERGED, fit, open_sweep
from superposition.training.grid import parse
from superposition.training.sae_blocks import chunk_shape
from superposition.training.sae_sweep import SAEGrid
from superposition.training.store import records
from tests.oracles.sae_cases import TRAINED, recipe
from tests.support.processes import output, started
from tests.support.trained import SAE, X

AXES = {"width": (4, 8), "seed": (0, 1, 2)}  # two blocks of three SAEs
LONG = replace(SAE, steps=96)  # six chunks: no block ends in the third


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "saes.zarr"
    return out, sp.sweep(SAE, AXES, out=out).dataset, files_of(out)


@pytest.fixture
def store(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "saes.zarr")
    return tmp_path / "saes.zarr"


def files_of(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def assert_same(one, other):
    """Two SAEs with all that is known of them, to the bit."""
    for name in ("model", "recipe", "settings", "loss", "fault", "environments", "warnings"):
        assert repr(getattr(one, name)) == repr(getattr(other, name)), name
    np.testing.assert_array_equal(one.steps, other.steps)
    for mine, its in ((one.params, other.params), (one.history, other.history)):
        assert mine.keys() == its.keys()
        for name, array in mine.items():
            a, b = np.asarray(array), np.asarray(its[name])
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


def test_the_store_is_labelled_and_holds_what_memory_holds(whole):
    out, expected, _ = whole
    assert expected["W_enc"].dims == ("width", "seed", "d_in", "d_sae")
    assert expected["W_dec"].dims == ("width", "seed", "d_sae", "d_in")
    assert expected["b_dec"].dims == ("width", "seed", "d_in")
    assert expected["history_fvu"].dims == ("width", "seed", "log")
    assert {"loss", "status", "fault", "l0", "fvu", "dead_fraction"} <= {*expected.data_vars}
    assert (expected["status"] == 1).all()
    assert np.isnan(expected["W_dec"].sel(width=4).values[:, 4:]).all()
    loaded = sp.load(out)
    assert type(loaded) is sp.Sweep
    assert loaded.axes == AXES
    for results in (loaded.dataset, sp.sweep(SAE, AXES).dataset, open_sweep(out)):
        xr.testing.assert_identical(results, expected)
    for options in ({}, {"consolidated": False}):  # what other readers of Zarr see
        plain = xr.open_zarr(out, **options).load()
        xr.testing.assert_identical(plain.assign_attrs(environments=expected.environments), expected)
    for one, other in zip(loaded, fit(SAE, SAE.data, AXES), strict=True):
        assert_same(one, other)


def finished_fields(name):
    fields = {"resample_every": 9, "resample_inputs": 64, "dead_after": 32} if name == "bricken" else {}
    return fields | ({"residual_threshold": 0.1} if name == "matching-pursuit" else {})


QUICK = (
    "batch-topk",
    "gated",
    "matching-pursuit",
)  # one becomes a JumpReLU, one has no b_enc, one folds its recipe


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TRAINED]
)
def test_an_sae_of_every_architecture_comes_back_to_the_bit(name, tmp_path):
    assert name in ARCHITECTURES
    run = sp.SAERun(recipe(name, d_in=5, **finished_fields(name)), X, steps=12, batch_size=32)
    sp.sweep(run, {"seed": (0, 3)}, out=tmp_path / "a.zarr")
    for one, other in zip(sp.load(tmp_path / "a.zarr"), fit(run, run.data, {"seed": (0, 3)}), strict=True):
        assert_same(one, other)


def test_a_transcoder_has_the_widths_of_its_two_sides(tmp_path):
    run = sp.SAERun(sp.TopK(d_sae=8, k=2, skip=True, d_out=3), (X, X[:, :3] * 2), steps=12, batch_size=32)
    saes = sp.sweep(run, {"k": (1, 2)}, out=tmp_path / "a.zarr")
    assert saes["W_skip"].dims == ("k", "d_out", "d_in")
    assert saes["b_dec"].dims == ("k", "d_out")
    for one, other in zip(sp.load(tmp_path / "a.zarr"), fit(run, run.data, {"k": (1, 2)}), strict=True):
        assert_same(one, other)


def test_an_sae_that_stops_being_finite_says_when_and_its_neighbours_train_on(tmp_path):
    run = replace(SAE, sae=sp.ReLU(d_in=5, d_sae=8))
    axes = {"penalty": (0.1, 1e30)}
    sp.sweep(run, axes, out=tmp_path / "a.zarr")
    again = sp.load(tmp_path / "a.zarr")
    assert "is not finite" in again[1].fault
    assert again[0].fault is None
    assert again["status"].values.tolist() == [1, DIVERGED]
    assert np.isnan(again.loss[1])
    assert again.best(over="penalty").settings == {"penalty": 0.1}
    for one, other in zip(again, fit(run, run.data, axes), strict=True):
        assert_same(one, other)


def test_what_one_program_cannot_carry_takes_one_each(tmp_path):
    axes = {"batch_size": (16, 32), "seed": (0, 1, 2), "steps": (20, 300)}
    saes = sp.sweep(SAE, axes, out=tmp_path / "a.zarr")
    assert saes.shape == (2, 3, 2)
    assert saes["history_l0"].sizes["log"] == 150
    xr.testing.assert_identical(
        sp.sweep(SAE, axes, out=tmp_path / "a.zarr", resume=True).dataset, saes.dataset
    )
    again = sp.load(tmp_path / "a.zarr")
    for batch_size, steps in ((16, 300), (32, 20)):
        run = replace(SAE, batch_size=batch_size, steps=steps)
        for other in fit(run, run.data, {"seed": (0, 1, 2)}):
            one = again.at(batch_size=batch_size, steps=steps, **other.settings)
            assert_same(replace(one, settings=other.settings), other)
    rule = sp.sweep(SAE, {"apply_b_dec_to_input": (False, True)})
    assert [one.model.apply_b_dec_to_input for one in rule] == [False, True]


def test_axes_that_change_the_shapes_are_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="give an axis of width, up to the d_sae of the run"):
        sp.sweep(SAE, {"d_sae": (4, 8)})
    with pytest.raises(ConfigError, match="an axis of batch_size takes several programs; use sweep"):
        fit(SAE, SAE.data, {"batch_size": (16, 32)})


def changed(files, key, how):
    """The bytes of a file that was damaged, or None for one that is gone."""
    if how == "gone":
        return None
    if how == "half":
        return files[key][: len(files[key]) // 2]
    return files[key][:-9] + bytes([files[key][-9] ^ 4]) + files[key][-8:]


@pytest.mark.parametrize("how", ["gone", "half", "bit"])
def test_damage_is_found_on_opening_and_mended_by_resuming(whole, store, how):
    _, expected, files = whole
    metadata = ("zarr.json", "fault/zarr.json", "records/store.json", "records/block-0-1.json")
    for key in (*metadata, "log/c/0", "W_dec/c/1/0/0/0", "scale_in/c/0/0", "status/c/1/0"):
        data = changed(files, key, how)
        (store / key).unlink() if data is None else (store / key).write_bytes(data)
        if not (key.startswith("status/c") and data is None):  # its record holds it too
            with pytest.raises(CorruptError, match=r"^.*--resume.*$"):
                sp.load(store)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*damaged and")
            again = sp.sweep(SAE, AXES, out=store, resume=True)
        xr.testing.assert_identical(again.dataset, expected)
        assert files_of(store) == files, key


def test_what_is_not_trained_yet_is_said_and_made_by_resuming(whole, store):
    _, expected, files = whole
    block = records.read_block(store, "block-0-1", records.read_store(store)[0])
    for key in ("records/block-0-1.json", *block.status):
        (store / key).unlink()
    saes = sp.load(store)
    assert [one.fault for one in saes] == [None] * 3 + ["not trained"] * 3
    assert np.isfinite(saes.loss).sum() == 3
    # Another memory would cut the sweep into other blocks, which would have other bits: the store's stay.
    again = sp.sweep(SAE, AXES, out=store, resume=True, memory_gb=1e-9)
    xr.testing.assert_identical(again.dataset, expected)
    assert files_of(store) == files


def test_other_settings_other_data_and_what_is_there_are_refused(whole, store):
    _, _, files = whole
    noise = X + np.float32(1)
    for run, axes, options, said in (
        (SAE, AXES, {}, "exists; give --resume"),
        (replace(SAE, steps=40), AXES, {"resume": True}, "run.steps is 30 there and 40 here"),
        (replace(SAE, data=noise), AXES, {"resume": True}, "data is .* there and .* here"),
        (
            SAE,
            AXES | {"seed": (0, 1, 3)},
            {"resume": True},
            r"axes\.seed is \[0, 1, 2\] there and \[0, 1, 3\]",
        ),
        (SAE, {"penalty": (1.0,)}, {"resume": True}, "no axis named 'penalty'; accepted: seed"),
        (SAE, {}, {"resume": True}, "axes must name at least one axis"),
        (SAE, AXES, {"resume": True, "memory_gb": -1.0}, "memory_gb"),
    ):
        with pytest.raises(ConfigError, match=said):
            sp.sweep(run, axes, out=store, **options)
    toy = sp.ToyRun(sp.ReLUOutput(4, 2), steps=20, batch_size=32)
    with pytest.raises(ConfigError, match="was written with other settings"):
        sp.sweep(toy, {"seed": (0, 1)}, out=store, resume=True)
    assert files_of(store) == files


def test_a_store_of_saes_is_none_of_toys(whole, capsys):
    from superposition.cli import main

    assert main.main(["show", str(whole[0])]) == 2
    assert "a sweep of SAEs" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", [(6,), (3, 4), (4, 3), (2, 3, 8), (5, 1, 6), (1,)])
def test_every_chunk_is_in_one_block(lengths):
    count = int(np.prod(lengths))
    places = np.arange(count).reshape(lengths)
    for size in range(1, count + 1):
        shape = chunk_shape(lengths, size)
        assert all(n % c == 0 for n, c in zip(lengths, shape, strict=True))
        models = int(np.prod(shape))
        for first in range(0, count, models):
            corner = np.unravel_index(first, lengths)
            chunk = places[tuple(slice(i, i + c) for i, c in zip(corner, shape, strict=True))]
            np.testing.assert_array_equal(chunk.ravel(), np.arange(first, first + models))
            assert first // size == (first + models - 1) // size


def test_blocks_are_those_of_a_fit_in_memory():
    grid = SAEGrid(SAE, parse(SAE, {"seed": range(5)}), 4.0)
    assert [block.rows for block in grid.blocks()] == [[(0,), (1,), (2,)], [(3,), (4,)]]


def test_a_stop_inside_a_block_leaves_a_checkpoint_from_which_it_goes_on(tmp_path, interrupted_in_third):
    expected = sp.sweep(LONG, AXES)
    out = tmp_path / "a.zarr"
    chunks = interrupted_in_third(signal.SIGTERM)
    with pytest.raises(Interrupted, match="run again with --resume"):
        sp.sweep(LONG, AXES, out=out)
    assert list((tmp_path / "a.zarr.partial").glob("block-*/step-*"))
    begun, done = len(chunks), []
    again = sp.sweep(LONG, AXES, out=out, resume=True, progress=done.append)
    xr.testing.assert_identical(again.dataset, expected.dataset)
    assert any(start > 0 for start in chunks[begun:])
    assert not (tmp_path / "a.zarr.partial").exists()


CHILD = """
import sys
import superposition as sp
from superposition.training import loop
from tests.training.sweep.test_sae_store import AXES, KILLED
loop.CHUNK_SECONDS = 1e-9
sp.sweep(KILLED, AXES, out=sys.argv[1], resume=True, checkpoint_seconds=0.0,
    progress=lambda done: print("chunk", flush=True))
print("done", flush=True)
"""
KILLED = replace(SAE, steps=2000)


@pytest.mark.slow  # a minute: up to twelve processes
def test_killing_at_any_moment_and_resuming_gives_the_same_bits(tmp_path):
    dice, kills = np.random.default_rng(0), 0
    for _ in range(12):
        with started("-c", CHILD, tmp_path / "a.zarr", stderr=None) as child:
            chunks = dice.integers(1, 120)
            lines = []
            for line in child.stdout:
                lines.append(line)
                if kills < 5 and len(lines) == chunks:
                    child.send_signal(signal.SIGKILL)
                    break
            rest = output(child)[0]
        kills += child.returncode == -signal.SIGKILL
        if child.returncode == 0:
            break
    assert "done" in "".join(lines) + rest
    assert kills >= 2
    xr.testing.assert_identical(sp.load(tmp_path / "a.zarr").dataset, sp.sweep(KILLED, AXES).dataset)
