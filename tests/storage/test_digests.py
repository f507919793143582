"""Whatever happens to a file that we wrote, an SAE loads as it was written or is refused as damaged, in one line."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from superposition.errors import CorruptError, StoreError
from superposition.sae import BatchTopK, Gated, JumpReLU, ReLU, TopK
from superposition.storage import formats
from tests.oracles.unsealed import unsealed
from tests.support.formats import params_of
from tests.support.mutations import TIMES, mutations

JUMP = JumpReLU(3, 5, apply_b_dec_to_input=False)
METADATA = {
    "hook_name": "blocks.1.hook_resid_post", "model_name": "gpt2", "prepend_bos": True, "context_size": 16,
    "seqpos_slice": [1, None], "model_from_pretrained_kwargs": {"center_writing_weights": True},
}  # fmt: skip
CASES = {
    "saelens": (JumpReLU(3, 5, normalize_activations="layer_norm"), "saelens", "float32"),
    "saelens with everything": (TopK(3, 5, k=1.5, apply_b_dec_to_input=False), "saelens", "float16"),
    "saelens transcoder": (JumpReLU(3, 5, 4, skip=True, apply_b_dec_to_input=False), "saelens", "bfloat16"),
    "sparsify": (TopK(3, 5, k=2), "sparsify", "float32"),
    "gemma-scope": (JUMP, "gemma-scope", "float32"),
    "gemma-scope-2": (JUMP, "gemma-scope-2", "bfloat16"),
    "dictionary-learning": (BatchTopK(3, 5, k=2), "dictionary-learning", "float32"),
}


def save(path, name):
    sae, format, dtype = CASES[name]
    sparsity = np.linspace(-5, -1, 5) if name == "saelens with everything" else None
    metadata = {} if format == "gemma-scope" else METADATA
    return formats.save(path, sae, params_of(sae), metadata, format, dtype=dtype, sparsity=sparsity)


def same(a, b):
    if (a.sae, a.metadata, a.params.keys()) != (b.sae, b.metadata, b.params.keys()):
        return False
    pairs = [*((a.params[n], b.params[n]) for n in a.params), (a.sparsity, b.sparsity)]
    return all(
        (x is None) == (y is None) and (x is None or np.asarray(x).tobytes() == np.asarray(y).tobytes())
        for x, y in pairs
    )


@pytest.mark.parametrize("name", CASES)
def test_no_mutation_goes_unseen(tmp_path, name):
    path = save(tmp_path / "sae", name)
    whole = formats.load(path, allow_pt=True)
    files = {file: (path / file).read_bytes() for file in sorted(os.listdir(path))}
    unseen, seen = [], 0
    for what, file, data in mutations(files, np.random.default_rng(0)):
        (path / file).unlink()
        if data is not None:
            (path / file).write_bytes(data)
        try:
            if not same(formats.load(path, allow_pt=True), whole):
                unseen.append(what)
        except StoreError as error:
            seen += 1
            typed = isinstance(error, CorruptError) and "\n" not in str(error)
            gone = data is None and name == "gemma-scope"  # its one file is gone: nothing is left to say so
            unseen += [] if typed or gone else [f"{what}: {error!r}"]
        (path / file).write_bytes(files[file])
    assert unseen == []
    assert seen > TIMES / 2
    assert same(formats.load(path, allow_pt=True), whole)


@pytest.mark.parametrize("name", CASES)
def test_directories_without_digests_load(tmp_path, name):
    path = save(tmp_path / "sae", name)
    whole = formats.load(path, allow_pt=True)
    assert same(formats.load(unsealed(path), allow_pt=True), whole)
    assert "sha256" not in str(whole.metadata)


CONFIGS = {
    "saelens": "cfg.json",
    "sparsify": "cfg.json",
    "gemma-scope-2": "config.json",
    "dictionary-learning": "config.json",
}


def edit(path, change):
    cfg = json.loads(path.read_text())
    change(cfg)
    path.write_text(json.dumps(cfg))


def test_a_config_that_was_edited_is_refused_by_name_and_can_be_accepted(tmp_path):
    path = save(tmp_path / "sae", "saelens")
    config = path / "cfg.json"
    edit(config, lambda cfg: cfg["metadata"].update(hook_name="blocks.0.hook_resid_post", note=1))
    with pytest.raises(CorruptError) as caught:
        formats.load(path)
    assert str(caught.value) == (
        f'{config} is not as it was written: metadata.hook_name is "blocks.0.hook_resid_post" and was '
        '"blocks.1.hook_resid_post"; metadata.note is new; restore it, or if the change is meant put '
        '"edited": true in metadata.superposition of cfg.json'
    )
    edit(config, lambda cfg: cfg["metadata"]["superposition"].update(edited=True))
    accepted = formats.load(path)
    assert accepted.metadata["hook_name"] == "blocks.0.hook_resid_post"
    assert "superposition" not in accepted.metadata
    again = formats.save(tmp_path / "again", *accepted[:3])  # whole again, and nothing is left of the edit
    assert same(formats.load(again), accepted)
    assert "edited" not in (again / "cfg.json").read_text()


@pytest.mark.parametrize("name", CONFIGS)
def test_white_space_and_order_are_no_change(tmp_path, name):
    path = save(tmp_path / "sae", name)
    whole = formats.load(path, allow_pt=True)
    config = path / CONFIGS[name]
    cfg = json.loads(config.read_text())
    config.write_text("\n" + json.dumps(dict(reversed(cfg.items())), indent=7))
    assert same(formats.load(path, allow_pt=True), whole)


@pytest.mark.parametrize("name", ["saelens", "saelens with everything", "sparsify"])
def test_weights_that_another_program_wrote_anew(tmp_path, name):
    path = save(tmp_path / "sae", name)
    whole = formats.load(path)
    weights = path / formats.FORMATS[CASES[name][1]].weights
    tensors = {n: a.astype(np.float32) for n, a in safetensors.numpy.load_file(weights).items()}
    # The same numbers in another order and precision are the same SAE, in SAELens's hands and back.
    safetensors.numpy.save_file(dict(reversed(tensors.items())), weights)
    assert same(formats.load(path), whole)
    (path / "sparsity.safetensors").unlink(missing_ok=True)  # which SAELens does not write
    assert same(formats.load(path), whole._replace(sparsity=None))
    tensors["b_dec"] = tensors["b_dec"] + 1e-3
    safetensors.numpy.save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(
        CorruptError, match=r"does not hold the tensors that were written, whose SHA-256 is in cfg\.json"
    ):
        formats.load(path)


def test_weights_of_another_sae_are_refused(tmp_path):
    sae = ReLU(3, 5)
    one = formats.save(tmp_path / "one", sae, params_of(sae), METADATA)
    other = formats.save(tmp_path / "other", sae, params_of(sae, 1), METADATA)
    (one / "sae_weights.safetensors").write_bytes((other / "sae_weights.safetensors").read_bytes())
    with pytest.raises(CorruptError, match=r"metadata\.superposition\.sha256"):
        formats.load(one)


def test_a_negative_zero_counts(tmp_path):
    sae = Gated(3, 5)
    params = params_of(sae) | {"b_dec": jnp.zeros(3)}
    path = formats.save(tmp_path / "sae", sae, params)
    formats.load(path)
    weights = path / "sae_weights.safetensors"
    tensors = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file(tensors | {"b_dec": -tensors["b_dec"]}, weights)
    with pytest.raises(CorruptError):
        formats.load(path)


def test_the_sae_that_ships_has_digests(tmp_path):
    shipped = formats.SHIPPED["superposition/small-lm-sae"]
    for file in ("cfg.json", "sae_weights.safetensors"):
        (tmp_path / file).write_bytes((shipped / file).read_bytes())
    assert same(formats.load(tmp_path), formats.load("superposition/small-lm-sae"))
    weights = bytearray((tmp_path / "sae_weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "sae_weights.safetensors").write_bytes(weights)
    with pytest.raises(CorruptError, match="SHA-256"):
        formats.load(tmp_path)


def test_a_checkpoint_of_ours_is_one_of_torch(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    path = save(tmp_path / "sae", "dictionary-learning")
    state = torch.load(path / "ae.pt", weights_only=True)
    params = formats.load(path, allow_pt=True).params
    assert np.array_equal(state["encoder.weight"].numpy().T, params["W_enc"])


def test_the_same_sae_gives_the_same_bytes(tmp_path):
    sae = TopK(4, 8, k=1)
    params = params_of(sae)
    for number in range(8):  # in one of eight, safetensors alone would have exchanged two notes
        path = formats.save(tmp_path / str(number), sae, params)
        data = (path / "sae_weights.safetensors").read_bytes()
        assert data == (tmp_path / "0" / "sae_weights.safetensors").read_bytes()
