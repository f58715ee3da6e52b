"""What is asked of a job: cells, inputs by content, recipes, and jobs with stable ids. Imports nothing heavy."""
