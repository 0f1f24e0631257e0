"""The watchers: who says it leads, what the logs say."""
