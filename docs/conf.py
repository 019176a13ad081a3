"""Sphinx configuration: ``make docs`` builds the pages into ``docs/_build``."""

from __future__ import annotations

import types
from typing import Any

from bids_acc import __version__

project = 'bids_acc'
author = 'The bids_acc developers'
copyright = '2026, the bids_acc developers'  # noqa: A001 - Sphinx's name
version = release = __version__
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.mathjax',
    'numpydoc',
]
exclude_patterns = ['_build', 'examples']
default_role = 'any'
suppress_warnings = ['ref.any', 'ref.python']  # single backticks also mark arrays
myst_heading_anchors = 3
myst_enable_extensions = ['colon_fence', 'deflist']
autosummary_generate = True
autodoc_typehints = 'none'
numpydoc_show_class_members = False
html_theme = 'pydata_sphinx_theme'
html_title = 'bids_acc'
html_theme_options = {'secondary_sidebar_items': ['page-toc'], 'show_toc_level': 2}
html_show_sourcelink = False


def setup(app: Any) -> None:
    """Leave aliases such as ``tuple[...]`` out: they look like classes and cannot be described."""
    app.connect(
        'autodoc-skip-member',
        lambda _app, _what, _name, member, *_: (
            True if isinstance(member, types.GenericAlias) else None
        ),
    )
