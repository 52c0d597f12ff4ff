"""The ``designopt`` command."""

from designopt.cli.app import app, main

__all__ = ["app", "main"]
