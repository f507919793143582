"""`superposition serve`: feature pages on this machine alone, with steering and a box for text of one's own."""

import threading

from superposition._internal.memory import enough_memory
from superposition.cli.features.config import ServeConfig
from superposition.cli.features.on_sae import open_sae
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError
from superposition.pages.server import make_server
from superposition.pages.server.belong import belong
from superposition.pages.server.live import answers
from superposition.pages.server.served import read_index
from superposition.training import loop


def serve(config: ServeConfig) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises ConfigError for settings, and for pages that are not of this SAE."""
    assert config.pages is not None
    index = read_index(config.pages)
    if index["kind"] != "llm":
        raise ConfigError(
            f"{config.pages} are pages of a toy model, all there as a file: open its index.html"
        )
    with enough_memory("give --dtype bfloat16, or a smaller model"):
        attached = open_sae(config)
    belong(index.get("of"), attached)
    n_latents, name = attached.sae.d_sae, attached.name
    maxima = dict(zip(index["columns"]["id"], index["columns"]["max"], strict=True))
    if max(maxima) >= n_latents:
        raise ConfigError(
            f"{config.pages} has a page of latent {max(maxima)}, {name} has {n_latents}; give its own SAE"
        )
    server = make_server(config.pages, answers(attached, maxima), config.port)
    with loop.interruptible() as stop:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        print(
            f"{len(maxima)} pages of {visible(name)} at {server.url} (on this machine alone; Ctrl-C ends it)",
            flush=True,
        )
        while thread.is_alive() and not stop():
            thread.join(0.2)
        server.close()
