"""Reading a config.json key by key: whatever is not read, known or accepted is refused by name, all at once."""

from collections.abc import Mapping
from typing import Any

from superposition.errors import ConfigError
from superposition.llm.spec import Rotary

MAX = 2**31 - 1
MAX_NUMBER = 1e30  # well inside float32
MAX_LAYERS = 1024  # each is an object before any weight is looked at
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
HEADS = ("ForCausalLM", "LMHeadModel", "Model", "ForConditionalGeneration")  # no classifiers
ATTENTION = ("full_attention", "sliding_attention")

# Nothing here changes logits: provenance, training, generation, tokenizer and output settings.
_IRRELEVANT = """
    _name_or_path _attn_implementation _attn_implementation_autoset _commit_hash _num_labels
    attention_dropout begin_suppress_tokens bad_words_ids cache_implementation chunk_size_feed_forward
    classifier_dropout decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task forced_bos_token_id
    forced_eos_token_id gradient_checkpointing id2label initializer_range is_decoder label2id length_penalty
    max_length min_length model_type no_repeat_ngram_size num_beam_groups num_beams num_labels
    num_return_sequences output_attentions output_hidden_states output_past output_scores pad_token_id prefix
    problem_type remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id
    suppress_tokens task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype
    torchscript transformers.js_config transformers_version typical_p unsloth_fixed unsloth_version
    use_bfloat16 use_cache
"""
IRRELEVANT = frozenset(_IRRELEVANT.split())
# Keys any config may have, of which only these values leave a plain decoder.
ONLY: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "is_causal": (True, None),
    "is_encoder_decoder": (False, None),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
    "sparsity_config": (None,),
    "tie_encoder_decoder": (False, None),
    "use_bidirectional_attention": (False, None),
}


