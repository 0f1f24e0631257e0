"""The parts of the report, one a file, registered as `chaoskit.sections`."""
