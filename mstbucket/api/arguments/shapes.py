"""What to delete, the parts of a completion, and locks: from the shapes of this library and of boto3 into one ([ARG-3])."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from mstbucket.api.arguments import plain
from mstbucket.api.arguments.plain import wrong
from mstbucket.core.checksums import SIZES
from mstbucket.errors import InvalidInput, InvalidPart
from mstbucket.limits import DELETE_KEYS_MAX, PARTS_MAX
from mstbucket.model.objects import EMPTY, DeleteItems
from mstbucket.model.past import KeepPolicy
from mstbucket.model.policies import DefaultRetention, Retention
from mstbucket.model.uploads import Part

if TYPE_CHECKING:
    from mstbucket.model.uploads import NamedPart, PartNames

_ITEMS: Final = "keys, (key, version id), or S3's {'Objects': [{'Key': …, 'VersionId': …}]}; one key too is in a list"
_PARTS: Final = "(number, ETag), (number, ETag, checksums), Part, or S3's {'PartNumber': …, 'ETag': …}, in a list"
_CHECKSUMS: Final = {f"Checksum{name.upper()}": name for name in SIZES}  # boto3's names: ChecksumCRC32C
_RETENTION: Final = "Retention(mode, retain_until), S3's {'Mode': …, 'RetainUntilDate': …}, or None"
_DEFAULT: Final = "DefaultRetention(mode, days=…), S3's {'Mode': …, 'Days': …}, or None"


def fields(what: str, given: Mapping[Any, Any], known: Iterable[str], needed: Iterable[str] = ()) -> None:
    """Refuse a map in which a name is unknown, or a needed one is missing."""
    names = tuple(known)
    unknown = [repr(name)[:60] for name in given if name not in names]
    if unknown:
        raise InvalidInput(f"{what} has {', '.join(unknown[:5])}, which is not known here; it may have {', '.join(names)}")
    missing = [name for name in needed if name not in given]
    if missing:
        raise InvalidInput(f"{what} lacks {', '.join(missing)}")


def several(name: str, value: Any, key: str, also: tuple[str, ...], wanted: str, most: int) -> list[Any]:
    """The members of a list, or of S3's map that holds it under `key`; at most `most` and one more are taken."""
    if isinstance(value, Mapping) and key in value:
        fields(name, value, (key, *also))
        value = value[key]
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        raise wrong(name, value, wanted)
    return list(islice(value, most + 1))


# --- deletes -------------------------------------------------------------------------------------------------------------


def delete_items(value: DeleteItems) -> list[tuple[str, str | None]]:
    """What `delete_objects` is to delete, as keys and version ids.

    Raises:
        InvalidInput: it is none of the shapes, or more than 1,000.
    """
    items = several("items", value, "Objects", ("Quiet",), _ITEMS, DELETE_KEYS_MAX)
    if len(items) > DELETE_KEYS_MAX:
        raise InvalidInput(f"delete_objects takes up to {DELETE_KEYS_MAX} items at a time: split them")
    return [_item(item) for item in items]


def _item(item: Any) -> tuple[str, str | None]:
    if isinstance(item, str):
        return plain.text("a key", item), None
    if isinstance(item, Mapping):
        fields("an item", item, ("Key", "VersionId"), ("Key",))
        item = item["Key"], item.get("VersionId")
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise wrong("an item", item, _ITEMS)
    key, version_id = item
    return plain.text("a key", key), None if version_id is None else plain.text("a version id", version_id)


# --- parts ---------------------------------------------------------------------------------------------------------------


def named_parts(value: PartNames) -> list[NamedPart]:
    """The parts that a completion names, as numbers, ETags and checksums. Their order and number are not looked at."""
    return [_part(part) for part in several("parts", value, "Parts", (), _PARTS, PARTS_MAX)]


