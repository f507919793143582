"""The commands `superposition page` and `serve`, run in this process."""

import jax

from superposition.cli import main
from superposition.sae import TopK
from superposition.storage import formats

POST = "blocks.0.mlp.hook_post"


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def write_sae(folder, seed=0, d_in=24, hook=POST):
    sae = TopK(d_in=d_in, d_sae=12, k=3)
    formats.save(
        folder, sae, sae.init_params(jax.random.key(seed)), {} if hook is None else {"hook_name": hook}
    )
    return folder


CELL = ("--cell", "density=0.05", "seed=1")
