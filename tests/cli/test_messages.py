"""What the command line says of a slip: one line, what was got, what is accepted, and the mend, without JAX."""

import numpy as np
import pytest

from superposition._internal import registry
from superposition.cli import main
from superposition.cli.command_line import checked, tree
from superposition.errors import ConfigError
from tests.support.processes import python

PLANTED = "sae train --planted orthogonal"
# A command line and what must be in the answer; `!` before what must not be.
SLIPS = """
swep --n-features 5 | no command 'swep'; did you mean sweep?
sae trian | no command 'trian'; did you mean train?
llm trainsae | did you mean train-sae?
--steps 5 sweep | --steps stands before the command
sweep --densities 0.1 | did you mean --density? | !sae train | !--density {None}
sweep --sparsities 0.9 | did you mean --sparsity?
sweep --seeds 3 | did you mean --seed? | was a count | --seed 0 1 2
sweep --first-seed 3 | did you mean --seed? | was a count | --seed 0 1 2
sweep --seed 0..9999999 | a range of 1 to 1000000 numbers
sweep --seed 9..0 | the lower first
sweep --learning-rat 1 | did you mean --learning-rate?
sweep --featurs x | did you mean --features
sweep --zzz 1 | superposition sweep has no --zzz (see
sweep -steps 5 | flags begin with two hyphens
sweep fast | takes flags alone
sae train --seeds 3 | did you mean --seed? | --seed 0 1 2
sae train --densities 0.5 | did you mean --density?
sae train --sparsities 0.5 | did you mean --density (density = 1 - sparsity)?
sae train --sparsity tanh | jumprelu's loss is --sparsity-loss
llm train-sae --seeds 3 | did you mean --seed?
page --densities 0.5 | did you mean --density?
steer --seeds 0 1 | did you mean --seed?
sweep --steps 10 20 | --steps takes one number; got 10 20
sweep --steps | --steps needs an integer
sweep --steps 1e4x | --steps takes an integer; got '1e4x' | !base 10
sweep --steps 2.5 | --steps takes an integer; got '2.5'
sweep --steps 1e400 | --steps takes an integer; got '1e400'
sweep --steps inf | --steps takes an integer
sweep --steps 10,000 | got '10,000'
sweep --density 1,0.3,0.1 | got '1,0.3,0.1' | separated by spaces: --density 1 0.3 0.1
sweep --density [1,0.3] | separated by spaces: --density 1 0.3
sweep --density 1; | got '1;'
sweep --learning-rate 0,5 | decimals take a point: --learning-rate 0.5
sweep --density 90% | a share, not per cent: --density 0.9
sweep --density % | got '%'
sweep --density many | --density takes a number; got 'many'
sae train --penalty-warmup 0,5 | decimals take a point: --penalty-warmup 0.5 | !lists
sae train --k 1,2 | separated by spaces: --k 1 2
steer --strength 1 2 runs/x | got 'runs/x' | go before the flags
sweep --out X --sparsity 1.0 | sparsity must lie in [0, 1); got 1
sweep --out X --density 90 | density must lie in (0, 1]; got 90 | a share, not per cent: 0.9? | density = 1 - sparsity
sweep --out X --density 1.0000001 | got 1.0000001
sweep --out X --density 0.5 --sparsity 0.5 | not both
sweep --out X --density 0.5 --law density=zipf | not both
sweep --out X --seed 1 1 | seed lists 1 twice
sweep --out X --steps -5 | steps must be an integer >= 1; got -5
sweep --out X --batch-size 0 | batch_size must be
sweep --out X --n-hidden 0 | n_hidden must be
sweep --out X --model relu_output | did you mean relu-output?
sweep --out X --features sparse | must be one of sparse-uniform
sweep --out X --objective guess | sampled, exact
sweep --out X --schedule step | constant, linear, cosine
sweep --out X --memory-gb 0 | memory_gb must lie in (0, inf)
sweep --out HERE | exists; give --resume
sweep | --out
PLANTED --out X --architecture top-k | did you mean topk? | !identity
PLANTED --out X --sparsity 0.9 | did you mean --density (density = 1 - sparsity)? | --sparsity-loss
PLANTED --out X --steps 0 | steps must be
PLANTED --out X --batch-size 1 | batch_size must be
PLANTED --out HERE | exists; give --resume
PLANTED | --out
sae train --out X | exactly one of --toy, --planted, --activations
sae train --out X --planted orthogonl | did you mean orthogonal?
sae train --out X --toy none.zarr | none.zarr: no such file
sae train --out X --toy none.zarr --density 90 | share
sae train --out X --activations none.npy | none.npy: no such file
sae train --out X --planted orthogonal --density 0.1 | goes with --toy
sae eval none --planted orthogonal | none: no such file
sae convert none X | none: no such file
sae convert HERE X --to saelans | did you mean saelens?
sae show none | none: no such file
show none | none: no such file
show HERE | HERE is not a Zarr store
page | --out
page --out X --toy none | none: no such file
page none --out X | none: no such file
serve | --pages
serve --pages none | none: no such file
steer | --latent
steer none --latent 3 | none: no such file
ablate | --prompt
llm generate --bos --no-bos | --bos and --no-bos contradict each other; give one of them
steer --latent 1 --no-keep-bos --keep-bos | --no-keep-bos and --keep-bos contradict each other
llm train-sae --out HERE --resume | HERE is not the directory of a run; choose another --out
llm train-sae | --out
llm train-sae --out X --steps 0 | steps must be
llm train-sae --out X --architecture rleu | did you mean relu?
llm train-sae --out X --cache none | none: no such file
llm activations | --out
llm eval-sae none | none: no such file
"""


