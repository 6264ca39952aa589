"""Tests of the gateway, most of them with the gateway and a fake manager as separate processes."""
