"""`superposition explore`: writes the live page, or a picture of what it would show first, and opens it."""

from pathlib import Path

from superposition._internal.opening import show_file
from superposition.cli.toy.config import ExploreConfig
from superposition.pages.explorer import Explorer

SPARSITIES = (0.0, 0.8, 0.9)  # of the picture, beside the density that was asked for


def explore(config: ExploreConfig) -> str:
    """Write the page or the picture and open it; returns where it is."""
    page = Explorer(
        view=config.view,
        n_features=config.n_features,
        n_hidden=config.n_hidden,
        density=config.density,
        importance_base=config.importance_base,
        model=config.model,
    )
    path = page.save(config.out) if config.out.suffix.lower() != ".png" else picture(page, config.out)
    opened = config.open and show_file(path)
    return f"{path}" if opened or not config.open else f"{path}: open it in a browser"


def picture(page: Explorer, out: Path) -> Path:
    """The toy model at several densities, trained and drawn by Python: for where no browser runs."""
    from superposition import plot
    from superposition.toy import TOY_MODELS
    from superposition.training import ToyRun
    from superposition.training.api import sweep

    model = TOY_MODELS[page.model](page.n_features, page.n_hidden)
    run = ToyRun(model, importance_base=page.importance_base, steps=3000)
    densities = sorted({*(round(1 - s, 3) for s in SPARSITIES), page.density}, reverse=True)
    toys = sweep(run, {"density": densities, "seed": range(4)})
    figure = plot.features_2d(toys) if page.n_hidden == 2 else plot.columns(toys)
    title = f"{page.n_features} features in {page.n_hidden} dimensions"
    alt = f"{title} at densities {', '.join(f'{p:g}' for p in densities)}, the best of four seeds."
    return plot.save(figure, out, alt=alt, title=title)
