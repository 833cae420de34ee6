"""One request, on a thread of the pool: who asks, for what, may they, do it ([GW-20])."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from traceback import format_exception
from typing import Final

from mstbucket.errors import MstBucketError
from mstbucket.gateway.auth.decide import Wish, allowed
from mstbucket.gateway.auth.keyring import Keyring
from mstbucket.gateway.auth.sigv4 import authenticate
from mstbucket.gateway.log import Entry
from mstbucket.gateway.refusals import Refused, refusal
from mstbucket.gateway.s3.call import Call, Site
from mstbucket.gateway.s3.object_headers import encrypted
from mstbucket.gateway.s3.route import route, scope_of
from mstbucket.gateway.s3.table import Operation
from mstbucket.gateway.s3.xml_out import error_document
from mstbucket.gateway.wire.answer import Answer
from mstbucket.gateway.wire.body import ArrivingBody, ClientGone
from mstbucket.gateway.wire.content import HELD_MAX, open_content
from mstbucket.gateway.wire.request import Request, bucket_and_key

_XML: Final = ("Content-Type", "application/xml")


class Worker:
    """Answers requests; thread-safe."""

    def __init__(self, site: Site, keyring: Keyring) -> None:
        self.site = site
        self._keyring = keyring

    def answer(
        self, request: Request, arriving: ArrivingBody, entry: Entry, early: threading.Event | None = None
    ) -> Answer:
        """The answer to a request; what goes wrong is an answer, too.

        Args:
            early: set once it is known that the answer may begin before it is done.

        Raises:
            ClientGone: nobody waits for an answer.
        """
        resource = request.path.decode("latin-1")
        try:
            answer = self._answer(request, arriving, entry, early)
            if isinstance(answer.body, bytes) and answer.body and all(name != _XML[0] for name, _ in answer.headers):
                answer.headers.append(_XML)  # what is there by now is a document, and no object
            _hold_small(answer)
        except ClientGone:
            raise
        except Exception as error:
            return failed(request, error, entry, resource)
        return answer

    def _answer(
        self, request: Request, arriving: ArrivingBody, entry: Entry, early: threading.Event | None
    ) -> Answer:
        if "host" not in request.headers:
            raise Refused("InvalidRequest", "Missing required header for this request: Host")
        entry.bucket, entry.key = bucket_and_key(request.path, request.headers["host"], self.site.domain)
        signed = authenticate(request, self._keyring.secret_of, datetime.now(UTC))
        key_id = entry.access_key = None if signed is None else signed.key_id
        operation = route(request, scope_of(entry.bucket, entry.key))
        entry.operation = operation.name
        if not allowed(key_id, Wish(_action(operation, request), entry.bucket, entry.key)):
            raise Refused("AccessDenied", "Access Denied")
        self._check_encryption(request)
        chain = None if signed is None else signed.chain
        content = open_content(
            request, arriving, None if signed is None else signed.payload, None if chain is None else lambda: chain
        )
        if early is not None and operation.early:
            early.set()
        return operation.handler(Call(self.site, request, entry.bucket, entry.key, key_id, content))

    def _check_encryption(self, request: Request) -> None:
        if "x-amz-server-side-encryption" in request.headers and not encrypted(self.site):
            raise Refused("NotImplemented", "The store is not encrypted: x-amz-server-side-encryption",
                          Header="x-amz-server-side-encryption")  # fmt: skip


def _hold_small(answer: Answer) -> None:
    """Read a small body here: it leaves in one write, and what is damaged is an error and not a broken answer."""
    body = answer.body
    if not isinstance(body, bytes) and answer.size <= HELD_MAX and not answer.unbounded:
        try:
            answer.body = b"".join(body)
        finally:
            body.close()


def _action(operation: Operation, request: Request) -> str:
    """The right to an old version of an object is another one than that to the object."""
    about_version = request.query.get("versionId") and operation.scope == "object" and operation.action.count("Object") == 1
    return f"{operation.action}Version" if about_version and operation.action in _OF_VERSIONS else operation.action


_OF_VERSIONS: Final = ("s3:GetObject", "s3:DeleteObject")


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
