"""A scripted service whose outages are known exactly, measured by the product's own probes, recorder and measures."""
