"""Runs `feature_pages`."""

from experiments.lab.run import main

main("experiments.language_model.feature_pages")
