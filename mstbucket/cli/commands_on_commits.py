"""The arguments of the commands on commits, snapshots, and files that leave and come."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from mstbucket.cli.adding import Adder, whole_number


def commits(add: Adder) -> None:
    command = add("flush", "commits:flush", "make a commit of all changes since the last one")
    command.add_argument("buckets", metavar="mst://BUCKET", nargs="*", help="by default every bucket")
    _message(command, "what changed and why: part of the commit of one bucket, shown by 'log'")
    text = "make a commit that says it even if nothing changed, or a background flush was first"
    command.add_argument("--allow-empty", action="store_true", help=text)

    command = add("log", "commits:log", "list the commits of a bucket, newest first")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("-n", type=whole_number, metavar="N", help="at most so many")
    command.add_argument("--graph", action="store_true", help="draw what was forked off, and what was merged into it")

    command = add(
        "diff", "differences:diff", "list what differs between two commits, of a bucket or of two",
        "Without @COMMIT it is the newest one. A COMMIT is a CID, a number, a time (2030-01-01T00:00:00Z), or a snapshot.",
    )  # fmt: skip
    command.add_argument("old", metavar="mst://BUCKET@COMMIT")
    command.add_argument("new", metavar="mst://BUCKET@COMMIT")
    command.add_argument("--prefix", metavar="PREFIX", default="", help="only keys that start with it")

    _snapshots(add.group("snapshot", "name commits, so that they are kept, and set which others are kept"))

    command = add("fork", "forks:fork", "make a bucket from any commit of another one; no body is copied")
    command.add_argument("source", metavar="mst://BUCKET[@COMMIT]", help="without a commit it is flushed first")
    command.add_argument("bucket", metavar="mst://BUCKET", help="the new one")

    command = add(
        "restore", "forks:restore", "set a key, a folder or a bucket back to an earlier commit, in one new commit",
        "A key that ends with a slash is a folder. Where the bucket keeps versions, the restored objects are new versions.",
    )  # fmt: skip
    command.add_argument("target", metavar="mst://BUCKET@COMMIT/KEY", help="without a key the whole bucket")
    command.add_argument("-r", "--recursive", action="store_true", help="everything below the key as a folder")
    command.add_argument("-n", "--dry-run", action="store_true", help="print what would change, and change nothing")
    _message(command, "of the new commit")

    command = add("merge", "forks:merge", "bring the changes of one bucket into another: of a fork into its origin, or back")
    command.add_argument("source", metavar="mst://SOURCE", help="where the changes come from")
    command.add_argument("target", metavar="mst://TARGET", help="the bucket that is changed, by one new commit")
    group = command.add_mutually_exclusive_group()
    group.add_argument("--ours", dest="prefer", action="store_const", const="ours", help="if both changed a key: TARGET's")
    group.add_argument("--theirs", dest="prefer", action="store_const", const="theirs", help="if so, SOURCE's")
    group.add_argument("--fail", dest="prefer", action="store_const", const=None, help="if so, change nothing; the default")
    command.add_argument("-n", "--dry-run", action="store_true", help="print what would change, and change nothing")
    _message(command, "of the new commit")

    _remotes(add)

    command = add(
        "export", "exporting:export", "flush a bucket and write it as one CAR file",
        "The same commit gives the same bytes. A delta is for one who has that commit: 'import' it, or 'car join' both. "
        "With --files it is a folder for tools of IPFS. It has no metadata, versions or delete markers.",
    )  # fmt: skip
    command.add_argument("bucket", metavar="mst://BUCKET[@COMMIT]")
    command.add_argument("file", metavar="FILE", help="the file to make; '-' is standard output; or s3://BUCKET/KEY")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")
    command.add_argument("--no-flush", action="store_true", help="export the newest commit as it is")
    command.add_argument("--resume", action="store_true", help="write the file in place, and continue it if it was begun")
    command.add_argument("--since", metavar="COMMIT", help="only what is new since that commit: a delta")
    text = "only what is under this prefix, with a proof that it is complete, for 'check-proof'; with --files, none"
    command.add_argument("--prefix", metavar="PREFIX", help=text)
    command.add_argument("--files", action="store_true", help="a folder of files, as IPFS has it; 'import' does not take it")
    text = "2: with an index for tools of IPFS; 'import' takes version 1"
    command.add_argument("--car-version", type=int, choices=[1, 2], default=1, help=text)

    cars = add.group("car", "CAR files, without a store")
    command = cars("join", "exporting:join", "make the export of a later commit from an earlier export and a delta")
    command.add_argument("base", metavar="BASE", help="the earlier export")
    command.add_argument("delta", metavar="DELTA", help="of 'export --since'")
    command.add_argument("file", metavar="OUT", help="the file to make; '-' is standard output")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")

    text = "verify a CAR file and make a bucket of it; a delta takes its bucket to the later commit"
    command = add("import", "transfer:import_", text)
    command.add_argument("file", metavar="FILE", help="'-' is standard input")
    command.add_argument("bucket", metavar="mst://BUCKET", nargs="?", help="by default the name in the file")
    expect(command)

    command = add("verify", "transfer:verify", "check a CAR file (no store is needed), or a bucket against its commit")
    text = "'-' is standard input; by default every bucket"
    command.add_argument("target", metavar="FILE|mst://BUCKET", nargs="?", help=text)
    expect(command)

    command = add(
        "prove", "proving:prove", "prove what a commit says about a key or a page of a listing, or what changed between two",
        "The proof is about the newest commit, so flush first; with --changes about NEW. Anybody checks FILE with "
        "'check-proof' and the commit's CID alone.",
    )  # fmt: skip
    command.add_argument("target", metavar="mst://BUCKET/KEY|mst://BUCKET")
    command.add_argument("file", metavar="FILE", help="the file to make; '-' is standard output")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")
    command.add_argument("--body", action="store_true", help="of a key: prove the object's bytes too")
    command.add_argument("--range", metavar="bytes=A-B", help="of a key: prove these of its bytes")
    command.add_argument("--prefix", metavar="PREFIX", help="prove that these keys, and no others, begin with it")
    command.add_argument("--delimiter", metavar="TEXT", help="with --prefix: keys below a folder count as one, as in 'ls'")
    command.add_argument("--start-after", metavar="KEY", help="with --prefix: only keys after this one")
    command.add_argument("--max-keys", type=whole_number, metavar="N", help="with --prefix: at most so many (1000)")
    text = "prove that these keys, and no others, differ between two commits; each is a number, a CID, a time or a snapshot"
    command.add_argument("--changes", nargs=2, metavar=("OLD", "NEW"), help=text)

    command = add("check-proof", "proving:check", "check a proof against a commit (no store is needed)")
    command.add_argument("file", metavar="FILE", help="'-' is standard input")
    command.add_argument("--commit", metavar="CID", help="the commit, known from somebody you trust; or name a signer")
    command.add_argument("--since", metavar="CID", help="of changes: the earlier commit, which you know")
    trust(command)
    command.add_argument("--output", metavar="FILE", help="write the proved bytes of the body there")
    command.add_argument("--force", action="store_true", help="replace that file if it is there")

    command = add(
        "inspect", "inspecting:run", "look at any CAR file: its roots, its blocks, the shape of its trees",
        "It hashes the blocks, and counts those that do not match. Whether a file is one whole bucket, 'verify' tells.",
    )  # fmt: skip
    command.add_argument("file", metavar="FILE", help="'-' is standard input")

    blocks = add.group("block", "single blocks of the store: their bytes, or what they lead to")
    blocks("get", "looking:get", "write a block to standard output, hashed").add_argument("cid", metavar="CID")
    blocks("ls", "looking:links", "list the links of a block, and where in it they stand").add_argument("cid", metavar="CID")
    command = add("sign", "keys:sign", "sign a commit; the signature is a file of its own")
    command.add_argument("commit", metavar="CID")
    command.add_argument("file", metavar="FILE", help="the signature to write")
    command.add_argument("--key", metavar="KEYFILE", required=True)

    _logs(add.group("commit-log", "prove that a later commit is of the same history, without the commits between"))

    tree = add.group("tree", "the tree of a bucket")
    command = tree("show", "looking:path", "draw the way from the newest commit to a key")
    command.add_argument("target", metavar="mst://BUCKET/KEY")


def _logs(logs: Callable[..., argparse.ArgumentParser]) -> None:
    command = logs("append", "commit_logs:append", "list a bucket's newer commits in its log, and print the head to publish")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("log", metavar="LOG", help="the file; it is made if it is not there")
    logs("head", "commit_logs:head", "print the head of a log").add_argument("log", metavar="LOG")
    command = logs("prove", "commit_logs:prove", "prove that a commit is in a log, and that the log has only grown")
    command.add_argument("log", metavar="LOG")
    command.add_argument("file", metavar="FILE", help="the proof to make")
    command.add_argument("--commit", metavar="CID", help="by default the newest one listed")
    command.add_argument("--since", type=whole_number, metavar="SIZE", default=0, help="the size in the reader's head")
    command.add_argument("--force", action="store_true", help="replace the file if it is there")
    command = logs("check", "commit_logs:check", "check such a proof (no store is needed), and print the head to remember")
    command.add_argument("file", metavar="FILE", help="'-' is standard input")
    command.add_argument("--commit", metavar="CID", required=True, help="the commit, which was found good")
    command.add_argument("--known", metavar="HEAD", help="the head that you remember; without it, none is compared")


def _message(command: argparse.ArgumentParser, text: str) -> None:
    command.add_argument("-m", "--message", metavar="MESSAGE", help=text)


def expect(command: argparse.ArgumentParser) -> None:
    command.add_argument("--expect", metavar="CID", help="the commit that FILE has to hold, as its publisher told you")
    trust(command)


def trust(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("who made it")
    group.add_argument("--signer", metavar="did:key:…", help="the key that has to have signed the commit")
    group.add_argument("--pins", metavar="FILE", help="remember accepted commits there, and refuse older ones")
    group.add_argument("--signature", metavar="FILE", help="a signature that stands apart from the commit")
    group.add_argument(
        "--succession", metavar="FILE", action="append", default=[], help="by it an old key names the next; may repeat"
    )
    group.add_argument("--new-bucket", action="store_true", help="accept a bucket that is not in the file of pins")


def _remotes(add: Adder) -> None:
    names = add.group("remote", "names of other stores, to pull from and push to")
    command = names(
        "add", "remotes:add", "give another store a name; nothing is opened",
        "Passwords are not kept: they come from the environment (PGPASSWORD, a password file, the AWS variables).",
    )  # fmt: skip
    command.add_argument("name", metavar="NAME")
    command.add_argument("place", metavar="PLACE", help="the directory of a store, a postgresql:// URL, or of files: s3://…, files:///…")
    command.add_argument("--files", action="store_true", help="PLACE is a folder of files, and no store")
    command.add_argument("--blobs", metavar="PLACE", help="with a URL: where its packs are")
    names("ls", "remotes:show", "list the names")
    command = names("rm", "remotes:remove", "forget a name; what was fetched stays")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--fetched", action="store_true", help="remove that, too, but for what was written to since")
    command = names(
        "prune", "remotes:prune", "remove what was fetched from there, and is no longer there",
        "What was written to since it was fetched stays, and so does what has snapshots.",
    )  # fmt: skip
    command.add_argument("name", metavar="NAME")
    command.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")

    command = add("fetch", "remotes:fetch", "bring another store's state of a bucket here, as mst://BUCKET.NAME")
    _at_remote(command)
    trust(command)

    command = add(
        "pull", "remotes:pull", "bring a bucket to the state of the same bucket in another store, or make it",
        "Only what differs is copied. The bucket moves in one step, or not at all. What is not flushed there does not come.",
    )  # fmt: skip
    _at_remote(command)
    command.add_argument("--merge", action="store_true", help="where both have gone on: flush, fetch and merge")
    group = command.add_mutually_exclusive_group()
    text = "with --merge, if both changed a key: ours"
    group.add_argument("--ours", dest="prefer", action="store_const", const="ours", help=text)
    group.add_argument("--theirs", dest="prefer", action="store_const", const="theirs", help="if so, theirs")
    group.add_argument("--fail", dest="prefer", action="store_const", const=None, help="if so, change nothing; the default")
    _message(command, "with --merge: of the merge's commit")
    trust(command)

    command = add("push", "remotes:push", "flush a bucket, and bring the same bucket in another store to its state")
    _at_remote(command)
    command.add_argument("--to", metavar="BUCKET", help="its name there, where it is another one")


def _at_remote(command: argparse.ArgumentParser) -> None:
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("name", metavar="NAME", nargs="?", default="origin", help="of 'remote add'; by default 'origin'")


def _snapshots(add: Adder) -> None:
    command = add("create", "snapshots:create", "flush a bucket, and give its newest commit a name")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("name", metavar="NAME")
    command.add_argument("--commit", metavar="COMMIT", help="name this one: a CID, a number, or the name of a snapshot")

    command = add("ls", "snapshots:show", "list the commits that have a name, newest first")
    command.add_argument("bucket", metavar="mst://BUCKET")

    command = add("rm", "snapshots:remove", "remove a name; the commit stays as long as the policy keeps it")
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("name", metavar="NAME")

    command = add(
        "policy", "snapshots:policy", "show or set which commits without a name are kept",
        "A commit stays if one rule keeps it. The given rules replace all earlier ones.",
    )  # fmt: skip
    command.add_argument("bucket", metavar="mst://BUCKET")
    command.add_argument("--keep-last", type=whole_number, metavar="N", help="the newest N commits")
    for period in ("hour", "day", "week", "month"):
        name = {"day": "dai"}.get(period, period) + "ly"
        text = f"the newest commit of each of the last N {period}s that have one"
        command.add_argument(f"--keep-{name}", type=whole_number, metavar="N", help=text)
    command.add_argument("--keep-all", type=whole_number, metavar="SECONDS", help="every commit that is not older")
    command.add_argument("--default", action="store_true", help="everything of 24 hours, then one a day for 30 days")
