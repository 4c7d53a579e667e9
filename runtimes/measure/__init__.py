"""Campaigns: artifacts x devices, documents kept, limits held."""
