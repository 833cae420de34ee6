"""`store …`: whether a service can hold a store, and work on a store as a whole."""

from __future__ import annotations

import argparse
import shlex
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from mstbucket.blobs.media.places import is_url
from mstbucket.cli.exits import FAILED, OK
from mstbucket.cli.output import Output, complain, count, human_size
from mstbucket.cli.progress import bar
from mstbucket.cli.stores import is_store, open_store, place_of, require
from mstbucket.errors import InvalidInput


def validate(arguments: argparse.Namespace, out: Output) -> int:
    """Try a service for real; print a line per check ([S3B-16])."""
    from mstbucket import validate_blobs

    failed = 0
    with closing(validate_blobs(arguments.url)) as checks:  # an interrupt, too, leaves nothing on the service
        for check in checks:
            failed += not check.passed
            out.emit(asdict(check), f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    if not out.as_json:
        print("a store can be kept there" if not failed else f"no store can be kept there: {count(failed, 'check')} failed")
    return OK if not failed else FAILED


def copy(arguments: argparse.Namespace, out: Output) -> int:
    """Copy what is missing at another place, and say how to switch ([STO-11] to [STO-14])."""
    from mstbucket.blobs.media.copy import copy_blobs, remove_extra
    from mstbucket.blobs.media.places import open_blobs, open_existing_blobs

    if arguments.source == arguments.target:
        raise InvalidInput(f"FROM and TO are both {arguments.source!r}: there is nothing to copy")
    for place in (arguments.source, arguments.target):
        if not place:
            raise InvalidInput("an empty place points at nothing; for the current directory say '.'")
        if not is_url(place) and is_store(Path(place)):
            raise InvalidInput(f"{place} is a whole store; its blobs are in {Path(place) / 'blobs'}")
    source = open_existing_blobs(arguments.source)
    target = open_blobs(arguments.target)
    with bar("copying", quiet=out.quiet) as progress:
        report = copy_blobs(source, target, progress)
        if arguments.delete:
            report.removed = remove_extra(source, target)
    text = f"{count(report.copied, 'blob')} copied ({human_size(report.bytes)}), {report.present:,} were there"
    if arguments.delete:
        text += f", {report.removed:,} removed"
    elif report.extra:
        text += f"; {report.extra:,} there that the source does not have (--delete removes them)"
    out.emit(asdict(report), text)
    if not out.as_json and not out.quiet:
        print("to switch: close the store everywhere, copy once more with --delete, and open it with "
              f"MSTBUCKET_BLOBS={arguments.target} beside MSTBUCKET_STORE or MSTBUCKET_DATABASE")  # fmt: skip
    return OK


def reencode(arguments: argparse.Namespace, out: Output) -> int:
    """Change how packs are compressed and encrypted, and rewrite the old ones so ([STO-1])."""
    encryption = arguments.encryption
    if encryption == "none":
        with open_store(arguments) as store:
            store.stop_encryption()
        encryption = None
    with (
        open_store(arguments, compression=arguments.compression, encryption=encryption) as store,
        bar("writing packs again", quiet=out.quiet) as progress,
    ):
        report = store.reencode(progress=progress)
    sizes = f"{human_size(report.before)} before, {human_size(report.after)} now"
    out.emit(asdict(report), f"{count(report.packs, 'pack')} written again: {sizes}")
    return _left(report.damaged)


def set_(arguments: argparse.Namespace, out: Output) -> None:
    """Show or change the settings of the store ([CLI-71])."""
    name, value = arguments.name, arguments.value
    if name is not None and value is None:
        raise InvalidInput(f"which value? 'store set {name} NUMBER', or 'default'")
    with open_store(arguments) as store:
        if name is not None:
            store.set(name, None if value == "default" else value)
        record = asdict(store.settings())
    out.emit(record, "\n".join(f"{name} {'default' if value is None else value}" for name, value in record.items()))


def compact(arguments: argparse.Namespace, out: Output) -> int:
    """Compact small packs, and remove leftovers ([STO-5])."""
    with open_store(arguments) as store:
        report = store.compact()
    text = f"{count(report.packs, 'small pack')} compacted into {report.made:,}"
    if report.leftovers or report.refs:
        text += f"; removed {report.leftovers:,} left by crashes and {count(report.refs, 'ref')} of old commits"
    out.emit(asdict(report), text)
    return _left(report.damaged)


def dump(arguments: argparse.Namespace, out: Output) -> None:
    """Write a backup of the store ([CLI-153])."""
    from mstbucket.api.dumping import dump_store

    place = place_of(arguments)
    require(place)
    blobs = place.blobs if place.blobs is not None else Path(place.path or "") / "blobs"
    with bar(f"dump to {arguments.directory}", quiet=out.quiet) as shown:
        report = dump_store(place.path, place.database, place.postgres_bin, blobs, _directory(arguments.directory), shown)
    out.emit({"action": "dump", "target": arguments.directory, **asdict(report)},
             f"dump: {place.shown} to {arguments.directory}: database {human_size(report.database)}, "
             f"{count(report.copied, 'blob')} copied ({human_size(report.bytes)}), {report.present:,} "
             "were there")  # fmt: skip


def restore(arguments: argparse.Namespace, out: Output) -> None:
    """Make a new store from a backup ([CLI-154])."""
    from mstbucket.api.dumping import restore_store

    place = place_of(arguments)
    if place.path is None or place.blobs is not None:
        raise InvalidInput("restore makes an embedded store: name its new directory with --store. For a server of your own, "
                           "give database.dump to pg_restore, and the blobs to 'store copy'")  # fmt: skip
    source = _directory(arguments.directory)
    with bar(f"restore {source}", quiet=out.quiet) as shown:
        report = restore_store(source, place.path, place.postgres_bin, shown)
    out.emit({"action": "restore", "source": arguments.directory, "store": str(place.path), **asdict(report)},
             f"restore: {arguments.directory} to {place.path}: store {report.identity}")  # fmt: skip
    if not out.as_json and not out.quiet:
        print(f"now see that nothing is missing: mstbucket --store {shlex.quote(str(place.path))} check --level presence")


def _directory(text: str) -> Path:
    if not text or is_url(text):
        raise InvalidInput(f"a backup is a local directory, not {text!r}")
    return Path(text)


def migrate(arguments: argparse.Namespace, out: Output) -> int:
    """Bring the schema of the database up to date ([PG-30])."""
    from mstbucket.api.upgrade import upgrade_store

    place = place_of(arguments)
    require(place)
    applied = upgrade_store(place.path, place.database, place.postgres_bin)
    out.emit({"applied": applied}, f"{count(applied, 'migration')} applied" if applied else "the schema is up to date")
    return OK


def _left(damaged: dict[str, str]) -> int:
    for name, why in damaged.items():
        complain(f"{name} was left as it is: {why}")
    return FAILED if damaged else OK
