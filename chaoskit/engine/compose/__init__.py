"""Compose files as labs: what of them is understood becomes a lab file, the rest is refused by name. Starts nothing."""
