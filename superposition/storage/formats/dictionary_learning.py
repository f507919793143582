"""dictionary_learning: ae.pt, a PyTorch checkpoint, and config.json, whose trainer.dict_class names the class.

| class | our recipe | layout |
|---|---|---|
| AutoEncoder, AutoEncoderNew | relu, with and without b_dec subtracted | encoder.weight (d_sae, d_in), decoder's transposed |
| GatedAutoEncoder | gated | the same |
| AutoEncoderTopK, BatchTopKSAE | topk, batch-topk | the same, with k and one threshold (-1: never set) |
| MatryoshkaBatchTopKSAE | matryoshka | W_enc (d_in, d_sae), W_dec (d_sae, d_in), group_sizes |
| JumpReluAutoEncoder | jumprelu, b_dec not subtracted | the same, with threshold (d_sae,) |

A checkpoint is a pickle, which is never loaded: allow_pt=True has it read by a reader that knows tensors only.
Weights come as they are, though AutoEncoder.from_pretrained makes decoder rows unit (fold_decoder_norm). A
trainer's norm_factor is in no file: such an SAE is one of scaled activations, for fold_scale to mend.
"""

from pathlib import Path
from typing import Any

import numpy as np

from superposition.errors import ConfigError, CorruptError
from superposition.sae import SAE, BatchTopK, Bricken, Gated, JumpReLU, Matryoshka, Random, ReLU, TopK
from superposition.storage.formats import _read, _recipe, _seal, _torch
from superposition.storage.formats._base import Format, Loaded, Source
from superposition.storage.formats._read import Arrays

CONFIG, WEIGHTS = "config.json", "ae.pt"

LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
OURS = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
GATES = {"b_dec": "decoder_bias", "r_mag": "r_mag", "b_gate": "gate_bias", "b_mag": "mag_bias"}
THRESHOLD = {"threshold": "threshold"}
RELUS = (ReLU, Bricken, Random)

# Class -> recipes, whether b_dec is subtracted from the input, and our names -> its names.
CLASSES: dict[str, tuple[tuple[type[SAE], ...], bool, dict[str, str]]] = {
    "AutoEncoder": (RELUS, True, {**LINEAR, "b_dec": "bias"}),
    "AutoEncoderNew": (RELUS, False, {**LINEAR, "b_dec": "decoder.bias"}),
    "GatedAutoEncoder": ((Gated,), True, {"W_enc": LINEAR["W_enc"], "W_dec": LINEAR["W_dec"], **GATES}),
    "AutoEncoderTopK": ((TopK,), True, {**LINEAR, "b_dec": "b_dec"}),
    "BatchTopKSAE": ((BatchTopK,), True, {**LINEAR, "b_dec": "b_dec", **THRESHOLD}),
    "MatryoshkaBatchTopKSAE": ((Matryoshka,), True, {**OURS, **THRESHOLD}),
    "JumpReluAutoEncoder": ((JumpReLU,), False, {**OURS, **THRESHOLD}),
}
NUMBERS = {"k", "threshold", "group_sizes"}  # what a checkpoint may hold besides, of any number's type


def read(source: Source) -> Loaded:
    """The SAE of a directory; metadata is config.json, with the threshold of a TopK if it was set."""
    weights = source.directory / source.weights
    if not source.allow_pt:
        raise ConfigError(
            f"{weights}: a PyTorch checkpoint is a pickle, which is never loaded; give allow_pt=True to have it"
            f" read by a reader that knows tensors only"
        )
    path = source.directory / CONFIG
    if source.weights != WEIGHTS and not path.exists():
        path = source.directory.parent / CONFIG  # of checkpoints/ae_100.pt
    config = _read.read_json(path)
    metadata = dict(config)
    own = metadata.pop(_recipe.KEY, None)
    trainer = _recipe.typed(path, metadata, "trainer", dict, {})
    name = _recipe.typed(path, trainer, "dict_class", str, "")
    if name not in CLASSES:
        raise ConfigError(f"{path}: dict_class must be one of {', '.join(CLASSES)}; got {name!r:.80}")
    kinds, subtracts, names = CLASSES[name]
    raw = _torch.read_torch(weights)
    _seal.check_tensors(FORMAT, weights, config, raw)
    numbers = {key: raw.pop(key) for key in sorted(NUMBERS - set(names)) if key in raw}
    if "threshold" in names and (unset := raw.get("threshold")) is not None and unset.shape == ():
        # One threshold of -1 was never set; relu(pre) > -1 is what pre > 0 is to a JumpReLU.
        raw["threshold"] = np.asarray(0 if unset == -1 else unset, np.float32)
    arrays = _ours(weights, raw, names)
    if arrays["W_enc"].ndim != 2:
        raise CorruptError(
            f"{weights}: {names['W_enc']}: expected a matrix, got shape {arrays['W_enc'].shape}"
        )
    d_in, d_sae = arrays["W_enc"].shape
    for key, size in (("activation_dim", d_in), ("dict_size", d_sae)):
        if _recipe.typed(path, trainer, key, int | None) not in (None, size):
            raise CorruptError(
                f"{path}: {key} is {trainer[key]}, but {names['W_enc']} in {source.weights} has {size}"
            )
    shared = {
        "d_in": d_in,
        "d_sae": d_sae,
        "apply_b_dec_to_input": subtracts,
        "normalize_activations": "none",
    }
    shared |= {"d_out": None, "skip": False, "width": None} | _selection(
        path, weights, trainer, kinds[0], numbers
    )
    sae = _recipe.restore(path, own, dict.fromkeys(kinds, shared))
    _read.check_arrays(weights, arrays, _recipe.shapes(sae))
    if kinds[0] is TopK and (threshold := numbers.get("threshold")) is not None and threshold.shape == ():
        metadata["threshold"] = float(threshold)
    return Loaded(sae, _recipe.loaded(weights, sae, arrays), metadata)


