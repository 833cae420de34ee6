"""Commits: the one block that names and proves the whole state of a bucket.

Written and read through the generic strict codec, since there is one per flush. `spec/format/06-commit.md` is normative.
A signature is kept, never checked here: `Commit.signature` says so in the words that every report has to use.
"""

from __future__ import annotations

import builtins  # the field `bytes` hides the type inside the class
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from mstbucket.core import dagcbor
from mstbucket.core.cid import CID, dag_cbor_cid, from_text, to_text
from mstbucket.core.commit_fields import (
    CONFIG,
    check_bucket_id,
    check_form_of_config,
    check_message,
    check_tags,
    config,
    is_dag_cbor_cid,
    is_text,
    refuse,
    shown,
    tags_size,
)
from mstbucket.core.dagcbor import INT_MAX, Link
from mstbucket.errors import InvalidBlock, InvalidCid, InvalidInput, Unsupported, Untrue
from mstbucket.limits import (
    BUCKET_NAME_MAX,
    BUCKET_TAGS_SIZE_MAX,
    COMMIT_BLOCK_MAX,
    COMMIT_NAME_MAX,
    COMMIT_SEQ_MAX,
)

FORMAT_VERSION: Final = 1
EMPTY_TREE: Final = dag_cbor_cid(b"\xa2\x61e\x80\x61l\xf6")  # {"e": [], "l": null}
_LINKS: Final = ("tree", "versions")
_TEXT_CIDS: Final = ("prev", "forked", "merged")
_NUMBERS: Final = (("seq", 1, COMMIT_SEQ_MAX), ("time", 0, INT_MAX), ("objects", 0, INT_MAX), ("bytes", 0, INT_MAX))


@dataclass(frozen=True, slots=True)
class Commit:
    """One state of a bucket. Absent fields are None; tags are absent where empty.

    Attributes:
        bucket: the bucket's identity (`bucket_id`), the same through renames, exports and mirrors.
        name: what the bucket was called; informational, checked by whoever uses it.
        seq: 1 for a bucket's first commit, one more for each that follows.
        tree: root of the tree of live objects.
        time: milliseconds since 1970 UTC by the writer's clock; informational.
        objects: keys in `tree`.
        bytes: sum of the sizes of these objects.
        versions: root of the tree of non-current versions and delete markers; None where there are none.
        prev: the commit before; None exactly for seq 1.
        tags: the bucket's tags.
        config: how bodies are laid out, for which one value exists, and the state of versioning where it was ever set.
        forked: in the first commit of a fork, the commit that it was made from.
        merged: in a commit that brought changes of another bucket in, the commit of that one.
        message: what whoever made it said of it; informational, and by nobody checked.
        key, sig: ed25519 public key (32 bytes) and signature (64 bytes) over `signing_bytes`, or neither.
        version: of the format.
    """

    bucket: str
    name: str
    seq: int
    tree: CID
    time: int
    objects: int
    bytes: int
    versions: CID | None = None
    prev: CID | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, int | str] = field(default_factory=lambda: dict(CONFIG))
    forked: CID | None = None
    merged: CID | None = None
    message: str | None = None
    key: builtins.bytes | None = None
    sig: builtins.bytes | None = None
    version: int = FORMAT_VERSION

    @property
    def versioning(self) -> str | None:
        """The state of versioning: "Enabled", "Suspended", or None where it was never set [COM-12]."""
        state = self.config.get("versioning")
        return None if state is None else str(state)

    @property
    def signature(self) -> str:
        """Return ``"absent"`` or ``"present, not checked"``: what a report has to say about it [COM-11]."""
        return "absent" if self.sig is None else "present, not checked"


def encode(commit: Commit) -> bytes:
    """Return the block of *commit*.

    Raises:
        InvalidInput: a field has another type or a value outside its range; the message names it.
        Unsupported: a format version or body layout that this program does not write.
    """
    block = dagcbor.encode(_checked(commit))
    if len(block) > COMMIT_BLOCK_MAX:  # [COM-2]
        raise InvalidInput(f"a commit has {len(block)} bytes, more than {COMMIT_BLOCK_MAX}; "
                           f"{'remove some tags' if commit.message is None else 'shorten its message'}")  # fmt: skip
    return block


