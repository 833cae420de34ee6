"""The secrets of keys, as this process last saw them; a change counts after KNOWN_SECONDS ([GW-30])."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Final

from mstbucket import Store
from mstbucket.gateway.auth.decide import Caller
from mstbucket.gateway.refusals import Refused
from mstbucket.model.access import AccessKey

KNOWN_SECONDS: Final = 2.0
_KNOWN_MAX: Final = 10_000  # ids that were asked for; when guesses have filled this, it begins anew


@dataclass(frozen=True, slots=True)
class _Seen:
    key: AccessKey | None
    secret: str | None
    until: float


class Keyring:
    """Finds secrets; thread-safe. The root key comes from the environment, and is in no database."""

    def __init__(self, store: Store, root: tuple[str, str] | None) -> None:
        self._store = store
        self._root = root
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def caller_of(self, key_id: str) -> Caller:
        """Who holds a key whose secret was found just now. The root key is an administrator's."""
        seen = self._seen.get(key_id)
        if self._root is not None and key_id == self._root[0]:
            return Caller(key_id)
        if seen is None or seen.key is None:  # dropped since its secret was found
            self.secret_of(key_id)
            seen = self._seen.get(key_id)
        if seen is None or seen.key is None:
            raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.",
                          AWSAccessKeyId=key_id)  # fmt: skip
        return Caller(key_id, seen.key.policy, seen.key.bytes_max is not None)

    def secret_of(self, key_id: str) -> str | None:
        """The secret of a key that may be used now; None where there is none."""
        if self._root is not None and key_id == self._root[0]:
            return self._root[1]
        seen = self._seen.get(key_id)
        if seen is None or seen.until < time.monotonic():
            found = self._store.access_keys.find(key_id)
            until = time.monotonic() + KNOWN_SECONDS
            seen = _Seen(None, None, until) if found is None else _Seen(*found, until)
            with self._lock:
                if len(self._seen) >= _KNOWN_MAX:
                    self._seen.clear()
                self._seen[key_id] = seen
        if seen.key is None or seen.key.disabled or seen.key.expired:
            return None
        return seen.secret
