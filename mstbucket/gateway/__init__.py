"""S3 over HTTP: `mstbucket serve`. An edge above the public API.

    wire/   bytes in and out: requests, bodies, aws-chunked, limits
    auth/   who asks, and whether they may
    s3/     one table of operations, their handlers, XML

It may use the public API, `errors`, `limits` and `model`, and nothing else of the package ([GW-1]).
"""
