"""Bramley: an Apple MDM server that looks after its own certificates."""

__version__ = "0.1.0"
