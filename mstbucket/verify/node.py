"""The judge of one tree node: reads it with a parser of its own and refuses whatever is not exactly as it has to be.

Shares no code with `core.mst`, which writes these nodes: an error there must not be one here too. The format is that of
`spec/format/03-tree.md`; what is checked, in which order, and what is not, is `spec/format/11-verification.md`.

A node is judged at its place: its parent says which height it has and between which keys all of its keys have to lie.
If every node of a tree passes at its place, the keys ascend through the whole tree, no key and no node comes twice, and
there is no other tree with the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeAlias

from mstbucket.core.cid import CID, DAG_CBOR_PREFIX, to_text
from mstbucket.core.dagcbor import LINK_HEAD, decode_fast, head
from mstbucket.core.keys import check_key, split_version_key
from mstbucket.errors import InvalidBlock, InvalidInput, Untrue
from mstbucket.limits import KEY_MAX, NODE_BLOCK_MAX, NODE_ENTRIES_MAX, TREE_HEIGHT_MAX, VERSION_KEY_MAX

# Where a node stands: its CID, its height (None for the root, whose keys say it), and the keys between which all of its
# keys have to lie (b"" and None where there is no bound).
Place: TypeAlias = tuple[CID, int | None, bytes, bytes | None]

# The canonical bytes of a node, in pieces: a2 "e" [{"k": bytes, "p": int, "t": link or null, "v": link}, …] "l" …
_LINK: Final = LINK_HEAD + DAG_CBOR_PREFIX  # [VER-4] a value and a subtree are dag-cbor
_ENTRIES: Final = tuple(b"\xa2\x61e" + head(4, n) for n in range(NODE_ENTRIES_MAX + 1))
_KEY: Final = tuple(b"\xa4\x61k" + head(2, n) for n in range(VERSION_KEY_MAX + 1))  # by length of the suffix
_SHARED: Final = tuple(b"\x61p" + head(0, n) + b"\x61t" for n in range(VERSION_KEY_MAX + 1))
_VALUE: Final = b"\x61v" + _LINK
_SHARED_ALONE: Final = tuple(shared + b"\xf6" + _VALUE for shared in _SHARED)  # the same, and no subtree
_LEFT: Final = b"\x61l"

# A key has height h where its sha256, as a number, is in _LEAST[h] <= n < _ABOVE[h]: 2 h or 2 h + 1 leading zero bits.
_LEAST: Final = tuple((1 << 254 - 2 * h).to_bytes(32, "big") for h in range(TREE_HEIGHT_MAX + 1))
_ABOVE: Final = (b"\xff" * 33, *_LEAST[:-1])


@dataclass(slots=True)
class Node:
    """A node found good at its place. Not frozen, since a million are made; nobody changes one.

    Attributes:
        height: 0 for nodes without subtrees.
        keys: in full, ascending.
        values: links to the manifests, one for each key.
        links: subtrees, None where there is none: before the first key, and after each. One more than keys.
    """

    height: int
    keys: list[bytes]
    values: list[CID]
    links: list[CID | None]


def judge(block: bytes, place: Place, key_max: int) -> Node:
    """Return the node that *block* is, if it is good at *place*; *key_max* is `KEY_MAX` or `VERSION_KEY_MAX`.

    The caller has to check before that the bytes hash to the CID of *place*, and the form of a root's CID.

    Raises:
        InvalidBlock: not a node, not canonical, above a limit, or with a key that is not allowed.
        Untrue: a good node at the wrong place, keys out of order, a tree of the wrong shape.
    """
    cid, height, low, high = place
    # [VER-5] before anything is read or expanded
    if len(block) > NODE_BLOCK_MAX:
        raise InvalidBlock(f"{_named(cid)} has {len(block)} bytes, more than {NODE_BLOCK_MAX}").about(cid=cid)
    try:
        keys, values, links = _parse(block)
    except (InvalidBlock, Untrue) as error:
        raise type(error)(f"{_named(cid)}: {error}").about(error, cid=cid) from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        # A field has a wrong type, or there is one too many or too few: `_parse` can only end in one of these.
        raise InvalidBlock(
            f"{_named(cid)} does not have the fields of a node, or one is too large"
        ).about(cid=cid) from error
    _check_keys(cid, keys, key_max)
    if height is None:
        height = _root_height(cid, keys, links)
    elif not keys and links[0] is None:
        raise Untrue(f"{_named(cid)} is wholly empty, below another: such a link has to be null").about(cid=cid)  # [VER-11]
    least, above = _LEAST[height], _ABOVE[height]
    for key in keys:
        # [VER-9] the height of a key is the height of its node
        if not least <= sha256(key).digest() < above:
            raise Untrue(f"{_named(cid)} of height {height} holds {_shown(key)} of height {key_height(key)}").about(cid=cid)
    # [VER-10] nothing below height 0
    if height == 0 and links.count(None) != len(links):
        raise Untrue(f"{_named(cid)} of height 0 has a subtree").about(cid=cid)
    # [VER-8] inside the open interval that the parent gives
    if keys and not (low < keys[0] and (high is None or keys[-1] < high)):
        wrong = keys[0] if keys[0] <= low else keys[-1]
        raise Untrue(
            f"{_named(cid)} holds {_shown(wrong)}, which is not between the keys of its parents around it"
        ).about(cid=cid)
    return Node(height, keys, values, links)


def _parse(block: bytes) -> tuple[list[bytes], list[CID], list[CID | None]]:
    """Return keys, values and links of a canonical node whose keys ascend.

    Raises `InvalidBlock` or `Untrue`; and, if a field has a wrong type, whatever Python makes of it.
    """
    entries, left = decode_fast(block).values()
    if len(entries) > NODE_ENTRIES_MAX:
        raise InvalidBlock(f"{len(entries)} entries, more than {NODE_ENTRIES_MAX}")  # [VER-5]
    keys: list[bytes] = []
    values: list[CID] = []
    links: list[CID | None] = [left]
    out = [_ENTRIES[len(entries)]]
    previous, length = b"", 0
    for suffix, shared, subtree, value in map(dict.values, entries):
        # [VER-5] longer suffixes and prefixes than any key has are not in the tables: no expansion
        if subtree is None:
            out += (_KEY[len(suffix)], suffix, _SHARED_ALONE[shared], value[4:])
        else:
            out += (_KEY[len(suffix)], suffix, _SHARED[shared], _LINK, subtree[4:], _VALUE, value[4:])
        # [VER-6] [VER-7] [VER-12] `p` is all that is common and the key ascends: the next byte exists, and is greater
        if shared < length:
            if not suffix or suffix[0] <= previous[shared]:
                raise _wrong_prefix(previous, shared, suffix)
        elif shared > length or not suffix:
            raise _wrong_prefix(previous, shared, suffix)
        previous = previous[:shared] + suffix
        length = len(previous)
        keys.append(previous)
        links.append(subtree)
        values.append(value)
    out += (_LEFT, b"\xf6") if left is None else (_LEFT, _LINK, left[4:])
    # [VER-3] [VER-4] Written again from what was understood, the bytes have to be the same. That settles names, types and
    # order of fields, shortest forms, the form of every link, and what was taken for granted above.
    if b"".join(out) != block:
        raise InvalidBlock("not the canonical bytes of a node with dag-cbor links")
    return keys, values, links


def write(node: Node) -> bytes:
    """Return the canonical bytes of a node whose keys ascend. Its links are written as dag-cbor, whatever they are."""
    out = [_ENTRIES[len(node.keys)]]
    previous = b""
    for key, value, subtree in zip(node.keys, node.values, node.links[1:], strict=True):
        size = min(len(previous), len(key))
        differ = int.from_bytes(previous[:size], "big") ^ int.from_bytes(key[:size], "big")
        shared = size - (differ.bit_length() + 7) // 8  # [MST-4]
        out += (_KEY[len(key) - shared], key[shared:])
        out += (_SHARED_ALONE[shared],) if subtree is None else (_SHARED[shared], _LINK, subtree[4:], _VALUE)
        out.append(value[4:])
        previous = key
    left = node.links[0]
    out += (_LEFT, b"\xf6") if left is None else (_LEFT, _LINK, left[4:])
    return b"".join(out)


def _wrong_prefix(previous: bytes, shared: int, suffix: bytes) -> InvalidBlock | Untrue:
    """Return why a key that is written as *shared* bytes of the *previous* one and *suffix* is refused."""
    if shared > len(previous):
        return InvalidBlock(f"an entry shares {shared} bytes with a key of {len(previous)} bytes")  # [VER-6]
    if not previous and not suffix:
        return InvalidBlock("an entry has an empty key: keys have at least one byte")  # [VER-12]
    if shared < len(previous) and suffix[:1] == previous[shared : shared + 1]:
        # [VER-7]
        return InvalidBlock(f"the entry after {_shown(previous)} shares more than the {shared} bytes it states")
    # [VER-6]
    return Untrue(f"{_shown(previous[:shared] + suffix)} stands after {_shown(previous)}: keys have to ascend")


def _check_keys(cid: CID, keys: list[bytes], key_max: int) -> None:
    """Raise `InvalidBlock` unless every key is of the tree's kind: [VER-5] its length, [VER-12] what it is made of."""
    if key_max == KEY_MAX:
        text = b"".join(keys)
        if text.isascii() and 0 not in text and (len(text) <= KEY_MAX or max(map(len, keys)) <= KEY_MAX):
            return  # nearly all nodes: one look finds them as good as the loop below would
    for key in keys:
        try:
            if key_max == VERSION_KEY_MAX:
                split_version_key(key)
            else:
                check_key(key)
        except InvalidInput as error:
            raise InvalidBlock(f"{_named(cid)}: {error}").about(cid=cid) from None


def _root_height(cid: CID, keys: list[bytes], links: list[CID | None]) -> int:
    if not keys:
        # [VER-11] the root has a key, or is the empty tree
        if links[0] is not None:
            raise Untrue(f"{_named(cid)} is a root with a subtree and no key: the subtree has to be the root").about(cid=cid)
        return 0
    height = key_height(keys[0])
    if height > TREE_HEIGHT_MAX:
        raise InvalidBlock(f"{_named(cid)} has height {height}, more than {TREE_HEIGHT_MAX}").about(cid=cid)  # [VER-5]
    return height


def key_height(key: bytes) -> int:
    """Return the height at which *key* stands in every tree: half the leading zero bits of its sha256."""
    return (256 - int.from_bytes(sha256(key).digest(), "big").bit_length()) // 2


def _named(cid: CID) -> str:
    return f"tree node {to_text(cid)}"


def _shown(key: bytes) -> str:
    return f"key {key if len(key) <= 60 else key[:60] + b'...'!r}"
