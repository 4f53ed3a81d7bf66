"""The computing side: trains populations of LFADS models. Knows no Kubernetes; imports nothing heavy here."""
