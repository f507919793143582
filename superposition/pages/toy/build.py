"""Pages of a toy model's features: the truth on one side, the latent that an SAE has for it on the other."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.features import FeatureLaw
from superposition.pages.pack import Dictionary, number
from superposition.pages.toy import numbers
from superposition.pages.toy.numbers import ACTED, REPRESENTED
from superposition.pages.toy.panels import FOUND, Book, latent_panels, nearest, text, truth_panels
from superposition.pages.write import Pages
from superposition.sae import SAE, Params
from superposition.toy import Tied
from superposition.typing import PRNGKey, ToyParams

SORTS = (
    ("id", "index", "asc"),
    ("importance", "importance", "desc"),
    ("norm", "norm", "desc"),
    ("dimensionality", "dimensionality", "desc"),
    ("interference", "interference", "desc"),
    ("loss_effect", "loss without it", "desc"),
    ("density", "density", "desc"),
    ("quality", "F1 of the latent", "desc"),
    ("max", "max activation", "desc"),
)


def toy_pages(
    model: Tied,
    W: Any,
    b: Any,
    features: FeatureLaw,
    importance: Any = 1.0,
    sae: SAE | None = None,
    params: Params | None = None,
    *,
    key: PRNGKey,
    examples: int = 16_384,
    title: str = "Toy model",
) -> Pages:
    """A page for every true feature and, with an SAE of the hidden activations, for every latent matched to none.

    Args:
        model: Its sizes and activation.
        W: (n_hidden, n_features).
        b: (n_features,).
        features: Where x comes from.
        importance: I_i, a number or one per feature.
        sae: What was trained on W x, in its inference form; without it only the truth is shown.
        params: Its parameters.
        key: Of the examples, of which are shown, and of the random directions that steering is held against.
        examples: How many numbers are taken over, at least 2.
        title: Of the index.

    Raises:
        ConfigError: Shapes that do not fit, numbers that are not finite, an SAE without its parameters.

    Example:
        >>> from superposition import ReLUOutput, SparseUniform
        >>> from superposition.pages.toy import toy_pages
        >>> law, key = SparseUniform(density=0.1), jax.random.key(0)
        >>> pages = toy_pages(ReLUOutput(2, 1), [[1.0, -1.0]], [0.0, 0.0], law, key=key, examples=64)
        >>> pages.index["columns"]["name"]
        ['feature 0', 'feature 1']
    """
    validate.integer("examples", examples, 2)
    if (sae is None) != (params is None):
        raise ConfigError("sae and params belong together; got only one of them: give both or neither")
    draw, aside, pick = jax.random.split(key, 3)
    toy = ToyParams(jnp.asarray(W), jnp.asarray(b))
    of = numbers.truth(model, toy, features, importance, draw, examples)
    seen = None if sae is None or params is None else numbers.found(model, toy, of, sae, params, aside)
    rest = [] if seen is None else np.flatnonzero(seen.feature < 0).tolist()
    at = np.linspace(-1.0 if features.signed else 0.0, 1.0, 21)
    seed = np.asarray(jax.random.bits(pick, (2,))).tolist()
    book = Book(of, seen, rest, at, *numbers.response(model, of, at), seed)
    about = _about(book, model, features, sae)
    return Pages(_index(book, title, about, params), _features(book), iter(()))


def _index(book: Book, title: str, about: list[list[str]], params: Params | None) -> dict[str, Any]:
    of, seen, rest = book.of, book.seen, book.rest
    places = _places(book, params)

    def column(values: np.ndarray, of_latents: np.ndarray | None = None) -> list[float | None]:
        """A number a feature, and one a latent without a feature."""
        after = [None] * len(rest) if of_latents is None else [number(of_latents[j]) for j in rest]
        return [*(number(v) for v in values), *after]

    def matched(of_latents: np.ndarray | None) -> np.ndarray:
        """Per feature, NaN for those without a latent."""
        if seen is None or of_latents is None:
            return np.full(book.n, np.nan)
        return np.where(seen.latent >= 0, of_latents[seen.latent], np.nan)

    total = book.n + len(rest)
    return {
        "version": 1,
        "kind": "toy",
        "title": title,
        "about": about,
        "unit": "feature",
        "dictionary": [],
        "columns": {
            "id": list(range(total)),
            "name": [f"feature {i}" for i in range(book.n)] + [f"latent {j}" for j in rest],
            "label": [_label(book, i) for i in range(book.n)] + [_latent_label(book, j) for j in rest],
            "density": column(of.density, seen and seen.density),
            "max": column(matched(seen and seen.max), seen and seen.max),
            "quality": column(matched(seen and seen.scores.f1)),
            "importance": column(of.importance),
            "norm": column(of.norms),
            "dimensionality": column(of.dimensionality),
            "interference": column(of.interference),
            "loss_effect": column(of.loss_effect),
            "x": [number(v) for v in places[:, 0]],
            "y": [number(v) for v in places[:, 1]],
            "top": [[] for _ in range(total)],
            "promoted": [[] for _ in range(total)],
        },
        "sorts": [list(sort) for sort in (SORTS if seen else SORTS[:-2])],
        "texts": [],
    }


def _features(book: Book) -> Iterator[dict[str, Any]]:
    """One page after another: true features, then latents without one."""
    for i in range(book.n):
        words = Dictionary()
        panels = truth_panels(book, i)
        if book.seen is not None:
            j = int(book.seen.latent[i])
            why = (
                f"Feature {i} is not represented."
                if book.of.norms[i] <= REPRESENTED
                else "There are too few."
            )
            empty = {"type": "empty", "title": "No latent", "note": f"{why} No latent is matched to it."}
            panels = _sides(panels, [empty] if j < 0 else latent_panels(book, j, i, words))
        yield {"id": i, "name": f"feature {i}", "dictionary": words.words, "panels": panels, "dead": False}
    for j in book.rest:
        assert book.seen is not None
        words = Dictionary()
        lone = nearest(book, j, "No feature is matched to this latent, one to one. ")
        panels = _sides([lone], latent_panels(book, j, None, words))
        dead = bool(book.seen.density[j] == 0)
        yield {
            "id": book.page(j),
            "name": f"latent {j}",
            "dictionary": words.words,
            "panels": panels,
            "dead": dead,
        }


def _sides(truth: list[dict[str, Any]], latent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [p | {"side": "truth"} for p in truth] + [p | {"side": "latent"} for p in latent]


def _about(book: Book, model: Tied, law: FeatureLaw, sae: SAE | None) -> list[list[str]]:
    of, seen = book.of, book.seen
    kept = of.norms > REPRESENTED
    output = "ReLU(Wᵀ W x + b)" if model.activation == "relu" else "Wᵀ W x + b"
    rows = [
        ["Model", f"x′ = {output}, {book.n} features in {model.n_hidden} dimensions"],
        ["Features", f"{type(law).__name__}, density {_span(of.density)}, importance {_span(of.importance)}"],
        ["Represented", f"{kept.sum()} features of norm > {REPRESENTED:g}"],
        ["Loss", f"{of.loss @ of.importance:.4g} ({book.how})"],
        ["Examples", f"{len(of.x)}; interventions over {min(ACTED, len(of.x))} of them"],
    ]
    if sae is None or seen is None:
        return rows
    hit = (seen.latent >= 0) & (seen.cosines[seen.latent, np.arange(book.n)] >= FOUND)
    return [
        *rows,
        ["SAE", f"{type(sae).__name__}, {sae.d_sae} latents, {(seen.density == 0).sum()} of them silent"],
        ["Found", f"{hit.sum()} of the represented features have a latent of cosine ≥ {FOUND:g}"],
        ["Unexplained", f"{text(seen.fvu)} of the variance of the hidden activations"],
    ]


def _label(book: Book, i: int) -> str:
    if book.of.norms[i] <= REPRESENTED:
        return "not represented"
    if book.seen is None:
        return book.of.shape[i]
    j = book.seen.latent[i]
    cosine = book.seen.cosines[j, i]
    if j < 0:
        return "no latent"
    return f"found by latent {j}" if cosine >= FOUND else f"latent {j}, cosine {text(cosine)}"


def _latent_label(book: Book, j: int) -> str:
    assert book.seen is not None
    if book.seen.density[j] == 0:
        return "silent"
    (i,) = book.near(book.seen.cosines[j].clip(0), 1)  # what it adds, not what it takes away
    return f"nearest feature {i}, cosine {text(book.seen.cosines[j, i])}"


def _places(book: Book, params: Params | None) -> np.ndarray:
    """Columns of W, and unit decoder rows of the latents without a feature: in two dimensions as they are, else by PCA."""
    rows = book.of.W.T
    if params is not None and book.rest:
        decoder = np.asarray(params["W_dec"], np.float64)[book.rest]
        length = np.linalg.norm(decoder, axis=1, keepdims=True)
        rows = np.concatenate([rows, decoder / np.where(length > 0, length, 1)])
    if rows.shape[1] > 2:
        rows = rows - rows.mean(0)
        axes = np.linalg.svd(rows, full_matrices=False)[2][:2]
        largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
        rows = rows @ (axes * np.where(largest < 0, -1.0, 1.0)).T  # an axis has no sign of its own
    return np.pad(rows, ((0, 0), (0, 2 - rows.shape[1])))


def _span(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return text(low) if low == high else f"{text(low)} to {text(high)}"
