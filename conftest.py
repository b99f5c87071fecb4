"""What holds of all tests."""

import signal

# Jobs that a shell runs in the background ignore Ctrl-C, and so does all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
