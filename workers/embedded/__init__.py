"""Real servers from installed packages: no container, no download at run time."""

from workers.embedded.stack import EmbeddedStack

__all__ = ["EmbeddedStack"]
