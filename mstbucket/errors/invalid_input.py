"""The call is wrong: change the arguments; repeating it cannot help."""

from __future__ import annotations

from mstbucket.errors.root import MstBucketError


class InvalidInput(MstBucketError, ValueError):
    """An argument cannot be right for any state of the store. Change it; repeating the call cannot help."""

    code = "InvalidArgument"
    status = 400


class InvalidKey(InvalidInput):
    """A key that cannot be stored exactly: empty, holding NUL, or not encodable as UTF-8."""

    code = "InvalidKey"


class KeyTooLong(InvalidInput):
    """A key of more than 1024 bytes of UTF-8."""

    code = "KeyTooLongError"


class InvalidBucketName(InvalidInput):
    """A bucket name outside S3's rules (3 to 63 characters of a-z, 0-9, '-', '.', no IP form)."""

    code = "InvalidBucketName"


class InvalidRange(InvalidInput):
    """A byte range that has no byte in common with the object."""

    code = "InvalidRange"
    status = 416


class InvalidToken(InvalidInput):
    """A continuation token that no listing of this store gave out."""


class MetadataTooLarge(InvalidInput):
    """User metadata above 2 KB of names and values together."""

    code = "MetadataTooLarge"


class InvalidTag(InvalidInput):
    """A tag set outside S3's limits: 10 tags (50 of a bucket), 128-character keys, 256-character values, no key twice."""

    code = "InvalidTag"


class MalformedPolicy(InvalidInput):
    """A policy document that is none, or not one of this bucket. The message says what is wrong."""

    code = "MalformedPolicy"


class EntityTooLarge(InvalidInput):
    """A body above the largest object size."""

    code = "EntityTooLarge"


class BadDigest(InvalidInput):
    """The body that came is not the one that its MD5 or checksum speaks of. Nothing was stored: send it again."""

    code = "BadDigest"


class InvalidDigest(InvalidInput):
    """An MD5 or checksum that no body has: not base64, or not of the algorithm's length."""

    code = "InvalidDigest"


class InvalidPart(InvalidInput):
    """A completion names a part that was not uploaded, or not with that ETag. List the parts, and name those."""

    code = "InvalidPart"


class InvalidPartOrder(InvalidInput):
    """A completion names its parts in another order than strictly ascending."""

    code = "InvalidPartOrder"


class InvalidPartNumber(InvalidInput):
    """The object has no part of that number."""

    code = "InvalidPartNumber"
    status = 416


class EntityTooSmall(InvalidInput):
    """A part other than the last is below 5 MiB. Upload it again, larger, or complete without it."""

    code = "EntityTooSmall"


class InvalidRequest(InvalidInput):
    """S3's rules do not allow this call on what it names: a copy onto itself, or of more than 5 GiB in one step."""

    code = "InvalidRequest"


class WrongKey(InvalidInput):
    """The store is encrypted, and its key was not given, or another one. Open it with its own key."""

    code = "WrongKey"
    status = 403


class WrongPlace(InvalidInput):
    """The blobs at that place are not this store's, or there are none. Nothing was made: name the right place."""

    code = "WrongPlace"


class NotAFile(InvalidInput, IsADirectoryError):
    """A local directory stands where a file has to be named."""

    code = "NotAFile"
