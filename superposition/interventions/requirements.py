"""What an SAE expects of the model it is run on, as the metadata of SAELens say it: read once, obeyed or refused.

needs = requirements(formats.load(path).metadata)
lm = needs.model(lm, hook)             # writing weights centred, rows with BOS, where the metadata say so
tokens = needs.positions(lm, tokens)   # usable where the SAE was trained
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from superposition.errors import ConfigError
from superposition.llm.model import LanguageModel
from superposition.llm.model_names import other_model
from superposition.llm.packing import Tokens
from superposition.llm.processing import centred, with_folded_value_biases

KWARGS = "model_from_pretrained_kwargs"
ATTENTION = re.compile(r"\.attn\.hook_(rot_)?[qkvz]$")  # where changes of attention's weights can be seen
# What TransformerLens's from_pretrained takes and activations at our hook points do not depend on. Folding LayerNorm
# leaves them alone, as our hook_normalized comes before its weights; centring the unembedding moves logits alike.
_NO_MATTER = """
    fold_ln center_unembed dtype torch_dtype device device_map n_devices move_to_device hf_model tokenizer
    default_padding_side default_prepend_bos first_n_layers cache_dir local_files_only local_path trust_remote_code
    token use_auth_token attn_implementation low_cpu_mem_usage use_safetensors verbose n_ctx
    use_attn_result use_split_qkv_input use_hook_mlp_in use_attn_in use_hook_tokens ungroup_grouped_query_attention
