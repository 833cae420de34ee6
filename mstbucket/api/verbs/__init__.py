"""The verbs of a bucket by theme, which `api.bucket` puts together; and `upkeep`, of a store."""
