"""Feature pages of the shipped SAE over cached activations: seconds, peak memory, bytes a page.

Rows of text (sampled from the model after our demonstration text) are repeated, each time begun at another token, until
there are enough; a cache of their activations is written to a temporary folder (not timed). Then, in a process of
its own for every number of tokens, pages of so many latents are made, effects included, and put into JSON. The peak
is of resident memory, at_start is before there are tokens, tokens_mb what they hold; cpu_seconds are of all cores.

Command:  python -m benchmarks.pages [--tokens 250000 1000000] [--features 1000] [--sae FOLDER]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.language_model.shared.small_lm import HOOK, material
from superposition.activations.cache import Cache, CacheWriter
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.pages.llm import feature_pages
from superposition.storage import formats

SAE = "superposition/small-lm-sae"
BATCH = 64  # rows captured at once


def enough(tokens: Tokens, wanted: int) -> Tokens:
    """At least so many usable tokens: the rows again, each turned by some tokens behind its BOS."""
    n, ctx = tokens.tokens.shape
    copies = -(-wanted // int(tokens.usable.sum()))
    rows = -(-wanted * n // int(tokens.usable.sum()))
    ids, usable = (
        np.concatenate([np.hstack([a[:, :1], np.roll(a[:, 1:], turn * (ctx // copies or 1), 1)]) for turn in range(copies)])
        for a in (tokens.tokens, tokens.usable)
    )  # fmt: skip
    return Tokens(ids[:rows], usable[:rows], np.tile(tokens.source, copies)[:rows], tokens.sources)


def write_cache(folder: Path, lm: LanguageModel, tokens: Tokens) -> None:
    """The activations of the usable tokens at HOOK."""
    with CacheWriter(folder, {}, {HOOK: lm.width(HOOK)}, rows=int(tokens.usable.sum())) as writer:
        writer.save_tokens(tokens.tokens)
        for first in range(0, len(tokens.tokens), BATCH):
            ids = tokens.tokens[first : first + BATCH]
            filled = np.pad(ids, ((0, BATCH - len(ids)), (0, 0)), mode="edge")
            x = np.asarray(lm.run_with_cache(filled, [HOOK], stop_at_layer=1)[1][HOOK])
            row, at = np.nonzero(tokens.usable[first : first + BATCH])
            writer.append({HOOK: x[row, at]}, first + row, at)


def peak() -> float:
    """MB resident at most so far (getrusage would count what the parent held when it forked)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def one(folder: Path, features: int, sae: str) -> dict[str, Any]:
    """Pages over what is in a folder."""
    lm, loaded = LanguageModel.from_hf(), formats.load(sae)
    at_start = peak()
    with np.load(folder / "tokens.npz") as held:
        tokens = Tokens(held["tokens"], held["usable"], held["source"], tuple(map(str, held["sources"])))
    start, worked = time.perf_counter(), time.process_time()
    chosen = range(min(features, loaded.sae.d_sae))
    pages = feature_pages(
        lm, loaded.sae, loaded.params, HOOK, tokens, cache=Cache(folder / "cache"), features=chosen
    )
    found = time.perf_counter()
    sizes = [
        len(json.dumps(page, separators=(",", ":"), ensure_ascii=False).encode()) for page in pages.features
    ]
    texts = [len(json.dumps(text).encode()) for text in pages.texts]
    return {
        "tokens": int(tokens.usable.sum()),
        "features": len(sizes),
        "seconds": round(time.perf_counter() - start, 1),
        "seconds_writing": round(time.perf_counter() - found, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
        "at_start_mb": round(at_start),
        "peak_mb": round(peak()),
        "tokens_mb": round(sum(a.nbytes for a in tokens[:3]) / 1e6, 1),
        "kb_a_feature": round(float(np.mean(sizes)) / 1000, 2),
        "largest_kb": round(max(sizes) / 1000, 2),
        "kb_a_text": round(float(np.mean(texts)) / 1000, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure and print; the numbers go to pages.json beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--sae", default=SAE)
    parser.add_argument("--folder", type=Path, help="(of a child process)")
    args = parser.parse_args()
    if args.folder is not None:
        print(json.dumps(one(args.folder, args.features, args.sae)))
        return
    lm = LanguageModel.from_hf()
    own = material(lm, rows=64, test_rows=1).train
    results = []
    for wanted in args.tokens:
        with tempfile.TemporaryDirectory() as name:
            folder, tokens = Path(name), enough(own, wanted)
            np.savez(folder / "tokens.npz", **{**tokens._asdict(), "sources": np.array(tokens.sources)})
            write_cache(folder / "cache", lm, tokens)
            command = [sys.executable, "-m", "benchmarks.pages", "--folder", name, "--sae", args.sae]
            done = subprocess.run(
                [*command, "--features", str(args.features)], stdout=subprocess.PIPE, check=True
            )
            results.append(json.loads(done.stdout))
            print(results[-1], flush=True)
    (Path(__file__).parent / "pages.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
