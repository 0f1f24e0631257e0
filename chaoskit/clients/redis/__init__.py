"""The Redis client type."""

from chaoskit.clients.redis.client import RedisClient

__all__ = ["RedisClient"]
