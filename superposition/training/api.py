"""`fit` one recipe, or `sweep` a grid of them: of toy models and of SAEs, with the same options and results.

Stores and labelled results are imported where they are used: an SAE that is kept in memory needs neither xarray nor Zarr.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from superposition._internal import validate
from superposition.errors import ConfigError, TrainingError
from superposition.training import loop
from superposition.training.fitting import fit_grid
from superposition.training.progress import Watch, shown
from superposition.training.sae import SAERun
from superposition.training.toy import ToyRun
from superposition.training.trained import Trained

if TYPE_CHECKING:
    from superposition.training.sweeps import Sweep

Place: TypeAlias = str | os.PathLike[str]


def fit(
    run: ToyRun | SAERun,
    data: Any = None,
    *,
    seed: int = 0,
    out: Place | None = None,
    resume: bool = False,
    memory_gb: float = 4.0,
    progress: Watch = True,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> Trained:
    """Train one model by its recipe.

    data: of an `SAERun` without data of its own, a stream of activations or an array (examples, d_in). seed: decides
    every random number but those of the data. out: the directory to write the model to (`load` reads it); a run that
    was stopped or killed continues from OUT.partial with resume=True, bit for bit, and one that is done is read.
    progress: True shows a bar in a terminal or a notebook, False none; a function is told how many more steps are done.
    In an environment that would change bits (`provenance.environment`) continuing is refused unless allow_mixed.
    Raises ConfigError for what does not fit, TrainingError where training stops being finite, StoreError for the disk,
    Interrupted after SIGINT, SIGTERM or SIGHUP once everything is saved.

    >>> import superposition as sp
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.1), steps=20, batch_size=64))
    >>> sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=1), toy.activations(), steps=20, batch_size=64)).W_dec.shape
    (8, 2)
    """
    run = _checked(run, data)
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    work = None
    if out is not None:
        out = Path(out)
        if os.path.lexists(out):
            if not resume:
                raise ConfigError(f"{out} exists; give resume=True to read or continue it, or another out")
            from superposition.training.files import open_trained

            return open_trained(out, run, seed)
        work = out.with_name(f"{out.name}.partial")
    options: dict[str, Any] = {
        "resume": resume,
        "memory_gb": memory_gb,
        "progress": progress,
        "checkpoint_seconds": checkpoint_seconds,
        "allow_mixed": allow_mixed,
    }
    if isinstance(run, ToyRun):
        from superposition.training.toy_results import toy_sweep
        from superposition.training.toy_sweep import sweep_grid

        one = toy_sweep(
            sweep_grid(run, {"seed": (seed,)}, out=work, **options | {"progress": shown(progress)}),
            run,
            {"seed": (seed,)},
        )[0]
        if one.fault is not None:
            raise TrainingError(f"{one.fault}; lower the learning rate")
    else:
        one = _one_sae(run, seed, work, **options)
    if out is not None and work is not None:
        from superposition.training.files import save

        save(one, out)
        shutil.rmtree(work, ignore_errors=True)
    return one


def sweep(
    run: ToyRun | SAERun,
    axes: Mapping[str, Sequence[Any]],
    data: Any = None,
    *,
    out: Place | None = None,
    resume: bool = False,
    memory_gb: float = 4.0,
    progress: Watch = True,
    start: Sequence[Trained] | None = None,
    at_steps: Sequence[int] | None = None,
    share_draws: bool = True,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> "Sweep":
    """Train a recipe at every combination of `axes`; what can share a program does.

    axes: name -> values, in the order of the results. Of a `ToyRun` any field of the run, its model, law and optimizer:
    density, sparsity, importance, importance_base, seed and the optimizer's floats share one compilation, others take
    one a value. Of an `SAERun` seed, any float field of the architecture or optimizer, k, width and l0_target share one,
    and steps, batch_size and the other fields of the architecture, but for its shapes, take one a value.
    out: a Zarr store, which `load` reads and resume=True continues after a kill at any instant, bit for bit. Each model
    of it can be saved alone (`save`). at_steps: keep toy models at these steps of their path (an axis
    `step`), over an axis of seeds alone. start: toy models to train on by `run`, each with its own recipe's density,
    afresh in the optimizer (an axis `start`), over one seed. share_draws: models of one seed share one draw across
    other axes.
    The other arguments are as for `fit`, and so are the errors, but a model that stops being finite raises none.

    >>> import superposition as sp
    >>> run = sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64)
    >>> toys = sp.sweep(run, {"density": (0.1, 0.5), "seed": range(3)})
    >>> toys.shape
    (2, 3)

    SAEs go into a store that `load` reads:

    >>> import tempfile
    >>> saes = sp.SAERun(sp.TopK(d_sae=8, k=1), toys[0].activations(), steps=20, batch_size=64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = sp.sweep(saes, {"k": (1, 2)}, out=folder + "/saes.zarr")
    ...     sp.load(folder + "/saes.zarr")["W_dec"].dims
    ('k', 'd_sae', 'd_in')
    """
    run = _checked(run, data)
    options: dict[str, Any] = {
        "resume": resume,
        "memory_gb": memory_gb,
        "checkpoint_seconds": checkpoint_seconds,
        "allow_mixed": allow_mixed,
    }
    if isinstance(run, SAERun):
        if start is not None or at_steps is not None or not share_draws:
            raise ConfigError("start, at_steps and share_draws are for toy models; leave them out")
        from superposition.training.sae_results import sae_sweep
        from superposition.training.sae_sweep import sweep_saes

        return sae_sweep(sweep_saes(run, axes, out=out, progress=shown(progress), **options))
    if start is None and at_steps is None:
        from superposition.training.toy_results import toy_sweep
        from superposition.training.toy_sweep import sweep_grid

        validate.truth("share_draws", share_draws)
        results = sweep_grid(run, axes, out=out, share_draws=share_draws, progress=shown(progress), **options)
        return toy_sweep(results, run, {name: validate.plain([*values]) for name, values in axes.items()})
    if out is not None or resume or (start is not None and at_steps is not None):
        raise ConfigError("start and at_steps go without out, resume and each other")
    if at_steps is not None:
        return _path(run, axes, at_steps, memory_gb)
    assert start is not None
    return _go_on(run, axes, start)


def _checked(run: Any, data: Any) -> ToyRun | SAERun:
    """The run, an SAE's with its data; ConfigError for what is none."""
    validate.instance("run", run, (ToyRun, SAERun))
    if isinstance(run, ToyRun):
        if data is not None:
            raise ConfigError("a toy model draws its examples from its recipe's features; leave data out")
        return run
    run = run if data is None else replace(run, data=data)
    if run.data is None:
        raise ConfigError(
            "SAEs are trained on data: give them to the run, SAERun(sae, data), or to this function"
        )
    return run


def _one_sae(
    run: SAERun, seed: int, work: Path | None, *, resume: bool, progress: Watch, **more: Any
) -> Trained:
    """One SAE, or Interrupted once what is done is saved."""
    if work is not None and work.exists() and not resume:
        raise ConfigError(f"{work} exists; give resume=True to continue it, or another out")
    with loop.interruptible() as stop, shown(progress)(run.steps) as bar:
        (one,) = fit_grid(
            run, run.data, {"seed": (seed,)}, directory=work, progress=bar.advance, stop=stop, **more
        )
    if stop():
        raise stop.interrupted(f"{work or 'nothing'} is saved; run again with resume=True to continue")
    return one


def _path(run: ToyRun, axes: Mapping[str, Sequence[Any]], steps: Sequence[int], memory_gb: float) -> "Sweep":
    from superposition.training import record
    from superposition.training.sweeps import STEP
    from superposition.training.toy_results import toy_sweep

    if not isinstance(axes, Mapping) or set(axes) != {"seed"}:
        raise ConfigError("with at_steps the one axis is seed, as {'seed': range(10)}")
    results = record.record(run, seeds=axes["seed"], steps=steps, memory_gb=memory_gb)
    return toy_sweep(results, run, {"seed": tuple(axes["seed"]), STEP: tuple(map(int, steps))})


def _go_on(run: ToyRun, axes: Mapping[str, Sequence[Any]], start: Sequence[Trained]) -> "Sweep":
    from superposition.training import refine
    from superposition.training.sweeps import Sweep
    from superposition.training.toy_results import START, toy_at

    if not isinstance(axes, Mapping) or set(axes) != {"seed"} or len(axes["seed"]) != 1:
        raise ConfigError("with start the one axis is a seed, as {'seed': (0,)}")
    if not isinstance(start, Sequence) or not all(
        isinstance(one, Trained) and not one.is_sae for one in start
    ):
        raise ConfigError(
            "start must be trained toy models, as a sweep, or a list of what `fit` and `best` give"
        )
    results = refine.refined(run, start, seed=axes["seed"][0])
    named: dict[str, Any] = {START: tuple(range(len(start))), "seed": tuple(axes["seed"])}

    def point(index: tuple[int, ...]) -> Trained:
        one, before = toy_at(results, run, named, index), start[index[0]]
        law = run.features if before.recipe is None else before.recipe.features  # type: ignore[union-attr]
        return replace(one, recipe=replace(run, features=law))

    return Sweep(named, point, results["loss"].values, lambda: results)
