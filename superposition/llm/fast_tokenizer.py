"""A tokenizer from tokenizer.json alone, without transformers, whose import is half of a command's start.

It answers as transformers' own does for the same folder, and is made only where that is known to follow from the files:
`from_folder` gives None for every other folder, which is then transformers' to read.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from superposition._internal.foreign import regular
from superposition.llm._read import read_json

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

FILE, CONFIG, MODEL = "tokenizer.json", "tokenizer_config.json", "config.json"
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Classes of transformers that read tokenizer.json as it is.
PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")
# The class that makes a tokenizer of its own from the vocabulary: for GPT-2's files the same one.
GPT2, GPT2_MODELS = ("GPT2Tokenizer", "GPT2TokenizerFast"), ("gpt2", "gpt_neo")
GPT2_KEYS = {"add_prefix_space", "errors"}
GPT2_NAMES = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
# Files that transformers would read beside, and model types for which it does not take the class that is named.
BESIDE = ("special_tokens_map.json", "added_tokens.json", "tekken.json")
OTHERWISE = ("qwen2",)
KNOWN = {  # what else tokenizer_config.json may hold: nothing of it changes what is done here
    "add_bos_token", "add_eos_token", "added_tokens_decoder", "additional_special_tokens", "backend", "chat_template",
    "clean_up_tokenization_spaces", "extra_special_tokens", "is_local", "legacy", "local_files_only", "max_length",
    "model_input_names", "model_max_length", "name_or_path", "padding_side", "processor_class", "stride",
    "tokenizer_class", "truncation_side", "truncation_strategy",
}  # fmt: skip


class FastTokenizer:
    """Text to token ids and back by a `tokenizers.Tokenizer`, in the words of transformers' tokenizers.

    special: the special tokens by name ("bos_token" ...); extra: more of them. Those that the tokenizer does not hold
    as added tokens are added to it.
    """

    def __init__(
        self,
        backend: "Tokenizer",
        special: Mapping[str, str] | None = None,
        extra: Sequence[str] = (),
        name_or_path: str = "",
    ) -> None:
        from tokenizers import AddedToken

        self.backend_tokenizer = backend
        self.name_or_path = name_or_path
        self._special = {name: special[name] for name in NAMES if special and name in special}
        self.all_special_tokens = list(dict.fromkeys([*self._special.values(), *extra]))
        self._lock = Lock()  # whether special tokens are split is a state of the backend
        backend.no_truncation()
        backend.no_padding()
        there = {token.content for token in backend.get_added_tokens_decoder().values()}
        missing = [AddedToken(one, special=True) for one in self.all_special_tokens if one not in there]
        if missing:
            backend.add_tokens(missing)

    def __len__(self) -> int:
        """Size of the vocabulary, with the added tokens."""
        return self.backend_tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        """True, for an empty vocabulary too."""
        return True

    def __repr__(self) -> str:
        return f"FastTokenizer({self.name_or_path!r}, {len(self):,} tokens, special {self._special})"

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_attention_mask: bool = True,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """`input_ids` of a text, or of each of several; on demand what characters they are from.

        add_special_tokens: put what the tokenizer puts around a text (BOS). split_special_tokens: what a text spells of
        a special token is text. verbose: as transformers' tokenizers take it; this one has nothing to say.
        """
        del verbose
        texts = [text] if isinstance(text, str) else list(text)
        with self._lock:
            self.backend_tokenizer.encode_special_tokens = split_special_tokens
            encoded = self.backend_tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        result: dict[str, list[Any]] = {"input_ids": [one.ids for one in encoded]}
        if return_attention_mask:
            result["attention_mask"] = [one.attention_mask for one in encoded]
        if return_offsets_mapping:
            result["offset_mapping"] = [one.offsets for one in encoded]
        return {name: rows[0] for name, rows in result.items()} if isinstance(text, str) else result

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of one text."""
        return self(text, add_special_tokens=add_special_tokens)["input_ids"]

    def decode(
        self,
        ids: int | Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text of token ids. Spaces are never cleaned up: text is decoded as it was."""
        del clean_up_tokenization_spaces
        row = [ids] if isinstance(ids, int) else [int(i) for i in ids]
        return self.backend_tokenizer.decode(row, skip_special_tokens=skip_special_tokens)

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """How a token, or each of several, is written in the vocabulary; None for an id that it does not have."""
        if isinstance(ids, int):
            return self.backend_tokenizer.id_to_token(ids)
        return [self.backend_tokenizer.id_to_token(int(i)) for i in ids]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token as the vocabulary writes it, or of each of several; that of `unk_token` for another."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        id = self.backend_tokenizer.token_to_id(tokens)
        return self.unk_token_id if id is None and tokens != self._special.get("unk_token") else id

    def get_vocab(self) -> dict[str, int]:
        """Every token, added ones too, with its id."""
        return self.backend_tokenizer.get_vocab(with_added_tokens=True)

    @property
    def added_tokens_decoder(self) -> "dict[int, AddedToken]":
        """The added tokens by id."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the special tokens, named ones first."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def __getattr__(self, name: str) -> Any:
        """`bos_token`, `bos_token_id` and so on; None for one that is not named."""
        token = name.removesuffix("_id")
        if token not in NAMES:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        value = self._special.get(token)
        return value if token == name or value is None else self.convert_tokens_to_ids(value)


def from_folder(folder: Path) -> FastTokenizer | None:
    """The tokenizer of a folder, None where transformers is needed to say what the files mean.

    That is where there is no tokenizer.json, where the class that is named does more than to read it, and where
    tokenizer_config.json holds what is not known here. Raises what tokenizers raises for a file it cannot read.
    """
    from tokenizers import AddedToken, Tokenizer

    if not (folder / FILE).exists():
        return None
    about, model = (read_json(folder / n) if (folder / n).exists() else {} for n in (CONFIG, MODEL))
    beside = BESIDE if "added_tokens_decoder" not in about else BESIDE[-1:]
    listed = about.get("extra_special_tokens") or about.get("additional_special_tokens") or []
    kind = about.get("tokenizer_class") or model.get("tokenizer_class")
    gpt2 = kind in (*GPT2, None) and model.get("model_type") in GPT2_MODELS
    named = {name: token for name, token in ((GPT2_NAMES if gpt2 else {}) | about).items() if name in NAMES}
    named = {name: token for name, token in named.items() if token is not None}
    if (
        not (gpt2 or (kind in PLAIN and model.get("model_type") not in OTHERWISE))
        or any((folder / name).exists() for name in beside)
        or not {*KNOWN, *NAMES, *(GPT2_KEYS if gpt2 else ())}.issuperset(about)
        or not isinstance(listed, list)
    ):
        return None
    backend = Tokenizer.from_file(str(regular(folder / FILE)))
    if gpt2 and not _as_gpt2(backend, bool(about.get("add_prefix_space"))):
        return None
    if about.get("clean_up_tokenization_spaces") and type(backend.model).__name__ != "BPE":
        return None  # transformers takes spaces before punctuation out of what it decodes
    added = backend.get_added_tokens_decoder()
    if "added_tokens_decoder" in about:
        added = {int(id): AddedToken(**token) for id, token in about["added_tokens_decoder"].items()}
    written = {token.content for token in added.values()}
    special = {
        name: content for name, one in named.items() if (content := _content(one, written)) is not None
    }
    extra = [content for one in listed if (content := _content(one, written)) is not None]
    if len(special) < len(named) or len(extra) < len(listed):
        return None
    for _, token in sorted(added.items()):
        token.special = token.special or token.content in special.values()
    backend.add_tokens([token for _, token in sorted(added.items())])
    return FastTokenizer(backend, special, extra, str(folder))


def _as_gpt2(backend: "Tokenizer", prefix_space: bool) -> bool:
    """Whether transformers' GPT2Tokenizer, made from the vocabulary of this tokenizer, does as this one does."""
    from tokenizers import decoders, pre_tokenizers

    model, pre = backend.model, backend.pre_tokenizer
    if type(model).__name__ != "BPE" or type(backend.decoder) is not decoders.ByteLevel or pre is None:
        return False
    return (
        backend.normalizer is None
        and pre.__getstate__() == pre_tokenizers.ByteLevel(add_prefix_space=prefix_space).__getstate__()
        and not any(
            (model.dropout, model.unk_token, model.fuse_unk, model.byte_fallback, model.ignore_merges)
        )
        and not any((model.continuing_subword_prefix, model.end_of_word_suffix))
    )


def _content(token: Any, written: set[str]) -> str | None:
    """How a special token of tokenizer_config.json is written; None for one that says more than the added tokens do."""
    if isinstance(token, Mapping):
        content = token.get("content")
        return content if token.get("__type") == "AddedToken" and content in written else None
    return token if isinstance(token, str) else None
