"""Sphinx configuration of the documentation; `scripts/docs` builds it."""

from alanet import __version__

project, author, version = "alanet", "the alanet authors", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_design"]
exclude_patterns = ["_build", "generate.py"]
html_theme, html_title = "furo", "alanet"
html_static_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/test_notebook.py runs the notebook
suppress_warnings = ["misc.highlighting_failure"]  # Mermaid drawings, which GitHub shows

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_class_signature = "separated"
napoleon_google_docstring, napoleon_numpy_docstring = True, False
python_use_unqualified_type_names = True
nitpick_ignore_regex = [
    (r"py:.*", r".*")
]  # types of other projects have no pages here; links between pages are checked
