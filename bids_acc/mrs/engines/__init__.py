"""Engines behind one contract: the built-in fit, LCModel, and fits that other tools left."""
