"""The keys under a prefix of a bucket of ours, as one side of a sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mstbucket.api.bucket import Bucket
from mstbucket.api.view import BucketView
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, NoSuchKey
from mstbucket.later import later
from mstbucket.limits import DELETE_KEYS_MAX
from mstbucket.model.objects import ObjectInfo
from mstbucket.services.objects.list import iterate_with_content
from mstbucket.sync.entry import Entry
from mstbucket.sync.filters import Wanted
from mstbucket.sync.plan import Kind

if TYPE_CHECKING:
    from mstbucket.index.listing import ObjectContent
    from mstbucket.services.past.listing import contents
else:
    contents = later("mstbucket.services.past.listing", "contents")


class SourceObjects:
    """The objects of a bucket or a view whose keys start with a prefix; "" for all, or a text that ends with a slash."""

    kind = Kind.BUCKET

    def __init__(self, bucket: Bucket | BucketView, prefix: str, wanted: Wanted) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self._wanted = wanted

    def require(self) -> None:
        """Raise `NoSuchKey` where nothing is below the prefix: it is taken for a mistyped one."""
        # [SYNC-1] with --delete the target would be emptied
        if self.prefix and not self.bucket.list_objects(self.prefix, max_keys=1).contents:
            raise NoSuchKey(f"there is nothing under {self.prefix!r} in bucket {self.bucket.name!r}")

    def entries(self) -> Iterator[Entry]:
        """The objects in key order, each with the CID of its body. The prefix itself has the key ""."""
        skip = len(self.prefix)
        for found in self._found():
            below = found.key[skip:]
            if self._wanted(below):
                yield Entry(below, found.size, found.modified, found.etag, found.content)

    def key(self, entry: Entry) -> str:
        """The whole key of an entry of either side."""
        return self.prefix + entry.key

    def _found(self) -> Iterator[ObjectContent]:
        if isinstance(self.bucket, BucketView):
            return contents(self.bucket._view, self.prefix)
        return iterate_with_content(self.bucket._context.db, self.bucket.name, self.prefix)


class Objects(SourceObjects):
    """The same of a bucket as it is now, which can be a target, too."""

    bucket: Bucket

    def __init__(self, bucket: Bucket, prefix: str, wanted: Wanted) -> None:
        super().__init__(bucket, prefix, wanted)

    def there(self, target: Entry | None) -> ObjectInfo | None:
        """Everything about the object that is about to be replaced, if it is there still."""
        if target is None:
            return None
        try:
            return self.bucket.head_object(self.key(target))
        except NoSuchKey:
            return None

    def reads_well(self, target: Entry) -> bool:
        """Read an object to its end; return whether every byte is there. What is not is then known as damaged ([PUT-13])."""
        try:
            with self.bucket.get_object(self.key(target)) as reader:
                for _ in reader:
                    pass
        except (CorruptionError, FormatError, NoSuchKey):
            return False
        return True

    def delete(self, targets: Sequence[Entry]) -> Iterator[tuple[Entry, Exception | None]]:
        """Remove objects, up to 1,000 in one transaction."""
        for at in range(0, len(targets), DELETE_KEYS_MAX):
            some = targets[at : at + DELETE_KEYS_MAX]
            try:
                report = self.bucket.delete_objects([self.key(target) for target in some])
            except InvalidInput as error:
                yield from ((target, error) for target in some)
            else:
                failed = {failure.key: failure.error for failure in report.errors}
                yield from ((target, failed.get(self.key(target))) for target in some)
