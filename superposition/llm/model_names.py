"""Whether two names are of one language model: names on the hub, of TransformerLens, of folders, and of those we ship."""

import re
from pathlib import Path

from superposition.llm._read import read_json
from superposition.llm.hub import CONFIG, SHIPPED
from superposition.llm.model import LanguageModel

# TransformerLens's names and older ones, as `_plain` writes them.
ALIASES = {
    "gpt2small": "gpt2", "distillgpt2": "distilgpt2", "gptneosmall": "gptneo125m", "neosmall": "gptneo125m",
    "mistral7b": "mistral7bv01", "mistral": "mistral7bv01",
}  # fmt: skip


def other_model(lm: LanguageModel, name: str) -> bool:
    """Whether `name` is known to be another model than `lm`; False where nothing is known of one of them."""
    known, theirs = _names(lm), _plain(name)
    if not known or not theirs or theirs in known:
        return False
    return not (lm.folder is not None and _is_folder(name) and Path(name).expanduser().samefile(lm.folder))


def _names(lm: LanguageModel) -> set[str]:
    """What a model is known by."""
    names = {lm.name}
    if lm.folder is not None:
        names |= {name for name, folder in SHIPPED.items() if folder.resolve() == lm.folder.resolve()}
        names |= {part for part in lm.folder.resolve().parts if part.startswith("models--")}
        if not names & SHIPPED.keys():
            names.add(lm.folder.resolve().name)
        if (config := lm.folder / CONFIG).exists():
            origin = read_json(config).get("_name_or_path")
            names |= {origin} if isinstance(origin, str) else set()
    return {_plain(name) for name in names if name.strip()} - {""}


def _is_folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown home, a zero byte
        return False


def _plain(name: str) -> str:
    """A name without owner, folders, case and punctuation: openai-community/gpt2 and GPT2-small are gpt2."""
    if name in SHIPPED:
        return name
    last = re.split(r"[/\\]|--", name.strip().rstrip("/\\"))[-1].lower()
    plain = re.sub(r"[\W_]", "", last.removeprefix("meta-"))
    return ALIASES.get(plain, plain)
