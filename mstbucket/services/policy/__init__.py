"""Policies of buckets carried out: object lock, lifecycle.

It may use the rooms before it. It must never decide what S3 means: `core.s3rules` does.
"""
