"""The evaluator: measures on samples and features, each with the interval that is valid for it."""
