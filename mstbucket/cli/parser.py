"""The arguments of every command. Only argparse is imported here ([CLI-27]); each names the function that runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast

from mstbucket.cli.exits import USAGE
from mstbucket.cli.output import PROGRAM, complain

_EXITS: Final = """\
exit codes: 0 done; 1 some of many failed, or a defect; 2 usage; 3 not found; 4 conflict; 5 format or corruption;
6 storage; 7 unsupported; 128+n signal n. Addresses are mst://bucket/key; '-' is standard input or output.
The store is that of --store DIR, else MSTBUCKET_STORE (or MSTBUCKET_DATABASE and MSTBUCKET_BLOBS), else the config
file ~/.config/mstbucket/config.toml, else ~/.local/share/mstbucket. MSTBUCKET_BLOBS is a directory or s3://BUCKET/PREFIX."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line in the form of all others, and whose help gets out or fails."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse's own lets a full disk pass in silence
            (sys.stderr if file is None else file).write(message)

    def error(self, message: str) -> NoReturn:
        """Print the complaint and end with the exit code for usage."""
        complain(f"{message}; see {self.prog} --help")
        sys.exit(USAGE)


def make_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; `run` in the result is `module:function` of the command.

    For one command line, *argv*, only the commands that it may be meant for are made in full: those whose names are in it.
    """
    parser = Parser(
        prog=PROGRAM,
        description="S3-style buckets whose whole state is one content identifier, and which leave as one file.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    _common(parser, None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    add = _Adder(commands, None if argv is None else frozenset(argv))
    _buckets(add)
    _objects(add)
    _commits(add)
    _gateway(add)
    _keys(add)
    _rest(add)
    parser.set_defaults(run=None)
    return parser


def whole_number(text: str) -> int:
    """The number that an option takes; not in Python's words what is none."""
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"a whole number is wanted, not {text[:40]!r}")
    return int(text)


class _Adder:
    def __init__(self, commands: Any, wanted: frozenset[str] | None) -> None:
        self._commands = commands
        self._wanted = wanted

    def group(self, name: str, text: str) -> _Adder:
        """A command whose first argument is a command."""
        commands = self(name, None, text).add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
        return _Adder(commands, self._wanted)

    def __call__(self, name: str, run: str | None, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=epilog, allow_abbrev=False
        )
        if self._wanted is not None and name not in self._wanted:
            return cast("argparse.ArgumentParser", _Unwanted())  # its name and help are there, for the list of commands
        # The options of all commands may stand before or behind the command's name.
        _common(parser, argparse.SUPPRESS)
        parser.set_defaults(run=run)
        return parser


