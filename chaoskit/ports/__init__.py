"""Protocols between the rooms: what a lab, fault, client, watcher, measure and section look like from outside."""
