"""What `energy_levels` trains and measures."""

from itertools import pairwise

import numpy as np
import optax
import xarray as xr

from experiments.lab.claim import Claim, Result, Source, at_least, less_than
from experiments.toy_models.energy_levels.config import FIRST_FRAME, Config
from superposition import AdamW, ReLUOutput, SparseUniform, ToyRun, geometry
from superposition.geometry.dynamics import Jump, jumps, plateaus, visits
from superposition.theory.kgons import digon_levels, kgon_levels
from superposition.training.record import record

ONSET = 0.02  # of training: falls before it are the start, not jumps between levels
AT_LEVEL = 0.005  # digon levels lie 3 % apart
POLYGON_AT_LEVEL = 0.05


def _record_uniform(config: Config) -> xr.Dataset:
    recipe = ToyRun(
        ReLUOutput(config.n_features, config.n_hidden, init="anthropic"),
        SparseUniform(density=config.density),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    frames = np.linspace(0, config.steps, config.frames + 1).astype(int)
    return record(recipe, seeds=range(config.seeds), steps=frames.tolist())


def uniform(config: Config) -> Result:
    """Record runs of the uniform setup, find their jumps, and hold their plateaus against exact levels."""
    data = _record_uniform(config)
    W, loss = data["W"].values, data["loss"].values
    D = geometry.dimensionality(W)
    levels = digon_levels(config.n_features, config.n_hidden, config.density)
    ends = [geometry.recognise(w).name for w in W[:, -1]]
    found = [jumps(d, row) for d, row in zip(D, loss, strict=True)]
    later = [[j for j in js if j.first >= ONSET * config.frames] for js in found]
    digons = [s for s, name in enumerate(ends) if name in (f"{config.n_hidden} digons", "digon")]
    # The most jumps; of those runs, the one that stayed longest at a level before its last.
    shown = max(
        digons or range(len(ends)), key=lambda s: (len(found[s]), max((j.first for j in found[s]), default=0))
    )
    between = [(s, *_levels_of(loss[s], j, levels)) for s in digons for j in later[s]]
    true = [b for b in between if b[1] >= 0 and b[2] > b[1]]
    end_off = np.abs(loss[digons, -1] / levels[-1] - 1) if digons else np.array([np.inf])
    counts = [len(found[s]) for s in digons]
    last = max(later[shown], key=lambda j: j.drop, default=None)
    claims = [
        Claim(
            "F14",
            "in a run that ends all-digon, dimensionalities jump where the loss drops: two or more events in which a D_i moves "
            "by over 0.1 within 1 % of training and the loss falls over 5 times as fast as usual",
            "sudden drops of the loss correspond to dimensionalities jumping from one value to another",
            f"the run shown (seed {shown}): {len(found[shown])} events, {len(later[shown])} of them after the first 2 % of "
            f"training; all {len(digons)} all-digon runs of {config.seeds}: {counts} events",
            (at_least(len(found[shown]), 2), bool(digons)),
            source=Source.PAPER,
        ),
        Claim(
            "F14",
            "the same, of most all-digon runs, leaving out the first 2 % of training: one such jump or more",
            "not asked",
            f"{sum(len(later[s]) > 0 for s in digons)} of {len(digons)} all-digon runs",
            2 * sum(len(later[s]) > 0 for s in digons) > len(digons) > 0,
        ),
        Claim(
            "F14",
            "levels are exact: plateaus before and after a jump are configurations with a different number of features stored "
            f"(loss within {100 * AT_LEVEL:g} % of its exact value for k stored, the nearest such level)",
            "energy levels, by analogy",
            f"{len(true)} of {len(between)} jumps of all-digon runs start and end at a level, by features stored: "
            f"{sorted({(int(a), int(b)) for _, a, b in true})}"
            + (f"; the largest of the run shown: loss {_at(loss[shown], last)}" if last else ""),
            2 * len(true) > len(between) > 0,
            source=Source.READING,
        ),
        Claim(
            "F14",
            "how far training ends from the best configuration known, the exact all-digon level (within 1 %)",
            "not stated",
            f"all-digon runs end {100 * end_off.min():.2f} to {100 * end_off.max():.2f} % above it (constant rate, batches of "
            f"{config.batch_size}); {config.seeds - len(digons)} of {config.seeds} runs end elsewhere: "
            f"{sorted(set(ends) - {ends[d] for d in digons}) or 'none'}",
            less_than(end_off.max(), 0.01),
        ),
    ]
    arrays = {
        "step": data["step"].values,
        "D": D[shown],
        "loss": loss[shown],
        "W": W[shown, -1],
        "losses": loss[:, -1],
    }
    arrays |= {"levels": levels, "jumps": np.array([(j.first, j.last) for j in later[shown]]).reshape(-1, 2)}
    return Result(
        config, claims, arrays, {"seed_shown": shown, "ends": ends, "events": [len(f) for f in found]}
    )


def _levels_of(loss: np.ndarray, jump: Jump, levels: np.ndarray) -> tuple[int, int]:
    """Features stored at the last level visited before a jump's end and the first after its start, -1 for none."""
    stays = visits(loss, levels, within=AT_LEVEL, least=2)
    before = [v.level for v in stays if v.first <= jump.first]
    after = [v.level for v in stays if v.last >= jump.last]
    return (before[-1] if before else -1), (after[0] if after else -1)


def _at(loss: np.ndarray, jump: Jump) -> str:
    return f"{loss[jump.first]:.4f} -> {loss[jump.last]:.4f}"


def polygons(config: Config) -> Result:
    """Record runs with one active feature at a time, and hold their plateaus against k-gon levels."""
    n, p = config.polygon_features, config.polygon_density
    recipe = ToyRun(
        ReLUOutput(n, 2, init="anthropic", notebook_instances=config.start_instances),
        SparseUniform(density=p),
        # An event is rare, 1 - (1 - p)^n, and the gradient small with it.
        optimizer=optax.sgd(config.polygon_learning_rate),
        steps=config.polygon_steps,
        batch_size=config.batch_size,
    )
    frames = np.unique(np.geomspace(FIRST_FRAME, config.polygon_steps, config.polygon_frames).astype(int))
    data = record(recipe, seeds=range(config.polygon_seeds), steps=frames.tolist())
    loss = data["loss"].values
    levels = kgon_levels(n, p)
    values, sides = np.array(list(levels.values())), np.array(list(levels))
    ends = [geometry.recognise(w).name for w in data["W"].values[:, -1]]
    flat = [plateaus(frames, row) for row in loss]
    off = np.array([np.abs(f.loss / values - 1).min() for fs in flat for f in fs])
    at = [sides[np.abs(f.loss / values - 1).argmin()] for fs in flat for f in fs]
    near = off < POLYGON_AT_LEVEL
    order = [
        [int(sides[v.level]) for v in visits(row, values, within=POLYGON_AT_LEVEL, least=2)] for row in loss
    ]
    sorted_up = [all(a <= b for a, b in pairwise(o)) for o in order]
    final = np.abs(loss[:, -1, None] / values - 1).min(1)
    # How often a loss anywhere between the first and the last level would be called near one.
    low, high = np.log(values.min()), np.log(values.max())
    grid = np.exp(np.linspace(low, high, 4001))
    chance = float((np.abs(grid[:, None] / values - 1).min(1) < POLYGON_AT_LEVEL).mean())
    claims = [
        Claim(
            "Chen et al. 2023",
            "with one feature active at a time training slows down at the losses of k-gons: plateaus on the way are within 5 % "
            "of an exact level, more often than by chance (twice as often)",
            "plateaus of SGD are k-gon critical points",
            f"{int(near.sum())} of {len(near)} plateaus of {len(loss)} runs, at k = "
            f"{sorted({int(k) for k in np.array(at)[near]})}; {100 * chance:.0f} % of losses are that near by chance",
            len(near) > 0 and bool(near.mean() > 2 * chance),
            source=Source.READING,
        ),
        Claim(
            "Chen et al. 2023",
            "levels are visited in order, from fewer stored features to more",
            "transitions go from 4- to 5- to 6-gons",
            f"{sum(sorted_up)} of {len(order)} runs; sequences of k: {_sequences(order)}",
            at_least(sum(sorted_up), 0.9 * len(order)),
            source=Source.PAPER,
        ),
        Claim(
            "Chen et al. 2023",
            "runs end at an exact k-gon level (within 5 %)",
            "not asked",
            f"{int((final < POLYGON_AT_LEVEL).sum())} of {len(final)}, {100 * final.min():.2f} to {100 * final.max():.2f} % from "
            f"it: a dropped feature with a little norm does better than a silent one; ends: {_counted(ends)}",
            bool((final < POLYGON_AT_LEVEL).all()),
        ),
    ]
    arrays = {"step": frames, "loss": loss / (n * p), "levels": values / (n * p), "sides": sides}
    return Result(config, claims, arrays, {"polygon_ends": ends, "polygon_sequences": order})


def _sequences(order: list[list[int]]) -> str:
    return _counted(["-".join(map(str, dict.fromkeys(o))) for o in order])


def _counted(names: list[str]) -> str:
    return ", ".join(
        f"{name} ({names.count(name)})" for name in sorted(set(names), key=lambda x: (-names.count(x), x))
    )
