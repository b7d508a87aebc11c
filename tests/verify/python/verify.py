import os

import jwt  # pip install "pyjwt[crypto]"

LOGIN = os.environ["OSTIARY_LOGIN"]  # https://login.example.com
APP = os.environ["OSTIARY_APP"]  # https://grafana.example.com, this app as people open it
keys = jwt.PyJWKClient(f"{LOGIN}/.well-known/ostiary/jwks.json")


def caller(assertion: str) -> dict:
    """Who is calling, from the header X-Ostiary-Assertion. Raises jwt.PyJWTError when it proves nothing."""
    if jwt.get_unverified_header(assertion).get("typ") != "ostiary+jwt":
        raise jwt.InvalidTokenError("not an assertion of Ostiary")
    key = keys.get_signing_key_from_jwt(assertion)
    return jwt.decode(assertion, key, algorithms=["ES256"], issuer=LOGIN, audience=APP, leeway=30)
