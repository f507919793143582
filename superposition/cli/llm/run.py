"""`superposition llm activations` and `generate`: activations to a cache, and texts continued in the terminal."""

import sys

import jax

from superposition._internal.memory import enough_memory
from superposition.activations.cache import manifest
from superposition.cli.llm.config import ActivationsConfig, GenerateConfig
from superposition.cli.llm.data import (
    about_text,
    hook_of,
    open_model,
    place_of,
    read_tokens,
    rows_note,
)
from superposition.cli.terminal import visible
from superposition.llm.cache import write_cache
from superposition.llm.packing import RanDryError
from superposition.llm.place import bos_note
from superposition.training import loop
from superposition.training.progress import terminal


def write_activations(config: ActivationsConfig) -> str:
    """Write the cache, or what is missing of it, and say what is there.

    Raises ConfigError for settings, models and text, StoreError for the disk, Interrupted after SIGINT, SIGTERM or SIGHUP;
    where the text runs dry, RanDryError once the cache of what there was is finished.
    """
    out = config.out
    assert out is not None
    with enough_memory("give a smaller --ctx or fewer hook points; --resume goes on from what was saved"):
        lm = open_model(config)
        hooks = [hook_of(lm, name) for name in dict.fromkeys(config.hook or (None,))]
        dry = None
        try:
            tokens = read_tokens(config, lm)
        except RanDryError as error:
            tokens, dry = error.tokens, error
        place = place_of(config, lm, tokens)
        if manifest.is_cache(
            out
        ):  # what the rows are is in the rest; an older version may have said this otherwise
            place = manifest.read(out).settings["about"].get("place", place)
        about, (n, ctx) = {**about_text(config, lm, tokens), "place": place}, tokens.tokens.shape
        with loop.interruptible() as stop, terminal(n, ctx, "tokens", "capturing") as bar:
            if not write_cache(
                lm, tokens, hooks, out, about, dtype=config.dtype, progress=bar.advance, stop=stop
            ):
                raise stop.interrupted(f"{out} holds what is done; run the same with --resume to continue")
    if dry is not None:
        raise RanDryError(f"{dry}; {out} holds the activations of what there is", tokens) from dry
    return (
        f"{rows_note(config, lm, tokens)}\n"
        f"{int(tokens.usable.sum())} tokens at {', '.join(hooks)} in {out}; train on them with: "
        f"superposition llm train-sae --cache {out} --hook {hooks[0]}"
    )


def generate(config: GenerateConfig) -> str:
    """Each prompt with its continuation by each seed, up to the model's end of text; invisible characters as escapes.

    Raises ConfigError for settings, and for prompts and n that exceed the model's positions.
    """
    with enough_memory("give fewer prompts, or a smaller --n"):
        lm = open_model(config)
        prompts = [lm.prompt_ids(text) for text in config.prompt]
        drawn = [
            lm.generate(
                list(config.prompt),
                config.n,
                key=jax.random.key(seed),
                temperature=config.temperature,
                top_p=config.top_p,
                end=lm.token_facts.eos,
            ).tolist()
            for seed in config.seed
        ]
    print(visible(bos_note(lm)), file=sys.stderr, flush=True)
    return "\n---\n".join(
        visible(f"{text}{lm.continuation(prompt, lm.token_facts.until_eos(row))}")
        for text, prompt, rows in zip(config.prompt, prompts, zip(*drawn, strict=True), strict=True)
        for row in rows
    )
