"""By which pages know the SAE that they are of."""

import hashlib

import numpy as np

from superposition.errors import ConfigError
from superposition.interventions import Attached


def made_of(attached: Attached) -> dict[str, str]:
    """The hook point, and a hash of the SAE's parameters, as they stand in an index of pages."""
    digest = hashlib.sha256()
    for name, value in sorted(attached.params.items()):
        digest.update(f"{name} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value, np.float32).tobytes())
    return {"hook": attached.hook, "sae_sha256": digest.hexdigest()}


def belong(of: object, attached: Attached) -> None:
    """ConfigError where the pages say that they are of another SAE; written from Python, they may not say."""
    if isinstance(of, dict) and of != (mine := made_of(attached)):
        what = "another hook point" if of.get("hook") != mine["hook"] else "another SAE"
        raise ConfigError(
            f"these are pages of {what} than {attached.name}; give the SAE that they were written of"
        )
