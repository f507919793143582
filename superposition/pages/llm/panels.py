"""The page of one latent: arrays over all latents in, panels of one out."""

from typing import Any, NamedTuple

import numpy as np

from superposition.llm.packing import Tokens
from superposition.pages.llm.correlation import Neighbours
from superposition.pages.llm.examples import SIDE, WIDTH
from superposition.pages.llm.logits import Logits
from superposition.pages.llm.rules import PREVIOUS, SOURCE, Rules
from superposition.pages.llm.statistics import INTERVALS, Intervals, Statistics
from superposition.pages.llm.windows import Windows
from superposition.pages.pack import Dictionary, i8, number, u8, u16, u32
from superposition.pages.pieces import REACH, piece, pieces

Panel = dict[str, Any]
SHOWN = 5
FULL = "the latent is ablated at every token of the row and the model runs on"
DIRECT = "its direct path from the token before to the logits alone is taken away"


class Likeness(NamedTuple):
    """For each latent (n, k), most similar first: which latents, -1 for none, and the cosine of the decoder rows."""

    which: np.ndarray
    cosine: np.ndarray


class Findings(NamedTuple):
    """All that the pages of `ids` (n,) say; whatever is (n, ...) is in that order."""

    tokenizer: Any
    tokens: Tokens
    ids: np.ndarray
    coordinate: str  # what the hook point's coordinates are: neuron or dimension
    directions: np.ndarray
    statistics: Statistics
    intervals: Intervals
    windows: Windows
    rules: Rules
    logits: Logits | None
    no_logits: str  # why there are none
    alike: Likeness
    other: Likeness | None

    def density(self) -> np.ndarray:
        """Share of the tokens that each latent fires on."""
        return self.statistics.fired / self.statistics.tokens

    def mean(self) -> np.ndarray:
        """Mean activation where it fires, 0 for a dead latent."""
        return self.statistics.total / np.maximum(self.statistics.fired, 1)

    def label(self, i: int) -> str:
        """The best simple description with its F1 on the odd rows; "" where the latent fires too rarely to tell."""
        if not self.rules.known[i]:
            return ""
        f1, precision, recall = (float(s[i]) for s in self.rules.verdict)
        named, kind = self.rules.named[i], self.rules.kind[i]
        said = self.density()[i] * recall / precision if precision > 0 else 0.0
        if kind == SOURCE:
            what = f"{self.tokens.sources[named[0]]} text" if len(named) else "no text"
        elif said > 0.5:
            what = "most tokens" + (", by the one before" if kind == PREVIOUS else "")
        else:
            words = ", ".join(f'"{piece(self.tokenizer, t)}"' for t in named[:3]) + (
                ", …" if len(named) > 3 else ""
            )
            what = f"{'after' if kind == PREVIOUS else 'token'} {words}"
        return f"{what} (F1 {f1:.2f})".replace("(F1 0.", "(F1 .")

    def feature(self, i: int) -> dict[str, Any]:
        """The page of latent ids[i]."""
        words = Dictionary()
        dead = not self.statistics.fired[i]
        panels = [_stats(self, i), _activations(self, i), *_logits(self, i, words), _examples(self, i, words)]
        panels += [
            _alignment(self, i),
            _correlated_inputs(self, i),
            _correlated_latents(self, i),
            _alike(self, i),
        ]
        panels += [_other(self, i, self.other)] if self.other is not None else []
        return {
            "id": int(self.ids[i]),
            "name": f"latent {self.ids[i]}",
            "dictionary": words.words,
            "panels": panels,
            "dead": dead,
        }

    def link(self, latent: int) -> dict[str, int] | str:
        """A link to a latent's page, its name where it has none."""
        has_page = np.isin(latent, self.ids)
        return {"f": int(latent)} if has_page else f"latent {latent}"


def _empty(title: str, note: str) -> Panel:
    return {"type": "empty", "title": title, "note": note}


