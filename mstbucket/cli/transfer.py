"""`import` and `verify`: buckets as CAR files."""

from __future__ import annotations

import argparse
import errno
import os
import re
import stat
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, BinaryIO

from mstbucket.cli import progress
from mstbucket.cli.address import SCHEME, STREAM, Address, parse_bucket, parse_place, parse_readable_bucket
from mstbucket.cli.damaged import could_survey, tell_damage
from mstbucket.cli.exits import OK, STORAGE, UNTRUE, about, code_for, describe
from mstbucket.cli.output import Output, complain, count, warn
from mstbucket.cli.stores import open_or_make_store, open_store, opened
from mstbucket.cli.streams import standard_input
from mstbucket.errors import CorruptionError, FormatError, InvalidInput, StorageError
from mstbucket.limits import NODE_ENTRIES_WARN

if TYPE_CHECKING:
    from mstbucket import Trust

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]+")  # what may be meant as the name of a bucket


def import_(arguments: argparse.Namespace, out: Output) -> None:
    """Verify a CAR file and make a bucket of it."""
    name = None if arguments.bucket is None else parse_bucket(arguments.bucket)
    trust = trust_of(arguments)
    with car_source(arguments.file) as source, open_or_make_store(arguments) as store:
        with progress.bar(f"import {arguments.file}", car_size(source), quiet=out.quiet) as tell, about(arguments.file):
            bucket = store.import_car(source, name, expect=arguments.expect, trust=trust, progress=tell)
        commit = bucket.head_commit()
    assert commit is not None  # an import has the commit that it came with
    record = {
        "action": "import", "source": arguments.file, "bucket": bucket.name, "commit": commit.cid, "seq": commit.seq,
        "objects": commit.objects, "bytes": commit.bytes,
    }  # fmt: skip
    out.emit(record, f"import: {arguments.file} to {SCHEME}{bucket.name}: {commit.cid}, "
             f"{count(commit.objects, 'object')}, {count(commit.bytes, 'byte')}")  # fmt: skip


def verify(arguments: argparse.Namespace, out: Output) -> int:
    """Check a CAR file without a store, or a bucket against its commit."""
    target: str | None = arguments.target
    if target is not None and not target.startswith(SCHEME):
        if _BUCKET.fullmatch(target) is not None and not os.path.exists(target):
            text = f"there is no such file; a bucket would be {SCHEME}{target}"
            raise FileNotFoundError(errno.ENOENT, text, target)
        return _verify_file(arguments, target, out)
    if arguments.expect is not None or trust_of(arguments) is not None:
        raise InvalidInput("--expect, --signer and the like are for a file: name one. A bucket of this store changes")
    if target is None:
        return _verify_all(arguments, out)
    _verify_bucket(arguments, parse_readable_bucket(target), out)
    return OK


def _verify_file(arguments: argparse.Namespace, target: str, out: Output) -> int:
    from mstbucket import verify_car
    from mstbucket.core.cid import to_text
    from mstbucket.core.did import key_text

    trust = trust_of(arguments)
    with ExitStack() as stack:
        source = stack.enter_context(car_source(target))
        tell = stack.enter_context(progress.bar(f"verify {target}", car_size(source), quiet=out.quiet))
        try:
            with about(target):  # [CLI-23] the file is named
                report = verify_car(source, expect=arguments.expect, trust=trust, progress=tell)
        except (CorruptionError, FormatError) as error:
            if not could_survey(error, source):
                raise
            return tell_damage(target, source, error, out)
    if report.widest > NODE_ENTRIES_WARN:
        warn(f"{target}: a tree node has {report.widest} entries; somebody chose the keys to make it so")
    root = to_text(report.root)
    record = {
        "ok": True, "target": target, "commit": root, "bucket": report.commit.name, "identity": report.commit.bucket,
        "seq": report.commit.seq, "blocks": report.blocks, "nodes": report.nodes, "objects": report.objects,
        "bytes": report.bytes, "signer": None if report.signer is None else key_text(report.signer),
        "signature": "checked" if report.signer is not None else report.commit.signature,
    }  # fmt: skip
    signed = "" if report.commit.sig is None else ", with a signature that was not checked (--signer)"  # [COM-11]
    if report.signer is not None:
        signed = f", signed by {key_text(report.signer)}"
    out.emit(record, f"verify: {target} is whole and true: {root}, bucket {report.commit.name!r}, "
             f"{count(report.objects, 'object')}, {count(report.bytes, 'byte')}, "
             f"{count(report.blocks, 'block')}{signed}")  # fmt: skip
    return OK


