"""What can be asked of the engine: each module turns arguments into a tidy frame."""
