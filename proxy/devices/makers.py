"""Reads which makers' TPMs the settings trust."""

from __future__ import annotations

import logging

from proxy.devices.endorsement import Authorities
from proxy.settings import schema
from proxy.settings.files import LARGEST_FILE
from proxy.settings.reading import read_regular

log = logging.getLogger(__name__)


def trusted_makers(settings: schema.Devices) -> Authorities:
    """Those of `tpm_authorities`; none when it is not set, or cannot be read any more since the settings were checked:
    then no key is attested."""
    path = settings.tpm_authorities
    if path is None:
        return Authorities()
    try:
        return Authorities.of_pem(read_regular(path, LARGEST_FILE))
    except (OSError, ValueError) as error:
        log.error("devices.tpm_authorities: %s: %s", path, error)  # noqa: TRY400  a known fault, no traceback needed
        return Authorities()
