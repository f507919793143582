"""SAEs straight from their files: latents and reconstruction of x (batch, d_in) in numpy float64.

Written from the formats' definitions, one function a format, and shares nothing with superposition.storage.formats.
"""

import collections
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import safetensors.numpy


def _tensors(path):
    return {name: a.astype(np.float64) for name, a in safetensors.numpy.load_file(path).items()}


def _relu(z):
    return np.maximum(z, 0.0)


def _topk(z, k):
    """The k largest of each row, where positive."""
    out = np.zeros_like(z)
    for row, values in enumerate(z):
        for column in sorted(range(len(values)), key=lambda j: (-values[j], j))[:k]:
            out[row, column] = max(values[column], 0.0)
    return out


def _pursuit(x, D, iterations, threshold, stop_on_duplicate):
    out = np.zeros((len(x), len(D)))
    for row, start in enumerate(x):
        residual, support = start.copy(), set()
        for _ in range(iterations):
            scores = _relu(D @ residual)
            j = int(np.argmax(scores))
            fresh = scores[j] > 0 and j not in support
            if scores[j] > 0:
                out[row, j] += scores[j]
                residual = residual - scores[j] * D[j]
                support.add(j)
            if (stop_on_duplicate and not fresh) or np.linalg.norm(residual) < threshold:
                break
    return out


def saelens(directory, x):
    cfg = json.loads(Path(directory, "cfg.json").read_text())
    p = _tensors(Path(directory, "sae_weights.safetensors"))
    name = cfg["architecture"].removeprefix("superposition_")
    transcoder = "transcoder" in name
    undo = lambda y: y  # noqa: E731
    if cfg["normalize_activations"] == "layer_norm":
        mean, std = x.mean(-1, keepdims=True), x.std(-1, ddof=1, keepdims=True)
        x, undo = (x - mean) / (std + 1e-5), lambda y: y * std + mean
    elif cfg["normalize_activations"] == "constant_norm_rescale":
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        x, undo = x * np.sqrt(x.shape[-1]) / norm, lambda y: y / np.sqrt(x.shape[-1]) * norm
    inside = x - p["b_dec"] if cfg["apply_b_dec_to_input"] else x
    after = 1.0
    if name.startswith("matching_pursuit"):
        D = p["W_enc"].T if transcoder else p["W_dec"]
        rule = (
            cfg["max_iterations"] or cfg["d_in"],
            cfg["residual_threshold"],
            cfg["stop_on_duplicate_support"],
        )
        latents = _pursuit(inside, D, *rule)
    elif name.startswith("gated"):
        z = inside @ p["W_enc"]
        latents = (z + p["b_gate"] > 0) * _relu(inside @ (p["W_enc"] * np.exp(p["r_mag"])) + p["b_mag"])
    else:
        z = inside @ p["W_enc"] + p["b_enc"]
        if name.startswith("topk"):
            after = np.linalg.norm(p["W_dec"], axis=-1) if cfg["rescale_acts_by_decoder_norm"] else 1.0
            latents = _topk(z * after, cfg["k"])
        elif name.startswith("abstopk"):
            after = np.linalg.norm(p["W_dec"], axis=-1) if cfg["rescale_acts_by_decoder_norm"] else 1.0
            latents = np.where(_topk(np.abs(z * after), cfg["k"]) > 0, z * after, 0.0)
        elif name.startswith("jumprelu"):
            latents = _relu(z) * (z > p["threshold"])
        else:
            assert name in ("standard", "transcoder", "skip_transcoder")
            latents = _relu(z)
    y = (latents / after) @ p["W_dec"]
    if transcoder or not name.startswith("matching_pursuit") or cfg["apply_b_dec_to_input"]:
        y = y + p["b_dec"]
    if "skip" in name:
        y = y + x @ p["W_skip"].T
    return latents, undo(y)


def gemma_scope(directory, x):
    with np.load(Path(directory, "params.npz")) as p:
        z = x @ p["W_enc"].astype(np.float64) + p["b_enc"]
        latents = z * (z > p["threshold"])
        return latents, latents @ p["W_dec"].astype(np.float64) + p["b_dec"]


def gemma_scope_2(directory, x):
    p = _tensors(Path(directory, "params.safetensors"))
    z = x @ p["w_enc"] + p["b_enc"]
    latents = z * (z > p["threshold"])
    y = latents @ p["w_dec"] + p["b_dec"]
    return latents, y + x @ p["affine_skip_connection"] if "affine_skip_connection" in p else y


def sparsify(directory, x):
    cfg = json.loads(Path(directory, "cfg.json").read_text())
    p = _tensors(Path(directory, "sae.safetensors"))
    z = (x if cfg["transcode"] else x - p["b_dec"]) @ p["encoder.weight"].T + p["encoder.bias"]
    latents = _topk(z, cfg["k"])
    y = latents @ p["W_dec"] + p["b_dec"]
    return latents, y + x @ p["W_skip"].T if cfg["skip_connection"] else y


class _Reader(pickle.Unpickler):
    """The state dict of a checkpoint that a test has just written."""

    def __init__(self, archive, root):
        super().__init__(archive.open(f"{root}/data.pkl"))
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        if name == "OrderedDict":
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda flat, offset, shape, strides, *_: np.lib.stride_tricks.as_strided(
                flat[offset:], shape, [s * flat.itemsize for s in strides]
            )
        return {"FloatStorage": np.float32, "IntStorage": np.int32, "LongStorage": np.int64}[name]

    def persistent_load(self, reference):
        return np.frombuffer(self.archive.read(f"{self.root}/data/{reference[2]}"), reference[1])


def dictionary_learning(directory, x):
    name = json.loads(Path(directory, "config.json").read_text())["trainer"]["dict_class"]
    with zipfile.ZipFile(Path(directory, "ae.pt")) as archive:
        p = {k: a.astype(np.float64) for k, a in _Reader(archive, "archive").load().items()}
    W_enc = p["W_enc"] if "W_enc" in p else p["encoder.weight"].T
    W_dec = p["W_dec"] if "W_dec" in p else p["decoder.weight"].T
    bias = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}
    b_dec = p[bias.get(name, "b_dec")]
    z = (x if name in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - b_dec) @ W_enc
    if name == "GatedAutoEncoder":
        latents = (z + p["gate_bias"] > 0) * _relu(np.exp(p["r_mag"]) * z + p["mag_bias"])
    else:
        z = z + p["b_enc" if "b_enc" in p else "encoder.bias"]
        latents = _relu(z)
        if name == "AutoEncoderTopK":
            latents = _topk(z, int(p["k"]))
        elif "threshold" in p:
            latents = latents * (latents > p["threshold"])
    return latents, latents @ W_dec + b_dec


FORWARD = {
    "saelens": saelens,
    "gemma-scope": gemma_scope,
    "gemma-scope-2": gemma_scope_2,
    "sparsify": sparsify,
    "dictionary-learning": dictionary_learning,
}
