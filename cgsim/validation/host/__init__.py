"""This host: measured with small loops, described as a profile, predicted, compared."""