def _part(part: Any) -> NamedPart:
    if isinstance(part, Part):
        part = part.number, part.etag, part.checksums
    elif isinstance(part, Mapping):
        # The last two are in what list_parts of boto3 gives, and are no claims.
        known = ("PartNumber", "ETag", *_CHECKSUMS, "Size", "LastModified")
        fields("a part", part, known, ("PartNumber", "ETag"))
        said = {_CHECKSUMS[name]: text for name, text in part.items() if name in _CHECKSUMS and text is not None}
        part = part["PartNumber"], part["ETag"], said
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        raise wrong("a part", part, _PARTS)
    number, etag, *rest = part
    if type(number) is int and not 1 <= number <= PARTS_MAX:  # before [ARG-7]: of a part's number S3 says so by this code
        raise InvalidPart(f"parts are numbered 1 to {PARTS_MAX}; one that is named has another number")
    checksums = plain.text_map("checksums", rest[0]) if rest else EMPTY
    return plain.whole("a part's number", number), plain.text("a part's ETag", etag), checksums


# --- versioning and locks ------------------------------------------------------------------------------------------------


def versioning_status(value: str | Mapping[str, object]) -> str:
    """The status that `put_bucket_versioning` sets; S3's configuration is a map with it."""
    return plain.text("status", _status("status", value, "'Enabled' or 'Suspended', or S3's {'Status': …}"))


def legal_hold(value: bool | Mapping[str, object]) -> bool:
    """Whether a version is to be held; S3's `LegalHold` is a map with ON or OFF."""
    wanted = "True, False, or S3's {'Status': 'ON'} or {'Status': 'OFF'}"
    if isinstance(value, Mapping):
        status = _status("on", value, wanted)
        if status not in ("ON", "OFF"):
            raise InvalidInput(f"the status of a legal hold is 'ON' or 'OFF'; on has to be {wanted}")
        return bool(status == "ON")
    if type(value) is not bool:
        raise wrong("on", value, wanted)
    return value


def _status(name: str, value: Any, wanted: str) -> Any:
    if not isinstance(value, Mapping):
        if isinstance(value, str):
            return value
        raise wrong(name, value, wanted)
    fields(name, value, ("Status",), ("Status",))
    return value["Status"]


def retention(value: Retention | Mapping[str, object] | None) -> Retention | None:
    """A retention of this library or of S3. Whether its mode is one, and its time in the future, is not looked at."""
    if isinstance(value, Mapping):
        fields("retention", value, ("Mode", "RetainUntilDate"), ("Mode", "RetainUntilDate"))
        value = Retention(cast("Any", value["Mode"]), cast("Any", value["RetainUntilDate"]))
    if value is None:
        return None
    if not isinstance(value, Retention):
        raise wrong("retention", value, _RETENTION)
    plain.text("a retention's mode", value.mode)
    plain.moment("retain_until", value.retain_until)
    return value


def default_retention(value: DefaultRetention | Mapping[str, object] | None) -> DefaultRetention | None:
    """A bucket's default retention, also from S3's `ObjectLockConfiguration`, in which it stands under a rule."""
    name = "default_retention"
    given: Any = value
    if isinstance(given, Mapping) and "ObjectLockEnabled" in given:
        fields(name, given, ("ObjectLockEnabled", "Rule"))
        if given["ObjectLockEnabled"] != "Enabled":
            raise InvalidInput(f"{name}: ObjectLockEnabled is 'Enabled', and nothing else: it cannot be disabled")
        given = given.get("Rule")
        if given is not None and not isinstance(given, Mapping):
            raise wrong(f"{name}'s Rule", given, "{'DefaultRetention': …}")
        if given is not None:
            fields(f"{name}'s Rule", given, ("DefaultRetention",), ("DefaultRetention",))
            given = given["DefaultRetention"]
    if isinstance(given, Mapping):
        fields(name, given, ("Mode", "Days", "Years"), ("Mode",))
        given = DefaultRetention(cast("Any", given["Mode"]), cast("Any", given.get("Days")), cast("Any", given.get("Years")))
    if given is not None and not isinstance(given, DefaultRetention):
        raise wrong(name, given, _DEFAULT)
    if given is not None:
        plain.text("a default retention's mode", given.mode)
    return given


def keep_policy(value: KeepPolicy | None) -> KeepPolicy | None:
    """A policy of retention, of which every rule has its type. Whether the numbers are right is not looked at."""
    if value is None:
        return None
    if not isinstance(value, KeepPolicy):
        raise wrong("policy", value, "KeepPolicy(last=…, daily=…), or None for the default")
    if value.everything is not None:
        plain.age("everything", value.everything)
    for name in ("last", "hourly", "daily", "weekly", "monthly"):
        if getattr(value, name) is not None:
            plain.whole(name, getattr(value, name))
    return value
