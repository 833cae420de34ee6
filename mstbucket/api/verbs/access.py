"""The verbs of a bucket on who may do what with it, through a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.api.arguments.cors import cors_rules
    from mstbucket.core.s3rules.policy_documents import is_public
    from mstbucket.model.access_policy import BucketAccess, BucketLimits
    from mstbucket.model.cors import CorsRule, CorsRules
    from mstbucket.services.policy import access
else:
    cors_rules = later("mstbucket.api.arguments.cors", "cors_rules")
    is_public = later("mstbucket.core.s3rules.policy_documents", "is_public")
    access = later("mstbucket.services.policy.access")


@verbs
class BucketAccessRules:
    """The verbs of a `Bucket` on its policy, its CORS rules and its limits.

    Gateways obey them, within seconds; whoever has the store open may do everything. They are of this store: they do not
    travel with an export.
    """

    _context: Context
    name: str

    def put_bucket_policy(self, policy: str) -> None:
        """Replace the bucket's policy, durably.

        Args:
            policy: a document of JSON as AWS writes it, of at most 20 KiB.

        Raises:
            MalformedPolicy: it is none, or not one of this bucket; the message says what is wrong.
            Unsupported: it says something of AWS's that is not offered, such as another key of a condition.
            NoSuchBucket: the bucket has gone.
        """
        access.put_policy(self._context, self.name, policy)

    def get_bucket_policy(self) -> str:
        """Return the bucket's policy, as it was given.

        Raises:
            NoSuchBucketPolicy: it has none.
            NoSuchBucket: the bucket has gone.
        """
        return access.policy_of(self._context, self.name).text

    def get_bucket_policy_status(self) -> bool:
        """Return whether the bucket's policy lets everybody in, in AWS's sense.

        Raises:
            NoSuchBucketPolicy: it has none.
            NoSuchBucket: the bucket has gone.
        """
        return is_public(access.policy_of(self._context, self.name))

    def delete_bucket_policy(self) -> None:
        """Remove the bucket's policy, durably; no error where there is none.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        access.remove(self._context, self.name, "policy")

    def put_bucket_cors(self, rules: CorsRules) -> None:
        """Replace the bucket's CORS rules, durably: which web pages of other origins may ask through a browser.

        Args:
            rules: 1 to 100, as `CorsRule` or as boto3's maps, also as `{"CORSRules": […]}`.

        Raises:
            InvalidInput, InvalidRequest: S3 would refuse a rule; the message says why. None was changed.
            NoSuchBucket: the bucket has gone.
        """
        access.put_cors(self._context, self.name, cors_rules(rules))

    def get_bucket_cors(self) -> list[CorsRule]:
        """Return the bucket's CORS rules, in the order given.

        Raises:
            NoSuchCORSConfiguration: it has none.
            NoSuchBucket: the bucket has gone.
        """
        return access.cors_of(self._context, self.name)

    def delete_bucket_cors(self) -> None:
        """Remove all CORS rules, durably; no error where there are none.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        access.remove(self._context, self.name, "cors")

    def put_bucket_limits(self, limits: BucketLimits) -> None:
        """Set what gateways take into the bucket from now on, durably; `BucketLimits()` takes all limits away.

        What is there already stays, whatever it is.

        Raises:
            InvalidInput: a size or a content type that is none.
            NoSuchBucket: the bucket has gone.
        """
        access.put_limits(self._context, self.name, limits)

    def get_bucket_limits(self) -> BucketLimits:
        """Return the bucket's limits; one without any has those of `BucketLimits()`.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return access.access_of(self._context, self.name).limits

    def get_access(self) -> BucketAccess:
        """Return all that a gateway decides by, as values: what is not set is None or empty there.

        Raises:
            NoSuchBucket: the bucket has gone.
        """
        return access.access_of(self._context, self.name)
