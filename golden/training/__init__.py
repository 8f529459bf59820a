"""How networks are trained: recipes, batches, a run."""
