"""The compiled loops that replay an address trace."""
