"""The verbs of a bucket on versions and deletes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.core.s3rules.conditions import expected
from mstbucket.later import later
from mstbucket.limits import LIST_KEYS_MAX
from mstbucket.model.listings import VersionsPage
from mstbucket.model.objects import DeleteItems, DeleteReport, DeleteResult
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import delete_items, versioning_status
    from mstbucket.index.versions import versioning_of
    from mstbucket.services.objects import delete as deleting
    from mstbucket.services.objects import list_versions as listing_versions
    from mstbucket.services.objects import versioning
    from mstbucket.services.objects.list_versions import Asked
else:
    delete_items = later("mstbucket.api.arguments.shapes", "delete_items")
    versioning_status = later("mstbucket.api.arguments.shapes", "versioning_status")
    versioning_of = later("mstbucket.index.versions", "versioning_of")
    deleting = later("mstbucket.services.objects.delete")
    listing_versions = later("mstbucket.services.objects.list_versions")
    versioning = later("mstbucket.services.objects.versioning")
    Asked = later("mstbucket.services.objects.list_versions", "Asked")


@verbs
class BucketVersions:
    """The verbs of a `Bucket` on versions and deletes."""

    _context: Context
    name: str

    def put_bucket_versioning(self, status: str | Mapping[str, object]) -> None:
        """Enable or suspend versioning, durably; it waits for the writes under way, and the later ones follow it.

        Enabled, each write makes a version with an id of its own, and a delete without a version id puts a delete marker;
        nothing is lost until it is deleted by its version id. Suspended, writes make the null version, of which each key
        has one at most; the versions there are stay. Objects from before it was enabled are null versions. The state
        travels with an export. Repeating it is harmless.

        Args:
            status: `Enabled` or `Suspended`, or boto3's `{"Status": …}`. Once set there is no way back to a bucket without.

        Raises:
            InvalidInput: neither of the two.
            InvalidBucketState: suspended, and the bucket has object lock.
            NoSuchBucket: the bucket has gone.
        """
        versioning.set_state(self._context, self.name, versioning_status(status))

    def get_bucket_versioning(self) -> str | None:
        """Return `Enabled`, `Suspended`, or None where versioning was never set.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return versioning_of(self._context.db, self.name)

    def list_object_versions(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        key_marker: str | None = None,
        version_id_marker: str | None = None,
        max_keys: int = LIST_KEYS_MAX,
    ) -> VersionsPage:
        """Return one page of all versions and delete markers, by key in UTF-8 byte order, those of one key newest first.

        A version that is there during a whole listing is listed exactly once, whatever is written meanwhile. In a bucket
        whose versioning was never set each object is a null version.

        Args:
            prefix: only keys that start with it.
            delimiter: keys that hold it behind the prefix are rolled up into one common prefix, which ends with it.
            key_marker: only keys above it, and of this key the versions behind `version_id_marker`, where that is given.
                Both come from the page before.
            version_id_marker: from the page before, or the id of a version that exists.
            max_keys: 0 to 1000; more means 1000. Common prefixes count as versions.

        Raises:
            NoSuchBucket: the bucket has gone.
            InvalidInput: a version id marker without a key marker, or of a version that does not exist.
        """
        asked = Asked(prefix, delimiter, key_marker, version_id_marker, max_keys)
        return listing_versions.list_versions(self._context.db, self.name, asked)

    def delete_object(
        self,
        key: str,
        *,
        version_id: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
        bypass_governance_retention: bool = False,
    ) -> DeleteResult:
        """Delete the object under `key`, or one version of it, durably. What does not exist is no error, as in S3.

        Without a version id, where versioning is enabled, a delete marker is put on top of what is there, also of a key
        that never was; suspended, the marker replaces the null version; otherwise the object is removed. With a version
        id that version is removed for good; the next older one takes its place where it was the newest, so that removing
        a delete marker brings the object back.

        Args:
            key: the object.
            version_id: of the version to remove; "null" is the null version.
            if_match: delete the current object only if it has this ETag, or one of these; `*` is any.
            if_none_match: delete it only if it does not have this ETag.
            bypass_governance_retention: remove the version though a retention in governance mode protects it.

        Raises:
            InvalidKey, KeyTooLong: no object can have that key.
            NoSuchBucket: the bucket has gone.
            NoSuchKey: `if_match`, and there is no object.
            PreconditionFailed: the object is not what the conditions ask for; it is still there.
            InvalidRequest: conditions together with a version id.
            AccessDenied: a retention or a legal hold protects the version.
        """
        expectation = expected(if_match, if_none_match)
        return deleting.delete_one(
            self._context, self.name, (key, version_id), expectation, bypass_governance_retention
        )

    def delete_objects(
        self, items: DeleteItems, *, bypass_governance_retention: bool = False
    ) -> DeleteReport:
        """Delete up to 1,000 objects or versions in one transaction, and return what became of each, in order.

        A version that a lock protects stays, and is the report's `errors`; all others go.

        Args:
            items: keys, or pairs of a key and a version id; as for `delete_object`. A single key stands in a list, too.
                boto3's `{"Objects": [{"Key": …, "VersionId": …}]}` is taken as well.
            bypass_governance_retention: as for `delete_object`.

        Raises:
            InvalidInput: more than 1,000; split them. Or none of these shapes; none was deleted.
            InvalidKey, KeyTooLong: one of them cannot be a key; none was deleted.
            NoSuchBucket: the bucket has gone.
        """
        return deleting.delete_many(self._context, self.name, delete_items(items), bypass_governance_retention)