class _Unwanted:
    """Takes the arguments of a command that is not called: those of all thirty take longer to make than to read one line."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_named: self


def _common(parser: argparse.ArgumentParser, unset: Any) -> None:
    group = parser.add_argument_group("for all commands")
    off = False if unset is None else unset
    group.add_argument("--store", metavar="DIR", default=unset, help="directory of the store")
    group.add_argument("--json", action="store_true", default=off, help="results as one JSON object per line")
    group.add_argument("-q", "--quiet", action="store_true", default=off, help="no line per object, no progress")
    group.add_argument("--debug", action="store_true", default=off, help="show where in the program an error arose")


def _buckets(add: _Adder) -> None:
    command = add("mb", "buckets:make", "make a bucket, and the store if there is none")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("--object-lock", action="store_true", help="with versioning and object lock, for good")

    command = add("rb", "buckets:remove", "remove an empty bucket")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("--force", action="store_true", help="remove its objects first, all versions of them")

    command = add("ls", "listing:show", "list buckets, or the objects and folders under a prefix")
    command.add_argument("target", metavar="mst://BUCKET/PREFIX", nargs="?", default="mst://")
    command.add_argument("-r", "--recursive", action="store_true", help="all objects below, with their whole keys")
    command.add_argument("--human-readable", action="store_true", help="sizes as 1.5 MiB")
    command.add_argument("--summarize", action="store_true", help="number and size of the objects at the end")
    command.add_argument("--versions", action="store_true", help="every version and delete marker; * is the latest of a key")

    command = add("versioning", "versions:versioning", "show, enable or suspend a bucket's versioning")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("state", choices=["enable", "suspend"], nargs="?", help="left out, only show it")

    command = add("lock", "locks:run", "show or set object lock of a bucket, or what protects a version")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("--enable", action="store_true", help="of a bucket with versioning: give it object lock, for good")
    command.add_argument("--default", metavar="MODE:PERIOD", help="of a bucket: governance:30d, compliance:7y, or none")
    command.add_argument("--retain", metavar="MODE:TIME", help="of a version: governance:2030-01-01T00:00:00Z, or none")
    command.add_argument("--hold", choices=["on", "off"], help="of a version: put it under a legal hold, or lift that")
    command.add_argument("--bypass-governance", action="store_true", help="with --retain: shorten or end governance")
    _version_id(command, "this version")

    command = add(
        "lifecycle", "lifecycle:run", "show, set, remove or carry out the rules by which a bucket's objects go with time",
        "FILE is a JSON array of rules, each as 'show --json' prints it: expiration_days, noncurrent_days, prefix, tags, …",
    )  # fmt: skip
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("action", choices=["show", "set", "rm", "run"], nargs="?", default="show", help="by default show")
    command.add_argument("file", metavar="FILE", nargs="?", help="with 'set': the rules; '-' is standard input")

    command = add("status", "buckets:status", "say which store is used, and what is in it")


def _objects(add: _Adder) -> None:
    command = add(
        "cp", "copying:copy", "copy files into a bucket, objects out of it, or objects to other keys",
        "A target that ends with a slash, or is a directory, is a folder to copy into. With -r, source and target are "
        "folders. Keys that cannot be file names are escaped on the way out, and restored by copying in.",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE")
    command.add_argument("target", metavar="TARGET")
    command.add_argument("-r", "--recursive", action="store_true", help="everything below a directory or a prefix")
    command.add_argument("--no-follow-symlinks", action="store_true", help="leave out symbolic links when copying in")
    _extras(command, "when copying in", "by default guessed from the key")

    _sync(add)

    command = add("rm", "objects:remove", "remove an object, or all under a prefix")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("-r", "--recursive", action="store_true", help="everything below the prefix as a folder")
    _version_id(command, "remove this version for good")

    command = add("cat", "objects:cat", "write objects to standard output, each verified on the way")
    command.add_argument("targets", metavar="mst://BUCKET/KEY", nargs="+")
    command.add_argument("--range", metavar="bytes=A-B", help="only these bytes; bytes=-N are the last N")
    _version_id(command, "of this version")

    command = add("stat", "objects:stat", "show everything about an object or a bucket")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    _version_id(command, "of this version")

    command = add("tag", "tagging:run", "show the tags of an object or a bucket, after changing them")
    command.add_argument("target", metavar="mst://BUCKET/KEY")
    command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="add or change; may repeat")
    command.add_argument("--remove", metavar="NAME", action="append", default=[], help="remove, if it is there; may repeat")
    command.add_argument("--clear", action="store_true", help="remove all that --set does not name")

    command = add("uploads", "uploads:run", "list the open multipart uploads, or abort them")
    command.add_argument("target", metavar="mst://BUCKET/PREFIX")
    group = command.add_mutually_exclusive_group()
    group.add_argument("--abort", metavar="ID", help="abort this upload, to mst://BUCKET/KEY")
    group.add_argument("--abort-all", action="store_true", help="abort every upload to a key with the prefix")


def _extras(command: argparse.ArgumentParser, when: str, without: str) -> None:
    group = command.add_argument_group(when)
    group.add_argument("--content-type", metavar="TYPE", help=f"of the objects; {without}")
    for name, what in (("metadata", "user metadata"), ("header", "kept header, such as cache-control"), ("tag", "tag")):
        group.add_argument(f"--{name}", metavar="NAME=VALUE", action="append", default=[], help=f"{what}; may repeat")


def _version_id(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("--version-id", metavar="ID", help=f"{text}; 'null' is the one without an id")


def _sync(add: _Adder) -> None:
    command = add(
        "sync", "sync:sync", "make a directory or a prefix like another: only what differs is copied",
        "One side is mst://BUCKET/PREFIX, the other a directory or mst://. What has the same size is taken for equal where "
        "the times say so, and is compared byte by byte where they do not; spec/store/21-sync.md has the rules.",
    )  # fmt: skip
    command.add_argument("source", metavar="SOURCE")
    command.add_argument("target", metavar="TARGET")
    command.add_argument("--delete", action="store_true", help="remove from the target what the source lacks")
    command.add_argument("-n", "--dry-run", action="store_true", help="print what would be done, and do nothing")
    command.add_argument("--size-only", action="store_true", help="what has the same size is equal")
    command.add_argument("--checksum", action="store_true", help="compare the bytes, whatever the times say")
    for name, include, what in (("exclude", False, "leave out keys that match"), ("include", True, "but not these")):
        command.add_argument(
            f"--{name}", metavar="GLOB", dest="filters", action=_Rule, const=include, default=[],
            help=f"{what}; may repeat, the last one that matches counts",
        )  # fmt: skip
    command.add_argument("--no-follow-symlinks", action="store_true", help="leave out symbolic links in a source directory")
    command.add_argument("--workers", type=whole_number, metavar="N", default=8, help="copy so many at a time (default 8)")
    _extras(
        command, "of the objects that files become (what is not given stays as it was on an object that is replaced)",
        "by default guessed from the key of a new one",
    )  # fmt: skip


class _Rule(argparse.Action):
    """Keeps `--exclude` and `--include` in one list, in the order they were given."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: Any = None) -> None:
        namespace.filters = [*namespace.filters, (self.const, values)]


