"""Runs `lecture_figure`."""

from experiments.lab.run import main

main("experiments.toy_models.lecture_figure")
