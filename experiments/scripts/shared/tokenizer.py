"""The tokenizer of the small language model: byte-level BPE, trained on the sources in proportion to their weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

EOS = "<|endoftext|>"
# GPT-2's rule, with marks (\p{M}) kept with their letters: Hebrew points, Arabic harakat, Indic vowel signs.
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
PIECE = 2000  # characters in a piece the tokenizer is trained on


def train_tokenizer(
    texts: dict[str, list[str]], weights: np.ndarray, vocab: int, random: np.random.Generator
) -> Any:
    """Byte-level BPE with one special token, id 0, trained on the sources in proportion to their weights."""
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    bpe.train_from_iterator(_mixed(texts, weights, random), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=EOS, eos_token=EOS, unk_token=EOS, clean_up_tokenization_spaces=False
    )


def save_tokenizer(tokenizer: Any, folder: Path, n_ctx: int) -> None:
    """tokenizer.json and tokenizer_config.json, as AutoTokenizer of transformers 4 and 5 reads them.

    The saved tokenizer puts EOS before a text, as every row that the model is trained on begins with it.
    """
    from tokenizers import Tokenizer, processors

    saved = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    saved.post_processor = processors.TemplateProcessing(
        single=f"{EOS} $A", pair=f"{EOS} $A $B:1", special_tokens=[(EOS, tokenizer.eos_token_id)]
    )
    saved.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{name}_token": EOS for name in ("bos", "eos", "unk")},
        "model_max_length": n_ctx,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _mixed(texts: dict[str, list[str]], weights: np.ndarray, random: np.random.Generator) -> Iterator[str]:
    """Pieces of every source in proportion to the weights, about as much text in all as there is."""
    pieces = {
        name: [d[i : i + PIECE] for d in documents for i in range(0, len(d), PIECE)]
        for name, documents in texts.items()
    }
    size = np.array([sum(len(piece.encode()) for piece in held) for held in pieces.values()])
    for held, times in zip(pieces.values(), weights * size.sum() / size, strict=True):
        for piece in held:
            yield from [piece] * int(times + random.random())
