"""`superposition llm generate`: texts continued in the terminal."""

import sys
from collections.abc import Iterator

import jax

from superposition._internal import validate
from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import GenerateConfig
from superposition.cli.llm.data import begun, open_model
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError


def generate(config: GenerateConfig) -> Iterator[str]:
    """Each prompt with its continuation, up to the model's end of text; invisible characters as escapes.

    Raises ConfigError for settings, and for prompts and n that exceed the model's positions.
    """
    validate.integer("seed", config.seed, 0, validate.MAX_SEED)
    if not config.prompt:
        raise ConfigError("--prompt takes at least one text; '' begins with nothing")
    with enough_memory("give fewer prompts, or a smaller --n"):
        lm = open_model(config)
        prompts = [lm.prompt_ids(text) for text in config.prompt]
        new = lm.generate(
            list(config.prompt),
            config.n,
            key=jax.random.key(config.seed),
            temperature=config.temperature,
            top_p=config.top_p,
            end=lm.token_facts.eos,
        )
    print(begun(lm), file=sys.stderr, flush=True)
    for text, prompt, row in zip(config.prompt, prompts, new.tolist(), strict=True):
        yield visible(f"{text}{lm.continuation(prompt, lm.token_facts.until_eos(row))}")
