"""Activations read from files: every row once an epoch, in blocks, as they are stored, in bounded memory."""

import os
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from superposition.activations import HELD_OUT_STEP, FileActivations, Stream, file_stream, mixed_stream
from superposition.activations.files import Rows, mapped_rows
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.features import key_words
from superposition.sae import Bricken, ReLU
from superposition.training import SAERun, fit, resampling
from superposition.training.optimizer import Adam
from superposition.training.sae import Cells, Inputs
from tests.support.processes import environment, python

KEY = jax.random.key(3)
ROOT = Path(__file__).parents[2]


def saved(path, array):
    np.save(path, array)
    return mapped_rows(np.load(path, mmap_mode="r"), str(path))


def numbered(path, n, block=None, key=KEY):
    """A stream whose rows are their own numbers."""
    rows = saved(path, np.stack([np.arange(n), np.arange(n) + 0.5], 1).astype(np.float32))
    return (
        file_stream(key, rows)
        if block is None
        else Stream(FileActivations(rows, None, block), {"words": key_words(key)})
    )


def epochs(stream, size, count):
    steps = stream.source.n_examples // size
    order = [np.asarray(stream.batch(i, size).x[:, 0]).astype(int) for i in range(steps * count)]
    return np.concatenate(order).reshape(count, -1)


@pytest.mark.parametrize(("n", "block", "size"), [(100, 7, 14), (100, 1, 10), (64, 64, 64), (96, 8, 5)])
def test_every_row_at_most_once_an_epoch_and_all_in_time(tmp_path, n, block, size):
    stream = numbered(tmp_path / "x.npy", n, block)
    seen = epochs(stream, size, 40)
    assert all(len(set(epoch)) == len(epoch) for epoch in seen)
    assert seen.shape[1] == n // block * block // size * size
    assert set(seen.ravel()) == set(range(n))
    assert len({tuple(epoch) for epoch in seen}) == 40 if n > block else len({tuple(e) for e in seen}) > 20


def test_rows_come_in_blocks_of_neighbours_that_begin_elsewhere_each_epoch(tmp_path):
    stream = numbered(tmp_path / "x.npy", 1000, 50)
    first, second = epochs(stream, 100, 2)
    begins = []
    for epoch in (first, second):
        blocks = epoch.reshape(-1, 50)
        assert (np.diff(blocks, axis=1) % 1000 == 1).all()
        assert len(set(blocks[:, 0] % 50)) == 1
        begins.append(blocks[0, 0] % 50)
        assert (np.diff(blocks[:, 0]) % 1000 == 50).mean() < 0.3  # blocks are not in order
    assert begins[0] != begins[1]
    np.testing.assert_array_equal(first, epochs(stream, 100, 1)[0])  # a function of the key and the step
    other = epochs(numbered(tmp_path / "x.npy", 1000, 50, jax.random.key(4)), 100, 1)[0]
    assert (first != other).any()


def test_few_rows_make_small_blocks(tmp_path):
    assert numbered(tmp_path / "a.npy", 100).source.block == 1
    assert numbered(tmp_path / "b.npy", 2**15).source.block == 64


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2", "bfloat16", "<i4", "|u1"])
def test_numbers_are_those_stored(tmp_path, kind):
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    x = np.random.default_rng(0).integers(0, 200, (40, 3)) * (0.37 if dtype.kind not in "iu" else 1)
    x = x.astype(dtype)
    (tmp_path / "x").write_bytes(b"head" + x.tobytes())
    array = np.memmap(tmp_path / "x", dtype, "r", offset=4, shape=x.shape)
    rows = mapped_rows(array, kind)
    np.testing.assert_array_equal(rows.read(np.arange(40)).astype(np.float32), x.astype(np.float32))
    batch = file_stream(KEY, rows, rows).batch(0, 40)
    assert batch.x.dtype == np.float32
    np.testing.assert_array_equal(np.sort(batch.x, axis=0), np.sort(x.astype(np.float32), axis=0))
    np.testing.assert_array_equal(batch.x, batch.y)


def test_rows_are_found_across_files_and_targets_stay_with_them(tmp_path):
    x = np.arange(60, dtype=np.float32).reshape(30, 2)
    cuts = [0, 7, 8, 20, 30]
    pieces = [saved(tmp_path / f"{a}.npy", x[a:b]).pieces[0] for a, b in pairwise(cuts)]
    rows = Rows(pieces, 2, x.dtype, "digest")
    for wanted in (np.arange(30), np.array([29, 0, 7, 8, 9, 6, 19, 20, 21])):
        np.testing.assert_array_equal(rows.read(wanted), x[wanted])
    stream = file_stream(KEY, rows, saved(tmp_path / "y.npy", x[:, :1] + 100))
    batch = stream.batch(2, 10)
    np.testing.assert_array_equal(batch.y, batch.x[:, :1] + 100)
    assert (stream.source.d_in, stream.source.d_out) == (2, 1)


