"""What the neurons and latents of the frequency sweep's models know of Arabic and Hebrew script, on works that none of them read.

For every model: average precision of the best neuron, of a linear probe on all neurons, of k neurons, and how many neurons
have the script among their strongest tokens, which is the gate that a model has to pass before autoencoders are trained on
it; and the same of the latents of every autoencoder in its folder saes/. Writes measured.json into each model's folder.

Command:  python -m experiments measure_script_models --text FOLDER --models FOLDER
Time:     three minutes a model, two an autoencoder
Expect:   the best neuron's average precision falls with the script's share, the probe's does not
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from experiments.lab.run import script
from experiments.language_model.shared import rarity
from experiments.language_model.shared.detectors import blocks, encoder
from experiments.language_model.shared.natural import Half, Rows, halves
from experiments.language_model.shared.rarity_claims import GATE, RARE
from experiments.language_model.shared.script_effects import effects
from experiments.language_model.shared.script_labels import SCRIPTS
from experiments.scripts.shared.script_mixture import (
    group_of,
    group_shares,
    hold_out,
    read_documents,
    read_sources,
)
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.training import Trained
from superposition.training.files import load

HOOK = "blocks.0.mlp.hook_post"
DRAWS = 20


@dataclass(frozen=True)
class Config:
    """Text and models."""

    text: Path | None = None
    """Folder with heldout/ and the training text. Required."""
    models: Path | None = None
    """Folder of the models that `train_script_models` wrote. Required."""


def run(config: Config) -> dict[str, Any]:
    """Measure every model that has not been measured, or has an autoencoder that has not."""
    if config.text is None or config.models is None:
        raise ConfigError("give --text, the folder with heldout/, and --models, the folder of the models")
    held, result = held_out(config.text), {}
    for record in sorted(config.models.glob("*/training.json")):
        result[record.parent.name] = measure(record.parent, held)
    return result


def held_out(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Group and documents of the works in heldout/, and of the documents that training left out of each source."""
    held = {}
    for path in sorted((folder / "heldout").glob("*.txt.xz")):
        language = path.name.removesuffix(".txt.xz").removesuffix("_heldout")
        group = language if language in ("english", "code") else group_of(f"rare/{language}.heldout")
        held[f"heldout/{language}"] = (group, read_documents(path))
    for name, source in read_sources(folder).items():
        _, documents = hold_out(source.documents)
        if documents and source.group not in SCRIPTS:
            held[name] = (source.group, documents)
    return held


def measure(folder: Path, held: dict[str, tuple[str, list[str]]]) -> dict[str, Any]:
    """One model: its gate, its neurons, and the latents of its autoencoders; kept in measured.json."""
    file = folder / "measured.json"
    done = json.loads(file.read_text()) if file.exists() else {}
    saes = sorted(path.parent for path in folder.glob("saes/*/cfg.json"))
    if done and all(path.name in done["saes"] for path in saes):
        return done
    record = json.loads((folder / "training.json").read_text())
    lm = LanguageModel.from_hf(folder)
    shares = group_shares({group for group, _ in held.values()} | set(record["group"].values()), RARE)
    text = halves(lm.tokenizer, held, shares, lm.spec.n_ctx)
    neurons = [activations(lm, half) for half in text]
    if not done:
        done = {"share": record["config"]["share"], "seed": record["config"]["seed"], "steps": record["config"]["steps"],
                "script_share": record["script_share"], "tokens": [len(n["other"]) for n in neurons], "saes": {}}  # fmt: skip
        done["neurons"] = {s: units(text, neurons, s, None) for s in SCRIPTS}
        directions = components(neurons[0]["other"])
        done["components"] = {s: units(text, neurons, s, lambda x: x @ directions) for s in SCRIPTS}
        done["probe"] = {s: probed(text, neurons, s) for s in SCRIPTS}
        done["gate"] = {s: gate(done, s) for s in SCRIPTS}
        file.write_text(json.dumps(done, indent=1) + "\n")
        print(folder.name, json.dumps(done["gate"]), flush=True)
    for path in saes:
        if path.name not in done["saes"]:
            one = load(path)
            assert isinstance(one, Trained)
            encode = encoder(one)
            of = {s: units(text, neurons, s, encode) for s in SCRIPTS}
            if "untrained" not in path.name:
                attached = lm.attach(one)
                for s, unit in of.items():
                    unit["effects"] = effects(attached, unit["best"], unit["largest"], text[1], s)._asdict()
            done["saes"][path.name] = of
            file.write_text(json.dumps(done, indent=1) + "\n")
    return done


def components(x: np.ndarray) -> np.ndarray:
    """Principal components (units, 2 units), and their opposites: each may tell a script by its upper or its lower end."""
    _, _, rows = np.linalg.svd(np.cov(x, rowvar=False))
    return np.concatenate([rows.T, -rows.T], 1).astype(np.float32)


def activations(lm: LanguageModel, half: Half) -> dict[str, np.ndarray]:
    """The neurons at the judged tokens of the natural text and of each script's rows, by name."""
    return {name: _neurons(lm, rows) for name, rows in {"other": half.other, **half.scripts}.items()}


def _neurons(lm: LanguageModel, rows: Rows, batch: int = 64) -> np.ndarray:
    parts = []
    for start in range(0, len(rows.tokens), batch):
        some = rows.tokens[start : start + batch]
        padded = np.concatenate([some, np.repeat(some[-1:], batch - len(some), 0)])  # one shape, one program
        _, seen = lm.run_with_cache(padded, [HOOK], stop_at_layer=1)
        parts.append(np.asarray(seen[HOOK])[: len(some)][rows.judged[start : start + batch]])
    return np.concatenate(parts)


