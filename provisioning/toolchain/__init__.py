"""The tools that campusgrid needs beside Python: made ready by `make`, found by the demo and the tests.

Standard library only: `environment` runs before the virtual environment exists.
"""
