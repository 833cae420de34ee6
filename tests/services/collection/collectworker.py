"""Collects one store again and again until it is killed; run as a script by `test_collect_killed.py`.

    python collectworker.py DATABASE BLOBS

It says `ready` once it has opened the store.
"""

from __future__ import annotations

import contextlib
import sys
from itertools import count

import mstbucket
from mstbucket.errors import CollectionRefused, Conflict
from mstbucket.services.collection.sweep import sweep
from mstbucket.services.collection.turns import asked_for


def main() -> None:
    database, blobs = sys.argv[1:]
    store = mstbucket.open(database=database, blobs=blobs, background=False)
    print("ready", flush=True)
    for number in count():
        with contextlib.suppress(Conflict, CollectionRefused):
            if number % 5 == 4:
                store.undo_collect()
            grace = 3600 * (number % 2)
            if number % 3 == 1:
                sweep(store._context, grace * 1000, lambda: None, asked_for)
            else:
                store.collect(force=True, grace=grace)


if __name__ == "__main__":
    main()
