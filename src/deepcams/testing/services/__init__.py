"""Services on this machine's loopback that answer as the providers' do, with a simulated world behind them.

For trying a whole experiment without the network, and for tests: faults can be injected, and every request is counted.
They bind to 127.0.0.1 alone and hold no secrets.
"""
