"""Shared by tests: servers, proxies, rows, deployments, slow twins of the code. It has no test."""
