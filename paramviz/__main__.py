"""`python -m paramviz`: the command line."""

from paramviz.cli import main

main(prog_name="paramviz")
