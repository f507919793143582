"""Resuming elsewhere: what changes bits is compared and refused with the way out, what does not is let pass."""

import json
import os
import shutil
import signal
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import superposition as sp
from superposition.activations import array_stream
from superposition.errors import ConfigError, CorruptError, Interrupted
from superposition.sae import TopK
from superposition.storage import checkpoint, provenance
from superposition.storage.provenance import _xla_flags, environment
from superposition.toy import ReLUOutput
from superposition.training import SAERun, fit, fitting, loop, open_sweep, sweep
from superposition.training import toy_sweep as sweep_run
from superposition.training.store import records
from superposition.training.toy import ToyRun
from tests.support import processes
from tests.support.processes import python

TOY = ToyRun(ReLUOutput(3, 2), steps=96, batch_size=32)  # six chunks: none of its blocks ends in the third
AXES = {"n_hidden": (1, 2), "density": (0.5, 0.1)}
SAE = SAERun(TopK(d_in=8, d_sae=16, k=2), steps=48, batch_size=32)


def stream():
    return array_stream(
        jax.random.key(0), np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    )


@pytest.fixture
def elsewhere(monkeypatch):
    """Another machine from now on: its processor has no AVX2."""

    def go(*names):
        real = provenance.environment

        def other(*arguments):
            found = real(*arguments)
            return found | {
                "instructions": [w for w in found["instructions"] if w != "avx2"],
                "jaxlib": "0.9",
            }

        for module in (sweep_run, fitting):
            monkeypatch.setattr(module, "environment", other)
        return other()

    return go


REFUSED = r"was begun in another environment, which changes bits: instructions is .*; jaxlib is \"0\.10.*give --allow-mixed"


def test_the_environment_names_what_decides_bits(monkeypatch):
    found = environment()
    assert set(found) == {"jax", "jaxlib", "device", "xla_flags", "settings", "instructions", "caches"}
    assert json.loads(json.dumps(found)) == found
    assert environment(2**19) == found
    assert environment(2**20)["threads"] == len(os.sched_getaffinity(0))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2")
    assert environment()["xla_flags"] == ["--xla_cpu_max_isa=SSE4_2"]
    monkeypatch.delenv("XLA_FLAGS")
    with jax.enable_x64(True):
        assert environment()["settings"] != found["settings"]


def test_order_and_harmless_flags_of_xla_are_no_difference(tmp_path):
    fast, isa = "--xla_cpu_enable_fast_math", "--xla_cpu_max_isa=AVX2"
    same = [f"{fast}=true", isa]
    assert _xla_flags(f"{fast}=true {isa}") == same
    assert _xla_flags(f" {isa}  {fast} ") == same
    assert _xla_flags(f"{fast}=false {isa} {fast} --xla_force_host_platform_device_count=8") == same
    assert _xla_flags(f"--xla_dump_to=dumps {isa} {fast}") == same
    assert _xla_flags(f"{fast}=false {isa}") != same
    assert _xla_flags("") == []
    (tmp_path / "flags").write_text(f"{isa}\n{fast}\n")
    assert _xla_flags(str(tmp_path / "flags")) == same


def interrupted_sweep(out, interrupted_in_third):
    interrupted_in_third(signal.SIGTERM)
    with pytest.raises(Interrupted):
        sweep(TOY, AXES, out=out)


def test_a_sweep_is_not_continued_elsewhere_unless_asked(tmp_path, interrupted_in_third, elsewhere):
    out = tmp_path / "a.zarr"
    interrupted_sweep(out, interrupted_in_third)
    assert list((tmp_path / "a.zarr.partial").glob("block-*/step-*"))
    here, other = environment(), elsewhere()
    with pytest.raises(ConfigError, match=REFUSED) as error:
        sweep(TOY, AXES, out=out, resume=True)
    assert "\n" not in str(error.value)
    results = sweep(TOY, AXES, out=out, resume=True, allow_mixed=True)
    assert (results["status"] == 1).all()
    assert json.loads(results.attrs["environments"]) == [here, other]
    blocks = [records.read_block(out, name, records.read_store(out)[0]) for name in records.names(out)]
    assert [here, other] in [block.environments for block in blocks]  # begun there, ended here
    xr.testing.assert_identical(sweep(TOY, AXES, out=out, resume=True, allow_mixed=True), results)


