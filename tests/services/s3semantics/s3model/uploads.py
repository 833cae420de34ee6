"""Multipart uploads: parts by number, and the object that comes of those that the completion names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s3model.conditions import check_write
from s3model.errors import Refused
from s3model.values import Said, Sums, Version, composed

if TYPE_CHECKING:
    from s3model.bucket import Bucket


@dataclass
class Upload:
    """An open upload."""

    key: str
    said: Said
    sums: Sums = None
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a completion answered, and to which list of parts: it answers the same when it is repeated."""

    key: str
    asked: tuple[tuple[int, str], ...]
    version: Version
    version_id: str | None


class Uploads:
    """The uploads of a bucket. The smallest part but the last has `part_size_min` bytes: 5 MiB in S3, less in tests."""

    part_size_min = 5 << 20

    def __init__(self) -> None:
        self.open: dict[str, Upload] = {}
        self.answers: dict[str, Answer] = {}

    def create_upload(self, key: str, said: Said, upload_id: str, sums: Sums = None) -> None:
        assert upload_id not in self.open
        assert upload_id not in self.answers
        self.open[upload_id] = Upload(key, said, sums)

    def upload(self, key: str, upload_id: str) -> Upload:
        found = self.open.get(upload_id)
        if found is None or found.key != key:
            raise Refused("NoSuchUpload")
        return found

    def put_part(self, key: str, upload_id: str, number: int, body: bytes) -> str:
        """Store a part, replacing the one of that number; its ETag."""
        self.upload(key, upload_id).parts[number] = body
        return hashlib.md5(body).hexdigest()

    def copy_part(
        self, key: str, upload_id: str, number: int, source: tuple[Bucket, str, str | None], wanted: str | None
    ) -> str:
        """Store bytes of an object (bucket, key, version id) as a part; a range has to lie inside it."""
        self.upload(key, upload_id)
        try:
            body = source[0].find(source[1], source[2]).body
        except Refused as refused:
            raise Refused("InvalidRequest") if refused.code == "MethodNotAllowed" else refused from None
        if wanted is not None:
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
            assert found is not None
            first, last = int(found[1]), int(found[2])
            if last >= len(body):
                raise Refused("InvalidRange")
            body = body[first : last + 1]
        return self.put_part(key, upload_id, number, body)

    def abort(self, key: str, upload_id: str) -> None:
        self.upload(key, upload_id)
        del self.open[upload_id]

    def complete(
        self: Any,  # the whole bucket
        key: str,
        upload_id: str,
        parts: Sequence[tuple[int, str]],
        given: str | None,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> tuple[Version, str | None]:
        """Make the object of the parts named; the version and the id that is answered."""
        asked = tuple((number, etag.strip('"')) for number, etag in parts)
        numbers = [number for number, _ in asked]
        if numbers != sorted(set(numbers)):
            raise Refused("InvalidPartOrder")
        answer = self.answers.get(upload_id)
        if answer is not None and (answer.key, answer.asked) == (key, asked):
            return answer.version, answer.version_id
        upload = self.upload(key, upload_id)
        for number, etag in asked:
            if number not in upload.parts or hashlib.md5(upload.parts[number]).hexdigest() != etag:
                raise Refused("InvalidPart")
        bodies = [upload.parts[number] for number in numbers]
        if any(len(body) < self.part_size_min for body in bodies[:-1]):
            raise Refused("EntityTooSmall")
        check_write(self.current(key), if_match, if_none_match)
        version = self.add(key, composed(bodies, upload.said, upload.sums), given)
        del self.open[upload_id]
        self.answers[upload_id] = Answer(key, asked, version, self.visible_id(version))
        return version, self.visible_id(version)
