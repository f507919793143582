"""Model families of Hugging Face: config.json -> Spec, tensors -> parameters. A new family is one file and one line."""

from collections.abc import Mapping
from typing import Any

from superposition.errors import ConfigError
from superposition.llm.families import (
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_neo,
    gpt_neox,
    llama,
    mistral,
    qwen2,
    qwen3,
)
from superposition.llm.families._base import Family, Tensor
from superposition.llm.spec import Spec

# Every family of language models by the `model_type` of its config.json.
FAMILIES: dict[str, Family] = {
    "gpt2": gpt2.FAMILY,
    "gpt_neo": gpt_neo.FAMILY,
    "gpt_neox": gpt_neox.FAMILY,
    "llama": llama.FAMILY,
    "mistral": mistral.FAMILY,
    "qwen2": qwen2.FAMILY,
    "qwen3": qwen3.FAMILY,
    "gemma": gemma.FAMILY,
    "gemma2": gemma2.FAMILY,
    "gemma3": gemma3.FAMILY_MULTIMODAL,
    "gemma3_text": gemma3.FAMILY,
}

__all__ = ["FAMILIES", "Family", "Tensor", "parse"]


def parse(config: Mapping[str, Any]) -> tuple[Family, Spec]:
    """The family of a config.json, by its model_type, and the Spec.

    Raises ConfigError for a model_type that is not supported, and for every key or value that is not.

    >>> from superposition.llm.families import parse
    >>> family, spec = parse({"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4})
    >>> spec.n_layers, spec.d_head, family.block
    (2, 16, 'transformer.h.{}')
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ConfigError(
            f"config.json: model_type is {kind!r:.80}; supported: {', '.join(FAMILIES)}. "
            "superposition.llm.torch_source runs any architecture of transformers"
        )
    return FAMILIES[kind], FAMILIES[kind].spec(config)
