"""How fast a population trains, measured; see docs/benchmark.md."""
