"""The native runner: built from source for devices without Python."""

import argparse
import os
from pathlib import Path


def build_runner(arguments: argparse.Namespace) -> None:
    """Builds the native runner for this machine, for 64-bit Arm Linux or by a toolchain file; prints its path.

    ncnn's library takes minutes; it is kept in the build folder, so that a second call takes seconds.
    """
    from msnoah.deploy.native_build import NativeBuild, parse_options
    from msnoah.deploy.ncnn_source import fetch_ncnn, open_ncnn
    from msnoah.deploy.runtimes.ncnn import NCNN

    folder = arguments.folder or Path("build") / "native" / Path(arguments.target).stem
    source = arguments.ncnn or fetch_ncnn(NCNN.installed_version(), folder)
    build = NativeBuild(
        folder, arguments.target, ncnn_options=parse_options(arguments.ncnn_option),
        toolchain_options=parse_options(arguments.option), jobs=arguments.jobs)
    print(build.run(open_ncnn(source, folder / "ncnn-source")))


def declare_build_runner(parser: argparse.ArgumentParser) -> None:
    """The arguments of build-runner."""
    parser.add_argument("--ncnn", type=Path, metavar="SOURCE",
                        help="ncnn's full source: a folder, .tar.gz or .zip (default: by pip, the installed release)")
    parser.add_argument("--target", default="host", help="host, aarch64, or a toolchain file of CMake (default: host)")
    parser.add_argument("--folder", type=Path, help="where to build (default: build/native/TARGET)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="for CMake, as ANDROID_ABI=arm64-v8a; may be given several times")
    parser.add_argument("--ncnn-option", action="append", default=[], metavar="NAME=VALUE",
                        help="for CMake of ncnn alone, as NCNN_INT8=OFF; may be given several times")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes of the compiler")
