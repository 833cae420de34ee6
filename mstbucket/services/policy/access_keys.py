"""Access keys: made, found, changed. A secret is kept under the store's data key, where there is one ([GW-31])."""

from __future__ import annotations

import re
import secrets
import string
from base64 import b32encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from mstbucket.core.s3rules.policy_documents import parse_policy
from mstbucket.core.times import EPOCH
from mstbucket.errors import InvalidInput, NoSuchAccessKey, WrongKey
from mstbucket.index import access_keys as rows
from mstbucket.index.access_keys import Secret
from mstbucket.limits import ACCESS_KEYS_MAX
from mstbucket.model.access import AccessKey, NewAccessKey
from mstbucket.services.blocks.context import Context

if TYPE_CHECKING:
    from mstbucket.pg.pool import Connection

NAME_MAX: Final = 255  # characters
KEY_BYTES_MAX: Final = 2**62  # of a limit: with it no sum of bytes leaves Postgres's bigint
KEY_TIME_MAX: Final = timedelta(days=36_500)  # from now; a century, which no calendar's end cuts short
_LETTERS: Final = string.ascii_letters + string.digits  # nothing that a shell or a config file has to have quoted
_SECRET_LENGTH: Final = 40  # as AWS's have: 238 bits
_FIRST: Final = "administrator"
_MS: Final = timedelta(milliseconds=1)


def create(context: Context, name: str, expires: datetime | timedelta | None) -> NewAccessKey:
    """Make a key; see `AccessKeys.create`."""
    if not 1 <= len(name) <= NAME_MAX or re.search(r"[\x00-\x1f\x7f]", name):
        raise InvalidInput(f"the name of a key has 1 to {NAME_MAX} characters, none of them a control character")
    until = _until(context, expires)

    def add(connection: Connection) -> NewAccessKey:
        rows.lock(connection)
        if rows.count(connection) >= ACCESS_KEYS_MAX:
            raise InvalidInput(f"there are {ACCESS_KEYS_MAX} access keys, and no more may be: remove some")
        return _add(context, connection, name, until)

    return context.db.run(add)


def create_first(context: Context) -> NewAccessKey | None:
    """Make the administrator's key of a store that has no key at all; of processes that try at once, one does."""

    def add(connection: Connection) -> NewAccessKey | None:
        rows.lock(connection)
        return None if rows.count(connection) else _add(context, connection, _FIRST, None)

    return context.db.run(add)


def _until(context: Context, expires: datetime | timedelta | None) -> int | None:
    if isinstance(expires, timedelta):
        if not timedelta(0) < expires <= KEY_TIME_MAX:
            raise InvalidInput(f"a key lasts more than no time and at most {KEY_TIME_MAX.days} days, not {expires}")
        return context.db.now_ms() + -(-expires // _MS)  # [PG-26]
    return None if expires is None else (expires - EPOCH) // _MS


def _add(context: Context, connection: Connection, name: str, until: int | None) -> NewAccessKey:
    key_id = "MST" + b32encode(secrets.token_bytes(10)).decode("ascii") + "0"  # 20 characters, as AWS's have
    secret = _new_secret()
    return NewAccessKey(rows.add(connection, key_id, _sealed(context, key_id, secret), name, until), secret)


def find(context: Context, key_id: str) -> tuple[AccessKey, str] | None:
    """A key with its secret; None where there is none of that id."""
    if not _may_be(key_id):
        return None
    found = rows.find(context.db, key_id)
    return None if found is None else (found[0], _opened(context, key_id, found[1]))


def list_all(context: Context) -> list[AccessKey]:
    """All keys, without their secrets."""
    return rows.list_all(context.db)


def rotate(context: Context, key_id: str) -> NewAccessKey:
    """Give a key a new secret; the old one does not count any more."""
    secret = _new_secret()
    _check(key_id)
    return NewAccessKey(_there(rows.set_secret(context.db, key_id, _sealed(context, key_id, secret)), key_id), secret)


def set_disabled(context: Context, key_id: str, disabled: bool) -> AccessKey:
    """Disable or enable a key."""
    _check(key_id)
    return _there(rows.set_disabled(context.db, key_id, disabled), key_id)


def set_policy(context: Context, key_id: str, policy: str | None) -> AccessKey:
    """Limit the holder of a key; see `AccessKeys.set_policy`."""
    if policy is not None:
        parse_policy(policy, None)
    _check(key_id)
    return _there(rows.set_policy(context.db, key_id, policy), key_id)


def set_limit(context: Context, key_id: str, size: int | None) -> AccessKey:
    """Bound what the holder of a key may send; see `AccessKeys.set_limit`."""
    if size is not None and not 0 <= size <= KEY_BYTES_MAX:
        raise InvalidInput(f"the holder of a key may send from 0 to {KEY_BYTES_MAX} bytes, not {size}; None is any number")
    return _there(rows.set_limit(context.db, key_id, size), key_id)


def spend(context: Context, key_id: str, size: int) -> bool:
    """Count bytes that the holder of a key sends; see `AccessKeys.spend`."""
    return rows.spend(context.db, key_id, size)


def remove(context: Context, key_id: str) -> None:
    """Remove a key."""
    _check(key_id)
    if not rows.remove(context.db, key_id):
        raise _none(key_id)


def reseal(context: Context) -> None:
    """Keep every secret as new ones are kept: under the data key, or in plain where new packs are ([GW-31])."""

    def again(connection: Connection) -> None:
        for key_id, kept in rows.secrets_for_update(connection):
            secret = _sealed(context, key_id, _opened(context, key_id, kept))
            if secret.sealed != kept.sealed:
                rows.replace_secret(connection, key_id, secret)

    context.db.run(again)


def _new_secret() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(_SECRET_LENGTH))


def _sealed(context: Context, key_id: str, secret: str) -> Secret:
    key = context.encoding.key
    if key is None or not context.encoding.encrypts:
        return Secret(secret.encode(), None)
    return Secret(key.seal_secret(key_id.encode(), secret.encode()), key.id)


def _opened(context: Context, key_id: str, secret: Secret) -> str:
    if secret.sealed is None:
        return secret.kept.decode()
    key = context.encoding.key
    if key is None or key.id != secret.sealed:
        raise WrongKey(f"the secret of access key {key_id} is sealed with a key that this store was not opened with")
    return key.open_secret(key_id.encode(), secret.kept).decode()


def _may_be(key_id: str) -> bool:
    """Whether the database can be asked for it."""
    return bool(key_id) and not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in key_id)


def _check(key_id: str) -> None:
    if not _may_be(key_id):
        raise _none(key_id)


def _there(key: AccessKey | None, key_id: str) -> AccessKey:
    if key is None:
        raise _none(key_id)
    return key


def _none(key_id: str) -> NoSuchAccessKey:
    return NoSuchAccessKey(f"there is no access key {key_id[:40]!r}: 'mstbucket key ls' shows those there are")
