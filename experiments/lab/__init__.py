"""What every experiment uses: claims with verdicts, checked settings, one command line, files, and the report.

An experiment is a module or a package in one of the folders of `find.WORKS`. It has a docstring (a title, what is
done, and the sections Command, Time and Expect), a frozen dataclass `Config` with a classmethod `quick`, and the
functions `run(config) -> Result` (which neither draws nor writes), `draw(result) -> Figure` and
`alt(result) -> str`. It may have `more(result)`, further pictures with their alt texts, `animate(result) -> Animation`, a
classmethod `Config.lecture()`, a smaller version that `make reproduce` runs, and `SHARED`, the name of costly work that other
experiments use too. Nothing else needs to know about a new experiment.
"""
