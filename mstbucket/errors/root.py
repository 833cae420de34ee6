"""What every error of this package has."""

from __future__ import annotations

from typing import ClassVar


class MstBucketError(Exception):
    """The root of everything raised on purpose; carries a stable `code` and the HTTP `status` that S3 gives it."""

    code: ClassVar[str] = "InternalError"
    status: ClassVar[int] = 500

    def __str__(self) -> str:
        # KeyError would print the repr of its argument; people read these messages.
        return " ".join(str(argument) for argument in self.args)
