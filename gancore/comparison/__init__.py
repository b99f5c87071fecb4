"""Compare recipes: train each under the same budget, evaluate each with the same metrics, write a report."""
