"""Published SAEs on their models, where a hub can be reached, and the ones that ship where it cannot."""

import os
import socket
import threading
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from superposition._internal import validate
from superposition.errors import SuperpositionError
from superposition.interventions.attach import Attached, attach
from superposition.llm import hub
from superposition.llm.model import SMALL_LM, LanguageModel
from superposition.storage import formats

SAE_THAT_SHIPS = "superposition/small-lm-sae"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
WAIT = 2.0  # seconds


class Published(NamedTuple):
    """An SAE on the hub, its model, and what both take.

    model, sae: repositories. folder: where in its repository the SAE is. hook: its hook point, for SAEs that do not say it.
    dtype: of the model's parameters. gigabytes: memory that the two take.

    >>> PUBLISHED["gpt2"].folder
    'blocks.7.hook_resid_pre'
    """

    model: str
    sae: str
    folder: str
    hook: str
    dtype: str
    gigabytes: float


# SAEs that lessons and tutorials use, by a short name, each with the model and the place it was trained on.
PUBLISHED = {
    # The SAE of the Gemma Scope demo, and that of SAE Lens's tutorial.
    "gemma-scope": Published("google/gemma-2-2b", "google/gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71",
                             "blocks.20.hook_resid_post", "bfloat16", 12.0),
    "gpt2": Published("gpt2", "jbloom/GPT2-Small-SAEs-Reformatted", "blocks.7.hook_resid_pre", "blocks.7.hook_resid_pre",
                      "float32", 2.0),
}  # fmt: skip


def first_available(*names: str, wait: float = WAIT) -> Attached:
    """The first of some published SAEs that can be had here, on its model; the one that ships where none can.

    Without a network, or with HF_HUB_OFFLINE=1, nothing is fetched and nothing is waited for longer than `wait`. One is
    passed over that this machine has too little memory for, whose terms were not accepted on the hub, or that cannot be
    read; the notes of what is returned say why.

    Args:
        names: Names in PUBLISHED: "gemma-scope" (Gemma 2 2B and its SAE of layer 20, about 11 GB to fetch) and "gpt2"
            (GPT-2 small and its SAE of layer 7, about 0.7 GB).
        wait: Seconds that the hub may take to answer.

    Raises:
        ConfigError: A name that is not in PUBLISHED.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict("os.environ", HF_HUB_OFFLINE="1"):
        ...     print(first_available("gemma-scope", "gpt2"))
        Attached(TopK(512 -> 1,024 latents) at blocks.0.mlp.hook_post of superposition/small-lm)
    """
    for name in names:
        validate.choice("name", name, list(PUBLISHED))
    reasons = []
    if names and not hub_answers(wait):
        reasons.append("the hub was not asked or did not answer, so this is what ships")
    else:
        for name in names:
            try:
                return _noted(_fetched(name), reasons)
            except SuperpositionError as error:
                reasons.append(f"{name} is passed over: {error}")
    attached = attach(LanguageModel.from_hf(SMALL_LM), formats.load(SAE_THAT_SHIPS), name=SAE_THAT_SHIPS)
    return _noted(attached, reasons)


def hub_answers(wait: float = WAIT) -> bool:
    """Whether the hub, or the proxy in front of it, takes a connection within `wait` seconds; False if told to be offline.

    >>> from unittest import mock
    >>> with mock.patch.dict("os.environ", HF_HUB_OFFLINE="1"):
    ...     print(hub_answers())
    False
    """
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in OFFLINE):
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    place = urlsplit(getproxies().get("https") or endpoint)
    answered = threading.Event()

    def ask() -> None:
        try:
            with socket.create_connection((place.hostname or "", place.port or 443), wait):
                answered.set()
        except OSError:  # among them names that cannot be resolved
            pass

    asking = threading.Thread(target=ask, daemon=True)  # looking a name up knows no time limit
    asking.start()
    asking.join(wait)
    return answered.is_set()


def _fetched(name: str) -> Attached:
    one = PUBLISHED[name]
    validate.memory(f"{one.model} with its SAE", one.gigabytes * 1e9, "a smaller model")
    folder = hub.fetch(one.sae, patterns=[f"{one.folder}/*"]) / one.folder
    loaded = formats.load(folder)
    lm = LanguageModel.from_hf(one.model, dtype=one.dtype)
    hook = None if isinstance(loaded.metadata.get("hook_name"), str) else one.hook
    return attach(lm, loaded, hook, name=f"{one.sae}/{one.folder}")


def _noted(attached: Attached, reasons: list[str]) -> Attached:
    return replace(attached, notes=(*attached.notes, *reasons))
