"""Exporters, one file per target. Nothing heavy is imported here."""
