"""The access keys of a store: who may sign requests to its gateway."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mstbucket.api.arguments import verbs
from mstbucket.later import later
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.model.access import AccessKey, NewAccessKey
    from mstbucket.services.policy import access_keys
else:
    access_keys = later("mstbucket.services.policy.access_keys")


@verbs
class AccessKeys:
    """The access keys of an open store, as `Store.access_keys`. A change counts in every gateway within seconds."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(self, label: str, *, expires: datetime | timedelta | None = None) -> NewAccessKey:
        """Make a key, durably, and return it with its secret, which nothing shows again.

        Args:
            label: for people; 1 to 255 characters, and not unique.
            expires: from then on it does not count, by the database's clock: an aware datetime, or how long from now.

        Raises:
            InvalidInput: the label; a time from now that is not above zero or is over 36,500 days; there are 10,000 keys.
        """
        return access_keys.create(self._context, label, expires)

    def create_first(self) -> NewAccessKey | None:
        """Make the administrator's key of a store that has no key at all, durably; None where it has one."""
        return access_keys.create_first(self._context)

    def find(self, key_id: str) -> tuple[AccessKey, str] | None:
        """Return a key with its secret, which is needed to check a signature; None where there is none of that id.

        Raises:
            WrongKey: the secret is sealed with a key that the store was not opened with.
        """
        return access_keys.find(self._context, key_id)

    def list_all(self) -> list[AccessKey]:
        """Return all keys, without their secrets, in the order in which they were made."""
        return access_keys.list_all(self._context)

    def rotate(self, key_id: str) -> NewAccessKey:
        """Give a key a new secret, durably; the old one does not count any more.

        Raises:
            NoSuchAccessKey: there is no such key.
        """
        return access_keys.rotate(self._context, key_id)

    def disable(self, key_id: str) -> AccessKey:
        """Make a key not count, durably, until it is enabled.

        Raises:
            NoSuchAccessKey: there is no such key.
        """
        return access_keys.set_disabled(self._context, key_id, True)

    def enable(self, key_id: str) -> AccessKey:
        """Make a key count again, durably.

        Raises:
            NoSuchAccessKey: there is no such key.
        """
        return access_keys.set_disabled(self._context, key_id, False)

    def set_policy(self, key_id: str, policy: str | None) -> AccessKey:
        """Let the holder of a key do only what a policy allows, durably; None makes an administrator of them.

        Policies of buckets that name the key allow besides, and what either denies is denied, as in AWS.

        Args:
            policy: a document of JSON as AWS writes it, without a Principal, of at most 20 KiB.

        Raises:
            MalformedPolicy, Unsupported: as of `Bucket.put_bucket_policy`.
            NoSuchAccessKey: there is no such key.
        """
        return access_keys.set_policy(self._context, key_id, policy)

    def set_limit(self, key_id: str, size: int | None) -> AccessKey:
        """Let the holder of a key send so many bytes through gateways from now on, durably; None takes the bound away.

        Bodies of puts, parts and forms count, and what is copied, at the size that it has. Deletes give nothing back.

        Raises:
            InvalidInput: the size is negative, or beyond 2^62.
            NoSuchAccessKey: there is no such key.
        """
        return access_keys.set_limit(self._context, key_id, size)

    def spend(self, key_id: str, size: int) -> bool:
        """Count bytes that the holder of a key is about to send, and return whether they may; if not, none were counted.

        Args:
            size: bytes; a negative size takes back what did not come.
        """
        return access_keys.spend(self._context, key_id, size)

    def remove(self, key_id: str) -> None:
        """Remove a key, durably.

        Raises:
            NoSuchAccessKey: there is no such key.
        """
        access_keys.remove(self._context, key_id)
