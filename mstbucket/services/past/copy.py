"""An object of a commit becomes an object of the present; no byte of its body is read or moved ([PAST-34])."""

from __future__ import annotations

from mstbucket.core.manifest import Manifest
from mstbucket.core.s3rules.conditions import Conditions, Expected
from mstbucket.errors import InvalidRequest, MethodNotAllowed, Unsupported
from mstbucket.index.tx import Tx
from mstbucket.model.objects import PutRequest, PutResult
from mstbucket.services.blocks.context import Context
from mstbucket.services.objects.copy import Directives, copy_found
from mstbucket.services.objects.read import Source
from mstbucket.services.past.view import View, find


def copy(
    view: View,
    source: Source,
    context: Context,
    bucket: str,
    request: PutRequest,
    directives: Directives,
    wanted: Conditions,
    expectation: Expected,
) -> PutResult:
    """Make `request.key` an object with the body that `source` had in the view; see `Bucket.copy_object`."""
    if view.context is not context:
        raise Unsupported("copying from the past of another store is not offered: read the object there, and put it here")
    try:
        was = find(view, source.key, source.version_id).manifest
    except MethodNotAllowed as error:
        raise InvalidRequest(f"{error}: there is nothing to copy") from error
    wanted.check_source(was.etag or "", was.modified, str(source))

    def look(_: Tx) -> Manifest:
        view.blocks.check()  # behind the barrier: as long as the lease stands, nothing that the commit reaches is collected
        return was

    return copy_found(context, source, look, bucket, request, directives, expectation)
