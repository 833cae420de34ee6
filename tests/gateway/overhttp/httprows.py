"""Which rows run over HTTP, and which of them boto3 has no words for."""

from __future__ import annotations

from types import ModuleType
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

#: Rows of many requests, which are left out of the default run.
LONG: Final = ("test_10000_keys_under_one_prefix",
               "test_listing_while_keys_come_and_go_neither_repeats_nor_loses_a_key_that_stays",
               "test_many_paged_listings_of_versions_agree_with_the_model")  # fmt: skip


def rows_of(module: ModuleType) -> dict[str, Any]:
    """The tests of a module, and the fixture that makes their bucket ready. What they get as `bucket` is not theirs."""
    return {name: thing for name, thing in vars(module).items() if name.startswith("test_") or name == "enabled"}
