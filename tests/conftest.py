"""Settings of the whole test run: MindSpore's and OpenCV's variables must stand before the first import."""

import os

import msnoah  # noqa: F401  (caps oneDNN at AVX2, which makes convolutions 70 times faster)

os.environ.setdefault("GLOG_v", "3")
