"""[ARG-1] Every parameter of every public verb, given what it cannot be: a declared error, and nothing is stored.

Driven by the signatures: a new verb is tested as soon as it is there, and fails until its parameters have a right value
in RIGHT, beside which one of them at a time is wrong.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

import mstbucket
from mstbucket import DefaultRetention, KeepPolicy, LifecycleRule, Part, PutRequest, Retention
from mstbucket.errors import InvalidInput, MstBucketError, NoSuchVersion

TEXTS: dict[str, Callable[[], Any]] = {"a lone surrogate": lambda: "\ud800", "a text with NUL": lambda: "a\0b"}
OTHERS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "bytes": lambda: b"k",
    "a number": lambda: 5,
    "True": lambda: True,
    "a fraction": lambda: 1.5,
    "a tuple": lambda: (0, 4),
    "a map": lambda: {"a": 1},
    "a map by numbers": lambda: {1: "a"},
    "a list of numbers": lambda: [5],
    "a list of None": lambda: [None],
    "a list of lists": lambda: [["a", "b", "c", "d"]],
    "a list of maps": lambda: [{"Name": "a"}],
    "a generator": lambda: (object() for _ in range(2)),
    "an endless iterator": lambda: repeat(object()),
    "an object": object,
    "a naive datetime": lambda: datetime(2040, 1, 1),
}
#: What of OTHERS is right, by what an annotation says.
ALLOWED = {"None": {"None"}, "int": {"a number"}, "bool": {"True"}, "Body": {"bytes"}}

VERBS = {
    f"{owner.__name__}.{name}": (owner, name)
    for owner in (mstbucket.Store, mstbucket.Bucket, mstbucket.BucketView)
    for name, member in inspect.getmembers(owner, inspect.isfunction)
    if not name.startswith("_")
}


MAPS: dict[str, Callable[[], Any]] = {
    "a map with a lone surrogate": lambda: {"a": "\ud800"},
    "a map with NUL": lambda: {"a\0": "b"},
}


def wrong_for(annotation: str) -> Iterator[tuple[str, Any]]:
    """What cannot be right for a parameter annotated so, each made anew."""
    kinds = set(annotation.split(" | "))
    right = set(chain.from_iterable(allowed for kind, allowed in ALLOWED.items() if kind in kinds))
    texts = TEXTS if kinds & {"str", "Tags", "KeySource"} else {}
    maps = MAPS if kinds & {"Mapping[str, str]", "Tags"} else {}
    for name, make in (OTHERS | texts | maps).items():
        if name not in right:
            yield name, make()


@dataclasses.dataclass
class World:
    """A store in which something of everything is, and right values for all parameters by name."""

    store: mstbucket.Store
    view: mstbucket.BucketView
    right: dict[str, Any]
    blobs: Path

    def owner(self, kind: type) -> Any:
        owners = {mstbucket.Store: self.store, mstbucket.BucketView: self.view}
        return owners.get(kind) or self.store.bucket("things")

    def state(self) -> object:
        """All that is stored: every row of every table, every blob."""
        with self.store._context.db.connection() as connection:
            tables = [
                row[0]
                for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'mstbucket' ORDER BY 1")
            ]
            rows = {
                table: sorted(row[0] for row in connection.execute(f"SELECT t::text FROM mstbucket.{table} AS t"))
                for table in tables
            }
        assert len(rows["objects"]) == 1
        return rows, sorted(str(path) for path in self.blobs.rglob("*"))


@pytest.fixture(scope="module")
def world(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests: none of them may change it."""
    directory = tmp_path_factory.mktemp("arguments")
    url = databases.url(databases.create(template))
    key_file = directory / "key"
    key_file.write_text("0" * 64)
    with mstbucket.open(database=url, blobs=directory / "blobs", background=False) as store:
        bucket = store.create_bucket("things", object_lock=True)
        bucket.put_object("there", b"body")
        upload = bucket.create_multipart_upload("in parts")
        part = bucket.upload_part("in parts", upload.id, 1, b"part")
        bucket.flush()
        bucket.export_car(directory / "things.car")
        right = {
            "cid": bucket.head_commit().cid, "commit": bucket.head_commit().cid, "source_bucket": "things",
            "key": "there", "source_key": "there", "body": b"x", "upload_id": upload.id, "part_number": 1,
            "parts": [(1, part.etag)], "tags": {"a": "b"}, "items": ["nothing"], "requests": [PutRequest("k", b"x")],
            "request": PutRequest("k", b"x"),
            "rules": [LifecycleRule(expiration_days=1)], "retention": None, "on": True, "status": "Enabled",
            "acl": "private", "prefix": "", "snapshot": "x", "policy": None, "limits": mstbucket.BucketLimits(),
            "remote": "origin", "place": str(directory / "elsewhere"), "encryption": str(key_file),
            "old": 1, "new": 1, "setting": "flush_age", "value": 30,
            "base": bucket.head_commit().cid, "target_bucket": "things", "path": directory / "new",
            "filename": directory / "file", "fileobj": io.BytesIO(b"x"),
            "bucket": "things", "name": "fresh-name", "source": directory / "things.car", "target": directory / "out.car",
        }  # fmt: skip
        view = bucket.at(1)
        yield World(store, view, right | {"other": view}, directory / "blobs")


