"""`prove` and `check-proof`: a key, a page of a listing, or changes, proved to somebody who knows the commit alone."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mstbucket.cli.address import SCHEME, STREAM, Address, parse_readable
from mstbucket.cli.exits import about, one_line
from mstbucket.cli.output import Output, count, iso, local_time
from mstbucket.cli.stores import open_store
from mstbucket.cli.transfer import car_source, check_new_file, trust_of
from mstbucket.errors import InvalidInput
from mstbucket.limits import LIST_KEYS_MAX

if TYPE_CHECKING:
    from mstbucket import Proved, ProvedChange, ProvedChanges

_PAGE = attrgetter("delimiter", "start_after", "max_keys")


def prove(arguments: argparse.Namespace, out: Output) -> None:
    """Write the proof of a key, of a page of a listing, or of what differs between two commits."""
    target = _of_newest(arguments.target)
    if arguments.changes is not None and (target.key or arguments.prefix is not None):
        raise InvalidInput(f"--changes is for a whole bucket: write {SCHEME}{target.bucket}, without --prefix")
    if arguments.changes is None:
        _check_question(arguments, target)
    elif _PAGE(arguments) != (None, None, None) or arguments.body or arguments.range is not None:
        raise InvalidInput("--changes goes with none of the options of a key or a page")
    check_new_file(arguments.file, arguments.force, out)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(arguments))
        bucket = store.bucket(target.bucket)
        file: BinaryIO | str = os.path.realpath(arguments.file)
        if arguments.file == STREAM:
            file = sys.stdout.buffer
        if arguments.changes is not None:
            found = bucket.prove_changes(arguments.changes[0], arguments.changes[1], file)
        elif target.key:
            found = bucket.prove_key(target.key, file, body=arguments.body, range=arguments.range)
        else:
            most = LIST_KEYS_MAX if arguments.max_keys is None else arguments.max_keys
            found = bucket.prove_page(
                file, prefix=arguments.prefix, delimiter=arguments.delimiter, start_after=arguments.start_after,
                max_keys=most,
            )  # fmt: skip
    if arguments.file != STREAM:
        size = os.stat(arguments.file).st_size
        record = {"action": "prove", "file": arguments.file, "bytes": size, **_record(found)}
        out.emit(record, f"prove: {_summary(found)}\n{arguments.file}: {count(size, 'byte')}, for commit\n{found.commit}")


def _of_newest(text: str) -> Address:
    address = parse_readable(text)
    if address.commit is not None:  # [CLI-55]
        raise InvalidInput(
            f"{text!r} names a commit, and a proof is about the newest one: leave out '@{address.commit}'. Of an earlier "
            "commit 'export mst://BUCKET@COMMIT FILE --prefix KEY' proves all that begins so, or that nothing does"
        )
    return address


def _check_question(arguments: argparse.Namespace, target: Address) -> None:
    """Refuse options that ask for neither a key nor a page, or for both."""
    if arguments.prefix is not None and target.key:
        raise InvalidInput(f"--prefix is for a whole bucket: write {SCHEME}{target.bucket}, or leave it out")
    if arguments.prefix is None and not target.key:
        raise InvalidInput(f"name a key, {SCHEME}{target.bucket}/KEY, or a page of a listing, --prefix PREFIX ('' is all)")
    if target.key and _PAGE(arguments) != (None, None, None):
        raise InvalidInput("--delimiter, --start-after and --max-keys are for a page: they need --prefix")
    if not target.key and (arguments.body or arguments.range is not None):
        raise InvalidInput("--body and --range are for a key")


def check(arguments: argparse.Namespace, out: Output) -> None:
    """Check a proof against a commit, and print what it proves; no store is opened."""
    from mstbucket import check_proof

    trust = trust_of(arguments)
    if arguments.commit is None and trust is None:
        raise InvalidInput("a proof is about a commit: name the one you know by --commit CID, or its signer by --signer")
    checked = partial(check_proof, commit=arguments.commit, since=arguments.since, trust=trust)
    with ExitStack() as stack:
        source = stack.enter_context(car_source(arguments.file))
        stack.enter_context(about(arguments.file))
        if arguments.output is None:
            found = checked(source)
        else:
            found = _check_to(arguments.output, arguments.force, partial(checked, source), out)
    out.emit({"ok": True, "file": arguments.file, **_record(found)}, "\n".join(map(one_line, _lines(found))))


def _check_to(target: str, force: bool, checked: Callable[..., Proved], out: Output) -> Proved:
    """Check a proof, and leave the bytes of the body in a new file only if they are proved."""
    from mstbucket.files.whole import replacing

    if target == STREAM:
        raise InvalidInput("proved bytes go to a file: they count only when the whole proof has been checked")
    check_new_file(target, force, out)
    with replacing(Path(os.path.realpath(target))) as file:
        found = checked(output=file)
        if found.body is None:
            raise InvalidInput("the proof holds no bytes of a body: it was made without --body")
        return found


def _record(found: Proved) -> dict[str, object]:
    if found.changes is not None:
        return _change_record(found, found.changes)
    if found.part is not None:
        return {**_commit_record(found), **asdict(found.part)}
    question: dict[str, object] = {"key": found.key, "body": None if found.body is None else list(found.body)}
    if found.key is None:
        question = {
            "prefix": found.prefix, "delimiter": found.delimiter, "start_after": found.start_after,
            "max_keys": found.max_keys, "common_prefixes": list(found.common_prefixes),
            "next_start_after": found.next_start_after,
        }  # fmt: skip
    objects = [
        {
            "key": one.key, "manifest": one.cid, "content": one.content, "size": one.size, "etag": one.etag,
            "last_modified": iso(one.last_modified), "content_type": one.content_type, "metadata": dict(one.metadata),
            "tags": dict(one.tags),
        }
        for one in found.objects
    ]  # fmt: skip
    return {**_commit_record(found), **question, "objects": objects}


def _commit_record(found: Proved) -> dict[str, object]:
    return {"commit": found.commit, "bucket": found.name, "identity": found.bucket, "seq": found.seq}


def _change_record(found: Proved, changes: ProvedChanges) -> dict[str, object]:
    return {
        **_commit_record(found), "since": changes.since,
        "since_seq": changes.since_seq, "is_next": changes.is_next, "objects": [asdict(one) for one in changes.objects],
        "versions": [asdict(one) for one in changes.versions],
    }  # fmt: skip


def _summary(found: Proved) -> str:
    if found.changes is not None:
        objects, versions = (count(len(some), "change") for some in (found.changes.objects, found.changes.versions))
        since = f"since commit {found.changes.since_seq}"
        return f"{objects} of objects and {versions} of noncurrent versions, and no other, {since}"
    if found.part is not None:
        part = found.part
        objects, size = count(part.objects, "object"), count(part.bytes, "byte")
        return (f"the complete state of prefix {part.prefix!r}: {objects}, {size}, and "
                f"{count(part.versions, 'noncurrent version')}")  # fmt: skip
    if found.key is not None:
        there = "is there" if found.objects else "is NOT there"
        body = "" if found.body is None else f", and bytes {found.body[0]} to {found.body[1]} of it"
        return f"{found.key!r} {there}{body}"
    folders = f" and {count(len(found.common_prefixes), 'common prefix', 'common prefixes')}" if found.delimiter else ""
    first = f" after {found.start_after!r}" if found.start_after else ""
    rest = "" if found.next_start_after is None else f", and more after {found.next_start_after!r}"
    return f"{count(len(found.objects), 'object')}{folders}, and no other, with prefix {found.prefix!r}{first}{rest}"


def _lines(found: Proved) -> Iterator[str]:
    yield f"proved: {_summary(found)}"
    yield f"in commit {found.seq} of bucket {found.name!r}"
    yield found.commit
    if found.changes is not None:
        yield from _change_lines(found.changes)
    for prefix in found.common_prefixes:
        yield f"{'PRE':>30} {prefix}"
    for one in found.objects:
        yield f"{local_time(one.last_modified):<19} {one.size:>10} {one.key}"


def _change_lines(changes: ProvedChanges) -> Iterator[str]:
    said = "which it names as the one before it" if changes.is_next else "NOT proved to be one of those before it"
    yield f"since commit {changes.since_seq} of it, {said}"
    yield changes.since
    for one in changes.objects:
        yield f"{_sign(one)} {one.key}"
    for one in changes.versions:
        yield f"{_sign(one)} {one.key} (version {one.sequence})"


def _sign(one: ProvedChange) -> str:
    return "+" if one.old is None else "-" if one.new is None else "~"
