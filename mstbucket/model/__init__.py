"""Values that users give and get: buckets, objects, listings, uploads, policies, reports.

All are frozen and comparable, with text for CIDs and aware datetimes.

It may use `errors` and `limits`. It must never know where a value comes from: no I/O, no SQL, no clock.
"""
