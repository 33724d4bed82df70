"""The drivers by name."""

from msnoah.deploy.converters.atc import Atc
from msnoah.deploy.converters.base import Driver
from msnoah.deploy.converters.converter_lite import ConverterLite
from msnoah.deploy.converters.qnn import Qnn
from msnoah.deploy.converters.rknn import Rknn

DRIVERS: dict[str, Driver] = {"atc": Atc(), "rknn": Rknn(), "qnn": Qnn(), "converter_lite": ConverterLite()}
