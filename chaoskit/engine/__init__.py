"""load -> plan -> run -> measure -> judge. Knows no fault, backend, client or measure by name."""
