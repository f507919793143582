"""Compiled programs on disk: a second process compiles nothing, and no state of the folder is a reason to fail."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from superposition._internal.compilation_cache import DIGEST, SUFFIX, VARIABLE, Entries, folder

COUNT = """
import collections, hashlib, json
import jax
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **about: events.update([event.rpartition("/")[2]]))
"""
TELL = """
print(json.dumps({
    "asked": events["compile_requests_use_cache"], "hits": events["cache_hits"], "written": events["cache_misses"],
    "bits": hashlib.sha256(bits).hexdigest(), "folder": jax.config.jax_compilation_cache_dir,
}))
"""
SWEEP = f"""{COUNT}
from superposition import ReLUOutput, SparseUniform, ToyRun
from superposition.training import sweep
run = ToyRun(ReLUOutput(3, 2), SparseUniform(density=0.5), steps=20, batch_size=8)
bits = sweep(run, {{"seed": [0, 1]}})["W"].values.tobytes()
{TELL}"""
TRAIN = f"""{COUNT}
import numpy as np
from superposition.training import loop
class Walk:
    def step(self, inputs, state, step):
        return state + inputs * jax.random.normal(jax.random.fold_in(jax.random.key(0), step), state.shape)
state, _ = loop.train(Walk(), np.float32(2), np.zeros(5, np.float32), 20)
bits = np.asarray(state * 3).tobytes()
{TELL}"""


def run(chosen, program=TRAIN, **environment):
    """What a process prints that has this cache (None for none named); it must be silent otherwise."""
    environment = {**os.environ, VARIABLE: str(chosen), **environment}
    if chosen is None:
        del environment[VARIABLE]
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder that one process filled, and what that process printed."""
    place = tmp_path_factory.mktemp("cache")
    return place, run(place)


def entries(place):
    return list(place.glob(f"*/*{SUFFIX}"))


@pytest.mark.parametrize(
    "program", [pytest.param(SWEEP, marks=pytest.mark.slow), TRAIN], ids=["sweep", "loop"]
)
def test_a_second_process_compiles_nothing(program, tmp_path):
    first, second = run(tmp_path, program), run(tmp_path, program)
    assert (first["hits"], first["written"]) == (0, len(entries(tmp_path)))
    assert second["asked"] == second["hits"] == first["written"] > 1
    assert second["written"] == 0
    assert second["bits"] == first["bits"]


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_a_damaged_entry_is_compiled_again_and_replaced(filled, damage):
    place, first = filled
    for path in entries(place):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data) if damage is None else damage)
    again = run(place)
    assert (again["hits"], again["written"], again["bits"]) == (0, first["written"], first["bits"])
    assert run(place)["hits"] == first["written"]


@pytest.mark.parametrize("switch", ["off", "", "OFF"])
def test_the_switch(switch, tmp_path):
    assert run(switch, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))["folder"] is None
    assert not any(tmp_path.iterdir())


def test_the_users_cache_folder_is_the_default(tmp_path, filled):
    found = run(None, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "own"))
    assert found["folder"].startswith(str(tmp_path))
    assert "superposition" in found["folder"]
    assert found["bits"] == filled[1]["bits"]


def test_importing_switches_nothing_on(tmp_path):
    program = """
import json, sys, jax, superposition, superposition.training, superposition.llm
print(json.dumps(jax.config.jax_compilation_cache_dir))
"""
    assert run(tmp_path / "new", program) is None
    assert not (tmp_path / "new").exists()


def test_a_cache_that_was_configured_in_jax_stays(tmp_path, filled):
    mine = tmp_path / "mine"
    found = run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(mine))
    assert (found["folder"], found["bits"]) == (str(mine), filled[1]["bits"])
    assert not (tmp_path / "ours").exists()
    assert run(tmp_path / "ours", JAX_ENABLE_COMPILATION_CACHE="0")["folder"] is None


def test_where_no_folder_can_be_made_there_is_none(tmp_path, filled):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "/proc/self/cache"):
        found = run(place)
        assert (found["folder"], found["bits"]) == (None, filled[1]["bits"])


def test_a_folder_that_takes_no_entry_any_more_is_still_read(filled, tmp_path):
    """As on a read-only disk: every write fails, and is not spoken of."""
    place, first = filled
    refuse = "import tempfile\ndef fails(**about): raise OSError(30, 'Read-only file system')\ntempfile.mkstemp = fails\n"
    found = run(place, refuse + TRAIN)
    assert (found["hits"], found["bits"]) == (first["written"], first["bits"])
    found = run(tmp_path, refuse + TRAIN)
    assert (found["hits"], found["bits"], entries(tmp_path)) == (0, first["bits"], [])


def test_processes_at_once_share_a_folder(tmp_path, filled):
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: run(tmp_path), range(2)))
    assert {one["bits"] for one in both} == {filled[1]["bits"]}
    assert len(entries(tmp_path)) == filled[1]["written"]
    assert run(tmp_path)["hits"] == filled[1]["written"]


def test_the_cap_holds_and_what_was_used_last_stays(tmp_path):
    root, place = tmp_path, tmp_path / "one"
    place.mkdir()
    (tmp_path / "other").mkdir()
    old = tmp_path / "other" / f"of-another-cpu{SUFFIX}"
    old.write_bytes(bytes(300))
    mine = tmp_path / "other" / "thesis.tex"  # the folder may be one that holds other things
    mine.write_bytes(bytes(3000))
    cap = 1000
    store = Entries(place, root, cap)
    for i in range(40):
        for path in [*entries(root), mine]:  # all were used long ago, but for the first
            used = {"program-0": 10**18, "of-another-cpu": 1}.get(path.name.removesuffix(SUFFIX), 2)
            os.utime(path, ns=(used, used))
        store.put(f"program-{i}", bytes([i]) * 100)
        assert sum(path.stat().st_size for path in entries(root)) <= cap
        assert store.get(f"program-{i}") == bytes([i]) * 100
    assert not old.exists()
    assert mine.stat().st_size == 3000
    assert store.get("program-0") == bytes(100)
    assert store.get("program-1") is None
    store.put("huge", bytes(cap))
    assert store.get("huge") is None
    assert store.get("program-39") is not None


def test_an_entry_is_what_was_put_or_nothing(tmp_path):
    place = tmp_path / "one"
    place.mkdir()
    store = Entries(place, tmp_path, 10**6)
    long = "jit_" + "f" * 500 + "-" + "0" * 64
    store.put(long, b"program")
    assert store.get(long) == b"program"
    (path,) = place.iterdir()
    path.write_bytes(path.read_bytes()[: DIGEST - 1])
    assert store.get(long) is None
    assert not path.exists()
    store.put("under/a/folder", b"program")  # no name of a file
    assert store.get("under/a/folder") is None
    assert list(place.iterdir()) == []


def test_the_variable_names_a_folder(monkeypatch):
    monkeypatch.setenv(VARIABLE, "~/programs")
    assert folder().is_absolute()
    assert folder().name == "programs"
    monkeypatch.setenv(VARIABLE, " off ")
    assert folder() is None
