"""``python -m designopt`` is the ``designopt`` command."""

from designopt.cli import main

main()
