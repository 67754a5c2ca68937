"""Neutrino magnetic moments: from flux to recoil spectrum to upper limit, for each data set."""
