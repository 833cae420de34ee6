"""XML of requests: no DTD, no entities, at most XML_MAX bytes, and only the elements that an operation knows ([GW-4])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mstbucket.gateway.refusals import Refused

Node = Any  # of xml.etree: `defusedxml` has no types

_MALFORMED: Final = "The XML you provided was not well-formed or did not validate against our published schema"


def parse(body: bytes, root: str) -> Node:
    """The root of a document.

    Raises:
        Refused: it is no XML, has another root, or has a DTD or entities.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        node = fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise Refused("MalformedXML", _MALFORMED) from None
    if name_of(node) != root:
        raise Refused("MalformedXML", f"{_MALFORMED}: {root} is expected")
    return node


def name_of(node: Node) -> str:
    """The name of an element without its namespace: clients send either."""
    return str(node.tag).rpartition("}")[2]


def children(node: Node, known: Iterable[str]) -> dict[str, list[Node]]:
    """The elements inside, by name.

    Raises:
        Refused: one is unknown: to ignore it would ignore what it asks for.
    """
    found: dict[str, list[Node]] = {}
    names = tuple(known)
    for child in node:
        name = name_of(child)
        if name not in names:
            raise Refused("MalformedXML", f"{_MALFORMED}: {name} in {name_of(node)}")
        found.setdefault(name, []).append(child)
    return found


def texts(node: Node, known: Iterable[str]) -> dict[str, str]:
    """The texts of the elements inside; each name stands once."""
    found = children(node, known)
    if any(len(nodes) > 1 for nodes in found.values()):
        raise Refused("MalformedXML", f"{_MALFORMED}: an element of {name_of(node)} stands twice")
    return {name: nodes[0].text or "" for name, nodes in found.items()}


def only(found: Mapping[str, list[Node]], name: str) -> Node | None:
    """The one element of a name, or None."""
    nodes = found.get(name, [])
    if len(nodes) > 1:
        raise Refused("MalformedXML", f"{_MALFORMED}: {name} stands twice")
    return nodes[0] if nodes else None


def number(text: str) -> int:
    """A whole number, or `MalformedXML`."""
    text = text.strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise Refused("MalformedXML", f"{_MALFORMED}: {text[:40]!r} is no number")
    return int(text)


def truth(text: str) -> bool:
    """`true` or `false`."""
    if text.strip().lower() not in ("true", "false"):
        raise Refused("MalformedXML", f"{_MALFORMED}: {text[:40]!r} is neither true nor false")
    return text.strip().lower() == "true"


def when(text: str) -> datetime:
    """A time in ISO 8601; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused("MalformedXML", f"{_MALFORMED}: {text[:40]!r} is no time") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def tags(node: Node) -> list[tuple[str, str]]:
    """The pairs of a `Tagging` document."""
    sets = children(node, ("TagSet",)).get("TagSet", [])
    if len(sets) != 1:
        raise Refused("MalformedXML", f"{_MALFORMED}: a Tagging has one TagSet")
    return [pair(tag) for tag in children(sets[0], ("Tag",)).get("Tag", [])]


def pair(node: Node) -> tuple[str, str]:
    """One tag."""
    found = texts(node, ("Key", "Value"))
    if set(found) != {"Key", "Value"}:
        raise Refused("MalformedXML", f"{_MALFORMED}: a Tag has a Key and a Value")
    return found["Key"], found["Value"]
