"""Who asks, and may they: signatures, keys, rights, access control lists."""
