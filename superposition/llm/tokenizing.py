"""Text to token ids and back, for every kind of tokenizer: what a text spells is text, and it is decoded whole."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from superposition.errors import ConfigError

BATCH = 256  # documents given to the tokenizer at once
BEFORE = (
    "\n",
    ".",
    "a",
    "1",
)  # a character that keeps a tokenizer from taking what follows it for a beginning


def tokenize(
    tokenizer: Any,
    documents: Iterable[str],
    *,
    special: Iterable[int] = (),
    parse_special: bool = False,
    source: str = "text",
) -> Iterator[Sequence[int]]:
    """Token ids of each document, none added (`pack` adds them); batches of documents at a time.

    The spelling of a special token in a document is text unless parse_special. special: more ids than the
    tokenizer's own to which that applies. Raises ConfigError, which names source and document, for what the
    tokenizer cannot read.

    >>> from superposition.llm import LanguageModel
    >>> lm = LanguageModel.from_hf()
    >>> [lm.tokenizer.decode(ids) for ids in tokenize(lm.tokenizer, ["Once upon a time"])]
    ['Once upon a time']
    """
    left, number = iter(documents), 0
    added = getattr(
        tokenizer, "added_tokens_decoder", {}
    )  # an EOS that is a word of the vocabulary stays that word
    control = {*getattr(tokenizer, "all_special_ids", ()), *(i for i in special if i in added)}
    while batch := list(islice(left, BATCH)):
        try:
            rows = _ids(tokenizer, batch, parse_special)
        except ConfigError:
            for i, one in enumerate(batch):  # which document it is
                _named(partial(_ids, tokenizer, [one], parse_special), source, number + i)
            raise
        for text, ids in zip(batch, rows, strict=True):
            yield ids if parse_special or control.isdisjoint(ids) else _as_text(tokenizer, text, ids, control)
        number += len(batch)


def token_ids(
    tokenizer: Any, text: str, *, special: Iterable[int] = (), parse_special: bool = False
) -> list[int]:
    """Token ids of one text, none added; ConfigError for what is no text."""
    if not isinstance(text, str):
        raise ConfigError(f"text must be a string; got {type(text).__name__}")
    if not text:
        return []
    return list(map(int, *tokenize(tokenizer, [text], special=special, parse_special=parse_special)))


def continuation(tokenizer: Any, before: Sequence[int], new: Sequence[int]) -> str:
    """The text that tokens `new` add to that of the tokens before.

    They are decoded together: a tokenizer that marks the beginning of a text (Llama 2) would take the first space
    of `new`, decoded alone, for its mark.
    """
    head, whole = (
        guarded(tokenizer, partial(tokenizer.decode, ids, clean_up_tokenization_spaces=False))
        for ids in (list(before), [*before, *new])
    )
    same = (i for i, (a, b) in enumerate(zip(head, whole, strict=False)) if a != b)  # a character cut in two
    return whole[next(same, min(len(head), len(whole))) :]


def _ids(tokenizer: Any, texts: list[str], parse_special: bool) -> list[list[int]]:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"text must be valid Unicode; got {text[max(error.start - 20, 0) : error.end + 20]!r}"
            ) from error
    options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    options |= {"split_special_tokens": not parse_special}
    return guarded(tokenizer, lambda: tokenizer(texts, **options)["input_ids"])


def guarded(tokenizer: Any, call: Callable[[], Any]) -> Any:
    """What a tokenizer gives, or ConfigError: tokenizers panics, or raises bare Exceptions, where it cannot go on."""
    try:
        return call()
    except BaseException as error:
        if not failed(error):
            raise
        name = getattr(tokenizer, "name_or_path", "") or "the model's folder"
        raise ConfigError(
            f"the tokenizer in {name} cannot read this text ({first_line(error)}); mend its tokenizer.json, or give "
            "token ids"
        ) from error


def failed(error: BaseException) -> bool:
    """Whether an error is a fault of the tokenizer: an Exception, or a panic of its Rust code, which is none."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _named(call: Callable[[], Any], source: str, number: int) -> None:
    try:
        call()
    except ConfigError as error:
        raise ConfigError(f"{source}, document {number}: {error}") from error


def _as_text(tokenizer: Any, text: str, ids: list[int], control: set[int]) -> list[int]:
    """Ids of a text in which the tokenizer saw special tokens though it was not to: their spellings cut in two.

    Unigram and WordLevel models have special tokens in their vocabulary and take them from text, and added tokens
    may be special to the model (an EOS in config.json alone) and not to the tokenizer.
    """
    spelled = {tokenizer.convert_ids_to_tokens(int(i)) for i in control.intersection(ids)}
    spelled = {one for one in spelled if one and len(one) > 1 and one in text}
    if not spelled:
        return ids  # an unknown token stands for other text
    pattern = re.compile("|".join(map(re.escape, sorted(spelled, key=len, reverse=True))))
    cuts = [match.start() + 1 for match in pattern.finditer(text)]
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    first, *rest = parts
    whole = list(_ids(tokenizer, [first], False)[0])
    for part in rest:
        whole += _going_on(tokenizer, part)
    return whole


def _going_on(tokenizer: Any, text: str) -> list[int]:
    """Ids of a text that is no beginning, without what a tokenizer puts before one (▁ for a space)."""
    for before in BEFORE:
        alone, both = _ids(tokenizer, [before, before + text], False)
        if both[: len(alone)] == alone:
            return both[len(alone) :]
    return _ids(tokenizer, [text], False)[0]
