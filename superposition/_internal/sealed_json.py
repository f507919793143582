"""JSON that carries the SHA-256 of itself, so that one byte that differs from what was written is noticed."""

import hashlib
import json
from typing import Any


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def encode(body: dict[str, Any]) -> bytes:
    """The JSON of `body` and of its SHA-256. Raises ValueError or TypeError for what is no JSON."""
    seal = digest(json.dumps(body, allow_nan=False).encode())
    return json.dumps({**body, "sha256": seal}, allow_nan=False, indent=1).encode()


def decode(data: bytes) -> dict[str, Any]:
    """The body; ValueError unless `data` is, to the byte, what `encode` makes of it."""
    try:
        body: dict[str, Any] = json.loads(data)
        expected = body.pop("sha256")
        if (encoded := encode(body)) != data:
            raise ValueError(f"expected content of SHA-256 {expected}, got {encoded[-66:-2].decode()}")
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"expected a manifest, got {error!r}") from error
    return body
