"""Rebuilding: the database made again from the blobs alone, and the service state that is kept in blobs for that.

It may use the rooms before it. It must never change a blob that it reads.
"""
