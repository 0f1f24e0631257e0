"""The MySQL and MariaDB client type."""

from chaoskit.clients.mysql.client import MysqlClient

__all__ = ["MysqlClient"]