def test_a_finished_block_counts_too_and_a_finished_sweep_mixes_nothing(tmp_path, elsewhere):
    out = tmp_path / "a.zarr"
    expected = sweep(TOY, AXES, out=out)
    elsewhere()
    assert sweep(TOY, AXES, out=out, resume=True).identical(expected)
    (out / "records" / "block-1-0.json").unlink()
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=REFUSED), pytest.warns(UserWarning, match="will be trained again"):
        sweep(TOY, AXES, out=out, resume=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files
    with pytest.warns(UserWarning, match="will be trained again"):
        again = sweep(TOY, AXES, out=out, resume=True, allow_mixed=True)
    assert len(json.loads(again.attrs["environments"])) == 2
    assert again["W"].values.tobytes() == expected["W"].values.tobytes()


def test_a_sweep_of_saes_is_not_continued_elsewhere_unless_asked(tmp_path, interrupted_in_third, elsewhere):
    run, out = replace(SAE, steps=96, data=stream()), tmp_path / "a.zarr"
    interrupted_in_third(signal.SIGTERM)
    with pytest.raises(Interrupted):
        sp.sweep(run, {"seed": (0, 1)}, out=out)
    here, other = environment(), elsewhere()
    with pytest.raises(ConfigError, match=REFUSED):
        sp.sweep(run, {"seed": (0, 1)}, out=out, resume=True)
    saes = sp.sweep(run, {"seed": (0, 1)}, out=out, resume=True, allow_mixed=True)
    assert json.loads(saes.dataset.attrs["environments"]) == [here, other]
    assert [one.environments for one in sp.load(out)] == [(here, other)] * 2


@pytest.mark.parametrize("mixed", [False, True])
def test_saes_are_not_continued_elsewhere_unless_asked(tmp_path, elsewhere, mixed):
    alone = fit(SAE, stream(), {"seed": (0, 1)})
    assert alone[0].environments == (environment(),)
    asked = []
    fit(
        SAE,
        stream(),
        {"seed": (0, 1)},
        directory=tmp_path,
        stop=lambda: len(asked) > 1,
        progress=asked.append,
    )
    assert checkpoint.metadata(tmp_path / "block-0") == {"environments": [environment()]}
    if not mixed:
        again = fit(SAE, stream(), {"seed": (0, 1)}, directory=tmp_path)
        for a, b in zip(alone, again, strict=True):
            assert all(a.params[name].tobytes() == b.params[name].tobytes() for name in a.params)
        elsewhere()
        assert (
            fit(SAE, stream(), {"seed": (0, 1)}, directory=tmp_path)[0].environments == alone[0].environments
        )
        return
    here, other = environment(), elsewhere()
    with pytest.raises(ConfigError, match=REFUSED):
        fit(SAE, stream(), {"seed": (0, 1)}, directory=tmp_path)
    trained = fit(SAE, stream(), {"seed": (0, 1)}, directory=tmp_path, allow_mixed=True)
    assert (here, other) in [one.environments for one in trained]
    assert trained[0].steps[-1] == SAE.steps - 1


def test_checkpoints_of_the_version_before_are_continued_with_a_note(
    tmp_path, interrupted_in_third, monkeypatch
):
    expected = sweep(TOY, AXES)
    monkeypatch.setattr(loop, "about", lambda environments: {})
    interrupted_sweep(tmp_path / "a.zarr", interrupted_in_third)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="was begun before checkpoints told their environment"):
        again = sweep(TOY, AXES, out=tmp_path / "a.zarr", resume=True)
    assert again["W"].values.tobytes() == expected["W"].values.tobytes()


