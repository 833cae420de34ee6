"""The arguments of the commands on a store as a whole, its care, its gateway and its keys."""

from __future__ import annotations

from mstbucket.cli.adding import Adder, number_or_default, number_or_none, whole_number


def gateway(add: Adder) -> None:
    command = add("serve", "serve:run", "serve the store as S3 over HTTP, and make it if there is none")
    command.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:9000", help="default 127.0.0.1:9000")
    command.add_argument("--workers", type=whole_number, metavar="N", default=1, help="processes that answer (default 1)")
    command.add_argument("--domain", metavar="D", help="BUCKET.D in the Host header names a bucket, too")
    command.add_argument("--tls-cert", metavar="FILE", help="PEM file of the certificate")
    command.add_argument("--tls-key", metavar="FILE", help="PEM file of its key")
    command.add_argument("--watch", metavar="PORT", default="0", help="of /-/live, /-/ready, /-/metrics on 127.0.0.1")


def keys(add: Adder) -> None:
    keys = add.group("key", "keys that sign commits (new, show, succeed), and access keys of 'serve' (the others)")
    keys("new", "keys:new", "make a key that signs commits, in a new file").add_argument("file", metavar="FILE")
    keys("show", "keys:show", "print the public text of a key").add_argument("file", metavar="FILE")
    command = keys("succeed", "keys:succeed", "say with an old key which key signs for a bucket from now on")
    command.add_argument("key", metavar="OLDKEY", help="file of the old key")
    command.add_argument("successor", metavar="did:key:…", help="public text of the new one")
    command.add_argument("file", metavar="FILE", help="the succession to write")
    command.add_argument("--bucket", metavar="IDENTITY", required=True, help="of the bucket, as 'inspect' shows it")

    command = keys("create", "access_keys:create", "make an access key, and show its secret this once")
    command.add_argument("name", metavar="NAME", help="for people")
    command.add_argument("--days", type=whole_number, metavar="N", help="it expires after so many days")
    keys("ls", "access_keys:show", "list the access keys, without their secrets")
    for name, run, text in (
        ("rotate", "rotate", "give an access key a new secret, and show it this once"),
        ("disable", "disable", "refuse what is signed with an access key, until it is enabled"),
        ("enable", "enable", "accept what is signed with an access key again"),
        ("rm", "remove", "remove an access key"),
    ):
        keys(name, f"access_keys:{run}", text).add_argument("id", metavar="ID")
    command = keys("policy", "access_keys:policy", "limit an access key to what a policy in AWS's form allows")
    command.add_argument("id", metavar="ID")
    command.add_argument("file", metavar="FILE|-|none", help="the policy; 'none' makes an administrator's key of it")
    command = keys("limit", "access_keys:limit", "let a key send so many bytes from now on, and no more")
    command.add_argument("id", metavar="ID")
    command.add_argument("bytes", metavar="BYTES|none", type=number_or_none, help="'none' takes the bound away")


