"""A cache of activations: what is written is read, by several, and the writer goes on where it was."""

import json
import os
from itertools import pairwise

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors

from superposition.activations import array_stream, mixed_stream
from superposition.activations import opened as opening
from superposition.activations.cache import Cache, is_cache, open_cache
from superposition.cli.sae.config import DataConfig
from superposition.cli.sae.data import open_data
from superposition.errors import ConfigError, StoreError
from superposition.evaluation.sae_directory import batches_of
from superposition.sae import ReLU
from superposition.storage import checkpoint
from superposition.training import SAERun, fit, loop
from superposition.training.optimizer import Adam
from tests.support.caches import (
    ABOUT,
    CTX,
    HOOKS,
    MLP,
    RESID,
    ROWS,
    SHARD,
    TOKENS,
    N,
    captured,
    files,
    filled,
    writer,
)

KEY = jax.random.key(3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_was_written_is_read(tmp_path, dtype):
    cache = Cache(filled(tmp_path / "c", dtype=dtype))
    rows, sequence, position = captured(0)
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    for hook in HOOKS:
        stored = cache.rows(hook).read(np.arange(ROWS))
        assert stored.dtype == kind
        np.testing.assert_array_equal(stored, rows[hook].astype(kind))
        norms = np.linalg.norm(stored.astype(np.float64), axis=1)
        np.testing.assert_allclose(cache.manifest.mean_norms[hook], norms.mean(), rtol=1e-6)
    np.testing.assert_array_equal(cache.places(), (sequence, position))
    np.testing.assert_array_equal(cache.tokens(), TOKENS)
    names = [p.name for p in sorted((tmp_path / "c").glob("shard-*"))]
    assert names == [f"shard-00000{i}-{n}.safetensors" for i, n in enumerate([40, 40, 40, 40, 1])]
    with safetensors.safe_open(tmp_path / "c" / names[1], "numpy") as file:  # an ordinary safetensors file
        assert set(file.keys()) == {*HOOKS, "sequence", "position"}
        np.testing.assert_array_equal(file.get_tensor(MLP), rows[MLP][40:80].astype(kind))
    body = json.loads((tmp_path / "c" / "MANIFEST.json").read_text())
    assert (body["rows"], body["settings"]["about"]) == (ROWS, ABOUT)


def test_a_stream_is_of_the_rows_with_their_targets(tmp_path):
    stream = open_cache(KEY, filled(tmp_path / "c"), RESID, MLP)
    rows, *_ = captured(0)
    of = {x.tobytes(): y for x, y in zip(rows[RESID], rows[MLP], strict=True)}
    batches = [stream.batch(i, 23) for i in range(7)]
    x, y = (np.concatenate([b[i] for b in batches]) for i in range(2))
    assert len({row.tobytes() for row in x}) == ROWS
    np.testing.assert_array_equal(y, np.stack([of[row.tobytes()] for row in x]))
    alone = open_cache(KEY, tmp_path / "c", RESID)
    np.testing.assert_array_equal(alone.batch(2, 23).x, batches[2].x)
    assert alone.source.d_out is None


@pytest.mark.parametrize("cuts", [[0, 23], [0, 1, 2, 23], [0, 5, 6, 11, 17, 23], list(range(24))])
def test_how_rows_come_in_does_not_change_a_byte(tmp_path, cuts):
    with writer(tmp_path / "c") as cache:
        for first, last in pairwise(cuts):
            cache.append(*captured(first, last))
        cache.save_tokens(TOKENS)
    assert files(tmp_path / "c") == files(filled(tmp_path / "whole"))


def test_a_writer_that_left_goes_on_and_says_where(tmp_path):
    directory, whole = tmp_path / "c", files(filled(tmp_path / "whole"))
    continued = []
    for stop in (4, 8, 13, 19, None):
        try:
            with writer(directory) as cache:
                continued.append((cache.rows, cache.sequence))
                cache.save_tokens(TOKENS)
                cache.append(*captured(cache.sequence, stop))
                if stop is not None:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            rows = sum(f.rows for f in Cache(directory).manifest.shards)
            assert rows == stop * (CTX - 1) // SHARD * SHARD
    assert continued == [(0, 0), (0, 0), (40, 5), (80, 11), (120, 17)]
    assert files(directory) == whole
    with writer(directory) as cache:  # finished: nothing is wanted
        assert (cache.missing, cache.sequence) == (0, N - 1)
        cache.append(*captured(0))
    assert files(directory) == whole


def test_too_few_rows_are_an_error_and_are_kept_for_more(tmp_path):
    with pytest.raises(StoreError, match=r"have 105 rows, want 161; .*or promise 105"), writer(tmp_path) as c:
        c.append(*captured(0, 15))
    assert len(Cache(tmp_path).rows(RESID)) == 105
    with writer(tmp_path, rows=105) as cache:
        assert cache.missing == 0
    with pytest.raises(ConfigError, match="has 105 rows already"):
        writer(tmp_path, rows=104).__enter__()
    with writer(tmp_path) as cache:
        assert (cache.rows, cache.sequence) == (80, 11)  # the shard that was not full is made again
        cache.append(*captured(11))
        cache.save_tokens(TOKENS)
    assert files(tmp_path) == files(filled(tmp_path / "whole"))


def test_rows_beyond_the_promise_are_left_out(tmp_path):
    with writer(tmp_path, rows=50) as cache:
        cache.append(*captured(0))
        assert cache.missing == 0
    assert len(Cache(tmp_path).rows(RESID)) == 50


def test_other_settings_are_refused_by_their_difference(tmp_path):
    before = files(filled(tmp_path))
    for options, said in (
        ({"about": {**ABOUT, "weights": "z9"}}, 'about.weights is "a1" there and "z9" here'),
        ({"about": {**ABOUT, "tokenizer": "z", "text": "y"}}, "about.text is .*about.tokenizer is"),
        ({"dtype": "float16"}, 'dtype is "float32" there and "float16" here'),
        ({"rows_per_shard": 41}, "rows_per_shard is 40 there and 41 here"),
        ({"hooks": {RESID: 5}}, f"hooks.{MLP} is 3 there and null here"),
    ):
        with pytest.raises(ConfigError, match=said):
            writer(tmp_path, **options).__enter__()
    assert files(tmp_path) == before
    with writer(tmp_path) as cache, pytest.raises(ConfigError, match="other tokens"):
        cache.save_tokens(TOKENS + 1)


def test_one_writer_at_a_time_and_readers_meanwhile(tmp_path):
    with writer(tmp_path) as first:
        with pytest.raises(StoreError, match="another process is writing"):
            writer(tmp_path).__enter__()
        with pytest.raises(ConfigError, match="no shard is finished yet"):
            open_cache(KEY, tmp_path, RESID)
        first.append(*captured(0, 12))
        readers = [open_cache(KEY, tmp_path, RESID) for _ in range(2)]
        assert [len(r.source.x) for r in readers] == [80, 80]
        before = readers[0].batch(0, 16).x
        first.append(*captured(12))
        first.save_tokens(TOKENS)
    np.testing.assert_array_equal(readers[1].batch(0, 16).x, before)  # what was opened stays what it was
    assert len(open_cache(KEY, tmp_path, RESID).source.x) == ROWS
    with writer(tmp_path):
        pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r, s, p: (r, s[::-1], p), "in the order"),
        (lambda r, s, p: (r, s, np.ones_like(p)), "in the order"),
        (lambda r, s, p: (r, s - 5, p), r"in \[0, 2\^31\); got -2"),
        (lambda r, s, p: (r, s.astype(float), p), "sequence must be one integer a row; got float64"),
        (lambda r, s, p: (r, s, p[:-1]), "position must be one integer a row"),
        (lambda r, s, p: ({RESID: r[RESID]}, s, p), "for the hooks .*; got blocks.0.hook_resid_post$"),
        (
            lambda r, s, p: ({**r, MLP: r[MLP][:, :2]}, s, p),
            r"mlp.hook_post must be \(14, 3\); got \(14, 2\)",
        ),
        (lambda r, s, p: (with_bad(r, np.nan), s, p), r"finite as float16; column 2 at .* \(3, 6\) is nan"),
        (lambda r, s, p: (with_bad(r, 1e5), s, p), r"finite as float16; column 2 at .* \(3, 6\) is inf"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_others_kept(tmp_path, change, said):
    with writer(tmp_path / "c", dtype="float16") as cache:
        cache.append(*captured(0, 3))
        with pytest.raises(ConfigError, match=said):
            cache.append(*change(*captured(3, 5)))
        cache.append(*captured(3, 5))
        cache.append(*captured(4, 6))  # what it has is passed over
        cache.append(*captured(5))
        cache.save_tokens(TOKENS)
    assert files(tmp_path / "c") == files(filled(tmp_path / "whole", dtype="float16"))


def with_bad(rows, value):
    changed = {hook: a.copy() for hook, a in rows.items()}
    changed[MLP][5, 2] = value
    return changed


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: writer(d, hooks={}), "at least one hook point"),
        (lambda d: writer(d, hooks={"sequence": 3}), "at least one hook point"),
        (lambda d: writer(d, hooks={"h": 0}), "width of h must be an integer"),
        (lambda d: writer(d, dtype="float8"), "float32, bfloat16, float16; got 'float8'"),
        (lambda d: writer(d, rows=0), "rows must be an integer"),
        (lambda d: writer(d, rows=2**30, rows_per_shard=1000), "rows_per_shard must be at least"),
        (lambda d: writer(d, about={"a": {1, 2}}), "about must be JSON"),
        (lambda d: writer(d, about={"a": np.inf}), "about must be JSON"),
        (lambda d: Cache(d), "no cache of activations here"),
        (lambda d: writer(d).__enter__(), "holds notes.txt and is no cache"),
    ],
)
def test_what_is_no_cache_is_refused_and_left_alone(tmp_path, make, said):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=said):
        make(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    assert not is_cache(tmp_path)


def test_unknown_hooks_are_refused_by_those_there(tmp_path):
    with pytest.raises(ConfigError, match=f"no hook 'x'; it holds {RESID}, {MLP}"):
        open_cache(KEY, filled(tmp_path), "x")
    with writer(tmp_path / "bare") as cache:
        cache.append(*captured(0))
    with pytest.raises(ConfigError, match="no tokens were saved"):
        Cache(tmp_path / "bare").tokens()


def run(**options):
    return SAERun(ReLU(5, 8), Adam(learning_rate=3e-3), **{"steps": 30, "batch_size": 16} | options)


def test_an_interrupted_fit_on_a_cache_goes_on_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FIRST_CHUNK", 7)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-9)
    filled(tmp_path / "c")

    def go(place, **options):
        stream = mixed_stream(KEY, open_cache(KEY, tmp_path / "c", RESID), 4)
        fit(run(), stream, directory=tmp_path / place, **options)

    go("whole")
    halted = iter([False, False])
    go("parts", stop=lambda: next(halted, True))
    assert checkpoint.latest(tmp_path / "parts" / "block-0") == 14
    (tmp_path / "c").rename(tmp_path / "moved")
    (tmp_path / "c").symlink_to(tmp_path / "moved")  # and a cache may move meanwhile
    go("parts")
    final = f"block-0/step-{30:012d}/state.safetensors"
    assert (tmp_path / "whole" / final).read_bytes() == (tmp_path / "parts" / final).read_bytes()
    other = filled(tmp_path / "other", about={**ABOUT, "weights": "z9"})
    with pytest.raises(ConfigError, match=r"source\.source\.x is"):
        fit(run(), mixed_stream(KEY, open_cache(KEY, other, RESID), 4), directory=tmp_path / "parts")


def opened(**settings):
    return open_data(DataConfig(**settings), train=True)


def test_the_command_line_trains_on_a_cache(tmp_path):
    directory = filled(tmp_path / "c")
    data = opened(activations=directory, array=RESID, targets_array=MLP)
    assert (data.d_in, data.d_out, data.available) == (5, 3, ROWS)
    assert data.about["cache"] == ABOUT
    x = np.concatenate([batch.x for batch in batches_of(data, 10**6)])
    assert len({row.tobytes() for row in x}) == ROWS  # an epoch
    stream = opened(activations=directory, array=RESID).stream
    batch, _ = stream.next(stream.start(4), 0, 4)  # mixed: not neighbours
    assert not {row.tobytes() for row in np.asarray(batch.x)} <= {row.tobytes() for row in x[:4, :5]}
    with pytest.raises(ConfigError, match=f"holds {RESID}, {MLP}; choose one with --array"):
        opened(activations=directory)
    np.save(tmp_path / "y.npy", np.zeros((ROWS, 3), np.float32))
    with pytest.raises(ConfigError, match="give --targets-array alone"):
        opened(activations=directory, array=RESID, targets=tmp_path / "y.npy")


def test_large_arrays_are_read_from_their_file(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", 2 * x[:, :3])
    files_of = {"activations": tmp_path / "x.npy", "targets": tmp_path / "y.npy"}
    small = opened(**files_of)
    assert type(small.stream.source) is type(array_stream(KEY, x).source)
    monkeypatch.setattr(opening, "LOADED", 1000)
    batch, _ = (stream := opened(**files_of).stream).next(stream.start(10), 0, 10)
    np.testing.assert_array_equal(batch.y, 2 * batch.x[:, :3])
    assert {row.tobytes() for row in np.asarray(batch.x)} <= {row.tobytes() for row in x}
    assert not any(leaf.size >= x.size for leaf in jax.tree.leaves(stream.inputs))
    np.savez(tmp_path / "x.npz", x)  # not mapped
    loaded = opened(activations=tmp_path / "x.npz").stream
    assert type(loaded.source) is type(small.stream.source)
