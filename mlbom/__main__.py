"""`python -m mlbom`: the same as the `mlbom` command."""

from mlbom.cli.main import run

if __name__ == "__main__":
    raise SystemExit(run())
