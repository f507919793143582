"""The commands of `superposition sae`, run in this process."""

import hashlib

from superposition.cli import main

# The training program's; the newest optax says it is to be called tree.norm.
ORTHOGONAL = ["--planted", "orthogonal", "--n-features", "8", "--d-in", "8"]


TINY = ["--d-sae", "8", "--k", "2", "--steps", "20", "--batch-size", "16", "--examples", "64"]


def run(*arguments, capsys):
    status = main.main(["sae", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    return status, out, "\n".join(line for line in err.splitlines() if not line.startswith("training"))


def digests(directory):
    files = (p for p in directory.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".npy"))
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
