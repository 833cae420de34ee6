"""Local directories: what lies below one, what goes into one, and how keys and paths stand for each other."""
