"""Feature pages over HTTP on this machine alone, and what they may ask of the model."""

from superposition.pages.server.server import HOST, Answer, Limits, Server, make_server

__all__ = ["HOST", "Answer", "Limits", "Server", "make_server"]
