"""Checkpoints: bit-exact round trips, and every fault that could be thought of."""

import contextlib
import copy
import errno
import hashlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition._internal import atomic, sealed_json
from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from superposition.storage import checkpoint

STATE, MANIFEST = checkpoint.STATE, checkpoint.MANIFEST


class Params(NamedTuple):
    W: jax.Array
    b: jax.Array


def tree_of(step):
    """A small tree with every kind of leaf, all of it depending on the step."""
    rng = np.random.default_rng(step)
    return {
        "params": Params(jnp.asarray(rng.random((3, 4), np.float32)), jnp.asarray(rng.random(3, np.float32))),
        "moments": [rng.random((2, 3)), None, (rng.integers(0, 99, 5), np.zeros((0, 7), np.float32))],
        "half": jnp.asarray(rng.random(6), jnp.bfloat16),
        "key": jax.random.key(step),
        "keys": jax.random.split(jax.random.key(step), 2),
        "count": np.int64(step),
        "rate": 0.5 * step,
    }


LIKE = tree_of(0)


def bits(leaf):
    leaf = jax.random.key_data(leaf) if checkpoint._is_key(leaf) else leaf
    return np.asarray(leaf).tobytes()


def assert_same(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert type(a) is type(b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        assert np.shape(a) == np.shape(b)
        assert bits(a) == bits(b)


def temporaries(directory):
    return [name for name in os.listdir(directory) if name.startswith(".tmp-")]


def content(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def saved(tmp_path):
    """A directory with the steps 1 and 2."""
    directory = tmp_path / "run"
    for step in (1, 2):
        checkpoint.save(directory, step, tree_of(step), {"step": step})
    return directory


# Round trip

SHAPES = [(), (1,), (5,), (2, 3), (0,), (2, 0, 3), (1, 1, 2, 1)]
WIDE = {"int64", "uint64", "float64"}


@st.composite
def leaves(draw):
    shape, seed = draw(st.sampled_from(SHAPES)), draw(st.integers(0, 2**32 - 1))
    kind = draw(st.sampled_from(["numpy", "jax", "scalar", "strided", "key", "python", "none"]))
    if kind == "none":
        return None
    if kind == "python":
        return draw(st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats())
    if kind == "key":
        key = jax.random.key(seed, impl=draw(st.sampled_from(["threefry2x32", "rbg"])))
        return jax.random.split(key, shape) if shape and 0 not in shape else key
    dtype = draw(st.sampled_from(sorted(checkpoint.DTYPES)))
    kind = "numpy" if kind == "jax" and dtype in WIDE else kind
    # Any bits at all: NaNs with payloads, infinities, negative zeros, subnormals.
    raw = np.random.default_rng(seed).bytes(2 * int(np.prod(shape)) * jnp.dtype(dtype).itemsize)
    array = np.frombuffer(raw, np.uint8) & 1 if dtype == "bool" else np.frombuffer(raw, np.uint8)
    array = array.view(jnp.dtype(dtype)).reshape(2, *shape)
    if kind == "strided":
        return array.reshape(*shape, 2)[..., 1].T
    array = array[0, ...]
    return jax.device_put(array) if kind == "jax" else array[()] if kind == "scalar" else array


names = st.text(max_size=3) | st.sampled_from(["__metadata__", "a']['b", "../x", "\ud800", "\0"])
trees = st.recursive(
    leaves(),
    lambda inner: (
        st.dictionaries(names, inner, max_size=3)
        | st.lists(inner, max_size=3)
        | st.builds(Params, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(trees, st.integers(0, 10**12 - 1))
def test_round_trip_returns_the_same_bits(tree, step):
    with tempfile.TemporaryDirectory() as directory:
        path = checkpoint.save(directory, step, tree)
        got, metadata, at = checkpoint.load(directory, tree)
        assert path == Path(directory, f"step-{step:012d}")
        assert (at, metadata) == (step, {})
        assert_same(got, tree)


def test_special_floats_keep_their_bits(tmp_path):
    words = np.array([0x7FC00123, 0x7F800001, 0xFFC00000, 0x80000000, 0x00000001, 0xFF800000], np.uint32)
    tree = {"numpy": words.view(np.float32), "jax": jax.device_put(words.view(np.float32))}
    checkpoint.save(tmp_path, 0, tree)
    got = checkpoint.load(tmp_path, tree)[0]
    assert all(np.array_equal(np.asarray(leaf).view(np.uint32), words) for leaf in got.values())


def test_loaded_leaves_can_be_used(tmp_path):
    tree = tree_of(3)
    checkpoint.save(tmp_path, 3, tree)
    got = checkpoint.load(tmp_path, tree)[0]
    got["moments"][0][:] = 0  # a host array is writable
    assert bool(jax.random.key_data(jax.random.split(got["key"]))[0, 0] >= 0)
    assert not got["half"].committed
    put = jax.device_put(tree, jax.devices()[0])
    assert checkpoint.load(tmp_path, {**LIKE, "half": put["half"]})[0]["half"].committed


def test_abstract_like(tmp_path):
    tree = {"x": jnp.arange(3.0), "keys": jax.random.split(jax.random.key(1, impl="rbg"), 2)}
    checkpoint.save(tmp_path, 0, tree)
    assert_same(checkpoint.load(tmp_path, jax.eval_shape(lambda: tree))[0], tree)


def test_the_state_is_a_safetensors_file(saved):
    path = saved / "step-000000000002" / STATE
    with safetensors.safe_open(path, "numpy") as file:
        assert np.array_equal(file.get_tensor("['params'].W"), tree_of(2)["params"].W)


def test_relative_and_missing_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("a/b/c", 5, [1, 2.5, True])
    assert checkpoint.load(Path("a/b/c"), [0, 0.0, False]) == ([1, 2.5, True], {}, 5)
    assert checkpoint.latest("a/b/nothing") is None


# What does not fit is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"half": t["half"][:5]}, r"\['half'\].*\[6\].*\[5\]"),
        (lambda t: t | {"half": t["half"].reshape(2, 3)}, r"\['half'\]"),
        (lambda t: t | {"half": t["half"].astype(jnp.float16)}, r"\['half'\].*bfloat16.*float16"),
        (lambda t: t | {"count": np.int32(0)}, r"\['count'\].*int64.*int32"),
        (lambda t: t | {"rate": 1}, r"\['rate'\].*float64.*int64"),
        (lambda t: t | {"key": jax.random.key(0, impl="rbg")}, r"\['key'\].*fry.*rbg"),
        (lambda t: t | {"key": jax.random.key_data(t["key"])}, r"\['key'\]"),
        (lambda t: t | {"keys": t["key"]}, r"\['keys'\]"),
        (lambda t: t | {"more": np.zeros(2)}, r"\['more'\] is in `like` alone"),
        (lambda t: {k: v for k, v in t.items() if k != "half"}, r"\['half'\] is in the checkpoint alone"),
        (lambda t: t | {"params": tuple(t["params"])}, r"\['params'\]"),
        (lambda t: t | {"half": "text"}, r"\['half'\]"),
    ],
)
def test_a_tree_that_does_not_fit_is_named(saved, change, message):
    with pytest.raises(ConfigError, match=message):
        checkpoint.load(saved, change(LIKE))


@pytest.mark.parametrize(
    "leaf",
    ["text", object(), np.array([None]), np.zeros(2, np.complex128), np.zeros(2, ">f4"), 2**70, 1j, b"x",
     np.array(["a"]), np.zeros(2, [("a", "f4")]), np.ma.masked_array([1, 2], [0, 1]),
     np.datetime64("2026-01-01"), jnp.zeros(2, jnp.int4)],
)  # fmt: skip
def test_leaves_that_cannot_be_stored(tmp_path, leaf):
    with pytest.raises(ConfigError, match=r"\['x'\]"):
        checkpoint.save(tmp_path / "run", 0, {"x": leaf})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [(-1, {}), (10**12, {}), (1.0, {}), (True, {}), ("1", {}), (1, {}, [1]), (1, {}, {"a": float("nan")}),
     (1, {}, {1: 0, "1": 0}), (1, {}, {"a": object()}), (1, {}, {"a": np.float32(1)}),
     (1, {}, {"a": "x" * (9 << 20)})],
)  # fmt: skip
def test_arguments_that_cannot_be_stored(tmp_path, arguments):
    with pytest.raises(ConfigError):
        checkpoint.save(tmp_path / "run", *arguments)
    with pytest.raises(ConfigError):
        checkpoint.save(tmp_path / "run", 0, {}, keep=0)
    assert not (tmp_path / "run").exists()


def test_wide_arrays_are_not_narrowed(tmp_path):
    checkpoint.save(tmp_path, 0, [np.float64(0.1)])
    with pytest.raises(ConfigError, match="jax_enable_x64"):
        checkpoint.load(tmp_path, [jax.ShapeDtypeStruct((), np.float64)])


def test_two_leaves_of_one_name(tmp_path):
    class Twins:
        pass

    key = jax.tree_util.GetAttrKey("x")
    jax.tree_util.register_pytree_with_keys(Twins, lambda t: (((key, 1), (key, 2)), None), lambda *_: Twins())
    with pytest.raises(ConfigError, match="share"):
        checkpoint.save(tmp_path, 0, Twins())


@pytest.mark.parametrize(
    "metadata", [{}, {"a": [1, -0.0, None, {"b": "é\ud800\0"}], "z": 1e300, "": 2**80}, {"b": 1, "a": 2}]
)
def test_metadata(tmp_path, metadata):
    checkpoint.save(tmp_path, 0, {}, metadata)
    got = checkpoint.load(tmp_path, {})[1]
    assert repr(got) == repr(metadata)


# Which step


def test_two_steps_are_kept_and_names_alone_order_them(tmp_path):
    rng = random.Random(0)
    for step in (1, 9, 10, 200):
        path = checkpoint.save(tmp_path, step, tree_of(step))
        for entry in (path, *path.iterdir()):
            os.utime(entry, (rng.uniform(0, 4e9), rng.uniform(0, 4e9)))
    assert sorted(os.listdir(tmp_path)) == ["step-000000000010", "step-000000000200"]
    assert checkpoint.latest(tmp_path) == 200
    for step in (10, 200):
        assert_same(checkpoint.load(tmp_path, LIKE, step=step)[0], tree_of(step))
    checkpoint.save(tmp_path, 201, {}, keep=3)
    assert checkpoint._steps(tmp_path) == [201, 200, 10]
    checkpoint.save(tmp_path, 202, {}, keep=1)
    assert checkpoint._steps(tmp_path) == [202]


def test_a_corrupt_step_does_not_count_as_kept(saved):
    (saved / "step-000000000002" / STATE).write_bytes(b"")
    checkpoint.save(saved, 3, tree_of(3))
    assert checkpoint._steps(saved) == [3, 2, 1]
    checkpoint.save(saved, 4, tree_of(4))
    assert checkpoint._steps(saved) == [4, 3]


def test_going_back_keeps_what_was_just_saved(saved):
    checkpoint.save(saved, 0, tree_of(0))
    assert checkpoint._steps(saved) == [2, 1, 0]


def test_other_names_are_ignored(saved):
    for name in ("step-3", "step-00000000000³", "step-000000000003.bak", "notes.txt", "xstep-000000000009"):
        (saved / name).mkdir()
    (saved / os.fsdecode(b"\xff\xfe")).touch()
    assert checkpoint.latest(saved) == 2
    checkpoint.save(saved, 3, tree_of(3))
    assert (saved / "notes.txt").exists()
    assert checkpoint._steps(saved) == [3, 2]


def test_a_step_may_be_a_link(saved, tmp_path):
    path = saved / "step-000000000002"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(2))
    checkpoint.save(saved, 3, {}, keep=1)
    assert os.listdir(saved) == ["step-000000000003"]
    assert (tmp_path / "elsewhere" / STATE).exists()


def test_nothing_there(tmp_path):
    for directory in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match="expected a checkpoint"):
            checkpoint.load(directory, {})
        with pytest.raises(StoreError):
            checkpoint.verify(directory)
    checkpoint.save(tmp_path, 1, {})
    with pytest.raises(StoreError, match=r"step 7.*\[1\]"):
        checkpoint.load(tmp_path, {}, step=7)


def test_fallback_is_asked_for_and_loud(saved):
    newest = saved / "step-000000000002" / STATE
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(
        CorruptError, match=r"state\.safetensors: expected \d+ bytes, got \d+; step 1 is good"
    ):
        checkpoint.load(saved, LIKE)
    with pytest.raises(CorruptError):
        checkpoint.verify(saved)
    checkpoint.verify(saved, 1)
    with pytest.warns(RuntimeWarning, match="falling back to step 1"):
        got, metadata, step = checkpoint.load(saved, LIKE, fallback=True)
    assert step == 1
    assert metadata == {"step": 1}
    assert_same(got, tree_of(1))
    (saved / "step-000000000001" / MANIFEST).unlink()
    with pytest.raises(CorruptError, match="no older step is good"):
        checkpoint.load(saved, LIKE, fallback=True)


def test_saving_a_step_again(saved):
    path = saved / "step-000000000002"
    inode = path.stat().st_ino
    checkpoint.save(saved, 2, tree_of(2), {"step": 2})
    assert path.stat().st_ino == inode  # the same content: nothing is touched
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    (path / STATE).write_bytes(b"rot")
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    shutil.rmtree(path)
    path.touch()
    with pytest.raises(CorruptError, match="no directory"):
        checkpoint.load(saved, LIKE)
    checkpoint.save(saved, 2, tree_of(7))
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(7))
    assert not temporaries(saved)


