"""The formats and the rules as functions of bytes and values: CIDs, DAG-CBOR, CAR, UnixFS, manifest, commit, keys.

It may use `model`, `errors`, `limits` and the codec libraries. It must never read, write, wait, or ask for the time.
"""
