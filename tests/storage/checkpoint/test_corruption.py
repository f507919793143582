"""Damaged, forged and oversized checkpoints are refused as what they are."""

import copy
import hashlib
import json
import os
import random

import numpy as np
import pytest
import safetensors.numpy

from superposition._internal import sealed_json
from superposition.errors import CorruptError, StoreError, SuperpositionError
from superposition.storage import checkpoint, trees
from tests.support.checkpoints import LIKE, MANIFEST, STATE, assert_same, content, restored, tree_of


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
    schema = {name: trees.describe(leaf) for name, leaf in trees.leaves(LIKE).items()}
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
