"""Text for demonstrations, made on the reader's machine: our own sentences, generated formats, the reader's own code."""

import base64
import json
import sysconfig
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from superposition._internal import validate

MODULES = (
    "calendar", "cmd", "codeop", "configparser", "contextlib", "copy", "csv", "difflib", "fnmatch", "functools", "getopt",
    "gettext", "glob", "graphlib", "linecache", "optparse", "pprint", "queue", "sched", "shelve", "shlex", "shutil",
    "tarfile", "threading", "timeit", "trace", "uuid", "wave",
)  # fmt: skip
HEADERS = 30
DNA_LINE, HEX_LINE = 70, 64
ORDER = 3


def demo_text(seed: int = 0, size: int = 20_000) -> dict[str, list[str]]:
    """Documents by source, about `size` characters of each format: a function of seed, size and the Python that runs.

    Sentences in many scripts, as many as we wrote (`sentences`), in an order drawn from the seed; json,
    base64 (of ASCII text, of float32 numbers, of random bytes), hex and dna (a random Markov chain),
    generated; python and c from the reader's own Python, absent where its sources are.
    """
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    validate.integer("size", size, 200)
    raw = size * 3 // 4
    formats = {
        "json": _records(_random(seed, 0), size),
        "base64_ascii": [_base64(_prose(_random(seed, 1), raw).encode())],
        "base64_binary": [_base64(_random(seed, 2).normal(size=raw // 4).astype("<f4").tobytes())],
        "base64_random": [_base64(_random(seed, 3).bytes(raw))],
        "hex": [_lines(_random(seed, 4).bytes(size // 2).hex(), HEX_LINE)],
        "dna": [_lines(_dna(_random(seed, 5), size), DNA_LINE)],
    }
    shuffled = {
        name: ["\n".join(_random(seed, 6 + i).permutation(lines)) + "\n"]
        for i, (name, lines) in enumerate(sentences().items())
    }
    paths = sysconfig.get_paths()
    modules = [Path(paths["stdlib"]) / f"{name}.py" for name in MODULES]
    headers = sorted(Path(paths["include"]).glob("*.h"))
    code = {
        "python": _middles(modules, size),
        "c": _middles(headers[:: max(1, len(headers) // HEADERS)], size),
    }
    return {name: documents for name, documents in (shuffled | formats | code).items() if documents}


@cache
def sentences() -> dict[str, tuple[str, ...]]:
    """Plain sentences by language, written for this library; for Cherokee, greetings and short phrases."""
    text = resources.files("superposition.llm").joinpath("demo_sentences.json").read_text("utf-8")
    return {name: tuple(lines) for name, lines in json.loads(text).items()}


def _random(seed: int, source: int) -> np.random.Generator:
    return np.random.default_rng((seed, source))


def _prose(random: np.random.Generator, size: int) -> str:
    english = sentences()["english"]
    drawn, length = [], 0
    while length < size:
        drawn.append(english[random.integers(len(english))])
        length += len(drawn[-1]) + 1
    return " ".join(drawn)[:size]


def _base64(data: bytes) -> str:
    return base64.encodebytes(data).decode()


def _lines(text: str, width: int) -> str:
    return "".join(text[i : i + width] + "\n" for i in range(0, len(text), width))


def _dna(random: np.random.Generator, size: int) -> str:
    """A Markov chain of order 3 over the bases, its probabilities drawn too."""
    cumulative = random.dirichlet(np.full(4, 4.0), 4**ORDER).cumsum(1)[:, :3]
    state, bases = 0, []
    for u in random.random(size):
        base = int((cumulative[state] < u).sum())
        bases.append("ACGT"[base])
        state = (state * 4 + base) % 4**ORDER
    return "".join(bases)


def _records(random: np.random.Generator, size: int) -> list[str]:
    words = sorted(
        {w for line in sentences()["english"] for w in line.strip(".").lower().split() if w.isalpha()}
    )

    def word() -> str:
        return words[random.integers(len(words))]

    documents, length = [], 0
    while length < size:
        rows = [
            {
                "id": int(random.integers(10**6)),
                "name": f"{word()} {word()}",
                "tags": [word() for _ in range(random.integers(4))],
                "price": round(float(random.gamma(2.0, 20.0)), 2),
                "in_stock": bool(random.integers(2)),
                "parent": None if random.integers(2) else int(random.integers(10**4)),
            }
            for _ in range(random.integers(2, 6))
        ]
        documents.append(
            json.dumps({"count": len(rows), "items": rows}, indent=int(random.integers(1, 5))) + "\n"
        )
        length += len(documents[-1])
    return documents


def _middles(paths: list[Path], size: int) -> list[str]:
    """About size characters in all, whole lines from the middle of each file that is there."""
    texts = [path.read_text("utf-8", errors="replace") for path in paths if path.is_file()]
    documents = []
    for text in texts:
        share = min(len(text), max(1, size // len(texts)))
        start = text.rfind("\n", 0, (len(text) - share) // 2 + 1) + 1
        documents.append(text[start : text.find("\n", start + share - 1) + 1 or None])
    return [document for document in documents if document.strip()]
