"""Object keys as relative file paths and back: every key gets a path of its own, and the path gives the key again.

A segment of a key (what stands between slashes) is a path component as it is, wherever that is safe. Where it is not,
it becomes an escape: `%=` and the segment with every doubtful byte as `%XX`. Where the plain or escaped name cannot be
had on this file system (a directory is in its way, another name differs only in case, the system refuses a character)
the *other* form is used: `%+`, with everything but a few lower-case ASCII characters as `%XX`. What is too long for
one component is cut: `%~` components come before the last one.

A component may look like an escape and yet be none that a copy out writes. It stands for itself. So copying in needs no
flag, and it changes no ordinary file name. `spec/store/13-cli.md` is normative.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

NAME_MAX: Final = 255  # bytes of one component: ext4, xfs, btrfs, APFS and NTFS take at least that many
_PIECE: Final = 240  # bytes of a piece of a cut escape; a multiple of 3, below NAME_MAX with its two-byte mark

_ESCAPED: Final = "%="
_OTHER: Final = "%+"
_PART: Final = "%~"
_MARKS: Final = (_ESCAPED, _OTHER, _PART)

# [CLI-16] A piece before the last one of a long segment is never as short as this: no key can be there.
_OURS: Final = re.compile(rb"%~\.mstbucket-[0-9a-f]{16}\.partial")

_KEEP: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")  # what the other form leaves as it is


def temporary_name() -> bytes:
    """A name for a file that is written beside its place. It is short, nobody else uses it, and no key has it."""
    return f"{_PART}.mstbucket-{secrets.token_hex(8)}.partial".encode()


def is_temporary(name: bytes) -> bool:
    """Whether `temporary_name` may have made *name*. Such a file is half of something, and stands for no key."""
    return _OURS.fullmatch(name) is not None


def escape(key: str) -> tuple[str, ...]:
    """Return the path components under which the object *key* is copied out; `unescape` gives *key* back.

    [CLI-10] None is empty, `.`, `..`, longer than 255 bytes, or holds a slash or NUL, so the path stays below its directory.
    Different keys give different paths. *key* holds no NUL and no lone surrogate, as no stored key does.
    """
    return tuple(component for segment in key.split("/") for component in escape_segment(segment))


def escape_segment(segment: str) -> tuple[str, ...]:
    """Return the components for one segment: one, or several where it is too long for one."""
    # [CLI-11] a segment stands for itself unless it is empty, `.`, `..`, too long, or starts with a mark
    if segment not in ("", ".", "..") and not segment.startswith(_MARKS) and len(segment.encode()) <= NAME_MAX:
        return (segment,)
    dots = segment in (".", "..")  # [CLI-12]
    return _cut(_ESCAPED, "".join(f"%{ord(c):02X}" if c == "%" or dots else c for c in segment))


def other_segment(segment: str) -> tuple[str, ...]:
    """Return the components for one segment in the other form: lower-case ASCII only, so unique on any file system."""
    # [CLI-13]
    return _cut(_OTHER, "".join(chr(b) if b in _KEEP else f"%{b:02X}" for b in segment.encode()))


def unescape(components: Sequence[str]) -> str:
    """Return the key for a file at that relative path: the one that was copied out to it, or the path itself.

    *components* are text without slashes, at least one of them.
    """
    return "/".join(_segments(components))


def _segments(components: Sequence[str]) -> Iterator[str]:
    at = 0
    while at < len(components):
        end = at
        while components[end].startswith(_PART) and end + 1 < len(components):
            end += 1
        run = tuple(components[at : end + 1])
        segment = _decode(run)
        # [CLI-14] an escape is read as one only if a copy out would have written it
        if segment is not None and run in (escape_segment(segment), other_segment(segment)):
            yield segment
            at = end + 1
        else:
            yield components[at]
            at += 1


def _decode(run: tuple[str, ...]) -> str | None:
    """The segment of an escape, or None if it is not one. The caller checks that the escape is the canonical one."""
    *parts, last = run
    if not last.startswith((_ESCAPED, _OTHER)):
        return None
    text = "".join(component[2:] for component in (*parts, last))
    pieces = text.split("%")
    out = bytearray(pieces[0].encode("utf-8", "surrogateescape"))
    for piece in pieces[1:]:
        code = piece[:2]
        if len(code) != 2 or any(c not in "0123456789ABCDEF" for c in code):
            return None
        out.append(int(code, 16))
        out += piece[2:].encode("utf-8", "surrogateescape")
    try:
        segment = out.decode()
    except UnicodeDecodeError:
        return None
    return None if "/" in segment or "\0" in segment else segment


def _cut(mark: str, text: str) -> tuple[str, ...]:
    """`mark` + `text` as one component, or as several where that is too long; no character or `%XX` is cut in two."""
    if len(text.encode()) <= NAME_MAX - len(mark):
        return (mark + text,)
    atoms = [*_atoms(text)]
    bounds, size = [0], 0
    for number, atom in enumerate(atoms):
        size += len(atom.encode())
        if size > _PIECE:
            bounds.append(number)
            size = len(atom.encode())
    *parts, last = ["".join(atoms[a:b]) for a, b in pairwise([*bounds, len(atoms)])]
    return (*(_PART + part for part in parts), mark + last)


def _atoms(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        size = 3 if text[at] == "%" else 1
        yield text[at : at + size]
        at += size