def call(world: World, function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call a verb, and go through what it gives, since an iterator may do its work late."""
    if "upload_id" in inspect.signature(function).parameters:
        given = {"key": "in parts", **given}
    required = {
        name: world.right[name]
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    result = function(**{**required, **given})
    return list(result) if isinstance(result, Iterator) else result


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_argument_is_a_declared_error_and_nothing_is_stored(world: World, verb: str) -> None:
    """[ARG-1] what no annotation allows is InvalidInput; a text that nothing can hold is some declared error."""
    kind, name = VERBS[verb]
    function = getattr(world.owner(kind), name)
    before = world.state()
    for parameter in inspect.signature(function).parameters.values():
        for what, value in wrong_for(str(parameter.annotation)):
            declared = MstBucketError if what in TEXTS else InvalidInput  # such as NoSuchUpload, which is as true
            try:
                result = call(world, function, {parameter.name: value})
            except declared as error:
                said = str(error)
            except Exception as error:
                pytest.fail(f"{verb}({parameter.name}={what}) ended in {type(error).__name__}: {error}")
            else:
                pytest.fail(f"{verb}({parameter.name}={what}) was taken: {result!r}")
            assert len(said.splitlines()) == 1
            assert len(said) < 500, f"{verb}({parameter.name}={what})"
    assert world.state() == before


@pytest.mark.parametrize("parameter", list(inspect.signature(mstbucket.open).parameters.values()), ids=lambda p: p.name)
def test_a_store_is_not_opened_with_a_wrong_argument(
    world: World, database_url: str, tmp_path: Path, parameter: inspect.Parameter
) -> None:
    """[ARG-1]"""
    for what, value in wrong_for(str(parameter.annotation)):
        if value is None or (parameter.name, what) == ("cache_size", "a number"):
            continue
        alone = {parameter.name: value} if parameter.name == "path" else {}
        given = alone or {"database": database_url, "blobs": tmp_path / "blobs", "background": False, parameter.name: value}
        declared = MstBucketError if what in TEXTS else InvalidInput
        with pytest.raises(declared):
            mstbucket.open(**given)
        assert what in TEXTS or not (tmp_path / "blobs").exists()


def test_a_file_is_not_verified_with_a_wrong_argument(world: World) -> None:
    """[ARG-1]"""
    for parameter in inspect.signature(mstbucket.verify_car).parameters.values():
        for _, value in wrong_for(str(parameter.annotation)):
            with pytest.raises(InvalidInput):
                call(world, mstbucket.verify_car, {parameter.name: value})
    for _, value in wrong_for("str"):
        with pytest.raises(InvalidInput):
            list(mstbucket.validate_blobs(value))


def with_requests(bucket: mstbucket.Bucket, request: PutRequest) -> None:
    bucket.put_objects(iter([request]))


def with_one_request(bucket: mstbucket.Bucket, request: PutRequest) -> None:
    bucket.put(request)


def with_rules(bucket: mstbucket.Bucket, rule: LifecycleRule) -> None:
    bucket.put_bucket_lifecycle_configuration([rule])


def with_default(bucket: mstbucket.Bucket, default: DefaultRetention) -> None:
    bucket.put_object_lock_configuration(default)


def with_retention(bucket: mstbucket.Bucket, retention: Retention) -> None:
    bucket.put_object_retention("there", retention)


def with_policy(bucket: mstbucket.Bucket, policy: KeepPolicy) -> None:
    bucket.put_retention(policy)


def with_part(bucket: mstbucket.Bucket, part: Part) -> None:
    upload = bucket.list_multipart_uploads().uploads[0]
    bucket.complete_multipart_upload("in parts", upload.id, [part])


LATER = datetime(2040, 1, 1, tzinfo=UTC)
LOCKED = PutRequest("k", b"x", object_lock_mode="GOVERNANCE", object_lock_retain_until=LATER)
VALUES: dict[str, tuple[Callable[..., None], Any]] = {
    "PutRequest": (with_requests, LOCKED),
    "PutRequest, alone": (with_one_request, LOCKED),
    "LifecycleRule": (with_rules, LifecycleRule(noncurrent_days=1)),
    "DefaultRetention": (with_default, DefaultRetention("GOVERNANCE", days=1)),
    "Retention": (with_retention, Retention("GOVERNANCE", LATER)),
    "KeepPolicy": (with_policy, KeepPolicy(last=1)),
    "Part": (with_part, Part(2, "0" * 32, 4, LATER)),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_wrong_field_of_a_value_that_is_given_is_a_declared_error(world: World, kind: str) -> None:
    """[ARG-1] what a dataclass holds nobody has checked before the verb does."""
    give, right = VALUES[kind]
    before = world.state()
    for field in dataclasses.fields(right):
        if (kind, field.name) in {("Part", "size"), ("Part", "last_modified")}:  # no claims: they are not looked at
            continue
        for what, value in wrong_for(str(field.type).replace("RetentionMode", "str")):
            try:
                give(world.store.bucket("things"), dataclasses.replace(right, **{field.name: value}))
            except InvalidInput:
                continue
            except Exception as error:
                pytest.fail(f"{kind}({field.name}={what}) ended in {type(error).__name__}: {error}")
            pytest.fail(f"{kind}({field.name}={what}) was taken")
    assert world.state() == before


# --- what is nearly right, and has one meaning -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        {"stage": "prod", "a": ""},
        [("stage", "prod"), ("a", "")],
        [["stage", "prod"], ["a", ""]],
        [{"Key": "stage", "Value": "prod"}, {"Value": "", "Key": "a"}],
        {"TagSet": [{"Key": "stage", "Value": "prod"}, {"Key": "a", "Value": ""}]},
        "stage=prod&a=",
        pytest.param(iter([("stage", "prod"), ("a", "")]), id="iterator"),
        {"stage": "prod", "a": ""}.items(),
    ],
    ids=repr,
)
def test_tags_are_understood_in_every_common_shape(bucket: mstbucket.Bucket, tags: Any) -> None:
    """[ARG-3]"""
    tags = tags if not isinstance(tags, Iterator) else list(tags)
    again = (lambda: iter(tags)) if isinstance(tags, list) else (lambda: tags)
    wanted = {"stage": "prod", "a": ""}
    bucket.put_object("k", b"", tags=again())
    assert bucket.get_object_tagging("k") == wanted
    bucket.put_objects([PutRequest("l", b"", tags=again())])
    assert bucket.get_object_tagging("l") == wanted
    bucket.put_object("m", b"")
    bucket.put_object_tagging("m", again())
    assert bucket.get_object_tagging("m") == wanted
    bucket.put_bucket_tagging(again())
    assert bucket.get_bucket_tagging() == wanted
    bucket.copy_object("k", "n", tagging_directive="REPLACE", tags=again())
    assert bucket.get_object_tagging("n") == wanted
    upload = bucket.create_multipart_upload("o", tags=again())
    bucket.complete_multipart_upload("o", upload.id, [bucket.upload_part("o", upload.id, 1, b"")])
    assert bucket.get_object_tagging("o") == wanted


@pytest.mark.parametrize(
    "tags",
    ["stage", "a=1&&b=2", [{"Key": "a"}], [{"Key": "a", "Value": "b", "More": "c"}], ["ab"], [("a", "b", "c")]],
    ids=repr,
)
def test_what_is_no_tag_set_is_refused_with_the_right_form(bucket: mstbucket.Bucket, tags: Any) -> None:
    """[ARG-1] `["ab"]` is not the tag a=b, though Python would unpack it."""
    with pytest.raises(InvalidInput, match=r"\[\{'Key': 'name', 'Value': 'value'\}\]"):
        bucket.put_object("k", b"", tags=tags)
    assert list(bucket.objects()) == []


@pytest.mark.parametrize(
    "items",
    [
        ["a", "b"],
        ("a", "b"),
        {"a": 1, "b": 2}.keys(),
        [("a", None), ["b", None]],
        [{"Key": "a"}, {"Key": "b", "VersionId": None}],
        {"Objects": [{"Key": "a"}, {"Key": "b"}], "Quiet": True},
        pytest.param(iter(["a", "b"]), id="iterator"),
    ],
    ids=repr,
)
def test_items_to_delete_are_understood_in_every_common_shape(bucket: mstbucket.Bucket, items: Any) -> None:
    """[ARG-3]"""
    for key in ("a", "b", "c"):
        bucket.put_object(key, b"")
    items = ["a", "b"] if isinstance(items, Iterator) else items
    report = bucket.delete_objects(items)
    assert [(result.key, result.existed) for result in report.deleted] == [("a", True), ("b", True)]
    assert [summary.key for summary in bucket.objects()] == ["c"]


def test_versions_to_delete_are_understood_as_boto3_names_them(bucket: mstbucket.Bucket) -> None:
    """[ARG-3]"""
    bucket.put_bucket_versioning({"Status": "Enabled"})
    first = bucket.put_object("a", b"1").version_id
    bucket.put_object("a", b"2")
    bucket.delete_objects({"Objects": [{"Key": "a", "VersionId": first}]})
    with pytest.raises(NoSuchVersion):
        bucket.head_object("a", version_id=first)
    assert bucket.get_object("a").read() == b"2"


@pytest.mark.parametrize(
    "items",
    ["abc", b"abc", {"Key": "a"}, {"a": None}, {"Objects": "abc"}, ["a", {"Key": "b", "Kee": "c"}], ["a", 5], ["a", ("b",)]],
    ids=repr,
)
def test_one_text_is_not_taken_for_many_keys(bucket: mstbucket.Bucket, items: Any) -> None:
    """[ARG-1] `delete_objects("abc")` deletes nothing."""
    for key in ("a", "b", "c", "Key"):
        bucket.put_object(key, b"")
    with pytest.raises(InvalidInput):
        bucket.delete_objects(items)
    assert len(list(bucket.objects())) == 4


SHAPES: dict[str, Callable[[Part], Any]] = {
    "pairs": lambda part: [(part.number, part.etag)],
    "lists, the ETag in quotes": lambda part: [[part.number, f'"{part.etag}"']],
    "triples": lambda part: [(part.number, part.etag, part.checksums)],
    "the parts themselves": lambda part: [part],
    "boto3's": lambda part: [{"PartNumber": part.number, "ETag": f'"{part.etag}"'}],
    "boto3's, with a checksum": lambda part: {
        "Parts": [{"PartNumber": part.number, "ETag": part.etag, "ChecksumCRC32C": part.checksums["crc32c"]}]
    },
    "what boto3's list_parts gives": lambda part: {
        "Parts": [{"PartNumber": part.number, "ETag": part.etag, "Size": part.size, "LastModified": part.last_modified}]
    },
    "one after the other": lambda part: iter([part]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_understood_in_every_common_shape(bucket: mstbucket.Bucket, shape: str) -> None:
    """[ARG-3]"""
    upload = bucket.create_multipart_upload("k", checksum_algorithm="crc32c")
    part = bucket.upload_part("k", upload.id, 1, b"bytes")
    result = bucket.complete_multipart_upload("k", upload.id, SHAPES[shape](part))
    assert bucket.get_object("k").read() == b"bytes"
    assert bucket.complete_multipart_upload("k", upload.id, [part]) == result  # the same question in another shape


def test_the_checksum_in_a_part_is_compared_in_every_shape(bucket: mstbucket.Bucket) -> None:
    """[SUM-10]"""
    upload = bucket.create_multipart_upload("k", checksum_algorithm="crc32c")
    part = bucket.upload_part("k", upload.id, 1, b"bytes")
    other = bucket.upload_part("k", upload.id, 2, b"other").checksums["crc32c"]
    said: list[Any] = [
        dataclasses.replace(part, checksums={"crc32c": other}),
        {"PartNumber": 1, "ETag": part.etag, "ChecksumCRC32C": other},
    ]
    for one in said:
        with pytest.raises(mstbucket.errors.InvalidPart):
            bucket.complete_multipart_upload("k", upload.id, [one])


def test_locks_are_understood_as_boto3_writes_them(store: mstbucket.Store) -> None:
    """[ARG-3]"""
    bucket = store.create_bucket("locked", object_lock=True)
    for given in (
        {"Mode": "GOVERNANCE", "Days": 3},
        {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}},
    ):
        bucket.put_object_lock_configuration(given)
        assert bucket.get_object_lock_configuration() == DefaultRetention("GOVERNANCE", days=3)
        bucket.put_object_lock_configuration({"ObjectLockEnabled": "Enabled"})
        assert bucket.get_object_lock_configuration() is None
    bucket.put_object("k", b"")
    bucket.put_object_retention("k", {"Mode": "GOVERNANCE", "RetainUntilDate": LATER})
    assert bucket.get_object_retention("k") == Retention("GOVERNANCE", LATER)
    for status, held in (("ON", True), ("OFF", False)):
        bucket.put_object_legal_hold("k", {"Status": status})
        assert bucket.get_object_legal_hold("k") is held


RULES: list[tuple[dict[str, Any], LifecycleRule]] = [
    (
        {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
        LifecycleRule("a", prefix="logs/", expiration_days=30),
    ),
    (
        {"ID": "b", "Status": "Disabled", "Prefix": "old/", "Expiration": {"Date": LATER}},
        LifecycleRule("b", enabled=False, prefix="old/", expiration_date=LATER),
    ),
    (
        {
            "ID": "c", "Status": "Enabled",
            "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeGreaterThan": 5,
                               "ObjectSizeLessThan": 9}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3},
        },
        LifecycleRule("c", prefix="x", tags={"k": "v"}, object_size_greater_than=5, object_size_less_than=9,
                      noncurrent_days=2, newer_noncurrent_versions=3),
    ),
    (
        {"ID": "d", "Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}},
        LifecycleRule("d", tags={"k": "v"}, expiration_days=1),
    ),
    (
        {"ID": "e", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
         "Expiration": {"ExpiredObjectDeleteMarker": True}, "Transitions": []},
        LifecycleRule("e", expired_object_delete_marker=True, abort_incomplete_multipart_upload_days=7),
    ),
]  # fmt: skip


def test_lifecycle_rules_are_understood_as_boto3_writes_them(bucket: mstbucket.Bucket) -> None:
    """[ARG-3]"""
    wanted = [rule for _, rule in RULES]
    for given in ([given for given, _ in RULES], {"Rules": [given for given, _ in RULES]}, wanted):
        bucket.put_bucket_lifecycle_configuration(given)
        assert bucket.get_bucket_lifecycle_configuration() == wanted
        bucket.delete_bucket_lifecycle()


DAYS = {"Expiration": {"Days": 1}}


@pytest.mark.parametrize(
    "rule",
    [
        {"Status": "On", **DAYS},
        {**DAYS},
        {"Status": "Enabled", "Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}, **DAYS},
        {"Status": "Enabled", "Filter": {"And": {"Prefix": "a"}, "Prefix": "b"}, **DAYS},
        {"Status": "Enabled", "Filter": {"And": 5}, **DAYS},
        {"Status": "Enabled", "Filter": {"And": {"And": {}}}, **DAYS},
        {"Status": "Enabled", "Filter": {"Tag": {"k": "v"}}, **DAYS},
        {"Status": "Enabled", "Filter": {"Prefix": 5}, **DAYS},
        {"Status": "Enabled", "Filter": {"Prefix": None}, **DAYS},
        {"Status": "Enabled", "Filter": "logs/", **DAYS},
        {"Status": "Enabled", "Filter": {"Prefix": ""}, "Prefix": "", **DAYS},
        {"Status": "Enabled", "Expiration": 5},
        {"Status": "Enabled", "Expiration": {"Dayz": 5}},
        {"Status": "Enabled", "Expiration": {"Days": "5"}},
        {"Status": "Enabled", "Expiration": {"Date": "2040-01-01"}},
        {"Status": "Enabled", "Expirations": {"Days": 5}},
    ],
    ids=repr,
)
def test_a_rule_that_is_not_s3s_is_refused(bucket: mstbucket.Bucket, rule: dict[str, Any]) -> None:
    """[ARG-1]"""
    with pytest.raises(InvalidInput):
        bucket.put_bucket_lifecycle_configuration([rule])


def test_a_rule_that_moves_objects_elsewhere_is_unsupported(bucket: mstbucket.Bucket) -> None:
    """[ARG-3] leaving the transition out would be another rule than was asked for."""
    rule = {"Status": "Enabled", "Filter": {}, "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}], **DAYS}
    with pytest.raises(mstbucket.errors.Unsupported, match="storage class"):
        bucket.put_bucket_lifecycle_configuration([rule])


def test_a_secret_in_a_wrong_place_is_not_shown(bucket: mstbucket.Bucket) -> None:
    """[ARG-2] the error names the type of what was given, and never its value."""
    with pytest.raises(InvalidInput) as caught:
        bucket.put_object(b"my password", b"")  # type: ignore[arg-type]
    assert "password" not in str(caught.value)


def test_what_stands_for_a_whole_number_or_a_text_exactly_is_one(bucket: mstbucket.Bucket) -> None:
    """[ARG-4] as NumPy's integers and enumerations of texts do."""
    from enum import StrEnum

    class Key(StrEnum):
        A = "a"

    class Five:
        def __index__(self) -> int:
            return 5

    bucket.put_object(Key.A, b"x", metadata={Key.A: Key.A})
    assert type(bucket.list_objects(max_keys=Five()).contents[0].key) is str  # type: ignore[arg-type]
    assert bucket.head_object("a").metadata == {"a": "a"}