def rest(add: Adder) -> None:
    _check(add)
    _doctor(add)
    _repair(add.group("repair", "mend what a check has found"))

    _store(add.group("store", "work on a store as a whole: backup, copy, settings, compression"))

    command = add(
        "collect", "collecting:collect", "delete what no object, version, upload or kept commit needs, and free its room",
        "What is removed can be brought back until SECONDS are over. spec/store/26-collection.md says what is kept.",
    )  # fmt: skip
    action = command.add_mutually_exclusive_group()
    action.add_argument("-n", "--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    action.add_argument("--undo", action="store_true", help="bring back what was removed and still waits")
    command.add_argument("--force", action="store_true", help="also if more than half would go, or damage is known")
    command.add_argument("--grace", type=whole_number, metavar="SECONDS", help="by default 3600; 0 frees the room at once")

    command = add(
        "rebuild", "rebuild:rebuild", "make a lost database again, from the blobs alone",
        "The database has to be empty. May be ended and repeated at any time. An encrypted store needs its key.",
    )  # fmt: skip
    command.add_argument("--encryption", metavar="FILE|env:NAME", help="the key of an encrypted store")
    command.add_argument("--hash-all", action="store_true", help="read and compare every byte, also of large bodies")
    command.add_argument("--accept-loss", action="store_true", help="go on where something published is missing or damaged")

    command = add(
        "maintain", "maintaining:maintain", "do what the background work does, for a store that no process keeps open",
        "One round: rules delete what is due, changed buckets are flushed, commits that no rule keeps are given up, garbage "
        "is collected bit by bit or when much has died, small packs are compacted. 'serve' does all that by itself.",
    )  # fmt: skip
    command.add_argument("--every", type=whole_number, metavar="SECONDS", help="repeat, so long apart, until a signal")
    command.add_argument("--abort-uploads-after", type=whole_number, metavar="DAYS", help="abort older uploads")
    command.add_argument("--print-unit", action="store_true", help="only print a systemd unit and a cron line for it")

    command = add(
        "psql", "asking:psql", "ask the index in PostgreSQL's own client, read only",
        "Read from the views v_buckets, v_objects, v_versions, v_uploads and v_commits. ARGUMENT is psql's own, behind "
        "'--'. For an index of your own say first: SET default_transaction_read_only = off. Never write to the tables.",
    )  # fmt: skip
    command.add_argument("-c", dest="command", metavar="SQL", action="append", help="run this and end; may repeat")
    command.add_argument("arguments", metavar="ARGUMENT", nargs="*")

    command = add("demo", "demo:run", "show the whole way on real files, in a temporary place")
    command.add_argument("directory", metavar="DIR", nargs="?", help="by default Python's standard library")
    command.add_argument("--keep", metavar="DIR", help="work in this new directory, and leave it")

    command = add("completion", "completion:show", "print the completion script for a shell")
    command.add_argument("shell", choices=["bash", "zsh", "tcsh"])


def _check(add: Adder) -> None:
    command = add(
        "check", "checking:check", "check the whole store, and say everything that is wrong with it",
        "Levels, each including those before it: database, tree, presence, data (reads every byte), proof. The exit code is "
        "0 for a clean store, 5 if something is damaged, 6 if not all could be looked at, 8 for warnings only.",
    )  # fmt: skip
    command.add_argument("--level", metavar="LEVEL", default="presence", help="by default presence")
    command.add_argument("--subset", metavar="N/T", help="at level data, read only the N-th of T equal shares of the packs")
    command.add_argument("--jobs", type=whole_number, metavar="N", default=1, help="use so many processes (default 1)")


def _doctor(add: Adder) -> None:
    add(
        "doctor", "checking:doctor", "look at what the store stands on: the server, the disk, the service, the clocks",
        "The exit code is 0 if all is as it should be, 8 for warnings, 1 if something is bad.",
    )  # fmt: skip


def _repair(add: Adder) -> None:
    command = add(
        "blocks", "repairing:blocks", "bring blocks that cannot be read from somewhere else",
        "FROM is the directory of another store, a CAR file, or a directory: its files named .car are read as CARs, and all "
        "others as bodies or blocks. Run 'check --level data' first.",
    )  # fmt: skip
    command.add_argument("source", metavar="FROM")
    for name, run, text in (
        ("index", "repairing:index", "make the rows of a bucket again from the tree of its newest commit"),
        ("tree", "repairing:tree", "make the tree of a bucket again from its rows, in a new commit"),
        ("lost", "repairing:lost", "give up objects and old commits that cannot be read any more"),
    ):
        rule = "It lists what would be lost. If anything would be, it changes nothing without --accept-loss."
        command = add(name, run, text, rule)
        command.add_argument("bucket", metavar="mst://BUCKET")
        command.add_argument("--accept-loss", action="store_true", help="do it all the same")


def _store(add: Adder) -> None:
    command = add("validate", "store_commands:validate", "try whether an S3-compatible service can hold a store")
    command.add_argument("url", metavar="s3://BUCKET/PREFIX?endpoint=URL&region=NAME")

    command = add(
        "copy", "store_commands:copy", "copy to another place those blobs of a store that are missing there",
        "A place is a directory (of an embedded store: DIR/blobs), file:///DIR or s3://BUCKET/PREFIX. Copy while the store "
        "is in use, then close it, copy again with --delete, and open it with the new place as its blobs.",
    )  # fmt: skip
    command.add_argument("source", metavar="FROM")
    command.add_argument("target", metavar="TO")
    command.add_argument("--delete", action="store_true", help="remove from TO the store's blobs that FROM does not have")

    command = add(
        "reencode", "store_commands:reencode", "rewrite old packs with the current compression and encryption",
        "May be ended and repeated at any time. An encrypted store is opened with MSTBUCKET_KEY or MSTBUCKET_KEY_FILE.",
    )  # fmt: skip
    command.add_argument("--compression", metavar="zstd[:LEVEL]|none", help="of new packs, from now on")
    command.add_argument("--encryption", metavar="FILE|env:NAME|none", help="of new packs, from now on, with this key")

    command = add(
        "set", "store_commands:set_", "show the settings of a store, or set one, for every process that opens it",
        "flush_age: seconds that a change waits for the background's flush (30); flush_keys: so many changed keys do not "
        "wait (10,000); inline_max: bytes of the largest body that waits in the database (65,536).",
    )  # fmt: skip
    command.add_argument("name", metavar="NAME", nargs="?")
    command.add_argument("value", metavar="VALUE|default", nargs="?", type=number_or_default)

    command = add(
        "dump", "store_commands:dump", "write a backup of the store: its database, and its blobs",
        "The store may be in use. Repeated into the same DIR, it copies new blobs only. A backup never gets smaller: begin "
        "a new one now and then. The secrets of access keys are in it; the key of an encrypted store is not.",
    )  # fmt: skip
    command.add_argument("directory", metavar="DIR", help="the backup; made if it is not there")
    command = add(
        "restore", "store_commands:restore", "make a new embedded store from a backup",
        "The new store is the directory of --store, which must be empty or not be there.",
    )  # fmt: skip
    command.add_argument("directory", metavar="DIR", help="what 'store dump' has written")

    add("compact", "store_commands:compact", "compact small packs into few, and remove what crashes have left")
    add("migrate", "store_commands:migrate", "bring the schema of the store's database up to what this version needs")
