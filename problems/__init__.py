"""Things to optimise, each with its source and with the optimum where it is known.

A problem is a `workbench.problem.Problem`. Every factory here works without arguments, so
`problems.synthetic:branin` names a problem wherever `module:name` is asked for.
"""
