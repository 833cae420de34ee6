"""`key`, `sign`, and what `verify`, `import` and `check-proof` demand of who made a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_bucket_is_signed_handed_over_and_checked(
    cli: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLI-47], [CLI-48]"""
    key, car, pins, proof = (tmp_path / name for name in ("key", "x.car", "pins", "p.car"))
    (did,) = cli("key", "new", key).lines
    assert did.startswith("did:key:z6Mk")
    assert cli("key", "new", key).code == 4
    assert cli("key", "show", key).lines == [did]
    monkeypatch.setenv("MSTBUCKET_SIGNING_KEY", str(key))
    (tmp_path / "f").write_bytes(b"1")
    assert cli("cp", "-q", tmp_path / "f", f"mst://{bucket}/f").code == 0
    assert cli("export", f"mst://{bucket}", car).code == 0
    assert cli("prove", f"mst://{bucket}/f", proof).code == 0
    monkeypatch.delenv("MSTBUCKET_SIGNING_KEY")
    assert cli("verify", car, "--signer", did, "--pins", pins).lines[0].endswith(f"signed by {did}")
    (record,) = cli("verify", car, "--signer", did, "--json").records
    assert (record["signer"], record["signature"]) == (did, "checked")
    (record,) = cli("verify", car, "--json").records
    assert (record["signer"], record["signature"]) == (None, "present, not checked")  # [COM-11]
    assert cli("verify", car).lines[0].endswith(", with a signature that was not checked (--signer)")
    assert cli("check-proof", proof, "--signer", did).code == 0
    assert cli("check-proof", proof).code == 2
    (other,) = cli("key", "new", tmp_path / "other").lines
    for command in (["verify", car], ["import", car, "taken"], ["check-proof", proof]):
        assert cli(*command, "--signer", other).code == 5
        assert cli(*command, "--signer", "did:key:x").code == 2
        assert cli(*command, "--new-bucket").code == 2
    assert cli("verify", f"mst://{bucket}", "--signer", did).code == 2
    (commit,) = cli("log", bucket, "-n", "1", "--json").records
    # The next commit is not signed: whoever remembers the key refuses it.
    (tmp_path / "f").write_bytes(b"2")
    assert cli("cp", "-q", tmp_path / "f", f"mst://{bucket}/f").code == 0
    assert cli("export", f"mst://{bucket}", car, "--force").code == 0
    assert cli("verify", car, "--pins", pins).code == 5
    (newest,) = cli("log", bucket, "-n", "1", "--json").records
    assert newest["prev"] == commit["commit"]
    assert cli("sign", newest["commit"], tmp_path / "sig", "--key", key).lines[-1] == newest["commit"]
    assert cli("verify", car, "--pins", pins, "--signature", tmp_path / "sig").code == 0
    (stat,) = cli("inspect", car, "--json").records
    identity = stat["roots"][0]["identity"]
    assert cli("key", "succeed", key, other, tmp_path / "word", "--bucket", identity).code == 0
    assert cli("sign", newest["commit"], tmp_path / "sig2", "--key", tmp_path / "other").code == 0
    again = ["verify", car, "--pins", pins, "--signature", tmp_path / "sig2"]
    assert cli(*again).code == 5
    assert cli(*again, "--succession", tmp_path / "word").code == 0


def test_wrong_input(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none").write_text("x")
    assert cli("key", "show", tmp_path / "none").code == 2
    assert cli("key", "show", tmp_path / "missing").code == 3
    assert cli("key", "new", tmp_path / "no" / "key").code == 3
    assert cli("sign", "baf", tmp_path / "s", "--key", tmp_path / "none").code == 2
    assert cli("key", "succeed", tmp_path / "none", "did:key:x", tmp_path / "s", "--bucket", "b").code == 2
    monkeypatch.setenv("MSTBUCKET_SIGNING_KEY", str(tmp_path / "none"))
    ran = cli("ls")
    assert ran.code == 2
    assert "no private key" in ran.error
