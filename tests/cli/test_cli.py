import os
import shlex
from dataclasses import fields

import pytest

from superposition.cli import main
from superposition.cli.command_line import tree
from superposition.cli.help import examples_of
from superposition.features import FEATURES, Zipf
from superposition.toy import TOY_MODELS
from superposition.training import open_sweep
from superposition.training.optimizer import AdamW
from superposition.training.toy import ToyRun
from superposition.training.toy_results import stored
from tests.support.processes import python

HEADINGS = [
    "Arguments",
    "Model",
    "SAE",
    "Text",
    "Activations",
    "Data",
    "Architecture",
    "Training",
    "Steering",
]
HEADINGS += ["Ablation", "Pages", "Output", "Options"]
TINY = ["--n-features", "2", "--n-hidden", "1", "--steps", "20", "--batch-size", "16"]


def run(*arguments, capsys):
    status = main.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_help_does_not_import_jax():
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        "for words in ([], *(path.split() for path in sys.stdin.read().splitlines())):\n"
        "    assert cli.main([*words, '--help']) == 0\n"
        "heavy = {'jax', 'numpy', 'xarray', 'zarr', 'matplotlib', 'optax'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = python("-c", code, input="\n".join(main.COMMANDS))
    assert done.returncode == 0, done.stderr
    assert "--importance-base" in done.stdout


@pytest.mark.parametrize(("path", "command"), main.COMMANDS.items())
def test_help_has_every_flag_under_a_heading_and_examples_that_are_read(path, command, capsys):
    status, shown, errors = run(*path.split(), "--help", capsys=capsys)
    assert (status, errors) == (0, "")
    headings = [line[:-1] for line in shown.splitlines() if line in {f"{name}:" for name in HEADINGS}]
    assert headings == [name for name in HEADINGS if name in headings]
    assert headings[-1] == "Options"
    leaf = tree(command.settings)
    assert [flag for flag in leaf.flag_of.values() if f"\n  {flag}" not in shown] == []
    assert not {"None", "(default", "()", "{"} & set(shown.split())
    assert "default:" not in shown
    examples = examples_of(command.settings)
    assert examples
    for line in examples:
        assert f"\n  {line}\n" in shown
        assert f"{line} ".startswith(f"superposition {path} ")
        main.read(shlex.split(line)[1:])


def test_every_setting_of_a_toy_run_has_a_flag():
    """Parts of a law and its own seed are given by --law; what a run is of has a flag of its name, or none."""
    decided = {"notebook_instances", "magnitudes", "optimizer", "loss"}
    recipes = [*TOY_MODELS.values(), *FEATURES.values(), AdamW, ToyRun]
    own = {field.name for kind in recipes for field in fields(kind)} - decided
    flags = {field.name for field in fields(main.SweepConfig)}
    assert own <= flags
    assert flags - own == {"law", "memory_gb", "out", "resume", "allow_mixed"}


def test_importing_the_library_draws_nothing_and_loads_no_bridge():
    code = "import sys, superposition; superposition.ReLUOutput\nassert 'jax' in sys.modules\n"
    code += "assert not {'matplotlib', 'torch', 'transformers', 'flax', 'xarray', 'zarr'} & set(sys.modules)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_sweep_then_show(tmp_path, capsys):
    out = str(tmp_path / "a.zarr")
    densities = ["--density", "1", "0.1", "--seed", "0", "1"]
    status, printed, _ = run("sweep", *TINY, *densities, "--out", out, capsys=capsys)
    assert status == 0
    assert "superposition show" in printed
    status, printed, _ = run("show", out, capsys=capsys)
    assert status == 0
    pictures = [line for line in printed.splitlines() if line.endswith(".png")]
    assert pictures
    assert all(os.path.getsize(p) > 1000 for p in pictures)
    status, _, errors = run("sweep", *TINY, *densities, "--out", out, capsys=capsys)
    assert status == 2
    assert "exists" in errors
    assert run("sweep", *TINY, *densities, "--out", out, "--resume", capsys=capsys)[0] == 0
    status, _, errors = run(
        "sweep", *TINY, "--density", "1", "0.2", "--seed", "0", "1", "--out", out, "--resume", capsys=capsys
    )
    assert status == 2
    assert "density" in errors


def test_a_sweep_without_an_axis_of_densities_is_shown(tmp_path, capsys):
    out = str(tmp_path / "a.zarr")
    options = ["--features", "hierarchical", "--no-exclusive", "--law", "density=zipf", "--out", out]
    assert run("sweep", *TINY, "--n-features", "3", *options, capsys=capsys)[0] == 0
    law = stored(open_sweep(out))[0].features
    assert (law.exclusive, law.density) == (False, Zipf())
    assert run("show", out, capsys=capsys)[0] == 0
    assert (tmp_path / "a.figures" / "columns.png").stat().st_size > 1000


