"""Folders of models: where they are, what is in them, and fetching them from the Hugging Face hub."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superposition._internal import compilation_cache
from superposition.errors import ConfigError
from superposition.llm import sums, weights
from superposition.llm._read import read_json
from superposition.llm.families import Family, parse
from superposition.llm.fast_tokenizer import FastTokenizer, from_folder
from superposition.llm.spec import Spec
from superposition.llm.tokenizing import failed, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HERE = Path(__file__).parent / "small_lm"
SHIPPED = {"superposition/small-lm": HERE / "seed0", "superposition/small-lm-seed1": HERE / "seed1"}
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
CONFIG = "config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one of which holds the vocabulary
PATTERNS = (*sums.READ, sums.SUMS)


def resolve(source: str | Path, revision: str | None = None) -> Path:
    """The folder of a model: a folder, the name of one we ship, or a name on the hub, which is fetched.

    Only config, safetensors and tokenizer files are fetched. Raises ConfigError where there is no such model,
    no network, no permission, no config.json or no weights, CorruptError for a folder of ours that was changed.
    """
    if str(source) in SHIPPED:
        folder = SHIPPED[str(source)]
    elif (path := Path(source).expanduser()).is_dir():
        if revision is not None:
            raise ConfigError(
                f"a revision belongs to a name on the hub; got {revision!r} with the folder {path}"
            )
        folder = path
    elif isinstance(source, Path) or path.exists() or not REPOSITORY.fullmatch(source):
        raise ConfigError(f"{source}: no such folder; give one with {CONFIG} and {weights.SINGLE}, or a name")
    else:
        folder = fetch(source, revision)
    sums.check(folder)
    if not (folder / CONFIG).exists():
        raise ConfigError(f"{folder}: no {CONFIG}; give a folder that save_pretrained of transformers wrote")
    if not (folder / weights.SINGLE).exists() and not (folder / weights.INDEX).exists():
        raise ConfigError(f"{folder}: no weights. {weights.no_weights(folder)}")
    return folder


def fetch(name: str, revision: str | None = None, patterns: Sequence[str] = PATTERNS) -> Path:
    """The files of a repository of the hub that match `patterns`, from the network or the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    folder = "or give a folder that holds it: config.json, *.safetensors, tokenizer files"
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise ConfigError(
            f"{name} asks for consent: accept its terms on the hub and log in with `hf auth login`, {folder}"
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(f"{name} has no revision {revision!r}; {folder}") from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"{name} is neither a folder here nor a model on the hub; check it, {folder}"
        ) from error
    except Exception as error:  # whichever HTTP library huggingface_hub stands on has its own
        raise ConfigError(
            f"{name} could not be fetched and is not in the cache ({first_line(error)}); check the "
            f"network, {folder}"
        ) from error


def read(folder: Path, dtype: str, put: weights.Put) -> tuple[Spec, Family, dict[str, Any]]:
    """Spec, family and parameters of a folder; `put(name, array)` makes each parameter what it shall be."""
    compilation_cache.enable()
    try:
        family, spec = parse(read_json(folder / CONFIG))
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    return spec, family, weights.load(folder, family, spec, dtype, put)


def load_tokenizer(folder: Path) -> "FastTokenizer | PreTrainedTokenizerBase":
    """The tokenizer of a folder, by transformers where `from_folder` cannot say it; no code from it is run. Or ConfigError."""
    if not any((folder / name).exists() for name in TOKENIZERS):  # transformers would give an empty one
        raise ConfigError(
            f"{folder}: no tokenizer, none of {', '.join(TOKENIZERS)}; add it, or give token ids"
        )
    try:
        fast = from_folder(folder)
        return _by_transformers(folder) if fast is None else fast
    except BaseException as error:  # tokenizers raises bare Exceptions for files it cannot read, and panics
        if not failed(error):
            raise
        raise ConfigError(
            f"{folder}: no tokenizer that can be read ({first_line(error)}); put the files of "
            "tokenizer.save_pretrained there, or give token ids"
        ) from error


def _by_transformers(folder: Path) -> "PreTrainedTokenizerBase":
    with _quietly():
        from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' advice, as it is imported, that there is no torch: models here need none."""
    name = "TRANSFORMERS_NO_ADVISORY_WARNINGS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
