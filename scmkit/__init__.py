"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

__version__ = "0.1.0"
