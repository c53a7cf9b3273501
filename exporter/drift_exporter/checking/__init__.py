"""Story one: new slices of a model → windows → scores → verdicts → snapshot."""
