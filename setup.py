"""The one extension, memprobe._core: every C file of the core and of the binding, in one module."""

import platform
import struct
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

MACHINES = ("x86_64", "amd64", "aarch64", "arm64")


def check_platform() -> None:
    """Stop with one sentence where the object layouts that the walker knows do not hold."""
    name = f"{sys.implementation.name} on {sys.platform} {platform.machine()}, {struct.calcsize('P') * 8} bit"
    if sys.implementation.name != "cpython":
        raise SystemExit(f"memprobe reads CPython's own structures and cannot be built for {name}: use CPython 3.10 to 3.15.")
    if sys.platform != "linux" or platform.machine().lower() not in MACHINES or struct.calcsize("P") != 8:
        raise SystemExit(f"memprobe supports 64-bit Linux on x86-64 and aarch64, and cannot be built for {name}.")
    if not (3, 10) <= sys.version_info[:2] <= (3, 15):
        raise SystemExit(f"memprobe supports CPython 3.10 to 3.15, not {platform.python_version()}.")


class build_with_startup(build_py):
    """The start-up hook lies beside the package: Python looks for .pth and .start files there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for path in sorted(glob("startup/*")):
                self.copy_file(path, self.build_lib)


check_platform()

setup(
    cmdclass={"build_py": build_with_startup},
    ext_modules=[
        Extension(
            "memprobe._core",
            sources=sorted(glob("src/*/*.c") + glob("src/base/os/*.c")),
            depends=sorted(glob("src/*/*.h") + glob("src/base/os/*.h")),
            include_dirs=["src"],
            libraries=["dl"],  # of its own before glibc 2.34
            extra_compile_args=["-std=c11", "-O3", "-g", "-fno-strict-aliasing", "-fvisibility=hidden"],
        )
    ],
)
