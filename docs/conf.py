"""How Sphinx builds the documentation: python -m sphinx docs site."""

from retriever import __version__

project = "retriever"
author = "the retriever developers"
release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"retriever {release}"
# Sphinx makes a search.html of its own, so that the page search.md is built as searching.html
exclude_patterns = ["search.md", "**/.ipynb_checkpoints"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

myst_heading_anchors = 3
# links to pages outside of this folder, as they are on the repository's site, are left as they are
suppress_warnings = ["myst.xref_missing", "mystnb.unknown_mime_type"]
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_execution_raise_on_error = True

autodoc_typehints = "none"  # types are in the signatures and docstrings
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True


def setup(app):
    """Point links to the page on searching at where it is built."""
    app.connect("source-read", link_to_searching)


def link_to_searching(app, name, text):
    """Change the links of a page that is read, in place."""
    text[0] = text[0].replace("](search.md", "](searching.md")
