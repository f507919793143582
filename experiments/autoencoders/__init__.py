"""Experiments on sparse autoencoders where the truth is known: planted worlds, and toy models' activations."""
