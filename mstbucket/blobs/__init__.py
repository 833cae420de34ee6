"""Named, immutable files: the contract every medium keeps, and the grammar of their names.

It may use `core` for CIDs, and `remote` for S3. It must never know what is in a blob.
"""
