"""A tiny random GPT-2 with a byte-level tokenizer, as a Hugging Face folder, and texts that it reads."""

import json
from pathlib import Path

import jax
import numpy as np

from superposition.llm.export import save_gpt2
from superposition.llm.pretrain import initial
from superposition.llm.spec import Layer, Spec

END = "<|end|>"
TEXTS = {
    "sea": "the waves came in and the waves went out, and the sand kept nothing of either. " * 30,
    "sums": " ".join(f"{a} + {b} = {a + b};" for a in range(2, 16) for b in range(3, 14)),
    "שלום": "שלום לכולם, זה יום יפה מאוד ואין בו רוח. " * 30,
}


def spec(layers=1, vocab=300, activation="gelu_tanh"):
    return Spec(
        "gpt2", d_model=16, n_heads=2, n_kv_heads=2, d_head=8, d_mlp=24, d_vocab=vocab, n_ctx=32,
        layers=(Layer(8**-0.5),) * layers, activation=activation, learned_positions=True, qkv_bias=True,
        out_bias=True, mlp_bias=True, bos=0, eos=0,
    )  # fmt: skip


def params(of, seed=0, scale=6.0):
    """Random weights large enough that every part of the model matters to its logits."""
    random = np.random.default_rng(seed)
    return {
        name: np.asarray(scale * value + 0.1 * random.normal(size=value.shape), np.float32)
        if value.ndim > 1
        else np.asarray(value + 0.3 * random.normal(size=value.shape), np.float32)
        for name, value in initial(jax.random.key(seed), of).items()
    }


def write_tokenizer(folder, vocab=300):
    """A byte-level BPE trained on TEXTS that puts END before a text, as AutoTokenizer reads it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS.values(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(f"{END} $A", special_tokens=[(END, 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    own = {"tokenizer_class": "PreTrainedTokenizerFast", **{f"{n}_token": END for n in ("bos", "eos", "unk")}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**own, "clean_up_tokenization_spaces": False}))


def write_model(folder: Path, layers=1, *, seed=0, **options):
    """The folder, model and tokenizer."""
    of = spec(layers, **options)
    save_gpt2(folder, of, params(of, seed))
    write_tokenizer(folder, of.d_vocab)
    return folder


def write_texts(folder: Path):
    """A file a text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    return folder
