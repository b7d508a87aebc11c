"""What management systems know of devices: those that tell us (webhook), and those that are asked (Intune, CrowdStrike,
Fleet).

Owns: the signature of webhooks (`signature` ◇) and their body (`webhook` ◇), how each vendor's words become attributes
(`intune`, `crowdstrike`, `fleet`, on `words` ◇), calls to their APIs with paging, waiting and bounds (`api`), settings
→ systems (`build`), and `service`, which asks in turn and takes in what is told. ◇ is pure.
Must not know: the inventory behind `observe`, pages, sessions.
To add: a vendor is a module with a class like `fleet.Fleet` (`devices` yields `Told`), a row in `build`, its settings
in `settings/schema/devices.py`, and recorded answers in tests/devices/management_answers.yaml.
"""