def test_only_arrays_that_lie_in_a_file_row_by_row_are_read_from_it(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    assert mapped_rows(np.load(tmp_path / "x.npy", mmap_mode="r"), "digest") is None
    assert mapped_rows(x, "digest") is None


def test_a_file_that_changed_or_went_is_an_error_and_not_other_numbers(tmp_path):
    x = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    rows, path = saved(tmp_path / "x.npy", x), tmp_path / "x.npy"
    stream = file_stream(KEY, rows)
    run = SAERun(ReLU(5, 8), Adam(), steps=5, batch_size=32)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptError, match=r"x\.npy: expected 8128 bytes.*got 8088"):
        rows.read(np.arange(3))
    with pytest.raises(CorruptError, match=r"x\.npy: expected 8128 bytes.*got 8088.*open it again$"):
        fit(run, stream)
    cut = Rows([rows.pieces[0]._replace(stamp=(8088, path.stat().st_mtime_ns))], 5, x.dtype, "other")
    with pytest.raises(CorruptError, match=r"x\.npy: expected 40 bytes at 8088, got 0"):
        cut.read(np.array([398, 399, 0]))
    path.unlink()
    with pytest.raises(StoreError, match=r"x\.npy: No such file"):
        fit(run, stream)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda a, b: file_stream(KEY, a, b), "one row per example: 100; got 99"),
        (lambda a, b: FileActivations(a, None, 101), r"block must be an integer in \[1, 101\)"),
        (lambda a, b: file_stream(KEY, a).source.check(101), "at most the 100 examples"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, make, said):
    a, b = (saved(tmp_path / f"{n}.npy", np.ones((n, 2), np.float32)) for n in (100, 99))
    with pytest.raises(ConfigError, match=said):
        make(a, b)


def test_resampling_of_several_saes_draws_from_the_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(640, 5)).astype(np.float32)
    stream, sae, size = file_stream(KEY, saved(tmp_path / "x.npy", x)), Bricken(5, 8, resample_inputs=128), 32
    keys = jax.random.split(KEY, 2)
    params = jax.vmap(lambda key: sae.init_params(key, x, x))(keys)
    inputs = Inputs(Cells(jnp.zeros(1, jnp.uint32), {}), stream.inputs, jnp.ones(2))

    def draw(params, key):
        return resampling.draw(sae, stream.source, size, inputs, params, jnp.int32(3), key)[0]

    together, one = jax.jit(jax.vmap(draw))(params, keys), jax.jit(draw)
    pool = np.concatenate([stream.batch(HELD_OUT_STEP + 4 + j, size).x for j in range(4)])
    for c in range(2):
        alone = one({k: v[c] for k, v in params.items()}, keys[c])
        np.testing.assert_array_equal(together[c], alone)
        assert all((pool == row).all(1).any() for row in np.asarray(alone))
    assert (together[0] != together[1]).any()


CHILD = """
import sys, threading
import jax, numpy as np, jax.numpy as jnp
from superposition.training import loop
from superposition.activations import mixed_stream
from tests.activations.test_files import KEY, file_stream, mapped_rows
from tests.support.sums import Sum

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

rows = mapped_rows(np.load(sys.argv[1], mmap_mode="r"), "digest")
size, steps = 4096, int(sys.argv[2])
stream = mixed_stream(KEY, file_stream(KEY, rows), 2)

def go(steps):
    state = (jnp.zeros(rows.width), stream.start(size))
    program = Sum(stream.source, size)
    return jax.block_until_ready(loop.advance(program, stream.inputs, state, np.int32(0), np.int32(steps)))

go(2)
before = memory("VmRSS")
threads = [threading.Thread(target=go, args=(steps,)) for _ in range(int(sys.argv[3]))]
for t in threads: t.start()
for t in threads: t.join()
print(memory("VmHWM") - before)
"""


def child(path, steps, threads, cores):
    done = python("-c", CHILD, path, steps, threads, env=environment(NPROC=str(cores)))
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_large_batches_do_not_lock_the_threads_that_run_the_program(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (2 * 4096, 512))  # a sparse file
    x.flush()
    child(tmp_path / "x.npy", 8, threads=3, cores=2)


def test_memory_does_not_grow_with_the_file(tmp_path):
    rows, width = 25 * 4096, 512
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (rows, width)).flush()
    assert os.path.getsize(tmp_path / "x.npy") > 200e6
    assert child(tmp_path / "x.npy", 25, threads=1, cores=1) < 70  # MB: an epoch, whose batches are 8 MB each


def test_a_mixed_file_stream_is_of_all_rows(tmp_path):
    stream = mixed_stream(KEY, numbered(tmp_path / "x.npy", 640, 8), 4)
    state, seen = stream.start(32), []
    for i in range(20 - 3):
        batch, state = stream.next(state, i, 32)
        seen += np.asarray(batch.x[:, 0]).astype(int).tolist()
    assert len(set(seen)) == len(seen) == 17 * 32


def test_rows_are_known_by_content_but_read_where_they_are(tmp_path):
    (tmp_path / "there").mkdir()
    here = numbered(tmp_path / "x.npy", 600)
    (tmp_path / "x.npy").rename(tmp_path / "there" / "x.npy")
    moved = here.source.x.pieces[0]._replace(path=tmp_path / "there" / "x.npy")
    there = file_stream(KEY, Rows([moved], 2, np.dtype("f4"), here.source.x.digest))
    assert repr(there.source) == repr(here.source)  # which is what a resumed run compares
    with pytest.raises(Exception, match=r"x\.npy: No such file"):
        here.batch(0, 8)
    assert there.batch(0, 8).x.shape == (8, 2)  # not by the program compiled for the other place
