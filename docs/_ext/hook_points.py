"""The table of hook points: names, shapes and families, from the tables of the room of language models."""

import re
from typing import Any

from docs._ext import markdown
from superposition.llm.families import FAMILIES, parse
from superposition.llm.hooks import aliases, hook_shapes
from superposition.llm.spec import Spec

SIZES = ("d_model", "n_heads", "n_kv_heads", "d_head", "d_mlp")
MEANING = {
    "hook_embed": "The embedding of the token",
    "hook_pos_embed": "The embedding of the position, where positions are learned",
    "hook_resid_pre": "The residual stream as the block finds it",
    "hook_resid_mid": "The residual stream between attention and MLP; none where they run in parallel",
    "hook_resid_post": "The residual stream as the block leaves it",
    "hook_scale": "What the norm divides by",
    "hook_normalized": "What the norm gives, its weights not applied",
    "attn.hook_q": "Queries", "attn.hook_k": "Keys", "attn.hook_v": "Values",
    "attn.hook_rot_q": "Queries after rotary positions", "attn.hook_rot_k": "Keys after rotary positions",
    "attn.hook_attn_scores": "Attention before the softmax", "attn.hook_pattern": "Attention after the softmax",
    "attn.hook_z": "What each head takes from the values",
    "hook_attn_out": "What attention adds to the residual stream",
    "mlp.hook_pre": "The MLP before its activation function; of a gated MLP, the gate",
    "mlp.hook_pre_linear": "The other factor of a gated MLP",
    "mlp.hook_post": "The neurons: the MLP after its activation function",
    "hook_mlp_out": "What the MLP adds to the residual stream",
}  # fmt: skip


class _Symbols:
    """A spec whose sizes are their names, so that shapes come out as symbols."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def __getattr__(self, name: str) -> Any:
        return name if name in SIZES else getattr(self._spec, name)


def specs() -> dict[str, Spec]:
    """A spec of every family, with the settings that its config.json has by default."""
    return {kind: parse({"model_type": kind, "text_config": {}} if kind == "gemma3" else {"model_type": kind})[1]
            for kind in FAMILIES}  # fmt: skip


def rows() -> dict[str, tuple[str, list[str]]]:
    """Name, with {i} for the block -> shape and the families that have it, in the order of firing."""
    result: dict[str, tuple[str, list[str]]] = {}
    for kind, spec in specs().items():
        shapes: Any = hook_shapes(_Symbols(spec))  # type: ignore[arg-type]
        for name, shape in shapes.items():
            pattern = re.sub(r"blocks\.\d+", "blocks.{i}", name)
            families = result.setdefault(pattern, (f"({', '.join(map(str, shape))})", []))[1]
            if kind not in families:
                families.append(kind)
    order = {name: i for i, name in enumerate(sorted(result, key=_firing))}
    return dict(sorted(result.items(), key=lambda item: order[item[0]]))


def _firing(name: str) -> int:
    """Where a hook point fires in the family that has it, the longest list first."""
    longest = max(
        (hook_shapes(spec) for spec in specs().values()), key=lambda s: len({n.split(".", 2)[-1] for n in s})
    )
    names = [re.sub(r"blocks\.\d+", "blocks.{i}", one) for one in longest]
    if name in names:
        return 2 * names.index(name)
    before = {"hook_pos_embed": "hook_embed", "blocks.{i}.hook_resid_mid": "blocks.{i}.hook_attn_out"}
    return 2 * names.index(before[name]) + 1 if name in before else len(names) * 2


def meaning(name: str) -> str:
    """What passes a hook point, in words."""
    short = name.removeprefix("blocks.{i}.")
    if short in MEANING:
        return MEANING[short]
    norm, _, last = short.rpartition(".")
    where = {"ln1": "before attention", "ln2": "before the MLP", "ln1_post": "after attention", "ln2_post": "after the MLP",
             "ln_final": "before the unembedding"}[norm]  # fmt: skip
    return f"{MEANING[last]}; the norm {where}"


def page() -> str:
    """The page."""
    every = list(FAMILIES)
    body = [
        (f"`{name}`", f"`{shape}`", "all" if set(have) == set(every) else ", ".join(have), meaning(name))
        for name, (shape, have) in rows().items()
    ]
    gpt2 = FAMILIES["gpt2"]
    spec = specs()["gpt2"]
    others: dict[str, list[str]] = {}
    for alias, name in aliases(spec, gpt2.block, gpt2.attn, gpt2.mlp).items():
        if name.startswith("blocks.0."):
            others.setdefault(name.replace("blocks.0", "blocks.{i}"), []).append(alias)
    also = [
        (f"`{name}`", ", ".join(f"`{re.sub(r'(?<=[.])0(?=[.]|$)', '{i}', alias)}`" for alias in held))
        for name, held in sorted(others.items())
    ]
    paths = [(kind, f"`{f.block}`", f"`{f.attn}`", f"`{f.mlp}`") for kind, f in FAMILIES.items()]
    return "\n".join([
        "# Hook points", "",
        "A hook point is a name for what passes at one place of a language model. Names are TransformerLens's. `{i}` is the",
        "number of the block, from 0; in a model of one block `mlp.hook_post` alone is enough. Where in this library a hook",
        "point is asked for (`run_with_cache`, `edits`, `attach`, `--hook`), any of these names will do, and",
        "`lm.hook_names()` lists those of a model at hand.", "",
        "```python", "import superposition as sp", "", "lm = sp.LanguageModel.from_hf()",
        'logits, seen = lm.run_with_cache("Once upon a time", ["blocks.0.mlp.hook_post"])',
        'seen["blocks.0.mlp.hook_post"].shape  # (1, 5, 512)', "```", "",
        "## Names, shapes and families", "",
        "In the order in which they fire. `batch` prompts of `pos` tokens; `query` and `key` are positions as well.", "",
        markdown.table(("name", "shape", "families", "what passes"), body), "",
        "## Other names", "",
        "Hugging Face's module paths mean what the module returns, and TransformerLens's newer bridge names are known too. Here",
        "as a GPT-2 has them; other families have their own paths (the table below).", "",
        markdown.table(("hook point", "other names"), also), "",
        "## Module paths of the families", "",
        markdown.table(("model_type", "block", "attention", "MLP"), paths), "",
    ])  # fmt: skip
