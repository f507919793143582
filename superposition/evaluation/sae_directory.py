"""A grid of SAEs trained into a directory: every SAE in SAELens's format, with numbers, curves and the true dictionary.

All is written beside its place, in OUT.partial, and takes the name OUT in one rename once it is complete: a run that was
killed at any instant goes on.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from superposition._internal import atomic
from superposition._internal.lock import held
from superposition._internal.strict_json import strict_json
from superposition.activations import Batch
from superposition.activations.opened import ActivationData
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.evaluation.sae import batch_size, evaluate, held_out, shortcomings, target_l0
from superposition.sae import SAE
from superposition.storage import formats
from superposition.storage.provenance import differences, provenance, recipe
from superposition.storage.sae_runs import DICTIONARY, FORMAT, HISTORY, RESULTS, finite, read_results
from superposition.training import SAERun, Trained, loop
from superposition.training.fitting import fit_grid
from superposition.training.progress import terminal
from superposition.training.sae import bytes_per_sae, sized
from superposition.training.sae_blocks import block_size

DATA, TRAINING = "data.json", "training"


def train_saes(
    run: SAERun,
    axes: Mapping[str, Sequence[Any]],
    data: ActivationData,
    out: str | Path,
    *,
    resume: bool = False,
    examples: int = 65_536,
    memory_gb: float = 4.0,
    checkpoint_seconds: float = 30.0,
    allow_mixed: bool = False,
) -> dict[str, Any]:
    """Train an SAE at every combination of the axes, measure each one, and write all to the directory `out`.

    The directory holds a SAELens directory for each SAE, results.json, history.json and, where the truth is known, the
    true dictionary; `superposition sae show` and `sae eval` read it. run, axes, memory_gb, checkpoint_seconds and
    allow_mixed: as for `sweep`. data: what `open_activations` gives, or the like. examples: how many each SAE is
    measured on. resume: continue what a kill left in OUT.partial, or read what is complete. Returns results.json.
    Raises ConfigError for settings, StoreError for the disk, TrainingError if the only SAE of a run diverges,
    Interrupted after SIGINT, SIGTERM or SIGHUP once everything is saved.

    >>> import tempfile
    >>> import superposition as sp
    >>> from superposition.activations.opened import open_activations
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/x.npy", np.eye(4, dtype=np.float32))
    ...     data = open_activations(folder + "/x.npy")
    ...     run = sp.SAERun(sp.TopK(d_sae=4, k=1), steps=2, batch_size=4)
    ...     results = train_saes(run, {"seed": range(2)}, data, folder + "/saes")
    >>> [record["name"] for record in results["records"]]
    ['seed=0', 'seed=1']
    """
    if data.stream is None:
        raise ConfigError("SAEs are trained on a stream of activations; open the data with one")
    out = Path(os.path.abspath(out))
    work = out.with_name(f"{out.name}.partial")
    _check_place(out, resume)
    run = replace(run, sae=sized(run.sae, data.stream.source))
    axes = {name: [*values] for name, values in axes.items()}
    settings = json.loads(json.dumps({"run": recipe(run), "axes": axes, "data": data.about}))
    with loop.interruptible() as stop, held(work, out):
        if out.exists():
            results = read_results(out)
            _refuse_other(out, {k: results.get(k) for k in settings}, settings)
            shutil.rmtree(work, ignore_errors=True)
            return results
        if data.keep is not None:
            with _writing(work):
                data.keep(work)
        try:
            trained = _fit(run, axes, data, work, stop, memory_gb, checkpoint_seconds, allow_mixed)
        except ConfigError:
            if not any((work / TRAINING).glob("block-*")):  # refused before it began: leave nothing behind
                shutil.rmtree(work, ignore_errors=True)
            raise
        results = _publish(run, data, settings, trained, work, out, stop, examples)
        shutil.rmtree(work, ignore_errors=True)
    return results


def _check_place(out: Path, resume: bool) -> None:
    """ConfigError where a run cannot be written to `out`, or only continued there and resume is False."""
    for path in (out, out.with_name(f"{out.name}.partial")):
        if os.path.lexists(path) and not resume:
            raise ConfigError(f"{path} exists; give resume=True to continue it, or another out")
    if os.path.lexists(out) and not (out / RESULTS).is_file():
        raise ConfigError(f"{out} is not the directory of a run; choose another --out")


def batches_of(data: ActivationData, examples: int, width: int = 1) -> Iterable[Batch]:
    """Batches of `examples` examples in all to measure on; `width` is that of what will be computed from them."""
    if data.arrays is None:
        assert data.stream is not None
        return held_out(data.stream, examples, width, data.available)
    return _rows(*data.arrays, examples, batch_size(max(data.d_in, width)))


def refuse_other_widths(sae: SAE, data: ActivationData, name: str) -> None:
    """ConfigError, which names the SAE, before anything is measured on data of other widths than its own."""
    if sae.d_in != data.d_in:
        raise ConfigError(f"{name}: d_in is {sae.d_in}, and the activations have {data.d_in} columns")
    if sae.d_out is not None and sae.d_out != data.d_out:
        has = "none" if data.d_out is None else f"{data.d_out} columns"
        raise ConfigError(f"{name}: a transcoder to {sae.d_out} numbers, and the targets have {has}")
    if sae.d_out is None and data.d_out is not None:
        raise ConfigError(f"{name}: reconstructs its input; leave the targets out")


def _rows(x: np.ndarray, y: np.ndarray, examples: int, size: int) -> Iterator[Batch]:
    for start in range(0, min(examples, len(x)), size):
        rows = slice(start, min(start + size, examples))
        block = jnp.asarray(np.asarray(x[rows], np.float32))
        yield Batch(block, block if y is x else jnp.asarray(np.asarray(y[rows], np.float32)))


def _refuse_other(where: Path, stored: Any, wanted: Any) -> None:
    if lines := differences(stored, wanted):
        raise ConfigError(
            f"{where} was begun with other settings: {'; '.join(lines)}; give those, or another --out"
        )


def _remember(path: Path, settings: dict[str, Any]) -> None:
    """Write what the run is of, or compare with what is there."""
    if path.exists():
        try:
            stored = strict_json(path, path.read_bytes())
        except CorruptError as error:
            raise CorruptError(f"{error}; choose another --out") from error
        return _refuse_other(path.parent, stored, settings)
    temporary = path.with_name(f".{path.name}.new")  # one name: the next run writes over what a kill left
    with _writing(path):
        atomic.write_file(path, json.dumps(settings, indent=1).encode(), temporary=temporary)
    return None


def _fit(
    run: SAERun,
    axes: Mapping[str, Sequence[Any]],
    data: ActivationData,
    work: Path,
    stop: loop.Stop,
    memory_gb: float,
    checkpoint_seconds: float,
    allow_mixed: bool,
) -> list[Trained]:
    count = len(list(itertools.product(*axes.values())))
    need = bytes_per_sae(run) / 1e9
    if need > memory_gb:
        raise ConfigError(
            f"one SAE of d_sae={run.sae.d_sae} needs about {need:.3g} GB; give --memory-gb {need:.3g} or more,"
            " or a smaller d_sae or batch_size"
        )
    size = block_size(run, count, memory_gb)
    # Blocks are known by number: with another size a number would stand for other SAEs.
    _remember(work / DATA, {"data": json.loads(json.dumps(data.about)), "block": size})
    steps = run.steps * -(-count // size)
    with terminal(steps, run.batch_size, data.unit) as bar, _writing(work):
        return fit_grid(
            run,
            data.stream,
            axes,
            directory=work / TRAINING,
            memory_gb=memory_gb,
            checkpoint_seconds=checkpoint_seconds,
            progress=bar.advance,
            stop=stop,
            allow_mixed=allow_mixed,
        )


def _publish(
    run: SAERun,
    data: ActivationData,
    settings: dict[str, Any],
    trained: list[Trained],
    work: Path,
    out: Path,
    stop: loop.Stop,
    examples: int,
) -> dict[str, Any]:
    """Write everything under work/new, then rename it once."""
    assert data.stream is not None
    again = f"{work} holds what is done; run the same with --resume to continue"
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    scales = list(data.stream.scales(run.batch_size)) if run.normalize else [1.0, 1.0]
    records, history = [], {}
    for one in trained:
        if stop():
            raise stop.interrupted(again)
        name = ",".join(f"{k}={_exact(v)}" for k, v in one.settings.items())
        measured = evaluate(one.sae, one.params, batches_of(data, examples, one.sae.d_sae), data.dictionary)
        record: dict[str, Any] = {
            "name": name,
            "settings": one.settings,
            "metrics": measured.numbers,
            "fault": one.fault,
            "warnings": shortcomings(measured.numbers, target_l0(one.sae, one.settings, run.l0_target)),
            "scales": scales,
        }
        if len(one.environments) > 1:
            record["environments"] = list(one.environments)
        records.append(finite(record))
        about = {**settings, **records[-1], "provenance": provenance()}
        formats.save(
            new / name,
            one.sae,
            one.params,
            {**(data.metadata or {}), "superposition": finite(about)},
            sparsity=np.log10(measured.firing_rates + 1e-10).astype(
                np.float32
            ),  # -10 for the dead, as SAELens
        )
        history[name] = {"steps": one.steps.tolist()} | {
            term: [float(f"{v:.6g}") for v in values] for term, values in one.history.items()
        }
    if stop():
        raise stop.interrupted(again)
    results = {"superposition": FORMAT, **settings, "provenance": provenance(), "records": records}
    with _writing(out):
        for file, value in ((RESULTS, results), (HISTORY, history)):
            (new / file).write_text(json.dumps(finite(value), indent=1, allow_nan=False))
        if data.dictionary is not None:
            np.save(new / DICTIONARY, data.dictionary)
        for path in (*(p for p in new.iterdir() if p.is_file()), new):
            atomic.fsync(path)
        os.rename(new, out)
        atomic.fsync(out.parent)
    return results


def _exact(value: float) -> str:
    """A number as short as it can be said without loss."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Refusals of the system as one error."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; what was saved is kept: free space and --resume"
        ) from error
