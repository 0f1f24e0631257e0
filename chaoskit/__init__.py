"""chaoskit: break a cluster on purpose and measure the recovery time and data loss it really has."""

__version__ = "0.1.0"