def _commits(add: _Adder) -> None:
    command = add("flush", "commits:flush", "fold all changes into a commit")
    command.add_argument("buckets", metavar="mst://BUCKET", nargs="*", help="by default every bucket")

    command = add("log", "commits:log", "list the commits of a bucket, newest first")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("-n", type=whole_number, metavar="N", help="at most so many")

    command = add("export", "transfer:export", "flush a bucket and write it as one CAR file")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("file", metavar="FILE", help="the file to make; '-' is standard output")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")
    command.add_argument("--no-flush", action="store_true", help="export the newest commit as it is")

    command = add("import", "transfer:import_", "verify a CAR file and make a bucket of it, and the store if need be")
    command.add_argument("file", metavar="FILE", help="'-' is standard input")
    command.add_argument("bucket", metavar="mst://BUCKET", nargs="?", help="by default the name in the file")
    _expect(command)

    command = add("verify", "transfer:verify", "check a CAR file (no store is needed), or a bucket against its commit")
    command.add_argument("target", metavar="FILE|mst://BUCKET", help="'-' is standard input")
    _expect(command)

    command = add(
        "prove", "proving:prove", "prove to somebody who knows the commit what it says about a key, or a page of a listing",
        "The newest commit is proved: flush before. Anybody checks FILE with 'check-proof' and the commit's CID alone.",
    )  # fmt: skip
    command.add_argument("target", metavar="mst://BUCKET/KEY|mst://BUCKET")
    command.add_argument("file", metavar="FILE", help="the file to make; '-' is standard output")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")
    command.add_argument("--body", action="store_true", help="of a key: prove the object's bytes too")
    command.add_argument("--range", metavar="bytes=A-B", help="of a key: prove these of its bytes")
    command.add_argument("--prefix", metavar="PREFIX", help="that these keys, and no others, begin with it")
    command.add_argument("--delimiter", metavar="TEXT", help="with --prefix: keys below a folder count as one, as in 'ls'")
    command.add_argument("--start-after", metavar="KEY", help="with --prefix: only keys behind this one")
    command.add_argument("--max-keys", type=whole_number, metavar="N", help="with --prefix: at most so many (1000)")

    command = add("check-proof", "proving:check", "check a proof against a commit (no store is needed)")
    command.add_argument("file", metavar="FILE", help="'-' is standard input")
    command.add_argument("--commit", metavar="CID", help="that you know from somebody you trust; or name a signer")
    _trust(command)
    command.add_argument("--output", metavar="FILE", help="the proved bytes of the body go there")
    command.add_argument("--force", action="store_true", help="replace that file if it is there")

    command = add(
        "inspect", "inspecting:run", "look at any CAR file: its roots, its blocks, the shape of its trees",
        "Blocks are hashed, and what does not match is counted. Whether a file is one whole bucket, 'verify' tells.",
    )  # fmt: skip
    command.add_argument("file", metavar="FILE", help="'-' is standard input")

    blocks = add.group("block", "single blocks of the store: their bytes, or what they lead to")
    blocks("get", "looking:get", "write a block to standard output, hashed").add_argument("cid", metavar="CID")
    blocks("ls", "looking:links", "list the links of a block, and where in it they stand").add_argument("cid", metavar="CID")
    command = add("sign", "keys:sign", "sign a commit with a signature that stands apart from it")
    command.add_argument("commit", metavar="CID")
    command.add_argument("file", metavar="FILE", help="the signature to write")
    command.add_argument("--key", metavar="KEYFILE", required=True)

    tree = add.group("tree", "the tree of a bucket")
    command = tree("show", "looking:path", "draw the way from the newest commit to a key")
    command.add_argument("target", metavar="mst://BUCKET/KEY")


def _expect(command: argparse.ArgumentParser) -> None:
    command.add_argument("--expect", metavar="CID", help="the commit that FILE has to hold, as its publisher told you")
    _trust(command)


