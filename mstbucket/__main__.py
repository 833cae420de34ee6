"""`python -m mstbucket`, for where the installed command is not on the path."""

from mstbucket.cli.start import entry

entry()
