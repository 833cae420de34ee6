"""What S3 does not have: the commit of a bucket, a flush, an export ([GW-33])."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from typing import Final

from mstbucket import Bucket, BucketView, CommitInfo
from mstbucket.errors import NoSuchCommit
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.xml_out import moment
from mstbucket.gateway.wire.answer import Answer
from mstbucket.limits import MIB

_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-")


def get_commit(call: Call) -> Answer:
    """The newest commit, or the named one, as JSON. It holds nothing that was written since."""
    return _told(_commit_of(call))


def _commit_of(call: Call) -> CommitInfo:
    """The newest commit, or the one that a header names ([GW-34])."""
    reading = call.reading
    commit = reading.commit if isinstance(reading, BucketView) else reading.head_commit()
    if commit is None:
        raise NoSuchCommit(f"bucket {call.bucket_name!r} has no commit yet: POST ?mst-flush")
    return commit


def flush(call: Call) -> Answer:
    """Fold every change into the tree; answer with the commit, as JSON, once it is durable."""
    return _told(call.bucket.flush())


def _told(commit: CommitInfo) -> Answer:
    said = {name: getattr(commit, name) for name in commit.__slots__}
    body = json.dumps({**said, "time": moment(commit.time)}).encode()
    return Answer(200, [("Content-Type", "application/json"), ("x-mst-cid", commit.cid)], body)


def export(call: Call) -> Answer:
    """A CAR of the newest commit, or the named one, with all that it reaches. `Range: bytes=N-` goes on where an earlier
    export was cut off.
    """
    commit = _commit_of(call)
    expected = call.header("if-match")
    if expected is not None and expected.strip('"') != commit.cid:
        raise Refused("PreconditionFailed", f"The commit is {commit.cid}.")
    said = call.header("range")
    if call.header("if-range") not in (None, f'"{commit.cid}"'):  # [GW-65] then no range counts, of whatever form
        said = None
    found = None if said is None else _RANGE.fullmatch(said)
    if said is not None and found is None:
        raise Refused("NotImplemented", "Of an export the range may be bytes=N- only.")
    headers = [("Content-Type", "application/vnd.ipld.car"), ("x-mst-cid", commit.cid), ("ETag", f'"{commit.cid}"')]
    skip = 0 if found is None else int(found[1])
    if found is not None:
        headers.append(("Content-Range", f"bytes {skip}-*/*"))
    return Answer(200 if found is None else 206, headers, _Export(call.reading, skip), unbounded=True)


class _Export:
    """The bytes of an export as they are written: a thread writes into a pipe, which holds 64 KiB."""

    def __init__(self, bucket: Bucket | BucketView, skip: int) -> None:
        self._skip = skip
        self._error: Exception | None = None
        self._reading, writing = os.pipe()
        self._thread = threading.Thread(target=self._write, args=(bucket, writing), name="export", daemon=True)
        self._thread.start()

    def _write(self, bucket: Bucket | BucketView, writing: int) -> None:
        with open(writing, "wb", buffering=MIB) as file:
            try:
                bucket.export_car(file)
                file.flush()
            except Exception as error:
                self._error = error

    def __iter__(self) -> Iterator[bytes]:
        while piece := os.read(self._reading, MIB):
            if self._skip >= len(piece):
                self._skip -= len(piece)
                continue
            yield piece[self._skip :]
            self._skip = 0
        if self._error is not None:
            raise self._error  # the answer breaks off, so the client knows

    def close(self) -> None:
        """Let the thread go: nobody reads what it still writes."""
        os.close(self._reading)
