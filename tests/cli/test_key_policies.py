"""`key policy`: what a key of the gateway's callers may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_a_key_is_limited_by_a_file_and_freed_again(cli: Any, bucket: str, tmp_path: Path) -> None:
    """[CLI-92]"""
    [made] = cli("key", "create", "somebody", "--json").records
    assert made["policy"] is None
    text = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}})
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(text)
    bad.write_text(text.replace("Allow", "Perhaps"))
    [limited] = cli("key", "policy", made["id"], good, "--json").records
    assert limited["policy"] == text
    for file, code in ((bad, 2), (tmp_path / "missing", 3)):
        assert cli("key", "policy", made["id"], file).code == code
    assert next(one for one in cli("key", "ls", "--json").records if one["id"] == made["id"])["policy"] == text
    [freed] = cli("key", "policy", made["id"], "none", "--json").records
    assert freed["policy"] is None
    assert cli("key", "policy", "nobody", "none").code == 3
