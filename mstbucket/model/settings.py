"""What can be set of a store, and what is waiting in its database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Settings of a store, for every process that opens it; None is the default of the program.

    Attributes:
        flush_age: seconds that a change waits at most until the background folds it into a commit.
        flush_keys: changed keys of a bucket from which the background does not wait.
        inline_max: bytes; bodies up to this wait for a flush in the database, larger ones go to a pack at once.
    """

    flush_age: int | None = None
    flush_keys: int | None = None
    inline_max: int | None = None


@dataclass(frozen=True, slots=True)
class Unflushed:
    """What the database has and no commit, so what would be lost with it.

    Attributes:
        changes: keys and versions that changed since the commit of their bucket.
        oldest: seconds since the oldest of these changes; None where there is none.
        bodies: bytes of bodies that are in the database only.
        wal: bytes of the write-ahead log on the server's disk; None where the server does not tell this user.
    """

    changes: int
    oldest: int | None
    bodies: int
    wal: int | None


@dataclass(frozen=True, slots=True)
class BucketUsage:
    """What a bucket holds, counted row by row; sizes are those of the bodies, as S3 counts them, before deduplication.

    Attributes:
        objects, bytes: current objects.
        older, older_bytes: versions that are not current; delete markers count, and have no bytes.
        uploads, upload_bytes: open multipart uploads, and what their parts hold.
    """

    bucket: str
    objects: int
    bytes: int
    older: int
    older_bytes: int
    uploads: int
    upload_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store takes on the server's disk, and what each bucket holds.

    Attributes:
        database: bytes of the database, indexes included.
        wal: bytes of the write-ahead log; None where the server does not tell this user.
        buckets: one for each bucket, by name.
    """

    database: int
    wal: int | None
    buckets: tuple[BucketUsage, ...]
