"""One node of the tree: its bytes, its parts, and the height of a key (`spec/03-tree.md`).

In memory a node is three lists, because that is what is fast to read and to edit in place: `keys` (whole, not
suffixes), `links` (one more than keys: `links[i]` is the subtree left of `keys[i]`, the last one right of all keys),
and `parts`, four byte strings for each entry which joined give its bytes. On the wire `links[0]` is the node's `l` and
`links[i + 1]` the `t` of entry i.

Two decoders: `decode_node` is strict as to the bytes and gives the parts for an edit. `read_node` is for walks over
one's own tree: the same bounds and order, but it takes the shape of the maps on trust. Neither knows where in a tree
the node hangs: heights of keys and the interval between the parent's keys are the walker's part, and the judge of all
of it is `mstbucket.verify.tree`, which shares no code with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NoReturn

from mstbucket.core.cid import CID, CID_SIZE, dag_cbor_cid, to_text
from mstbucket.core.dagcbor import LINK_HEAD, decode_fast, head
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.limits import NODE_BLOCK_MAX, NODE_ENTRIES_MAX, VERSION_KEY_MAX

# [MST-3] an entry is {"k": bytes, "p": int, "t": link or null, "v": link}, a node {"e": [entries], "l": link or null}
NODE_HEADS: Final = tuple(b"\xa2\x61e" + head(4, n) for n in range(NODE_ENTRIES_MAX + 1))
KEY_HEADS: Final = tuple(b"\xa4\x61k" + head(2, n) for n in range(VERSION_KEY_MAX + 1))
VALUE_HEAD: Final = b"\x61v" + LINK_HEAD
PREFIXES: Final = tuple(b"\x61p" + head(0, n) + b"\x61t" for n in range(VERSION_KEY_MAX + 1))
LEAF_PREFIXES: Final = tuple(prefix + b"\xf6" + VALUE_HEAD for prefix in PREFIXES)  # with `t` null
NO_LEFT: Final = b"\x61l\xf6"
LEFT_HEAD: Final = b"\x61l" + LINK_HEAD

EMPTY_BLOCK: Final = NODE_HEADS[0] + NO_LEFT
EMPTY_ROOT: Final = dag_cbor_cid(EMPTY_BLOCK)

PARTS: Final = 4  # of an entry: head of k, suffix, p and t up to the CID of v, that CID
SUFFIX_PART: Final = 1
LINK_PART: Final = 2
VALUE_PART: Final = 3

_values_of = dict[str, Any].values


# Keys, links, parts; see the module's docstring. A plain tuple, because millions are made. The lists belong to whoever
# decoded the node.
Node = tuple[list[bytes], list[CID | None], list[bytes]]


def key_height(key: bytes) -> int:
    """Return the height at which *key* stands in every tree: the leading zero bits of its sha2-256, halved."""
    # [MST-1]
    return (256 - int.from_bytes(sha256(key).digest(), "big").bit_length()) // 2


def common_prefix(a: bytes, b: bytes) -> int:
    """Return how many bytes *a* and *b* have in common at their start."""
    n, surplus = len(a), len(b) - len(a)
    x, y = int.from_bytes(a, "big"), int.from_bytes(b, "big")
    if surplus > 0:
        y >>= 8 * surplus
    elif surplus:
        n += surplus
        x >>= -8 * surplus
    return n - ((x ^ y).bit_length() + 7 >> 3)


def entry_parts(before: bytes, key: bytes, link: CID | None, value: CID) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of the entry of *key*, whose predecessor in the node has key *before* (b"" if there is none)."""
    # [MST-4] p is the whole length shared with the key before; k is the rest
    shared = common_prefix(before, key)
    return KEY_HEADS[len(key) - shared], key[shared:], link_part(shared, link), value


def link_part(shared: int, link: CID | None) -> bytes:
    """Return the third part of an entry: *shared* as its `p`, *link* as its `t`, and what comes before its value."""
    return LEAF_PREFIXES[shared] if link is None else PREFIXES[shared] + LINK_HEAD + link + VALUE_HEAD


def join_node(count: int, parts: list[bytes], left: CID | None) -> bytes:
    """Return the block of a node of *count* entries that consist of *parts*.

    Raises:
        InvalidInput: it would be larger than any reader accepts, which takes keys chosen for it. Remove some of them.
    """
    # [MST-10] never write what a reader has to refuse
    if count <= NODE_ENTRIES_MAX:
        tail = NO_LEFT if left is None else LEFT_HEAD + left
        block = NODE_HEADS[count] + b"".join(parts) + tail
        if len(block) <= NODE_BLOCK_MAX:
            return block
    raise InvalidInput(
        f"{count} keys, among them {parts[1]!r}, would stand in one node of the tree, above the limit of "
        f"{NODE_ENTRIES_MAX} entries and {NODE_BLOCK_MAX} bytes; only keys chosen by their hash do so: remove some"
    )


def encode_node(keys: Sequence[bytes], values: Sequence[CID], links: Sequence[CID | None]) -> bytes:
    """Return the block of the node with these *keys*, their *values*, and *links*, of which there is one more.

    The caller answers for the order of the keys and the form of the CIDs.
    """
    parts: list[bytes] = []
    before = b""
    for key, value, link in zip(keys, values, links[1:], strict=True):
        parts += entry_parts(before, key, link, value)
        before = key
    return join_node(len(keys), parts, links[0])


