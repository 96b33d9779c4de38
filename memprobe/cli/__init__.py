"""The `memprobe` command. Nothing in the package imports it, and it alone imports rich."""
