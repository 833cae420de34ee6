"""What S3 does not have: a commit, a flush and an export over HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mstbucket


def test_a_bucket_leaves_over_http_and_an_interrupted_export_goes_on(
    gateway: Any, s3: Any, wire: Any, bucket_name: str, tmp_path: Path
) -> None:
    """[GW-33]"""

    def ask(method: str, query: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        path = f"/{bucket_name}?{query}="
        with wire.Wire(gateway.port) as connection:
            signed = wire.sign(gateway, method, path)
            connection.send(wire.head(method, path, {**signed, "content-length": "0", **headers}))
            answer: tuple[int, dict[str, str], bytes] = connection.answer(method)
            return answer

    assert ask("GET", "mst-commit")[0] == 404
    assert ask("GET", "mst-export")[0] == 404
    for number in range(3):
        s3.put_object(Bucket=bucket_name, Key=str(number), Body=os.urandom(1_500_000))
    status, headers, body = ask("POST", "mst-flush")
    commit = json.loads(body)
    assert (status, headers["content-type"], commit["objects"]) == (200, "application/json", 3)
    assert json.loads(ask("GET", "mst-commit")[2]) == commit
    status, headers, whole = ask("GET", "mst-export")
    assert (status, headers["etag"]) == (200, f'"{commit["cid"]}"')
    (tmp_path / "x.car").write_bytes(whole)
    assert mstbucket.verify_car(tmp_path / "x.car").objects == 3
    status, headers, rest = ask("GET", "mst-export", range="bytes=2000000-", **{"if-match": f'"{commit["cid"]}"'})
    assert (status, whole[:2_000_000] + rest == whole) == (206, True)
    assert ask("GET", "mst-export", **{"if-match": '"another"'})[0] == 412
    # [GW-65]
    assert ask("GET", "mst-export", range="bytes=2000000-", **{"if-range": f'"{commit["cid"]}"'})[::2] == (206, rest)
    assert ask("GET", "mst-export", range="bytes=2000000-", **{"if-range": '"another"'})[::2] == (200, whole)
    assert ask("GET", "mst-export", range="bytes=1-2")[0] == 501
    assert ask("GET", "mst-export", range="bytes=1-2", **{"if-range": f'"{commit["cid"]}"'})[0] == 501
    assert ask("GET", "mst-export", range="bytes=1-2", **{"if-range": '"another"'})[::2] == (200, whole)
