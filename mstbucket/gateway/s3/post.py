"""PostObject: a browser puts a file by a form that somebody else signed ([GW-60], [GW-61])."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from mstbucket.gateway.auth import post_policy
from mstbucket.gateway.auth.decide import Caller
from mstbucket.gateway.auth.rights import Rights
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.limits import check_type, largest, spending
from mstbucket.gateway.s3.needs import needed
from mstbucket.gateway.s3.object_headers import KEPT, META, checksum_headers, described, stored_headers
from mstbucket.gateway.s3.xml_out import document, element, quoted
from mstbucket.gateway.wire.answer import Answer
from mstbucket.gateway.wire.form import Form
from mstbucket.limits import PUT_SIZE_MAX

_LOCK: Final = tuple(f"x-amz-object-lock-{name}" for name in ("legal-hold", "mode", "retain-until-date"))
_ABOUT: Final = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_STATUSES: Final = {"200": 200, "201": 201}


def post_object(call: Call) -> Answer:
    """Store the file of a form under its key, if the signed policy allows it."""
    form = Form(call.content, call.header("content-type") or "")
    fields = form.fields
    if not fields.get("key"):
        raise Refused("InvalidArgument", "Bucket POST must contain a field named 'key'.", ArgumentName="key")
    key = fields["key"].replace("${filename}", form.filename)
    signer = post_policy.signer_of(fields, call.site.keyring.secret_of)
    form.limit(0, largest(call, PUT_SIZE_MAX))
    if signer is not None:
        checked = {**fields, "key": key, "bucket": call.bucket_name}
        span = post_policy.check(fields["policy"], checked, call.store.now())  # [GW-14]
        form.limit(span.least, span.most)
    caller = Caller(None) if signer is None else call.site.keyring.caller_of(signer)
    request = replace(call.request, headers=_headers(call, fields))
    facts = {name: value for name, value in call.rights.facts.items() if name != "s3:if-none-match"}
    rights = Rights(call.site.known, caller, facts)  # a form puts without conditions, whatever the headers say
    for action in needed("PutObject", "s3:PutObject", request):
        rights.require(action, call.bucket_name, key)
    put = replace(call, request=request, key=key, rights=rights)
    said = described(put)
    check_type(put, said["content_type"])
    form.start()
    with spending(put, form.length):
        result = call.bucket.put_object(key, form.stored(), checksums=put.checksums, **said)
    headers = [*stored_headers(put, result), *checksum_headers(result)]
    return _told(fields, put, headers, quoted(result.etag))


def _headers(call: Call, fields: dict[str, str]) -> dict[str, str]:
    """The fields, as the headers of a put that says the same."""
    headers = {"host": call.request.headers["host"]}
    for name, value in fields.items():
        if name in ("content-type", *KEPT, *_LOCK) or name.startswith((META, "x-amz-checksum-")):
            headers[name] = value.encode().decode("latin-1")
        elif name == "acl" and value not in ("private", "bucket-owner-full-control"):
            raise Refused("AccessControlListNotSupported", "The bucket does not allow ACLs")
        elif name == "tagging":
            headers["x-amz-tagging"] = urlencode(xml_in.tags(xml_in.parse(value.encode(), "Tagging")))
        elif name.startswith("x-amz-") and name not in _ABOUT and not _is_so(call, name, value):
            raise Refused("NotImplemented", f"A field you provided asks for something that is not implemented: {name}")
    return headers


def _is_so(call: Call, name: str, value: str) -> bool:
    """Whether a field asks for what holds anyway."""
    if name == "x-amz-server-side-encryption":
        return value == "AES256" and call.site.encrypts
    return (name, value) == ("x-amz-storage-class", "STANDARD")


def _told(fields: dict[str, str], call: Call, headers: list[tuple[str, str]], etag: str) -> Answer:
    """Tell the browser where to go, or that the file is stored."""
    location = f"/{call.bucket_name}/{quote(call.key)}"
    target = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if target.startswith(("http://", "https://")) and target.isascii() and target.isprintable():
        query = urlencode({"bucket": call.bucket_name, "key": call.key, "etag": etag})
        joined = f"{target}{'&' if urlsplit(target).query else '?'}{query}"
        return Answer(303, [*headers, ("Location", joined)])
    status = _STATUSES.get(fields.get("success_action_status", ""), 204)
    body = b"" if status != 201 else document(
        "PostResponse", element("Location", location), element("Bucket", call.bucket_name), element("Key", call.key),
        element("ETag", etag),
    )  # fmt: skip
    return Answer(status, [*headers, ("Location", location)], body)