def test_temporaries_of_the_dead_are_swept(saved):
    dead = subprocess.Popen(["true"])
    dead.wait()
    own, other = checkpoint._PROCESS, "0" * 8
    gone = [f".tmp-3-{dead.pid}-{other}00000000", f".tmp-3-{10**30}-{other}00000000"]
    gone += [f".tmp-3-{os.getpid()}-{other}00000000"]  # an earlier process with our number
    stay = [
        f".tmp-3-{os.getppid()}-{other}00000000",
        f".tmp-3-{os.getpid()}-{own}00000000",
        ".tmp-mine",
        ".tmp-3",
    ]
    for name in gone + stay:
        (saved / name / "inside").mkdir(parents=True)
    checkpoint.save(saved, 3, {})
    assert sorted(temporaries(saved)) == sorted(stay)


# Corruption


@contextlib.contextmanager
def restored(directory, original):
    try:
        yield
    finally:
        shutil.rmtree(directory)
        for name, data in original.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)


def mutate(directory, rng):
    """One random mutation of one of two steps; returns the step that is wrong now, and what was done."""
    step = rng.choice([1, 2])
    here, there = (directory / f"step-{s:012d}" for s in (step, 3 - step))
    name = rng.choice([STATE, MANIFEST])
    path, data = here / name, (here / name).read_bytes()
    kind = rng.choice(
        ["flip", "truncate", "zero", "grow", "delete", "swap", "exchange", "extra", "edit", "kind"]
    )
    at = rng.randrange(len(data))
    if kind == "flip":
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    elif kind == "truncate":
        path.write_bytes(data[:at])
    elif kind == "zero":
        block = data[at : at + rng.choice([1, 8, 64, 512])]
        path.write_bytes(data[:at] + bytes(len(block)) + data[at + len(block) :])
    elif kind == "grow":
        path.write_bytes(data + rng.choice([b"\0", b" ", b"\n", data]))
    elif kind == "delete":
        path.unlink()
    elif kind == "swap":
        path.write_bytes((there / name).read_bytes())
        (there / name).write_bytes(data)
    elif kind == "exchange":
        here.rename(directory / "x")
        there.rename(here)
        (directory / "x").rename(there)
    elif kind == "extra":
        (here / rng.choice(["extra", ".hidden", STATE + "~", MANIFEST.lower()])).touch()
    elif kind == "edit":
        body = json.loads((here / MANIFEST).read_bytes())
        place = rng.choice([body, body["metadata"], body["files"][STATE], body["schema"]["['half']"]])
        place[rng.choice(list(place))] = rng.choice([0, 3, "0" * 64, [6], "float16", None])
        (here / MANIFEST).write_text(json.dumps(body, indent=1))
    elif kind == "kind":
        path.unlink()
        rng.choice([path.mkdir, lambda: path.symlink_to("nowhere"), lambda: os.mkfifo(path)])()
    return step, f"{kind} {name}"


