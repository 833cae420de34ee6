"""The embedded server's settings, each with its reason. Given on its command line, so they hold for old data too."""

from __future__ import annotations

import sys
from typing import Final

RETURN_SECONDS: Final = 10.0  # for a server that was there before and is coming back (crash recovery, restart)
CLOSED: Final = "the store is closed: open it again"  # what is said whoever notices it first
SUPERUSER: Final = "mstbucket"
DATABASE: Final = "postgres"  # what initdb makes; our tables live in a schema of their own inside it

#: What every transaction runs with, whatever the server, the role and the database have set ([PG-8], [PG-11]).
SESSION: Final = {
    "search_path": "mstbucket, pg_temp",  # not named, pg_temp is first: tables that others left there would take our rows
    "synchronous_commit": "on",  # what is acknowledged is durable
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",  # the driver reads no other
    "standard_conforming_strings": "on",  # a backslash in a literal of ours is one
    "jit": "off",
}
_TRANSACTION_TIMEOUT: Final = {"transaction_timeout": "0"}  # what servers before this version do not know
_TRANSACTION_TIMEOUT_SINCE: Final = 170_000


def session(version: int) -> dict[str, str]:
    """`SESSION`, and what a server of this version has besides."""
    return SESSION | (_TRANSACTION_TIMEOUT if version >= _TRANSACTION_TIMEOUT_SINCE else {})


_SERVER: Final = {
    # [PG-2] Who may come in: this user, through a directory of mode 0700. No TCP port.
    "listen_addresses": "",
    "port": "5432",  # only a part of the socket's name
    "unix_socket_permissions": "0700",
    "max_connections": "100",  # several processes, each with a pool
    "superuser_reserved_connections": "0",  # everybody here is the superuser
    # [PG-8] durability: what was acknowledged survives a power cut. Defaults, stated so that nothing can turn them off.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # A lost COMMIT reply can then be told apart even across a crash that reuses transaction numbers ([PG-13]).
    "track_commit_timestamp": "on",
    # Memory: modest, since the server shares a machine with its client; the page cache does the rest.
    "shared_buffers": "256MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    # Files inside the data directory instead of /dev/shm: nothing is left there after SIGKILL, and containers give
    # /dev/shm only 64 MB.
    "dynamic_shared_memory_type": "mmap",
    # No replicas: less is logged, and three processes fewer to start.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "2GB",  # bounds the disk taken, and the recovery after a kill (some ten seconds); less of it
    # would checkpoint in the middle of a flush, and every page touched after a checkpoint is logged whole
    "min_wal_size": "80MB",
    # Short statements on few cores: neither compiling them nor spreading them over processes pays.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # The log holds starts, stops and crashes. Failed statements go to the client, which knows what it asked; they
    # would fill the disk, and could hold what the user stores.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def server(major: int) -> dict[str, str]:
    """Settings for a server of that major version."""
    chosen = dict(_SERVER)
    if major >= 18:
        # Without the three I/O workers: they pay for large scans of cold tables, which nothing here does.
        chosen["io_method"] = "sync"
    if sys.platform == "linux":
        # A client killed while it waits for a lock gives way to others after this long, not when it gets the lock.
        chosen["client_connection_check_interval"] = "2s"
    return chosen


def initdb(major: int) -> list[str]:
    """Arguments of initdb for that major version."""
    arguments = [
        f"--username={SUPERUSER}",
        "--auth=trust",  # the socket's directory is the lock
        "--encoding=UTF8",
        "--locale=C",  # byte order, the same on every machine
        "--data-checksums",
        "--no-instructions",
    ]
    if major >= 16:
        # Otherwise an initdb that is killed leaves segments in /dev/shm.
        arguments.append(f"--set=dynamic_shared_memory_type={_SERVER['dynamic_shared_memory_type']}")
    if major >= 17:
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if sys.platform == "linux":
            arguments.append("--sync-method=syncfs")  # 10 ms instead of 100: one call, not one for each of 970 files
    return arguments
