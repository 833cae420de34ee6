"""Who asks, proved by a signature, and whether they may."""
