"""The verbs of a bucket on lifecycle rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.rules import lifecycle_rules
    from mstbucket.model.policies import LifecycleReport, LifecycleRule, LifecycleRules
    from mstbucket.services.policy import lifecycle_pass as expiring
    from mstbucket.services.policy import lifecycle_rules as lifecycle
else:
    lifecycle_rules = later("mstbucket.api.arguments.rules", "lifecycle_rules")
    expiring = later("mstbucket.services.policy.lifecycle_pass")
    lifecycle = later("mstbucket.services.policy.lifecycle_rules")


@verbs
class BucketLifecycle:
    """The verbs of a `Bucket` on lifecycle rules. Rules are of this store: they do not travel with an export."""

    _context: Context
    name: str

    def put_bucket_lifecycle_configuration(self, rules: LifecycleRules) -> None:
        """Replace the bucket's lifecycle rules, durably.

        The background work of every store that has the bucket open carries them out, soon and then once a day after
        midnight UTC. What has expired by one rule goes, whatever others say; locked versions stay.

        Args:
            rules: 1 to 1,000, as `LifecycleRule` or as boto3's maps, also as `{"Rules": […]}`.

        Raises:
            InvalidInput, InvalidRequest, InvalidTag: S3 would refuse a rule; the message says which. None was changed.
            Unsupported: a rule moves objects to another storage class.
            NoSuchBucket: the bucket has gone.
        """
        lifecycle.put_rules(self._context, self.name, lifecycle_rules(rules))

    def get_bucket_lifecycle_configuration(self) -> list[LifecycleRule]:
        """Return the bucket's lifecycle rules, in the order given.

        Raises:
            NoSuchLifecycleConfiguration: it has none.
            NoSuchBucket: the bucket has gone.
        """
        return lifecycle.rules_of(self._context.db, self.name)

    def delete_bucket_lifecycle(self) -> None:
        """Remove all lifecycle rules, durably; no error where there are none.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        lifecycle.delete_rules(self._context, self.name)

    def run_lifecycle(self) -> LifecycleReport:
        """Carry out the rules now, on the whole bucket, and return what was done.

        The background work does the same once a day; this is for stores without it, and for whoever cannot wait. In
        transactions of up to 1,000 keys, each durable by itself: an interrupted run has done a part, and the next does
        the rest. Safe beside writers, whose new objects it never takes for the old ones, and beside other runs.

        Raises:
            NoSuchBucket: the bucket has gone.
            StorageError: the disk or the database failed. Run it again when it is repaired.
        """
        return expiring.run(self._context, self.name)
