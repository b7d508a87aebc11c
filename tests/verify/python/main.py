"""Reads one assertion per line, answers each with `accepted SUBJECT` or `refused`."""

import sys

import jwt
from verify import caller

for line in sys.stdin:
    try:
        answer = f"accepted {caller(line.rstrip())['sub']}"
    except jwt.PyJWTError:
        answer = "refused"
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()
