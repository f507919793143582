"""The commands of `superposition llm`, run in this process."""

from superposition.cli import main, settings
from superposition.cli.llm import data
from superposition.cli.llm.config import TextConfig

POST = "blocks.0.mlp.hook_post"


TINY = ["--steps", "30", "--batch-size", "32", "--d-sae", "32", "--k", "4", "--examples", "500"]


def run(*arguments, capsys):
    status = main.main(["llm", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    bars = ("training", "capturing")
    return status, out, "\n".join(line for line in err.splitlines() if line and not line.startswith(bars))


def tokens_of(lm, **options):
    config = TextConfig(**options)
    settings.check(config)
    return data.read_tokens(config, lm)


def one_line(status, printed, errors, said, expected=2):
    assert status == expected, errors
    assert said in errors
    assert errors.startswith("superposition: error: ")
    assert errors.count("\n") == 0
    assert printed == ""
