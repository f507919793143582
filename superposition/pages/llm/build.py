"""The numbers of feature pages of an SAE on a language model: what fires it, what it writes, what it is like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.activations.cache import Cache
from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.llm.direct import has_direct_path
from superposition.llm.model import LanguageModel
from superposition.pages.llm import map as page_map
from superposition.pages.llm.activations import Activations
from superposition.pages.llm.effects import Effects, decoder_rows
from superposition.pages.llm.logits import logits_of
from superposition.pages.llm.panels import Findings, Likeness
from superposition.pages.llm.rules import describe
from superposition.pages.llm.spill import Spill
from superposition.pages.llm.statistics import intervals, measure
from superposition.pages.llm.texts import names, text_pages, text_rows
from superposition.pages.llm.windows import gather
from superposition.pages.pack import Dictionary, number
from superposition.pages.pieces import piece
from superposition.pages.write import Pages
from superposition.sae import SAE

CELLS = 2**24
NEAREST, NEAREST_OTHER, SHOWN = 10, 3, 5
SORTS = [
    ["id", "index", "asc"],
    ["density", "density", "desc"],
    ["max", "largest activation", "desc"],
    ["quality", "quality (F1 of the description)", "desc"],
    ["mean", "mean activation", "desc"],
    ["norm", "decoder norm", "desc"],
]


def feature_pages(
    attached: Attached,
    tokens: Any,
    *,
    cache: Cache | None = None,
    features: Sequence[int] | None = None,
    other: Attached | None = None,
    effects: bool = True,
    texts: Sequence[int] | None = None,
    seed: int = 0,
    title: str | None = None,
) -> Pages:
    """Pages of an SAE at its hook point of a language model, over the usable positions of `tokens`.

    Memory does not depend on the number of tokens, beyond tokens itself; a temporary file (TMPDIR) takes 10 bytes
    an activation. The same arguments give the same pages.

    Args:
        attached: The SAE on its model, whose tokenizer says how tokens are shown. A latent that is above 0 on a token
            fires there.
        tokens: Text: Tokens, or prompts; the description of a latent is chosen on even rows and judged on odd ones.
        cache: Activations at the hook point of exactly these tokens, instead of running the model for them.
        features: Which latents have pages. Default: all.
        other: Another SAE of the same hook point: the same latents are looked for in it.
        effects: Whether to ablate each latent around its examples: the greater part of the time.
        texts: Rows of tokens shown with all latents. Default: the first rows of each source, 25 in all; () for none.
        seed: Of the random examples and the map.
        title: Of the set of pages.

    Raises:
        ConfigError: The other SAE is of another hook point, there is no usable position, no such feature or row, the
            cache is of other tokens, or the model has no tokenizer.
        StoreError: The temporary file or the cache cannot be read or written.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> text = ["Once upon a time, there was a girl.", "He said that he would go."]
        >>> pages = feature_pages(attached, text, features=[136], effects=False, texts=())
        >>> pages.index["columns"]["name"], next(pages.features)["id"]
        (['latent 136'], 136)
    """
    lm, hook, sae, params = attached.lm, attached.hook, attached.sae, attached.params
    if other is not None and other.hook != hook:
        raise ConfigError(
            f"the other SAE is at {other.hook}, the pages are of {hook}; give one of that hook point"
        )
    tokens = attached.rows(tokens)
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    ids, rows = _ids(sae, features), text_rows(tokens, texts)
    activations, tokenizer = Activations(lm, hook, tokens, cache), lm.tokenizer
    beside = None if other is None else (other.sae, other.params)
    directions = decoder_rows(sae, params, np.arange(sae.d_sae))
    ablation = Effects(lm, hook, sae, directions[ids]) if effects else None
    spill = Spill()
    statistics = measure(activations, sae, params, ids, spill, beside)
    parts = intervals(spill, ids, statistics.largest, tokens.tokens.shape[1], seed)
    direct = has_direct_path(hook)
    found = Findings(
        tokenizer,
        tokens,
        ids,
        "neuron" if hook.endswith("mlp.hook_post") else "dimension",
        directions[ids],
        statistics,
        parts,
        gather(spill, statistics, parts, tokens.tokens.shape[1], ablation, tokens),
        describe(statistics.counts),
        logits_of(lm, hook, directions[ids]) if direct else None,
        "" if direct else f"{hook} has no direct path to the logits",
        _alike(directions[ids], directions, NEAREST, ids),
        None
        if beside is None
        else _alike(directions[ids], decoder_rows(*beside, np.arange(beside[0].d_sae)), NEAREST_OTHER),
    )
    index = _index(found, title or f"Features of {_name(lm)} at {hook}", seed)
    index["about"] = _about(lm, sae, hook, found)
    index["texts"] = names(tokens, rows)
    pages = (found.feature(i) for i in range(len(ids)))
    return Pages(index, pages, text_pages(found, spill, ablation, rows))


def _name(lm: LanguageModel) -> str:
    """What the model is called; of a folder on this machine the last part."""
    path = Path(lm.name)
    return (path.name if path.is_absolute() else lm.name) or "a language model"


def _ids(sae: SAE, features: Sequence[int] | None) -> np.ndarray:
    if features is None:
        return np.arange(sae.d_sae)
    if not len(features):
        raise ConfigError("features must name at least one latent; leave it out for all of them")
    wanted = [validate.integer("a feature", f, 0, sae.d_sae) for f in features]
    return np.array(list(dict.fromkeys(wanted)))


def _index(found: Findings, title: str, seed: int) -> dict[str, Any]:
    words, n = Dictionary(), len(found.ids)
    fired, known = found.statistics.fired, found.rules.known
    promoted = [[]] * n if found.logits is None else found.logits.highest[:, :SHOWN].tolist()
    place = page_map.positions(found.directions, fired, seed)

    def refs(tokens: Any) -> list[int]:
        return [words.ref(piece(found.tokenizer, int(t))) for t in tokens]

    f1 = found.rules.verdict.f1
    columns = {
        "id": found.ids.tolist(),
        "name": [f"latent {id}" for id in found.ids],
        "label": [found.label(i) for i in range(n)],
        "density": [number(d) for d in found.density()],
        "max": [number(v) for v in found.statistics.largest],
        "quality": [number(f, 3) if k else None for f, k in zip(f1, known, strict=True)],
        "x": [number(v) for v in place[:, 0]],
        "y": [number(v) for v in place[:, 1]],
        "mean": [number(v) for v in found.mean()],
        "norm": [number(v) for v in np.linalg.norm(found.directions, axis=1)],
        "top": [refs(tokens) for tokens in found.rules.favourites],
        "promoted": [refs(tokens) for tokens in promoted],
    }
    return {
        "version": 1,
        "kind": "llm",
        "title": title,
        "unit": "latent",
        "dictionary": words.words,
        "columns": columns,
        "sorts": SORTS,
    }


def _about(lm: LanguageModel, sae: SAE, hook: str, found: Findings) -> list[list[str]]:
    s, n = found.statistics, len(found.ids)
    pages = f"all {n:,}" if n == sae.d_sae else f"{n:,} of {sae.d_sae:,}"
    return [
        ["Model", f"{_name(lm)}: {lm.spec.n_layers} layer{'s' * (lm.spec.n_layers > 1)} of width {lm.spec.d_model}"],
        ["Hook point", f"{hook}, {sae.d_in:,} {found.coordinate}s"],
        ["SAE", f"{type(sae).__name__}, {sae.d_sae:,} latents; pages of {pages}"],
        ["Text", f"{s.tokens:,} tokens in rows of {found.tokens.tokens.shape[1]}: {', '.join(found.tokens.sources)}"],
        ["L0", f"{s.active:.4g} latents fire on a token"],
        ["Dead", f"{int((s.fired == 0).sum()):,} of these latents fire on none of the tokens"],
        ["Quality", "F1 of the best simple description of when a latent fires, chosen on half of the rows, scored on the others"],
    ]  # fmt: skip


def _alike(rows: np.ndarray, all_rows: np.ndarray, k: int, exclude: np.ndarray | None = None) -> Likeness:
    """The k of `all_rows` with the greatest cosine to each of `rows`, without exclude (n,)."""
    unit, other = (w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-30) for w in (rows, all_rows))
    k = min(k, len(other) - (exclude is not None))
    index, cosine = np.zeros((len(unit), k), np.int64), np.zeros((len(unit), k))
    step = max(1, CELLS // len(other))
    for a in range(0, len(unit) if k else 0, step):
        c = unit[a : a + step] @ other.T
        if exclude is not None:
            c[np.arange(len(c)), exclude[a : a + step]] = -np.inf
        some = np.argpartition(-c, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(c, some, 1)
        order = np.lexsort((some, -values), axis=1)
        index[a : a + step] = np.take_along_axis(some, order, 1)
        cosine[a : a + step] = np.clip(np.take_along_axis(values, order, 1), -1, 1)
    return Likeness(index, cosine)
