"""Caches under fire: every kind of damage is found before it is used, and a kill at any instant costs one shard."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from superposition.activations.cache import Cache, damaged, open_cache
from superposition.errors import ConfigError, CorruptError, StoreError
from tests.support.caches import ABOUT, CTX, RESID, ROWS, TOKENS, N, captured, files, filled, writer
from tests.support.processes import end, python, started

KEY = jax.random.key(3)
SHARDS = [f"shard-00000{i}-{n}.safetensors" for i, n in enumerate([40, 40, 40, 40, 1])]
MANIFEST, SAVED_TOKENS = "MANIFEST.json", "tokens.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("whole") / "c")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("foreign") / "c", about={**ABOUT, "weights": "z9"})


@pytest.fixture
def cache(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "c"))


def flip(at):
    def damage(path, _):
        data = bytearray(path.read_bytes())
        data[int(at * (len(data) - 1))] ^= 4
        path.write_bytes(data)

    return damage


def swap(path, _):
    other = path.with_name(SHARDS[2])
    path.rename(path.with_name("aside"))
    other.rename(path)
    path.with_name("aside").rename(other)


BYTES = {  # sizes stay: only reading every byte tells
    "first byte": flip(0.0),
    "header": flip(0.01),
    "a number": flip(0.5),
    "last byte": flip(1.0),
    "zeros": lambda path, _: path.write_bytes(bytes(path.stat().st_size)),
}
SHAPES = {
    "cut": lambda path, _: os.truncate(path, path.stat().st_size - 4),
    "cut to the header": lambda path, _: os.truncate(path, 8),
    "empty": lambda path, _: path.write_bytes(b""),
    "longer": lambda path, _: path.write_bytes(path.read_bytes() + b"\0"),
    "gone": lambda path, _: path.unlink(),
    "a directory": lambda path, _: (path.unlink(), path.mkdir()),
}
PLACES = {
    "of another cache": lambda path, foreign: shutil.copy(foreign / path.name, path),
    "exchanged": swap,
}


CASES = [
    *((name, how) for name in (SHARDS[1], SAVED_TOKENS, MANIFEST) for how in (*BYTES, *SHAPES)),
    *((SHARDS[1], how) for how in PLACES),
    (MANIFEST, "of another cache"),
]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_every_damage_to_every_file_is_found_before_the_first_batch(cache, foreign, name, how):
    (BYTES | SHAPES | PLACES)[how](cache / name, foreign)
    if (name, how) == (MANIFEST, "of another cache"):
        name = SHARDS[0]  # the first file that is not what that manifest says
    kind = ConfigError if (name, how) == (MANIFEST, "gone") else CorruptError
    with pytest.raises(kind, match=name.replace(".", "[.]")) as error:
        open_cache(KEY, cache, RESID)
    said = str(error.value)
    assert kind is ConfigError or ("expected" in said and "got" in said)


@pytest.mark.parametrize("how", [*SHAPES, *PLACES])
def test_without_reading_every_byte_shapes_and_places_are_still_looked_at(cache, foreign, how):
    (SHAPES | PLACES)[how](cache / SHARDS[1], foreign)
    with pytest.raises(CorruptError, match=r"shard-00000[12]-40"):
        Cache(cache, verify=False)


def test_every_flipped_bit_is_found(whole, tmp_path):
    rng = np.random.default_rng(0)
    names = [MANIFEST, SAVED_TOKENS, *SHARDS]
    cache = Path(shutil.copytree(whole, tmp_path / "c"))
    for _ in range(150):
        path = cache / names[rng.integers(len(names))]
        good = path.read_bytes()
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        with pytest.raises(CorruptError):
            Cache(cache)
        path.write_bytes(good)
    Cache(cache)


def test_bad_shards_alone_are_made_again(cache, whole):
    flip(0.5)(cache / SHARDS[1], None)
    (cache / SHARDS[3]).unlink()
    os.truncate(cache / SAVED_TOKENS, 9)
    found = damaged(cache)
    assert [one.shard for one in found] == [1, 3, None]
    assert all(
        name in one.fault for one, name in zip(found, (SHARDS[1], SHARDS[3], SAVED_TOKENS), strict=True)
    )
    untouched = (cache / SHARDS[2]).stat().st_mtime_ns
    with writer(cache) as again:
        for one in found[:2]:
            assert one.rows == 40
            again.rewrite(one.shard, *captured(one.first.sequence, one.last.sequence + 1))
        again.save_tokens(TOKENS)
    assert damaged(cache) == []
    assert files(cache) == files(whole)
    assert (cache / SHARDS[2]).stat().st_mtime_ns == untouched


def test_a_shard_is_made_again_from_its_rows_only_and_may_differ_in_bits(cache):
    first = Cache(cache).manifest.shards[1].first
    with writer(cache) as again:
        for part in (captured(first.sequence + 1), captured(0, first.sequence + 1)):
            with pytest.raises(ConfigError, match=r"shard 1 holds 40 rows from \(5, 6\) to \(11, 3\)"):
                again.rewrite(1, *part)
        rows, *places = captured(0)
        again.rewrite(1, {hook: a * np.float32(1.5) for hook, a in rows.items()}, *places)
    assert damaged(cache) == []
    scaled = Cache(cache)
    np.testing.assert_array_equal(
        scaled.rows(RESID).read(np.arange(39, 41)), rows[RESID][39:41] * np.float32([[1], [1.5]])
    )
    norms = np.linalg.norm(rows[RESID].astype(np.float64), axis=1)
    norms[40:80] *= 1.5
    np.testing.assert_allclose(scaled.manifest.mean_norms[RESID], norms.mean(), rtol=1e-6)


@pytest.mark.parametrize("nth", range(1, 15, 2))
def test_a_full_disk_is_one_error_and_loses_nothing_that_was_finished(tmp_path, monkeypatch, whole, nth):
    real, calls = os.fsync, iter(range(1, 1000))

    def refuse(descriptor):
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    directory = tmp_path / "c"
    with pytest.raises(StoreError, match="No space left on device; free space"):
        filled(directory)
    monkeypatch.undo()
    assert not any(p.name.startswith(".tmp-") for p in directory.iterdir()) if directory.is_dir() else True
    if (directory / MANIFEST).exists():
        Cache(directory)
    filled(directory)
    assert files(directory) == files(whole)


CHILD = """
import os, random, sys, time, warnings
from pathlib import Path
from superposition.activations.cache import Cache
from tests.support.caches import N, captured, writer, TOKENS

