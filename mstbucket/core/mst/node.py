"""One node of the tree: its bytes, its parts, and the height of a key (`spec/format/03-tree.md`).

In memory a node is three lists, because that is what is fast to read and to edit in place: `keys` (whole, not
suffixes), `links` (one more than keys: `links[i]` is the subtree left of `keys[i]`, the last one right of all keys),
and `parts`, four byte strings for each entry which joined give its bytes. On the wire `links[0]` is the node's `l` and
`links[i + 1]` the `t` of entry i.

There are two decoders. `decode_node` is strict as to the bytes, and gives the parts for an edit. `read_node` is for walks
over one's own tree. It holds the same bounds and order, but takes the shape of the maps on trust. Neither knows the node's
place in the tree: the walker looks at the heights of keys and the interval between the parent's keys. The judge of all of
it is `mstbucket.verify.tree`. It shares no code with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NoReturn

from mstbucket.core.cid import CID, CID_SIZE, dag_cbor_cid, to_text
from mstbucket.core.dagcbor import LINK_HEAD, decode_bare, decode_fast, head
from mstbucket.errors import InvalidBlock, InvalidInput
from mstbucket.limits import NODE_BLOCK_MAX, NODE_ENTRIES_MAX, VERSION_KEY_MAX

# [MST-3] an entry is {"k": bytes, "p": int, "t": link or null, "v": link}, a node {"e": [entries], "l": link or null}
NODE_HEADS: Final = tuple(b"\xa2\x61e" + head(4, n) for n in range(NODE_ENTRIES_MAX + 1))
KEY_HEADS: Final = tuple(b"\xa4\x61k" + head(2, n) for n in range(VERSION_KEY_MAX + 1))
VALUE_HEAD: Final = b"\x61v" + LINK_HEAD
PREFIXES: Final = tuple(b"\x61p" + head(0, n) + b"\x61t" for n in range(VERSION_KEY_MAX + 1))
LEAF_PREFIXES: Final = tuple(prefix + b"\xf6" + VALUE_HEAD for prefix in PREFIXES)  # with `t` null
LINK_PREFIXES: Final = tuple(prefix + LINK_HEAD for prefix in PREFIXES)  # up to the CID of `t`
NO_LEFT: Final = b"\x61l\xf6"
LEFT_HEAD: Final = b"\x61l" + LINK_HEAD

EMPTY_BLOCK: Final = NODE_HEADS[0] + NO_LEFT
EMPTY_ROOT: Final = dag_cbor_cid(EMPTY_BLOCK)

PARTS: Final = 4  # of an entry: head of k, suffix, p and t up to the CID of v, that CID
SUFFIX_PART: Final = 1
LINK_PART: Final = 2
VALUE_PART: Final = 3

_values_of = dict[str, Any].values

# What it comes to where a block has another shape than a node; RecursionError is the fast decoder's for deep nesting.
_SHAPE_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, RecursionError)


# Keys, links, parts; see the module's docstring. A plain tuple, because millions are made. The lists belong to whoever
# decoded the node.
Node = tuple[list[bytes], list[CID | None], list[bytes]]


def key_height(key: bytes) -> int:
    """Return the height at which *key* stands in every tree: the leading zero bits of its sha2-256, halved."""
    # [MST-1] the first byte tells, but for one key in 256
    digest = sha256(key).digest()
    if digest[0]:
        return (8 - digest[0].bit_length()) // 2
    return (256 - int.from_bytes(digest, "big").bit_length()) // 2


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
    return LEAF_PREFIXES[shared] if link is None else LINK_PREFIXES[shared] + link + VALUE_HEAD


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
                LEAF_PREFIXES[shared] if link is None else LINK_PREFIXES[shared] + link + VALUE_HEAD,
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

    A node without subtrees has an empty list of links. These are checked: limits, names, types, lengths, the order of
    keys, and that `p` is within the key before. These are left to `decode_node` and `verify.tree`: the order of fields,
    shortest forms, codecs, heights, whether `p` is all that is shared, and whether a link is bytes. It is for nodes that a
    judge has seen when they entered the store. Their source hashes them on each read ([FLUSH-10]).

    Raises:
        InvalidBlock: as `decode_node`.
    """
    keys: list[bytes] = []
    values: list[CID] = []
    before = b""
    # [MST-2] [MST-10] a block no longer than a key may be cannot expand to longer keys, whatever it says
    decode = decode_bare if len(block) <= VERSION_KEY_MAX else _decode_large
    try:
        node = decode(block)
        if len(node) != 2:
            _refuse(block, "it has another field")
        links = [node["l"]]
        for entry in node["e"]:
            key = entry["k"]
            shared = entry["p"]
            if shared:
                # [MST-4] within the key before
                if not 0 < shared <= len(before):
                    _refuse(block, f"an entry shares {shared} bytes with {before[:40]!r}")
                key = before[:shared] + key
            elif type(shared) is not int:
                _refuse(block, f"an entry shares {shared} bytes")
            value = entry["v"]
            # [MST-3] [MST-7]
            if key <= before or len(value) != CID_SIZE or len(entry) != 4:
                _refuse(block, f"the entry after key {before[:40]!r} is out of order, has another field, or no CID")
            keys.append(key)
            values.append(value)
            links.append(entry["t"])
            before = key
        b"".join(values)  # a TypeError for whatever else has a length of 36
        if links.count(None) == len(links):
            return keys, values, []
        for link in links:
            if link is not None and (type(link) is not bytes or len(link) != CID_SIZE):
                _refuse(block, "a link to a subtree is no CID")
    except _SHAPE_ERRORS as error:
        _refuse(block, "it has another shape", error)
    return keys, values, links


