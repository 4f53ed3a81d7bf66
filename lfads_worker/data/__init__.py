"""Recordings: reading, checking, splitting, and synthetic ones with known rates. Numpy, no TensorFlow."""
