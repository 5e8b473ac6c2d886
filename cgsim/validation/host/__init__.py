"""This host: measured with small kernels, described as a profile, predicted, compared."""
