"""The media that keep blobs: a local disk, an S3-compatible service, memory; a cache before one; copies between two.

It may use `blobs` and `remote`. It must never know packs: a blob is bytes here.
"""
