"""Devices, precision and randomness: the ground that games and the loop stand on."""
