"""A bucket as it was at one commit: S3's verbs that read, and the way out as a CAR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mstbucket.api.arguments import verbs
from mstbucket.api.verbs.exports import ViewExports
from mstbucket.core.s3rules.conditions import conditions
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.buckets import CheckReport, CommitInfo
from mstbucket.model.listings import MarkerPage, ObjectSummary, Page, VersionsPage
from mstbucket.model.objects import ObjectChange, ObjectInfo
from mstbucket.services.objects import list as listing

if TYPE_CHECKING:
    from mstbucket.services.objects.list_versions import Asked, versions_page
    from mstbucket.services.objects.read import Wanted, check_wanted, describe, open_found
    from mstbucket.services.objects.reader import ObjectReader
    from mstbucket.services.past import listing as past_listing
    from mstbucket.services.past import view as views
    from mstbucket.services.past.diff import diff
    from mstbucket.services.past.verify import verify
else:
    Asked = later("mstbucket.services.objects.list_versions", "Asked")
    versions_page = later("mstbucket.services.objects.list_versions", "versions_page")
    Wanted = later("mstbucket.services.objects.read", "Wanted")
    check_wanted = later("mstbucket.services.objects.read", "check_wanted")
    describe = later("mstbucket.services.objects.read", "describe")
    open_found = later("mstbucket.services.objects.read", "open_found")
    past_listing = later("mstbucket.services.past.listing")
    views = later("mstbucket.services.past.view")
    diff = later("mstbucket.services.past.diff", "diff")
    verify = later("mstbucket.services.past.verify", "verify")


@verbs
class BucketView(ViewExports):
    """A bucket as it was at one commit; made by `Bucket.at`. Thread-safe. It can only be read.

    All of it comes from the blocks of the commit: what is written to the bucket later changes nothing, and not even its
    removal does. While the view is open a lease keeps the commit. `close` gives the lease back, and so does the end of a
    `with`; the readers that came from the view end with it. A view that is forgotten keeps its commit for an hour.

    Every method raises `LeaseLost` where nothing was read for an hour and the commit was given up in that time, and
    `CorruptionError` where a block is missing or damaged. An object lock is in no commit, so none is shown.

    Attributes:
        name: of the bucket, as it was opened.
        commit: what the view shows.
    """

    def __init__(self, view: views.View) -> None:
        self._view = view
        self.name = view.bucket
        self.commit: CommitInfo = view.row.info()

    def __repr__(self) -> str:
        return f"<BucketView {self.name!r} at commit {self.commit.seq}>"

    def close(self) -> None:
        """Give the lease on the commit back. Reading afterwards raises `InvalidInput`. Repeatable."""
        self._view.blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- objects ---

    def get_object(
        self,
        key: str,
        *,
        version_id: str | None = None,
        range: str | None = None,
        part_number: int | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
    ) -> ObjectReader:
        """Return a reader of the object's bytes at the commit, or of a range of them; every chunk is verified.

        Arguments and errors are those of `Bucket.get_object`. A version is looked for among all that its key had.
        """
        expect = conditions(if_match, if_none_match, if_modified_since, if_unmodified_since)
        wanted = Wanted(key, version_id, range, part_number)
        check_wanted(wanted)
        found = views.find(self._view, key, version_id)
        return open_found(self._view.blocks, found, self._view.blocks.get, self.name, wanted, expect)

    def head_object(
        self,
        key: str,
        *,
        version_id: str | None = None,
        part_number: int | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        if_modified_since: datetime | None = None,
        if_unmodified_since: datetime | None = None,
    ) -> ObjectInfo:
        """Return everything about the object at the commit but its bytes. Arguments and errors are those of `get_object`."""
        expect = conditions(if_match, if_none_match, if_modified_since, if_unmodified_since)
        wanted = Wanted(key, version_id, None, part_number)
        return describe(views.find(self._view, key, version_id), self.name, wanted, expect)

    def get_object_tagging(self, key: str, *, version_id: str | None = None) -> dict[str, str]:
        """Return the tags that the object had at the commit. Errors are those of `get_object`."""
        return dict(self.head_object(key, version_id=version_id).tags)

    # --- listings ---

    def list_objects(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        start_after: str | None = None,
        continuation_token: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> Page:
        """Return one page of the keys at the commit, as `Bucket.list_objects` does of those that there are now.

        What a delimiter rolls up into a common prefix is not read: a page of folders costs what it shows, and not what is
        in them. The tokens of the bucket's own listings can be used here, and those of this one there.

        Raises:
            InvalidToken: no listing gave out that token.
        """
        return listing.list_page(
            partial(past_listing.rows, self._view),
            prefix=prefix,
            delimiter=delimiter,
            start_after=start_after,
            continuation_token=continuation_token,
            max_keys=max_keys,
        )

    list_objects_v2 = list_objects  # boto3's name of it

    def list_objects_v1(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        marker: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> MarkerPage:
        """Return one page of the keys at the commit with a marker, as `Bucket.list_objects_v1` does."""
        return listing.list_marked(partial(past_listing.rows, self._view), prefix, delimiter, marker, max_keys)

    def objects(self, prefix: str = "") -> Iterator[ObjectSummary]:
        """Iterate over all keys at the commit that start with `prefix`, in order.

        Raises:
            LeaseLost, CorruptionError: as every method; also in the middle.
        """
        return map(listing.summary_of, past_listing.objects(self._view, prefix))

    def list_object_versions(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        key_marker: str | None = None,
        version_id_marker: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> VersionsPage:
        """Return one page of the versions and delete markers at the commit, as `Bucket.list_object_versions` does.

        Raises:
            InvalidInput: a version id marker without a key marker, or of a version that does not exist.
        """
        asked = Asked(prefix, delimiter, key_marker, version_id_marker, max_keys)
        return versions_page(past_listing.TreeVersions(self._view), asked)

    # --- differences ---

    def diff(self, other: BucketView, *, prefix: str = "") -> Iterator[ObjectChange]:
        """Iterate over what differs from this commit to another one, in key order.

        It takes as long as they differ, and not as long as they are. Current objects are compared, and not their history.

        Args:
            other: a view of another commit of this bucket, or of any other bucket, such as a fork of it.
            prefix: only keys that start with it; nothing else is looked at.

        Raises:
            LeaseLost, CorruptionError: as every method, of either view; also in the middle.
        """
        return diff(self._view, other._view, prefix)

    # --- the whole ---

    def verify(self, *, progress: Callable[[int], object] | None = None) -> CheckReport:
        """Check the commit against this store from end to end: every block that it reaches is read and hashed.

        As `Bucket.verify`, but for the index, which holds what there is now: `dirty` of the report is 0.

        Raises:
            CorruptionError, FormatError: the first thing that is not true, with the block or key concerned.
        """
        return verify(self._view, progress)