@pytest.mark.parametrize("case", SLIPS.strip().splitlines())
def test_a_slip_is_answered_in_one_line_that_mends_it(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "HERE").mkdir()
    words, *expected = case.split(" | ")
    status = main.main(words.replace("PLANTED", PLANTED).split())
    printed, err = capsys.readouterr()
    assert (status, printed) == (2, "")
    assert err.startswith("superposition: error: ")
    assert err.count("\n") == 1
    assert len(err) < 450
    for part in expected:
        if part.startswith("!"):
            assert part[1:] not in err
        else:
            assert part in err
    assert list(tmp_path.iterdir()) == [tmp_path / "HERE"]


def test_no_slip_waits_for_jax(tmp_path):
    """All of them in one process, at the end of which JAX must not be there."""
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    assert cli.main(line.split()) == 2, line\n"
        "    heavy = {'jax', 'xarray', 'zarr', 'flax', 'transformers'} & set(sys.modules)\n"
        "    assert not heavy, (line, heavy)\n"
    )
    (tmp_path / "HERE").mkdir()
    lines = "\n".join(c.split(" | ")[0].replace("PLANTED", PLANTED) for c in SLIPS.strip().splitlines())
    done = python("-c", code, input=lines, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("sweep --steps 1e4", "sweep --steps 10000"),
        ("sweep --steps=1_000", "sweep --steps 1000"),
        ("sweep --steps 2.0", "sweep --steps 2"),
        ("sweep --n_features 5 6", "sweep --n-features 5 6"),
        ("sweep --learning-rate 1e-3 .5 -1", "sweep --learning-rate 1e-3 .5 -1"),
        ("sweep --no-signed", "sweep --signed False"),
        ("sweep --signed --seed 0..3 7", "sweep --signed True --seed 0 1 2 3 7"),
        ("steer --latent 3 --prompt 0..3", "steer --latent 3 --prompt 0..3"),
        ("sae eval --examples 1e3 runs/a", "sae eval --examples 1000 runs/a"),
        ("sae train --density None", "sae train --density None"),
        ("sae train --cell density=0.05 seed=3", "sae train --cell density=0.05 seed=3"),
        ("sae convert a b --from saelens", "sae convert a b --from saelens"),
        ("steer a --strength -4 -2 0", "steer a --strength -4 -2 0"),
        ("llm generate --prompt -5 --n 3", "llm generate --prompt -5 --n 3"),
    ],
)
def test_what_can_be_understood_is(given, understood):
    path = main.command_named(given.split())
    words = given.removeprefix(path).split()
    assert [*path.split(), *checked(main.COMMANDS[path].settings, words, "x")] == understood.split()