def _trust(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("who made it")
    group.add_argument("--signer", metavar="did:key:…", help="the key that has to have signed the commit")
    group.add_argument("--pins", metavar="FILE", help="remember there which commits were accepted, and refuse what is older")
    group.add_argument("--signature", metavar="FILE", help="a signature that stands apart from the commit")
    group.add_argument(
        "--succession", metavar="FILE", action="append", default=[], help="by which an old key names the next; may repeat"
    )
    group.add_argument("--new-bucket", action="store_true", help="accept a bucket that is not in the file of pins")


def _gateway(add: _Adder) -> None:
    command = add("serve", "serve:run", "serve the store as S3 over HTTP, and make it if there is none")
    command.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:9000", help="default 127.0.0.1:9000")
    command.add_argument("--workers", type=whole_number, metavar="N", default=1, help="processes that answer (default 1)")
    command.add_argument("--domain", metavar="D", help="BUCKET.D in the Host header names a bucket, too")
    command.add_argument("--tls-cert", metavar="FILE", help="PEM file of the certificate")
    command.add_argument("--tls-key", metavar="FILE", help="PEM file of its key")
    command.add_argument("--watch", metavar="PORT", default="0", help="of /-/live, /-/ready, /-/metrics on 127.0.0.1")


def _keys(add: _Adder) -> None:
    keys = add.group("key", "keys that sign commits (new, show, succeed), and keys of the gateway's callers (the others)")
    keys("new", "keys:new", "make a key that signs commits, in a new file").add_argument("file", metavar="FILE")
    keys("show", "keys:show", "print the public text of a key").add_argument("file", metavar="FILE")
    command = keys("succeed", "keys:succeed", "say with an old key which key signs for a bucket from now on")
    command.add_argument("key", metavar="OLDKEY", help="file of the old key")
    command.add_argument("successor", metavar="did:key:…", help="public text of the new one")
    command.add_argument("file", metavar="FILE", help="the succession to write")
    command.add_argument("--bucket", metavar="IDENTITY", required=True, help="of the bucket, as 'inspect' shows it")

    command = keys("create", "access_keys:create", "make a key of a caller, and show its secret this once")
    command.add_argument("name", metavar="NAME", help="for people")
    command.add_argument("--days", type=whole_number, metavar="N", help="it expires after so many days")
    keys("ls", "access_keys:show", "list the keys of callers, without their secrets")
    for name, run, text in (
        ("rotate", "rotate", "give a key a new secret, and show it this once"),
        ("disable", "disable", "make a key not count"),
        ("enable", "enable", "make a key count again"),
        ("rm", "remove", "remove a key"),
    ):
        keys(name, f"access_keys:{run}", text).add_argument("id", metavar="ID")


def _rest(add: _Adder) -> None:
    _store(add.group("store", "try a service, copy a store's blobs, write its packs again"))

    command = add("demo", "demo:run", "show the whole way on real files, in a temporary place")
    command.add_argument("directory", metavar="DIR", nargs="?", help="by default Python's standard library")
    command.add_argument("--keep", metavar="DIR", help="work in this new directory, and leave it")

    command = add("completion", "completion:show", "print the completion script for a shell")
    command.add_argument("shell", choices=["bash", "zsh", "tcsh"])


def _store(add: _Adder) -> None:
    command = add("validate", "store_commands:validate", "try whether an S3-compatible service can hold a store")
    command.add_argument("url", metavar="s3://BUCKET/PREFIX?endpoint=URL&region=NAME")

    command = add(
        "copy", "store_commands:copy", "copy the blobs of a store to another place, those that are missing there",
        "A place is a directory (of an embedded store: DIR/blobs), file:///DIR or s3://BUCKET/PREFIX. Copy while the store "
        "is in use, then close it, copy again with --delete, and open it with the new place as its blobs.",
    )  # fmt: skip
    command.add_argument("source", metavar="FROM")
    command.add_argument("target", metavar="TO")
    command.add_argument("--delete", action="store_true", help="remove from TO the store's blobs that FROM does not have")

    command = add(
        "reencode", "store_commands:reencode", "write again the packs that are not compressed or encrypted as new ones are",
        "May be ended and repeated at any time. An encrypted store is opened with MSTBUCKET_KEY or MSTBUCKET_KEY_FILE.",
    )  # fmt: skip
    command.add_argument("--compression", metavar="zstd[:LEVEL]|none", help="of new packs, from now on")
    command.add_argument("--encryption", metavar="FILE|env:NAME|none", help="of new packs, from now on, with this key")

    add("compact", "store_commands:compact", "compact small packs into few, and remove what crashes have left")
    add("migrate", "store_commands:migrate", "bring the schema of the store's database up to what this version needs")
