"""The inventory: which devices there are, what is known of each, from whom and since when.

Owns device records and their stores, the merging of what several sources say, enrolment, signed reports and the
management systems that are asked. Must not know: HTTP of our own pages, routes, rules.
"""
