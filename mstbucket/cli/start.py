"""Where the installed command begins: before anything else is imported, so that Ctrl-C is quiet meanwhile ([CLI-164])."""

import signal
from typing import NoReturn


def entry() -> NoReturn:
    """Run the command line. Until its code is there SIGINT ends the process as the system does it, with no traceback."""
    begun = signal.getsignal(signal.SIGINT)
    if begun is signal.default_int_handler:  # and not one that we were told to ignore ([CLI-26])
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mstbucket.cli import main

    signal.signal(signal.SIGINT, begun)
    main.entry()
