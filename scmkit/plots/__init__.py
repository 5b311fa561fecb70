"""Pictures: a result in, axes out."""

from scmkit.plots.drawings import new_axes

__all__ = ["new_axes"]
