"""Tokenizers of several kinds, all with <s>, </s>, <unk> and <pad>, as folders of tiny models hold them."""

import json

from superposition.llm.export import save_gpt2
from superposition.llm.sums import SUMS
from tests.oracles import tiny_lm

SPECIAL = ["<s>", "</s>", "<unk>", "<pad>"]
TEXT = [
    "the king and the queen said once upon a time there was a little girl named Lily; <b>bold</b> & more\n"
] * 20
NAMED = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
VOCABULARY = 420


def byte_level(special=True):
    """GPT-2's kind; special: whether its added tokens are marked as special."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    state = json.loads(made.to_str())
    for token in state["added_tokens"]:
        token["special"] = special
    return state


def llama(legacy=True):
    """Llama 2's kind: SentencePiece BPE with bytes; ▁ before a text by a normalizer (legacy) or by Metaspace."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if legacy:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    made.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + bytes_, show_progress=False)
    )
    state = json.loads(made.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in SPECIAL]
    return state


def unigram():
    """Whose vocabulary holds the special tokens, which it takes from any text that spells them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.train_from_iterator(
        TEXT,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
        ),
    )
    return json.loads(made.to_str())


def word_level():
    """Whole words; the special tokens are among them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.WordLevel(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.train_from_iterator(TEXT, trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False))
    return json.loads(made.to_str())


KINDS = {
    "byte-level": byte_level,
    "Llama 2": llama,
    "Metaspace": lambda: llama(False),
    "Unigram": unigram,
    "WordLevel": word_level,
}


def write_tokenizer(folder, state, *, puts_bos=False, **about):
    """tokenizer.json and tokenizer_config.json; about: names of special tokens, None for one that is not named."""
    if puts_bos:
        state["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [SPECIAL.index("<s>")], "tokens": ["<s>"]}},
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(state))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **NAMED,
        **about,
    }
    config = {name: value for name, value in config.items() if value is not None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_model(folder, state, *, config=None, generation=None, puts_bos=False, seed=0, **about):
    """A tiny GPT-2 with that tokenizer; config, generation: changes of config.json, all of generation_config.json."""
    of = tiny_lm.spec(2, VOCABULARY)
    save_gpt2(folder, of, tiny_lm.params(of, seed))
    (folder / SUMS).unlink()  # a model of another program has no digests
    path = folder / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "bos_token_id": 0, "eos_token_id": 1, **(config or {})})
    )
    (folder / "generation_config.json").unlink(missing_ok=True)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    write_tokenizer(folder, state, puts_bos=puts_bos, **about)
    return folder
