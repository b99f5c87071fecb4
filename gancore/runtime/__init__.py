"""Devices, processes, signals, and settings of torch."""