def decode(block: bytes) -> Commit:
    """Return the commit that *block* is. That its trees exist and its totals are true is not checked here.

    Raises:
        Unsupported: a format version or body layout of a newer program; nothing else was looked at. Update.
        InvalidBlock: anything that `encode` does not write. Get another copy.
    """
    if len(block) > COMMIT_BLOCK_MAX:  # [COM-2] before anything is read
        raise InvalidBlock(f"a commit has {len(block)} bytes, more than {COMMIT_BLOCK_MAX}")
    cid = dag_cbor_cid(block)
    here = f"commit {to_text(cid)}"
    value = dagcbor.decode(block)  # [COM-1] strict: canonical bytes only
    if not isinstance(value, dict) or type(value.get("version")) is not int:
        raise InvalidBlock(f"{here} is not a map with a format version").about(cid=cid)
    if value["version"] != FORMAT_VERSION:  # [COM-4] before any other field
        raise Unsupported(f"{here} has format version {value['version']}; this program reads {FORMAT_VERSION}")
    try:
        commit = _from_value(value)
        again = encode(commit)
    except (InvalidCid, InvalidInput) as error:
        raise InvalidBlock(f"{here}: {error}").about(cid=cid) from None
    if again != block:  # [COM-1]
        raise InvalidBlock(f"{here} is not written as its fields demand").about(cid=cid)
    return commit


def resembles(block: bytes) -> bool:
    """Whether *block*, which `decode` refuses, may have been meant to be a commit: it is not sound, or has its fields."""
    try:
        value = dagcbor.decode(block)
    except InvalidBlock:
        return True
    return isinstance(value, dict) and not value.keys().isdisjoint({"bucket", "tree", "version"})


def check_followed(commit: Commit) -> None:
    """Raise unless a store can hold the bucket of *commit* and go on: what a judge asks of a commit that is well-formed.

    Raises:
        Untrue: it has versions, and says that its bucket's versioning was never set.
        Unsupported: its tags leave no room for the commit that follows it.
    """
    if commit.versions is not None and commit.versioning is None:  # [COM-12]
        raise Untrue("the commit has versions, and says that its bucket's versioning was never set")
    # [COM-14] The next commit holds these tags too, and more than this one beside them.
    size = tags_size(commit.tags)
    advice = "remove some where it comes from, and export it again"
    if size > BUCKET_TAGS_SIZE_MAX:
        raise Unsupported(f"the bucket has {size} bytes of tags, more than {BUCKET_TAGS_SIZE_MAX}: {advice}")
    largest = replace(
        commit, name="n" * BUCKET_NAME_MAX, seq=COMMIT_SEQ_MAX, prev=commit.tree, versions=dag_cbor_cid(b""), time=INT_MAX,
        objects=INT_MAX, bytes=INT_MAX, config=config("Suspended"), forked=None, merged=None, message=None, key=None,
        sig=None,
    )  # fmt: skip
    if len(dagcbor.encode(_checked(largest))) > COMMIT_BLOCK_MAX:
        raise Unsupported(f"the bucket's {len(commit.tags)} tags leave no room for another commit: {advice}")


def check_later(base: Commit, commit: Commit) -> None:
    """Raise `Untrue` unless the one can be a later state of the bucket of the other ([DELTA-3], [PROOF-10])."""
    if base.bucket != commit.bucket:
        raise Untrue(f"the earlier commit is of bucket {base.bucket}, and the later one of another, {commit.bucket}")
    if base.seq >= commit.seq:
        raise Untrue(f"the earlier commit has number {base.seq}, and the later one {commit.seq}, which is no later one")


def signing_bytes(commit: Commit) -> bytes:
    """Return the bytes an ed25519 signature of *commit* is over: its block without `sig` [COM-10].

    Raises:
        InvalidInput: the commit names no key, or a field is not valid.
    """
    if commit.key is None:
        raise InvalidInput("a commit is signed under the key it names, and this one names none")
    # A commit about to be signed has no `sig` yet; one of the right length lets it pass the checks.
    value = _checked(replace(commit, sig=bytes(64)))
    del value["sig"]
    return dagcbor.encode(value)


