"""The commands `superposition steer` and `ablate`, run in this process."""

from superposition.cli import main
from superposition.sae import JumpReLU

HOOK = "blocks.0.hook_resid_post"


PROMPT = "the waves came"


SAE = JumpReLU(d_in=16, d_sae=30, threshold=0.3)


DEAD, TOP, OTHER = 11, 5, 7


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err
