"""The command `perdure`: look at runs, talk to them, run workers. Nothing imports this package."""
