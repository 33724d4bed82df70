"""From an artifact to numbers that can be trusted: runtimes, measuring, profiles, reports."""

if __name__ != "msnoah.deploy":
    raise ImportError("import 'msnoah.deploy', not 'deploy'")
