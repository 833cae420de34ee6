"""S3's operations: one table, a handler each, XML in and out."""
