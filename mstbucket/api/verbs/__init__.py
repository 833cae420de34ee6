"""The verbs of a bucket by theme: attributes, versions, uploads, locks, lifecycle. `api.bucket` puts them together."""
