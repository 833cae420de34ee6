"""Packs: CAR files in the blob store that hold many blocks; written, planned, read, scrubbed.

It may use `blobs` and `core`. It must never know the database: where a block lies is told to it.
"""
