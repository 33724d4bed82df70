"""The devices that profiles are taken on: which answer, what they are, and cleaning up there."""

import argparse

from msnoah.commands.records import declare_json, print_record

CLEAN = "clean"


def devices(arguments: argparse.Namespace) -> None:
    """Lists the devices of configs/devices, or some by name or YAML: whether each answers, what it is, its runtimes.

    `msnoah devices clean NAME...` removes all that msnoah has left on devices.
    """
    from msnoah.deploy.device_config import find_device, list_devices
    from msnoah.deploy.device_state import check_devices, device_table

    if arguments.names[:1] == [CLEAN]:
        _clean(arguments)
        return
    paths = [find_device(name).path for name in arguments.names] or list_devices()
    if not paths:
        print_record([], arguments, text="no YAML files in configs/devices; docs/devices.md says how to write one")
        return
    states = check_devices(paths)
    print_record([state.model_dump(mode="json") for state in states], arguments, text=device_table(states))


def declare_devices(parser: argparse.ArgumentParser) -> None:
    """The arguments of devices."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME_OR_YAML", help="of a device; all of configs/devices if none is given")
    declare_json(parser)


def _clean(arguments: argparse.Namespace) -> None:
    from msnoah.deploy.device_config import find_devices
    from msnoah.deploy.remote_device import RemoteDevice
    from msnoah.errors import DeviceError

    configs = find_devices(arguments.names[1:])
    if not configs:
        raise DeviceError("clean names no device; expected `msnoah devices clean NAME_OR_YAML`")
    removed = {config.name: RemoteDevice(config).clean() for config in configs}
    lines = [f"{name}: {'cleaned' if found else 'nothing to clean'}" for name, found in removed.items()]
    print_record(removed, arguments, text="\n".join(lines))
