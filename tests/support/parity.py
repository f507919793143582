"""Tiny random models of every family, run by transformers on torch and by us."""

import functools

import numpy as np

from superposition.llm.families import parse
from tests.oracles import tiny_models
from tests.oracles.tiny_models import TOKENS

TOLERANCE = 5e-6  # measured: at most 2e-6; 1e-4 would let the exact GELU pass for the tanh form


# As initialised; with biases and norms moved, matrices larger; so large that scores reach the softcap; for text.
INITS = {
    "default": {},
    "moved": {"moved": True},
    "x30": {"moved": True, "scale": 30.0},
    "varied": {"moved": True, "scale": 12.0, "varied": True},
}


def theirs(model, tokens=TOKENS, mask=None, positions=None):
    """Logits, and inputs and outputs of every module on the way, by its name."""
    import torch

    inputs, outputs = {}, {}

    def keep(name, module, args, kwargs, out):
        inputs[name] = args[0] if args else kwargs.get("hidden_states")
        outputs[name] = out[0] if isinstance(out, tuple) else out

    handles = [
        module.register_forward_hook(functools.partial(keep, name), with_kwargs=True)
        for name, module in model.named_modules()
        if name
    ]
    given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
    with torch.no_grad():
        out = model(**{k: torch.tensor(np.asarray(v)) for k, v in given.items() if v is not None})
    for handle in handles:
        handle.remove()
    return out.logits.float().numpy(), inputs, outputs


def error(x, expected):
    x, expected = (np.asarray(a, np.float64) for a in (x, expected))
    return np.abs(x - expected).max() / np.abs(expected).max()


def parse_case(case):
    kind, arguments = tiny_models.settings(case)
    return parse({"model_type": kind, **arguments})
