"""Tests of the whole house; every name is a sentence."""
