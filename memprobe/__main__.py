"""`python -m memprobe` is the `memprobe` command."""

from memprobe.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