class Keys:
    """The keys of one config: every `get` marks one as read, `close` raises one ConfigError for all that is wrong.

    A default is what transformers takes where the key is absent; null is not absent.
    """

    def __init__(
        self, config: Mapping[str, Any], where: str = "", known: frozenset[str] = IRRELEVANT
    ) -> None:
        self.config, self.where, self.read = config, where, set(known)
        self.values: dict[str, Any] = {}
        self.problems: list[str] = []

    def get(self, name: str, default: Any) -> Any:
        """The value as it is."""
        self.read.add(name)
        self.values[name] = self.config.get(name, default)
        return self.values[name]

    def refuse(self, name: str, accepted: str) -> None:
        """Notes that a value is not one we can compute with."""
        self.problems.append(f"{self.where}{name} is {self.values.get(name)!r:.120}; accepted: {accepted}")

    def integer(self, name: str, default: int, high: int = MAX) -> int:
        """An integer in [1, high]."""
        value = self.get(name, default)
        if type(value) is int and 1 <= value <= high:
            return value
        self.refuse(name, f"an integer in [1, {high}]")
        return 1

    def share(self, name: str, total: int, by: str, parts: int) -> int:
        """Of `total`, what each of `parts` has, which must be whole."""
        if total % parts:
            self.refuse(name, f"a multiple of {by} = {parts}")
        return max(total // parts, 1)

    def optional(self, name: str, default: int | None) -> int | None:
        """An integer >= 1, or null."""
        return None if self.get(name, default) is None else self.integer(name, default or 1)

    def number(self, name: str, default: float | None) -> float:
        """A positive number; no default where it must be there."""
        value = self.get(name, default)
        if type(value) in (int, float) and 0 < value < MAX_NUMBER:
            return float(value)
        self.refuse(name, f"a number in (0, {MAX_NUMBER:g})")
        return 1.0

    def cap(self, name: str, default: float | None) -> float | None:
        """A positive number, or null."""
        return None if self.get(name, default) is None else self.number(name, default or 1.0)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.get(name, default)
        if type(value) is not bool:
            self.refuse(name, "true or false")
        return value is True

    def activation(self, name: str, default: str) -> str:
        """One of our activations, by Hugging Face's name."""
        value = self.get(name, default)
        if isinstance(value, str) and value in ACTIVATIONS:
            return ACTIVATIONS[value]
        self.refuse(name, ", ".join(ACTIVATIONS))
        return "relu"

    def only(self, name: str, *accepted: Any) -> None:
        """A key that is known, and may be absent or have one of these values."""
        value = self.get(name, accepted[0])
        if not any(value == a and isinstance(value, bool) == isinstance(a, bool) for a in accepted):
            self.refuse(name, " or ".join(map(repr, accepted)))

    def irrelevant(self, *names: str) -> None:
        """Keys that do not change the logits of this family."""
        self.read.update(names)

    def token(self, name: str, default: int | None, d_vocab: int) -> int | None:
        """A token id, the first of a list; None for one outside the vocabulary, which no text can hold."""
        value = self.get(name, default)
        if isinstance(value, list):
            value = value[0] if value else None
        if value is not None and type(value) is not int:
            self.refuse(name, "an integer, a list of integers or null")
        return value if type(value) is int and 0 <= value < d_vocab else None

    def kinds(self, n_layers: int, default: list[str]) -> list[str]:
        """layer_types: full or sliding attention in every layer."""
        value = self.get("layer_types", None)
        if value is None:
            return default
        if not isinstance(value, list) or len(value) != n_layers or any(v not in ATTENTION for v in value):
            self.refuse("layer_types", f"{n_layers} of {', '.join(ATTENTION)}")
            return default
        return value

    def rotary(
        self, d_head: int, n_ctx: int, theta: float, fraction: float = 1.0, partial: bool = False
    ) -> Rotary:
        """Rotary positions of rope_parameters (transformers 5) or rope_scaling (4), which go before the arguments.

        partial: whether the family can rotate a fraction of d_head.
        """
        scaling, params = self.get("rope_scaling", None), self.get("rope_parameters", None)
        if scaling and params:
            self.refuse("rope_scaling", "null beside rope_parameters")
        name = "rope_scaling" if scaling else "rope_parameters"
        return self.nested_rotary(name, scaling or params or {}, d_head, n_ctx, theta, fraction, partial)

    def nested_rotary(
        self,
        name: str,
        params: Any,
        d_head: int,
        n_ctx: int,
        theta: float,
        fraction: float = 1.0,
        partial: bool = False,
    ) -> Rotary:
        """Rotary positions of one object of rope parameters."""
        if not isinstance(params, Mapping):
            self.problems.append(f"{self.where}{name} is {params!r:.120}; accepted: an object")
            params = {}
        keys = Keys(params, f"{self.where}{name}.", frozenset())
        kind = keys.get("rope_type", keys.get("type", "default"))
        keys.only("type", kind)
        theta = keys.number("rope_theta", theta)
        fraction = keys.number("partial_rotary_factor", fraction)
        dims = int(d_head * fraction)
        if fraction != 1 and not partial:
            keys.problems.append(f"{keys.where}partial_rotary_factor is {fraction}; accepted: 1")
        elif dims % 2 or not 0 < dims <= d_head:
            keys.problems.append(
                f"{self.where}{name}: {fraction} of the head's {d_head} dimensions are rotated; accepted: an "
                "even number of them"
            )
        scaling: tuple[str | float, ...] = ()
        if kind == "linear":
            scaling = ("linear", keys.number("factor", None))
        elif kind == "llama3":
            names = ("factor", "low_freq_factor", "high_freq_factor")
            original = keys.number("original_max_position_embeddings", n_ctx)
            factor, low, high = (keys.number(n, None) for n in names)
            scaling = ("llama3", factor, low, high, original)
            if low >= high:
                keys.refuse("low_freq_factor", "a number below high_freq_factor")
        elif kind != "default":
            keys.problems.append(
                f"{keys.where}rope_type is {kind!r:.80}; accepted: 'default', 'linear', 'llama3'"
            )
            keys.read.update(params)
        keys.unread()
        self.problems += keys.problems
        return Rotary(theta, max(dims, 1), scaling)

    def unread(self) -> None:
        """Notes every key that nothing asked for."""
        for name in sorted(self.config.keys() - self.read):
            self.problems.append(
                f"{self.where}{name[:80]} is not a key that we know; accepted: leaving it out"
            )

    def check(self) -> None:
        """Notes what no family may have, and every key that was not read."""
        if self.get("auto_map", None) is not None:
            self.problems.append(
                f"{self.where}auto_map asks for code from the repository, which is never run"
            )
        for name, accepted in ONLY.items():
            self.only(name, *accepted)
        architectures = self.get("architectures", None) or []
        if not isinstance(architectures, list) or not all(str(a).endswith(HEADS) for a in architectures):
            self.refuse("architectures", "a language model's, ending with " + ", ".join(HEADS))
        self.unread()

    def close(self) -> None:
        """ConfigError for everything that was noted."""
        self.check()
        if self.problems:
            raise ConfigError(
                "config.json holds what we cannot compute with:\n  "
                + "\n  ".join(self.problems)
                + "\nsuperposition.llm.torch_source runs any architecture of transformers"
            )
