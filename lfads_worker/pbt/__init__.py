"""Population based training as pure functions: scores and an rng in, a plan out.

Standard library and numpy only; no sibling package, no files, no clock, no global randomness.

    hyperparameters   what is searched: ranges, first values, draws
    population        members with their values and scores
    exploit           who copies whom
    explore           which values a copy goes on with
    evolve            both together: population → plan, and plan → next population
    schedule          how many epochs a generation lasts
    stopping          when enough is enough
    lineage           who came from whom, rebuilt from the decisions
    streams           which random numbers belong to which generation

Lower scores are better everywhere (a score is a smoothed validation loss); a score that is not finite
means "failed", and never wins anything.

References:
  Jaderberg et al. 2017, arXiv 1711.09846 (population based training).
  Keshtkaran et al. 2022, Nature Methods 19 (AutoLFADS).
"""
