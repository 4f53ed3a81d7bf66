"""The computing side: trains populations of LFADS models. Knows no Kubernetes and imports nothing heavy here."""