def test_every_mutation_is_detected(saved):
    rng, original, found = random.Random(0), content(saved), {}
    while sum(found.values()) < 700:
        with restored(saved, original):
            step, kind = mutate(saved, rng)
            if content(saved) == original and "kind" not in kind:
                continue  # zeros zeroed
            with pytest.raises(CorruptError):
                checkpoint.load(saved, LIKE, step=step)
            found[kind] = found.get(kind, 0) + 1
    assert len(found) == 20
    assert min(found.values()) > 15
    assert_same(checkpoint.load(saved, LIKE)[0], tree_of(2))


@pytest.mark.parametrize("name", [STATE, MANIFEST])
def test_a_flip_in_any_byte_is_detected(saved, name):
    path = saved / "step-000000000002" / name
    data, rng = path.read_bytes(), random.Random(1)
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        with pytest.raises(CorruptError, match=name):
            checkpoint.verify(saved)


def places(value, path=()):
    """The path of every value inside nested dicts and lists."""
    yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def test_forged_manifests_give_no_other_error_and_no_other_value(saved):
    path = saved / "step-000000000002" / MANIFEST
    body = json.loads(path.read_bytes())
    body.pop("sha256")
    refused = 0
    for place in places({k: v for k, v in body.items() if k != "metadata"}):
        for junk in (None, -1, 2**70, 1.5, "x", "", [], {}, [[]], {"x": 1}, [2**40], "int8", "object"):
            forged = copy.deepcopy(body)
            inner = forged
            for key in place[:-1]:
                inner = inner[key]
            if place:
                inner[place[-1]] = junk
            path.write_bytes(sealed_json.encode(forged) if place else json.dumps(junk).encode())
            try:
                got = checkpoint.load(saved, LIKE)[0]
            except SuperpositionError:
                refused += 1
            else:
                assert_same(got, tree_of(2))
    assert refused > 500


