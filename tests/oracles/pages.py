"""A set of pages of made-up features: every kind of panel, right-to-left text and hostile tokens, and no model."""

import base64

import numpy as np

HOSTILE = (
    "</script>", "</ScRiPt ><script>window.__pwned=1</script>", "<!--", "<!--<script>", "-->", "]]>", "<![CDATA[",
    "<img src=x onerror=window.__pwned=1>", "<svg onload=window.__pwned=1>", "javascript:window.__pwned=1",
    '"><b onmouseover="window.__pwned=1">', "' onfocus='window.__pwned=1' autofocus x='", "&lt;", "&amp;", "<", "&",
    "\u2028", "\u2029", "\\u003c", "\\", "'", '"', "`${window.__pwned=1}`", "{{", "{{data}}", "{{module}}",
    "__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "=1+1", "+1", "-1", "@SUM(A1)",
    "=cmd|' /C calc'!A0", "\x00", "\x1b[31m", "\x7f", "\x85", "\u200b", "\u200f", "\u202e", "\u2066", "\ufeff",
    "\U000e0041", "\ud800", "$x$", "%s", "\t", "a\nb", "\u0301", "ﷺ" * 8,
)  # fmt: skip
LINES = {
    "english": "The| light|house| keeper| counted| the| waves|,| and| the| waves| went| on| counting| him|.",
    "arabic": "ي|ولد| جميع| الن|اس| أحر|ارا| متس|اوين| في| الك|رامة| وال|حقوق|.",
    "hebrew": "כל| בני| האדם| נול|דו| בני| חור|ין| ושו|וים| בער|כם|.",
    "code": "def| f|(|x|):|↵|⇥|return| x| *| x| #| square|↵",
    "bytes": "caf|é| na|⟨C3⟩|⟨AF⟩|ve| ⟨|⟨U+202E⟩|⟨U+200B⟩|◌́| e|\u0301|t| 東京",
    "hostile": None,
}


def b64(values, dtype):
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


class Words:
    def __init__(self):
        self.words = []

    def ref(self, word):
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


def line(name):
    return list(HOSTILE) if LINES[name] is None else LINES[name].split("|")


def examples(random, words, top, title="Examples"):
    names = list(LINES)
    rows = [line(name) for name in names for _ in range(2)]
    tokens = [words.ref(t) for row in rows for t in row]
    peaks = [int(random.integers(len(row))) for row in rows]
    acts = []
    for row, peak in zip(rows, peaks, strict=True):
        act = np.where(random.random(len(row)) < 0.3, random.random(len(row)) * 200, 0)
        act[peak] = random.integers(150, 256)
        acts += act.tolist()
    effects = [
        np.clip(random.normal(size=len(tokens)) * 60 * (random.random(len(tokens)) < 0.5), -127, 127)
        for _ in "ab"
    ]
    half = len(rows) // 2
    return {
        "type": "examples", "title": title, "note": "rows of 14 tokens chosen by their largest activation",
        "groups": [
            {"title": "Top activations", "note": "", "rows": list(range(half))},
            {"title": "Interval 2.0 to 4.0 <b>", "note": "contains 31 % of activations", "rows": list(range(half, len(rows)))},
        ],
        "source": [n for n in names for _ in range(2)], "place": [[int(i), int(i) + 20] for i in range(len(rows))],
        "peak": peaks, "length": [len(r) for r in rows], "tokens": b64(tokens, "<u2"), "act": b64(acts, "u1"),
        "scale_act": top, "full": b64(effects[0], "i1"), "scale_full": 1.5,
        "direct": b64(effects[1], "i1"), "scale_direct": 0.8,
    }  # fmt: skip


