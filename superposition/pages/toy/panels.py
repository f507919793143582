"""The panels of a toy model's pages: of a true feature, of a latent, of one against the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from superposition import metrics
from superposition.interventions.toy import Effects
from superposition.pages.pack import Dictionary, number, u8, u16
from superposition.pages.toy.numbers import DELTA, NEAR, REPRESENTED, Found, Truth

FOUND = metrics.recovery.FOUND
BARS, NEAREST, TOP, INTERVALS, PER_INTERVAL, SHOWN = 30, 5, 10, 5, 4, 12
Panel = dict[str, Any]


@dataclass(frozen=True)
class Book:
    """What all panels draw on; alone and mean are responses (n, points) over x_i in `at`, rest latents without a feature."""

    of: Truth
    seen: Found | None
    rest: list[int]
    at: np.ndarray
    alone: np.ndarray
    mean: np.ndarray
    seed: list[int]

    @property
    def n(self) -> int:
        """True features."""
        return len(self.of.b)

    @property
    def how(self) -> str:
        """How the losses were got."""
        return "exact" if self.of.exact else f"over {len(self.of.x)} examples"

    def page(self, latent: int) -> int:
        """The page that a latent is on: its feature's, or its own behind them."""
        assert self.seen is not None
        feature = int(self.seen.feature[latent])
        return feature if feature >= 0 else self.n + self.rest.index(latent)

    def near(self, cosines: np.ndarray, count: int = NEAREST) -> list[int]:
        """Represented features by |cosine| (n,), or all where none is: the direction of what is hardly there is noise."""
        kept = self.of.norms > REPRESENTED
        order = np.argsort(-np.abs(cosines), kind="stable")
        return [int(k) for k in order if kept[k] or not kept.any()][:count]


def truth_panels(book: Book, i: int) -> list[Panel]:
    """A feature as it is."""
    of = book.of
    members = ", ".join(str(k) for k in of.group[i][:SHOWN]) + (" …" if len(of.group[i]) > SHOWN else "")
    stats = [
        ["Norm", text(of.norms[i]), "‖W_i‖: 1 where the feature is fully represented, 0 where it is dropped"],
        ["Interference", text(of.interference[i]), "Σ_{j≠i} (Ŵ_i·W_j)², what others put on its direction"],
        ["Dimensionality", text(of.dimensionality[i]), "D_i: its share of a hidden dimension"],
        ["Bias", text(of.b[i]), "b_i; below 0 it cuts small interference off"],
        ["Importance", text(of.importance[i]), "I_i, its weight in the loss"],
        ["Density", text(of.density[i]), "P(x_i ≠ 0)"],
        ["Component", of.shape[i], f"with |cosine| > {NEAR:g} to a neighbour: {members}"],
        ["Loss without it", f"{of.loss_effect[i]:+.3g}".replace("-", "−"),
         f"change of the model's loss with W_i set to 0, {book.how}"],
    ]  # fmt: skip
    parts = [("its own", of.own[i]), ("from interference", of.loss[i] - of.own[i]), ("together", of.loss[i])]
    whole = of.loss[i] if of.loss[i] > 0 else 1.0
    along = of.h @ (of.W[:, i] / (of.norms[i] if of.norms[i] > 0 else 1.0))
    on = of.x[:, i] != 0
    others = of.cosines[i].copy()
    others[i] = 0
    curves = [("others 0", book.alone[i]), ("mean over others", book.mean[i]), ("perfect", book.at)]
    return [
        {"type": "stats", "title": "Feature", "note": "", "rows": stats},
        {
            "type": "curve",
            "title": "Response",
            "note": f"x′_{i} as x_{i} moves: all other features 0, and the mean over theirs; a perfect model is x_{i}.",
            "x": {"name": f"x_{i}", "values": _numbers(book.at)},
            "series": [{"name": name, "values": _numbers(values)} for name, values in curves],
            "y": f"x′_{i}",
        },
        {
            "type": "table",
            "title": "Reconstruction error",
            "note": f"E (x_{i} − x′_{i})², {book.how}: its own with all other features 0, the rest is interference.",
            "head": ["part", "error", "share"],
            "rows": [[name, number(v), number(v / whole, 3)] for name, v in parts],
        },
        {
            "type": "table",
            "title": "Nearest features",
            "note": "Represented ones by |cosine|; W_i·W_j is how much of one is read out as the other.",
            "head": ["feature", "cosine", "W_i·W_j"],
            "rows": [
                [{"f": k}, number(others[k]), number(of.W[:, i] @ of.W[:, k])]
                for k in book.near(others, NEAREST + 1)
                if k != i
            ][:NEAREST],
        },
        {
            "type": "table",
            "title": f"If the feature itself moves by {DELTA:g}",
            "note": "Change of the outputs: predicted, δ W_i·W_k, and realised in the mean over examples.",
            "head": ["output", "predicted", "realised"],
            "rows": _moves(of.moved, i),
        },
        _histogram("Hidden projection where it is on", f"Ŵ_{i}·h, x_{i} ≠ 0.", f"Ŵ_{i}·h", along[on], along),
        _histogram(
            "Hidden projection where it is off",
            f"Ŵ_{i}·h, x_{i} = 0: what the others put there.",
            f"Ŵ_{i}·h",
            along[~on],
            along,
        ),
    ]


