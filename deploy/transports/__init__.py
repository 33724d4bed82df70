"""Ways to a device: this machine, ssh, adb."""
