"""Frozen data and the exception tree. No I/O; imports nothing else of chaoskit."""
