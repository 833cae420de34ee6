"""An S3-style bucket store whose whole state is one content identifier."""
