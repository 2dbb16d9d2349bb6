"""`python -m goldsmith`."""

from goldsmith.cli import main

main()
