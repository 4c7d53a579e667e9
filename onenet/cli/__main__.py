"""``python -m onenet.cli``."""

from onenet.cli.app import main

main()
