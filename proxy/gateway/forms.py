"""A form posted by somebody who must log in first: whether it may be kept until then, instead of being lost.

Kept and sent again after the login, a form posted by another site would act with rights its sender never had (CSRF).
So only what the app's own pages sent is kept.
"""

from __future__ import annotations

from proxy.wire.request import RequestHead

_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")


def keeps_form(head: RequestHead, origin: str, most: int) -> bool:
    """Whether this is a form that a page of `origin` posted by navigating, complete within `most` bytes."""
    length = head.fields.length
    if head.method != "POST" or not 0 < length <= most or head.old or head.fields.upgrade:
        return False
    kind = (head.field(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind in _FORMS and _navigated(head) and _from_own_page(head, origin.encode("ascii"))


def _navigated(head: RequestHead) -> bool:
    """A whole window is being navigated, as far as the browser says: a frame would show its page to nobody."""
    return head.field(b"sec-fetch-mode") in (None, b"navigate") and head.field(b"sec-fetch-dest") in (None, b"document")


def _from_own_page(head: RequestHead, origin: bytes) -> bool:
    """By Fetch Metadata, which no page can forge; of older browsers by Origin. Neither may say anything else."""
    site, sender = head.field(b"sec-fetch-site"), head.field(b"origin")
    if site is None:
        return sender == origin
    # "null" is what a page that sends no referrer says of itself.
    return site == b"same-origin" and sender in (None, b"null", origin)
