"""Charged leptons as Hill vortices: measurements, closures and the cross-lepton fit."""
