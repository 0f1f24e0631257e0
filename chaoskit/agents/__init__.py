"""What chaoskit's own processes in a lab (probes, watchers) share: an accurate event loop, a spool, the line protocol."""