def check_pair(key: bytes, value: CID) -> None:
    """Raise `InvalidInput` unless *key* has a length the tree allows and *value* that of a CID.

    That keys are UTF-8 is checked where text becomes bytes (`core.keys`), and again by the judge.
    """
    # [MST-2]
    if not 0 < len(key) <= VERSION_KEY_MAX:
        raise InvalidInput(f"the key {key[:40]!r} has {len(key)} bytes: the tree takes 1 to {VERSION_KEY_MAX}")
    if len(value) != CID_SIZE:
        raise InvalidInput(f"the value of key {key[:40]!r} has {len(value)} bytes: give a CID of {CID_SIZE}")


def decode_node(block: bytes) -> Node:
    """Return the node whose canonical encoding is *block*.

    Not checked here, but by `verify.tree`: heights, and the codecs of the CIDs.

    Raises:
        InvalidBlock: the bytes are no node, not in canonical form, out of order within the node, or above a limit.
            The message names the block's CID. Get another copy; if that has the same CID, its writer is at fault.
    """
    keys: list[bytes] = []
    parts: list[bytes] = []
    before, length = b"", 0
    # [MST-10]
    if len(block) > NODE_BLOCK_MAX:
        _refuse(block, f"it has {len(block)} bytes, above the limit of {NODE_BLOCK_MAX}")
    value = decode_fast(block)
    try:
        entries, left = value.values()
        if len(entries) > NODE_ENTRIES_MAX:
            _refuse(block, f"it has {len(entries)} entries, above the limit of {NODE_ENTRIES_MAX}")
        links = [left]
        # By position: a map with other names, or in another order, gives other bytes when joined again.
        for suffix, shared, link, value in map(_values_of, entries):
            size = len(suffix)
            # [MST-4] p within the key before, and the whole of what is shared; [MST-7] keys ascend strictly (both hold
            # if the suffix starts with a byte above the one it replaces); [MST-2] before the prefix is expanded
            if shared >= length:
                if shared > length or not size:
                    _refuse(block, f"an entry shares {shared} bytes with {before[:40]!r}, or its key is the same")
            elif suffix[0] <= before[shared]:
                _refuse(block, f"the key after {before[:40]!r} shares {shared} bytes and goes on with {suffix[:40]!r}")
            length = shared + size
            if length > VERSION_KEY_MAX:
                _refuse(block, f"a key has {length} bytes, above the limit of {VERSION_KEY_MAX}")
            before = before[:shared] + suffix
            keys.append(before)
            links.append(link)
            parts += (
                KEY_HEADS[size],
                suffix,
                LEAF_PREFIXES[shared] if link is None else PREFIXES[shared] + LINK_HEAD + link + VALUE_HEAD,
                value,
            )
        tail = NO_LEFT if left is None else LEFT_HEAD + left
        # [CBOR-1] [MST-3] and with it the type of every part and the length of every CID
        if NODE_HEADS[len(keys)] + b"".join(parts) + tail != block:
            _refuse(block, "it is not in canonical form")
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        _refuse(block, "it has another shape", error)
    return keys, links, parts


def read_node(block: bytes) -> tuple[list[bytes], list[CID], list[CID | None]]:
    """Return the keys, values and links of the node in *block*, fast and without proof of its canonical form.

    A node without subtrees has an empty list of links. Checked are limits, types, lengths, prefixes and the order of
    keys. Names of map entries, shortest forms, codecs and heights are not: `decode_node` and `verify.tree` do that.

    Raises:
        InvalidBlock: as `decode_node`.
    """
    keys: list[bytes] = []
    values: list[CID] = []
    before, length = b"", 0
    # [MST-10]
    if len(block) > NODE_BLOCK_MAX:
        _refuse(block, f"it has {len(block)} bytes, above the limit of {NODE_BLOCK_MAX}")
    value = decode_fast(block)
    try:
        entries, left = value.values()
        if len(entries) > NODE_ENTRIES_MAX:
            _refuse(block, f"it has {len(entries)} entries, above the limit of {NODE_ENTRIES_MAX}")
        links = [left]
        for suffix, shared, link, value in map(_values_of, entries):
            # [MST-4] [MST-7] as in `decode_node`: p is the whole of what is shared, and the key ascends
            if type(shared) is not int or not 0 <= shared <= length:
                _refuse(block, f"the entry after key {before[:40]!r} shares another number of bytes than it can")
            if not suffix or (shared < length and suffix[0] <= before[shared]):
                _refuse(block, f"the entry after key {before[:40]!r} is out of order, or shares more than it states")
            before = before[:shared] + suffix
            length = len(before)
            # [MST-2]
            if length > VERSION_KEY_MAX or len(value) != CID_SIZE:
                _refuse(block, f"the key {before[:40]!r} is too long, or has no CID")
            keys.append(before)
            values.append(value)
            links.append(link)
        b"".join(values)  # a TypeError for whatever else has a length of 36
        if links.count(None) == len(links):
            return keys, values, []
        for link in links:
            if link is not None and (type(link) is not bytes or len(link) != CID_SIZE):
                _refuse(block, "a link to a subtree is no CID")
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        _refuse(block, "it has another shape", error)
    return keys, values, links


def _refuse(block: bytes, why: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidBlock(f"block {to_text(dag_cbor_cid(block))} is not a tree node: {why}") from cause
