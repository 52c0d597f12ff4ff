"""A third party's package: one environment and one backend, registered when designopt imports it."""

from designopt import register_backend, register_env

register_env("acme/Bridge-v0", "acme_designs.bridge:Bridge")
register_backend("centre", "acme_designs.bridge:CentreSearch")
