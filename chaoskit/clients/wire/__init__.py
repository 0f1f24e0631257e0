"""Attempts on bare sockets: what a client of few bytes does, without a task, a timer and a session for each of them."""
