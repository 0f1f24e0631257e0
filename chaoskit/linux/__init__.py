"""Builders of argument lists and netlink messages, and parsers of what Linux prints. No I/O of their own."""