def latent_panels(book: Book, j: int, i: int | None, words: Dictionary) -> list[Panel]:
    """A latent, against its feature i where it has one."""
    seen = book.seen
    assert seen is not None
    f = seen.activations[:, j]
    order = np.argsort(-np.abs(seen.correlations[j]), kind="stable")
    order = order[(order != j) & (seen.correlations[j, order] != 0)][:NEAREST]
    firing = f[f != 0]
    rows = [
        ["Density", text(seen.density[j]), "share of examples where it fires"],
        ["Max activation", text(seen.max[j]), ""],
    ]
    own: list[Panel] = [{"type": "stats", "title": "The latent", "note": "", "rows": rows}]
    if i is not None:
        own = [_against(book, j, i, rows), _steering(book, j, i), nearest(book, j)]
    return [
        *own,
        _histogram("Activations", f"Where it fires, on {len(firing)} of {len(f)} examples.", "activation", firing, firing),
        {
            "type": "table",
            "title": "Correlated latents",
            "note": f"Pearson correlation over {len(f)} examples, and cosine of the decoder rows.",
            "head": ["page", "latent", "correlation", "cosine"],
            "rows": [
                [{"f": book.page(int(k))}, int(k), number(seen.correlations[j, k]), number(seen.own_cosines[j, k])]
                for k in order
            ],
        },
        _examples(book, j, i, words),
    ]  # fmt: skip


def nearest(book: Book, j: int, note: str = "") -> Panel:
    """The features that a decoder row points to."""
    assert book.seen is not None
    cosines = book.seen.cosines[j]
    return {
        "type": "table",
        "title": "Decoder cosine to the true features",
        "note": f"{note}Represented ones by |cosine|.",
        "head": ["feature", "cosine"],
        "rows": [[{"f": k}, number(cosines[k])] for k in book.near(cosines)],
    }


def _against(book: Book, j: int, i: int, rows: list[list[str]]) -> Panel:
    seen, moved = book.seen, book.of.moved
    assert seen is not None
    s, random, scores = seen.steered, seen.random, seen.scores
    all_rows = [
        ["Latent", f"{j}", "matched one to one, by the largest sum of signed cosines"],
        ["Cosine", text(seen.cosines[j, i]), f"of its decoder row with W_{i}; found from {FOUND:g}"],
        ["F1", text(scores.f1[j]), "of “it fires” as a detector of “the feature is on”"],
        ["Precision", text(scores.precision[j]), "share of its firing where the feature is on"],
        ["Recall", text(scores.recall[j]), "share of the feature's examples where it fires"],
        *rows,
        ["Steering error", text(s.error[j]), f"against moving the feature by {DELTA:g}: 0 is perfect, 1 as doing nothing; "
         f"a random direction {text(random.error[j])}"],
        ["Selectivity", text(s.selectivity[j]), "the feature's own share of all change; moving the feature itself "
         f"{text(moved.selectivity[i])}, a random direction {text(random.selectivity[j])}"],
        ["Ablation error", text(seen.ablated.error[j]), "of setting the latent to 0 against setting the feature to 0"],
    ]  # fmt: skip
    return {"type": "stats", "title": "Its latent", "note": "", "rows": all_rows}


def _steering(book: Book, j: int, i: int) -> Panel:
    assert book.seen is not None
    s = book.seen.steered
    return {
        "type": "table",
        "title": f"Steering the latent by {text(s.amount[j])}",
        "note": f"Meant to move x_{i} by {DELTA:g}. Change of the outputs: predicted, a W_k·d_j; realised; true, by the "
        "feature itself. Where a ReLU is closed a prediction is not realised.",
        "head": ["output", "predicted", "realised", "true"],
        "rows": _moves(s, j, book.of.moved.realised[i]),
    }


