"""Which rows run over HTTP, and which of them boto3 has no words for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any, Final

_NO_XML: Final = "XML 1.0 has no U+FFFF, and the answer to CreateMultipartUpload names the key"
_READS_FIRST: Final = "boto3 reads a body to its end before it sends any of it"

#: Rows that are no requests of S3, and why. Each of them still has to fail for just that reason.
UNSAID: Final[dict[str, str]] = {
    **{
        f"test_a_write_that_fails_leaves_no_key_and_no_version[{row}-{versioning}]": _READS_FIRST
        for row in ("a sender that goes away at once", "a sender that goes away later")
        for versioning in (None, "Enabled", "Suspended")
    },
    **{
        f"test_list_by_the_other_verbs[list_multipart_uploads-{row}]": _NO_XML
        for row in ("keys that differ only past U+FFFF come by their bytes in UTF-8", "a prefix past U+FFFF")
    },
    "test_a_foreign_or_damaged_marker_is_invalid_argument[a key with a lone surrogate]":
        "a lone surrogate has no UTF-8",
    "test_delete_objects[no keys, no answers]": "DeleteObjects names one key at least",
    "test_a_key_that_cannot_be_makes_none_be_deleted":
        "DeleteObjects answers each key by itself, and the library refuses the call",
}  # fmt: skip

_SURROGATE: Final = "a lone surrogate has no UTF-8"
_BREAK: Final = "a header holds no line break"
_NO_CONDITION: Final = "DeleteObject has no If-None-Match"
_NO_ARGUMENT: Final = "boto3 takes no such argument"
_NO_HEADER: Final = "boto3 has no argument for a header x-unknown"
_TAKEN: Final = "DID NOT RAISE"
_ONE_BY_ONE: Final = "DeleteObjects answers each key by itself, and the library refuses the call"
_NONSENSE: Final = ("''", "' '", "','", "'*,*'", "'064f3a1e5baa3a9a72f176b53163f740, *'", "'\"half'", "'half\"'", "'a\"b\"'",
                    "'\"064f3a1e5baa3a9a72f176b53163f740\" \"b32d73e56ec99bc5ec8f83871cde708a\"'", "'a b'",
                    "'a\\\\x00b'")  # fmt: skip

#: Rows that need words which boto3 has not, of the tables beside the verbs' own tests.
UNSAID.update({
    **{
        f"test_deleting_on_a_condition[{row}]": _NO_CONDITION
        for row in ("If-None-Match star", "If-None-Match with the ETag", "If-None-Match with the ETag in quotes",
                    "If-None-Match with the weak form of the ETag", "If-None-Match with another ETag", "both, both met",
                    "both, the second not met")
    },
    **{f"test_what_is_no_etag_is_refused[{text}-if_none_match]": _NO_CONDITION for text in _NONSENSE},
    **{f"test_what_is_no_etag_is_refused['\\\\ud800'-{name}]": _SURROGATE for name in ("if_match", "if_none_match")},
    **{
        f"test_every_kind_of_body_gives_the_same_object[{size}-{kind}]": _READS_FIRST
        for size in (0, 5000, 65537, 2097153) for kind in ("memoryview", "path", "dripping")
    },
    **{
        f"test_what_is_no_body_is_refused[{row}]": _READS_FIRST
        for row in ("str", "text file", "None", "missing path", "directory")
    },
    "test_a_key_that_cannot_be_is_refused_by_every_verb[empty]": _NO_ARGUMENT,
    "test_a_key_that_cannot_be_is_refused_by_every_verb[lone surrogate]": _SURROGATE,
    "test_a_key_that_cannot_be_is_refused_by_every_verb[1025 bytes]": _ONE_BY_ONE,
    "test_a_key_that_cannot_be_is_refused_by_every_verb[1026 bytes in 513 characters]": _ONE_BY_ONE,
    "test_what_cannot_be_said_is_refused_and_stores_nothing[{'metadata': {'a': 'line\\\\nbreak'}}-InvalidInput]": _BREAK,
    "test_what_cannot_be_said_is_refused_and_stores_nothing[{'metadata': {'a': '\\\\ud800'}}-InvalidInput]": _SURROGATE,
    "test_what_cannot_be_said_is_refused_and_stores_nothing[{'headers': {'x-unknown': '1'}}-InvalidInput]": _NO_HEADER,
    "test_what_cannot_be_said_is_refused_and_stores_nothing[{'content_type': '\\\\ud800'}-InvalidInput]": _SURROGATE,
    "test_a_tag_set_that_s3_refuses_is_invalid_tag[an empty key]": _NO_ARGUMENT,
    "test_a_tag_set_that_s3_refuses_is_invalid_tag[a lone surrogate]": _SURROGATE,
    "test_a_tag_set_that_s3_refuses_is_invalid_tag[a value that is no text]": _NO_ARGUMENT,
    "test_metadata_comes_back[2,048 bytes of UTF-8]": _NO_ARGUMENT,
    **{
        f"test_what_s3_refuses_beside_a_body_is_refused_by_put_and_copy[{row}]": _BREAK
        for row in ("CR", "LF in a name", "a header with a line break", "a type with a line break")
    },
    "test_what_s3_refuses_beside_a_body_is_refused_by_put_and_copy[a header in both cases]":
        "boto3 has one argument for a header",
    **{f"test_bucket_names[{name}-False]": _NO_ARGUMENT for name in ("", "gr\\xf6\\xdfe", "a b", "a/b")},
    "test_no_keys_asked_gives_an_empty_page_that_is_not_truncated": _SURROGATE,
    "test_a_beginning_that_could_not_end_is_refused[-InvalidKey]": _NO_ARGUMENT,
    "test_a_beginning_that_could_not_end_is_refused[-InvalidArgument0]": _NO_HEADER,
    "test_a_beginning_that_could_not_end_is_refused[-InvalidArgument1]": _SURROGATE,
    "test_a_wrong_completion_changes_nothing[an ETag that is no text]": _NO_ARGUMENT,
    "test_a_part_number_outside_1_to_10000_is_refused['1']": _NO_ARGUMENT,
    "test_a_part_number_outside_1_to_10000_is_refused[1.0]": _NO_ARGUMENT,
    "test_what_cannot_be_listed_is_refused[a marker that is not Unicode]": _SURROGATE,
})  # fmt: skip

#: Rows to which S3 answers otherwise than the library does, and how that shows. Each of them has to fail just so.
OTHERWISE: Final[dict[str, str]] = {
    # boto3 takes such a time for one in UTC
    "test_a_time_without_a_zone_is_refused": _TAKEN,
    # S3's code for what no key can be
    "test_a_key_that_cannot_be_is_refused_by_every_verb[NUL]": "(InvalidArgument)",
    # RFC 9110, section 14.2: a Range that is none is as if it were not there
    **{f"test_a_range_outside_is_refused[10-{span}-InvalidInput]": _TAKEN
       for span in ("bytes=5-4", "0-4", "bytes=", "bytes=-", "lines=0-1")},
    # beside COPY, S3 does not look at what REPLACE would take
    **{f"test_a_copy_that_s3_refuses[{said} beside COPY]": _TAKEN for said in ("metadata", "type", "tags")},
    # what no XML can hold, or what the schema of a request has not
    "test_a_tag_set_that_s3_refuses_is_invalid_tag[NUL]": "(MalformedXML)",
    "test_a_wrong_completion_changes_nothing[no parts at all]": "MalformedXML",
    "test_a_wrong_completion_changes_nothing[a huge number]": "MalformedXML",
    # what no header can hold: refused before anybody looks what it is
    "test_a_beginning_that_could_not_end_is_refused[-InvalidArgument2]": "BadRequest",
    # botocore signs one of the two and sends both
    "test_what_s3_refuses_beside_a_body_is_refused_by_put_and_copy[a name in both cases]": "SignatureDoesNotMatch",
    **{f"test_a_completion_that_says_something_untrue_changes_nothing[{row}, no algorithm]": "boto3 has no checksum"
       for row in ("a part's", "the whole's")},
    "test_the_marker_of_list_parts[1099511627776-[]]": "not an integer or within integer range",
    "test_without_an_algorithm_the_object_gets_none": "Multiple checksum Types are not allowed",
}

#: Rows of many requests, which are left out of the default run.
LONG: Final = ("test_10000_keys_under_one_prefix",
               "test_listing_while_keys_come_and_go_neither_repeats_nor_loses_a_key_that_stays",
               "test_many_paged_listings_of_versions_agree_with_the_model",
               "test_any_split_gives_what_one_put_gives", "test_marked_listings_agree_with_sorted_python",
               "test_hundreds_of_paged_listings_agree_with_sorted_python")  # fmt: skip


#: Fixtures that reach into the process of the library: where a test asks for one, a gateway cannot be put in its place.
INSIDE_FIXTURES: Final = frozenset({
    "before_next_pack", "clock", "crew", "database_url", "monkeypatch", "open_store", "run_killed", "second_store",
})  # fmt: skip
#: Names that a test about rows, files or commits says.
INSIDE_NAMES: Final = frozenset({"_context", "in_commit", "packs", "everything", "exported", "export_car", "verify_car"})
#: What an answer of S3 does not tell, or what is no request: the rows that ask for it.
NOT_OF_S3: Final[dict[str, str]] = {
    "test_delete_removes_and_a_missing_key_is_no_error": "a delete does not say whether there was something",
    "test_buckets_are_made_found_listed_and_removed": "a listing of buckets does not name commits",
    "test_access_control_lists_are_not_offered": "the gateway has the calls of a bucket whose lists are off",
    "test_a_body_that_was_closed_is_not_at_its_end": "a reader of the library",
    "test_reading_in_steps_and_by_chunks_gives_the_same_bytes": "a reader of the library",
    "test_a_reader_keeps_what_it_opened_when_the_key_is_overwritten": "a reader of the library",
    "test_a_file_that_changes_while_it_is_put_is_not_stored": "a file of this machine",
    "test_a_file_that_is_too_large_is_refused_before_it_is_read": "a file of this machine",
    "test_a_body_that_breaks_leaves_the_key_as_it_was": _READS_FIRST,
    "test_a_part_with_another_algorithm_than_its_upload_is_refused_unread": _READS_FIRST,
    "test_bytes_go_to_the_store_as_they_arrive": _READS_FIRST,
    "test_completing_multiples_of_the_chunk_reads_nothing": "files of the library",
    "test_bulk_put_stores_every_kind_and_the_later_of_two": "S3 puts one object at a time",
    "test_one_condition_that_is_not_met_stores_nothing_of_its_batch": "S3 puts one object at a time",
    "test_a_condition_sees_the_requests_before_it": "S3 puts one object at a time",
}


#: Rows that set a limit in the process of the library: the gateways have the same one.
LIMITED: Final = frozenset({"test_a_write_that_fails_leaves_no_key_and_no_version"})
#: Fixtures that make a bucket or an upload ready by the verbs alone.
FIXTURES: Final = ("enabled", "there", "upload")


def rows_of(module: ModuleType) -> dict[str, Any]:
    """The tests of a module that can be asked of any store, and the fixture that makes their bucket ready.

    What they get as `bucket` is not theirs. Left out is what has no store, or looks inside of the library's.
    """
    return {name: thing for name, thing in vars(module).items() if name in FIXTURES or _is_row(name, thing)}


def _is_row(name: str, thing: Any) -> bool:
    if not name.startswith("test_") or name in NOT_OF_S3:
        return False
    asked = set(inspect.signature(thing).parameters)
    inner = thing.hypothesis.inner_test if hasattr(thing, "hypothesis") else thing
    said = {word for code in _codes(inner.__code__) for word in code.co_names}
    inside = asked & INSIDE_FIXTURES or said & INSIDE_NAMES
    return name in LIMITED or (bool(asked & {"bucket", "store", *FIXTURES}) and not inside)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)
