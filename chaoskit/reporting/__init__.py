"""Renders a recorded run as HTML, Markdown and JUnit. Reads files only."""
