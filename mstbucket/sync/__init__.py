"""Making one place like another: a directory, the keys under a prefix of a bucket, or of a bucket of an S3 service.

Both places are read as streams of entries in key order; `plan` merges them into steps, which is pure; a *mover*, one per
direction, carries a step out; `engine` runs movers on threads. `spec/21-sync.md` is normative.
"""
