"""Runs `lecture_figure`: the same as `python -m experiments lecture_figure`."""

from experiments.lab.run import main

if __name__ == "__main__":
    main("experiments.toy_models.lecture_figure")
