"""The process: keys, TLS, virtual hosts, several workers, signals, and what watches it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, ResponseStreamingError

import mstbucket
from tests.waiting import until

pytestmark = pytest.mark.early


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """What a browser would get."""
    request = urllib.request.Request(url, body, {k.replace("_", "-"): v for k, v in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def place(databases: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store that the gateways and the command line of a test share."""
    blobs = tmp_path_factory.mktemp("shared") / "blobs"
    return {"MSTBUCKET_DATABASE": databases.url(databases.create(template)), "MSTBUCKET_BLOBS": str(blobs)}


def command(place: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    """Run the command line on the store; its lines of JSON."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MSTBUCKET_")}
    done = subprocess.run(
        [sys.executable, "-m", "mstbucket", "--json", *arguments], env={**clean, **place}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def pair(serve: Any) -> Any:
    """A gateway of two workers."""
    return serve("--workers", "2")


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_are_made_and_changed_while_it_runs(serve: Any, place: dict[str, str]) -> None:
    """[GW-30] [CLI-91] A change counts within seconds."""
    gateway = serve(store=place)
    assert gateway.access_key  # the administrator's, made by the first start
    [made] = command(place, "key", "create", "somebody", "--days", "1")
    assert {one["name"] for one in command(place, "key", "ls")} == {"administrator", "somebody"}
    client = gateway.client(made["id"], made["secret"])
    client.create_bucket(Bucket="by-somebody")

    def code() -> str:
        try:
            client.list_buckets()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "OK"

    with mstbucket.open(
        database=place["MSTBUCKET_DATABASE"], blobs=place["MSTBUCKET_BLOBS"], background=False
    ) as store:  # as the command line does
        store.access_keys.disable(made["id"])
        until(lambda: code() == "InvalidAccessKeyId")
        store.access_keys.enable(made["id"])
        until(lambda: code() == "OK")
        rotated = store.access_keys.rotate(made["id"])
        until(lambda: code() == "SignatureDoesNotMatch")
        gateway.client(made["id"], rotated.secret).list_buckets()
    command(place, "key", "rm", made["id"])
    until(lambda: code() == "InvalidAccessKeyId")
    second = serve(store=place)
    assert second.secret_key == ""  # shown once, by the first
    assert [one["Name"] for one in second.client(gateway.access_key, gateway.secret_key).list_buckets()["Buckets"]] == [
        "by-somebody"
    ]


@pytest.fixture(scope="module")
def rooted(serve: Any) -> Any:
    """A gateway with a key of the environment and a domain."""
    return serve(
        "--domain", "s3.localhost", MSTBUCKET_ROOT_ACCESS_KEY="root-key", MSTBUCKET_ROOT_SECRET_KEY="root-secret"
    )


def test_the_environment_may_give_the_key(rooted: Any) -> None:
    """[GW-20] [GW-32] No other one is made then."""
    gateway = rooted
    assert gateway.access_key == "root-key"
    gateway.client().create_bucket(Bucket="by-root")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        gateway.client(secret="another").list_buckets()
    anybody = boto3.client("s3", endpoint_url=gateway.endpoint, region_name="us-east-1",
                           config=Config(signature_version=UNSIGNED))  # fmt: skip
    for call in (anybody.list_buckets, lambda: anybody.get_object(Bucket="by-root", Key="k")):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()


def test_metadata_that_no_header_can_carry_does_not_hide_the_object(pair: Any) -> None:
    """[GW-19] The library takes more than HTTP does."""
    client = pair.client()
    client.create_bucket(Bucket="odd-metadata")
    with mstbucket.open(
        database=pair.store["MSTBUCKET_DATABASE"], blobs=pair.store["MSTBUCKET_BLOBS"], background=False
    ) as store:
        odd = {"ok": "1", "tab": "a\tb", "delete": "\x7f", "long": "ä" * 600, "a b": "2", "ä": "3", "a:b": "4"}
        store.bucket("odd-metadata").put_object("k", b"x", metadata=odd, headers={"cache-control": "ü\x01"})
    got = client.get_object(Bucket="odd-metadata", Key="k")
    assert got["Body"].read() == b"x"
    assert got["MissingMeta"] == 3
    assert got["Metadata"]["ok"] == "1"
    assert str(make_header(decode_header(got["Metadata"]["long"]))) == "ä" * 600
    assert client.head_object(Bucket="odd-metadata", Key="k")["ContentLength"] == 1
    client.close()


def test_a_client_that_signs_for_another_region_is_told_which(gateway: Any, s3: Any, bucket_name: str) -> None:
    """[GW-13] boto3 then signs again, by itself."""
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"x")
    assert gateway.client(region="eu-central-1").get_object(Bucket=bucket_name, Key="k")["Body"].read() == b"x"


def test_presigned_urls(gateway: Any, s3: Any, bucket_name: str) -> None:
    """[GW-10] [GW-18] And what nobody signed does not go with them."""
    of = {"Bucket": bucket_name, "Key": "a b+c"}
    s3.put_object(Bucket=bucket_name, Key="secret", Body=b"secret")
    presign = gateway.client(signature_version="s3v4").generate_presigned_url  # boto3's default is version 2 for these
    put = presign("put_object", Params=of)
    assert fetch(put, "PUT", b"by url")[0] == 200
    get = presign("get_object", Params={**of, "ResponseContentType": "text/x"})
    assert fetch(get) == (200, b"by url")
    assert fetch(get.replace("text%2Fx", "text%2Fy"))[0] == 403
    status, answer = fetch(put, "PUT", None, x_amz_copy_source=f"/{bucket_name}/secret")
    assert (status, b"HeadersNotSigned" in answer) == (403, True)
    assert s3.get_object(**of)["Body"].read() == b"by url"
    old = s3.generate_presigned_url("get_object", Params=of)
    assert (fetch(old)[0], b"use AWS4-HMAC-SHA256" in fetch(old)[1]) == (400, True)
    assert fetch(f"{gateway.endpoint}/{bucket_name}/secret?response-content-type=text/html")[0] in (400, 403)


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_bucket_may_be_in_the_name_of_the_host(rooted: Any, wire: Any) -> None:
    """[GW-3] The name is in the header; no name has to be looked up for that."""
    rooted.client().create_bucket(Bucket="virtual")
    there = dataclasses.replace(rooted, endpoint=f"http://virtual.s3.localhost:{rooted.port}")
    for method, path, body in (("PUT", "/virtual/k", b"x"), ("GET", "/virtual/k", b"")):
        headers = {**wire.sign(there, method, path, body=body), "content-length": str(len(body))}
        with wire.Wire(rooted.port) as connection:
            connection.send(wire.head(method, path, headers) + body)
            status, _, answer = connection.answer(method)
            assert (status, answer) == (200, b"" if method == "PUT" else b"x")
    assert [one["Key"] for one in rooted.client().list_objects_v2(Bucket="virtual")["Contents"]] == ["virtual/k"]


def certificate(directory: Path) -> tuple[str, str]:
    """A certificate for this machine, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return str(cert_file), str(key_file)


def test_over_tls_boto3_sends_its_checksums_behind_the_body(serve: Any, tmp_path: Path) -> None:
    """[GW-9] Its own trailers, in chunks that are not signed."""
    cert, key = certificate(tmp_path)
    gateway = serve("--tls-cert", cert, "--tls-key", key)
    assert gateway.endpoint.startswith("https://")
    client = boto3.session.Session(gateway.access_key, gateway.secret_key, region_name="us-east-1").client(
        "s3", endpoint_url=gateway.endpoint, verify=cert
    )
    client.create_bucket(Bucket="by-tls")
    for size in (0, 1000, 3_000_000):
        body = os.urandom(size)
        put = client.put_object(Bucket="by-tls", Key="k", Body=body)
        got = client.get_object(Bucket="by-tls", Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    client.close()


# --- processes --------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(pair: Any) -> None:
    """[GW-26] Two workers over one store; what was acknowledged is there."""
    gateway = pair
    client = gateway.client(retries={"max_attempts": 10, "mode": "standard"})
    client.create_bucket(Bucket="killed")
    stop, acknowledged = threading.Event(), []

    def write() -> None:
        mine = gateway.client(retries={"max_attempts": 10, "mode": "standard"})
        while not stop.is_set():
            key = f"{threading.get_ident()}-{len(acknowledged)}"
            mine.put_object(Bucket="killed", Key=key, Body=key.encode())
            acknowledged.append(key)
        mine.close()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 20)

    def workers() -> list[psutil.Process]:
        alive = [p for p in psutil.Process(gateway.process.pid).children() if p.status() != psutil.STATUS_ZOMBIE]
        return [p for p in alive if "spawn_main" in " ".join(p.cmdline())]

    killed = workers()[0]
    killed.kill()
    before = len(acknowledged)
    try:
        until(lambda: len(acknowledged) > before + 20 and len(workers()) == 2 and killed not in workers())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="killed")
    there = {item["Key"] for page in pages for item in page.get("Contents", ())}
    assert set(acknowledged) <= there
    client.close()


