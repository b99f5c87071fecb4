"""Search for settings of recipes over many trainings, by workers on any number of machines."""
