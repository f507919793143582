"""docs/file_formats.md names exactly what a freshly written file of each format holds."""

import json
import re
from pathlib import Path

import pytest
import zarr

from tests.support import written_files

PAGE = Path(__file__).parents[2] / "docs" / "file_formats.md"


def _section(title):
    parts = re.split(r"^#{2,3} (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def _table(title, head, column=1):
    """Names in the first column of the table whose first column has that head -> another column."""
    result = {}
    inside = False
    for line in _section(title).splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == head:
            inside = True
        elif inside and not cells[0].startswith("---"):
            result |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[column])
    assert result, f"no table of {head} in {title}"
    return result


def _files(folder):
    return {path.name for path in folder.iterdir()}


def _dtypes(path):
    return {name: dtype for name, (dtype, _) in written_files.tensors_of(path).items()}


def test_sae_directory(tmp_path):
    title, folder = "SAE directory", written_files.sae(tmp_path)
    assert _files(folder) == set(_table(title, "file"))
    assert _dtypes(folder / "sae_weights.safetensors") == _table(title, "tensor")
    assert _dtypes(folder / "sparsity.safetensors") == {"sparsity": "float32"}
    names = written_files.names_of(json.loads((folder / "cfg.json").read_text()))
    inside = ("metadata.superposition.fields.", "metadata.superposition.sha256.")
    assert {n for n in names if not n.startswith(inside)} == set(_table(title, "key"))


def test_toy_model(tmp_path):
    title, folder = "Toy model", written_files.toy_model(tmp_path)
    assert _files(folder) == set(_table(title, "file"))
    assert _dtypes(folder / "params.safetensors") == _table(title, "tensor")
    assert set(json.loads((folder / "toy.json").read_text())) == set(_table(title, "key"))


def test_checkpoint(tmp_path):
    title, folder = "Checkpoint", written_files.step_of_a_checkpoint(tmp_path)
    assert f"`{folder.name}`" in _section(title)
    assert _files(folder) == set(_table(title, "file"))
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert set(manifest) == set(_table(title, "key"))
    leaves = _dtypes(folder / "state.safetensors")
    assert leaves == {"['params']['W']": "float32", "['key']": "uint32", "['n']": "int64"}
    assert set(manifest["files"]["state.safetensors"]) == {"bytes", "sha256"}
    assert set(manifest["schema"]["['key']"]) == {"shape", "dtype", "key"}


def test_activation_cache(tmp_path):
    title, folder = "Activation cache", written_files.cache(tmp_path)
    assert _files(folder) == set(_table(title, "file"))
    assert _dtypes(folder / "shard-000000-4.safetensors") == _table(title, "tensor")
    assert _dtypes(folder / "tokens.safetensors") == {"tokens": "int32"}
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    described = _table(title, "key")
    assert set(manifest) == set(described)
    words = re.findall(r"`(\w+)`", _section(title))
    assert {*manifest["settings"], *manifest["shards"][0], *manifest["tokens"]} <= set(words)


@pytest.mark.parametrize(
    ("title", "head", "write"),
    [("Sweep store", "array", "store"), ("Sweeps of SAEs", "SAE array", "sae_store")],
)
def test_sweep_store(tmp_path, title, head, write):
    folder = getattr(written_files, write)(tmp_path)
    group = zarr.open_group(str(folder), mode="r")
    arrays = {name: str(array.dtype).replace("StringDType()", "string") for name, array in group.arrays()}
    assert arrays == _table(title, head)
    names = {path.name for path in (folder / "records").iterdir()}
    assert {"store.json", "block-0-0.json", "zarr.json"} <= names
    attributes = set(_table("Sweep store", "attribute"))
    assert set(group.attrs) - {"models", "history"} == attributes - (
        {"shared_draw"} if "models" in group.attrs else set()
    )
    said = _table(title, head, 2)
    for name, array in group.arrays():
        assert list(array.metadata.dimension_names) == said[name].split(";")[0].split(", "), name


def test_language_model(tmp_path):
    title, folder = "Language-model directory", written_files.language_model(tmp_path)
    assert _files(folder) == set(_table(title, "file"))
    assert _dtypes(folder / "model.safetensors") == _table(title, "tensor")
