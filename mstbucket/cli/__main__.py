"""`python -m mstbucket.cli`, for where the installed command is not on the path."""

from mstbucket.cli.start import entry

entry()
