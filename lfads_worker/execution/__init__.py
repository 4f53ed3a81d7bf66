"""Where cohorts train: in this process, or on Ray."""
