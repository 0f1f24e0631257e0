"""The clients: real protocol users that probe on a fixed schedule and keep a ledger of what was acknowledged."""
