"""What `pip install` brings: every import is declared, an extra is named by what misses it, nothing loads early."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from superposition._internal.optional import needed_for
from superposition.errors import ConfigError
from superposition.llm.text import dataset_text
from superposition.llm.torch_source import TorchModel

ROOT = Path(__file__).resolve()
while not (ROOT / "pyproject.toml").exists():
    ROOT = ROOT.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"pillow": "PIL", "scikit_learn": "sklearn"}  # whose name on the index is another
BROUGHT = {"jaxlib": "jax"}  # one package in two parts
FOR_USERS = ("cluster", "datasets", "notebooks", "torch")


def modules(requirements):
    """Names to import of requirements as pyproject.toml states them."""
    names = [re.match(r"[A-Za-z0-9_.\-]+", one)[0].replace("-", "_").lower() for one in requirements]
    return {MODULES.get(name, name) for name in names}


def imported(path):
    """(module, whether inside `with needed_for`) of every import in a file, top-level names only."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.With) and "needed_for" in ast.unparse(block.items[0].context_expr)
        for inner in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], id(node) in guarded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0], id(node) in guarded


def test_every_import_is_declared():
    declared = modules(PROJECT["dependencies"])
    extras = {name: modules(PROJECT["optional-dependencies"][name]) for name in FOR_USERS}
    optional = set().union(*extras.values())
    used, guarded = set(), set()
    for path in (ROOT / "superposition").rglob("*.py"):
        for module, inside in imported(path):
            if module in sys.stdlib_module_names or module == "superposition":
                continue
            module = BROUGHT.get(module, module)
            used.add(module)
            assert module in declared | optional, (
                f"{path} imports {module}, which pyproject.toml does not declare"
            )
            if inside:
                guarded.add(module)
    assert declared <= used, "declared and imported nowhere"
    assert used & optional <= guarded, (
        "imported without `needed_for`, so that nothing says which extra to install"
    )


def test_the_names_of_modules_are_those_of_installed_packages():
    """`MODULES` is right for what is installed here: each declared package provides the module of that name."""
    provided = packages_distributions()
    for module in modules(PROJECT["dependencies"]):
        assert module in provided, module


def test_what_misses_an_extra_names_it(monkeypatch):
    with (
        pytest.raises(
            ConfigError, match=r"a thing needs the package no_such_package: pip install 'superposition\[x\]'$"
        ),
        needed_for("a thing", "x"),
    ):
        import no_such_package  # noqa: F401
    for name in ("torch", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ConfigError, match=r"package datasets: pip install 'superposition\[datasets\]'; or give text"
    ):
        dataset_text("some/dataset")
    for call in (lambda: TorchModel(None), lambda: TorchModel.from_hf("some/model")):
        with pytest.raises(ConfigError, match=r"package torch: pip install 'superposition\[torch\]'"):
            call()


def loaded(program):
    """The modules that a process has loaded after a program."""
    code = f"import sys\n{program}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    return set(json.loads(done.stdout))


ALWAYS_LATE = {
    "flax",
    "transformers",
    "tokenizers",
    "sklearn",
    "matplotlib",
    "torch",
    "datasets",
    "huggingface_hub",
    "tyro",
}
FIT = """
import jax
import numpy as np
from superposition import SAERun, TopK, fit
from superposition.activations import array_stream
x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
fit(SAERun(TopK(4, 8, k=2), steps=2, batch_size=16), array_stream(jax.random.key(0), x))
"""
SWEEP = """
from superposition import ReLUOutput, SparseUniform, ToyRun
from superposition.training import sweep
sweep(ToyRun(ReLUOutput(3, 2), SparseUniform(density=0.5), steps=2, batch_size=8), {"seed": [0, 1]})
"""
GENERATE = """
from superposition.llm import LanguageModel
lm = LanguageModel.from_hf()
prompt = lm.prompt_ids("Once upon a time")
lm.continuation(prompt, lm.generate([prompt], 4)[0].tolist())
"""


@pytest.mark.parametrize(
    ("program", "late"),
    [
        (
            "import superposition",
            ALWAYS_LATE | {"jax", "numpy", "scipy", "xarray", "zarr", "pandas", "optax", "rich"},
        ),
        (FIT, ALWAYS_LATE | {"scipy", "xarray", "zarr", "pandas", "rich"}),
        (SWEEP, ALWAYS_LATE | {"scipy", "rich"}),
        (GENERATE, (ALWAYS_LATE - {"flax", "tokenizers"}) | {"scipy", "xarray", "zarr", "pandas"}),
    ],
    ids=["import", "fit", "sweep", "generate"],
)
def test_nothing_is_imported_before_it_is_needed(program, late):
    assert loaded(program) & late == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, built without the network, and its METADATA."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    files = [
        path
        for path in (ROOT / "superposition").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in files:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(place),
    ]
    try:
        import setuptools

        if int(setuptools.__version__.partition(".")[0]) < 77:
            command.remove("--no-build-isolation")
    except ImportError:
        command.remove("--no-build-isolation")
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)
    if done.returncode != 0 and "--no-build-isolation" not in command:
        pytest.skip("setuptools >= 77 is neither installed nor can it be fetched")
    assert done.returncode == 0, done.stderr
    (path,) = place.glob("superposition-*.whl")
    archive = zipfile.ZipFile(path)
    metadata = next(archive.read(n).decode() for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    return archive, metadata, [path.relative_to(ROOT).as_posix() for path in files]


def test_the_wheel_holds_all_that_the_package_reads(wheel):
    archive, metadata, files = wheel
    held = set(archive.namelist())
    assert set(files) <= held, "a file of the package is left out: see package-data in pyproject.toml"
    assert "superposition/py.typed" in held
    assert any(name.endswith("licenses/LICENSE") for name in held)
    for line in ("Name: superposition", "License-Expression: Apache-2.0", "License-File: LICENSE",
                 "Requires-Python: >=3.11", "Provides-Extra: torch", "Classifier: Typing :: Typed"):  # fmt: skip
        assert line in metadata.splitlines()
