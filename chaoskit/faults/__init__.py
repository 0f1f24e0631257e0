"""The faults: one file each, with its parameters, its steps, its heal and the evidence that it bites."""