def test_damage_is_never_given_out(pair: Any) -> None:
    """[GW-5] [GW-6] A small object is a 500 without words of the inside; a large one is cut off, and so not whole."""
    client = pair.client(retries={"max_attempts": 0})
    client.create_bucket(Bucket="damaged")
    blobs = Path(pair.store["MSTBUCKET_BLOBS"])
    before = set(blobs.rglob("*"))
    for key, size in (("small", 100_000), ("large", 9_000_000)):
        client.put_object(Bucket="damaged", Key=key, Body=os.urandom(size))
    for path in set(blobs.rglob("*")) - before:
        if path.is_file() and path.stat().st_size > 90_000:
            path.chmod(0o600)
            data = bytearray(path.read_bytes())
            data[-50_000] ^= 1
            path.write_bytes(data)
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket="damaged", Key="small")
    assert caught.value.response["Error"]["Code"] == "InternalError"
    assert str(blobs) not in str(caught.value.response)
    with pytest.raises(ResponseStreamingError):
        client.get_object(Bucket="damaged", Key="large")["Body"].read()
    until(lambda: [e["key"] for e in pair.entries() if e.get("error") == "InternalError"] == ["small", "large"])
    client.close()


def test_sigterm_lets_what_runs_end(pair: Any) -> None:
    """[GW-26] This ends it: it is the last test of it."""
    gateway = pair
    client = gateway.client(signature_version="s3v4")
    client.create_bucket(Bucket="ending")

    class Slow:
        """A body that waits in the middle."""

        def __init__(self) -> None:
            self.left = 40
            self.begun = threading.Event()
            self.go_on = threading.Event()

        def __len__(self) -> int:
            return 40 * 65_536

        def read(self, _size: int = -1) -> bytes:
            if self.left == 20:
                self.begun.set()
                assert self.go_on.wait(60)
            self.left -= 1
            return b"x" * 65_536 if self.left >= 0 else b""

    body, results = Slow(), []
    url = client.generate_presigned_url("put_object", Params={"Bucket": "ending", "Key": "k"})
    request = urllib.request.Request(url, body, {"Content-Length": str(len(body))}, method="PUT")  # type: ignore[arg-type]

    def upload() -> None:
        with urllib.request.urlopen(request, timeout=60) as answer:
            results.append(answer.status)

    thread = threading.Thread(target=upload)
    thread.start()
    assert body.begun.wait(60)
    gateway.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    body.go_on.set()
    thread.join()
    assert results == [200]
    assert gateway.process.wait(60) == 0
    client.close()


