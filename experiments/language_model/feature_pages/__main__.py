"""Runs `feature_pages`: the same as `python -m experiments feature_pages`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.feature_pages")
