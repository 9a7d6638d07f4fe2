"""Run the command line with `python -m chaos`."""

from chaos.cli import main

main()
