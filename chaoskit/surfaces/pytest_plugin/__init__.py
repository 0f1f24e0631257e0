"""The pytest plugin: experiments as tests. `plugin` holds hooks and fixtures, and imports nothing of ours before it is used."""
