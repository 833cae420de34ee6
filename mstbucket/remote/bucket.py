"""One bucket of an S3-compatible service, in the terms of this package: its objects, by their whole keys."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO, Final

from mstbucket.core.batches import in_batches
from mstbucket.errors import MstBucketError, NoSuchKey, PreconditionFailed, StorageError, Unsupported
from mstbucket.limits import DELETE_KEYS_MAX, MIB
from mstbucket.remote.attempts import Attempts
from mstbucket.remote.bucket_reads import S3BucketReads
from mstbucket.remote.failures import refused_key, server_time
from mstbucket.remote.objects import NO_ATTRIBUTES, S3Attributes, S3Written
from mstbucket.remote.place import S3Place
from mstbucket.remote.upload import ALWAYS, ONLY_IF_ABSENT, S3Target, S3Writer

# XML 1.0 cannot say these, nor tell a carriage return from a line feed: such keys are deleted one by one.
_NOT_IN_XML: Final = re.compile("[\0-\x08\x0b-\x1f\ufffe\uffff]")


class S3Bucket(S3BucketReads):
    """The bucket of `place`, whose prefix plays no part here: keys are whole ones. Thread-safe.

    Nothing is sent before the first call. Every method tries again what may work a moment later, for some seconds,
    and raises `StorageError` for what fails in the end: no such bucket, wrong region, wrong or expired credentials, no
    answer. The message says what, where and what to do; no error, log or repr has a secret in it.

    Raises:
        Unsupported: boto3 is not installed.
        StorageError: the configuration of the environment cannot be used.
    """

    def __init__(self, place: S3Place) -> None:
        super().__init__(place)
        self._lock = threading.Lock()
        self._checks_completion: bool | None = None

    # --- writing ---

    def put(self, key: str, data: bytes, attributes: S3Attributes = NO_ATTRIBUTES) -> S3Written:
        """Write an object of `data` in one request, in place of one that is there; durable when this returns.

        Raises:
            StorageError: the service failed; the object is as it was. Repeat the call.
            OutcomeUnknown: it failed, and may have written the object. It may be repeated too.
        """
        return self._put(key, data, attributes, ALWAYS)

    def put_if_absent(self, key: str, data: bytes, attributes: S3Attributes = NO_ATTRIBUTES) -> S3Written:
        """As `put`, unless there is an object of that key: of all who try at once, one succeeds.

        Raises:
            PreconditionFailed: there is one, which this call did not write, also if an answer was lost.
        """
        return self._put(key, data, attributes, ONLY_IF_ABSENT)

    def put_if_same(self, key: str, data: bytes, etag: str) -> S3Written:
        """As `put`, if the object of that key is the one with this ETag: of all who try at once, one succeeds.

        `etag` is sent as it is: services differ in whether they want it with quotes.

        Raises:
            PreconditionFailed: there is another one, or none.
        """
        try:
            return self._put(key, data, NO_ATTRIBUTES, {"IfMatch": etag})
        except NoSuchKey as error:
            raise PreconditionFailed(str(error)) from error

    def open_write(self, key: str, attributes: S3Attributes = NO_ATTRIBUTES) -> S3Writer:
        """Start writing an object of any length, in place of one that is there when it is committed."""
        return S3Writer(S3Target(self._client, self.place.bucket, key, attributes, ALWAYS))

    def open_write_if_absent(self, key: str, attributes: S3Attributes = NO_ATTRIBUTES) -> S3Writer:
        """As `open_write`; its `commit` raises `PreconditionFailed` if there is an object of that key.

        A body of more than 16 MiB goes in parts, if the service checks the condition at their completion too. If it does
        not, the body is held in a temporary file and goes in one request of up to 5 GiB. The service is asked once which of
        the two holds, by an upload that it must refuse.
        """
        target = S3Target(self._client, self.place.bucket, key, attributes, ONLY_IF_ABSENT)
        return S3Writer(target, lambda: self.checks_completion(key))

    def checks_completion(self, beside: str) -> bool:
        """Whether the service refuses to complete a multipart upload `if_absent` when there is an object of that key.

        Tried once per `S3Bucket`, with a key in the folder of the key `beside`, of which nothing stays.
        """
        with self._lock:
            if self._checks_completion is None:
                self._checks_completion = self._try_completion(beside.rpartition("/")[0])
            return self._checks_completion

    def _try_completion(self, folder: str) -> bool:
        key = f"{folder}/.{secrets.token_hex(16)}".lstrip("/")
        self.put(key, b"")
        target = S3Target(self._client, self.place.bucket, key, NO_ATTRIBUTES, ONLY_IF_ABSENT)
        try:
            with S3Writer(target) as writer:
                writer.write(b"x")
                writer.commit_in_parts()
        except (PreconditionFailed, Unsupported) as error:
            return isinstance(error, PreconditionFailed)
        finally:
            self.delete(key)
        return False

    def put_stream(self, key: str, source: BinaryIO, attributes: S3Attributes = NO_ATTRIBUTES) -> S3Written:
        """Write an object of all that `source` gives, of any length, in bounded memory; as `put` otherwise."""
        with self.open_write(key, attributes) as writer:
            while data := source.read(MIB):
                writer.write(data)
            return writer.commit()

    # --- removing ---

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error."""
        attempts = Attempts("an object cannot be deleted", self._where(key))
        try:
            attempts.run(lambda: self._client.delete_object(**self._bucket, Key=key))
        except NoSuchKey:  # some services do say so
            return

    def delete_many(self, keys: Iterable[str]) -> dict[str, MstBucketError]:
        """Remove objects, 1,000 a request; return those that could not be, each with its error. {}: all are gone.

        Raises:
            StorageError: a whole request failed; some of its objects may be gone. Repeat it with the same keys.
        """
        failed: dict[str, MstBucketError] = {}
        for batch in in_batches(keys, DELETE_KEYS_MAX):
            odd = [key for key in batch if _NOT_IN_XML.search(key)]
            for key in odd:
                self.delete(key)
            together = [key for key in batch if key not in odd] if odd else batch
            if together:
                failed.update(self._delete_batch(together))
        return failed

    def _delete_batch(self, keys: Sequence[str]) -> dict[str, MstBucketError]:
        attempts = Attempts("objects cannot be deleted", self._where(""))
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = attempts.run(lambda: self._client.delete_objects(**self._bucket, Delete=wanted))
        failed: dict[str, MstBucketError] = {}
        # [S3B-9] an answer of 200 says of each key what became of it
        for told in answer.get("Errors", ()):
            key, code = told.get("Key", ""), told.get("Code", "?")
            failure = refused_key(code, told.get("Message", ""), "an object cannot be deleted", self._where(key))
            if isinstance(failure.error, NoSuchKey):
                continue
            failed[key] = failure.error
            if failure.again:
                try:
                    self.delete(key)
                    del failed[key]
                except StorageError as error:
                    failed[key] = error
        return failed

    def abort_old_uploads(self, prefix: str, age: timedelta) -> int:
        """Abort the multipart uploads below `prefix` that were begun longer than `age` ago; return how many.

        Their parts are invisible, and paid for. By the service's clock, where it tells.
        """
        given: dict[str, Any] = {**self._bucket, "Prefix": prefix}
        aborted = 0
        while True:
            attempts = Attempts("open uploads cannot be listed", self._where(prefix))
            old, more = attempts.run(partial(self._old_uploads, given, age))
            for key, upload in old:
                self._abort(key, upload)
            aborted += len(old)
            if more is None:
                return aborted
            given |= more

    def _old_uploads(
        self, given: Mapping[str, Any], age: timedelta
    ) -> tuple[Sequence[tuple[str, str]], dict[str, str] | None]:
        """The key and id of the old ones of one page, and how to ask for the next."""
        page = self._client.list_multipart_uploads(**given)
        now = server_time(page.get("ResponseMetadata", {})) or datetime.now(UTC)
        old = [(one["Key"], one["UploadId"]) for one in page.get("Uploads", ()) if now - one["Initiated"] > age]
        if not page.get("IsTruncated"):
            return old, None
        return old, {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _abort(self, key: str, upload: str) -> None:
        attempts = Attempts("an upload cannot be aborted", self._where(key))
        attempts.run(lambda: self._client.abort_multipart_upload(**self._bucket, Key=key, UploadId=upload))

    def _put(self, key: str, data: bytes, attributes: S3Attributes, condition: dict[str, str]) -> S3Written:
        target = S3Target(self._client, self.place.bucket, key, attributes, condition)
        return target.put(data, len(data), hashlib.md5(data, usedforsecurity=False).digest())
