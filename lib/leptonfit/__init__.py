"""leptonfit: whether data determine a parameter, or a minimum is the optimiser's."""