def forge_state(path, state):
    """A step of this state, all its hashes right."""
    entry = {"bytes": len(state), "sha256": hashlib.sha256(state).hexdigest()}
    schema = {name: checkpoint._describe(leaf) for name, leaf in checkpoint._leaves(LIKE).items()}
    body = {
        "format": 1,
        "step": int(path.name[-12:]),
        "files": {STATE: entry},
        "schema": schema,
        "metadata": {},
    }
    path.mkdir()
    (path / MANIFEST).write_bytes(sealed_json.encode(body))
    (path / STATE).write_bytes(state)


EMPTY_HEADER = (2).to_bytes(8, "little")


@pytest.mark.parametrize(
    "state",
    [
        *[b"", b"\0" * 7, b"\xff" * 8, b"\x80\4N."],
        *[EMPTY_HEADER, EMPTY_HEADER + b"{}", EMPTY_HEADER + b"[]", EMPTY_HEADER + b"{}more"],
        *[safetensors.numpy.save({}), safetensors.numpy.save({"x": np.zeros(3)})],
    ],
)
def test_forged_states(saved, state):
    forge_state(saved / "step-000000000003", state)
    with pytest.raises(CorruptError, match=STATE):
        checkpoint.load(saved, LIKE)


def test_nothing_is_read_beyond_the_limits(saved):
    path = saved / "step-000000000002"
    with open(path / MANIFEST, "ab") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(CorruptError, match=f"{MANIFEST}: expected <= {checkpoint.MAX_HEADER} bytes"):
        checkpoint.load(saved, LIKE)
    header = b"{}" + b" " * (9 << 20)
    forge_state(path.with_name("step-000000000003"), len(header).to_bytes(8, "little") + header)
    with pytest.raises(CorruptError, match="a header of 9437186 bytes"):
        checkpoint.load(saved, LIKE)


