"""A request as it arrives, which anybody may have sent: read before a deadline, parsed within bounds, or refused."""

import io
import json
import math
import socket
import time
from typing import Any

DEPTH, DIGITS = 4, 16  # of JSON, of an integer in it


class Refusal(Exception):
    """A response that is an error: status, one sentence, further headers."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Arriving(io.RawIOBase):
    """What a socket receives, all of it before a deadline: a timeout alone allows a byte every few seconds."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self.connection, self.deadline = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Into the buffer; TimeoutError past the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


def parsed(body: bytes) -> dict[str, Any]:
    """A JSON object: finite numbers, distinct keys, whole characters, shallow; else Refusal 400."""

    def finite(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError("a number that is not finite")
        return value

    def short(text: str) -> int:
        if len(text) > DIGITS:
            raise ValueError(f"an integer of more than {DIGITS} digits")
        return int(text)

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(held := dict(pairs)) < len(pairs):
            raise ValueError("a key twice")
        return held

    hooks: dict[str, Any] = {"parse_constant": finite, "parse_float": finite, "parse_int": short}
    try:
        value = json.loads(body.decode(), object_pairs_hook=distinct, **hooks)
        _walk(value, DEPTH)
    except (RecursionError, ValueError) as error:
        said = error if type(error) is ValueError else "no JSON"
        raise Refusal(400, f"the request must be a JSON object; got {said}") from error
    if not isinstance(value, dict):
        raise Refusal(400, f"the request must be a JSON object; got {type(value).__name__}")
    return value


def _walk(value: Any, left: int) -> None:
    """ValueError for what is nested too deep, and for half a surrogate pair."""
    if isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("a character that is half of one")
    elif isinstance(value, dict | list):
        if not left:
            raise ValueError(f"nesting deeper than {DEPTH}")
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            _walk(one, left - 1)