def _table(title: str, note: str, head: list[str], rows: list[list[Any]], why: str) -> Panel:
    return (
        {"type": "table", "title": title, "note": note, "head": head, "rows": rows}
        if rows
        else _empty(title, why)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _stats(found: Findings, i: int) -> Panel:
    s, rules = found.statistics, found.rules
    fired, density = int(s.fired[i]), float(found.density()[i])
    rows = [
        ["Density", f"{_percent(density)} ({fired:,} of {s.tokens:,} tokens)", "Share of tokens it fires on"]
    ]
    if fired:
        rows.append(["Largest activation", f"{s.largest[i]:.4g}", "Over all these tokens"])
        rows.append(["Mean activation", f"{found.mean()[i]:.4g}", "Over the tokens it fires on"])
        label = found.label(i)
        if label:
            scores = f"precision {_percent(rules.verdict.precision[i])}, recall {_percent(rules.verdict.recall[i])}"
            why = "The current or previous token, or the source, that says best when it fires: chosen on half of the rows"
            rows.append(["Best simple description", label, f"{why}, scored on the other half: {scores}"])
        else:
            rows.append(
                ["Best simple description", "not known", "It fires fewer than 10 times in half of the rows"]
            )
        by = rules.by_source[:, i]
        if len(by) > 1:
            best = np.argsort(-by, kind="stable")[:3]
            text = ", ".join(f"{found.tokens.sources[k]} {_percent(by[k] / by.sum())}" for k in best if by[k])
            rows.append(["Where it fires", text, "Share of its firings by source of text"])
    direction = np.abs(found.directions[i])
    rows.append(["Decoder norm", f"{np.linalg.norm(direction):.4g}", "What one unit of activation adds"])
    total = float(direction.sum())
    rows.append(
        [
            "L1 share",
            _percent(float(direction.max()) / total if total else 0.0),
            f"Of the decoder row's L1 norm, in its largest {found.coordinate}; "
            f"evenly spread it would be {_percent(1 / len(direction))}",
        ]
    )
    return {"type": "stats", "title": "Numbers", "note": "", "rows": rows}


def _activations(found: Findings, i: int) -> Panel:
    title = "Activations"
    if not found.statistics.fired[i]:
        return _empty(title, "It fires on none of these tokens")
    return {
        "type": "histogram",
        "title": title,
        "note": f"Activations above 0, on {_percent(float(found.density()[i]))} of the tokens",
        "from": 0,
        "to": number(found.statistics.largest[i]),
        "counts": found.intervals.histogram[i].tolist(),
        "diverging": False,
        "x": "activation",
    }


def _logits(found: Findings, i: int, words: Dictionary) -> list[Panel]:
    titles = ("Logit weights", "Tokens it promotes and suppresses")
    own = found.logits
    if own is None:
        return [_empty(title, found.no_logits) for title in titles]
    note = (
        "Direct path of the decoder row to the logits: the final norm's weight applied, its scale left out, "
        "the mean over the vocabulary removed"
    )

    def side(tokens: np.ndarray, values: np.ndarray) -> list[list[Any]]:
        return [
            [words.ref(piece(found.tokenizer, t)), number(v)]
            for t, v in zip(tokens[i], values[i], strict=True)
        ]

    histogram = {
        "type": "histogram", "title": titles[0], "note": note, "from": number(own.low[i]), "to": number(own.high[i]),
        "counts": own.histogram[i].tolist(), "diverging": True, "x": "logit weight",
    }  # fmt: skip
    positive, negative = side(own.highest, own.most), side(own.lowest, own.least)
    return [
        histogram,
        {"type": "tokens", "title": titles[1], "note": "", "positive": positive, "negative": negative},
    ]


def _examples(found: Findings, i: int, words: Dictionary) -> Panel:
    title = "Examples"
    s, w = found.statistics, found.windows
    if not s.fired[i]:
        return _empty(title, f"It fires on none of the {s.tokens:,} tokens looked at: a dead latent")
    here = slice(int(w.starts[i]), int(w.starts[i + 1]))
    ctx = found.tokens.tokens.shape[1]
    refs: list[int] = []
    lengths, peak, kept = [], [], []
    for row, at in zip(w.sequence[here], w.position[here], strict=True):
        start, end = max(0, int(at) - SIDE), min(ctx, int(at) + SIDE + 1)
        ahead = max(0, start - REACH)
        shown = pieces(found.tokenizer, found.tokens.tokens[row, ahead:end])[start - ahead :]
        refs += [words.ref(word) for word in shown]
        lengths.append(end - start)
        peak.append(int(at) - start)
        inside = np.arange(WIDTH) + int(at) - SIDE
        kept.append((inside >= 0) & (inside < ctx))
    inside = np.stack(kept)
    largest = float(s.largest[i])
    wide = len(words.words) > 2**16 - 1
    panel: Panel = {
        "type": "examples",
        "title": title,
        "note": f"{SIDE} tokens on either side of the one chosen; never two of the strongest from one place or text",
        "groups": _groups(found, i),
        "source": [found.tokens.sources[found.tokens.source[row]] for row in w.sequence[here]],
        "place": np.stack([w.sequence[here], w.position[here]], 1).tolist(),
        "peak": peak,
        "length": lengths,
        "tokens": u32(refs) if wide else u16(refs),
        "act": u8(w.act[here][inside], largest),
        "scale_act": number(largest, 6),
    }
    panel |= {"wide": True} if wide else {}
    for name, effect, what in (("full", w.full, FULL), ("direct", w.direct, DIRECT)):
        if effect is not None:
            scale = float(np.abs(effect[here]).max(initial=0))
            panel[name], panel[f"scale_{name}"] = i8(effect[here][inside], scale), number(scale, 6)
            panel["note"] += f". {name.capitalize()}: rise of a token's loss (nats) when {what}"
    return panel


def _groups(found: Findings, i: int) -> list[dict[str, Any]]:
    """The strongest, then every interval from the highest down."""
    w, largest = found.windows, float(found.statistics.largest[i])
    top = [int(r) for r in w.top[i] if r >= 0]
    groups = [{"title": "Top activations", "note": f"the {len(top)} strongest", "rows": top}]
    for k in reversed(range(INTERVALS)):
        low, high = (largest * edge / INTERVALS for edge in (k, k + 1))
        groups.append(
            {
                "title": f"Activations from {low:.3g} to {high:.3g}",
                "note": f"holds {_percent(float(found.intervals.mass[i, k]))} of the activations",
                "rows": [int(r) for r in w.drawn[i, k] if r >= 0],
            }
        )
    return groups


def _alignment(found: Findings, i: int) -> Panel:
    name, row = found.coordinate, found.directions[i]
    total = float(np.abs(row).sum())
    best = np.argsort(-np.abs(row), kind="stable")[:SHOWN]
    rows = [[int(k), number(row[k]), number(100 * abs(row[k]) / total, 3)] for k in best if total]
    title, note = f"{name.capitalize()} alignment", "Largest entries of the decoder row"
    return _table(title, note, [name, "value", "% of L1"], rows, "The decoder row is zero")


def _similar(near: Neighbours | Likeness, i: int) -> list[tuple[int, ...]]:
    return [
        tuple(column[i, k] for column in near) for k in range(near.which.shape[1]) if near.which[i, k] >= 0
    ]


def _correlated_inputs(found: Findings, i: int) -> Panel:
    name = found.coordinate
    rows = [[int(k), number(r, 3), number(c, 3)] for k, r, c in _similar(found.statistics.inputs, i)]
    title = f"Correlated {name}s"
    note = "Over all tokens, of activations"
    return _table(title, note, [name, "Pearson", "cosine"], rows, "It does not vary on these tokens")


def _correlated_latents(found: Findings, i: int) -> Panel:
    rows = [[found.link(k), number(r, 3), number(c, 3)] for k, r, c in _similar(found.statistics.latents, i)]
    head, note = ["latent", "Pearson", "cosine"], "Over all tokens, of activations"
    return _table("Correlated latents", note, head, rows, "It does not vary on these tokens")


def _alike(found: Findings, i: int) -> Panel:
    rows = [[found.link(k), number(c, 3)] for k, c in _similar(found.alike, i)]
    title, note = "Nearest decoder directions", "Cosine of the decoder rows"
    return _table(title, note, ["latent", "cosine"], rows, "There is no other latent")


def _other(found: Findings, i: int, other: Likeness) -> Panel:
    rows: list[list[Any]] = [["decoder cosine", int(k), number(c, 3)] for k, c in _similar(other, i)]
    if found.statistics.others is not None:
        near = _similar(found.statistics.others, i)[:3]
        rows += [["activation correlation", int(k), number(r, 3)] for k, r, _ in near]
    note = "Its likeness by the direction it writes, and by when it fires"
    title = "The same latent in the other SAE"
    return _table(title, note, ["by", "latent there", "likeness"], rows, "There is none")
