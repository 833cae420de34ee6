"""`mstbucket` with some limits set low, in this process and in those that it starts.

MSTBUCKET_TEST_LIMITS says which: a map from the dotted name of a constant to its value, as JSON. A process that
`multiprocessing` spawns runs this file again before anything else, and so has the same limits.
"""

from __future__ import annotations

import json
import os
from importlib import import_module

for _name, _value in json.loads(os.environ["MSTBUCKET_TEST_LIMITS"]).items():
    _module, _, _constant = _name.rpartition(".")
    assert hasattr(import_module(_module), _constant)
    setattr(import_module(_module), _constant, _value)

if __name__ == "__main__":
    from mstbucket.cli.main import entry

    entry()
