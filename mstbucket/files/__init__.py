"""Local directories and files of the user: what lies below one, what goes into one, keys as paths.

It may use `core` for keys. It must never know a store or a bucket.
"""