def _examples(book: Book, j: int, i: int | None, words: Dictionary) -> Panel:
    """Examples as lists of their active features, the activation on the first piece."""
    assert book.seen is not None
    f = book.seen.activations[:, j]
    firing = np.flatnonzero(f > 0)
    if not len(firing):
        return {
            "type": "empty",
            "title": "Examples",
            "note": f"Latent {j} fires on none of {len(f)} examples.",
        }
    chosen = np.random.default_rng([*book.seed, j])
    groups = [("Top", "", firing[np.argsort(-f[firing], kind="stable")][:TOP])]
    edges = np.linspace(0, f.max(), INTERVALS + 1)
    place = np.clip(np.searchsorted(edges, f[firing], side="left") - 1, 0, INTERVALS - 1)  # (low, high]
    for k in reversed(range(INTERVALS)):
        inside = firing[place == k]
        drawn = chosen.choice(inside, min(PER_INTERVAL, len(inside)), replace=False)
        mass = f"{100 * len(inside) / len(firing):.3g} % of where it fires"
        groups.append(
            (f"{edges[k]:.3g} to {edges[k + 1]:.3g}", mass, drawn[np.argsort(-f[drawn], kind="stable")])
        )
    rows = np.concatenate([members for _, _, members in groups])
    starts = np.cumsum([0, *(len(members) for _, _, members in groups)])
    lines = [_pieces(book.of.x[row], f[row], i) for row in rows]
    act = [
        value for row, line in zip(rows, lines, strict=True) for value in (f[row], *[0.0] * (len(line) - 1))
    ]
    return {
        "type": "examples",
        "title": "Examples",
        "note": "An example is the list of its active features, the matched one first; the activation, one for the whole "
        "example, is on the first piece.",
        "groups": [
            {"title": name, "note": note, "rows": list(range(start, start + len(members)))}
            for (name, note, members), start in zip(groups, starts.tolist(), strict=False)
        ],
        "source": ["sample"] * len(rows),
        "place": [[row, 0] for row in rows.tolist()],
        "peak": [0] * len(rows),
        "length": [len(line) for line in lines],
        "tokens": u16([words.ref(piece) for line in lines for piece in line]),
        "act": u8(act, float(f.max())),
        "scale_act": float(f.max()),
    }  # fmt: skip


def _pieces(x: np.ndarray, activation: float, first: int | None) -> list[str]:
    """An example's words; a no-break space keeps a feature and its value together."""
    active = sorted(np.flatnonzero(x).tolist(), key=lambda k: (k != first, -abs(x[k]), k))
    more = [f"and {len(active) - SHOWN} more"] if len(active) > SHOWN else []
    return [
        f"f\u00a0=\u00a0{activation:.2f}  ",
        *(f"x{k}\u00a0{_short(x[k])}  " for k in active[:SHOWN]),
        *more,
    ]


def _moves(effects: Effects, at: int, true: np.ndarray | None = None) -> list[list[Any]]:
    """The outputs that move most: link, predicted, realised, and true where given."""
    order = np.argsort(-effects.absolute[at], kind="stable")[: NEAREST + 1]
    columns = [effects.predicted[at], effects.realised[at], *([] if true is None else [true])]
    return [[{"f": int(k)}, *(number(column[k]) for column in columns)] for k in order]


def _histogram(title: str, note: str, name: str, values: np.ndarray, all_values: np.ndarray) -> Panel:
    """Counts of values over the range of `all_values`, which holds 0."""
    low, high = float(all_values.min(initial=0.0)), float(all_values.max(initial=0.0))
    high = high if high > low else low + 1.0
    return {
        "type": "histogram", "title": title, "note": note, "from": number(low), "to": number(high),
        "counts": np.histogram(values, BARS, (low, high))[0].tolist(), "diverging": low < 0, "x": name,
    }  # fmt: skip


def _numbers(values: np.ndarray) -> list[float | None]:
    return [number(v) for v in values]


def _short(value: float) -> str:
    """.91, −.5: what fits many times on a line."""
    word = f"{value:.2f}"
    return (word.replace("0.", ".", 1) if abs(value) < 0.995 else word).replace("-", "−")


def text(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}".replace("-", "−")
