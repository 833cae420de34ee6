"""Today's S3 clients, real and unmodified, before a real gateway: `tests/gateway/clients/run` installs and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

PROGRAM = Path(__file__).with_name("library_clients.py")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an empty file, small ones with odd names, and one of several parts."""
    top = tmp_path / "files"
    for name, body in (
        ("empty", b""), ("small.txt", b"small\n"), ("a b/c+d/é.txt", b"odd\n"), ("a b/100%.bin", bytes(range(256)) * 100),
        ("large.bin", os.urandom(1 << 20) * 25),
    ):  # fmt: skip
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(body)
    return top


class Clients:
    """Runs programs with the keys of the gateway, and nothing else of this machine's settings."""

    def __init__(self, gateway: Any, home: Path) -> None:
        self.endpoint: str = gateway.endpoint
        home.mkdir()
        self._env = {
            "PATH": os.environ["MSTBUCKET_TEST_CLIENTS"] + os.pathsep + os.environ["PATH"], "HOME": str(home),
            "AWS_ACCESS_KEY_ID": gateway.access_key, "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1", "LANG": "C.UTF-8", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def __call__(self, *command: object) -> str:
        found = shutil.which(str(command[0]), path=self._env["PATH"])
        assert found is not None, f"{command[0]} is not installed: install it, or leave it out by -k"
        ran = subprocess.run(
            [str(part) for part in command], check=False, env=self._env, capture_output=True, text=True, timeout=250
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def run(gateway: Any, tmp_path: Path) -> Clients:
    return Clients(gateway, tmp_path / "home")


def equal(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files."""
    return {p.relative_to(one): p.read_bytes() for p in one.rglob("*") if p.is_file()} == {
        p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()
    }


def test_aws(run: Clients, files: Path, tmp_path: Path) -> None:
    aws = ("aws", "--endpoint-url", run.endpoint)
    run(*aws, "s3", "mb", "s3://by-aws")
    run(*aws, "s3", "sync", files, "s3://by-aws/in", "--no-progress")
    run(*aws, "s3", "sync", "s3://by-aws/in", tmp_path / "out", "--no-progress")
    assert equal(files, tmp_path / "out")
    assert run(*aws, "s3", "sync", files, "s3://by-aws/in", "--no-progress") == ""
    (files / "small.txt").unlink()
    gone = run(*aws, "s3", "sync", files, "s3://by-aws/in", "--delete", "--no-progress")
    assert gone.splitlines() == ["delete: s3://by-aws/in/small.txt"]
    run(*aws, "s3", "mv", "s3://by-aws/in/large.bin", "s3://by-aws/moved.bin", "--no-progress")
    assert '"ContentLength": 26214400' in run(*aws, "s3api", "head-object", "--bucket", "by-aws", "--key", "moved.bin")
    run(*aws, "s3api", "put-bucket-versioning", "--bucket", "by-aws", "--versioning-configuration", "Status=Enabled")
    run(*aws, "s3", "rm", "--recursive", "s3://by-aws/in")
    assert "DeleteMarkers" in run(*aws, "s3api", "list-object-versions", "--bucket", "by-aws")


def test_rclone(run: Clients, files: Path, tmp_path: Path) -> None:
    there = f':s3,provider=Other,env_auth,endpoint="{run.endpoint}",region=us-east-1:by-rclone'
    run("rclone", "-q", "mkdir", there)
    run("rclone", "-q", "sync", files, there + "/in", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M")
    run("rclone", "-q", "check", files, there + "/in")
    run("rclone", "-q", "sync", there + "/in", tmp_path / "out")
    assert equal(files, tmp_path / "out")
    run("rclone", "-q", "moveto", there + "/in/large.bin", there + "/large.bin")
    run("rclone", "-q", "purge", there)


def test_s3cmd(run: Clients, files: Path, tmp_path: Path) -> None:
    host = run.endpoint.removeprefix("http://")
    config = tmp_path / "s3cfg"
    config.write_text(f"[default]\nhost_base = {host}\nhost_bucket = {host}\nuse_https = False\nsignature_v2 = False\n")
    s3cmd = ("s3cmd", "-c", config, "-q")
    run(*s3cmd, "mb", "s3://by-s3cmd")
    run(*s3cmd, "sync", f"{files}/", "s3://by-s3cmd/in/")
    run(*s3cmd, "sync", "s3://by-s3cmd/in/", f"{tmp_path / 'out'}/")
    assert equal(files, tmp_path / "out")
    run(*s3cmd, "del", "-r", "--force", "s3://by-s3cmd/in")
    run(*s3cmd, "rb", "s3://by-s3cmd")


def test_s5cmd(run: Clients, files: Path, tmp_path: Path) -> None:
    s5cmd = ("s5cmd", "--endpoint-url", run.endpoint)
    run(*s5cmd, "mb", "s3://by-s5cmd")
    run(*s5cmd, "sync", f"{files}/", "s3://by-s5cmd/in/")
    assert run(*s5cmd, "sync", f"{files}/", "s3://by-s5cmd/in/") == ""
    run(*s5cmd, "sync", "s3://by-s5cmd/in/*", f"{tmp_path / 'out'}/")
    assert equal(files, tmp_path / "out")
    (files / "small.txt").unlink()
    gone = run(*s5cmd, "sync", "--delete", f"{files}/", "s3://by-s5cmd/in/")
    assert gone.split() == ["rm", "s3://by-s5cmd/in/small.txt"]
    run(*s5cmd, "mv", "s3://by-s5cmd/in/large.bin", "s3://by-s5cmd/moved.bin")
    assert "26214400" in run(*s5cmd, "ls", "s3://by-s5cmd/moved.bin")
    run(*s5cmd, "rm", "s3://by-s5cmd/*")
    run(*s5cmd, "rb", "s3://by-s5cmd")


@pytest.mark.parametrize("library", ["minio", "s3fs", "obstore", "pyarrow", "icechunk"])
def test_a_library(run: Clients, s3: Any, files: Path, library: str) -> None:
    s3.create_bucket(Bucket=f"by-{library}")
    python = Path(os.environ["MSTBUCKET_TEST_CLIENTS"]) / "python"
    run(python if python.exists() else sys.executable, PROGRAM, library, run.endpoint, f"by-{library}", files / "large.bin")
