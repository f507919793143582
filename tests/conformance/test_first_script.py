"""The script that a newcomer writes first, as README and the design have it, and what tab completion shows of it."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np

import superposition as sp

SCRIPT = """
import superposition as sp
toys = sp.sweep(
    sp.ToyRun(sp.ReLUOutput(20, 5), sp.SparseUniform(density=0.05), importance_base=0.7{toy}), {{"seed": range(10)}}
)
toy = toys.best()
sae = sp.fit(sp.SAERun(sp.TopK(d_sae=40, k=1), toy.activations(){sae}))
numbers = sp.evaluate(sae, toy.activations())
shipped = sp.load("superposition/small-lm-sae")
"""
LAST_LINES = """
lm = sp.LanguageModel.from_hf()
said = lm.attach(sp.load("superposition/small-lm-sae")).steer(136, 2.0).generate("Once upon a time")
"""


def test_the_script_runs_as_written_and_its_steps_fit_together():
    names = {}
    exec(SCRIPT.format(toy=", steps=300, batch_size=256", sae=", steps=200, batch_size=256"), names)
    toys, toy, sae, shipped = (names[name] for name in ("toys", "toy", "sae", "shipped"))
    assert isinstance(toys, sp.Sweep)
    assert all(isinstance(one, sp.Trained) for one in (toy, sae, shipped))
    assert toy.loss == min(one.loss for one in toys) == float(toys["loss"].min())
    assert toy.recipe.features.density == 0.05  # the law is the true one, and the stream's is
    fired = np.asarray(toy.activations().sample(20_000).features) > 0
    kept = toy.activations().kept
    assert abs(fired.mean() - 0.05) < 4 * np.sqrt(0.05 / (20_000 * len(kept)))
    assert (sae.model.d_in, sae.model.d_sae) == (5, 40)
    assert {"l0", "fvu", "dead_fraction", "mmcs", "mcc", "f1"} <= set(names["numbers"])
    assert names["numbers"]["l0"] <= 1
    assert shipped.metadata["hook_name"]
    exec(LAST_LINES, names)
    assert names["said"].startswith("Once upon a time")
    assert len(names["said"]) > len("Once upon a time")


def test_five_lines_find_the_pentagon():
    run = sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.05), steps=2000, batch_size=256)
    toys = sp.sweep(run, {"seed": range(3)})
    toy = toys.best()
    arrangement = sp.geometry.recognise(toy.W)
    assert "pentagon" in str(arrangement)


def test_completion_shows_every_name_and_every_room_and_all_of_them_are_there():
    listed = dir(sp)
    assert sorted(sp.__all__) == sorted(listed)
    rooms = {p.parent.name for p in Path(sp.__file__).parent.glob("*/__init__.py")} - {"_internal", "cli"}
    assert rooms <= set(listed)
    assert {"fit", "sweep", "Trained", "Sweep", "evaluate", "load", "save", "LanguageModel"} <= set(listed)
    for name in listed:
        assert getattr(sp, name) is not None
    assert callable(sp.geometry.recognise)
    assert callable(sp.metrics.mmcs)


def test_what_type_checkers_are_told_is_what_there_is():
    tree = ast.parse(Path(sp.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told, starred = {"__version__"}, set()
    for node in block.body:
        for alias in node.names:
            if alias.name == "*":
                starred |= set(importlib.import_module(node.module).__all__)
            else:
                told.add(alias.asname)
    assert told <= set(sp.__all__) <= told | starred


def test_what_a_room_registers_is_a_public_name():
    for room, registry in ((sp.sae, "ARCHITECTURES"), (sp.toy, "TOY_MODELS"), (sp.features, "FEATURES")):
        for kind in getattr(room, registry).values():
            assert getattr(sp, kind.__name__) is kind


def test_importing_it_and_asking_for_names_waits_for_nothing():
    code = (
        "import sys, superposition as sp; dir(sp); sp.__all__;"
        "heavy = {'jax', 'flax', 'numpy', 'matplotlib', 'transformers', 'xarray'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_toys_and_saes_load_nothing_of_language_models_or_drawing():
    code = (
        SCRIPT.format(toy=", steps=2, batch_size=8", sae=", steps=2, batch_size=8")
        + "import sys; heavy = {'flax', 'transformers', 'matplotlib', 'tokenizers', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
