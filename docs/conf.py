"""Settings of the documentation. `make docs` builds it into docs/_build/html, with warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from superposition import __version__

project = "superposition"
author = "the authors of superposition"
release = version = __version__
extensions = ["myst_nb", "docs._ext.extension"]
exclude_patterns = ["_build", "_ext", "**.ipynb_checkpoints"]
templates_path: list[str] = []
smartquotes = False
nitpicky = True

# Notebooks are committed with their outputs, which are what is shown.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # their scripts would come from a network
myst_enable_extensions = ["colon_fence", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 90

html_theme = "sphinx_book_theme"
html_title = f"superposition {version}"
html_static_path = ["_static"]
html_css_files = ["lab.css"]
html_copy_source = False
html_theme_options = {
    "show_toc_level": 1,
    "navbar_persistent": [],
    "navigation_with_keys": False,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
