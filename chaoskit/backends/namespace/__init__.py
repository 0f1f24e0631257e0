"""Labs of Linux namespaces: the embedded default, no daemon needed."""
