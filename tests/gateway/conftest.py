"""A real gateway in processes of its own over a fresh store, and boto3, unmodified, before it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import boto3
import pytest
from botocore.config import Config

STOP_SECONDS: Final = 60.0


@dataclass
class Gateway:
    """A gateway that runs, and what it told when it began."""

    endpoint: str
    watch: str
    access_key: str
    secret_key: str
    process: subprocess.Popen[str]
    log: Path
    store: dict[str, str]

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def client(self, key: str | None = None, secret: str | None = None, region: str = "us-east-1", **config: Any) -> Any:
        """An unmodified boto3 client. Nothing is tried twice: the first answer is the one that is looked at."""
        settings = {"retries": {"max_attempts": 1, "mode": "standard"}, "s3": {"addressing_style": "path"}, **config}
        return boto3.session.Session(
            aws_access_key_id=key or self.access_key, aws_secret_access_key=secret or self.secret_key, region_name=region
        ).client("s3", endpoint_url=self.endpoint, config=Config(**settings))

    def entries(self) -> list[dict[str, Any]]:
        """The lines of its access log."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@pytest.fixture(scope="module")
def serve(
    databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways, each over a store of its own unless one is named; they end with the module."""
    with starting(databases, template, tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="package")
def serve_all(
    databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Gateway]]:
    """The same for several modules: they end with the package."""
    with starting(databases, template, tmp_path_factory) as start:
        yield start


@contextmanager
def starting(
    databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Gateway]]:
    """Gives what starts gateways, and ends those that it started."""
    running: list[subprocess.Popen[str]] = []
    logs: list[IO[str]] = []

    def start(
        *options: str, store: dict[str, str] | None = None, program: Sequence[str] = ("-m", "mstbucket"), **environment: str
    ) -> Gateway:
        place = tmp_path_factory.mktemp("gateway")
        if store is None:
            store = {
                "MSTBUCKET_DATABASE": databases.url(databases.create(template)),
                "MSTBUCKET_BLOBS": str(place / "blobs"),
            }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSTBUCKET_", "AWS_"))}
        log = place / "log"
        logs.append(log.open("w"))
        process = subprocess.Popen(
            [sys.executable, *program, "--json", "serve", "--listen", "127.0.0.1:0", *options],
            env={**clean, **store, **environment}, stdout=subprocess.PIPE, stderr=logs[-1], text=True,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        told = json.loads(line)
        secret = told["secret_key"] or environment.get("MSTBUCKET_ROOT_SECRET_KEY", "")
        return Gateway(told["endpoint"], told["watch"], told["access_key"] or "", secret, process, log, store)

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in running:
        assert process.wait(STOP_SECONDS) == 0
        assert process.stdout is not None
        process.stdout.close()
    for file in logs:
        file.close()


@pytest.fixture(scope="module")
def gateway(serve: Callable[..., Gateway]) -> Gateway:
    """One gateway for the tests of a module, which keep apart by their buckets."""
    return serve()


@pytest.fixture(scope="module")
def s3(gateway: Gateway) -> Iterator[Any]:
    """boto3's client before it."""
    client = gateway.client()
    yield client
    client.close()


@pytest.fixture
def bucket_name(s3: Any, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = f"b-{abs(hash(request.node.nodeid)):x}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def wire() -> Any:
    """The module of requests by hand."""
    spec = importlib.util.spec_from_file_location("mstbucket_gateway_wire", Path(__file__).with_name("wire.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
