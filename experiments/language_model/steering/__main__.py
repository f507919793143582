"""Runs `steering`: the same as `python -m experiments steering`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.language_model.steering")
