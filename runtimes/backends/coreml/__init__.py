"""Core ML packages, run by Core ML on macOS and evaluated operator by operator everywhere else."""

from onenet.runtimes.backends.coreml.package import CoreMLPackage, load, read_manifest

__all__ = ["CoreMLPackage", "load", "read_manifest"]
