"""What experiments play on: a population on a heap, what surrounds it, the loops of lookups."""
