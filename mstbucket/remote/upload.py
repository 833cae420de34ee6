"""Writing a body of unknown length in bounded memory: one PUT where it is short, else a multipart upload.

Parts are 16 MiB at first, sent as they fill. S3 takes 10,000 of them, so later ones are larger, up to 1.6 GiB at 5 TiB;
what a part has above 16 MiB is held in a temporary file.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from mstbucket.errors import (
    EntityTooLarge,
    InvalidInput,
    MstBucketError,
    NoSuchKey,
    OutcomeUnknown,
    PreconditionFailed,
    StorageError,
    Unsupported,
)
from mstbucket.limits import GIB, MIB, PARTS_MAX
from mstbucket.remote.attempts import Attempts
from mstbucket.remote.client import md5_header
from mstbucket.remote.objects import S3Attributes, S3Written, bare, plain_md5
from mstbucket.spill.scratch import Spooled

FIRST_PART: Final = 16 * MIB  # also the longest body that is one PUT; three times what S3 wants of a part at least
PUT_MAX: Final = 5 * GIB  # of one PUT; S3's rule
#: The metadata by which a writer knows its own work again when an answer was lost.
MARK: Final = "mstbucket-write"

ONLY_IF_ABSENT: Final = {"IfNoneMatch": "*"}
ALWAYS: Final[dict[str, str]] = {}


def part_size(number: int) -> int:
    """Bytes of the part `number`, counted from 0: 10,000 of these are 6 TiB ([S3B-8])."""
    return FIRST_PART * (1 + number // 1000) ** 2


class S3Target:
    """Where a writer writes: client, bucket, key, what goes with the object, and the condition of its last step."""

    def __init__(self, client: Any, bucket: str, key: str, attributes: S3Attributes, condition: dict[str, str]) -> None:
        self.client = client
        self.name = {"Bucket": bucket, "Key": key}
        self.where = f"s3://{bucket}/{key}"
        self.condition = condition
        self._mark = secrets.token_hex(16)
        self._attributes = attributes.parameters(self.where)
        self._attributes["Metadata"] = {**attributes.metadata, MARK: self._mark} if condition else dict(attributes.metadata)

    def put(self, body: Any, size: int, md5: bytes) -> S3Written:
        """Write the object in one request. `body` is bytes, or a file that is read from its start."""

        def send() -> Any:
            if not isinstance(body, bytes):
                body.seek(0)
            checked = {"ContentMD5": md5_header(md5), "ContentLength": size}
            return self.client.put_object(**self.name, Body=body, **checked, **self._attributes, **self.condition)

        attempts = Attempts("an object cannot be written", self.where)
        answer = self.decide(attempts, send, md5.hex())
        if plain_md5(answer) not in (None, md5.hex()):
            raise OutcomeUnknown(f"{self.where}: the service says it holds other bytes (ETag {bare(answer['ETag'])}) than "
                                 f"were sent (MD5 {md5.hex()}): delete the object")  # fmt: skip
        return S3Written(size, bare(answer.get("ETag")))

    def decide(self, attempts: Attempts, send: Any, etag: str) -> Any:
        """Make the object visible by `send`. If the answer is lost, ask whether the object under the key is ours.

        `etag` is what ours has on most services. That will do where there is no condition: then equal bytes are enough.

        Raises:
            PreconditionFailed: there is another one.
        """
        try:
            return attempts.run_visible(send)
        except (PreconditionFailed, OutcomeUnknown) as error:
            # [S3B-6] if a write was done, its repetition is told that there is one already
            found = self._ours(error, etag) if attempts.unsure else None
            if found is None:
                raise
            return found

    def _ours(self, error: MstBucketError, etag: str) -> Any:
        """The answer to HEAD if the object that is there is what this writer wrote, else None."""
        try:
            found = Attempts("an object cannot be looked at", self.where).run(lambda: self.client.head_object(**self.name))
        except NoSuchKey:
            return None
        except StorageError:
            raise OutcomeUnknown(f"{self.where}: {error}; it may have happened: look before repeating it") from error
        if self.condition:
            return found if found.get("Metadata", {}).get(MARK) == self._mark else None
        return found if bare(found.get("ETag")) == etag else None

    def begin_parts(self) -> str:
        """Begin a multipart upload; its id."""
        attempts = Attempts("an upload cannot be started", self.where)
        return attempts.run(lambda: str(self.client.create_multipart_upload(**self.name, **self._attributes)["UploadId"]))


class S3Writer:
    """One object being written. Nothing of it is visible before `commit`. For one thread at a time.

    It ends with `commit`, `abort` or the first failure. As a context manager it aborts on leaving, unless committed.
    It holds FIRST_PART bytes in memory, and the rest of a longer part in a temporary file.

    When the first part is full, `in_parts` is asked once whether a multipart upload may follow. If not, all is held in a
    temporary file for one PUT at the end.
    """

    def __init__(self, target: S3Target, in_parts: Callable[[], bool] = lambda: True) -> None:
        self._target = target
        self._in_parts = in_parts
        self._part = _Part()
        self._limit = FIRST_PART
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._digests = hashlib.md5(usedforsecurity=False)
        self._size = 0
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append all of `data`, which is the caller's again when this returns.

        Raises:
            StorageError: the service failed, or the disk with temporary files. The object is given up.
            EntityTooLarge: it is more than S3 takes.
        """
        self._check_alive()
        view = memoryview(data).cast("B")
        try:
            while view:
                room = self._limit - self._part.size
                if room == 0:  # only now is it sure that this part is not the last
                    self._make_room()
                    continue
                self._part.add(view[:room])
                view = view[room:]
        except BaseException:
            self.abort()
            raise

    def commit(self) -> S3Written:
        """Make the object visible, durably.

        Raises:
            PreconditionFailed: there is an object, and the condition is that there is none. What was written is gone.
            StorageError: the service failed; nothing is visible.
            OutcomeUnknown: it may be visible.
        """
        return self._finish(self._complete if self._upload is not None else self._put)

    def commit_in_parts(self) -> S3Written:
        """As `commit`, by a multipart upload, however short the object is."""
        return self._finish(self._complete)

    def _finish(self, way: Callable[[], S3Written]) -> S3Written:
        self._check_alive()
        try:
            done = way()
        except BaseException:
            self.abort()
            raise
        self._upload = None
        self._end()
        return done

    def _put(self) -> S3Written:
        return self._target.put(self._part.rewound(), self._part.size, self._part.digest())

    def abort(self) -> None:
        """Forget everything written. Harmless after `commit` and when repeated.

        What the service keeps of an upload whose abortion failed is invisible; `S3Bucket.abort_old_uploads` ends it.
        """
        self._end()
        upload, self._upload = self._upload, None
        if upload is not None:
            attempts = Attempts("an upload cannot be aborted", self._target.where)
            with suppress(StorageError):  # whatever led here is on its way out, and says more
                attempts.run(lambda: self._target.client.abort_multipart_upload(**self._target.name, UploadId=upload))

    def __enter__(self) -> S3Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _make_room(self) -> None:
        if self._upload is None and self._limit == FIRST_PART and not self._in_parts():
            self._limit = PUT_MAX
            return
        if self._limit == PUT_MAX:
            raise Unsupported(f"{self._target.where}: this service takes at most {PUT_MAX} bytes as one object that "
                              "must not replace another: it ignores that condition of a multipart upload")  # fmt: skip
        if len(self._parts) == PARTS_MAX - 1:
            raise EntityTooLarge(f"{self._target.where}: more than {self._size} bytes are more than one object can have")
        self._send_part()
        self._limit = part_size(len(self._parts))

    def _send_part(self) -> None:
        if self._upload is None:
            self._upload = self._target.begin_parts()
        part, target = self._part, self._target
        digest = part.digest()
        what = {**target.name, "UploadId": self._upload, "PartNumber": len(self._parts) + 1}
        attempts = Attempts("a part of an object cannot be written", target.where)

        def send() -> str:
            answer = target.client.upload_part(
                **what, Body=part.rewound(), ContentLength=part.size, ContentMD5=md5_header(digest)
            )
            if plain_md5(answer) not in (None, digest.hex()):
                raise StorageError(f"{target.where}: the service says it holds other bytes than were sent: repeat the call")
            return str(answer["ETag"])

        self._parts.append({"PartNumber": what["PartNumber"], "ETag": attempts.run(send)})
        self._digests.update(digest)
        self._size += part.size
        part.close()
        self._part = _Part()

    def _complete(self) -> S3Written:
        self._send_part()
        target, upload = self._target, self._upload
        attempts = Attempts("an upload cannot be completed", target.where)
        expected = f"{self._digests.hexdigest()}-{len(self._parts)}"

        def send() -> Any:
            given = {**target.name, "UploadId": upload, "MultipartUpload": {"Parts": self._parts}}
            return target.client.complete_multipart_upload(**given, **target.condition)

        answer = target.decide(attempts, send, expected)
        return S3Written(self._size, bare(answer.get("ETag")) or expected)

    def _end(self) -> None:
        self._ended = True
        self._part.close()

    def _check_alive(self) -> None:
        if self._ended:
            raise InvalidInput(f"the writing of {self._target.where} has ended: begin it again")


class _Part:
    """The bytes of a part and their MD5, in memory up to FIRST_PART, above in a temporary file."""

    def __init__(self) -> None:
        self._bytes = Spooled(FIRST_PART, "a part of an object was gathered")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def add(self, data: memoryview) -> None:
        self._bytes.write(data)
        self._md5.update(data)
        self.size += len(data)

    def digest(self) -> bytes:
        return self._md5.digest()

    def rewound(self) -> Any:
        """The file, at its start. It may be read any number of times."""
        self._bytes.seek(0)
        return self._bytes.file

    def close(self) -> None:
        self._bytes.close()
