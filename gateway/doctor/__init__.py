"""Tries out what a configuration names: whether it is reached, and whether it does what is said of it."""
