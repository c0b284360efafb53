"""A pure function from facts to intentions: no I/O, no clock of its own."""
