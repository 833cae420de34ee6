"""The values of access keys: who may sign requests to the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mstbucket.model.access_policy import AccessPolicy


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that requests are signed with, without its secret.

    Attributes:
        id: what a request names.
        name: for people.
        created: when it was made.
        expires: from when on it counts no more; None for never.
        expired: whether that time had come when the key was read, by the database's clock.
        disabled: it does not count now.
        policy: what its holder may do, beside what policies of buckets allow; None for everything: an administrator's.
        bytes_max: of bodies that its holder may send through gateways; None for any number.
        bytes_sent: how many came since that was set; they are counted only where there is a bound.
    """

    id: str
    name: str
    created: datetime
    expires: datetime | None = None
    disabled: bool = False
    policy: AccessPolicy | None = None
    bytes_max: int | None = None
    bytes_sent: int = 0
    expired: bool = False


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """A key that was just made or rotated, with its secret, which is shown this once. Its repr keeps that."""

    key: AccessKey
    secret: str

    def __repr__(self) -> str:
        return f"NewAccessKey({self.key!r})"
