"""Meter profiles: one small file per model, data only, each register with its sources."""

NAMES = (
    "abb_b23",
    "abb_b24",
    "carlo_gavazzi_em111",
    "carlo_gavazzi_em24",
    "carlo_gavazzi_em340",
    "eastron_sdm120",
    "eastron_sdm230",
    "eastron_sdm630",
    "eastron_sdm72dm",
    "janitza_umg103",
    "janitza_umg96",
    "schneider_iem3155",
    "schneider_iem3255",
    "siemens_pac2200",
    "sunspec_101",
    "sunspec_102",
    "sunspec_103",
    "sunspec_201",
    "sunspec_202",
    "sunspec_203",
    "sunspec_204",
)
"""All of them; a package in ROM cannot be listed."""
