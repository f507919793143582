"""Experiments on the language model that ships, its SAEs, and what the lecture says of both."""
