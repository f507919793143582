"""`superposition page`: what it prints."""

from superposition.cli.features.config import PageConfig
from superposition.cli.features.page import write_pages


def page(config: PageConfig) -> None:
    """Write feature pages and print their place."""
    print(write_pages(config))
