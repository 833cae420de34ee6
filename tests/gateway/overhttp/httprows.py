"""Which rows run over HTTP, and which of them boto3 has no words for."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

_READS_FIRST: Final = "boto3 reads a body to its end before it sends any of it"

#: Rows that are no requests of S3, and why. Each of them still has to fail for just that reason.
UNSAID: Final[dict[str, str]] = {
    **{
        f"test_a_write_that_fails_leaves_no_key_and_no_version[{row}-{versioning}]": _READS_FIRST
        for row in ("a sender that goes away at once", "a sender that goes away later")
        for versioning in (None, "Enabled", "Suspended")
    },
    "test_delete_objects[no keys, no answers]": "DeleteObjects names one key at least",
    "test_a_key_that_cannot_be_makes_none_be_deleted":
        "DeleteObjects answers each key by itself, and the library refuses the call",
}  # fmt: skip

#: Rows of many requests, which are left out of the default run.
LONG: Final = ("test_listing_while_keys_come_and_go_neither_repeats_nor_loses_a_key_that_stays",
               "test_many_paged_listings_of_versions_agree_with_the_model")  # fmt: skip


def rows_of(module: ModuleType) -> dict[str, Any]:
    """The tests of a module, and the fixture that makes their bucket ready. What they get as `bucket` is not theirs."""
    return {name: thing for name, thing in vars(module).items() if name.startswith("test_") or name == "enabled"}
