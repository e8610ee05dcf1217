"""The workbench in a browser: pages draw, presenters and `workbench.plots` compute, the database is the only truth."""
