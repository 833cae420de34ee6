"""What the fields of a commit may be, each by itself: the bucket's identity, texts, tags, the configuration."""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from collections.abc import Mapping
from typing import Final, NoReturn

from mstbucket.core.cid import CID_SIZE, DAG_CBOR_PREFIX
from mstbucket.core.unixfs_shape import LAYOUT
from mstbucket.errors import InvalidInput
from mstbucket.limits import CHUNK_SIZE, COMMIT_MESSAGE_MAX

CONFIG: Final[dict[str, int | str]] = {"chunk": CHUNK_SIZE, "layout": LAYOUT}
VERSIONING: Final = ("Enabled", "Suspended")


def check_message(message: str) -> None:
    """Raise `InvalidInput` unless *message* can stand in a commit."""
    if not is_text(message) or not message:  # [COM-5] [COM-23]
        wanted = "a text that UTF-8 has, without NUL, and not empty: leave it out where there is nothing to say"
        refuse("message", message, wanted)
    size = len(message.encode())
    if size > COMMIT_MESSAGE_MAX:  # [COM-23]
        raise InvalidInput(f"a commit's message has {size:,} bytes, more than {COMMIT_MESSAGE_MAX:,}: shorten it")


def tags_size(tags: Mapping[str, str]) -> int:
    """Bytes of UTF-8 of all names and values."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in tags.items())


def bucket_id(random: bytes) -> str:
    """Return the identity text of a bucket made of 16 *random* bytes, which have to come from a secure source.

    Raises:
        InvalidInput: not 16 bytes.
    """
    if len(random) != 16:  # [COM-3]
        raise InvalidInput(f"a bucket identity is made of 16 random bytes, not {len(random)}")
    return b32encode(random).decode("ascii").rstrip("=").lower()


def check_bucket_id(text: str) -> str:
    """Return *text* if `bucket_id` can return it, or raise `InvalidInput`."""
    try:
        random = b32decode(text.upper() + "======") if isinstance(text, str) and len(text) == 26 else b""
    except (Base32Error, ValueError):  # ValueError: characters outside ASCII
        random = b""
    if len(random) != 16 or bucket_id(random) != text:  # [COM-3]
        raise InvalidInput(f"bucket identity {shown(text)} is not 26 characters of canonical lower-case base32")
    return text


def check_tags(tags: Mapping[str, str]) -> None:
    if not isinstance(tags, Mapping):
        refuse("tags", tags, "a map of texts")
    for name, item in tags.items():  # [COM-5]
        if not is_text(name) or not name or not is_text(item):
            refuse("tags", name, "a map of texts without NUL, no name empty")


def check_form_of_config(config: Mapping[str, int | str]) -> None:
    if not isinstance(config, Mapping) or config.keys() - {"versioning"} != CONFIG.keys():  # [COM-9]
        refuse("config", config, "a map of chunk and layout, and of versioning where it was set")
    if type(config["chunk"]) is not int or not isinstance(config["layout"], str):
        refuse("config", config, "an integer chunk and a text layout")
    if "versioning" in config and config["versioning"] not in VERSIONING:  # [COM-12]
        refuse("config", config["versioning"], f"one of {', '.join(VERSIONING)} as its versioning")


def config(versioning: str | None) -> dict[str, int | str]:
    """Return the `config` of a bucket whose versioning is "Enabled", "Suspended", or was never set [COM-9], [COM-12]."""
    return dict(CONFIG) if versioning is None else {**CONFIG, "versioning": versioning}


def is_text(text: object) -> bool:
    return isinstance(text, str) and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def is_dag_cbor_cid(cid: object) -> bool:
    return type(cid) is bytes and len(cid) == CID_SIZE and cid.startswith(DAG_CBOR_PREFIX)


def shown(value: object) -> str:
    return repr(value)[:80] if value is None or isinstance(value, (int, str, bytes)) else type(value).__name__


def refuse(name: str, value: object, wanted: str) -> NoReturn:
    raise InvalidInput(f"a commit's {name} is {shown(value)}; it has to be {wanted}")
