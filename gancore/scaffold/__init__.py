"""A new plugin's project, made from the templates beside this file. Light: nothing here imports torch."""

from gancore.scaffold.writing import Names, names_of, render, write_project

__all__ = ["Names", "names_of", "render", "write_project"]
