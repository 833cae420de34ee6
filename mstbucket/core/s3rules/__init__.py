"""The rules of S3 that need no database: conditions, tags, metadata, ranges, tokens, retention, lifecycle.

It may use `core`, `model`, `errors` and `limits`. It must never know whether a request came by a call or by HTTP.
"""
