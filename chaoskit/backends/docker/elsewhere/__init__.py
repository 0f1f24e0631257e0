"""Engines of other machines: a helper container there, in which whole commands are carried out (docs/decisions/0031)."""
