"""Values that users give and get: objects, uploads, policies, reports.

It may use `errors` and `limits`. It must never know where a value comes from: no I/O, no SQL, no clock.
"""
