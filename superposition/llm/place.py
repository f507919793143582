"""Where the activations of an SAE are from, in the words of SAELens's LanguageModelSAERunnerConfig."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.llm.hub import SHIPPED
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens

SAMPLES = 4096  # numbers of each parameter that its digest is of


def place_of(
    lm: LanguageModel, tokens: Tokens, *, model: str, text: str, packed: bool, keep_bos: bool
) -> dict[str, Any]:
    """The metadata of activations of a model on rows of tokens, said as the rows themselves are.

    model: the name or folder that was asked for. text: what the rows are made of. packed: whether the rows were put
    together from documents here. keep_bos: whether BOS, EOS and first positions count too.
    """
    facts, ids, usable = lm.token_facts, tokens.tokens, tokens.usable
    first = 0 if tokens.valid is None else tokens.valid.argmax(1)
    begun = facts.bos_id is not None and bool((ids[np.arange(len(ids)), first] == facts.bos_id).all())
    special = np.isin(ids, list(facts.special))
    hub = not (Path(lm.name).expanduser().is_dir() or lm.name in SHIPPED)
    return {
        "model_name": model,
        # TransformerLens loads models by their names on the hub and gives the same activations; folders it cannot.
        "model_class_name": "HookedTransformer" if hub else "superposition.llm.LanguageModel",
        "hook_head_index": None,
        "context_size": ids.shape[1],
        "dataset_path": text,
        "model_from_pretrained_kwargs": {},
        "prepend_bos": begun,
        "exclude_special_tokens": not (keep_bos or bool((special & usable).any())),
        "seqpos_slice": [None] if begun or usable[:, 0].any() else [1, None],
        "sequence_separator_token": separator_of(lm) if packed else None,
        "disable_concat_sequences": False,
    }


def separator_of(lm: LanguageModel) -> str | int | None:
    """What documents are joined by, in SAELens's words; an id where its "eos" is another token than ours."""
    facts = lm.token_facts
    if facts.separator_id is None:
        return None
    theirs = getattr(lm.tokenizer, f"{facts.separator}_token_id", None)
    return facts.separator if theirs in (None, facts.separator_id) else facts.separator_id


def placed(place: dict[str, Any], hook: str, target: str | None) -> dict[str, Any]:
    """The metadata of an SAE at a hook point, heads flattened as SAELens flattens them."""
    result = {**place, "hook_name": hook}
    result |= {} if target is None else {"hook_name_out": target}
    return result | ({"reshape_activations": "hook_z"} if hook.endswith("hook_z") else {})


def bos_note(lm: LanguageModel) -> str:
    """Whether prompts and rows begin with BOS, and why, in words.

    >>> bos_note(LanguageModel.from_hf())
    "BOS '<bos>' in front (a model trained here begins its rows with it)"
    """
    facts = lm.token_facts
    return f"{'no BOS' if facts.bos is None else f'BOS {_spelled(lm, facts.bos)}'} in front ({facts.why_bos})"


def rows_note(lm: LanguageModel) -> str:
    """How rows are made of documents, in words."""
    facts, separator = lm.token_facts, lm.token_facts.separator_id
    joined = "nothing" if separator is None else f"{facts.separator.upper()} {_spelled(lm, separator)}"
    return f"rows with {bos_note(lm)}, documents joined by {joined}"


def _spelled(lm: LanguageModel, id: int) -> str:
    """A special token as it is written, or its id without a tokenizer."""
    try:
        return repr(lm.tokenizer.convert_ids_to_tokens(id))
    except ConfigError:
        return str(id)


def digests(lm: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """JSON by which a run that is resumed knows its model and its rows of tokens, whatever they are called."""
    rows, ctx = tokens.tokens.shape
    return {
        "model_sha256": digest(lm),
        "rows": rows,
        "ctx": ctx,
        "usable": int(tokens.usable.sum()),
        "tokens_sha256": hashlib.sha256(np.ascontiguousarray(tokens.tokens).tobytes()).hexdigest(),
        "sources": list(tokens.sources),
    }


def digest(lm: LanguageModel) -> str:
    """A hash of numbers spread over every parameter."""
    total = hashlib.sha256()
    for name, value in sorted(lm.params.items()):
        spread = np.asarray(value.reshape(-1)[:: max(1, value.size // SAMPLES)])
        total.update(f"{name} {value.shape} {value.dtype}".encode())
        total.update(spread.tobytes())
    return total.hexdigest()
