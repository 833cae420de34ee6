"""A browser's form: short fields, and then one file, which is read as a stream ([GW-60])."""

from __future__ import annotations

import re
from typing import Final

from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.wire.content import HELD_MAX, Content
from mstbucket.gateway.wire.gather import Gathered
from mstbucket.limits import FORM_FIELDS_MAX, KIB
from mstbucket.model.streams import Readable

_BOUNDARY: Final = re.compile(r'multipart/form-data\s*;.*?boundary=(?:"([^"\r\n]{1,70})"|([^\s;,"]{1,70}))\s*(?:;.*)?', re.I)
_NAME: Final = re.compile(r'form-data\s*;\s*name="([^"\r\n]*)"(?:\s*;\s*filename="([^"\r\n]*)")?\s*', re.I)
_PIECE: Final = 64 * KIB
_BEHIND_MAX: Final = 64 * KIB  # bytes that may stand behind the file; they do not count, as in S3


def _malformed(why: str) -> Refused:
    return Refused("MalformedPOSTRequest", f"The body of your POST request is not well-formed multipart/form-data: {why}.")


class Form:
    """The fields before the file, by their names in lower case, and the file."""

    def __init__(self, content: Content, content_type: str) -> None:
        found = _BOUNDARY.fullmatch(content_type)
        if found is None:
            raise Refused("PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
        self._content = content
        self._mark = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
        self._held = b"\r\n"  # so that the first mark is like the others
        self._ended = False
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._before_file()
        self.length = content.length  # an upper bound
        self.awaited = False
        self._least, self._most, self._size = 0, content.length, 0

    def limit(self, least: int, most: int) -> None:
        """Demand that the file has from `least` to `most` bytes."""
        self._least, self._most = max(self._least, least), min(self._most, most)

    # --- fields ---

    def _before_file(self) -> None:
        if self._until(self._mark).strip():
            raise _malformed("something stands before its first part")
        left = FORM_FIELDS_MAX
        while True:
            if self._until(b"\r\n") != b"":
                raise Refused("InvalidArgument", "POST requires exactly one file upload per request.")
            name, filename = self._head()
            if name == "file":
                self.filename = re.split(r"[/\\]", filename or "")[-1]
                return
            value = self._until(self._mark)
            left -= len(name) + len(value)
            if left < 0:
                raise Refused("MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too "
                              f"large: {FORM_FIELDS_MAX} bytes are taken.")  # fmt: skip
            if name in self.fields:
                raise _malformed(f"the field {name[:100]!r} stands twice")
            self.fields[name] = self._text(value)

    def _head(self) -> tuple[str, str | None]:
        found = None
        while line := self._until(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                found = _NAME.fullmatch(self._text(value.strip()))
        if found is None:
            raise _malformed("a part has no name")
        return found[1].lower(), found[2]

    @staticmethod
    def _text(value: bytes) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed("a field is not UTF-8") from None

    def _until(self, mark: bytes) -> bytes:
        """Take the bytes up to a mark, and the mark."""
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > FORM_FIELDS_MAX + len(mark):
                raise Refused("MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too "
                              f"large: {FORM_FIELDS_MAX} bytes are taken.")  # fmt: skip
            piece = self._content.read(_PIECE // 4)
            if not piece:
                raise _malformed("it ends in the middle")
            self._held += piece
        found, self._held = self._held[:at], self._held[at + len(mark) :]
        return found

    # --- the file ---

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the file; b"" at its end, if the file is as long as demanded.

        Raises:
            Refused: it is not, or the form ends before the file does.
        """
        while not self._ended and len(self._held) <= len(self._mark):
            self._fill()
        ready = len(self._held) if self._ended else len(self._held) - len(self._mark) + 1
        taken = min(size, ready)
        piece, self._held = self._held[:taken], self._held[taken:]
        self._size += len(piece)
        if self._size > self._most:
            raise Refused("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        if not piece and self._size < self._least:
            raise Refused("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        return piece

    def _fill(self) -> None:
        """Read one piece more, and look for the mark behind the file."""
        piece = self._content.read(_PIECE)
        if not piece:
            raise _malformed("the file does not end")
        self._held += piece
        self._find_end()

    def _find_end(self) -> None:
        at = self._held.find(self._mark)
        if at >= 0:
            left = _BEHIND_MAX
            while piece := self._content.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise _malformed("much stands behind the file")
            self._held, self._ended = self._held[:at], True

    def start(self) -> None:
        """Look for the end of the file in what was read already: a short file is there."""
        self._find_end()

    def stored(self) -> bytes | Readable:
        """What to store: the bytes if there are few, else a reader."""
        gathered = Gathered(self)
        return gathered.read(self.length + 1) if self.length <= HELD_MAX else gathered  # up to the end, where it is checked