def test_an_unknown_format_is_named(saved):
    path = saved / "step-000000000002" / MANIFEST
    body = json.loads(path.read_bytes())
    body.pop("sha256")
    path.write_bytes(sealed_json.encode({**body, "format": 2}))
    with pytest.raises(StoreError, match="format 1, got 2") as caught:
        checkpoint.load(saved, LIKE)
    assert not isinstance(caught.value, CorruptError)


# Faults of the system while saving


def test_everything_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls, fsync, rename = [], os.fsync, os.rename

    def recorded_fsync(descriptor):
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        return fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "rename", lambda old, new: calls.append((old.name, new.name)) or rename(old, new))
    checkpoint.save(tmp_path / "a" / "b", 1, {})
    assert calls[:2] == ["a", tmp_path.name]  # new directories are entries of their parents
    temporary = calls[4]
    assert temporary.startswith(f".tmp-1-{os.getpid()}-")
    assert calls[2:] == [STATE, MANIFEST, temporary, (temporary, "step-000000000001"), "b"]


class Faults:
    """Counts the calls that touch the disk and lets call `at`, or every one from `at` on, fail."""

    def __init__(self, monkeypatch, at, forever, fault):
        self.calls, self.at, self.forever, self.fault = 0, at, forever, fault
        for name in ("rename", "fsync", "mkdir"):
            monkeypatch.setattr(os, name, self.failing(getattr(os, name)))
        monkeypatch.setattr(atomic, "open", self.open, raising=False)

    def strike(self):
        self.calls += 1
        if self.calls == self.at or (self.forever and self.calls > self.at):
            self.fault()

    def failing(self, function):
        def call(*args, **kwargs):
            self.strike()
            return function(*args, **kwargs)

        return call

    def open(self, path, mode):
        self.strike()
        file = open(path, mode)  # noqa: SIM115
        write = file.write

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def __getattr__(self, name):
                return getattr(file, name)

            def write(_, data):
                write(data[: len(data) // 2])
                file.flush()
                self.strike()
                return write(data[len(data) // 2 :])

        return Full()


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("forever", [False, True])
@pytest.mark.parametrize("step", [2, 3])
def test_a_full_disk_at_any_call(saved, monkeypatch, step, forever):
    original, raised = content(saved), 0
    for at in itertools.count(1):
        with restored(saved, original):
            message = ""
            with monkeypatch.context() as patch:
                faults = Faults(patch, at, forever, no_space)
                try:
                    checkpoint.save(saved, step, tree_of(5))
                except StoreError as error:
                    message = str(error)
            if not message:  # `mkdir` may fail where the directory exists
                assert_same(checkpoint.load(saved, LIKE)[0], tree_of(5))
                if at > faults.calls:
                    break
                continue
            assert "free space" in message
            assert str(saved) in message
            raised += 1
            if forever and step == 2 and temporaries(saved):
                continue  # the rename failed, and so did the way back
            assert not temporaries(saved)
            got, _, newest = checkpoint.load(saved, LIKE)
            assert newest >= 2
            assert_same(got, tree_of(5 if bits(got["half"]) == bits(tree_of(5)["half"]) else 2))
            older = checkpoint._steps(saved)[1]
            assert_same(checkpoint.load(saved, LIKE, step=older)[0], tree_of(older))
            checkpoint.save(saved, step, tree_of(5))
            assert_same(checkpoint.load(saved, LIKE)[0], tree_of(5))
    assert raised >= 10


def test_a_limit_of_the_real_system(saved):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            checkpoint.save(saved, 3, np.zeros(1 << 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not temporaries(saved)
    assert checkpoint._steps(saved) == [2, 1]


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300])
def test_a_place_that_cannot_be_a_directory(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=place):
        checkpoint.save(tmp_path / place, 0, {})
    with pytest.raises(StoreError, match=place):
        checkpoint.load(tmp_path / place, {})


# Processes that die

SERVER = """
import itertools, os, signal, sys
import numpy as np
from superposition.storage import checkpoint

def tree_of(step):
    return {"a": np.full(2000, step), "b": [np.random.default_rng(step).bytes(0) or np.float64(step), None]}

def save_for_ever(directory, at):
    calls = itertools.count(1)
    def deadly(function):
        def call(*args, **kwargs):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call
    for name in ("rename", "fsync", "mkdir", "open", "unlink", "rmdir", "listdir"):
        setattr(os, name, deadly(getattr(os, name)))
    checkpoint.open = deadly(open)
    done = checkpoint.latest(directory)
    for step in itertools.count(0 if done is None else done + 1):
        checkpoint.save(directory, step, tree_of(step), {"step": step})
        os.write(1, b"%d\\n" % step)

for line in sys.stdin:
    directory, at = line.split()
    if (pid := os.fork()) == 0:
        save_for_ever(directory, int(at))
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""
SERVER_LIKE = {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}


@pytest.fixture(scope="module")
def server():
    """A process that forks for each line it reads; the fork saves until it is killed."""
    root = str(Path(checkpoint.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        process.stdin.close()


def run_until_killed(server, directory, *, at=0, after=None):
    """Acknowledged steps of a process killed at its call `at`, or `after` so many and some seconds."""
    server.stdin.write(f"{directory} {at}\n")
    server.stdin.flush()
    pid, acknowledged = None, []
    for line in server.stdout:
        if line == "dead\n":
            return acknowledged
        if line.startswith("pid"):
            pid = int(line.split()[1])
        else:
            acknowledged.append(int(line))
        if after is not None and pid is not None and len(acknowledged) >= after[0]:
            signal.sigtimedwait([], after[1])
            os.kill(pid, signal.SIGKILL)
            after = None
    raise AssertionError("the server ended")


def assert_survived(directory, acknowledged):
    tree, metadata, step = checkpoint.load(directory, SERVER_LIKE)
    assert step >= acknowledged
    for older in checkpoint._steps(directory):
        checkpoint.verify(directory, older)  # nothing half written or half removed has a step's name
    assert metadata == {"step": step}
    assert (tree["a"] == step).all()
    assert tree["b"][0] == step
    return step


def test_kill_at_random_times(server, tmp_path):
    rng, newest, torn = random.Random(0), 0, 0
    checkpoint.save(tmp_path, 0, {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}, {"step": 0})
    for _ in range(60):
        acknowledged = run_until_killed(server, tmp_path, after=(rng.randrange(3), rng.uniform(0, 0.03)))
        torn += bool(temporaries(tmp_path))
        newest = assert_survived(tmp_path, max([newest, *acknowledged]))
    assert torn >= 5  # the kills did strike inside a save
    checkpoint.save(tmp_path, newest + 1, {})
    assert not temporaries(tmp_path)
    assert len(os.listdir(tmp_path)) == 2


def test_kill_at_every_call(server, tmp_path):
    newest = 0
    checkpoint.save(tmp_path, 0, {"a": np.zeros(2000, np.int64), "b": [np.float64(0), None]}, {"step": 0})
    for at in range(1, 60):  # more than two saves
        newest = assert_survived(tmp_path, max([newest, *run_until_killed(server, tmp_path, at=at)]))
    assert newest > 59