def test_settings_of_laws_and_of_the_optimizer_are_axes(tmp_path, capsys):
    out = str(tmp_path / "a.zarr")
    axes = ["--features", "correlated", "--n-sets", "1", "2", "--b1", "0.8", "0.9", "--seed", "3..4", "7"]
    assert run("sweep", *TINY, *axes, "--sparsity", "0.5", "--out", out, capsys=capsys)[0] == 0
    results = open_sweep(out)
    assert results["loss"].dims == ("sparsity", "n_sets", "b1", "seed")
    assert results["seed"].values.tolist() == [3, 4, 7]


@pytest.mark.parametrize("model", ["relu-hidden", "absolute-value"])
def test_models_with_a_hidden_layer_sweep_and_show(tmp_path, capsys, model):
    out = str(tmp_path / "a.zarr")
    options = ["--model", model, "--signed", "--density", "1", "0.1", "--seed", "0", "1", "--out", out]
    assert run("sweep", *TINY, *options, capsys=capsys)[0] == 0
    status, printed, _ = run("show", out, capsys=capsys)
    assert status == 0
    assert "best loss" in printed
    assert "superposed" not in printed
    assert (tmp_path / "a.figures" / "neurons.png").stat().st_size > 1000
    arguments = ["--toy", out, "--cell", "density=0.1", "--architecture", "topk", "--k", "1"]
    status, _, errors = run("sae", "train", *arguments, "--out", str(tmp_path / "sae"), capsys=capsys)
    assert status == 2
    assert "takes a model with tied weights" in errors
    options[-1] = str(tmp_path / "b.zarr")
    status, _, errors = run("sweep", *TINY, *options, "--init", "anthropic", capsys=capsys)
    assert status == 2
    assert ("relu-hidden has no init" if model == "relu-hidden" else "one of open, xavier") in errors


def test_show_draws_a_phase_diagram(tmp_path, capsys):
    out = str(tmp_path / "a.zarr")
    axes = ["--density", "1", "0.1", "0.01", "--importance-base", "0.1", "1", "10"]
    assert run("sweep", *TINY, *axes, "--out", out, capsys=capsys)[0] == 0
    status, printed, _ = run("show", out, "--figures", str(tmp_path / "pictures"), capsys=capsys)
    assert status == 0
    assert (tmp_path / "pictures" / "phase_diagram.png").exists()
    assert "phase_diagram.png" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--n-features", "0"], "n_features"),
        (["--n-hidden", "0"], "n_hidden"),
        (["--density", "0"], "density"),
        (["--density", "1.5"], "density"),
        (["--density", "nan"], "density"),
        (["--density", "0.5", "--sparsity", "0.5"], "not both"),
        (["--sparsity", "1"], "sparsity"),
        (["--importance", "1", "-1"], "importance"),
        (["--importance", "1", "nan"], "importance"),
        (["--importance", "1", "2", "3"], "importance"),
        (["--importance-base", "-1"], "importance_base"),
        (["--seed", "4294967296"], "seed"),
        (["--seed", "-1"], "seed"),
        (["--seed"], "seed"),
        (["--seed", "1", "1"], "seed"),
        (["--seed", "3..1"], "seed"),
        (["--seeds", "2"], "--seed 0 1 2"),
        (["--first-seed", "2"], "--seed 0 1 2"),
        (["--batch-size", "0"], "batch_size"),
        (["--steps", "0"], "steps"),
        (["--model", "tanh"], "linear, relu-output"),
        (["--features", "gaussian"], "sparse-uniform"),
        (["--schedule", "step"], "constant, linear, cosine"),
        (["--objective", "guess"], "sampled, exact"),
        (["--init", "zero"], "xavier, anthropic"),
        (["--memory-gb", "0"], "memory_gb"),
        (["--learning-rate", "-1"], "learning_rate"),
        (["--learning-rate", "nan"], "learning_rate"),
        (["--features", "correlated", "--n-sets", "3"], "n_sets"),
        (["--model", "relu-hidden", "--objective", "exact"], "hidden activation"),
        (["--seed", "many"], "--seed"),
        (["--sedes", "3"], "--sedes"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, arguments, said):
    out = tmp_path / "a.zarr"
    status, printed, errors = run("sweep", *TINY, "--out", str(out), *arguments, capsys=capsys)
    assert status == 2
    assert errors.startswith("superposition: error: ")
    assert errors.count("\n") == 1
    assert said in errors
    assert printed == ""
    assert not out.exists()


def test_missing_out_and_missing_results(tmp_path, capsys):
    status, _, errors = run("sweep", *TINY, capsys=capsys)
    assert (status, "--out" in errors) == (2, True)
    status, _, errors = run("show", str(tmp_path / "none.zarr"), capsys=capsys)
    assert (status, "not a Zarr store" in errors) == (2, True)


def test_unwritable_out_is_an_error_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status, _, errors = run("sweep", *TINY, "--out", str(tmp_path / "file" / "a.zarr"), capsys=capsys)
    assert status == 1
    assert "choose another --out" in errors
    assert errors.count("\n") == 1
    status, _, errors = run("sweep", *TINY, "--out", "/proc/nowhere/a.zarr", capsys=capsys)
    assert (status, "choose another --out" in errors) == (1, True)
