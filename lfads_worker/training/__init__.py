"""A generation of a cohort as a pure function, and what is computed from trained weights."""