def test_whoever_watches_is_told(rooted: Any) -> None:
    """[GW-27] [GW-28] On an address of its own."""
    gateway = rooted
    gateway.client().create_bucket(Bucket="watched")
    gateway.client().put_object(Bucket="watched", Key="k", Body=b"12345")
    assert fetch(f"{gateway.watch}/-/live") == (200, b"alive\n")
    assert fetch(f"{gateway.watch}/-/ready") == (200, b"ready\n")
    assert fetch(f"{gateway.watch}/other")[0] == 404
    figures = ""

    def told() -> bool:
        nonlocal figures
        figures = fetch(f"{gateway.watch}/-/metrics")[1].decode()
        return 'mstbucket_dirty_keys{bucket="watched"} 1.0' in figures and 'operation="PutObject",status="200"}' in figures

    until(told)
    assert 'mstbucket_received_bytes_total{operation="PutObject"}' in figures
    assert 'mstbucket_request_seconds_bucket{le="0.001",operation="PutObject"}' in figures
    assert fetch(f"{gateway.endpoint}/-/metrics")[0] == 403


def test_no_worker_outlives_the_process_that_watches_it(place: dict[str, str]) -> None:
    """[GW-26] However that ends: what is left would keep the address, and the database."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MSTBUCKET_", "AWS_"))}
    command = [sys.executable, "-m", "mstbucket", "--json", "serve", "--listen", "127.0.0.1:0", "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**clean, **place}
    )
    assert process.stdout is not None
    endpoint = json.loads(process.stdout.readline())["endpoint"]
    assert fetch(endpoint)[0] == 403
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    process.stdout.close()


def test_one_command_on_an_empty_directory_is_enough_and_a_killed_database_comes_back(tmp_path: Path) -> None:
    """[CLI-90] [GW-32] The embedded default, as people start it; what was acknowledged is there after a crash."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MSTBUCKET_", "AWS_"))}
    command = [sys.executable, "-m", "mstbucket", "--store", str(tmp_path / "s"), "serve", "--listen", "127.0.0.1:0"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        told = {}
        while not (line := process.stdout.readline()).startswith("export "):
            name, _, value = line.partition("  ")
            told[name] = value.split()[0] if value.split() else ""
        assert line.startswith(f"export AWS_ACCESS_KEY_ID={told['access key']} AWS_SECRET_ACCESS_KEY={told['secret key']} ")
        client = boto3.session.Session(told["access key"], told["secret key"], region_name="us-east-1").client(
            "s3", endpoint_url=told["endpoint"], config=Config(retries={"max_attempts": 10, "mode": "standard"})
        )
        client.create_bucket(Bucket="embedded")
        client.put_object(Bucket="embedded", Key="before", Body=b"1")
        [pid_file] = (tmp_path / "s").rglob("postmaster.pid")
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        client.put_object(Bucket="embedded", Key="after", Body=b"2")
        assert client.get_object(Bucket="embedded", Key="before")["Body"].read() == b"1"
        assert client.get_object(Bucket="embedded", Key="after")["Body"].read() == b"2"
        client.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("options", [
    ["--listen", "nowhere"], ["--listen", "127.0.0.1:99999"], ["--workers", "0"], ["--watch", "99999"],
    ["--tls-cert", "x.pem"],
    ["--listen", "127.0.0.1:0", "--tls-cert", __file__],
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(options: list[str], tmp_path: Path) -> None:
    """[CLI-90]"""
    done = subprocess.run(
        [sys.executable, "-m", "mstbucket", "--store", str(tmp_path / "new"), "serve", *options],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("mstbucket: error: ")
    assert not (tmp_path / "new").exists()
