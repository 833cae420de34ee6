"""The verbs of a bucket on object lock: configuration, retention, legal hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.shapes import default_retention as default_retention_of
    from mstbucket.api.arguments.shapes import legal_hold
    from mstbucket.api.arguments.shapes import retention as retention_of
    from mstbucket.model.policies import DefaultRetention, Retention
    from mstbucket.services.policy import locks as locking
else:
    default_retention_of = later("mstbucket.api.arguments.shapes", "default_retention")
    legal_hold = later("mstbucket.api.arguments.shapes", "legal_hold")
    retention_of = later("mstbucket.api.arguments.shapes", "retention")
    locking = later("mstbucket.services.policy.locks")


@verbs
class BucketLocks:
    """The verbs of a `Bucket` on object lock. Locks are of this store: they do not travel with an export."""

    _context: Context
    name: str

    def put_object_lock_configuration(
        self, default_retention: DefaultRetention | Mapping[str, object] | None = None
    ) -> None:
        """Enable object lock on a bucket whose versioning is enabled, durably and for good; or change its default.

        Versions that are written afterwards get the default retention, those that are there keep what they have. Waits
        for the writes under way.

        Args:
            default_retention: None for none. boto3's `{"Mode": …, "Days": …}` is taken too, and its whole configuration.

        Raises:
            InvalidBucketState: versioning is not enabled.
            InvalidInput: a mode or a period that cannot be.
            NoSuchBucket: the bucket has gone.
        """
        locking.set_configuration(self._context, self.name, default_retention_of(default_retention))

    def get_object_lock_configuration(self) -> DefaultRetention | None:
        """Return the default retention of a bucket with object lock, or None where it has none.

        Raises:
            ObjectLockConfigurationNotFound: object lock is not enabled.
            NoSuchBucket: the bucket has gone.
        """
        return locking.configuration(self._context.db, self.name)

    def put_object_retention(
        self,
        key: str,
        retention: Retention | Mapping[str, object] | None,
        *,
        version_id: str | None = None,
        bypass_governance_retention: bool = False,
    ) -> None:
        """Retain a version until a time, durably; where it is retained already, extend that, or change it with the bypass.

        Until then no delete by version id removes it. Extending is always possible. Whatever else would change a
        retention that has not ended is refused: in compliance mode always, in governance mode without the bypass.

        Args:
            key: the object.
            retention: mode and time by the clock of the database's server; None ends a retention. boto3's
                `{"Mode": …, "RetainUntilDate": …}` is taken too.
            version_id: one version; by default the current one.
            bypass_governance_retention: shorten, end or change a retention in governance mode.

        Raises:
            AccessDenied: the version is retained in a way that this would weaken. Nothing has changed.
            InvalidInput: the time is not in the future.
            InvalidRequest: the bucket has no object lock.
            MethodNotAllowed: that version is a delete marker.
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such version.
        """
        wanted = retention_of(retention)
        locking.set_retention(self._context, self.name, key, version_id, wanted, bypass_governance_retention)

    def get_object_retention(self, key: str, *, version_id: str | None = None) -> Retention:
        """Return the retention of a version, also one that has ended.

        Raises:
            NoSuchObjectLockConfiguration: it has none.
            InvalidRequest: the bucket has no object lock.
            MethodNotAllowed: that version is a delete marker.
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such version.
        """
        return locking.retention(self._context.db, self.name, key, version_id)

    def put_object_legal_hold(
        self, key: str, on: bool | Mapping[str, object], *, version_id: str | None = None
    ) -> None:
        """Put a version under a legal hold, or lift it, durably; it has no end, and no bypass reaches past it.

        Args:
            key: the object.
            on: whether it is held; boto3's `{"Status": "ON"}` is taken too.
            version_id: one version; by default the current one.

        Raises:
            InvalidRequest: the bucket has no object lock.
            MethodNotAllowed: that version is a delete marker.
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such version.
        """
        locking.set_hold(self._context, self.name, key, version_id, legal_hold(on))

    def get_object_legal_hold(self, key: str, *, version_id: str | None = None) -> bool:
        """Return whether a version is under a legal hold.

        Raises:
            NoSuchObjectLockConfiguration: nobody ever put or lifted one.
            InvalidRequest: the bucket has no object lock.
            MethodNotAllowed: that version is a delete marker.
            NoSuchKey, NoSuchVersion, NoSuchBucket: there is no such version.
        """
        return locking.legal_hold(self._context.db, self.name, key, version_id)
