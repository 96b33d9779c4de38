"""memprobe's numbers for other tools; each module needs the library that it is for."""