def _selection(
    path: Path, weights: Path, trainer: dict[str, Any], kind: type[SAE], numbers: Arrays
) -> dict[str, Any]:
    """k, and the prefixes that group_sizes add up to, in both files alike."""
    if not issubclass(kind, TopK | BatchTopK | Matryoshka):
        if numbers:
            raise CorruptError(f"{weights}: {sorted(numbers)} mean nothing to {trainer['dict_class']}")
        return {}
    k = _recipe.typed(path, trainer, "k", int | None)
    if "k" in numbers:
        if (
            numbers["k"].shape != ()
            or numbers["k"].dtype.kind not in "iu"
            or k not in (None, int(numbers["k"]))
        ):
            raise CorruptError(f"{weights}: expected one integer k, {k} of {path.name}; got {numbers['k']}")
        k = int(numbers["k"])
    if k is None:
        raise ConfigError(f"{path}: k must be given, here or in {weights.name}")
    if kind is not Matryoshka:
        return {"k": k, "rescale_acts_by_decoder_norm": False}
    sizes = numbers.get("group_sizes")
    if sizes is None or sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.size == 0 or sizes.min() < 1:
        raise CorruptError(f"{weights}: expected group_sizes, integers >= 1, got {sizes}")
    prefixes = tuple(int(n) for n in np.cumsum(sizes.astype(object)))
    return {"k": k, "rescale_acts_by_decoder_norm": False, "prefixes": prefixes}


def _ours(path: Path, raw: Arrays, names: dict[str, str]) -> Arrays:
    _read.check_prefix(path, raw, names.values())
    if differing := raw.keys() ^ names.values():
        got, wanted = sorted(raw)[:16], sorted(names.values())
        raise CorruptError(
            f"{path}: expected the tensors {wanted}, got {got!r:.400}; differing {len(differing)}"
        )
    arrays = {}
    for ours, theirs in names.items():
        if raw[theirs].dtype == np.float64:
            raise ConfigError(
                f"{path}: {theirs} is float64; weights are read as float32: cast it and save again"
            )
        if raw[theirs].dtype != np.float32:
            raise CorruptError(
                f"{path}: {theirs}: expected float32, float16 or bfloat16, got {raw[theirs].dtype}"
            )
        transposed = theirs in ("encoder.weight", "decoder.weight")
        arrays[ours] = raw[theirs].T if transposed else raw[theirs]
    return arrays


def files(sae: SAE, arrays: Arrays, metadata: dict[str, Any], dtype: str) -> dict[str, bytes]:
    """ae.pt and config.json; metadata's trainer and buffer are kept, and what the class says wins."""
    fits = (name for name, (kinds, subtracts, _) in CLASSES.items()
            if type(sae) in kinds and subtracts == sae.apply_b_dec_to_input)  # fmt: skip
    name = next(fits, None)
    plain = sae.d_out is None and sae.normalize_activations == "none"
    if name is None or not plain or getattr(sae, "rescale_acts_by_decoder_norm", False):
        raise ConfigError(
            f"dictionary-learning has no class for {type(sae).__name__} as it is"
            f" (accepted: {', '.join(CLASSES)}, no transcoder, norm or rescaling);"
            " fold b_dec (convert --fold-b-dec), or use saelens"
        )
    names = CLASSES[name][2]
    tensors = {
        theirs: arrays[ours].T if theirs in ("encoder.weight", "decoder.weight") else arrays[ours]
        for ours, theirs in names.items()
    }
    tensors = {theirs: np.asarray(tensor, order="C") for theirs, tensor in tensors.items()}
    trainer = dict(metadata.get("trainer", {})) if isinstance(metadata.get("trainer", {}), dict) else {}
    trainer |= {"dict_class": name, "activation_dim": sae.d_in, "dict_size": sae.d_sae}
    if isinstance(sae, TopK | BatchTopK | Matryoshka):
        k = sae.to_saelens()["k"] if isinstance(sae, TopK) else sae.k
        if k != int(k):
            raise ConfigError(f"dictionary-learning holds an integer k; got {k}")
        tensors["k"], trainer["k"] = np.asarray(int(k), np.int32), int(k)
    if isinstance(sae, TopK):
        tensors["threshold"] = np.asarray(metadata.get("threshold", -1.0), np.float32)
    if isinstance(sae, Matryoshka):
        tensors["group_sizes"] = np.diff(sae.widths, prepend=0).astype(np.int64)
    config = {**{k: v for k, v in metadata.items() if k != "threshold"}, "trainer": trainer}
    config[_recipe.KEY] = _recipe.describe(sae)
    return _seal.sealed(FORMAT, config, tensors, dtype)


FORMAT = Format(
    "dictionary-learning", WEIGHTS, frozenset({CONFIG, WEIGHTS}), read, files, config=CONFIG, pickled=True
)
