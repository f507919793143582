"""`superposition llm generate`: texts continued in the terminal."""

import sys

import jax

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import GenerateConfig
from superposition.cli.llm.data import begun, open_model
from superposition.cli.sae.report import visible


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
    print(begun(lm), file=sys.stderr, flush=True)
    return "\n---\n".join(
        visible(f"{text}{lm.continuation(prompt, lm.token_facts.until_eos(row))}")
        for text, prompt, rows in zip(config.prompt, prompts, zip(*drawn, strict=True), strict=True)
        for row in rows
    )
