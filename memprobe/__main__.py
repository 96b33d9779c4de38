"""`python -m memprobe` is the `memprobe` command."""

try:
    from memprobe.cli.main import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    raise SystemExit(main())
