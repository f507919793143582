"""Pages of an SAE on a language model, served with what they may ask of it."""

import os
from pathlib import Path
from typing import Any

from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.pages.server.belong import belong
from superposition.pages.server.live import answers
from superposition.pages.server.served import read_index
from superposition.pages.server.server import Server, make_server


def llm_index(pages: str | os.PathLike[str]) -> dict[str, Any]:
    """The index of pages of an SAE on a language model; ConfigError where they are of a toy model, or are none."""
    index: dict[str, Any] = read_index(Path(pages))
    if index["kind"] != "llm":
        raise ConfigError(f"{pages} are pages of a toy model, all there as a file: open its index.html")
    return index


def sae_server(pages: str | os.PathLike[str], attached: Attached, port: int = 0) -> Server:
    """A server, on this machine alone, of the pages in a folder, which may steer and read text with their SAE.

    `serve_forever` of it serves, `close` ends that; `url` says where, by default at a free port. Raises ConfigError for
    pages of a toy model, and for pages of another SAE.
    """
    index = llm_index(pages)
    belong(index.get("of"), attached)
    maxima = dict(zip(index["columns"]["id"], index["columns"]["max"], strict=True))
    if max(maxima) >= attached.sae.d_sae:
        raise ConfigError(
            f"{pages} has a page of latent {max(maxima)}, {attached.name} has {attached.sae.d_sae}; give its own SAE"
        )
    return make_server(Path(pages), answers(attached, maxima), port)