directory, seed = Path(sys.argv[1]), int(sys.argv[2])
random.seed(seed)
warnings.simplefilter("ignore")  # fork is safe: nothing here has started a thread

def work():
    with writer(directory, rows_per_shard=7) as cache:
        cache.save_tokens(TOKENS)
        for sequence in range(cache.sequence, N):
            cache.append(*captured(sequence, sequence + 1))

kills, lost = 0, []
for attempt in range(400):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if kills < 40:
        time.sleep(random.expovariate(1 / 0.01))
        os.kill(child, 9)
    if os.waitpid(child, 0)[1] == 0:
        break
    kills += 1
    if (directory / "MANIFEST.json").exists():
        Cache(directory)  # whatever the instant, what it says is whole
print(kills, attempt)
"""


def test_kills_at_any_instant_leave_the_same_bytes(tmp_path):
    seed = str(np.random.SeedSequence().entropy % 2**32)
    done = python("-c", CHILD, tmp_path / "killed", seed)
    assert done.returncode == 0, (seed, done.stderr)
    kills = int(done.stdout.split()[0])
    assert kills >= 5, (seed, done.stdout)
    assert files(tmp_path / "killed") == files(filled(tmp_path / "whole", rows_per_shard=7)), seed


def test_a_lock_ends_with_its_process(tmp_path):
    code = """
import os, sys
from tests.support.caches import captured, writer
from pathlib import Path
cache = writer(Path(sys.argv[1])).__enter__()
cache.append(*captured(0, 9))
print("held", flush=True)
sys.stdin.read()
"""
    with started("-c", code, tmp_path, stdin=subprocess.PIPE, stderr=None) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process is writing"):
            writer(tmp_path).__enter__()
        assert len(Cache(tmp_path).rows(RESID)) == 40
        end(child)
    with writer(tmp_path) as cache:
        assert cache.sequence == 40 // (CTX - 1)
        cache.append(*captured(cache.sequence, N))
    assert len(Cache(tmp_path).rows(RESID)) == ROWS


def test_what_a_kill_left_behind_goes_when_the_writer_comes_back(tmp_path):
    before = files(filled(tmp_path))
    for name in (".tmp-shard-000004-1.safetensors-0a", "shard-000005-40.safetensors"):
        (tmp_path / name).write_bytes(b"half")
    assert damaged(tmp_path) == []  # no manifest names them
    with writer(tmp_path):
        assert files(tmp_path) == before
