"""Who signed: ed25519 keys and their files, what is signed with them, and what a reader remembers of a bucket.

It may use `core`, `files` and `model`. It alone knows the library for signatures; it must never know a store.
"""