def feature(i, n, top, seed=0):
    """Feature i of n. Number 3 is dead, number 4 that of a toy with its truth beside it."""
    random, words = np.random.default_rng([seed, i]), Words()
    counts = np.floor(4000 * np.exp(-np.arange(40) / 6)).astype(int).tolist()
    weights = np.floor(300 * np.exp(-(((np.arange(40) - 18) / 6.0) ** 2))).astype(int).tolist()
    stats = {
        "type": "stats", "title": "In numbers", "note": "",
        "rows": [["density", "1.2 %", "share of tokens that it fires on"], ["largest activation", f"{top:.3g}", ""],
                 ["tokens", "1,048,576", "of the text that the activations are of"]],
    }  # fmt: skip
    dead = i == 3
    if dead:
        panels = [stats, {"type": "empty", "title": "Examples", "note": "It never fired, so there are none."}]
    else:
        chips = [w for name in ("english", "arabic", "bytes") for w in line(name)[:4]] + [
            HOSTILE[i % len(HOSTILE)]
        ]
        panels = [
            stats,
            {"type": "histogram", "title": "Activations", "note": "where it is not 0", "from": 0.0, "to": top,
             "counts": counts, "diverging": False, "x": "activation"},
            {"type": "histogram", "title": "Logit weights", "note": "", "from": -1.5, "to": 1.5, "counts": weights,
             "diverging": True, "x": "weight"},
            {"type": "tokens", "title": "Tokens raised and lowered", "note": "decoder direction times unembedding",
             "positive": [[words.ref(w), 1.4 - 0.1 * j] for j, w in enumerate(chips[:10])],
             "negative": [[words.ref(w), -1.2 + 0.1 * j] for j, w in enumerate(reversed(chips))][:10]},
            {"type": "table", "title": "Nearest decoder directions", "note": "", "head": ["latent", "cosine", "token", "what"],
             "rows": [[{"f": (i + d) % n}, 0.9 / d, {"t": words.ref(chips[d])}, None if d == 2 else "<i>note</i>"]
                      for d in (1, 2, 3)]},
            {"type": "curve", "title": "Dose and response", "note": "", "x": {"name": "strength", "values": [-4, -2, 0, 2, 4]},
             "y": "probability", "series": [{"name": "its tokens", "values": [0.01, 0.02, 0.05, 0.3, 0.62]},
                                            {"name": "other tokens", "values": [0.2, 0.19, 0.2, None, 0.21]}]},
            examples(random, words, top),
        ]  # fmt: skip
        if i == 4:
            for panel in panels[:3]:
                panel["side"] = "truth"
            panels[3:3] = [
                {**p, "side": "latent", "title": p["title"] + " of the latent"} for p in panels[:3]
            ]
    return {"id": i, "name": f"latent {i}", "dictionary": words.words, "panels": panels, "dead": dead}


def text(name, n, seed=0):
    random, words, k = np.random.default_rng([seed, len(name)]), Words(), 4
    tokens = line(name) * 6
    features = random.integers(0, n, (len(tokens), k))
    features[random.random(features.shape) < 0.2] = -1
    shares = np.sort(random.integers(1, 256, features.shape) * random.random((len(tokens), 1)) ** 2, 1)[
        :, ::-1
    ]
    return {
        "name": name, "dictionary": words.words if (refs := [words.ref(t) for t in tokens]) else [], "tokens": b64(refs, "<u2"),
        "k": k, "features": b64(features, "<i4"), "act": b64(shares, "u1"),
        "direct": b64(np.clip(random.normal(size=features.shape) * 40, -127, 127), "i1"), "scale_direct": 0.9,
    }  # fmt: skip


def pages(n=12, seed=0):
    """(index, features, texts) of n features; the features come one by one."""
    random, words = np.random.default_rng(seed), Words()
    vocabulary = [w for name in LINES for w in line(name)]
    tops = [None if i == 3 else round(float(3 + 9 * random.random()), 3) for i in range(n)]
    refs = [[words.ref(vocabulary[(7 * i + j) % len(vocabulary)]) for j in range(5)] for i in range(n)]
    groups = random.normal(size=(8, 2)) * 3
    places = groups[np.arange(n) % 8] + random.normal(size=(n, 2)) * 0.5
    index = {
        "version": 1, "kind": "llm", "title": "Latents of a made-up SAE", "unit": "latent",
        "about": [["model", "none"], ["text", "made up & <b>hostile</b> in parts"]],
        "dictionary": words.words,
        "columns": {
            "id": list(range(n)), "name": [f"latent {i}" for i in range(n)],
            "label": [HOSTILE[i] if i < 5 else "" if i % 3 else f"fires on {line('english')[i % 16].strip()}"
                      for i in range(n)],
            "density": [float(0.3 * random.random() ** 3) for _ in range(n)], "max": tops,
            "quality": [None if i % 5 == 3 else round(float(random.random()), 4) for i in range(n)],
            "x": places[:, 0].round(3).tolist(), "y": places[:, 1].round(3).tolist(),
            "top": refs, "promoted": [r[::-1][:4] for r in refs],
        },
        "sorts": [["id", "index", "asc"], ["density", "density", "desc"], ["max", "max activation", "desc"],
                  ["quality", "quality", "desc"]],
        "texts": list(LINES),
    }  # fmt: skip
    return (
        index,
        (feature(i, n, tops[i] or 0.0, seed) for i in range(n)),
        (text(name, n, seed) for name in LINES),
    )