def trust_of(arguments: argparse.Namespace) -> Trust | None:
    """What the options demand of the maker of a file; None if they demand nothing."""
    from mstbucket import Trust

    told = arguments.signer, arguments.pins, arguments.signature
    if told == (None, None, None):
        if arguments.succession or arguments.new_bucket:
            raise InvalidInput("--succession and --new-bucket need --signer or --pins")
        return None
    return Trust(*told, successions=arguments.succession, new_bucket=arguments.new_bucket)


def _verify_all(arguments: argparse.Namespace, out: Output) -> int:
    """[CLI-114] Every bucket that has a commit. One that is damaged does not keep the others from being looked at."""
    with open_store(arguments) as store:
        infos = store.list_buckets()
    codes = []
    for info in infos:
        if info.commit is None:
            warn(f"{SCHEME}{info.name} was never flushed, so there is no commit to compare it with")
            continue
        try:
            _verify_bucket(arguments, Address(info.name), out)
        except (CorruptionError, FormatError, StorageError) as error:
            complain(describe(error))
            codes.append(code_for(error))
    if codes:
        complain(f"{len(codes):,} of {count(len(infos), 'bucket')} could not be verified; the reasons are above")
    return max(codes, key=(STORAGE, UNTRUE).index, default=OK)  # damage counts before what could not be looked at


def _verify_bucket(arguments: argparse.Namespace, target: Address, out: Output) -> None:
    name = target.root
    with (
        open_store(arguments) as store,
        opened(store, target) as bucket,
        progress.bar(f"verify {name}", quiet=out.quiet) as tell,
        about(name),
    ):
        report = bucket.verify(progress=tell)
    record = {
        "ok": True, "target": name, "commit": report.commit, "bucket": target.bucket, "blocks": report.blocks,
        "objects": report.objects, "bytes": report.bytes, "dirty": report.dirty,
    }  # fmt: skip
    ahead = f"; {count(report.dirty, 'key')} changed since and not compared" if report.dirty else ""
    out.emit(record, f"verify: {name} is whole and true: {report.commit}, {count(report.objects, 'object')}, "
             f"{count(report.bytes, 'byte')}, {count(report.blocks, 'block')}{ahead}")  # fmt: skip


def check_new_file(target: str, force: bool | None, out: Output) -> None:
    """Refuse a place to which nothing can be written, before any work is done; *force* is None for a command without it."""
    _check_file(target)
    if target.endswith("/"):
        raise InvalidInput(f"{target!r} is a folder: name the file to make in it")
    if target == STREAM and out.as_json:
        raise InvalidInput("standard output is for the CAR here: --json needs a file")
    if target == STREAM:
        refuse_terminal(sys.stdout.buffer, "standard output")
    elif os.path.lexists(target) and not force:  # [CLI-22] never replaced unasked
        advice = "name a new one" if force is None else "--force replaces it"
        raise FileExistsError(errno.EEXIST, f"the file is there already; {advice}", target)


def _check_file(path: str) -> None:
    if isinstance(parse_place(path), Address):  # which refuses what is empty, or an address of another kind
        raise InvalidInput(f"{path!r} is an address, where the name of a file is wanted")


def refuse_terminal(file: BinaryIO, name: str) -> None:
    if file.isatty():  # [CLI-40] such bytes would drive it
        raise InvalidInput(f"{name} is a terminal, and a CAR is no text: name a file, or say what is to read it")


def car_source(path: str) -> AbstractContextManager[BinaryIO]:
    """A CAR to read; standard input stays open."""
    _check_file(path)
    if path != STREAM:
        return open(path, "rb")
    source = standard_input()
    if source.isatty():  # [CLI-40] nobody types a CAR: the command would wait without a word
        raise InvalidInput("standard input is a terminal, and a CAR cannot be typed: name a file, or say what writes it")
    return nullcontext(source)


def car_size(source: BinaryIO) -> int | None:
    """The size of a file, None for a pipe."""
    state = os.fstat(source.fileno())
    return state.st_size if stat.S_ISREG(state.st_mode) else None
