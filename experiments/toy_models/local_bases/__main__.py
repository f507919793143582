"""Runs `local_bases`: the same as `python -m experiments local_bases`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.local_bases")
