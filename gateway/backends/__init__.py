"""The storages themselves: they know their disk or network, and nothing above."""
