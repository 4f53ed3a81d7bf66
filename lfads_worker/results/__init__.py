"""What a run leaves behind: rates, weights, logs, metrics."""
