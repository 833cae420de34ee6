"""Values that users give and get: objects, uploads, policies, reports.

It may use `errors`, `limits` and `core`. It must never know where a value comes from: no I/O, no SQL, no clock.
"""
