"""Folders of weights."""

import json

from safetensors.numpy import load_file, save_file

from superposition.llm import hub


def host(name, array):
    return array


def read(folder, dtype="float32", put=host):
    return hub.read(folder, dtype, put)[2]


def rewrite(folder, change):
    """Lets `change` have its way with the tensors of a folder."""
    stored = load_file(folder / "model.safetensors")
    change(stored)
    save_file(stored, folder / "model.safetensors")


def shard(folder, n=3):
    """Splits a folder's weights into n files and an index."""
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {}
    for i in range(n):
        name = f"model-{i + 1:05}-of-{n:05}.safetensors"
        part = dict(list(stored.items())[i::n])
        save_file(part, folder / name)
        places |= dict.fromkeys(part, name)
    write_index(folder, places)
    return places


def write_index(folder, places):
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
