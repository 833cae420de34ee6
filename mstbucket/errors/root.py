"""What every error of this package has."""

from __future__ import annotations

from base64 import b32encode
from typing import ClassVar, Final, Self

MESSAGE_MAX: Final = 2000  # characters: a key in its longest usual form, and room; somebody reads them in a terminal


class MstBucketError(Exception):
    """The root of everything raised on purpose; carries a stable `code` and the HTTP `status` that S3 gives it.

    What it is about stands in the message for people, and in fields for programs. A field is None where the error is not
    about such a thing, or where nobody knew of which.

    Attributes:
        bucket: name of the bucket.
        key: the object's key.
        cid: of the block, as text.
        pack: name of the pack, or other blob, in the blob store.
        offset: the byte at which it was noticed, in the file or block that the message speaks of.
    """

    code: ClassVar[str] = "InternalError"
    status: ClassVar[int] = 500
    bucket: str | None = None
    key: str | None = None
    cid: str | None = None
    pack: str | None = None
    offset: int | None = None

    _fields: ClassVar[tuple[str, ...]] = ("bucket", "key", "cid", "pack", "offset")

    def about(
        self,
        other: MstBucketError | None = None,
        *,
        bucket: str | None = None,
        key: str | None = None,
        cid: bytes | None = None,
        pack: str | None = None,
        offset: int | None = None,
    ) -> Self:
        """This error, with what it is about. What it knows already stays: whoever was nearer to the fault knew better.

        Args:
            other: the error that this one is made of; what that is about, this is about too.
            bucket, key, cid, pack, offset: the fields; the CID as it is below, in bytes.
        """
        # As `core.cid.to_text` writes it, which is above this room.
        text = None if cid is None else "b" + b32encode(cid).decode("ascii").rstrip("=").lower()
        said = {"bucket": bucket, "key": key, "cid": text, "pack": pack, "offset": offset}
        for name in self._fields:
            if getattr(self, name) is None:
                value = said.get(name)
                setattr(self, name, getattr(other, name, None) if value is None else value)
        return self

    def __str__(self) -> str:
        # KeyError would print the repr of its argument; people read these messages.
        text = " ".join(str(argument) for argument in self.args)
        if len(text) <= MESSAGE_MAX:
            return text
        # [ARG-8] What it is about stands first, and what to do last; between the two is what somebody gave.
        return f"{text[: MESSAGE_MAX // 2]} … {text[-(MESSAGE_MAX // 2 - 3) :]}"
