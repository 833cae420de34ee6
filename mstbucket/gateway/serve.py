"""`mstbucket serve`: one process listens and watches over the others; these answer ([GW-26], [GW-27])."""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import mstbucket
from mstbucket.errors import InvalidInput, StorageError, Unsupported
from mstbucket.limits import KEEP_ALIVE_SECONDS, KIB

ROOT_ID: Final = "MSTBUCKET_ROOT_ACCESS_KEY"
ROOT_SECRET: Final = "MSTBUCKET_ROOT_SECRET_KEY"
GRACE_SECONDS: Final = 30  # for the requests that run when the gateway is asked to end
_BACKLOG: Final = 1024
_M_MMAP_THRESHOLD: Final = -3  # of glibc's malloc.h
_M_ARENA_MAX: Final = -8


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gateway serves, and where. Each process that answers gets a copy.

    Attributes:
        place: the arguments of `mstbucket.open`.
        host, port: to listen on; port 0 takes a free one.
        domain: with one, `BUCKET.DOMAIN` is a bucket too.
        workers: processes that answer.
        tls_cert, tls_key: paths of PEM files; both or neither.
        watch_port: on loopback, for `/-/live`, `/-/ready` and `/-/metrics`; 0 takes a free one.
    """

    place: dict[str, Any]
    host: str = "127.0.0.1"
    port: int = 9000
    domain: str | None = None
    workers: int = 1
    tls_cert: str | None = None
    tls_key: str | None = None
    watch_port: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """What to tell the one who started the gateway.

    Attributes:
        endpoint: its URL.
        watch: URL before `/-/live` and the other pages for monitors.
        key: the administrator's key, if it was made just now.
        root: id of the key that the environment gives.
    """

    endpoint: str
    watch: str
    key: mstbucket.NewAccessKey | None
    root: str | None


def root_key() -> tuple[str, str] | None:
    """The key that the environment gives in place of one in the database.

    Raises:
        InvalidInput: one of the two variables is missing, too short, or not allowed.
    """
    key_id, secret = os.environ.get(ROOT_ID), os.environ.get(ROOT_SECRET)
    if key_id is None and secret is None:
        return None
    if not key_id or not secret:
        raise InvalidInput(f"set both {ROOT_ID} and {ROOT_SECRET}, or neither")
    if len(key_id) < 3 or len(secret) < 8 or "/" in key_id:
        raise InvalidInput(f"{ROOT_ID} has at least 3 characters and no slash, and {ROOT_SECRET} at least 8")
    return key_id, secret


def serve(settings: Settings, started: Callable[[Started], None]) -> None:
    """Serve until a signal asks to end; then finish what runs, for up to GRACE_SECONDS.

    Args:
        started: called once the address is taken and the store is open.

    Raises:
        Unsupported: the libraries are not installed.
        InvalidInput: the settings do not go together.
        StorageError: the address is taken, or the store cannot be opened.
    """
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise Unsupported("serving needs libraries: in your clone, run pip install '.[serve]'") from error
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise InvalidInput("--tls-cert and --tls-key go together")
    root = root_key()
    figures = tempfile.mkdtemp(prefix="mstbucket-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
    try:
        with mstbucket.open(**settings.place) as store, closing(_listen(settings)) as listener:
            from mstbucket.gateway import watch

            watcher = watch.start("127.0.0.1", settings.watch_port, store, figures)
            scheme = "http" if settings.tls_cert is None else "https"
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            key = None if root is not None else store.access_keys.create_first()
            address = f"http://127.0.0.1:{watcher.server_address[1]}"
            started(Started(f"{scheme}://{shown}:{port}", address, key, None if root is None else root[0]))
            _supervise(settings, listener)
            watcher.shutdown()
    finally:
        shutil.rmtree(figures, ignore_errors=True)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None  # negative where the name is unknown
        why = os.strerror(number) if number is not None and number > 0 else str(error)
        raise StorageError(f"cannot listen on {settings.host}:{settings.port}: {why}: choose another --listen") from error
    listener.set_inheritable(True)
    return listener


def _supervise(settings: Settings, listener: socket.socket) -> None:
    """Run the processes that answer, and replace those that die, until a signal comes."""
    from uvicorn import Config
    from uvicorn.supervisors.multiprocess import Multiprocess

    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = Config(
        _Factory(settings),
        factory=True,
        http="mstbucket.gateway.wire.protocol:Protocol",
        ws="none",
        lifespan="on",
        loop="uvloop",
        access_log=False,
        log_config=None,
        log_level="error",  # what a client does wrong is in the access log
        server_header=False,
        date_header=False,  # [GW-14] the answers bring the database's
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        workers=settings.workers,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    Multiprocess(config, [listener]).run()


@dataclass(frozen=True, slots=True)
class _Factory:
    """Makes the application in a process that answers. It is pickled on its way there."""

    settings: Settings

    def __call__(self) -> Any:
        from mstbucket.gateway.app import Gateway
        from mstbucket.gateway.auth.keyring import Keyring
        from mstbucket.gateway.auth.rights import Known
        from mstbucket.gateway.auth.sigv4 import REGION
        from mstbucket.gateway.s3.call import Site
        from mstbucket.gateway.views import Views
        from mstbucket.gateway.work import Worker

        to_close: list[Callable[[], object]] = []

        def open_worker() -> Worker:
            threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
            _return_memory()
            store = mstbucket.open(**{**self.settings.place, "background": False, "create": False})
            to_close.append(store.close)
            gc.collect()
            gc.freeze()  # the objects of now stay for good: the garbage collector need not look at them
            views = Views()
            to_close.append(views.close)
            site = Site(store, REGION, self.settings.domain, store.encrypts, Known(store, views),
                        Keyring(store, root_key()), views)  # fmt: skip
            return Worker(site)

        def close() -> None:
            while to_close:
                to_close.pop()()

        return Gateway(open_worker, close)


def _return_memory() -> None:
    """Let glibc give large blocks back at once. It would keep hundreds of MiB that nobody uses any more, in the heaps of up
    to 256 threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 128 * KIB)
        mallopt(_M_ARENA_MAX, 2)


def _end_with_parent() -> None:
    """Wait until the parent process is dead, however it died; then end as if it had asked for that."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
