"""The table of operations: the specification's is made from the code's; `-m` prints it: see `spec_table`."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from botocore.session import Session

from mstbucket.gateway.refusals import STATUSES, Refused
from mstbucket.gateway.s3 import route
from mstbucket.gateway.s3.table import EXTENSIONS, FORM, OPERATIONS, Operation
from mstbucket.gateway.wire.request import Request

SPEC = Path(__file__).parents[2] / "spec" / "store" / "29-gateway.md"
BETWEEN = re.compile(r"(?<=<!-- operations -->\n).*(?=<!-- end of operations -->)", re.DOTALL)
HANDLER_LINES = 40


def spec_table() -> str:
    """The table as the specification has it. To renew it: `python tests/gateway/test_table.py`."""
    rows = ["| operation | request | right |", "|---|---|---|"]
    for one in OPERATIONS:
        path = {"service": "/", "bucket": "/BUCKET", "object": "/BUCKET/KEY"}[one.scope]
        query = "?" + "&".join(one.needs) if one.needs else ""
        header = f", `{one.header}`" if one.header is not None else ""
        rows.append(f"| {one.name} | `{one.method} {path}{query}`{header} | `{one.action}` |")
    return "\n".join(rows) + "\n"


def test_the_specification_has_the_table_of_the_code() -> None:
    """[GW-22]"""
    found = BETWEEN.search(SPEC.read_text(encoding="utf-8"))
    assert found is not None
    assert found[0] == spec_table()


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one not in (*EXTENSIONS, FORM)], ids=lambda one: one.name)
def test_an_operation_is_one_that_botocore_knows(one: Operation) -> None:
    """Its name, its method, and the parameter that makes it this one."""
    model = Session().get_service_model("s3").operation_model(one.name)
    assert model.http["method"] == one.method
    uri = model.http["requestUri"]
    for need in one.needs:
        known = [member.serialization.get("name") for member in model.input_shape.members.values()]
        assert need.partition("=")[0] in known or need in uri, (uri, need)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
def test_a_handler_is_short_and_says_what_it_does(one: Operation) -> None:
    lines, _ = inspect.getsourcelines(one.handler)
    assert len(lines) < HANDLER_LINES
    assert inspect.getdoc(one.handler)


def request_for(one: Operation, **more: str) -> Request:
    query = {need.partition("=")[0]: need.partition("=")[2] for need in one.needs}
    headers = {"host": "h", **({one.header: "/b/k"} if one.header is not None else {})}
    return Request("ID", one.method, b"/", {**query, **more}, headers, True, "127.0.0.1")


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
def test_an_operation_is_found_and_takes_nothing_that_it_does_not_know(one: Operation) -> None:
    """[GW-22]"""
    assert route.route(request_for(one), one.scope) is one
    assert route.route(request_for(one, **dict.fromkeys(one.takes, "1"), **{"x-id": one.name}), one.scope) is one
    with pytest.raises(Refused) as caught:
        route.route(request_for(one, unheard="1"), one.scope)
    assert caught.value.code == "NotImplemented"


def test_every_code_that_is_given_has_a_status() -> None:
    """[GW-5]"""
    sources = Path(route.__file__).parents[1].rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    given = set(re.findall(r'Refused\(\s*"(\w+)"', text)) | set(re.findall(r'code = "(\w+)"', text))
    assert given == given & set(STATUSES)
    assert set(STATUSES) - given <= {"BadRequest", "InternalError", "InvalidDigest", "MethodNotAllowed"}


def test_the_gateway_uses_the_public_api_and_nothing_below_it() -> None:
    """[GW-1]"""
    allowed = ("mstbucket.api", "mstbucket.errors", "mstbucket.limits", "mstbucket.model", "mstbucket.gateway")
    wrong = [
        f"{path.name}: {name}"
        for path in Path(route.__file__).parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for name in [node.module or ""]
        if name.startswith("mstbucket.") and not name.startswith(allowed)
    ]
    assert wrong == []


if __name__ == "__main__":
    SPEC.write_text(BETWEEN.sub(lambda _: spec_table(), SPEC.read_text(encoding="utf-8")), encoding="utf-8")
