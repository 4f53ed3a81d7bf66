"""Kubernetes objects that the operator makes, as plain mappings; pure functions of the run."""