# --- fields ----------------------------------------------------------------------------------------------------------


def _checked(c: Commit) -> dict[str, Any]:
    """Return the map of *c*'s present fields, each checked; both `encode` and `decode` go through here."""
    if type(c.version) is not int or c.version != FORMAT_VERSION:  # [COM-4]
        raise Unsupported(f"commits of format version {shown(c.version)} cannot be written; use {FORMAT_VERSION}")
    check_bucket_id(c.bucket)
    if not is_text(c.name) or not 1 <= len(c.name.encode()) <= COMMIT_NAME_MAX:  # [COM-5]
        refuse("name", c.name, f"a text of 1 to {COMMIT_NAME_MAX} bytes without NUL")
    for name, least, most in _NUMBERS:  # [COM-6]
        number = getattr(c, name)
        if type(number) is not int or not least <= number <= most:
            refuse(name, number, f"an integer from {least} to {most}")
    for name in ("tree", "versions", *_TEXT_CIDS):  # [COM-7]
        cid = getattr(c, name)
        if (cid is not None or name == "tree") and not is_dag_cbor_cid(cid):
            refuse(name, cid, "a CID of a dag-cbor block")
    if c.versions == EMPTY_TREE:  # [COM-7]
        refuse("versions", to_text(EMPTY_TREE), "absent where the tree is empty")
    if (c.prev is None) != (c.seq == 1):  # [COM-8]
        refuse("prev", c.prev, f"{'absent' if c.seq == 1 else 'present'} in commit {c.seq}")
    if c.forked is not None and c.seq != 1:  # [COM-21]
        refuse("forked", c.forked, f"absent in commit {c.seq}")
    if c.merged is not None and c.seq == 1:  # [COM-22]
        refuse("merged", c.merged, "absent in commit 1")
    if c.message is not None:
        check_message(c.message)
    check_tags(c.tags)
    check_form_of_config(c.config)
    for name, length in (("key", 32), ("sig", 64)):  # [COM-10]
        data = getattr(c, name)
        if data is not None and (type(data) is not bytes or len(data) != length):
            refuse(name, data, f"{length} bytes")
    if c.sig is not None and c.key is None:
        refuse("key", None, "present where there is a signature")
    if c.key is not None and c.sig is None:
        refuse("sig", None, "present where there is a key")
    if {name: c.config[name] for name in CONFIG} != CONFIG:  # [COM-9] [COM-20] after all that is malformed
        raise Unsupported(f"bodies laid out by {dict(c.config)} are not supported; only {CONFIG} is")
    return _to_value(c)


def _to_value(c: Commit) -> dict[str, Any]:
    value: dict[str, Any] = {one.name: getattr(c, one.name) for one in fields(c)}
    value |= {"tags": dict(c.tags) or None, "config": dict(c.config)}
    for name in _LINKS:
        if value[name] is not None:
            value[name] = Link(value[name])
    for name in _TEXT_CIDS:
        if value[name] is not None:
            value[name] = to_text(value[name])  # [COM-8] text, so that the closure of a commit is one state
    return {name: item for name, item in value.items() if item is not None}


def _from_value(value: dict[str, Any]) -> Commit:
    known = {one.name for one in fields(Commit)}
    if not value.keys() <= known:  # [COM-1]
        raise InvalidInput(f"unknown fields {sorted(value.keys() - known)}")
    missing = {"bucket", "name", "seq", "tree", "time", "objects", "bytes", "config"} - value.keys()
    if missing:  # [COM-1]
        raise InvalidInput(f"fields are missing: {sorted(missing)}")
    unwritten = sorted(name for name, item in value.items() if item is None or (name == "tags" and item == {}))
    if unwritten:  # [COM-1]
        raise InvalidInput(f"fields that are absent are written: {unwritten}")
    read = dict(value)
    for name in _LINKS:
        if name in read:
            if not isinstance(read[name], Link):
                refuse(name, read[name], "a link")
            read[name] = read[name].cid
    for name in _TEXT_CIDS:
        if name not in read:
            continue
        if not isinstance(read[name], str):  # [COM-8] [COM-21] [COM-22]
            refuse(name, read[name], "the text of a CID")
        read[name] = from_text(read[name])
    return Commit(**read)


