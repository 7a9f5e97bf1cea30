"""The `bramley` command: one module per noun, imported only when its noun is used."""

from bramley.cli.entry import main

__all__ = ["main"]