def test_the_table_of_flags_is_the_parsers():
    """Every flag that the parser's help names is known, and no other."""
    for command in main.COMMANDS.values():
        for flag, kind in tree(command.settings).flags.items():
            if kind.kind is bool:
                continue
            value = "2" if kind.kind is not None else "None" if kind.optional else "x"
            assert checked(command.settings, [flag, value], "x") == [flag, value]


def test_a_bare_command_shows_its_help_and_version_is_said(capsys):
    for words in ([], ["sae"], ["llm"]):
        assert main.main(words) == 0
        assert "usage: superposition" in capsys.readouterr().out
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("superposition 0.")


def test_names_that_are_read_from_sources_are_the_registries():
    from superposition import features, sae, toy
    from superposition.activations import toy as activations
    from superposition.storage import formats
    from superposition.training import optimizer
    from superposition.training import toy as toy_run

    for module, room, name in (
        (toy, "toy", "TOY_MODELS"), (features, "features", "FEATURES"), (features, "features", "PLANTED"),
        (sae, "sae", "ARCHITECTURES"), (formats, "storage.formats", "FORMATS"), (toy_run, "training.toy", "OBJECTIVES"),
        (toy_run, "training.toy", "SAMPLINGS"),
        (optimizer, "training.optimizer", "SCHEDULES"), (activations, "activations.toy", "TARGETS"),
    ):  # fmt: skip
        assert registry.listed(room, name) == tuple(getattr(module, name)), name
    assert set(sae.BASELINES) == {name for name, kind in sae.ARCHITECTURES.items() if not kind.trains}


def test_show_and_sae_show_name_each_other(tmp_path, capsys):
    toy, run = tmp_path / "a.zarr", tmp_path / "run"
    assert main.main(f"sweep --n-features 3 --n-hidden 2 --steps 2 --batch-size 8 --out {toy}".split()) == 0
    world = "--planted orthogonal --n-features 4 --d-in 4 --steps 2 --batch-size 8 --examples 64 --k 1"
    assert main.main(f"sae train {world} --out {run}".split()) == 0
    capsys.readouterr()
    for words, said in (
        (
            f"show {run}",
            f"is a run of SAEs, not a sweep of toy models; what opens it is superposition sae show {run}",
        ),
        (
            f"show {run}/seed=0",
            f"is an SAE, not a sweep of toy models; what opens it is superposition sae show {run}/seed=0",
        ),
        (
            f"sae show {toy}",
            f"is a sweep of toy models, not an SAE or a run of SAEs; what opens it is superposition show {toy}",
        ),
        (f"sae eval {toy} --toy {toy}", "is a sweep of toy models"),
        (f"sae train --toy {run} --out {tmp_path}/x", "is a run of SAEs"),
        (f"page {run}/seed=0 --toy {run} --out {tmp_path}/x", "is a run of SAEs"),
        (f"steer {toy} --latent 1", "is a sweep of toy models"),
    ):
        assert main.main(words.split()) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    status = main.main(["steer", str(run / "seed=0"), "--latent", "1"])
    err = capsys.readouterr().err
    assert (status, err.count("\n")) == (2, 1)
    assert "is an SAE of the planted world orthogonal, which no language model has" in err


def test_a_sweep_without_need_of_superposition_says_so(tmp_path, capsys):
    words = "--n-features 3 --n-hidden 3 --steps 1 --batch-size 8"
    assert main.main(f"sweep {words} --out {tmp_path}/a.zarr".split()) == 0
    assert "n_hidden=3 is no less than n_features=3" in capsys.readouterr().err


def test_an_importance_that_overflows_leaks_no_warning(tmp_path, capsys):
    words = f"sweep --importance-base 2 --n-features 2000 --out {tmp_path}/a.zarr".split()
    assert main.main(words) == 2  # warnings are errors here
    assert "overflows float32 at n_features=2000" in capsys.readouterr().err


def test_parse_itself_refuses_nested_flags_too():
    from experiments.language_model import feature_pages

    with pytest.raises(ConfigError, match=r"has no --toy\.step; did you mean --toy\.steps"):
        main.parse(feature_pages.Config, ["--toy.step", "3"], prog="x")
    assert main.parse(feature_pages.Config, ["--toy.steps", "1e2"], prog="x").toy.steps == 100
    assert np.isfinite(feature_pages.Config().toy.steps)
