"""The daemon's service for applications that know Migrate."""
