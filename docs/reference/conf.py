"""How Sphinx makes pages of what antsibull-docs took out of the sources (scripts/reference.py)."""

project = "Goldsmith"
copyright = "the Goldsmith authors"  # noqa: A001 - Sphinx calls it so
title = html_title = html_short_title = "goldsmith.core"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_rtd_theme"
html_show_sphinx = False
html_use_index = False
html_copy_source = False
# Pages name places in Ansible's own documentation, which is not here. Our own names antsibull-docs has checked.
suppress_warnings = ["ref.ref"]
