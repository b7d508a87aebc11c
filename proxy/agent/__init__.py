"""What runs on an employee's machine: makes the device's key, collects posture, reports it, proves the key to browsers.

Meets the proxy over the network only, and shares with it nothing but the words of `model`.
"""
