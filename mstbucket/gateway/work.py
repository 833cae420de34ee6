"""One request, on a thread of the pool: who asks, for what, may they, do it ([GW-20])."""

from __future__ import annotations

import threading
from contextlib import suppress
from email.utils import format_datetime
from traceback import format_exception
from typing import Final

from mstbucket.errors import LeaseLost, MstBucketError
from mstbucket.gateway.auth.decide import Caller
from mstbucket.gateway.auth.rights import Rights, facts_of
from mstbucket.gateway.auth.sigv4 import authenticate
from mstbucket.gateway.log import Entry
from mstbucket.gateway.refusals import Refused, refusal
from mstbucket.gateway.s3.call import Call, Site
from mstbucket.gateway.s3.cors import headers_for_page, preflight
from mstbucket.gateway.s3.needs import PAST, needed
from mstbucket.gateway.s3.object_headers import encrypted
from mstbucket.gateway.s3.route import route, scope_of
from mstbucket.gateway.s3.table import Operation
from mstbucket.gateway.s3.write import source_of
from mstbucket.gateway.s3.xml_out import error_document
from mstbucket.gateway.views import ReadFrom
from mstbucket.gateway.wire.answer import Answer, Headers
from mstbucket.gateway.wire.body import ArrivingBody, ClientGone
from mstbucket.gateway.wire.content import HELD_MAX, open_content
from mstbucket.gateway.wire.request import Request, bucket_and_key

_XML: Final = ("Content-Type", "application/xml")


class Worker:
    """Answers requests; thread-safe."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def answer(
        self, request: Request, arriving: ArrivingBody, entry: Entry, early: threading.Event | None = None
    ) -> Answer:
        """The answer to a request; an error becomes an answer, too.

        Args:
            early: set as soon as the answer may begin before it is done.

        Raises:
            ClientGone: nobody waits for an answer.
        """
        resource = request.path.decode("latin-1")
        try:
            answer = self._answer(request, arriving, entry, early)
            if isinstance(answer.body, bytes) and answer.body and all(name != _XML[0] for name, _ in answer.headers):
                answer.headers.append(_XML)  # bytes are a document here: an object is still a stream
            _hold_small(answer)
        except ClientGone:
            raise
        except Exception as error:
            answer = failed(request, error, entry, resource)
        with suppress(MstBucketError):  # if the CORS rules cannot be read, only browsers miss them
            answer.headers += headers_for_page(self.site.known, request, entry.bucket)
        if answer.status < 500:  # else the database may be what is not there, and would be waited for once more
            answer.headers += self.date()
        return answer

    def date(self) -> Headers:
        """[GW-14] The header that clients set their clocks by; none where the database does not tell the time."""
        try:
            return [("Date", format_datetime(self.site.store.now(), usegmt=True))]
        except MstBucketError:
            return []

    def _answer(
        self, request: Request, arriving: ArrivingBody, entry: Entry, early: threading.Event | None
    ) -> Answer:
        if "host" not in request.headers:
            raise Refused("InvalidRequest", "Missing required header for this request: Host")
        entry.bucket, entry.key = bucket_and_key(request.path, request.headers["host"], self.site.domain)
        if request.method == "OPTIONS":
            entry.operation = "Preflight"
            return preflight(self.site.known, request, entry.bucket)
        signed = authenticate(request, self.site.keyring.secret_of, self.site.store.now())  # [GW-14]
        key_id = entry.access_key = None if signed is None else signed.key_id
        operation = route(request, scope_of(entry.bucket, entry.key))
        entry.operation = operation.name
        caller = Caller(None) if key_id is None else self.site.keyring.caller_of(key_id)
        rights = Rights(self.site.known, caller, facts_of(request), request.header(PAST))
        self._check(rights, operation, request, entry)
        self._check_encryption(request)
        chain = None if signed is None else signed.chain
        payload = request.headers.get("x-amz-content-sha256") if signed is None else signed.payload
        content = open_content(request, arriving, payload, None if chain is None else lambda: chain)
        if early is not None and operation.early:
            early.set()
        call = Call(self.site, request, entry.bucket, entry.key, rights, content)
        try:
            return _from_view(operation.handler(call), call)
        except (MstBucketError, Refused) as error:
            if call.held is not None:
                call.held.close(isinstance(error, LeaseLost))
            if error.code == "NoSuchKey" and not _may_know(call):
                raise Refused("AccessDenied", "Access Denied") from error
            raise
        except BaseException:
            if call.held is not None:
                call.held.close()
            raise

    def _check(self, rights: Rights, operation: Operation, request: Request, entry: Entry) -> None:
        """Raise unless the caller may ask for this. `DeleteObjects` is open to everybody who might be allowed one of the
        deletes: its handler decides on each ([GW-21]).
        """
        anonymous = rights.caller.key_id is None
        if operation.name == "DeleteObjects":
            if anonymous and self.site.known.of(entry.bucket).policy is None:
                raise Refused("AccessDenied", "Access Denied")
        elif operation.name == "PostObject":  # its form says who signed ([GW-61])
            if not anonymous:
                raise Refused("InvalidArgument", "Only one auth mechanism allowed: a form is signed by its fields.")
        else:
            for action in needed(operation.name, operation.action, request):
                rights.require(action, entry.bucket, entry.key, request.query.get("versionId"))
        has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        if anonymous and has_body and not request.secure:  # [GW-17]
            raise Refused("AccessDenied", "A body that is not signed is taken over TLS only, or from this machine.")

    def _check_encryption(self, request: Request) -> None:
        if "x-amz-server-side-encryption" in request.headers and not encrypted(self.site):
            raise Refused("NotImplemented", "The store is not encrypted: x-amz-server-side-encryption",
                          Header="x-amz-server-side-encryption")  # fmt: skip


def _from_view(answer: Answer, call: Call) -> Answer:
    """Say which commit was read, and keep its view open until the body has been read ([GW-34])."""
    held = call.held
    if held is not None:
        answer.headers.append((PAST, held.view.commit.cid))
        if isinstance(answer.body, bytes):
            held.close()
        else:
            answer.body = ReadFrom(answer.body, held)
    return answer


def _hold_small(answer: Answer) -> None:
    """Read a small body here: it leaves in one write, and damage becomes an error instead of a broken answer."""
    body = answer.body
    if not isinstance(body, bytes) and answer.size <= HELD_MAX and not answer.unbounded:
        try:
            answer.body = b"".join(body)
        finally:
            body.close()


def _may_know(call: Call) -> bool:
    """Whether the caller may be told that a key does not exist, as those who may list keys may ([GW-44])."""
    bucket = source_of(call)[0] if "x-amz-copy-source" in call.request.headers else call.bucket_name
    listing = "s3:ListBucketVersions" if PAST in call.request.headers else "s3:ListBucket"
    return call.rights.may(listing, bucket, "")


def failed(request: Request, error: Exception, entry: Entry, resource: str) -> Answer:
    """The answer to a request that failed."""
    status, code, message, more = refusal(error)
    entry.error = code
    if status >= 500 and not isinstance(error, Refused):
        entry.detail = str(error) if isinstance(error, MstBucketError) else "".join(format_exception(error))
    headers = [_XML, *(error.headers.items() if isinstance(error, Refused) else ())]
    if status == 503:
        headers.append(("Retry-After", "1"))
    if code == "AuthorizationHeaderMalformed" and "Region" in more:
        headers.append(("x-amz-bucket-region", more["Region"]))
    if status == 304:
        return Answer(status)
    return Answer(status, headers, error_document(code, message, resource, request.id, more))
