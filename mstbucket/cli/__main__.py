"""`python -m mstbucket.cli`, for where the installed command is not on the path."""

from mstbucket.cli.main import entry

entry()
