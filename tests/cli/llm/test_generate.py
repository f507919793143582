"""`superposition llm generate`."""

import sys

import numpy as np

from superposition.cli.terminal import visible
from superposition.llm import LanguageModel
from tests.support.llm_commands import run


def test_generate_goes_on_as_the_model_does(model, lm, capsys):
    prompts = ["the waves", "3 + 4 =", ""]
    arguments = ["generate", "--model", model, "--n", "9"]
    status, printed, errors = run(*arguments, "--temperature", "0", "--prompt", *prompts, capsys=capsys)
    assert status == 0, errors
    expected = []
    for prompt in prompts:
        ids = [0, *lm.tokenizer(prompt, add_special_tokens=False)["input_ids"]] if prompt else [0]
        row = lm.generate(np.array([ids]), 9)[0].tolist()
        row = row[: row.index(0)] if 0 in row else row
        expected.append(visible(prompt + lm.tokenizer.decode(row)))
    assert printed == "\n---\n".join(expected) + "\n"
    draws = [
        run(*arguments, "--prompt", "the", "--seed", seed, "--temperature", "1", capsys=capsys)[1]
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    both = run(*arguments, "--prompt", "the", "--seed", "0..1", "--temperature", "1", capsys=capsys)[1]
    assert both == f"{draws[0][:-1]}\n---\n{draws[2]}"


def test_a_continuation_ends_where_the_model_ends_its_text(model, monkeypatch, capsys):
    ids = LanguageModel.from_hf(model).tokenizer("sand", add_special_tokens=False)["input_ids"]

    def ended(self, tokens, n, **options):
        (end,) = options["end"]
        return np.array([[*ids, end, end]])

    monkeypatch.setattr(LanguageModel, "generate", ended)
    assert run("generate", "--model", model, "--prompt", "the ", capsys=capsys)[1] == "the sand\n"


def test_a_terminal_only_shows_what_a_model_writes(monkeypatch):
    assert visible("a\x1b[31mb\r\x07\u202ec\u2028") == "a\\x1b[31mb\\r\\x07\\u202ec\\u2028"
    assert visible("two\nlines שלום क्‍ष 水") == "two\nlines שלום क्‍ष 水"

    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Ascii())
    assert visible("שa") == "\\u05e9a"
