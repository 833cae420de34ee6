"""A region: buckets by name."""

from __future__ import annotations

from s3model.bucket import Bucket
from s3model.errors import Refused


class Service:
    """All buckets of one owner."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}

    def create(self, name: str) -> Bucket:
        if name in self.buckets:
            raise Refused("BucketAlreadyOwnedByYou")
        self.buckets[name] = Bucket()
        return self.buckets[name]

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refused("NoSuchBucket")
        return self.buckets[name]

    def delete(self, name: str) -> None:
        """Versions and delete markers keep a bucket; open uploads do not."""
        if self.bucket(name).history:
            raise Refused("BucketNotEmpty")
        del self.buckets[name]