@pytest.mark.slow
def test_commands_refuse_another_flag_and_pass_over_harmless_ones(tmp_path):
    out = tmp_path / "a.zarr"
    command = ["-m", "superposition", "sweep", "--n-features", "4", "--n-hidden", "1", "2"]
    command += ["--steps", "20", "--batch-size", "32", "--out", str(out)]

    def run(flags, *more):
        done = python(*command, *more, env=processes.environment(XLA_FLAGS=flags))
        return done.returncode, done.stderr

    assert run("")[0] == 0
    shutil.rmtree(out / "loss" / "c" / "0" / "1")
    status, said = run("--xla_cpu_max_isa=SSE4_2", "--resume")
    assert status == 2, said
    assert said.splitlines()[-1].endswith("or give --allow-mixed (allow_mixed=True) to mix results of both")
    assert 'xla_flags is [] there and ["--xla_cpu_max_isa=SSE4_2"] here' in said.splitlines()[-1]
    assert run("--xla_force_host_platform_device_count=2", "--resume")[0] == 0
    assert (open_sweep(out)["status"].values == 1).all()


CORES = """
import hashlib, os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]))
import jax, numpy as np
from superposition.activations import array_stream
from superposition.sae import ReLU, TopK
from superposition.training import SAERun, fit
from superposition.training import blocks, sweep
from superposition.toy import ReLUHidden, ReLUOutput
from superposition.training.toy import ToyRun

digest = hashlib.sha256()
for run, axes in (
    (ToyRun(ReLUOutput(20, 5), steps=20, batch_size=64), {"density": (0.5, 0.1), "seed": range(3)}),
    (ToyRun(ReLUOutput(2, 1), steps=20, batch_size=64), {"density": tuple(np.geomspace(1, 0.01, 600))}),
    (ToyRun(ReLUHidden(6, 4), steps=20, batch_size=64), {"n_hidden": (3, 4), "seed": range(3)}),
):
    results = sweep(run, axes)
    sampled = {"loss"} if isinstance(run.model, ReLUHidden) else set()
    for name in sorted({*results.data_vars} - sampled):
        digest.update(results[name].values.tobytes())
x = np.random.default_rng(0).standard_normal((5000, 32)).astype(np.float32)
for sae, size in ((TopK(d_in=32, d_sae=64, k=4), 256), (ReLU(d_in=32, d_sae=16), 1024)):
    for one in fit(SAERun(sae, steps=20, batch_size=size), array_stream(jax.random.key(0), x), {"seed": (0, 1, 2)}):
        for name in sorted(one.params):
            digest.update(one.params[name].tobytes())
print(len(os.sched_getaffinity(0)), digest.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the machine has one core")
def test_bits_do_not_depend_on_the_number_of_cores():
    said = [python("-c", CORES, n, check=True, stderr=None).stdout.split() for n in "12"]
    assert [cores for cores, _ in said] == ["1", "2"]
    assert said[0][1] == said[1][1]


def test_the_plan_of_blocks_does_not_ask_for_the_cores(monkeypatch):
    from superposition.training import blocks
    from superposition.training.grid import parse

    run = replace(TOY, model=ReLUOutput(30, 10))
    axes = parse(run, {"density": tuple(np.linspace(0.1, 1, 64)), "seed": range(16)})
    plans = []
    for cores in (1, 2, 64):
        monkeypatch.setattr(blocks, "worker_count", lambda cores=cores: cores)
        plans.append(blocks.plan(run, axes, 2.0, True))
        assert blocks.at_once(run, plans[0], 2.0) == cores
    assert plans[0] == plans[1] == plans[2]
    need = blocks.bytes_per_cell(run) * plans[0].cells / 2**30
    assert blocks.at_once(run, plans[0], 3.5 * need) == 3  # 64 cores, memory for three blocks


def test_a_damaged_record_of_a_run_is_one_error(tmp_path):
    run = SAERun(TopK(4, 6, k=1), steps=1, batch_size=4)
    stream = array_stream(jax.random.key(0), np.random.default_rng(0).normal(size=(64, 4)))
    fit(run, stream, directory=tmp_path)
    (tmp_path / "run.json").write_text('{"run": ')
    with pytest.raises(CorruptError, match=r"run\.json"):
        fit(run, stream, directory=tmp_path)