"""
NO_MATTER = frozenset(_NO_MATTER.split())
OTHER_WEIGHTS = ("revision", "checkpoint_index", "checkpoint_value", "checkpoint_label")
SWITCHES = ("center_writing_weights", "fold_value_biases", "refactor_factored_attn_matrices")


@dataclass(frozen=True)
class Requirements:
    """What the metadata of an SAE say of the model and of the text it was trained on; None where they say nothing.

    kwargs: how TransformerLens loaded the model. prepend_bos: whether rows began with BOS. seqpos_slice: the
    positions of a row that it was trained on. exclude_special_tokens: whether special tokens were left out, or which.

    >>> Requirements(prepend_bos=True, seqpos_slice=slice(1, None)).slice_text()
    '[1, null, null]'
    """

    hook_name: str | None = None
    hook_head_index: int | None = None
    model_name: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    prepend_bos: bool | None = None
    context_size: int | None = None
    seqpos_slice: slice | None = None
    exclude_special_tokens: bool | tuple[int, ...] | None = None

    def check(self, hook: str) -> None:
        """ConfigError, by name, for what cannot be done at a hook point."""
        if (head := self.hook_head_index) is not None:
            raise ConfigError(
                f"the SAE is for head {head} of {hook} alone (hook_head_index), and SAEs of one head are not run here;"
                f" in Python, give sae.encode the activation [..., {head}, :] of run_with_cache"
            )
        if self._does("refactor_factored_attn_matrices") and ATTENTION.search(hook):
            raise ConfigError(
                f"{KWARGS} has refactor_factored_attn_matrices, which changes {hook} and is not done here; give an SAE"
                " of another hook point, or of a model loaded without it"
            )

    def changes(self, hook: str) -> tuple[bool, bool, bool | None]:
        """By which a model differs: writing weights centred, biases of values folded, rows with BOS."""
        folds = self._does("fold_value_biases") and ATTENTION.search(hook) is not None
        return self._does("center_writing_weights"), folds, self.prepend_bos

    def model(self, lm: LanguageModel, hook: str) -> LanguageModel:
        """The model with weights and BOS as the SAE expects them; ConfigError for what cannot be done, by name."""
        self.check(hook)
        centres, folds, prepend_bos = self.changes(hook)
        lm = centred(lm) if centres else lm
        lm = with_folded_value_biases(lm) if folds else lm
        return begun(lm, prepend_bos)

    def processed(self, hook: str) -> str | None:
        """A setting by which `model` changes weights as `hook` sees them, None where there is none."""
        centres, folds, _ = self.changes(hook)
        return "center_writing_weights" if centres else "fold_value_biases" if folds else None

    def positions(self, lm: LanguageModel, tokens: Tokens) -> Tokens:
        """The tokens, usable where the SAE was trained; ConfigError where that is nowhere."""
        usable = self.trained_on(lm, tokens.tokens, tokens.usable)
        if tokens.valid is not None:  # padding never counts
            usable = usable & tokens.valid
        if not usable.any():
            raise ConfigError(
                f"the SAE was trained on the positions {self.slice_text()} of its rows, and none of these rows, of"
                f" {tokens.tokens.shape[1]} tokens, has a usable one there; give longer rows (ctx)"
            )
        return tokens._replace(usable=usable)

    def trained_on(
        self, lm: LanguageModel, ids: Integer[np.ndarray, "rows pos"], usable: Bool[np.ndarray, "rows pos"]
    ) -> Bool[np.ndarray, "rows pos"]:
        """Where the SAE was trained in rows of ids, (rows, pos): by what the metadata say, else where `usable` is."""
        excluded, positions = self.exclude_special_tokens, self.seqpos_slice
        if (positions is None and excluded in (None, True)) or (
            positions == slice(None) and excluded is None
        ):
            return usable
        inside = np.zeros(ids.shape, bool)
        inside[:, slice(None) if positions is None else positions] = True
        if excluded is not False:
            inside &= ~np.isin(ids, list(excluded if isinstance(excluded, tuple) else lm.token_facts.special))
        return inside

    def restrictions(self) -> list[str]:
        """What the metadata say of positions that do not count, in words."""
        said = []
        if self.seqpos_slice not in (None, slice(None)):
            said.append(f"seqpos_slice {self.slice_text()}")
        return said + ["exclude_special_tokens"] * (self.exclude_special_tokens not in (None, False))

    def rows_against_bos(self, lm: LanguageModel, tokens: Tokens) -> int:
        """How many rows begin otherwise than prepend_bos says; 0 where it says nothing, or the model has no BOS."""
        bos, ids = lm.token_facts.bos_id, tokens.tokens
        if self.prepend_bos is None or bos is None:
            return 0
        first = 0 if tokens.valid is None else tokens.valid.argmax(1)
        return int(((ids[np.arange(len(ids)), first] == bos) != self.prepend_bos).sum())

    def slice_text(self) -> str:
        """The positions as SAELens writes them."""
        s = self.seqpos_slice or slice(None)
        return f"[{', '.join('null' if n is None else str(n) for n in (s.start, s.stop, s.step))}]"

    def notes(self, lm: LanguageModel) -> list[str]:
        """What cannot be obeyed and may matter, a line each: another model, other weights of it."""
        found = []
        if self.model_name is not None and other_model(lm, self.model_name):
            found.append(f"the SAE is of the model {self.model_name}, and this is {lm.name}")
        for name in OTHER_WEIGHTS:
            if (value := self.kwargs.get(name)) is not None:
                found.append(
                    f"the SAE is of {name} {value} of its model; --model must be a folder of these weights"
                )
        return found

    def obeyed(self, lm: LanguageModel, hook: str) -> list[str]:
        """What is done to the model, and which positions count, other than without the SAE; a line each."""
        lines = []
        centres, folds, _ = self.changes(hook)
        if centres:
            lines.append("the model's writing weights are centred")
        if folds:
            lines.append("the biases of the model's values are folded")
        if self.prepend_bos is not None and self.prepend_bos is not (lm.token_facts.bos is not None):
            lines.append(f"rows and prompts begin {'with' if self.prepend_bos else 'without'} BOS")
        if self.seqpos_slice not in (None, slice(None), slice(1, None)):
            lines.append(f"positions {self.slice_text()} of each row count")
        if self.exclude_special_tokens is False:
            lines.append("special tokens count as text does")
        elif isinstance(self.exclude_special_tokens, tuple):
            lines.append(f"of special tokens {list(self.exclude_special_tokens)} alone are left out")
        return [f"as its metadata say, {line}" for line in lines]

    def _does(self, switch: str) -> bool:
        return self.kwargs.get(switch) is True


def begun(lm: LanguageModel, prepend_bos: bool | None) -> LanguageModel:
    """The model with rows and prompts that begin with BOS (True), do not (False), or do as the model says (None).

    Of a model without BOS, EOS stands for it, as in TransformerLens.
    """
    facts = lm.token_facts
    if prepend_bos is None or prepend_bos is (facts.bos is not None):
        return lm
    first = next(iter(facts.eos), None) if facts.bos_id is None else facts.bos_id
    if prepend_bos and first is None:
        raise ConfigError(
            "prepend_bos is true, and the model has neither BOS nor EOS; is it the SAE's model?"
        )
    why = f"prepend_bos is {str(prepend_bos).lower()} in the SAE's metadata"
    return lm.with_facts(replace(facts, bos=first if prepend_bos else None, bos_id=first, why_bos=why))


def requirements(metadata: Mapping[str, Any]) -> Requirements:
    """What the metadata of an SAE say, ConfigError for a value of another type; keys that are absent or null say nothing.

    >>> needs = requirements({"hook_name": "blocks.0.mlp.hook_post", "prepend_bos": True, "seqpos_slice": [1, None]})
    >>> needs.prepend_bos, needs.seqpos_slice
    (True, slice(1, None, None))
    """
    said: dict[str, Any] = {name: metadata.get(name) for name in Requirements.__dataclass_fields__}
    said["kwargs"] = _kwargs(metadata.get(KWARGS))
    for name, fits, accepted in (
        ("hook_name", lambda v: type(v) is str, "a string"),
        ("model_name", lambda v: type(v) is str, "a string"),
        ("prepend_bos", lambda v: type(v) is bool, "true or false"),
        ("hook_head_index", lambda v: type(v) is int and v >= 0, "an integer >= 0"),
        ("context_size", lambda v: type(v) is int and v >= 1, "an integer >= 1"),
        ("seqpos_slice", _is_slice, "one to three integers or nulls, as [1, null], the step >= 1"),
        ("exclude_special_tokens", _is_excluded, "true, false or a list of token ids"),
    ):
        if said[name] is not None and not fits(said[name]):
            raise _wrong(name, accepted, said[name])
    if said["seqpos_slice"] is not None:
        said["seqpos_slice"] = slice(*said["seqpos_slice"])
    if isinstance(said["exclude_special_tokens"], list):
        said["exclude_special_tokens"] = tuple(said["exclude_special_tokens"])
    return Requirements(**said)


def _is_slice(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= 3:
        return False
    step = value[2] if len(value) == 3 else None
    return all(n is None or type(n) is int for n in value) and (step is None or step >= 1)


def _is_excluded(value: Any) -> bool:
    return type(value) is bool or (
        isinstance(value, list) and all(type(i) is int and 0 <= i < 2**31 for i in value)
    )


def _kwargs(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _wrong(KWARGS, "an object", given)
    known = {*NO_MATTER, *OTHER_WEIGHTS, *SWITCHES}
    if unknown := sorted(name for name, value in given.items() if value is not None and name not in known):
        raise ConfigError(
            f"{KWARGS} has {', '.join(unknown)[:200]}, of which it is not known what it does to activations; remove it"
            " from the SAE's config if it does nothing, or give activations made by the SAE's own library"
        )
    for name in SWITCHES:
        if given.get(name) is not None and type(given[name]) is not bool:
            raise _wrong(f"{KWARGS}.{name}", "true or false", given[name])
    return dict(given)


def _wrong(name: str, accepted: str, got: Any) -> ConfigError:
    return ConfigError(f"{name} in its metadata must be {accepted}; got {got!r:.80}; mend the SAE's config")
