"""Population based training as pure functions: scores and an rng in, a plan out. Standard library and numpy only."""
