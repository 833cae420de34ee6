"""What `verify` says of a damaged file: every object that is hurt, and how many of all these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from mstbucket.cli.exits import code_for, describe, one_line
from mstbucket.cli.output import Output, complain, count
from mstbucket.errors import HashMismatch, InvalidBlock, InvalidCar, MissingBlock, MstBucketError

if TYPE_CHECKING:
    from mstbucket.verify.damage import Hurt, Survey

_SURVEYED: Final = (HashMismatch, InvalidBlock, InvalidCar, MissingBlock)  # changed or missing bytes, and not another commit


def could_survey(error: MstBucketError, file: BinaryIO) -> bool:
    """Whether the error may come from damage to parts of the file, and the file can be read again."""
    return isinstance(error, _SURVEYED) and file.seekable()


def tell_damage(name: str, file: BinaryIO, error: MstBucketError, out: Output) -> int:
    """Go on to the end of a damaged file, list the objects that are hurt, and return the exit code ([CLI-150])."""
    from mstbucket.verify.damage import Survey

    hurt = versions = 0
    first: Hurt | None = None
    with Survey(file) as survey:
        try:
            survey.find()
        except InvalidCar:  # not even the beginning can be read: the first error says it all
            complain(describe(error))
            return code_for(error)
        where = survey.first if error.offset is None else error.offset  # [VER-31] the byte that the judge names
        for one in survey.hurt():
            hurt += not one.older
            versions += one.older
            if first is None or one.offset == where:
                first = one
            _tell(one, survey, out)
    total = None if survey.commit is None else survey.commit.objects
    record = {
        "type": "summary", "ok": False, "target": name, "error": error.code, "damaged": survey.damaged,
        "offset": where, "readable_to": survey.ends, "hurt": hurt, "hurt_versions": versions,
        "listed": survey.objects, "objects": total,
    }  # fmt: skip
    if out.as_json:
        out.emit(record, "")
    complain(f"{_what(name, survey, where, first, error)}{_totals(survey, hurt, versions)}: get another copy [{error.code}]")
    return code_for(error)


def _tell(one: Hurt, survey: Survey, out: Output) -> None:
    from mstbucket.core.keys import split_version_key

    key = split_version_key(one.key)[0] if one.older else one.key
    text = key.decode(errors="backslashreplace")
    where = f"damaged at byte {one.offset}" if one.offset is not None else "not in the file"
    kind = "older version" if one.older else "object"
    record = {"type": "hurt", "key": text, "older": one.older, "offset": one.offset}
    out.emit(record, one_line(f"hurt: {kind} {text}: {where}"))


def _what(name: str, survey: Survey, where: int | None, first: Hurt | None, error: MstBucketError) -> str:
    if where is None or survey.first is None:
        return describe(error).removesuffix(f" [{error.code}]")
    at = "" if first is None or first.older or first.offset != where else f" (object {first.key.decode()})"
    more = f" and {count(survey.damaged - 1, 'other place')}" if survey.damaged > 1 else ""
    if survey.ends is None:
        cut = ""
    else:
        cut = f", and cannot be read from {'there' if survey.ends == where else f'byte {survey.ends}'} on"
    return f"{name} is damaged at byte {where}{at}{more}{cut}"


def _totals(survey: Survey, hurt: int, versions: int) -> str:
    if survey.commit is None:
        return "; the commit itself is hurt, so its objects cannot be listed"
    text = f"; {hurt:,} of {count(survey.commit.objects, 'object')} hurt"
    if versions:
        text += f", and {count(versions, 'older version')}"
    unlisted = survey.commit.objects - survey.objects
    if unlisted > 0:
        text += f", {unlisted:,} more cannot be listed"
    return text
