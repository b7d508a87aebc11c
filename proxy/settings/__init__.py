"""The configuration: its shape, how YAML becomes it, what is checked, where secrets are, and when files change.

Owns every key an admin can write (`schema`), the strict reading of YAML with positions (`parse`), the translation into
typed values with every mistake reported by file, line and column (`convert`, `problems`), the rules that span several
keys (`checks/`), reading from disk (`load`, `files`, `secrets`) and noticing changes (`watch`).

Must not know: sockets, sessions, HTTP, who serves what. It yields an immutable `Settings` and nothing else.

To add a key: one field with a comment in `schema.py` (the comment becomes the help text in editors), then
`ostiary check --schema > config/ostiary.schema.json`. To add a rule that spans keys: one function in `checks/`.
To add a written form (a new kind of address, say): `forms.py`.

The YAML that is understood is YAML 1.2's core, minus everything two readers could read differently: see `parse`.
"""
