"""Bytes in and out: what a request says, bodies as they arrive, answers as they leave, and the limits of both."""