def read_keys(block: bytes) -> tuple[list[bytes], list[dict[str, Any]], Any]:
    """Return the keys of the node in *block*, its entries as decoded, and its `l`; for an edit that patches the block.

    Checked are the keys, as `read_node` does. `value_of` and `link_of` check what they take out of the rest.

    Raises:
        InvalidBlock: as `decode_node`.
    """
    keys: list[bytes] = []
    before = b""
    decode = decode_bare if len(block) <= VERSION_KEY_MAX else _decode_large
    try:
        node = decode(block)
        left = node["l"]
        entries = node["e"]
        for entry in entries:
            key = entry["k"]
            shared = entry["p"]
            if shared:
                # [MST-4] within the key before
                if not 0 < shared <= len(before):
                    _refuse(block, f"an entry shares {shared} bytes with {before[:40]!r}")
                key = before[:shared] + key
            # [MST-7]
            if key <= before:
                _refuse(block, f"the entry after key {before[:40]!r} is out of order")
            keys.append(key)
            before = key
    except _SHAPE_ERRORS as error:
        _refuse(block, "it has another shape", error)
    return keys, entries, left


def value_of(block: bytes, entry: dict[str, Any]) -> CID:
    """Return the value of an *entry* that `read_keys` gave for *block*."""
    value = entry.get("v")
    if type(value) is not bytes or len(value) != CID_SIZE:
        _refuse(block, "an entry has no CID")
    return value


def link_of(block: bytes, link: Any) -> CID | None:
    """Return *link*, the `l` or the `t` of an entry that `read_keys` gave for *block*."""
    if link is not None and (type(link) is not bytes or len(link) != CID_SIZE):
        _refuse(block, "a link to a subtree is no CID")
    return link


def _decode_large(block: bytes) -> Any:
    """Return the value of *block*, which is longer than a key, once it cannot expand to more than the limits allow."""
    # [MST-10]
    if len(block) > NODE_BLOCK_MAX:
        _refuse(block, f"it has {len(block)} bytes, above the limit of {NODE_BLOCK_MAX}")
    node = decode_bare(block)
    entries = node["e"]
    if len(entries) > NODE_ENTRIES_MAX:
        _refuse(block, f"it has {len(entries)} entries, above the limit of {NODE_ENTRIES_MAX}")
    # [MST-2] before the prefix is expanded: no key is longer than the longest `p` and the longest `k` together
    shared = max([entry["p"] for entry in entries], default=0)
    if not 0 <= shared <= VERSION_KEY_MAX - max([len(entry["k"]) for entry in entries], default=0):
        for entry in entries:
            if not 0 <= entry["p"] <= VERSION_KEY_MAX - len(entry["k"]):
                _refuse(block, f"a key of {entry['p']} shared bytes and {len(entry['k'])} more is above {VERSION_KEY_MAX}")
    return node


def _refuse(block: bytes, why: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidBlock(
        f"block {to_text(dag_cbor_cid(block))} is not a tree node: {why}"
    ).about(cid=dag_cbor_cid(block)) from cause
