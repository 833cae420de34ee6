"""Looks up what a decision needs: tags, and the bucket's policy. A new policy counts after KNOWN_SECONDS ([GW-42])."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mstbucket import Store
from mstbucket.errors import InvalidBucketName, InvalidInput, MethodNotAllowed, NoSuchBucket, NotFound
from mstbucket.gateway.auth.decide import Caller, Wish, allowed
from mstbucket.gateway.auth.keyring import KNOWN_SECONDS
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.views import Views
from mstbucket.gateway.wire.request import Request
from mstbucket.model.access_policy import BucketAccess

_NOTHING: Final = BucketAccess()
_KNOWN_MAX: Final = 10_000


class Known:
    """What buckets say of access, as this process last saw it; thread-safe."""

    def __init__(self, store: Store, views: Views) -> None:
        self._store = store
        self._views = views
        self._seen: dict[str, tuple[BucketAccess, float]] = {}
        self._lock = threading.Lock()

    def of(self, bucket: str) -> BucketAccess:
        """What a bucket says; nothing where there is no such bucket."""
        seen = self._seen.get(bucket)
        if seen is not None and seen[1] > time.monotonic():
            return seen[0]
        return self._look(bucket)

    def _look(self, bucket: str) -> BucketAccess:
        until = time.monotonic() + KNOWN_SECONDS  # counted from before the read: a change during it counts in time
        found = _NOTHING
        with suppress(NoSuchBucket, InvalidBucketName):  # no other error: a policy that cannot be read still binds
            found = self._store.bucket(bucket).get_access()
        with self._lock:
            if len(self._seen) >= _KNOWN_MAX:
                self._seen.clear()
            self._seen[bucket] = found, until
        return found

    def forget(self, bucket: str) -> None:
        """Look the bucket up anew next time: a change made by this process counts here at once."""
        with self._lock:
            self._seen.pop(bucket, None)

    def tags(self, bucket: str, key: str, version_id: str | None, commit: str | None) -> Mapping[str, str]:
        """The tags of an object, now or at a commit; empty if there is no such object."""
        with suppress(NotFound, InvalidInput, MethodNotAllowed, Refused):
            handle = self._store.bucket(bucket)
            if commit is None:
                return handle.get_object_tagging(key, version_id=version_id)
            with self._views.open(handle, commit) as held:
                return held.view.get_object_tagging(key, version_id=version_id)
        return {}


@dataclass(frozen=True, slots=True)
class Rights:
    """What one caller may do by one request.

    Attributes:
        commit: names the state that the request reads; None for the current one.
    """

    known: Known
    caller: Caller
    facts: Mapping[str, str]
    commit: str | None = None

    def may(self, action: str, bucket: str, key: str, version_id: str | None = None) -> bool:
        """Whether the caller may do one thing."""
        of_bucket = self.known.of(bucket).policy if bucket else None
        own = self.caller.policy
        if of_bucket is None and own is None:
            return self.caller.is_administrator
        needs_tags = (of_bucket is not None and of_bucket.needs_tags) or (own is not None and own.needs_tags)
        tags = self.known.tags(bucket, key, version_id, self.commit) if needs_tags and key else {}
        return allowed(self.caller, of_bucket, Wish(action, bucket, key, self.facts, tags))

    def require(self, action: str, bucket: str, key: str, version_id: str | None = None) -> None:
        """Raise unless the caller may."""
        if not self.may(action, bucket, key, version_id):
            raise Refused("AccessDenied", "Access Denied")


def facts_of(request: Request) -> dict[str, str]:
    """What a request says of itself, for the conditions of policies."""
    facts = {"aws:securetransport": "true" if request.tls else "false", "aws:sourceip": request.client}
    if request.method in ("PUT", "POST"):
        expected = request.header("if-none-match")
        if expected is not None:
            facts["s3:if-none-match"] = expected
    else:
        facts |= {f"s3:{name}": request.query[name] for name in _OF_LISTINGS if name in request.query}
    return facts


_OF_LISTINGS: Final = ("prefix", "delimiter", "max-keys")
