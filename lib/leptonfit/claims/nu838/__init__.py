"""Report NU838: a model of the disagreement between limits on neutrino magnetic moments."""