def tokens_of(half: Half, neurons: dict[str, np.ndarray], script: str, encode: Any) -> rarity.Tokens:
    """Judged tokens of one script: all of its own, and the natural text's that are not of it."""
    number = SCRIPTS.index(script) + 1
    mine, other = half.scripts[script], half.other
    own, rest = mine.script[mine.judged] == number, other.script[other.judged] != number
    x = [neurons[script][own], neurons["other"][rest]]
    latents = [sparse.csr_matrix(encode(b)) for part in x for b in blocks(part)] if encode else []
    joined = sparse.vstack(latents).tocsr() if encode else np.concatenate(x)
    document = [np.broadcast_to(r.document[:, None], r.tokens.shape)[r.judged] for r in (mine, other)]
    return rarity.Tokens(joined, np.arange(own.sum() + rest.sum()) < own.sum(),
                         np.concatenate([document[0][own], document[1][rest]]), RARE)  # fmt: skip


def units(
    text: tuple[Half, Half], neurons: list[dict[str, np.ndarray]], script: str, encode: Any
) -> dict[str, Any]:
    """Single units and a few of them: chosen on one half, judged on the other."""
    choose, judge = (tokens_of(h, n, script, encode) for h, n in zip(text, neurons, strict=True))
    chosen, found = rarity.precision_of_units(choose), rarity.precision_of_units(judge)
    best = int(chosen.argmax())
    column: Any = judge.x[:, [best]]
    score = (column.toarray() if sparse.issparse(column) else column)[:, 0]
    return {"best": best, "largest": float(score.max()), "ap": float(found[best]), "interval": rarity.interval(score, judge),
            "ap_chosen_on": float(chosen[best]), "best_of_judged": float(found.max()),
            "pearson": _pearson(score, judge), "k": rarity.sparse_probes(choose, judge),
            **_tops(text[1], neurons[1], script, encode, best), "firing": _firing(score, judge)}  # fmt: skip


def probed(text: tuple[Half, Half], neurons: list[dict[str, np.ndarray]], script: str) -> dict[str, Any]:
    """The linear probe on all neurons."""
    choose, judge = (tokens_of(h, n, script, None) for h, n in zip(text, neurons, strict=True))
    score = rarity.probe(choose, judge)
    return {"ap": rarity.precision(score, judge), "interval": rarity.interval(score, judge)}


def gate(measured: dict[str, Any], script: str) -> dict[str, Any]:
    """The three numbers of the gate, and whether a model passes it."""
    numbers = {"probe": measured["probe"][script]["ap"], "neuron": measured["neurons"][script]["ap"],
               "top 20": measured["neurons"][script]["with_any_in_top_20"]}  # fmt: skip
    bars = {bar.name: bar.bar for bar in GATE}
    passes = numbers["probe"] >= bars["probe"] and all(numbers[n] <= bars[n] for n in ("neuron", "top 20"))
    return {**numbers, "passes": bool(passes)}


def _tops(half: Half, neurons: dict[str, np.ndarray], script: str, encode: Any, best: int) -> dict[str, Any]:
    """How much of the script is among the 20 and 100 strongest tokens of each unit, in text of natural frequencies."""
    number = SCRIPTS.index(script) + 1
    mine, other = half.scripts[script], half.other
    own, rest = mine.script[mine.judged] == number, other.script[other.judged] != number
    coded = [neurons["other"][rest], neurons[script][own]]
    if encode:
        coded = [np.concatenate([encode(b) for b in blocks(x)]) for x in coded]
    size = round(RARE * len(coded[0]) / (1 - RARE))
    random = np.random.default_rng(0)
    draws = [random.choice(len(coded[1]), min(size, len(coded[1])), replace=False) for _ in range(DRAWS)]
    top = {n: rarity.in_top(coded[0], coded[1], draws, n) for n in (20, 100)}
    return {"with_any_in_top_20": float((top[20] > 0).sum(1).mean()), "best_in_top_100": float(top[100][:, best].mean() / 100),
            "most_in_top_20": float(top[20].mean(0).max() / 20)}  # fmt: skip


def _pearson(score: np.ndarray, tokens: rarity.Tokens) -> float:
    w, y = tokens.weights, tokens.y.astype(float)
    a, b = score - w @ score, y - w @ y
    return float((w @ (a * b)) / np.sqrt((w @ a**2) * (w @ b**2) + 1e-30))


def _firing(score: np.ndarray, tokens: rarity.Tokens, intervals: int = 10) -> dict[str, Any]:
    """The script's share of the tokens a unit fires on, in all and by interval of its activation, at natural frequencies."""
    w, y = tokens.weights, tokens.y
    edges = np.linspace(0, max(float(score.max()), 1e-9), intervals + 1)
    shares = []
    for low, high in pairwise(edges):
        here = (score > low) & (score <= high)
        shares.append(float(w[here & y].sum() / w[here].sum()) if here.any() else None)
    fired = score > 0
    upper = score > edges[intervals // 2]
    return {
        "by_interval": shares,
        "all": float(w[fired & y].sum() / max(w[fired].sum(), 1e-30)),
        "upper_half": float(w[upper & y].sum() / max(w[upper].sum(), 1e-30)),
        "recall": float(w[fired & y].sum() / tokens.share),
    }


if __name__ == "__main__":
    script(__name__)
